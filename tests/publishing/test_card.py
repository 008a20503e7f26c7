import pytest
import yaml
from small import recipe

from zoo.publishing.card import BEGIN, END, merged, model_card

METRICS = {
    "accuracy": 0.91234,
    "top5": 1.0,
    "macro_f1": 0.5,
    "auroc": None,
    "loss": 0.25,
    "images": 1500,
    "seconds": 90.0,
}
ENVIRONMENT = {"device": {"cores": 2}, "precision": "fp32"}


def config(head="linear", timm="model", classes=("cat", "dog"), **base) -> dict:
    known = {
        "name": "densenet121",
        "weights": "pretrained",
        "hub_id": "timm/densenet121.x",
        "license": "apache-2.0",
        **base,
    }
    about = {
        "backbone": "timm:densenet121",
        "head": {"name": head},
        "timm": timm,
        "classes": list(classes),
        "base": [known],
    }
    return {"architecture": "densenet121", "zoo": about}


def header(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def test_the_whole_card():
    made = recipe("densenet121", schedule="two-stage", train={"epochs": 7}, data={"source": "me/pets"})
    card = model_card(config(), made, METRICS, ENVIRONMENT, "ann/pets-model")
    assert header(card) == {
        "base_model": ["timm/densenet121.x"],
        "datasets": ["me/pets"],
        "library_name": "timm",
        "license": "apache-2.0",
        "metrics": ["accuracy", "top5", "f1"],
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "timm", "timm-zoo"],
        "model-index": [
            {
                "name": "pets-model",
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"name": "me/pets", "type": "me/pets", "split": "test"},
                        "metrics": [
                            {"type": "accuracy", "value": 0.91234, "name": "accuracy"},
                            {"type": "top5", "value": 1.0, "name": "top5"},
                            {"type": "f1", "value": 0.5, "name": "macro_f1"},
                            {"type": "loss", "value": 0.25, "name": "loss"},
                        ],
                    }
                ],
            }
        ],
    }
    assert (
        card.split("---\n", 2)[2]
        == f"""{BEGIN}
# pets-model

An image classifier with 2 classes: `densenet121` with the head `linear`, fine-tuned on `me/pets` with the schedule `two-stage` for 7 epochs.

## Results

Measured on 1,500 test images of `me/pets`, each once:

| metric | value |
|---|---|
| accuracy | 0.9123 |
| top5 | 1.0000 |
| macro_f1 | 0.5000 |
| loss | 0.2500 |

![Confusion matrix](confusion.png)

![Training curves](curves.png)

## Use

```python
import zoo
classifier = zoo.load("hf-hub:ann/pets-model")
probabilities = classifier(["picture.jpg"])
```

```console
$ zoo predict hf-hub:ann/pets-model picture.jpg
```

```python
import timm
model = timm.create_model("hf-hub:ann/pets-model", pretrained=True).eval()  # logits, by plain timm
```

## Classes

cat, dog

## Training

- Weights at the start: `timm/densenet121.x`, licence apache-2.0.
- Recipe: `recipe.yaml`, every key; run it again with `zoo finetune --recipe recipe.yaml`.
- Hardware: 2 CPU cores, fp32.
- Time: 1.5 minutes. Energy: about 0.5 Wh (an estimate, assuming 10 W a core).

## Limits

The classifier knows the classes above and no others: every picture is given one of them, however little it resembles it.
Its figures hold for the split they were measured on; nothing is claimed for other pictures, groups of people or uses.
{END}
"""
    )


def test_what_was_not_measured_is_not_claimed():
    card = model_card(config())
    assert "no measurement came with the model" in card
    assert "model-index" not in header(card)


