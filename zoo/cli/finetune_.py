"""zoo finetune"""

import click

from zoo.cli.output import as_json
from zoo.cli.training import (
    check_out,
    finish,
    finish_plan,
    is_main,
    launch_processes,
    reporter_of_rank,
    run_folder,
    training_arguments,
)


@click.command()
@training_arguments
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

    check_out(out)
    loaded = load_recipe(recipe, overrides)
    if push and not dry_run:
        from zoo.verbs.push import check_ready

        check_ready(push)
    flags = [*(["--push", push] if push else []), *(["--json"] if json_ else [])]
    code = launch_processes("finetune", recipe, overrides, out, processes, dry_run, flags)
    if code is not None:
        return code
    reporter = reporter_of_rank()
    from zoo.verbs.finetune import finetune, plan

    if dry_run:
        return finish_plan(plan(loaded, reporter), json_)
    folder = run_folder(recipe, out)
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
