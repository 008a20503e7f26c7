"""Contract range, licence and sources of an installed part, all read without running it."""

import pytest
from verdict import failed, verdict

PLAN = """
from zoo.contracts import Phase

def plan(groups: tuple[str, ...], epochs: int):
    '''Everything.'''
    return (Phase(epochs, groups),)
"""


@pytest.fixture
def plans(install):
    """plans(source, metadata) installs a package with one schedule."""

    def put(source: str = PLAN, metadata: str = "License-Expression: MIT\n", package: str = "") -> None:
        files = {"zoo_plans/__init__.py": package, "zoo_plans/plan.py": source}
        site = install("zoo-plans", schedules={"plan": "zoo_plans.plan:plan"}, files=files)
        with (site / "zoo_plans-1.0.dist-info" / "METADATA").open("a") as file:
            file.write(metadata)

    return put


@pytest.mark.parametrize(
    ("source", "package", "text"),
    [
        (PLAN, "", "zoo_plans.plan states none"),
        (f"ZOO_CONTRACT = '>=1,<2'\n{PLAN}", "", ""),
        (PLAN, "ZOO_CONTRACT = '>=1'", ""),
        (f"ZOO_CONTRACT = '>=2,<3'\n{PLAN}", "", "was written for version >=2,<3 of the plugin contract"),
        (f"ZOO_CONTRACT = 'one'\n{PLAN}", "", "which is not a range of versions"),
    ],
    ids=["none", "module", "package", "later", "nonsense"],
)
def test_the_range_of_contract_versions(plans, source, package, text):
    plans(source, package=package)
    found = failed("schedule", "plan")
    assert text in "".join(found.values()) if text else found == {}
    assert found.keys() <= {"contract range", "importing"}


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        ("License-Expression: Apache-2.0\n", True),
        ("License: BSD\n", True),
        ("Classifier: License :: OSI Approved :: MIT License\n", True),
        ("License: UNKNOWN\n", False),
        ("Classifier: Programming Language :: Python\n", False),
        ("", False),
    ],
)
def test_the_licence(plans, metadata, named):
    plans(f"ZOO_CONTRACT = '>=1'\n{PLAN}", metadata)
    expected = {} if named else {"licence": "zoo-plans names none"}
    assert failed("schedule", "plan") == expected


def test_pickles_are_found_in_the_whole_package(plans):
    plans(f"ZOO_CONTRACT = '>=1'\n{PLAN}", package="import pickle")
    assert "zoo_plans/__init__.py:1 imports pickle" in failed("schedule", "plan")["no pickles"]


def test_an_import_that_fails_is_the_only_thing_told(plans):
    plans("import no_such_module_anywhere")
    told = verdict("schedule", "plan")
    assert list(told["failed"]) == ["importing"] and told["ok"] == {}
    assert "it needs the module 'no_such_module_anywhere'" in told["failed"]["importing"][0]
