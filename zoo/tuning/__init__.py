"""What `auto` means in a recipe: precision, memory format, batch size and compiling, tried on this machine."""
