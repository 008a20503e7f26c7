"""A plugin model zoo on top of timm: recipes in, fine-tuned image classifiers out.

Imports point down only (a test says so), and the light half imports no torch:

    zoo.cli           click shell, one file per verb: parse, call, print
    zoo.verbs         use cases: finetune, pretrain, resume, probe, evaluate, predict, push, pull, reproduce
    ---- heavy: torch, timm, accelerate, datasets
    zoo.testing       what a plugin must keep, point by point
    zoo.publishing    staged files, model card, plots
    zoo.tuning        what `auto` means: precision, memory format, batch size, compiling
    zoo.training      setup and inputs; trainer, phases, checkpoints, optimisers
    zoo.evaluation    inference, metrics, evaluation
    zoo.methods       what a model learns from a batch: supervised
    zoo.distributed   processes, FSDP2, launch
    zoo.models        classifier = backbone + head; saved models; adapters; heads
    zoo.data          sources, splits, decoding, augmentation, batches
    zoo.hub           the Hub: client, download, verification, one commit per push
    zoo.tasks         what is asked of an image: targets, probabilities, decisions; losses
    ---- light: standard library, yaml, pydantic
    zoo.config        recipes: typed tree, catalog, YAML + key=value; environment
    zoo.tasks.metrics_table   metrics by name: title, direction, tasks;  zoo.tasks.rule  a model's stored rule of decision
    zoo.schedules     freezing schedules, planned
    zoo.plugins       entry points and signatures
    zoo.storage       run folder, atomic files, working folders, feature cache
    zoo.timm_index    timm's names
    zoo.contracts, zoo.reporting, zoo.errors
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.models.pretrained import load
    from zoo.verbs.evaluate import evaluate
    from zoo.verbs.finetune import finetune
    from zoo.verbs.listing import list_backbones, list_heads, list_recipes, list_schedules
    from zoo.verbs.predict import predict
    from zoo.verbs.pretrain import pretrain
    from zoo.verbs.probe import probe
    from zoo.verbs.pull import pull
    from zoo.verbs.push import push
    from zoo.verbs.reproduce import reproduce
    from zoo.verbs.resume import resume

_HOMES = {
    "finetune": "zoo.verbs.finetune",
    "pretrain": "zoo.verbs.pretrain",
    "resume": "zoo.verbs.resume",
    "evaluate": "zoo.verbs.evaluate",
    "predict": "zoo.verbs.predict",
    "probe": "zoo.verbs.probe",
    "pull": "zoo.verbs.pull",
    "push": "zoo.verbs.push",
    "reproduce": "zoo.verbs.reproduce",
    "load": "zoo.models.pretrained",
    "list_backbones": "zoo.verbs.listing",
    "list_heads": "zoo.verbs.listing",
    "list_schedules": "zoo.verbs.listing",
    "list_recipes": "zoo.verbs.listing",
}

__all__ = [
    "evaluate",
    "finetune",
    "list_backbones",
    "list_heads",
    "list_recipes",
    "list_schedules",
    "load",
    "predict",
    "pretrain",
    "probe",
    "pull",
    "push",
    "reproduce",
    "resume",
]


def __getattr__(name: str) -> Any:
    """The public functions, imported when first used, so that `import zoo` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
