"""Markers follow from what a test reaches."""

import subprocess

import pytest
from hubs import Hub
from marks import marks, reached
from processes import start
from wheels import command


def _starts() -> None:
    start("--help")


def _installs() -> None:
    def inner() -> None:
        command("true", folder=None)

    inner()


def _asks(hub: Hub) -> None:
    hub.python("result = 1")


def _listens(hub: Hub) -> None:
    hub.ask("GET", "/")


def test_processes_are_found_through_helpers():
    assert "subprocess" in reached(_starts)
    assert {"subprocess", "wheels"} <= reached(_installs)
    assert "subprocess" in reached(_asks) and "subprocess" not in reached(_listens)


def test_markers_are_on_this_files_tests(request: pytest.FixtureRequest):
    on = {item.name: marks(item) for item in request.session.items if item.path == request.path}
    assert on["test_nothing_is_started"] == set()
    assert on["test_one_is_started"] == {"process"}
    assert on["test_a_hub_is_asked"] == {"hub"}


def test_nothing_is_started(request: pytest.FixtureRequest):
    assert not list(request.node.iter_markers())


def test_one_is_started(request: pytest.FixtureRequest):
    assert subprocess.run(["true"]).returncode == 0
    assert [mark.name for mark in request.node.iter_markers()] == ["process"]


def test_a_hub_is_asked(hub_server: Hub, request: pytest.FixtureRequest):
    assert hub_server.ask("GET", "/api/whoami-v2")[0] == 200
    assert [mark.name for mark in request.node.iter_markers()] == ["hub"]
