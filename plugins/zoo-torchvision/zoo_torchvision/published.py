"""torchvision's published ImageNet-1k weights: timm configurations of them, and models that start from them."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, resolve_pretrained_cfg
from torch import nn
from torch.hub import get_dir, load_state_dict_from_url
from torchvision.models import get_model_weights

from zoo.errors import ModelError
from zoo_torchvision.layout import Layout

TIMEOUT_S = 5.0
"""How long the server may keep us waiting for an answer, or for more of a file."""


def configuration(name: str, first_conv: str, paper: str, **more: Any) -> dict[str, Any]:
    """timm's description of torchvision's first ImageNet weights of a model: where they are, what input they want."""
    weights = get_model_weights(name)["IMAGENET1K_V1"]
    view = weights.transforms.keywords
    return {
        "url": weights.url,
        "num_classes": 1000,
        "input_size": (3, view["crop_size"], view["crop_size"]),
        "crop_pct": view["crop_size"] / view.get("resize_size", 256),
        "interpolation": "bilinear",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": first_conv,
        "classifier": "head.fc",
        "license": "bsd-3-clause",
        "origin_url": "https://github.com/pytorch/vision",
        "paper_ids": f"arXiv:{paper}",
        **more,
    }


def create(model_class: type[nn.Module], name: str, layout: Layout, pretrained: bool, **arguments: Any) -> nn.Module:
    """A model by timm's builder (`features_only`, `in_chans`, `num_classes` included). Raises ModelError for weights."""
    given = (arguments.pop(key, None) for key in ("pretrained_cfg", "pretrained_cfg_overlay"))
    cfg = resolve_pretrained_cfg(name, *given)
    if pretrained and cfg.url and not (cfg.file or cfg.state_dict or cfg.hf_hub_id):
        cfg = replace(cfg, state_dict=fetch(cfg.url, arguments.get("cache_dir")))
    model = build_model_with_cfg(
        model_class,
        name,
        pretrained,
        pretrained_cfg=cfg.to_dict(),
        pretrained_filter_fn=lambda tensors, _: layout.renamed(tensors),
        feature_cfg={"flatten_sequential": True, "out_indices": tuple(range(len(layout.taps)))},
        **arguments,
    )
    model.pretrained_cfg.pop("state_dict", None)  # a description of the weights, not the weights
    return model


def fetch(url: str, folder: str | Path | None = None) -> dict[str, torch.Tensor]:
    """The tensors of a published file, from `folder` (torch's cache) or the network, checked by the hash in its name.

    Raises ModelError where the file cannot be had, or is not what was published.
    """
    folder = Path(folder or Path(get_dir()) / "checkpoints")
    file = folder / Path(urlparse(url).path).name
    try:
        with _impatient(), redirect_stdout(sys.stderr):
            return load_state_dict_from_url(
                url, str(folder), map_location="cpu", progress=sys.stderr.isatty(), check_hash=True, weights_only=True
            )
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        raise ModelError(
            f"weights cannot be fetched from {url}: {reason}. Put the file into {folder}, or try model.pretrained=false"
        ) from error
    except Exception as error:  # a wrong hash, or whatever reading a damaged file comes to
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{file} is not the file that {url} was when published: {reason}. Delete it") from error


@contextmanager
def _impatient() -> Iterator[None]:
    """Connections opened in here give up after `TIMEOUT_S`."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
