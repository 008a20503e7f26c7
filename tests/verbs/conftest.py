"""The tiny finished run and the pictures that all verbs are tried on."""

from finished import finished, photos  # noqa: F401
