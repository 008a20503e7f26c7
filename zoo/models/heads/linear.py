"""The backbone's own classifier: pooling as it was pretrained, then one linear layer."""

from torch import nn

from zoo.models.classifier import head_dropouts
from zoo.models.heads.options import probability


def linear(model: nn.Module, num_classes: int, dropout: float = 0.0) -> nn.Module:
    """timm's own classifier on the backbone's own pooling; the result stays a plain timm model.

    dropout: probability of dropping a pooled feature before the linear layer.
    Raises ValueError for a dropout outside 0..1, or where the model has none.
    """
    probability(dropout=dropout)
    model.reset_classifier(num_classes)
    if dropout:
        modules = list(head_dropouts(model))
        if not modules and not hasattr(model, "drop_rate"):
            raise ValueError(f"{type(model).__name__} has no dropout before its classifier")
        model.drop_rate = dropout
        for module in modules:
            module.p = dropout
    return model


linear.native = True  # type: ignore[attr-defined]
