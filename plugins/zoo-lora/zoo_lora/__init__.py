"""LoRA and its relatives by peft, as adapters of timm-zoo: put into a timm backbone, merged into it at the end."""

import re
from typing import Any

from zoo.contracts import Adapted

ZOO_CONTRACT = ">=1,<2"


def lora(backbone: Any, rank: int = 8, alpha: float = 16.0, dropout: float = 0.0, targets: str = "") -> Adapted:
    """LoRA: a matrix of low rank added to each weight (Hu et al. 2021, arXiv:2106.09685).

    rank: of the matrix; alpha: its scale is alpha / rank; dropout: before it, in [0, 1); targets: regular expression
    over module names, empty for every linear layer below the classifier, or every dense convolution where there is none.
    """
    from peft import LoraConfig

    return _adapted(backbone, LoraConfig, targets, r=_rank(rank), lora_alpha=alpha, lora_dropout=_share(dropout))


def dora(backbone: Any, rank: int = 8, alpha: float = 16.0, dropout: float = 0.0, targets: str = "") -> Adapted:
    """DoRA: LoRA for the direction of each weight, with a magnitude of its own (Liu et al. 2024, arXiv:2402.09353).

    rank: of the matrix; alpha: its scale is alpha / rank; dropout: before it, in [0, 1); targets: as for `lora`.
    """
    from peft import LoraConfig

    options = {"r": _rank(rank), "lora_alpha": alpha, "lora_dropout": _share(dropout), "use_dora": True}
    return _adapted(backbone, LoraConfig, targets, **options)


def loha(backbone: Any, rank: int = 8, alpha: float = 16.0, targets: str = "") -> Adapted:
    """LoHa: a Hadamard product of two matrices of low rank added to each weight (Hyeon-Woo et al. 2021, arXiv:2108.06098).

    rank: of each; alpha: their scale is alpha / rank; targets: as for `lora`.
    """
    from peft import LoHaConfig

    return _adapted(backbone, LoHaConfig, targets, r=_rank(rank), alpha=alpha)


def lokr(backbone: Any, rank: int = 8, alpha: float = 16.0, targets: str = "") -> Adapted:
    """LoKr: a Kronecker product of low rank added to each weight (Yeh et al. 2023, arXiv:2309.14859).

    rank: of its larger factor; alpha: its scale is alpha / rank; targets: as for `lora`.
    """
    from peft import LoKrConfig

    return _adapted(backbone, LoKrConfig, targets, r=_rank(rank), alpha=alpha)


def _rank(rank: int) -> int:
    if rank < 1:
        raise ValueError(f"rank={rank} must be at least 1")
    return rank


def _share(dropout: float) -> float:
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout} must lie in [0, 1)")
    return dropout


def _adapted(backbone: Any, kind: type, targets: str, **options: Any) -> Adapted:
    from peft import inject_adapter_in_model

    names = "|".join(re.escape(name) for name in target_names(backbone, targets))
    inject_adapter_in_model(kind(target_modules=names, **options), backbone)
    return Adapted(backbone, lambda: merged(backbone))


def target_names(backbone: Any, pattern: str = "") -> list[str]:
    """Names of the layers to adapt: those that `pattern` matches, or all linear ones, or all dense convolutions.

    Raises ValueError where nothing is left, the classifier's own layers not counted.
    """
    from torch import nn

    classifier = backbone.get_classifier() if hasattr(backbone, "get_classifier") else None
    parts = classifier if isinstance(classifier, tuple | list) else [classifier]
    own = {id(module) for part in parts if isinstance(part, nn.Module) for module in part.modules()}
    layers = {
        name: module
        for name, module in backbone.named_modules()
        if id(module) not in own
        and (type(module) is nn.Linear or (isinstance(module, nn.Conv2d) and module.groups == 1))
    }
    linear = [name for name, module in layers.items() if isinstance(module, nn.Linear)]
    chosen = [name for name in layers if re.fullmatch(pattern, name)] if pattern else linear or list(layers)
    if not chosen:
        some = ", ".join(list(layers)[:5]) or "none"
        raise ValueError(f"targets={pattern!r} matches no layer of {type(backbone).__name__} (it has {some}, ...)")
    return chosen


def merged(backbone: Any) -> Any:
    """The backbone with every adapter's effect in its weights and the adapters gone."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(backbone.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent, _, child = name.rpartition(".")
            setattr(backbone.get_submodule(parent), child, module.get_base_layer())
    return backbone
