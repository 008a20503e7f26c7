import math

import pytest

from zoo.config.yaml12 import YamlFault, parse, scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),  # text in YAML 1.1
        ("3E4", 30000.0),
        ("-.5", -0.5),
        ("1.", 1.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("1e999", math.inf),
        ("012", 12),  # 10 in 1.1
        ("-7", -7),
        ("0o17", 15),
        ("0x1F", 31),
        ("0o8", "0o8"),
        ("0b11", "0b11"),  # 3 in 1.1
        ("1:30", "1:30"),  # 90 in 1.1
        ("1_000", "1_000"),  # 1000 in 1.1
        ("2001-01-01", "2001-01-01"),  # a date in 1.1
        ("true", True),
        ("FALSE", False),
        ("tRUE", "tRUE"),
        *((word, word) for word in ("yes", "no", "on", "off", "y", "n", "No", "OFF")),  # booleans in 1.1
        ("", None),
        ("~", None),
        ("Null", None),
        ("none", "none"),
        ("1.2.3", "1.2.3"),
        (".", "."),
        ("=", "="),
        ("densenet121", "densenet121"),
        ("9" * 1000, 10**1000 - 1),
        ("9" * 5000, math.inf),  # Python refuses to read an int this long
        ("0x" + "f" * 5000, "0x" + "f" * 5000),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    for found in (scalar(text), parse(f"a: {text}")[0]["a"]):
        assert found == value
        assert type(found) is type(value)


def test_nan():
    assert math.isnan(scalar(".nan"))


@pytest.mark.parametrize("quoted", ["'012'", '"012"', "|-\n  012", ">-\n  012"])
def test_quoted_scalars_stay_text(quoted):
    assert parse(f"a: {quoted}")[0] == {"a": "012"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# only a comment\n", None),
        ("---\n...\n", None),
        ("- 1\n- no\n", [1, "no"]),
        ("no: 1\n012: 2\n~: 3\n", {"no": 1, "012": 2, "~": 3}),  # keys are words as written
        ("<<: {a: 1}\n", {"<<": {"a": 1}}),  # no merging
        ("%YAML 1.1\n---\na: no\n", {"a": "no"}),
        ("\ufeffa: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ("a: &anchor 1\n", {"a": 1}),
    ],
)
def test_documents(text, value):
    assert parse(text)[0] == value


def test_every_key_and_item_has_its_line():
    text = "# comment\nmodel:\n  head: {name: mlp,\n    hidden: 8}\nlist:\n- 1\n\n- a: 2\n"
    assert parse(text)[1] == {
        (): 2,
        ("model",): 2,
        ("model", "head"): 3,
        ("model", "head", "name"): 3,
        ("model", "head", "hidden"): 4,
        ("list",): 5,
        ("list", 0): 6,
        ("list", 1): 8,
        ("list", 1, "a"): 8,
    }


BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "the key 'a' stands twice (first on line 1)"),
        ("x:\n  a: 1\n  'a': 2\n", 3, "the key 'a' stands twice (first on line 2)"),
        ("{a: 1, a: 2}", 1, "the key 'a' stands twice (first on line 1)"),
        ("a: &x 1\nb: *x\n", 2, "aliases (*name) are not allowed in a recipe"),
        (BOMB, 2, "aliases (*name) are not allowed in a recipe"),
        ("a: 1\n<<: *base\n", 2, "aliases (*name) are not allowed in a recipe"),
        ("a: !!str 12", 1, "tags are not allowed in a recipe, found '!!str'"),
        ("\na: !mine 12", 2, "tags are not allowed in a recipe, found '!mine'"),
        ("a: !<mine> 12", 1, "tags are not allowed in a recipe, found 'mine'"),
        ("!!set {a, b}", 1, "tags are not allowed in a recipe, found '!!set'"),
        (
            "a: !!python/object/apply:os.system [echo]",
            1,
            "tags are not allowed in a recipe, found '!!python/object/apply:os.system'",
        ),
        ("a: !!python/object:os.Foo {}", 1, "tags are not allowed in a recipe, found '!!python/object:os.Foo'"),
        ("? [a, b]\n: 1\n", 1, "a key must be a word"),
        ("a:\n\tb: 1\n", 2, "not YAML: found character '\\t' that cannot start any token"),
        ("a: b: c\n", 1, "not YAML: mapping values are not allowed here"),
        ("a: [1\n", 2, "not YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: 'x\n", 2, "not YAML: found unexpected end of stream"),
        ("a: @x\n", 1, "not YAML: found character '@' that cannot start any token"),
        ("a: 1\n b: 2\n", 2, "not YAML: mapping values are not allowed here"),
        ("a: 1\n---\nb: 2\n", 2, "not YAML: expected a single document in the stream, but found another document"),
        ("a: \x00", 1, "not YAML: unacceptable character #x0000: special characters are not allowed"),
        ("[" * 1500, 1, "nested too deeply"),
        ("{a: " * 1500 + "1" + "}" * 1500, 1, "nested too deeply"),
    ],
)
def test_faults(text, line, message):
    with pytest.raises(YamlFault) as caught:
        parse(text)
    assert (caught.value.line, str(caught.value)) == (line, message)
