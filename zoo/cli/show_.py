"""zoo show"""

import json
from pathlib import Path

import click

from zoo.cli.output import as_json, print_json
from zoo.errors import UnknownName, UsageError

ELSEWHERE = ("local-dir:", "hf-hub:")
"""Backbones by place instead of by name."""


@click.command()
@click.argument("name", required=False)
@click.argument("options", nargs=-1, metavar="[OPTION=VALUE]...")
@click.option("--schema", is_flag=True, help="Every key of a recipe: type, default, meaning.")
@click.option("--epochs", type=click.IntRange(1), help="Lay the schedule NAME out over so many epochs.")
@click.option("--backbone", metavar="NAME", help="Lay it out for this backbone, with its parameters counted.")
@click.option("--png", type=click.Path(dir_okay=False), help="Draw it too: groups over epochs, rates as colour.")
@as_json
def command(
    name: str | None,
    options: tuple[str, ...],
    schema: bool,
    epochs: int | None,
    backbone: str | None,
    png: str | None,
    json_: bool,
) -> int:
    """Explain a recipe (resolved, every key), a head, a schedule, a backbone, or with --schema every key of a recipe.

    \b
    zoo show cifar10-densenet
    zoo show mlp
    zoo show gradual --epochs 10 --backbone resnet50 --png gradual.png lr_decay=0.5
    zoo show --schema
    """
    if schema and name:
        raise click.UsageError(f"--schema shows every key and takes no name ('{name}')", click.get_current_context())
    if name is None and not schema:
        raise click.UsageError("name something to show, or pass --schema", click.get_current_context())
    if wrong := next((o for o in options if "=" not in o), None):
        raise click.UsageError(f"'{wrong}' is not option=value, as in k=2", click.get_current_context())
    if schema or name is None:
        return _schema(json_)
    if options or epochs or backbone or png:
        if _is_recipe(name):
            given = "options, --epochs, --backbone and --png go with a schedule"
            raise click.UsageError(f"'{name}' is a recipe; {given}", click.get_current_context())
        return _layout(name, options, epochs, backbone, png, json_)
    return _recipe(name, json_) if _is_recipe(name) else _part(name, json_)


def _is_recipe(name: str) -> bool:
    from zoo.config.catalog import recipes

    if name.startswith(ELSEWHERE):
        return False
    return (
        "/" in name
        or name.endswith((".yaml", ".yml"))
        or any(name in (r.name, f"{r.owner}:{r.name}") for r in recipes())
    )


def _recipe(name: str, json_: bool) -> int:
    from zoo.config.catalog import find_recipe
    from zoo.config.resolved_cache import resolved

    path = find_recipe(name)
    found = resolved(path)
    if json_:
        print_json(found.tree)
        return 0
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        click.echo(line)
    click.echo(found.text, nl=False)
    return 0


def _part(name: str, json_: bool) -> int:
    """Every part of this name, of any kind."""
    from zoo.plugins import KINDS, installed
    from zoo.plugins.signature import signature
    from zoo.plugins.timm_options import optimizer_options
    from zoo.timm_index import timm_models, timm_optimizers

    found = []
    for kind in (kind for kind in KINDS if kind != "recipe"):
        for plugin in installed(kind):
            if name in (plugin.name, plugin.full_name):
                about = signature(plugin)
                options = [{"name": o.name, "type": o.type, "default": o.default} for o in about.options]
                found.append(
                    {
                        "kind": kind,
                        "name": plugin.name,
                        "owner": plugin.owner,
                        "version": plugin.version,
                        "doc": about.doc,
                        "options": options,
                    }
                )
    bare = name.removeprefix("timm:").partition(".")[0]
    if bare in timm_models():
        doc = "An architecture of timm. model.options takes the options of its class, such as drop_path_rate."
        found.append({"kind": "backbone", "name": bare, "owner": "timm", "doc": doc, "options": []})
    if name in timm_optimizers():
        doc = f"{timm_optimizers()[name]}. Set options under optim.options."
        options = [{"name": o.name, "type": o.type, "default": o.default} for o in optimizer_options(name)]
        found.append({"kind": "optimizer", "name": name, "owner": "timm", "doc": doc, "options": options})
    if name.startswith(ELSEWHERE):
        found.append({"kind": "backbone", "name": name, "owner": "timm", "doc": _elsewhere(name), "options": []})
    if not found:
        raise UnknownName("name", name, _known(), "See zoo list recipes, heads, schedules, backbones, losses, adapters")
    if json_:
        print_json(found)
    else:
        for part in found:
            _print_part(part)
    return 0


def _elsewhere(name: str) -> str:
    """What a model folder holds, by its config.json; a repository on the Hub is not asked."""
    place = name.partition(":")[2]
    if name.startswith("hf-hub:"):
        return f"The model in the Hub's repository {place}, by its config.json; fetched when a recipe names it."
    try:
        config = json.loads((Path(place) / "config.json").read_text(encoding="utf-8"))
        return f"The model in the folder {place}: {config['architecture']}, {config.get('num_classes', 'unknown')} classes."
    except FileNotFoundError:
        raise UsageError(f"'{name}' has no config.json; local-dir: takes a model folder, as in RUN/model") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"'{name}' has a config.json that is not timm's (it needs an architecture)") from None


def _layout(
    name: str, options: tuple[str, ...], epochs: int | None, backbone: str | None, png: str | None, json_: bool
) -> int:
    """A schedule as a table, as JSON, and as a picture."""
    from zoo.cli.layout import print_layout
    from zoo.verbs.schedule_layout import lay_out

    layout = lay_out(name, options, epochs, backbone)
    print_json(layout.document()) if json_ else print_layout(layout)
    if png:
        from zoo.verbs.schedule_plot import draw

        draw(layout, Path(png))
        click.echo(f"wrote {png}", err=True)
    return 0


def _known() -> list[str]:
    from zoo.config.catalog import recipes
    from zoo.plugins import KINDS, installed
    from zoo.timm_index import timm_models

    return [
        *(r.name for r in recipes()),
        *(p.name for kind in KINDS if kind != "recipe" for p in installed(kind)),
        *timm_models(),
    ]


def _print_part(part: dict) -> None:
    click.echo(f"{part['kind']} {part['name']} ({part['owner']}{' ' + part['version'] if 'version' in part else ''})")
    click.echo(part["doc"])
    if part["options"]:
        click.echo("options:")
    for option in part["options"]:
        needed = "required" if option["default"] == "..." else f"default {option['default']}"
        click.echo(f"  {option['name']}: {option['type']}  ({needed})")


def _schema(json_: bool) -> int:
    from zoo.config.key_docs import describe_keys
    from zoo.config.recipe import Recipe

    if json_:
        print_json(Recipe.model_json_schema())
        return 0
    for key in describe_keys():
        if key.is_section:
            click.echo(f"\n{key.name}: {key.doc}")
            continue
        default = "required" if key.default is None else f"default {key.default}"
        click.echo(f"  {key.name}  ({key.type}; {default})\n      {key.doc}")
    return 0
