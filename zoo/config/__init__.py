"""Recipes: their typed tree, where they are found, how YAML and `key=value` become one."""
