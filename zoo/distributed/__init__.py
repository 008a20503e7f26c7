"""Several processes: starting them, what they exchange, and FSDP2."""
