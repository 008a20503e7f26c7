"""Train or eval mode, put back as it was."""

from torch import nn


class evaluating:
    """Context in which a model is in eval mode; every module's own mode comes back afterwards."""

    def __init__(self, model: nn.Module) -> None:
        self.modes = [(m, m.training) for m in model.modules()]
        self.model = model

    def __enter__(self) -> None:
        self.model.eval()

    def __exit__(self, *_: object) -> None:
        for module, training in self.modes:
            module.training = training
