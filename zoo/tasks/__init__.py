"""What is asked of an image: tasks, their stored decision rules, and the losses that fit them."""
