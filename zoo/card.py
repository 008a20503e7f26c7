"""The model card of a run: what was trained, on what, how well, and how to use it."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from zoo.recipe import Recipe


def model_card(recipe: Recipe, classes: Sequence[str], metrics: Mapping[str, Any], seconds: float, native: bool) -> str:
    """Markdown with YAML front matter, quoted by huggingface_hub. metrics: of the test split, as in `metrics.json`."""
    header = ModelCardData(
        library_name="timm" if native else "timm-zoo",
        pipeline_tag="image-classification",
        tags=["image-classification", "timm", "timm-zoo"],
        datasets=[recipe.data.source] if _is_hub_id(recipe.data.source) else None,
    )
    rows = "\n".join(
        f"| {name} | {metrics[name]:.4f} |"
        for name in ("accuracy", "top5", "macro_f1", "auroc", "loss")
        if metrics.get(name) is not None
    )
    shown = ", ".join(_plain(c) for c in classes[:50]) + (f" and {len(classes) - 50} more" if len(classes) > 50 else "")
    timm_lines = (
        'import timm\nmodel = timm.create_model("local-dir:PATH", pretrained=True).eval()'
        if native
        else 'import timm\nbackbone = timm.create_model("local-dir:PATH", pretrained=True, num_classes=0).eval()  # features; the head is zoo\'s'
    )
    return f"""---
{header.to_yaml()}
---
# {_plain(recipe.model.backbone)} on {_plain(recipe.data.source)}

An image classifier with {len(classes)} classes: `{_plain(recipe.model.backbone)}` with the head `{_plain(recipe.model.head.name)}`,
fine-tuned with the schedule `{_plain(recipe.schedule.name)}` for {recipe.train.epochs} epochs in {seconds / 60:.1f} minutes.

Measured on {metrics["images"]:,} test images, each once:

| metric | value |
|---|---|
{rows}

Classes: {shown}

## Use

```python
import zoo
classifier = zoo.load("PATH")
probabilities = classifier(["picture.jpg"])
```

```python
{timm_lines}
```
"""


def _is_hub_id(source: str) -> bool:
    return re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", source) is not None and not Path(source).exists()


def _plain(text: str) -> str:
    """Text that Markdown and HTML show as it is, on one line."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "`*[]|\\" else c for c in text)
