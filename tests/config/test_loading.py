import pytest

from zoo.config.loading import load_recipe, parse_recipe, read_recipe
from zoo.errors import RecipeError, UnknownName, UsageError

GOOD = """\
model:
  backbone: resnet18
data:
  source: x
"""
"""Line 5 is free for more."""
MLP = GOOD.replace("resnet18\n", "resnet18\n  head: {name: mlp, hidden: 8}\n")
TOP = "model, data, task, method, schedule, optim, train"


def faults(text: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, "my.yaml", overrides)
    return list(caught.value.faults)


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        # unknown keys
        ("foo: 1", f"my.yaml:5: foo: unknown key. There are: {TOP}."),
        ("epochs: 3", "my.yaml:5: epochs: unknown key. Did you mean 'train.epochs'?"),
        ("train: {lr: 3}", "my.yaml:5: train.lr: unknown key. Did you mean 'optim.lr'?"),
        ("trian: {epochs: 3}", "my.yaml:5: trian: unknown key. Did you mean 'train'?"),
        ("train: {epochs: 3,\n  epcohs: 4}", "my.yaml:6: train.epcohs: unknown key. Did you mean 'epochs'?"),
        ("optim: {qq: 3}", "my.yaml:5: optim.qq: unknown key. There are: name, lr, weight_decay, layer_decay, "
            "lr_schedule, warmup_epochs, clip_norm, options."),
        ("train: {qq: 3}", "my.yaml:5: train.qq: unknown key. See them all: zoo show --schema"),
        ("train: {early_stop: {patient: 3}}",
            "my.yaml:5: train.early_stop.patient: unknown key. Did you mean 'patience'?"),
        # wrong types
        ("train: {epochs: many}", "my.yaml:5: train.epochs: expected a valid integer, found 'many'"),
        ("train: {epochs: 1.5}", "my.yaml:5: train.epochs: expected a valid integer, found 1.5"),
        ("train: {epochs: true}", "my.yaml:5: train.epochs: expected a valid integer, found True"),
        ("train: {epochs: '3'}", "my.yaml:5: train.epochs: expected a valid integer, found '3'"),
        ("train: {cache_features: no}", "my.yaml:5: train.cache_features: expected a valid boolean, found 'no'"),
        ("train: {cache_features: 1}", "my.yaml:5: train.cache_features: expected a valid boolean, found 1"),
        ("optim: {name: 3}", "my.yaml:5: optim.name: expected a valid string, found 3"),
        ("optim: {lr: fast}", "my.yaml:5: optim.lr: expected a valid number, found 'fast'"),
        ("optim: {lr: null}", "my.yaml:5: optim.lr: expected a valid number, found None"),
        ("train: 3", "my.yaml:5: train: expected a mapping (key: value), found 3"),
        ("train:", "my.yaml:5: train: expected a mapping (key: value), found None"),
        ("train: [3]", "my.yaml:5: train: expected a mapping (key: value), found [3]"),
        ("optim: {options: [3]}", "my.yaml:5: optim.options: expected a mapping (key: value), found [3]"),
        ("schedule: 3", "my.yaml:5: schedule: expected a mapping (key: value), found 3"),
        ("schedule: {name: 3}", "my.yaml:5: schedule.name: expected a valid string, found 3"),
        ("schedule: {k: 3}", "my.yaml:5: schedule.name: missing, and it has no default. See zoo show --schema"),
        # out of range
        ("train: {epochs: 0}", "my.yaml:5: train.epochs: expected greater than or equal to 1, found 0"),
        ("train: {seed: 2147483648}", "my.yaml:5: train.seed: expected less than 2147483648, found 2147483648"),
        ("train: {ema: 1}", "my.yaml:5: train.ema: expected less than 1, found 1"),
        ("optim: {lr: 0}", "my.yaml:5: optim.lr: expected greater than 0, found 0"),
        ("optim: {lr: .inf}", "my.yaml:5: optim.lr: expected a finite number, found inf"),
        ("optim: {lr: 1e999}", "my.yaml:5: optim.lr: expected a finite number, found inf"),
        ("optim: {lr: .nan}", "my.yaml:5: optim.lr: expected a finite number, found nan"),
        # one of several
        ("optim: {lr_schedule: cosin}",
            "my.yaml:5: optim.lr_schedule: expected 'cosine', 'linear' or 'constant', found 'cosin'. "
            "Did you mean 'cosine'?"),
        ("train: {precision: int8}",
            "my.yaml:5: train.precision: expected 'auto', 'fp32', 'bf16' or 'fp16', found 'int8'"),
        ("train: {precision: 16}",
            "my.yaml:5: train.precision: expected 'auto', 'fp32', 'bf16' or 'fp16', found 16"),
        # names and options of parts
        ("schedule: gradul", "my.yaml:5: schedule.name: unknown schedule 'gradul'. Did you mean 'gradual'? "
            "See them all: zoo list schedules"),
        ("schedule:\n  name: first-k\n  kk: 3",
            "my.yaml:7: schedule.kk: unknown option of schedule 'first-k' (has: k). Did you mean 'k'?"),
        ("schedule: {name: two-stage, hed_epochs: 3}",
            "my.yaml:5: schedule.hed_epochs: unknown option of schedule 'two-stage' (has: head_epochs, head_lr_scale)."
            " Did you mean 'head_epochs'?"),
        ("schedule: {name: none, k: 3}", "my.yaml:5: schedule.k: unknown option of schedule 'none' (it has none)."),
        ("schedule: {name: first-k, k: 1.5}", "my.yaml:5: schedule.k: expected int, found 1.5"),
        ("schedule: {name: first-k, k: true}", "my.yaml:5: schedule.k: expected int, found True"),
        ("schedule: {name: two-stage, head_lr_scale: a}",
            "my.yaml:5: schedule.head_lr_scale: expected float, found 'a'"),
        ("schedule: {name: two-stage, epochs: 3}",  # what the zoo gives is no option
            "my.yaml:5: schedule.epochs: unknown option of schedule 'two-stage' (has: head_epochs, head_lr_scale)."
            " Did you mean 'head_epochs'?"),
        # YAML itself
        ("data: {}", "my.yaml:5: the key 'data' stands twice (first on line 3)"),
        ("train: *t", "my.yaml:5: aliases (*name) are not allowed in a recipe"),
        ("train: !!map {}", "my.yaml:5: tags are not allowed in a recipe, found '!!map'"),
        ("\ttrain: {}", "my.yaml:5: not YAML: found character '\\t' that cannot start any token"),
    ],
)  # fmt: skip
def test_one_fault(more, fault):
    assert faults(GOOD + more) == [fault]


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        ("backbone: 18", "model.backbone: expected a valid string, found 18"),
        ("head: mlp", "model.backbone: missing, and it has no default. See zoo show --schema"),
        ("backbone: resnet81",
            "model.backbone: unknown backbone 'resnet81'. Did you mean 'resnet18'? See them all: zoo list backbones"),
        ("backbone: timm:resnet81", "model.backbone: unknown backbone 'timm:resnet81'. Did you mean 'resnet18'? "
            "See them all: zoo list backbones"),
        ("backbone: nobody:resnet18", "model.backbone: unknown backbone 'nobody:resnet18'. Did you mean 'resnet18'? "
            "See them all: zoo list backbones"),
        ("backbone: x-y-z", "model.backbone: unknown backbone 'x-y-z'. See them all: zoo list backbones"),
        ("{backbone: resnet18, head: liner}",
            "model.head.name: unknown head 'liner'. Did you mean 'linear'? See them all: zoo list heads"),
        ("{backbone: resnet18, head: {name: mlp, hiden: 8}}",
            "model.head.hiden: unknown option of head 'mlp' (has: hidden, layers, dropout). Did you mean 'hidden'?"),
        ("{backbone: resnet18, pretrained: 3}",
            "model.pretrained: expected a valid boolean or a valid string, found 3"),
        ("{backbone: resnet18, in_chans: 2}", "model.in_chans: expected 1 or 3, found 2"),
    ],
)  # fmt: skip
def test_one_fault_of_the_model(model, fault):
    assert faults(f"model: {model if model[0] == '{' else '{' + model + '}'}\ndata: {{source: x}}") == [
        f"my.yaml:1: {fault}"
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [("", "nothing"), ("# only\n", "nothing"), ("- a\n", "a list"), ("hello", "a value"), ("no", "a value")],
)
def test_what_is_no_mapping_is_no_recipe(text, found):
    assert faults(text) == [f"my.yaml: a recipe is a mapping with the keys model and data, found {found}"]


