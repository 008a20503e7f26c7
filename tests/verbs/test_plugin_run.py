"""A run whose loss, optimiser and data come from a plugin."""

import json
from collections.abc import Callable
from pathlib import Path

from zoo import evaluate, finetune

PLUGIN = '''"""Stripes that lie or stand, a loss and an optimiser."""

ZOO_CONTRACT = ">=1,<2"


def stripes(*, count: int = 24):
    """Lying and standing stripes."""
    import numpy as np
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Image
    from PIL import Image as Pillow

    def pictures(seed):
        random = np.random.default_rng(seed)
        for index in range(count):
            lines = np.repeat(random.integers(0, 256, (32, 1), dtype=np.uint8), 32, axis=1)
            yield Pillow.fromarray(lines if index % 2 else lines.T.copy())

    features = Features({"picture": Image(), "kind": ClassLabel(names=["lying", "standing"])})
    rows = lambda seed: {"picture": list(pictures(seed)), "kind": [i % 2 for i in range(count)]}
    splits = {name: Dataset.from_dict(rows(seed), features=features) for seed, name in enumerate(("train", "test"))}
    return DatasetDict(splits)


def doubled(*, label_smoothing: float = 0.0, factor: float = 2.0):
    """Cross-entropy times a factor."""
    from torch.nn.functional import cross_entropy

    return lambda logits, targets: factor * cross_entropy(logits, targets, reduction="none")


def descent(params, *, lr: float, weight_decay: float, momentum: float = 0.9):
    """Plain descent with momentum."""
    from torch.optim import SGD

    return SGD(params, lr=lr, weight_decay=weight_decay, momentum=momentum)
'''
RECIPE = """
model: {backbone: test_resnet, pretrained: false}
data: {source: "plugin:stripes", options: {count: 24}, image_size: 32, batch_size: 8, augment: {mixup: 0.2}}
optim: {name: descent, lr: 0.05, options: {momentum: 0.5}}
train: {epochs: 2, loss: {name: doubled, factor: 1.5}}
"""


def test_a_run_of_plugins_records_them_and_can_be_evaluated(install: Callable, tmp_path: Path) -> None:
    parts = {
        "sources": {"stripes": "zoo_odd:stripes"},
        "losses": {"doubled": "zoo_odd:doubled"},
        "optimizers": {"descent": "zoo_odd:descent"},
    }
    install("zoo-odd", files={"zoo_odd.py": PLUGIN}, **parts)
    (tmp_path / "mine.yaml").write_text(RECIPE)
    run = tmp_path / "run"
    result = finetune(str(tmp_path / "mine.yaml"), out=run)
    assert result["classes"] == ["lying", "standing"] and result["images"] == 24
    facts = json.loads((run / "environment.json").read_text())
    odd = [part for part in facts["plugins"] if part["owner"] == "zoo-odd"]
    assert {part["kind"]: part["name"] for part in odd} == {
        "source": "stripes", "loss": "doubled", "optimizer": "descent",
    }  # fmt: skip
    assert {(part["version"], part["contract"]) for part in odd} == {("1.0", ">=1,<2")}
    assert evaluate(run)["accuracy"] == result["accuracy"]
