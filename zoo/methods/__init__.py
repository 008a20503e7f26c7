"""Methods: what a model learns from a batch of images."""
