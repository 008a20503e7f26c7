"""Resume: an interrupted run of any kind, from its newest whole checkpoint."""

import json
from pathlib import Path
from typing import Any

from zoo.config.loading import read_stored_recipe
from zoo.config.recipe import AUTO
from zoo.errors import RunError
from zoo.reporting import Reporter
from zoo.storage.run_folder import Run
from zoo.verbs.finetune import FINETUNE
from zoo.verbs.pretrain import PRETRAIN
from zoo.verbs.training_run import go_on

KINDS = {kind.verb: kind for kind in (FINETUNE, PRETRAIN)}


def resume(folder: str | Path, reporter: Reporter | None = None) -> dict[str, Any]:
    """Go on with an interrupted run from its newest whole checkpoint and return its metrics. Raises ZooError."""
    run, reporter = Run(folder), reporter or Reporter()
    run.check_started()
    recipe = read_stored_recipe(run.recipe)
    facts = json.loads(run.environment.read_text(encoding="utf-8"))
    kind = KINDS[facts.get("verb", FINETUNE.verb)]  # runs of earlier versions name none
    if run.finished:
        raise RunError(f"{run.folder} is finished; {kind.onward.format(run=run.folder)}")
    if recipe.task == AUTO and kind is FINETUNE:  # a run of an earlier version, which had one task
        recipe = recipe.model_copy(update={"task": "multiclass"})
    return go_on(kind, run, recipe, facts, reporter)
