"""A model on the Hub, fetched and checked before anything is built from it.

The revision is resolved to a commit first; only files that a model consists of are fetched, never pickles; every hash is
compared; and what config.json says, which a stranger wrote, is held against the weights before a model is made of it.
"""

from zoo.remote.checking import tensor_shapes
from zoo.remote.fetching import FILES, PREFIX, WEIGHTS, Fetched, fetch, local

__all__ = ["FILES", "PREFIX", "WEIGHTS", "Fetched", "fetch", "local", "tensor_shapes"]
