"""A backbone's folder in timm's layout, without classifier: what pretraining leaves, and `local-dir:PATH` takes."""

import json
from pathlib import Path

from timm.models._hub import save_config_for_hf
from torch import nn

from zoo.data.image_store import EvalTransform
from zoo.data.loader import Normalise
from zoo.models.saved import image_settings, state_bytes, write_weights
from zoo.storage.atomic import whole_folder

OF_OTHER_WEIGHTS = (
    "tag",
    "license",
    "paper_ids",
    "paper_name",
    "origin_url",
    "url",
    "hf_hub_id",
    "notes",
    "description",
)
"""What timm's configuration says of weights that are replaced."""


def save_backbone(folder: Path, model: nn.Module, transform: EvalTransform, normalise: Normalise) -> None:
    """Write the folder as a whole: made beside, flushed, renamed. Raises DiskFull, RunError."""
    with whole_folder(folder, state_bytes(model)) as part:
        write_weights(part, model)
        save_config_for_hf(model, str(part / "config.json"), data_config=image_settings(transform, normalise))
        config = json.loads((part / "config.json").read_text())
        config["pretrained_cfg"] |= dict.fromkeys(OF_OTHER_WEIGHTS & config["pretrained_cfg"].keys())
        (part / "config.json").write_text(json.dumps(config, indent=2))
