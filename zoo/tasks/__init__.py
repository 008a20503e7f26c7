"""What is asked of an image, and the losses that teach it."""