@pytest.mark.parametrize(
    ("base", "licence", "sentence"),
    [
        ({"license": None}, "unknown", "`timm/densenet121.x`, their licence is not known"),
        ({"license": "cc-by-nc-4.0"}, "cc-by-nc-4.0", "`timm/densenet121.x`, licence cc-by-nc-4.0"),
        (
            {"weights": "random", "hub_id": None, "license": None},
            "unknown",
            "random (`densenet121` was not pretrained)",
        ),
    ],
    ids=["unknown", "known", "random"],
)
def test_the_licence_is_that_of_the_weights(base, licence, sentence):
    card = model_card(config(**base))
    assert header(card)["license"] == licence
    assert f"- Weights at the start: {sentence}." in card


@pytest.mark.parametrize(
    ("timm", "line"),
    [
        ("features", "Plain timm gives the backbone's features; the head is zoo's."),
        ("nothing", "Plain timm cannot load it: its backbone is cut, several side by side, or none of timm's."),
    ],
)
def test_a_model_that_timm_does_not_have_whole(timm, line):
    card = model_card(config("mlp", timm), recipe(head="mlp"), METRICS)
    assert header(card)["library_name"] == "timm-zoo"
    assert line in card


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
        ("here/pets", True),  # a run names its folders absolutely, so this one is the Hub's, whatever lies here
        ("data/labels.csv", False),
        ("path:me/pets", False),
    ],
)
def test_only_a_hub_id_is_named_as_a_data_set(tmp_path, monkeypatch, source, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here" / "pets").mkdir(parents=True)
    card = model_card(config(), recipe(data={"source": source}), METRICS)
    assert header(card).get("datasets") == ([source] if named else None)
    assert "/data" not in card and "data/" not in card, "folders above the data concern nobody"


def test_names_cannot_break_out_of_the_text_or_the_header():
    odd = ["a|b", "*c*", "<script>", "x\n# y", "`d`", "[e](f)", "g\\h"]
    made = recipe(data={"source": "x\nlicense: mit"})
    card = model_card(config(classes=odd), made, METRICS, repo="ann/pets")
    assert r"a\|b, \*c\*, &lt;script&gt;, x # y, \`d\`, \[e\](f), g\\h" in card.splitlines()
    assert header(card)["license"] == "apache-2.0"


def test_many_classes_are_counted():
    card = model_card(config(classes=[f"k{i}" for i in range(1000)]))
    assert "k48, k49 and 950 more\n" in card and "k50" not in card
    assert "with 1,000 classes" in card


def test_a_users_own_text_and_header_survive_a_second_card():
    first = model_card(config(license=None), recipe(), METRICS)
    front, body = first.split("---\n", 2)[1:]
    edited = f"---\n{front.replace('license: unknown', 'license: mit')}language: de\n---\nMy words.\n{body}And thanks."
    again = merged(model_card(config(license=None), recipe(), {**METRICS, "accuracy": 0.5}), edited)
    assert (header(again)["license"], header(again)["language"]) == ("mit", "de")
    assert again.split("---\n", 2)[2].startswith(f"My words.\n{BEGIN}")
    assert again.endswith(f"{END}\nAnd thanks.")
    assert "| accuracy | 0.5000 |" in again and "0.9123" not in again
    assert merged(again, again) == again


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_others_wrote_stays_below_the_first_card(newline):
    theirs = "---\nlicense: mit\nlanguage: de\n---\n# Mine\n\nWords.\n".replace("\n", newline)
    card = merged(model_card(config()), theirs)
    assert (header(card)["license"], header(card)["language"]) == ("apache-2.0", "de")
    assert card.split("---\n", 2)[2].startswith(BEGIN)
    assert card.endswith(f"{END}\n# Mine\n\nWords.\n")
    assert merged(model_card(config()), card) == card


@pytest.mark.parametrize("header_", ["a: [", "- a", "&a [*a]", "\x00", "x"])
def test_a_header_that_cannot_be_read_is_none(header_):
    plain = model_card(config())
    assert merged(plain, f"---\n{header_}\n---\n") == plain


def test_a_part_whose_end_was_deleted_stays_as_text():
    card = model_card(config())
    assert "Mine." in merged(card, card.replace(END, "Mine."))
