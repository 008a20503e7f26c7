"""tools/docstrings.py counts what it says it counts, and the zoo's own docstrings reach the mark."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "docstrings.py"
GOOD = '''
def shaped(x: Tensor) -> Tensor:
    """Images (B, C, H, W) to logits (B, K)."""

def bare(x): ...

def _private(x: Tensor): ...

def open_it(path):
    """Open it. Raises OSError."""
    raise OSError

class Kept:
    """Logits (N, K)."""
    logits: Tensor

    def forward(self, x: np.ndarray):
        """One number of any shape."""
        def inner():
            raise ValueError
        return inner
'''
BAD = '''
class Loose:
    """Some numbers (as they come)."""
    values: "np.ndarray"

    @property
    def first(self) -> "torch.Tensor":
        """The first."""
        if not self.values:
            raise ValueError("none")
        raise
'''


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, TOOL, folder], capture_output=True, text=True)


def test_what_is_stated_counts(tmp_path):
    (tmp_path / "good.py").write_text(GOOD)
    done = run(tmp_path)
    assert (done.returncode, done.stdout) == (0, "shapes: 3 of 3 (100%)\nerrors: 1 of 1 (100%)\n")


def test_what_is_left_out_is_named_by_place(tmp_path):
    (tmp_path / "bad.py").write_text(BAD)
    (tmp_path / "_hidden.py").write_text(BAD)
    done = run(tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"{tmp_path}/bad.py:2: Loose: no shapes",
        f"{tmp_path}/bad.py:7: Loose.first: no shapes",
        "shapes: 0 of 2 (0%)",
        f"{tmp_path}/bad.py:7: Loose.first: no errors",
        "errors: 0 of 1 (0%)",
    ]


def test_the_zoos_own_docstrings_reach_the_mark():
    done = run(ROOT / "zoo")
    assert done.returncode == 0, done.stdout
