"""A plugin model zoo on top of timm: recipes in, fine-tuned image classifiers out.

Imports point down only (a test says so), and the light half imports no torch:

    zoo.cli        click shell, one file per verb: parse, call, print
    zoo.verbs      use cases: finetune, resume, probe, evaluate, predict, push, pull, reproduce
    ---- heavy: torch, timm, accelerate, datasets
    zoo.testing    what a plugin must keep, point by point
    zoo.publication  what a push publishes
    zoo.training   trainer, stage, team, sharding, progress, saving; freezing, optim, metrics, plan; cuts, features; settling
    zoo.models     classifier = backbone + head, groups, folder
    zoo.data       source -> labels -> split -> pixels -> augment -> loader
    zoo.remote     a model on the Hub, fetched and checked
    zoo.hub, zoo.environment, zoo.card, zoo.pictures
    ---- light: standard library, yaml, pydantic
    zoo.launch     several processes
    zoo.resolved   a recipe with every key, kept from last time
    zoo.run        the run folder;  zoo.files  writing that survives a kill, checkpoints included
    zoo.scaffold   a new plugin's package, from zoo/templates;  zoo.cache  features kept on disk
    zoo.rooms      folders to make things in
    zoo.loading    YAML + key=value -> Recipe
    zoo.catalog    recipe names -> files
    zoo.signature  options of a part, read without importing it;  zoo.schedules  the own ones, and any of them planned
    zoo.plugins    entry points;  zoo.timm_index  timm's names
    zoo.recipe, zoo.contracts, zoo.reporting, zoo.yaml12, zoo.errors
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.models.folder import load
    from zoo.verbs.evaluate import evaluate
    from zoo.verbs.finetune import finetune, resume
    from zoo.verbs.listing import list_backbones, list_heads, list_recipes, list_schedules
    from zoo.verbs.predict import predict
    from zoo.verbs.probe import probe
    from zoo.verbs.pull import pull
    from zoo.verbs.push import push
    from zoo.verbs.reproduce import reproduce

_HOMES = {
    "finetune": "zoo.verbs.finetune",
    "resume": "zoo.verbs.finetune",
    "evaluate": "zoo.verbs.evaluate",
    "predict": "zoo.verbs.predict",
    "probe": "zoo.verbs.probe",
    "pull": "zoo.verbs.pull",
    "push": "zoo.verbs.push",
    "reproduce": "zoo.verbs.reproduce",
    "load": "zoo.models.folder",
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
