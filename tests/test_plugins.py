import pytest

from zoo.errors import PluginError, UnknownName
from zoo.plugins import KINDS, OWN, Plugin, find, find_backbone, installed

HEAD = "def head(features, num_classes): ...\n"


def names(kind: str) -> list[str]:
    return [p.full_name for p in installed(kind)]


def test_the_zoos_own_parts_come_through_the_same_door():
    own = {kind: [p.name for p in installed(kind) if p.owner == OWN] for kind in KINDS}
    assert own == {
        "backbone": [],
        "head": ["linear", "mlp"],
        "schedule": ["first-k", "gradual", "linear-probe", "none", "two-stage"],
        "recipe": ["shipped"],
    }
    assert find("schedule", "none") == Plugin(
        "schedule", "none", OWN, installed("schedule")[0].version, "zoo.schedules:none"
    )


def test_listing_imports_nothing(install):
    install("zoo-loud", version="2.1", heads={"loud": "zoo_loud:head"}, files={"zoo_loud.py": "raise SystemExit('no')"})
    assert names("head") == ["timm-zoo:linear", "zoo-loud:loud", "timm-zoo:mlp"]
    assert find("head", "loud") == Plugin("head", "loud", "zoo-loud", "2.1", "zoo_loud:head")


def test_a_part_is_loaded(install):
    install("zoo-x", heads={"x": "zoo_x:head"}, files={"zoo_x.py": HEAD})
    assert find("head", "x").load().__module__ == "zoo_x"


