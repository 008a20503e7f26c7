"""Reproduce: run a published recipe again and hold its metrics against the published ones."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from zoo.config.loading import read_stored_recipe
from zoo.errors import ModelError
from zoo.hub.download import fetch
from zoo.reporting import Reporter
from zoo.tasks.metrics_table import current, measured, metric
from zoo.verbs.finetune import finetune


def reproduce(
    name: str,
    overrides: Iterable[str] = (),
    out: str | Path | None = None,
    tolerance: float = 0.01,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Train the recipe published with `user/name[@revision]` again and compare its test metrics.

    overrides: `key=value`, as where the data lie on this machine; tolerance: largest difference in the task's
    first metric, accuracy or mAP, that still counts as reproduced. Raises ZooError.
    """
    fetched = fetch(name)
    recipe, metrics = fetched.folder / "recipe.yaml", fetched.folder / "metrics.json"
    if not recipe.is_file() or not metrics.is_file():
        raise ModelError(f"{fetched.repo} holds no recipe.yaml and metrics.json; it was not pushed from a run")
    published = current(json.loads(metrics.read_text(encoding="utf-8")))
    now = finetune(read_stored_recipe(recipe, overrides), out=out, reporter=reporter)
    rows = [
        {"metric": row.name, "published": value, "now": now[row.name], "difference": now[row.name] - value}
        for row, value in measured(published)
        if now.get(row.name) is not None
    ]
    judge = next((row for row in rows if metric(row["metric"]).headline), None)
    return {
        "repository": fetched.repo,
        "revision": fetched.revision,
        "run": now["run"],
        "metrics": rows,
        "tolerance": tolerance,
        "judged_by": judge["metric"] if judge else None,
        "reproduced": judge is not None and abs(judge["difference"]) <= tolerance,
    }
