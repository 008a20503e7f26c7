"""zoo finetune"""

import os
import sys
from pathlib import Path
from shlex import quote

import click

from zoo.cli.output import as_json, print_json, print_metrics


def recipe_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from zoo.config.catalog import recipes

    return [r.name for r in recipes() if r.name.startswith(incomplete)]


def _keys(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from zoo.config.recipe import Recipe, sections

    return [f"{key}=" for key, _, section in sections(Recipe) if section is None and key.startswith(incomplete)]


@click.command()
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=_keys)
@click.option(
    "--recipe",
    "-r",
    required=True,
    metavar="NAME|PATH",
    shell_complete=recipe_names,
    help="A recipe's name or YAML file.",
)
@click.option("--out", type=click.Path(), help="Run folder; runs/<recipe>-<time> unless said.")
@click.option(
    "--processes", type=click.IntRange(1), default=1, show_default=True, help="Processes on this machine (one per GPU)."
)
@click.option("--dry-run", is_flag=True, help="Show the plan, sizes and estimates; write nothing.")
@click.option(
    "--push", metavar="USER/NAME", help="Publish the result on the Hub; the run is safe whatever the Hub does."
)
@as_json
def command(
    overrides: tuple[str, ...],
    recipe: str,
    out: str | None,
    processes: int,
    dry_run: bool,
    push: str | None,
    json_: bool,
) -> int:
    """Train a recipe into a run folder.

    \b
    zoo finetune --recipe quickstart
    zoo finetune --recipe images data.source=photos train.epochs=20
    """
    from zoo.config.loading import load_recipe
    from zoo.storage.run_folder import Run, default_folder

    if out == "":
        raise click.UsageError("--out: '' is no folder; name one, or leave --out away", click.get_current_context())
    loaded = load_recipe(recipe, overrides)
    if push and not dry_run:
        from zoo.verbs.push import check_ready

        check_ready(push)
    if processes > 1 and "RANK" not in os.environ:
        from zoo.distributed.launch import launch

        folder = Path(out or default_folder(recipe))
        if not dry_run:
            Run(folder).check_new()
        return launch(_arguments(recipe, overrides, folder, dry_run, push, json_), processes)
    return _train(loaded, recipe, out, dry_run, push, json_)


def _arguments(
    recipe: str, overrides: tuple[str, ...], folder: Path, dry_run: bool, push: str | None, json_: bool
) -> list[str]:
    flags = [*(["--dry-run"] if dry_run else []), *(["--push", push] if push else []), *(["--json"] if json_ else [])]
    return ["finetune", "--recipe", recipe, "--out", str(folder), *flags, "--", *overrides]


def _train(loaded, recipe: str, out: str | None, dry_run: bool, push: str | None, json_: bool) -> int:
    reporter = reporter_of_rank()
    from zoo.storage.run_folder import default_folder
    from zoo.verbs.finetune import finetune, plan

    if dry_run:
        document = plan(loaded, reporter)
        if json_ and is_main():
            print_json(document)
        return 0
    folder = out or (default_folder(recipe) if "RANK" not in os.environ else None)
    return finish(lambda: _pushed(finetune(loaded, out=folder, reporter=reporter), push, reporter), json_)


def _pushed(result, repo: str | None, reporter):
    """The result of a run, after it was pushed where that was asked for."""
    if not repo or not is_main():
        return result
    from zoo.errors import HubError, ZooError
    from zoo.verbs.push import push

    try:
        return {**result, "pushed": push(result["run"], repo, reporter=reporter)["url"]}
    except ZooError as error:
        raise HubError(f"{error} (the run is finished and safe: zoo push {result['run']} {repo})") from error


def finish(train, json_: bool) -> int:
    """Run `train`, print its result and what to type next."""
    result = train()
    if is_main():
        if json_:
            print_json(result)
        else:
            from zoo.cli.console import duration

            print_metrics(result)
            click.echo(
                f"best epoch {result['best_epoch']} of {result['epochs']}, {duration(result['seconds'])}, in {result['run']}"
            )
            if "pushed" in result:
                click.echo(f"published at {result['pushed']}")
            click.echo(f"next: zoo predict {quote(str(result['run']))} PICTURE...")
    sys.stdout.flush()
    return 0


def is_main() -> bool:
    return os.environ.get("RANK", "0") == "0"


def reporter_of_rank():
    """The screen on the main process, silence on the others; a launched process also ends with its launcher."""
    from zoo.distributed.launch import end_with_launcher
    from zoo.reporting import Reporter

    end_with_launcher()
    if not is_main():
        return Reporter()
    from zoo.cli.console import Screen

    return Screen()
