"""The name that plugins' tests know `zoo.testing.distributions` by."""

from zoo.testing.distributions import in_folder

__all__ = ["in_folder"]
