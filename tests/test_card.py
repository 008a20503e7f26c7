import pytest
import yaml
from small import recipe

from zoo.card import model_card

METRICS = {"accuracy": 0.91234, "top5": 1.0, "macro_f1": 0.5, "auroc": None, "loss": 0.25, "images": 1500}


def test_the_whole_card():
    made = recipe("densenet121", schedule="two-stage", train={"epochs": 7}, data={"source": "me/pets"})
    assert (
        model_card(made, ["cat", "dog"], METRICS, 90.0, native=True)
        == """---
datasets:
- me/pets
library_name: timm
pipeline_tag: image-classification
tags:
- image-classification
- timm
- timm-zoo
---
# densenet121 on me/pets

An image classifier with 2 classes: `densenet121` with the head `linear`,
fine-tuned with the schedule `two-stage` for 7 epochs in 1.5 minutes.

Measured on 1,500 test images, each once:

| metric | value |
|---|---|
| accuracy | 0.9123 |
| top5 | 1.0000 |
| macro_f1 | 0.5000 |
| loss | 0.2500 |

Classes: cat, dog

## Use

```python
import zoo
classifier = zoo.load("PATH")
probabilities = classifier(["picture.jpg"])
```

```python
import timm
model = timm.create_model("local-dir:PATH", pretrained=True).eval()
```
"""
    )


def header(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def test_a_head_that_timm_does_not_have():
    card = model_card(recipe(head="mlp"), ["a", "b"], METRICS, 1.0, native=False)
    assert header(card)["library_name"] == "timm-zoo"
    assert 'backbone = timm.create_model("local-dir:PATH", pretrained=True, num_classes=0).eval()' in card


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("uoft-cs/cifar10", True),
        ("sample:fashion-mnist", False),
        ("images", False),
        ("../shared/data/cifar10", False),
        ("/data/pets", False),
        ("~/pets", False),
        ("a/b/c", False),
        ("me/pets: [x", False),
        ("here/pets", False),  # a folder
    ],
)
def test_only_a_hub_id_is_named_as_a_data_set(tmp_path, monkeypatch, source, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here" / "pets").mkdir(parents=True)
    found = header(model_card(recipe(data={"source": source}), ["a", "b"], METRICS, 1.0, True))
    assert found.get("datasets") == ([source] if named else None)


def test_names_cannot_break_out_of_the_text():
    odd = ["a|b", "*c*", "<script>", "x\n# y", "`d`", "[e](f)", "g\\h"]
    card = model_card(recipe(), odd, METRICS, 1.0, True)
    line = next(line for line in card.splitlines() if line.startswith("Classes: "))
    assert line == r"Classes: a\|b, \*c\*, &lt;script&gt;, x # y, \`d\`, \[e\](f), g\\h"


def test_many_classes_are_counted():
    card = model_card(recipe(), [f"k{i}" for i in range(1000)], METRICS, 1.0, True)
    assert "k48, k49 and 950 more\n" in card and "k50" not in card
    assert "with 1000 classes" in card
