"""A plugin of timm-zoo: a head, a freezing schedule and a backbone, as the tutorial builds them."""

ZOO_CONTRACT = ">=1,<2"
"""Versions of the plugin contract that this was written for."""