@pytest.mark.parametrize(
    ("target", "source", "reason"),
    [
        ("zoo_x:head", "raise ValueError('one\\ntwo')", "ValueError: one"),
        ("zoo_x:head", "import sys\nsys.exit(3)", "SystemExit: 3"),
        ("zoo_x:head", "class Odd(BaseException): ...\nraise Odd('x')", "Odd: x"),
        ("zoo_x:head", "import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("zoo_x:head", "def head(:", "SyntaxError: invalid syntax (zoo_x.py, line 1)"),
        ("zoo_x:haed", HEAD, "AttributeError: module 'zoo_x' has no attribute 'haed'"),
        ("zoo_y:head", HEAD, "ModuleNotFoundError: No module named 'zoo_y'"),
        ("zoo_x:head", "import warnings\nwarnings.warn('old')", "UserWarning: old"),
    ],
)  # fmt: skip
def test_a_part_that_cannot_be_imported(install, target, source, reason):
    install("zoo-x", heads={"x": target}, files={"zoo_x.py": source})
    with pytest.raises(PluginError) as caught:
        find("head", "x").load()
    assert str(caught.value) == (
        f"head 'x' of zoo-x 1.0 cannot be imported ({target}): {reason}. Mend it or leave it out: pip uninstall zoo-x"
    )
    assert find("head", "linear").owner == OWN  # nobody else is bothered


def test_ctrl_c_during_an_import_is_no_plugins_fault(install):
    install("zoo-x", heads={"x": "zoo_x:head"}, files={"zoo_x.py": "raise KeyboardInterrupt"})
    with pytest.raises(KeyboardInterrupt):
        find("head", "x").load()


def test_a_part_that_cannot_be_called(install):
    install("zoo-x", heads={"x": "zoo_x:head"}, files={"zoo_x.py": "head = {'a': 1}"})
    with pytest.raises(PluginError) as caught:
        find("head", "x").load()
    assert str(caught.value) == (
        "head 'x' of zoo-x 1.0: zoo_x:head is a dict, but the contract asks for something that can be called"
    )


@pytest.fixture
def clash(install):
    install("zoo-a", heads={"x": "zoo_a:head"}, backbones={"cat": "zoo_a:head", "resnet18": "zoo_a:head"})
    install("zoo-b", version="0.2", heads={"x": "zoo_b:head"}, backbones={"cat": "zoo_b:head"})


@pytest.mark.parametrize(
    ("kind", "search", "name", "message"),
    [
        ("head", find, "x", "head 'x' is registered by zoo-a 1.0 and zoo-b 0.2. Say which: zoo-a:x, zoo-b:x"),
        (
            "backbone",
            lambda kind, name: find_backbone(name),
            "cat",
            "backbone 'cat' is registered by zoo-a 1.0 and zoo-b 0.2. Say which: zoo-a:cat, zoo-b:cat",
        ),
        (
            "backbone",
            lambda kind, name: find_backbone(name),
            "resnet18",
            "backbone 'resnet18' is registered by zoo-a 1.0 and by timm. Say which: zoo-a:resnet18, timm:resnet18",
        ),
    ],
)
def test_a_clash_names_all_owners(clash, kind, search, name, message):
    with pytest.raises(PluginError) as caught:
        search(kind, name)
    assert str(caught.value) == message


def test_an_owner_settles_a_clash(clash):
    assert find("head", "zoo-b:x").target == "zoo_b:head"
    assert find_backbone("zoo-a:cat").target == "zoo_a:head"
    assert find_backbone("zoo-a:resnet18").owner == "zoo-a"
    assert find_backbone("timm:resnet18") is None


def test_two_entry_points_that_say_the_same_are_one(install):
    install("zoo-a", heads={"x": "zoo_a:head"})
    install("zoo-a", heads={"x": "zoo_a:head"}, version="0.9")  # an older copy on the same path
    assert [name for name in names("head") if name.startswith("zoo-a")] == ["zoo-a:x"]


def test_a_half_removed_distribution_is_passed_over(install):
    (install("zoo-gone", heads={"gone": "zoo_gone:head"}) / "zoo_gone-1.0.dist-info/METADATA").unlink()
    assert names("head") == ["timm-zoo:linear", "timm-zoo:mlp"]


@pytest.mark.parametrize("spelled", ["Zoo.Odd_Name", "zoo-odd-name", "ZOO__odd.name"])
def test_owners_are_spelled_one_way(install, spelled):
    install(spelled, heads={"odd": "zoo_odd:head"})
    assert find("head", "zoo-odd-name:odd").owner == "zoo-odd-name"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, ["zoo-a:a", "zoo-b:b", "timm-zoo:linear", "timm-zoo:mlp"]),
        ("", ["timm-zoo:linear", "timm-zoo:mlp"]),
        ("zoo-b", ["zoo-b:b", "timm-zoo:linear", "timm-zoo:mlp"]),
        (" ZOO_A , zoo.b", ["zoo-a:a", "zoo-b:b", "timm-zoo:linear", "timm-zoo:mlp"]),
        ("nobody", ["timm-zoo:linear", "timm-zoo:mlp"]),
    ],
)
def test_zoo_plugins_narrows_the_set(install, monkeypatch, wanted, found):
    if wanted is not None:
        monkeypatch.setenv("ZOO_PLUGINS", wanted)
    install("zoo-a", heads={"a": "zoo_a:head"})
    install("zoo-b", heads={"b": "zoo_b:head"})
    assert names("head") == found


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("head", "liner", "unknown head 'liner'. Did you mean 'linear'? See them all: zoo list heads"),
        ("head", "nobody:linear", "unknown head 'nobody:linear'. Did you mean 'linear'? See them all: zoo list heads"),
        ("head", "", "unknown head ''. There are: linear, mlp. See them all: zoo list heads"),
        (
            "schedule",
            "two_stage",
            "unknown schedule 'two_stage'. Did you mean 'two-stage'? See them all: zoo list schedules",
        ),
    ],
)
def test_an_unknown_part(kind, name, message):
    with pytest.raises(UnknownName) as caught:
        find(kind, name)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet18.a1_in1k", "timm:resnet18", "local-dir:/some/where", "hf-hub:user/repo"]
)
def test_what_is_timms_needs_no_plugin(name):
    assert find_backbone(name) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cta", "Did you mean 'cat'? See them all: zoo list backbones"),
        ("timm:cat", "Did you mean 'cat'? See them all: zoo list backbones"),  # a plugin's, not timm's
        ("nobody:cat", "Did you mean 'cat'? See them all: zoo list backbones"),
        ("resent50", "Did you mean 'resnet50'? See them all: zoo list backbones"),
        ("quite-another-thing", "See them all: zoo list backbones"),
    ],
)
def test_an_unknown_backbone(install, name, message):
    install("zoo-a", backbones={"cat": "zoo_a:cat"})
    with pytest.raises(UnknownName) as caught:
        find_backbone(name)
    assert str(caught.value) == f"unknown backbone '{name}'. {message}"
