"""Single-line faults that the tests must notice: `python -m mutants` from `tools/`, by hand or at night.

Each fault of `faults.toml` is put into a copy of the package, one at a time, and the test files named beside it are run
against that copy: at least one of them must fail. Before, the same files must pass without the fault.

faults   what is changed, where, and which tests must fail
trial    one fault in a copy of the package
"""
