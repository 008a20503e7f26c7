"""`python -m mutants [WORD ...]`: try all faults, or those with a word in their name or file; exit 1 where one goes unnoticed."""

import argparse
import sys
import tempfile
from pathlib import Path

from mutants.faults import Fault, read_faults
from mutants.trial import copy_checkout, is_noticed, run_tests


def main(arguments: list[str]) -> int:
    """Try the chosen faults and print a line for each. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only faults with one of these in their name or file")
    parser.add_argument("--list", action="store_true", help="print the faults and try none")
    given = parser.parse_args(arguments)
    chosen = [fault for fault in read_faults() if _is_chosen(fault, given.words)]
    if not chosen:
        print(f"error: no fault has {' or '.join(given.words)} in its name or file. See --list", file=sys.stderr)
        return 2
    if given.list:
        print(*(f"{fault.file}: {fault.name}" for fault in chosen), sep="\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return _try_all(chosen, Path(folder))


def _is_chosen(fault: Fault, words: list[str]) -> bool:
    return not words or any(word.lower() in f"{fault.name} {fault.file}".lower() for word in words)


def _try_all(faults: list[Fault], folder: Path) -> int:
    root = copy_checkout(folder / "whole")
    code, said = run_tests(root, sorted({test for fault in faults for test in fault.tests}))
    if code != 0:
        print(f"error: the tests fail without any fault, so they say nothing about faults\n{said}", file=sys.stderr)
        return 1
    unnoticed = 0
    for fault in faults:
        noticed = is_noticed(fault, folder)
        unnoticed += not noticed
        print(f"{'noticed  ' if noticed else 'UNNOTICED'}  {fault.file}: {fault.name}", flush=True)
    print(f"{len(faults) - unnoticed} of {len(faults)} faults are noticed")
    return int(unnoticed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
