"""The command line: a group that imports a verb only when it is called, and one place where errors become lines."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from zoo.errors import ZooError, did_you_mean

VERBS = {
    "finetune": "Train a recipe into a run folder.",
    "pretrain": "Train a backbone on images without labels.",
    "resume": "Go on with an interrupted run, bit for bit.",
    "probe": "Compare heads and settings on a frozen backbone, in seconds.",
    "evaluate": "Measure a run or a model on a test split.",
    "predict": "Classify pictures with a run or a model.",
    "push": "Publish a run or a model on the Hugging Face Hub.",
    "pull": "Fetch a model from the Hub, checked.",
    "reproduce": "Run a published recipe again and compare.",
    "list": "List backbones, heads, schedules, recipes and other parts.",
    "show": "Explain a recipe, a head, a schedule or a backbone.",
    "copy": "Copy a recipe to a file of your own.",
    "check": "Find every fault of a recipe at once.",
    "plugins": "List installed plugins and their state.",
    "plugin": "Make or check a plugin.",
    "cache": "Show or clear the features kept of frozen backbones.",
    "guide": "Read the guide, a page a subject.",
    "doctor": "Say what this installation has and what it lacks.",
    "completion": "Print the shell completion script.",
}


class Verbs(click.Group):
    """Knows the verbs' names and one-line helps; imports `zoo.cli.<verb>_` when a verb is called."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        return import_module(f"zoo.cli.{name}_").command

    def resolve_command(self, context: click.Context, args: list[str]):
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            raise click.UsageError(f"unknown command '{args[0]}'.{did_you_mean(args[0], VERBS)}", context)
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.version_option(package_name="timm-zoo", prog_name="zoo")
def cli() -> None:
    """Fine-tune image classifiers: recipes of backbones, heads and freezing schedules on top of timm.

    Start with: zoo finetune --recipe quickstart
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; every failure is one line on stderr. Exit code 2 for usage, 1 for the rest."""
    debug = os.environ.get("ZOO_DEBUG") == "1"
    if hasattr(sys.stdout, "reconfigure"):  # a file's name need not be UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        os.getcwd()
    except FileNotFoundError:  # arithmetic libraries would end the process where they cannot find themselves
        return _fail("the folder you are in does not exist any more. Go to another one first: cd ~", 1)
    try:
        code = cli.main(arguments, prog_name="zoo", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except ZooError as error:
        if debug:
            raise
        return _fail(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        place = _place(error, sys.argv[1:] if arguments is None else arguments)
        message = " ".join(error.format_message().split())
        return _fail(f"{message}{'' if message.endswith(('.', '?')) else '.'} See {place} --help", error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            raise
        text = next(iter(str(error).splitlines()), "")
        return _fail(f"unexpected {type(error).__name__}: {text}. ZOO_DEBUG=1 shows where", 1)


def _place(error: click.ClickException, arguments: Sequence[str]) -> str:
    """The command whose help explains an error; click does not always know it."""
    context, verb = getattr(error, "ctx", None), next(iter(arguments), "")
    if context and context.parent:
        return context.command_path
    return f"zoo {verb}" if verb in VERBS else "zoo"


def _fail(message: str, code: int) -> int:
    for line in message.splitlines():
        click.echo(f"error: {line}", err=True)
    return code
