"""Phases, steps, evaluation and checkpoints."""
