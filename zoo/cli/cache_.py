"""zoo cache"""

import time

import click

from zoo.cli.output import as_json, print_json, print_table

COLUMNS = ("backbone", "read", "images", "px", "precision", "MB", "last used", "key")


@click.command()
@click.argument("action", type=click.Choice(["list", "clear"]), default="list", metavar="[list|clear]")
@as_json
def command(action: str, json_: bool) -> int:
    """Show the features kept of frozen backbones, the last used first, or clear them all, and measured speeds with them.

    \b
    zoo cache
    zoo cache clear

    They are made again when they are needed. ZOO_CACHE names the folder, ZOO_CACHE_GB the most they may take (20); what
    was not used for longest goes first.
    """
    from zoo.storage import feature_cache

    if action == "clear":
        freed = feature_cache.clear()
        print_json({"freed_bytes": freed}) if json_ else click.echo(f"{freed / 1e6:,.1f} MB are free again")
        return 0
    budget, entries = feature_cache.budget(), feature_cache.entries()
    if json_:
        print_json(
            {"folder": str(feature_cache.shelf()), "budget_bytes": budget, "entries": [_facts(e) for e in entries]}
        )
        return 0
    print_table([_row(entry) for entry in entries], COLUMNS)
    total = sum(entry.bytes for entry in entries)
    click.echo(
        f"{len(entries)} entries, {total / 1e6:,.1f} MB of at most {budget / 1e6:,.0f}, in {feature_cache.shelf()}",
        err=True,
    )
    return 0


def _facts(entry) -> dict:
    return {**entry.facts, "bytes": entry.bytes, "key": entry.key, "used": entry.used}


def _row(entry) -> dict:
    facts = entry.facts
    return {
        **facts,
        "px": facts.get("size"),
        "MB": f"{entry.bytes / 1e6:,.1f}",
        "last used": time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used)),
        "key": entry.key[:12],
    }
