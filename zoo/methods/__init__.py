"""Methods: what a model learns from a batch of images.

Each is registered in `pyproject.toml` under `zoo.methods`, as a plugin's is.
"""