def test_all_faults_at_once_in_the_files_order_of_sections():
    text = (
        "model:\n  backbone: resnet81\n  head: {name: mlp, hiden: 8}\n  in_chans: 2\nschedule: x\ntrain:\n  seed: -1\n"
    )
    assert faults(text, "optim.lr=0", "nope=3") == [
        "my.yaml:4: model.in_chans: expected 1 or 3, found 2",
        "my.yaml: data: missing, and it has no default. See zoo show --schema",
        "command line: optim.lr: expected greater than 0, found 0",
        "my.yaml:7: train.seed: expected greater than or equal to 0, found -1",
        f"command line: nope: unknown key. There are: {TOP}.",
        "my.yaml:3: model.head.hiden: unknown option of head 'mlp' (has: hidden, layers, dropout). Did you mean 'hidden'?",
        "my.yaml:5: schedule.name: unknown schedule 'x'. See them all: zoo list schedules",
        "my.yaml:2: model.backbone: unknown backbone 'resnet81'. Did you mean 'resnet18'? "
        "See them all: zoo list backbones",
    ]


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("data.limit=512", "data.limit", 512),
        ("data.limit=null", "data.limit", None),
        ("data.limit=", "data.limit", None),
        ("optim.lr=3e-4", "optim.lr", 3e-4),
        ("optim.lr=1", "optim.lr", 1.0),
        ("data.source=a=b", "data.source", "a=b"),
        ("data.source='012'", "data.source", "012"),
        ("data.source=../shared/data", "data.source", "../shared/data"),
        ("data.source=~/images", "data.source", "~/images"),
        ("model.pretrained=false", "model.pretrained", False),
        ("model.pretrained=w.safetensors", "model.pretrained", "w.safetensors"),
        ("data.in_memory=auto", "data.in_memory", "auto"),
        ("data.in_memory=true", "data.in_memory", True),
        ("data.splits.test=test_a", "data.splits.test", "test_a"),
        ("data.augment={flip: false, mixup: 0.2}", "data.augment.mixup", 0.2),
        ("optim.options.momentum=0.9", "optim.options", {"momentum": 0.9}),
        ("optim.options={betas: [0.9, 0.99]}", "optim.options", {"betas": [0.9, 0.99]}),
        ("model.backbone=timm:resnet18", "model.backbone", "timm:resnet18"),
        ("model.backbone=resnet18.a1_in1k", "model.backbone", "resnet18.a1_in1k"),
        ("model.backbone=local-dir:runs/a/model", "model.backbone", "local-dir:runs/a/model"),
        ("model.backbone=hf-hub:someone/model", "model.backbone", "hf-hub:someone/model"),
    ],
)
def test_overrides_are_yaml(override, key, value):
    found = parse_recipe(GOOD, "my.yaml", [override])
    for word in key.split("."):
        found = getattr(found, word)
    assert found == value
    assert type(found) is type(value)


