"""zoo pretrain"""

import click

from zoo.cli.output import as_json
from zoo.cli.training import (
    check_out,
    finish,
    finish_plan,
    launch_processes,
    reporter_of_rank,
    run_folder,
    training_arguments,
)


@click.command()
@training_arguments
@as_json
def command(
    overrides: tuple[str, ...], recipe: str, out: str | None, processes: int, dry_run: bool, json_: bool
) -> int:
    """Train a recipe's backbone on images without labels, by a method that reads none.

    \b
    zoo pretrain --recipe images data.source=photos method=denoise
    zoo finetune --recipe images data.source=labelled model.backbone=local-dir:RUN/model
    """
    from zoo.config.loading import load_recipe

    check_out(out)
    loaded = load_recipe(recipe, overrides)
    flags = ["--json"] if json_ else []
    code = launch_processes("pretrain", recipe, overrides, out, processes, dry_run, flags)
    if code is not None:
        return code
    reporter = reporter_of_rank()
    from zoo.verbs.pretrain import plan, pretrain

    if dry_run:
        return finish_plan(plan(loaded, reporter), json_)
    folder = run_folder(recipe, out)
    return finish(lambda: pretrain(loaded, out=folder, reporter=reporter), json_)
