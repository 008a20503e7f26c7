"""Do two commits train the same? Twelve tiny runs in each, compared tensor by tensor.

python tools/compare_commits.py BEFORE                    BEFORE against the files of this checkout
python tools/compare_commits.py BEFORE AFTER              two commits
python tools/compare_commits.py BEFORE --runs mixup,ema   some of the runs

Weights are compared by names and bytes, a fixed list of metrics to the sixth decimal, and the recipes. Names that changed
between versions stand in compare/renamed.py, the runs in compare/runs.py. Each difference is a line. Recipe keys that only
AFTER has are listed, but are no difference. Exit code 0: all is equal; 1: something differs, or a run failed; 2: usage.

Each commit is checked out in a temporary worktree and runs with the packages of the Python that runs this script: they
have to be there for both. Both train at the same time, on one thread each.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from compare.differences import Difference, compare_runs, new_keys
from compare.runs import RUNS
from compare.training import kill_step, train
from compare.trees import ROOT, Tree, checkout


def main() -> int:
    options = arguments()
    began = time.monotonic()
    with workdir(options.keep) as folder, ExitStack() as held:
        try:
            before = held.enter_context(tree(options.before, folder / "before"))
            after = held.enter_context(tree(options.after, folder / "after"))
        except ValueError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        equal = compare(before, after, options.runs, kill_step(options.seed))
    print(f"{equal} of {len(options.runs)} runs are equal ({time.monotonic() - began:.0f} s)")
    return 0 if equal == len(options.runs) else 1


def compare(before: Tree, after: Tree, names: list[str], kill_at: int) -> int:
    """Train the named runs in both trees and print what differs; the number of runs that are equal."""
    if any(RUNS[name].killed for name in names):
        print(f"runs are killed at step {kill_at}", flush=True)
    with ThreadPoolExecutor() as pool:
        failed = dict(
            zip((before, after), pool.map(lambda side: train(side, names, kill_at), (before, after)), strict=True)
        )
    found = {name: differences(name, before, after, failed) for name in names}
    for name, different in found.items():
        print_run(name, different)
    print_new_keys(before, after, [name for name in names if not failed[before][name] and not failed[after][name]])
    return sum(not different for different in found.values())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", metavar="BEFORE", help="the older commit, by any name that git knows")
    parser.add_argument(
        "after", metavar="AFTER", nargs="?", help="the newer commit; the files of this checkout unless said"
    )
    parser.add_argument("--runs", type=run_names, default=list(RUNS), help=f"some of {','.join(RUNS)}")
    parser.add_argument("--seed", type=int, default=0, help="draws the step after which a run is killed (default 0)")
    parser.add_argument(
        "--keep", type=new_folder, metavar="FOLDER", help="a new folder that keeps run folders and logs"
    )
    return parser.parse_args()


def run_names(text: str) -> list[str]:
    """The names in `a,b`. Raises ArgumentTypeError for one that no run has."""
    names = text.split(",")
    if unknown := [name for name in names if name not in RUNS]:
        raise argparse.ArgumentTypeError(f"unknown run '{unknown[0]}'. There are {', '.join(RUNS)}")
    return names


def new_folder(text: str) -> Path:
    """A path at which nothing is. Raises ArgumentTypeError."""
    if Path(text).exists():
        raise argparse.ArgumentTypeError(f"'{text}' exists. Name a new folder")
    return Path(text)


@contextmanager
def workdir(keep: Path | None) -> Iterator[Path]:
    """The new folder `keep`, or a temporary one for None."""
    if keep is not None:
        keep.mkdir(parents=True)
        yield keep.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="zoo-compare-") as folder:
        yield Path(folder)


@contextmanager
def tree(commit: str | None, work: Path) -> Iterator[Tree]:
    """A commit, or this checkout for None, ready to run; it writes into `work`. Raises ValueError for an unknown commit."""
    work.mkdir()
    if commit is None:
        yield Tree(ROOT, work)
        return
    with checkout(commit, work) as files:
        yield Tree(files, work)


def differences(name: str, before: Tree, after: Tree, failed: dict[Tree, dict[str, str]]) -> list[Difference]:
    """What differs in one run; a run that failed differs as a whole."""
    if failed[before][name] or failed[after][name]:
        return [Difference("run", name, *(failed[side][name] or "trained" for side in (before, after)))]
    return compare_runs(before.work / name, after.work / name)


def print_run(name: str, found: list[Difference]) -> None:
    """One run: a line for each difference, or that there is none."""
    print(f"{name:<16}{f'{len(found)} differences' if found else 'equal'}")
    for one in found:
        print(f"    {one.what:<8} {one.name}: {one.before} -> {one.after}")


def print_new_keys(before: Tree, after: Tree, names: list[str]) -> None:
    """Recipe keys that only the newer tree has, with their values."""
    keys = {}
    for name in names:
        keys |= new_keys(before.work / name, after.work / name)
    for key, value in sorted(keys.items()):
        print(f"new recipe key  {key}: {value!r}")


if __name__ == "__main__":
    sys.exit(main())
