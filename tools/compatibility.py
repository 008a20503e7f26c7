"""Walks all of timm: does every architecture build with every head, group, plan under every schedule, and freeze?

python tools/compatibility.py --forward --write        the whole walk; writes tools/compatibility.csv and .md
python tools/compatibility.py --forward --write --rest   the same for what the table lacks or cannot explain
python tools/compatibility.py 'vit_*' --sample 20      a look at some, printed as CSV

What is checked stands in compatibility_checks.py. `--forward` also runs the smallest architecture of each family with
real numbers.
"""

import csv
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from fnmatch import fnmatch
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
from compatibility_checks import OK, TRIED, Row, columns, examine, run_for_real
from rich.console import Console
from rich.progress import track

from zoo.timm_index import timm_models

TABLE = Path(__file__).with_suffix(".csv")
SUMMARY = Path(__file__).with_suffix(".md")
SAVED_EVERY = 50
REASONS: dict[str, str] = {
    r"normalisation layers below the head, of which this model has none": (
        "These networks are built without normalisation layers, so a schedule that trains those alone has nothing to train."
    ),
    r"biases below the head, of which this model has none": (
        "These networks are built without biases, so a schedule that trains those alone has nothing to train."
    ),
    r"met in the order stem, stage1, stage4, stage2, stage3, head$": (
        "EfficientViM has a norm and a classifier after every stage; the norms make up the last group below the head, "
        "as timm has it, though a pass meets the first of them early."
    ),
    r"met in the order stem, stage13, stage1, stage2, .*, stage12, head$": (
        "One table of relative positions is shared by all blocks; timm has it in the last group below the head, though the "
        "first block reads it."
    ),
}
"""What a message looks like -> why that combination does not work, in one sentence."""


def walk(
    names: list[str], jobs: int, real: bool, known: dict[str, Row], save: Callable[[list[Row]], None]
) -> list[Row]:
    """A row for every architecture, in order, drawn on stderr while it goes. known: rows that stand already."""
    rows = dict(known)
    for row in _mapped(examine, [name for name in names if name not in known], jobs, "architectures"):
        rows[row["architecture"]] = row
        if len(rows) % SAVED_EVERY == 0:
            save([rows[name] for name in names if name in rows])
    if real:
        smallest = [row for row in smallest_of_family(rows.values()) if row["forward"] != OK]
        cells = _mapped(run_for_real, [row["architecture"] for row in smallest], jobs, "for real")
        for row, cell in zip(smallest, cells, strict=True):
            row["forward"] = cell
    return [rows[name] for name in names]


def _mapped(function: Callable, names: list[str], jobs: int, label: str) -> Iterator[Any]:
    """`function` of every name, in order, over `jobs` processes."""
    screen = Console(stderr=True)
    if jobs == 1:
        yield from track(map(function, names), label, len(names), console=screen)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        yield from track(pool.map(function, names), label, len(names), console=screen)


def smallest_of_family(rows: Iterable[Row]) -> list[Row]:
    """The row with the fewest parameters of each family, where anything could be built."""
    best: dict[str, Row] = {}
    for row in rows:
        known = best.get(row["family"])
        if row["parameters"] and (known is None or int(row["parameters"]) < int(known["parameters"])):
            best[row["family"]] = row
    return list(best.values())


def exceptions(rows: Iterable[Row]) -> Iterator[tuple[Row, str, str]]:
    """(row, column, message) of every cell that does not say `ok`; a note counts where nothing could be tried."""
    for row in rows:
        for column, cell in row.items():
            if column.startswith((*TRIED, "forward")) and cell not in (OK, ""):
                yield row, column, cell
        if not row["grouping"] and row["note"]:
            yield row, "note", row["note"]


def reason(text: str) -> str:
    """Why a message is right, '' for one that nobody has explained."""
    return next((why for pattern, why in REASONS.items() if re.search(pattern, text)), "")


def summary(rows: list[Row]) -> str:
    """The walk in words: versions, a line for each family, every exception with its reason, what is particular."""
    tried = [c for c in rows[0] if c.startswith(("head ", "schedule "))]
    bad = list(exceptions(rows))
    versions = ", ".join(f"{name} {version(name)}" for name in ("timm", "torch", "timm-zoo"))
    count = {kind: sum(c.startswith(kind) for c in tried) for kind in ("head ", "schedule ")}
    lines = [
        "# What works with what",
        "",
        f"Every architecture of timm with every head and every freezing schedule. Written by "
        f"`python tools/compatibility.py --forward --write` ({versions}); `compatibility.csv` has a line for each.",
        "",
        f"{len(rows):,} architectures x {count['head ']} heads x {count['schedule ']} schedules = "
        f"{len(rows) * count['head '] * count['schedule ']:,} combinations. "
        f"{len({r['architecture'] for r, _, _ in bad})} architectures have an exception, listed below.",
        "",
        "heads: a Classifier builds and gives (1, K) logits. groups: every parameter is in exactly one, in the order in "
        "which a pass meets them. schedules: each plans. freezing: in every phase of every schedule only what should has "
        "gradients, and what is frozen is in eval mode, batch norm included. for real: the family's smallest, with numbers.",
        "",
        *_family_lines(rows),
        "",
        "## Exceptions",
        "",
        *(_exception_lines(bad) or ["None."]),
        "",
        "## What is particular",
        "",
        *_note_lines(rows),
    ]
    return "\n".join(lines) + "\n"


