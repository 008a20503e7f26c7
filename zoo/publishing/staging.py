"""What a push publishes: a folder with the model, its card, and what it was made from; and the check of that folder.

config.json, model.safetensors, head.safetensors   the model folder, as plain timm and `zoo.load` read it
recipe.yaml, metrics.json, environment.json        how it was made and how well it does
preprocessor.json                                  how a picture becomes an input, for any other program
README.md, confusion.png, curves.png               the model card and its pictures
"""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import torch

from zoo.config.loading import dump_recipe, read_stored_recipe
from zoo.config.recipe import LAST, Recipe
from zoo.config.source_ref import SourceRef
from zoo.data.decoding import short_side
from zoo.data.sources.sample import SAMPLES
from zoo.errors import ModelError
from zoo.hub.download import FILES, WEIGHTS
from zoo.models.names import without_folders
from zoo.models.saved import load, no_classifier
from zoo.publishing.card import licence, merged, model_card
from zoo.publishing.plots import draw_confusion, draw_curves
from zoo.storage.run_folder import Run
from zoo.tasks.rule import read_rule
from zoo.tasks.task import find_task

PRIVATE = ("command", "git")
"""Of `environment.json` what may name folders or people."""
TOLERANCE = 1e-4
"""How far logits may lie apart between two processes, relative to the largest."""
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH")
"""Variables that a process without the Hub does not need."""


@dataclass(frozen=True)
class Publication:
    """A staged folder. sizes: bytes by file name; licence: of the weights training started from, `unknown` if it is.

    plain_timm: what timm alone loads: the whole `model`, its `features`, or `nothing`.
    """

    folder: Path
    sizes: Mapping[str, int]
    licence: str
    plain_timm: str


def stage(source: Path, folder: Path, repo: str, existing_card: str = "") -> Publication:
    """Put everything that a push of a run or model folder publishes into `folder`. Raises ModelError.

    existing_card: the repository's, whose own text is kept.
    """
    model, run = _model_and_run(source)
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    if "zoo" not in config and config.get("num_classes") == 0:
        raise no_classifier(model)
    if "zoo" not in config:
        raise ModelError(
            f"{model} was not made by zoo (config.json has no `zoo` section); only what zoo trained is pushed"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", *WEIGHTS):
        if (model / name).is_file():
            shutil.copyfile(model / name, folder / name)
    recipe = metrics = environment = None
    if run is not None:
        recipe, metrics, environment = _stage_run(run, folder)
    (folder / "preprocessor.json").write_text(json.dumps(preprocessor(config["zoo"]), indent=2))
    card = model_card(config, recipe, metrics, environment, repo or "user/name")
    (folder / "README.md").write_text(merged(card, existing_card), encoding="utf-8")
    sizes = {name: (folder / name).stat().st_size for name in FILES if (folder / name).is_file()}
    about = config["zoo"]
    return Publication(folder, sizes, licence(about.get("base", [])) or "unknown", about.get("timm", "nothing"))


def _model_and_run(source: Path) -> tuple[Path, Run | None]:
    """The model folder, and the finished run it belongs to where there is one. Raises ModelError."""
    if (source / "config.json").is_file():
        run = Run(source.absolute().parent)
        return source, run if run.finished and source.name == run.model.name else None
    run = Run(source)
    if run.recipe.is_file() and not run.finished:
        raise ModelError(f"the run '{source}' is not finished. Go on with it: zoo resume {source}")
    if not run.finished or not (run.model / "config.json").is_file():
        raise ModelError(
            f"'{source}' is neither a finished run nor a model folder (no metrics.json, no config.json). "
            f"Name a run folder, as in runs/NAME, or its model/"
        )
    return run.model, run


def _stage_run(run: Run, folder: Path) -> tuple[Recipe, dict[str, Any], dict[str, Any]]:
    """Recipe, metrics, environment and pictures, without what names this machine's folders."""
    recipe = read_stored_recipe(run.recipe)
    (folder / "recipe.yaml").write_text(dump_recipe(_without_folders(recipe)), encoding="utf-8")
    metrics = json.loads(run.metrics.read_text(encoding="utf-8"))
    metrics.pop("run", None)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2))
    environment = json.loads(run.environment.read_text(encoding="utf-8"))
    environment = {key: value for key, value in environment.items() if key not in PRIVATE}
    (folder / "environment.json").write_text(json.dumps(environment, indent=2))
    if "confusion_matrix" in metrics:  # there is none of several labels an image
        draw_confusion(folder / "confusion.png", metrics["confusion_matrix"], metrics["classes"])
    best_by = recipe.train.best_by
    draw_curves(folder / "curves.png", run.history(), find_task(recipe.task).headline if best_by == LAST else best_by)
    return recipe, metrics, environment


