"""zoo doctor"""

import click

from zoo.cli.output import as_json, print_json


@click.command()
@as_json
def command(json_: bool) -> int:
    """Say what this installation has and what it lacks: versions, devices, memory, disk, Hub, plugins."""
    from zoo.verbs.doctor import examine

    findings = examine()
    if json_:
        print_json(findings)
    else:
        for finding in findings:
            click.echo(f"{'ok  ' if finding['ok'] else 'look'}  {finding['about']:<12}{finding['found']}")
            if finding["advice"]:
                click.echo(f"      {'':<12}{finding['advice']}")
    return 0
