"""What a push publishes: staged files, the model card, plots."""
