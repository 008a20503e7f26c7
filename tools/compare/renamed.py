"""What later versions call by another name: old name -> new one. Both count as the same in a comparison."""

KEYS = {"train.shard": "train.fsdp", "model.beside": "model.concat"}
"""Recipe keys."""
METRICS = {"macro_recall": "balanced_accuracy", "loss": "log_loss"}
"""Entries of `metrics.json`. `loss` was cross-entropy, whatever loss was trained; where `log_loss` stands beside it, that one is."""


def old_name(new: str, table: dict[str, str]) -> str:
    """The old name of what is called `new`, which is `new` itself where nothing was renamed."""
    return next((old for old, now in table.items() if now == new), new)
