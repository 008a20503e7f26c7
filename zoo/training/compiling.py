"""torch.compile, as a recipe asks for it."""

import torch
from torch import nn


def compile_module(module: nn.Module, how: bool | str) -> nn.Module:
    """Compile a module in torch's default mode (True) or the named one; False and "auto" return it as it is.

    Forgets what was compiled before: torch keeps at most eight variants of one piece of code, and each phase is one.
    """
    if how in (False, "auto"):
        return module
    torch.compiler.reset()
    return torch.compile(module, mode=None if how is True else how)
