"""What tests share: one thread, a cache folder of their own, and real distributions that carry plugins."""

import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hubs import ANN, Hub, serving
from marks import marks

from zoo import plugins

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: sums depend on the number of threads
os.environ.setdefault("ZOO_TEST_SEED", str(time.time_ns() % 10**6))  # workers inherit it
if "torch" in sys.modules:
    sys.modules["torch"].set_num_threads(1)

LONGEST = (
    "quickstart",
    "launch",
    "resume",
    "compile",
    "journey",
    "bench",
    "push",
    "transfer",
    "hub",
    "feature_plan",
    "fsdp",
)
"""Files of tests that take longest, by name: they come first, so that the last worker does not end alone with one."""


def pytest_report_header() -> str:
    return f"steps to kill at are drawn by ZOO_TEST_SEED={os.environ['ZOO_TEST_SEED']}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    names = [f"test_{name}" for name in LONGEST]
    items.sort(key=lambda item: names.index(item.path.stem) if item.path.stem in names else len(names))
    for item in items:
        for mark in marks(item):
            item.add_marker(mark)


@pytest.fixture(scope="session")
def cifar10() -> Path:
    """CIFAR-10 as parquet files, where a copy lies beside the checkout or `ZOO_CIFAR10` names one."""
    folder = Path(os.environ.get("ZOO_CIFAR10") or Path(__file__).parents[2] / "shared" / "data" / "cifar10")
    if not folder.is_dir():
        pytest.skip(f"needs a copy of CIFAR-10 in {folder}")
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is written to, or read from, the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def fresh_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test sees all that is installed, and leaves no plugin behind."""
    monkeypatch.delenv("ZOO_PLUGINS", raising=False)
    plugins.installed.cache_clear()
    yield
    plugins.installed.cache_clear()


@pytest.fixture(scope="module")
def hub_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A Hub of the module's own, for clients in processes of their own."""
    base = tmp_path_factory.mktemp("hub")
    with serving(base / "served", base / "home") as hub:
        yield hub


@pytest.fixture
def hub(hub_server: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The same for clients in this process, with a token that may write; injected faults end with the test."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", hub_server.url)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(hub_server.home / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    for name, value in {"HF_TOKEN": ANN, "NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}.items():
        monkeypatch.setenv(name, value)
    yield hub_server
    hub_server.faults.clear()


@pytest.fixture(autouse=True)
def online_again() -> Iterator[None]:
    """A test that made its process give the Hub up leaves that to no other."""
    before = os.environ.get("HF_HUB_OFFLINE")
    yield
    if os.environ.get("HF_HUB_OFFLINE") != before:
        os.environ.pop("HF_HUB_OFFLINE", None) if before is None else os.environ.update(HF_HUB_OFFLINE=before)
        if "huggingface_hub.constants" in sys.modules:
            sys.modules["huggingface_hub.constants"].HF_HUB_OFFLINE = bool(before)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One process on the CPU, whatever the tests before were."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "ZOO_PROCESSES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """`install("zoo-x", heads={"paw": "zoo_x:paw"}, files={"zoo_x.py": "..."})` installs a distribution; its folder."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def put(name: str, *, files: Mapping[str, str | bytes] | None = None, version: str = "1.0", **parts: dict) -> Path:
        for path, content in (files or {}).items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_bytes(content.encode() if isinstance(content, str) else content)
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        groups = (
            f"[zoo.{kind}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for kind, points in parts.items()
        )
        (info / "entry_points.txt").write_text("\n".join(groups))
        importlib.invalidate_caches()
        plugins.installed.cache_clear()
        return site

    yield put
    for module in [m for m, it in sys.modules.items() if str(getattr(it, "__file__", None)).startswith(str(site))]:
        del sys.modules[module]