def _without_folders(recipe: Recipe) -> Recipe:
    """The recipe with the last part of each path alone, since the folders above it concern nobody else."""
    model, data = recipe.model, recipe.data
    pretrained = Path(model.pretrained).name if isinstance(model.pretrained, str) else model.pretrained
    names = [without_folders(name) for name in (model.backbone, *model.concat)]
    update = {"pretrained": pretrained, "backbone": names[0], "concat": names[1:]}
    return recipe.model_copy(
        update={
            "model": model.model_copy(update=update),
            "data": data.model_copy(update={"source": SourceRef.recorded(data.source).shown()}),
        }
    )


def preprocessor(about: Mapping[str, Any]) -> dict[str, Any]:
    """How a picture becomes an input, in words that any program can follow."""
    size, (task, rule) = about["image_size"], read_rule(about, len(about["classes"]))
    return {
        "channels": about["in_chans"],
        "resize_short_side": short_side(size, about["crop_pct"]),
        "center_crop": size,
        "interpolation": "bicubic",
        "scale": 1 / 255,
        "mean": about["mean"],
        "std": about["std"],
        "classes": about["classes"],
        "activation": rule.activation or find_task(task).activation,
    }


OTHER_PROCESS = """
import sys
import numpy, torch
folder, scratch, how = sys.argv[1:]
images = torch.from_numpy(numpy.load(scratch + "/images.npy"))

def give(name, model):
    with torch.inference_mode():
        numpy.save(f"{scratch}/{name}.npy", model.eval()(images).float().numpy())

if how != "nothing":
    import timm
    bare = {"num_classes": 0} if how == "features" else {}
    give("timm.create_model", timm.create_model("local-dir:" + folder, pretrained=True, **bare))
import zoo
give("zoo.load", zoo.load(folder).model)
"""
"""What a stranger does with the folder: load it with nothing but timm, where that can be, then with `zoo`."""


@torch.inference_mode()
def verify(publication: Publication, source: Path, scratch: Path) -> dict[str, float]:
    """Load the staged folder in a fresh process, by plain timm and by zoo, and compare with the source on real pictures.

    Returns the largest difference by way of loading, relative to the largest value. Raises ModelError where it is too large.
    """
    trained = load(source)
    images = trained.inputs(_pictures())
    np.save(scratch / "images.npy", images.numpy())
    wanted = {"zoo.load": trained.model(images)}
    match publication.plain_timm:
        case "model":
            wanted["timm.create_model"] = wanted["zoo.load"]
        case "features":
            wanted["timm.create_model"] = _features(trained.model, images)
    _load_in_fresh_process(publication, scratch)
    differences = {how: _difference(np.load(scratch / f"{how}.npy"), values) for how, values in wanted.items()}
    for how, difference in differences.items():
        if not difference <= TOLERANCE:
            raise ModelError(
                f"{source}: {how} gives other values for the staged copy (by {difference:.2g}); not pushed"
            )
    return differences


def _difference(found: np.ndarray, wanted: torch.Tensor) -> float:
    """Largest difference relative to the largest value; infinite where shapes differ."""
    expected = wanted.float().numpy()
    if found.shape != expected.shape:
        return math.inf
    return float(np.abs(found - expected).max()) / (float(np.abs(expected).max()) or 1.0)


def _features(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What plain timm's model without classifier gives for the backbone under zoo's head."""
    backbone = getattr(model.backbone, "backbone", model.backbone)
    return backbone.forward_head(backbone.forward_features(images), pre_logits=True)


def _pictures() -> list[bytes]:
    """A few real pictures that come with the zoo."""
    rows = pyarrow.parquet.read_table(SAMPLES / "fashion-mnist" / "test-00000-of-00001.parquet").slice(0, 8)
    return [row["image"]["bytes"] for row in rows.to_pylist()]


def _load_in_fresh_process(publication: Publication, scratch: Path) -> None:
    """It needs no network and gets no token."""
    environment = {key: value for key, value in os.environ.items() if key not in TOKENS}
    command = [sys.executable, "-c", OTHER_PROCESS, str(publication.folder), str(scratch), publication.plain_timm]
    done = subprocess.run(command, env={**environment, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise ModelError(f"the staged copy of the model cannot be loaded in a fresh process: {last}; not pushed")
