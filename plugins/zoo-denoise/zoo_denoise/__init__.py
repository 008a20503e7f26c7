"""A denoising auto-encoder as a method of timm-zoo."""

ZOO_CONTRACT = ">=1,<2"