STAGED = GOOD + "schedule: {name: two-stage, head_epochs: 2}\n"


@pytest.mark.parametrize(
    ("text", "overrides", "head", "schedule"),
    [
        (MLP, ["model.head.dropout=0.5"], {"name": "mlp", "hidden": 8, "dropout": 0.5}, {"name": "none"}),
        (MLP, ["model.head=linear"], {"name": "linear"}, {"name": "none"}),
        (MLP, ["model.head.name=linear"], {"name": "linear"}, {"name": "none"}),
        (MLP, ["model.head.name=mlp"], {"name": "mlp", "hidden": 8}, {"name": "none"}),
        (GOOD, ["model.head=mlp", "model.head.hidden=9"], {"name": "mlp", "hidden": 9}, {"name": "none"}),
        (GOOD, ["model.head.hidden=9", "model.head=mlp"], {"name": "mlp", "hidden": 9}, {"name": "none"}),
        (GOOD, ["model.head.hidden=9", "model.head.name=mlp"], {"name": "mlp", "hidden": 9}, {"name": "none"}),
        (
            GOOD,
            ["model.head.dropout=0.1"],
            {"name": "linear", "dropout": 0.1},
            {"name": "none"},
        ),  # not named in the file
        (STAGED, ["schedule.name=gradual"], {"name": "linear"}, {"name": "gradual"}),
        (STAGED, ["schedule=gradual"], {"name": "linear"}, {"name": "gradual"}),
        (STAGED, ["schedule.head_epochs=3"], {"name": "linear"}, {"name": "two-stage", "head_epochs": 3}),
        (STAGED, ["schedule.k=2", "schedule.name=first-k"], {"name": "linear"}, {"name": "first-k", "k": 2}),
        (GOOD + "schedule: first-k", ["schedule.k=2"], {"name": "linear"}, {"name": "first-k", "k": 2}),
        (STAGED, ["schedule={name: first-k, k: 2}"], {"name": "linear"}, {"name": "first-k", "k": 2}),
        (GOOD, ["schedule=timm-zoo:none"], {"name": "linear"}, {"name": "timm-zoo:none"}),
        (GOOD, ["train.epochs=3", "model={backbone: resnet18, head: mlp}"], {"name": "mlp"}, {"name": "none"}),
    ],
)
def test_overrides_of_parts(text, overrides, head, schedule):
    recipe = parse_recipe(text, "my.yaml", overrides)
    assert recipe.model.head.model_dump() == head
    assert recipe.schedule.model_dump() == schedule


