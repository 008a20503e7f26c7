"""Reproduce: run a published recipe again and hold its metrics against the published ones."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from zoo.config.loading import read_recipe
from zoo.errors import ModelError
from zoo.hub.download import fetch
from zoo.reporting import Reporter
from zoo.verbs.finetune import finetune

COMPARED = ("accuracy", "top5", "macro_f1", "macro_precision", "macro_recall", "auroc", "loss")


def reproduce(
    name: str,
    overrides: Iterable[str] = (),
    out: str | Path | None = None,
    tolerance: float = 0.01,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Train the recipe published with `user/name[@revision]` again and compare its test metrics.

    overrides: `key=value`, as where the data lie on this machine; tolerance: largest difference in accuracy that still
    counts as reproduced. Raises ZooError.
    """
    fetched = fetch(name)
    recipe, metrics = fetched.folder / "recipe.yaml", fetched.folder / "metrics.json"
    if not recipe.is_file() or not metrics.is_file():
        raise ModelError(f"{fetched.repo} holds no recipe.yaml and metrics.json; it was not pushed from a run")
    published = json.loads(metrics.read_text(encoding="utf-8"))
    now = finetune(read_recipe(recipe, overrides), out=out, reporter=reporter)
    rows = [
        {"metric": key, "published": published[key], "now": now[key], "difference": now[key] - published[key]}
        for key in COMPARED
        if isinstance(published.get(key), int | float) and now.get(key) is not None
    ]
    off = max((abs(row["difference"]) for row in rows if row["metric"] == "accuracy"), default=None)
    return {
        "repository": fetched.repo,
        "revision": fetched.revision,
        "run": now["run"],
        "metrics": rows,
        "tolerance": tolerance,
        "reproduced": off is not None and off <= tolerance,
    }