def _family_lines(rows: list[Row]) -> Iterator[str]:
    heads_, schedules_ = ([c for c in rows[0] if c.startswith(kind)] for kind in ("head ", "schedule "))
    short = [c.removeprefix("head ") for c in heads_]
    yield f"| family | architectures | {' | '.join(short)} | groups | schedules | freezing | for real |"
    yield "|" + "---|" * (len(short) + 6)
    members = defaultdict(list)
    for row in rows:
        members[row["family"]].append(row)
    for name, family_rows in sorted(members.items()):
        parts = [[c] for c in heads_] + [["grouping"], schedules_, ["freezing"]]
        cells = [sum(all(r[c] == OK for c in part) for r in family_rows) for part in parts]
        total = len(family_rows)
        real = next(
            (
                f"`{r['architecture']}` {'works' if r['forward'] == OK else 'fails'}"
                for r in family_rows
                if r["forward"]
            ),
            "",
        )
        yield f"| {name} | {total} | {' | '.join('all' if n == total else f'{n} of {total}' for n in cells)} | {real} |"


def _exception_lines(bad: list[tuple[Row, str, str]]) -> list[str]:
    lines = []
    by_reason = defaultdict(lambda: defaultdict(list))
    for row, column, text in bad:
        by_reason[reason(text) or "Not explained yet."][row["architecture"], text].append(column)
    for why, cases in sorted(by_reason.items()):
        lines += [f"**{why}**", "", "| architecture | where | message |", "|---|---|---|"]
        lines += [
            f"| `{name}` | {', '.join(where)} | {text.replace('|', chr(92) + '|')} |"
            for (name, text), where in cases.items()
        ]
        lines += [""]
    return lines


def _note_lines(rows: list[Row]) -> Iterator[str]:
    named = defaultdict(list)
    for row in rows:
        for note in filter(None, row["note"].split("; ")):
            named[note].append(row["architecture"])
    for note, names in sorted(named.items()):
        yield f"- {note} ({len(names)}): {', '.join(f'`{name}`' for name in names)}"


def write_rows(rows: list[Row], file: Any) -> None:
    writer = csv.DictWriter(file, columns(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def write_table(rows: list[Row]) -> None:
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        write_rows(rows, file)


def read_rows() -> list[Row]:
    """The table as it was last written."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def standing() -> dict[str, Row]:
    """The rows of the table without an unexplained exception, where it has today's columns."""
    rows = read_rows() if TABLE.is_file() else []
    failed = {row["architecture"] for row, _, text in exceptions(rows) if not reason(text)}
    return {r["architecture"]: r for r in rows if list(r) == columns() and r["architecture"] not in failed}


@click.command()
@click.argument("pattern", default="*")
@click.option("--sample", metavar="N", type=click.IntRange(1), help="Only N of them, evenly spread.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option("--forward", is_flag=True, help="Run the smallest of each family for real.")
@click.option("--write", is_flag=True, help="Write the table; only for the whole walk.")
@click.option("--rest", is_flag=True, help="With --write: keep the table's explained rows, walk the rest.")
def main(pattern: str, sample: int | None, jobs: int, forward: bool, write: bool, rest: bool) -> None:
    """Walk timm's architectures (those that match PATTERN); exit code 1 where an exception has no reason."""
    names = [name for name in timm_models() if fnmatch(name, pattern)]
    if not names:
        raise click.UsageError(f"no architecture of timm matches '{pattern}'")
    if sample:
        names = [names[i * len(names) // min(sample, len(names))] for i in range(min(sample, len(names)))]
    if write and len(names) < len(timm_models()):
        raise click.UsageError("--write is for the whole walk: leave PATTERN and --sample out")
    if rest and not write:
        raise click.UsageError("--rest goes on with the table: give --write, too")
    rows = walk(names, jobs, forward, standing() if rest else {}, write_table if write else lambda _: None)
    if write:
        write_table(rows)
        SUMMARY.write_text(summary(rows), encoding="utf-8")
    else:
        write_rows(rows, sys.stdout)
    unexplained = [case for case in exceptions(rows) if not reason(case[2])]
    for row, column, text in unexplained:
        click.echo(f"{row['architecture']}: {column}: {text}", err=True)
    click.echo(f"{len(rows):,} architectures, {len(unexplained)} exceptions without a reason", err=True)
    sys.exit(bool(unexplained))


if __name__ == "__main__":
    main()
