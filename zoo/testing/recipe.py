"""The points of a recipe, and of a package of recipes. Nothing here imports torch."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from zoo.config.catalog import recipes
from zoo.config.loading import read_recipe
from zoo.errors import RecipeError, ZooError
from zoo.testing.part import Part
from zoo.testing.report import Skip, Violation, merge_places
from zoo.testing.source_checks import licence


class Subject:
    """A recipe file, or all those of a registered package."""

    def __init__(self, part: Part) -> None:
        self.part = part

    @cached_property
    def files(self) -> list[Path]:
        plugin = self.part.plugin
        if plugin is None:
            return [Path(str(self.part.given))]
        return [recipe.path for recipe in recipes() if recipe.owner == plugin.owner]

    def found(self) -> list[Path]:
        """The files that are there. Raises Skip where there are none, which `files` tells of."""
        there = [file for file in self.files if file.is_file()]
        if not there:
            raise Skip("there are no recipes")
        return there


def files(subject: Subject) -> Iterator[Violation]:
    """There are YAML files, each a recipe."""
    if not subject.files:
        yield Violation("no *.yaml files", "put recipes into the package, and the package into the wheel")
    for file in subject.files:
        if not file.is_file():
            yield Violation(f"no file {file}", "name one that is there")


def header(subject: Subject) -> Iterator[Violation]:
    """The first line is a comment that says what the recipe does; it is listed."""
    for file in subject.found():
        first = file.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
        if not first.startswith("#") or not first.lstrip("# ").strip():
            yield Violation(
                f"{file.name} begins {first[:40]!r}", f"begin it: # {file.stem}: BACKBONE fine-tuned on DATA"
            )


def loading(subject: Subject) -> Iterator[Violation]:
    """It loads without a fault: known keys, parts that are installed, options that they have."""
    yield from merge_places((file.name, _faults(file)) for file in subject.found())


def _faults(file: Path) -> Iterator[Violation]:
    try:
        read_recipe(file)
    except RecipeError as error:
        yield from (Violation(fault, f"zoo check {file}") for fault in error.faults)
    except ZooError as error:
        yield Violation(str(error), f"zoo check {file}")


POINTS = (licence, files, header, loading)
POINTS_SLOW = ()
