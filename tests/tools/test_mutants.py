"""The list of faults fits the code, and a fault that no test sees is told."""

from dataclasses import replace

import pytest
from mutants.__main__ import main
from mutants.faults import ROOT, read_faults
from mutants.trial import is_noticed

FAULTS = read_faults()


def test_there_are_enough_and_each_has_its_own_name():
    assert len(FAULTS) >= 30
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_stands_once_in_its_file_and_its_tests_are_there(fault):
    assert (ROOT / fault.file).read_text().count(fault.old) == 1
    assert fault.old != fault.new
    assert fault.tests and all((ROOT / test).is_file() for test in fault.tests)


def test_a_fault_is_noticed_by_its_tests_and_by_no_others(tmp_path):
    fault = next(fault for fault in FAULTS if fault.file == "zoo/data/split.py")
    assert is_noticed(fault, tmp_path)
    assert not is_noticed(replace(fault, tests=("tests/data/test_rng.py",)), tmp_path)


def test_a_text_that_is_gone_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"stands 0 times in zoo/data/split\.py"):
        is_noticed(replace(FAULTS[0], file="zoo/data/split.py", old="gone"), tmp_path)


def test_wrong_words_are_told(capsys):
    assert main(["no-such-fault"]) == 2
    assert "no fault has no-such-fault in its name or file" in capsys.readouterr().err
