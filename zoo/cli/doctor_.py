"""zoo doctor"""

from collections.abc import Iterable, Mapping
from typing import Any

import click

from zoo.cli.output import as_json, print_json

Row = tuple[str, str, str]
"""What it is about, what was found, and what to do (empty when all is well)."""
WIDTH = 12


@click.command()
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--data", metavar="SOURCE|RECIPE", help="Look at these data instead; a folder named as a recipe: ./NAME.")
@as_json
def command(overrides: tuple[str, ...], data: str | None, json_: bool) -> int:
    """Say what this installation has and what it lacks: versions, devices, memory, disk, Hub, plugins.

    With --data: what a data set holds, what is wrong with its pictures, and how fast they decode here.

    \b
    zoo doctor
    zoo doctor --data photos
    zoo doctor --data cifar10-densenet data.image_size=64
    """
    if data is None:
        if overrides:
            raise click.UsageError(f"'{overrides[0]}' goes with --data only", click.get_current_context())
        return _installation(json_)
    return _data(data, overrides, json_)


def _installation(json_: bool) -> int:
    from zoo.verbs.doctor import examine

    findings = examine()
    if json_:
        print_json(findings)
    else:
        _print_rows((finding["about"], finding["found"], finding["advice"]) for finding in findings)
    return 0


def _data(name: str, overrides: tuple[str, ...], json_: bool) -> int:
    from zoo.cli.console import Screen
    from zoo.verbs.audit import audit

    document = audit(name, overrides, Screen())
    if json_:
        print_json(document)
    else:
        _print_rows(_rows(document))
    return 0


def _print_rows(rows: Iterable[Row]) -> None:
    for about, found, advice in rows:
        click.echo(f"{'look' if advice else 'ok  '}  {about:<{WIDTH}}{found}")
        if advice:
            click.echo(f"      {'':<{WIDTH}}{advice}")


def _rows(document: Mapping[str, Any]) -> Iterable[Row]:
    advice, total = document["advice"], sum(split["images"] for split in document["splits"].values())
    yield "data", f"{document['source']} at {document['image_size']} px", ""
    for kind, split in document["splits"].items():
        yield kind, f"{split['images']:,} images, from {split['from']}", ""
    yield "classes", _classes(document), advice.get("imbalance", "")
    part = "all of them" if document["sample"] == total else f"a sample of {document['sample']:,}"
    yield "pictures", f"{_sizes(document['sizes'], document['image_size'])}; {part} looked at", ""
    yield "files", ", ".join(f"{kind} ({count:,})" for kind, count in document["kinds"].items()) or "none", ""
    for key in ("unreadable", "suspicious"):
        yield key, _named(document[key]), advice.get(key, "")
    speed = document["decoding"]
    threads = (
        f"{speed['one_thread']:,.0f} images/s with one thread, {speed['all_cores']:,.0f} with {speed['cores']} cores"
    )
    yield "decoding", threads, ""
    yield "memory", _memory(document), advice.get("memory", "")
    for warning in document["warnings"]:
        yield "warning", "", warning


def _classes(document: Mapping[str, Any]) -> str:
    counts = sorted((count["train"], name) for name, count in document["classes"].items())
    (fewest, small), (most, large) = counts[0], counts[-1]
    shown = f"{large} {most:,} to {small} {fewest:,} training images"
    if len(counts) <= 6:
        shown = ", ".join(f"{name} {count:,}" for count, name in reversed(counts)) + " training images"
    return f"{len(counts)}: {shown}; imbalance {document['imbalance']:g}"


def _sizes(sizes: Mapping[str, list[int]], image_size: int) -> str:
    if not sizes:
        return "none that can be read"
    median, smallest, largest = (f"{w} x {h}" for w, h in (sizes[k] for k in ("median", "smallest", "largest")))
    shown = f"all {median} px" if smallest == largest else f"{median} px (median), {smallest} to {largest}"
    return f"{shown}, blown up" if min(sizes["median"]) < image_size else shown


def _named(problems: Mapping[str, str]) -> str:
    """The first few, and how many more."""
    first = "; ".join(f"{name}: {problem}" for name, problem in list(problems.items())[:2])
    more = f"; and {len(problems) - 2} more" if len(problems) > 2 else ""
    return f"{len(problems)}: {first}{more}" if problems else "none"


def _memory(document: Mapping[str, Any]) -> str:
    from zoo.cli.console import duration, in_bytes

    memory, seconds = document["memory"], document["decoding"]["train_seconds"]
    time = f" (about {duration(seconds)})" if seconds is not None else ""
    sizes = f"{in_bytes(memory['bytes'])} of {in_bytes(memory['free'])} free"
    if memory["held"]:
        return f"{sizes}: decoded once{time}, then held in memory"
    return f"{sizes}: not held, so decoded anew in each epoch{time}"
