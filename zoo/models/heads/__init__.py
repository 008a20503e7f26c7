"""Heads that come with the zoo, one a module."""
