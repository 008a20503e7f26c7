"""What a model is worth on a split: predictions and metrics."""
