"""Puts `recipes/` into the wheel as `zoo/_recipes`; an editable install reads the checkout's own folder instead."""

from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict) -> None:
        if version == "standard":
            build_data["force_include"][str(Path(self.root) / "recipes")] = "zoo/_recipes"
