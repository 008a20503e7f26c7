"""What tests of wheels share: the checkout, commands in a clean environment, and a copy of a project's tracked files."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def command(*words: object, folder: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "ZOO_"))}
    environment |= {"HOME": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        list(map(str, words)), cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def copied(project: Path, folder: Path) -> Path:
    """The project's tracked files, so that nothing else can reach the wheel."""
    target = folder / "source" / project.name
    target.mkdir(parents=True)
    listed = subprocess.run(
        ["git", "-C", project, "ls-files", "-co", "--exclude-standard", "."], capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        if (project / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes((project / name).read_bytes())
    return target