def test_the_last_of_two_overrides_wins_whatever_their_order():
    overrides = ["data.limit=1", "data={source: y}", "data.limit=2"]
    data = parse_recipe(GOOD, "my.yaml", overrides).data
    assert (data.source, data.limit) == ("y", 2)


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("data.limit=few", "data.limit: expected a valid integer, found 'few'"),
        ("data.limit=[1", "data.limit: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("data.source=*png", "data.source: aliases (*name) are not allowed in a recipe"),
        ("data.limt=3", "data.limt: unknown key. Did you mean 'limit'?"),
        ("nope.deep=3", f"nope: unknown key. There are: {TOP}."),
        ("data={source: x, limit: 0}", "data.limit: expected greater than or equal to 1, found 0"),
        ("data.in_memory=aut",
            "data.in_memory: expected 'auto' or a valid boolean, found 'aut'. Did you mean 'auto'?"),
        ("model.head={name: mlp, hiden: 3}",
            "model.head.hiden: unknown option of head 'mlp' (has: hidden, layers, dropout). Did you mean 'hidden'?"),
    ],
)  # fmt: skip
def test_a_fault_of_an_override_is_the_command_lines(override, fault):
    assert faults(GOOD + "  limit: 100\n", override) == [f"command line: {fault}"]


@pytest.mark.parametrize("override", ["data.limit", "", "=3", ".=3", "data..limit=3", "data.=3", ".data=3"])
def test_what_is_no_override(override):
    with pytest.raises(UsageError) as caught:
        parse_recipe(GOOD, "my.yaml", [override])
    assert str(caught.value) == f"'{override}' is not an override. Write key=value, as in data.limit=512"


def test_options_of_a_plugin_backbone_are_checked(install):
    install(
        "zoo-pets",
        backbones={"cat": "zoo_pets:cat", "dog": "zoo_pets:dog"},
        files={
            "zoo_pets.py": "def cat(*, pretrained, in_chans=3, legs: int, tail: bool = True): ...\n"
            "def dog(*, pretrained, **options): ...\n"
        },
    )
    cat = GOOD.replace("resnet18", "cat")
    assert parse_recipe(cat, "my.yaml", ["model.options.legs=4"]).model.options == {"legs": 4}
    assert parse_recipe(cat, "my.yaml", ["model.backbone=dog", "model.options.any=4"]).model.options == {"any": 4}
    assert faults(cat, "model.options.tial=true") == [
        "command line: model.options.tial: unknown option of backbone 'cat' (has: legs, tail). Did you mean 'tail'?",
        "command line: model.options.legs: backbone 'cat' needs this option",
    ]
    assert faults(cat) == ["my.yaml:1: model.options.legs: backbone 'cat' needs this option"]
    assert faults(cat, "model.options=4") == [
        "command line: model.options: expected a mapping (key: value), found 4",
    ]


def test_a_broken_plugin_is_a_fault_of_the_key_that_names_it(install):
    site = install("zoo-bad", heads={"bad": "zoo_bad:bad"}, files={"zoo_bad.py": "x = 1\nclass\n"})
    assert faults(GOOD, "model.head=bad", "data.limit=0") == [
        "command line: data.limit: expected greater than or equal to 1, found 0",
        f"command line: model.head.name: head 'bad' of zoo-bad 1.0 has a syntax error: {site}/zoo_bad.py:2: invalid syntax",
    ]
    assert parse_recipe(GOOD, "my.yaml").model.head.name == "linear"  # nobody else is bothered


def test_files(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(GOOD)
    assert load_recipe(str(file)) == read_recipe(file) == parse_recipe(GOOD, "elsewhere")
    file.write_text(GOOD + "tarin: {}\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(file))
    assert str(caught.value) == f"{file}:5: tarin: unknown key. Did you mean 'train'?"
    file.write_bytes(GOOD.encode() + b"# caf\xe9\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(file))
    assert str(caught.value) == f"{file}: not UTF-8 text (byte {len(GOOD) + 5}); save the recipe as UTF-8"
    with pytest.raises(UsageError) as caught:
        read_recipe(tmp_path)
    assert str(caught.value) == f"{tmp_path}: cannot be read: Is a directory"


def test_an_unknown_recipe_offers_the_nearest():
    with pytest.raises(UnknownName, match=r"^unknown recipe 'quickstrat'\. Did you mean 'quickstart'\?"):
        load_recipe("quickstrat")
