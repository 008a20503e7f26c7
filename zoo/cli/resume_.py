"""zoo resume"""

import json
import os

import click

from zoo.cli.output import as_json
from zoo.cli.training import finish, reporter_of_rank


@click.command()
@click.argument("run", type=click.Path())
@as_json
def command(run: str, json_: bool) -> int:
    """Go on with an interrupted run from its newest whole checkpoint, with as many processes as it had.

    \b
    zoo resume runs/quickstart-20260101-120000
    """
    from zoo.storage.run_folder import Run

    if not run:
        raise click.UsageError("'' is no run folder", click.get_current_context())
    folder = Run(run)
    folder.check_started()
    processes = json.loads(folder.environment.read_text())["processes"] if folder.environment.is_file() else 1
    if processes > 1 and "RANK" not in os.environ:
        from zoo.distributed.launch import launch

        return launch(["resume", run, *(["--json"] if json_ else [])], processes)
    reporter = reporter_of_rank()
    from zoo.verbs.resume import resume

    return finish(lambda: resume(run, reporter=reporter), json_)
