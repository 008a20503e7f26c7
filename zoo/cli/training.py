"""What the commands that train share: arguments, processes, the plan, the result."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from shlex import quote

import click

from zoo.cli.output import print_json, print_metrics


def recipe_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from zoo.config.catalog import recipes

    return [r.name for r in recipes() if r.name.startswith(incomplete)]


def _keys(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from zoo.config.recipe import Recipe, sections

    return [f"{key}=" for key, _, section in sections(Recipe) if section is None and key.startswith(incomplete)]


ARGUMENTS = (
    click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=_keys),
    click.option(
        "--recipe",
        "-r",
        required=True,
        metavar="NAME|PATH",
        shell_complete=recipe_names,
        help="A recipe's name or YAML file.",
    ),
    click.option("--out", type=click.Path(), help="Run folder; runs/<recipe>-<time> unless said."),
    click.option(
        "--processes",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Processes on this machine (one per GPU).",
    ),
    click.option("--dry-run", is_flag=True, help="Show the plan, sizes and estimates; write nothing."),
)
"""What every command that trains a recipe takes."""


def training_arguments(command: Callable) -> Callable:
    """A command with `ARGUMENTS`, in their order."""
    for argument in reversed(ARGUMENTS):
        command = argument(command)
    return command


def launch_processes(
    verb: str, recipe: str, overrides: tuple[str, ...], out: str | None, processes: int, dry_run: bool, flags: list[str]
) -> int | None:
    """The exit code of the processes that were asked for; None where this one trains. flags: the command's own."""
    if processes == 1 or "RANK" in os.environ:
        return None
    from zoo.distributed.launch import launch
    from zoo.storage.run_folder import Run, default_folder

    folder = Path(out or default_folder(recipe))
    if not dry_run:
        Run(folder).check_new()
    flags = [*(["--dry-run"] if dry_run else []), *flags]
    return launch([verb, "--recipe", recipe, "--out", str(folder), *flags, "--", *overrides], processes)


def check_out(out: str | None) -> None:
    """Raises UsageError for an empty name."""
    if out == "":
        raise click.UsageError("--out: '' is no folder; name one, or leave --out away", click.get_current_context())


def run_folder(recipe: str, out: str | None) -> str | Path | None:
    """The folder of a run; None for a process that another launched without saying it, as all then take the first's."""
    from zoo.storage.run_folder import default_folder

    return out or (default_folder(recipe) if "RANK" not in os.environ else None)


def finish_plan(document: dict, json_: bool) -> int:
    """Print a plan as JSON where that was asked for; the screen has it already."""
    if json_ and is_main():
        print_json(document)
    return 0


def finish(train, json_: bool) -> int:
    """Run `train`, print its result and what to type next."""
    result = train()
    if is_main():
        if json_:
            print_json(result)
        else:
            from zoo.cli.console import duration

            tested = "classes" in result
            if tested:
                print_metrics(result)
            else:
                click.echo(f"{result['split']}: {result['images']:,} images, loss {result['loss']:.4f}")
            click.echo(
                f"{'best' if tested else 'weights of'} epoch {result['best_epoch']} of {result['epochs']}, {duration(result['seconds'])}, in {result['run']}"
            )
            if "pushed" in result:
                click.echo(f"published at {result['pushed']}")
            here = quote(str(result["run"]))
            backbone = f"zoo finetune --recipe NAME model.backbone=local-dir:{here}/model"
            click.echo(f"next: {f'zoo predict {here} PICTURE...' if tested else backbone}")
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
