"""zoo predict"""

import json

import click

from zoo.cli.output import as_json, print_json


@click.command()
@click.argument("model", metavar="RUN|MODEL", type=click.Path())
@click.argument("paths", nargs=-1, required=True, metavar="PICTURE...")
@click.option(
    "--top",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Classes to name per picture; of several labels, those above their threshold are named.",
)
@click.option("--jsonl", is_flag=True, help="Print one JSON object per picture as soon as it is known.")
@as_json
def command(model: str, paths: tuple[str, ...], top: int, jsonl: bool, json_: bool) -> int:
    """Classify pictures: files, folders and globs. Unreadable pictures are reported, the rest goes on (exit code 1).

    MODEL is a model folder, hf-hub:user/name, or the name of a backbone with ImageNet's classes.

    \b
    zoo predict runs/my-run photo.jpg
    zoo predict lite0 photo.jpg
    zoo predict runs/my-run photos 'more/*.png' --top 3
    """
    if jsonl and json_:
        raise click.UsageError("choose one of --json and --jsonl", click.get_current_context())
    from zoo.verbs.predict import predict

    results = []
    for result in predict(model, paths, top):
        results.append(result)
        if "error" in result:
            click.echo(f"error: {result['file']}: {result['error']}", err=True)
        if jsonl:
            click.echo(json.dumps(result, ensure_ascii=False))
        elif not json_ and "classes" in result:
            named = "".join(f"  {c['name']} {c['probability']:.4f}" for c in result["classes"])
            click.echo(result["file"] + (named or "  no label"))
    if json_:
        print_json(results)
    return int(any("error" in result for result in results))
