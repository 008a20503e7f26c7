"""Backbones, heads, and the classifiers made of them."""
