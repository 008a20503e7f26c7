"""YAML as recipes use it: version 1.2's scalars, no doubled keys, aliases or tags, and a line number for every key.

PyYAML follows 1.1, where `1e-3` is text, `no` is False, `012` is 10 and `1:30` is 90, and a doubled key wins silently.
"""

import re
from typing import Any

import yaml

Path = tuple[str | int, ...]

# Integers stop where Python refuses to turn text into a number and back (4,300 digits); longer ones become infinity.
SCALARS = (
    (re.compile(r"~|null|Null|NULL|"), lambda text: None),
    (re.compile(r"true|True|TRUE"), lambda text: True),
    (re.compile(r"false|False|FALSE"), lambda text: False),
    (re.compile(r"[-+]?[0-9]{1,1000}"), int),
    (re.compile(r"0o[0-7]{1,1000}"), lambda text: int(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]{1,800}"), lambda text: int(text[2:], 16)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)"), lambda text: float(text.replace(".", ""))),
    (re.compile(r"\.(nan|NaN|NAN)"), lambda text: float("nan")),
)


class YamlFault(ValueError):
    """What is wrong with the text, and on which line (from 1)."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def scalar(text: str) -> Any:
    """The value of an unquoted scalar by YAML 1.2's core schema."""
    for pattern, convert in SCALARS:
        if pattern.fullmatch(text):
            return convert(text)
    return text


def parse(text: str) -> tuple[Any, dict[Path, int]]:
    """The value of one YAML document and the line of every key and item. Raises YamlFault."""
    try:
        for token in yaml.scan(text):
            _refuse(token)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = (error.context, error.problem) if str(error.problem).startswith("but") else (error.problem,)
        raise YamlFault(f"not YAML: {', '.join(filter(None, words))}", mark.line + 1 if mark else 1) from None
    except yaml.YAMLError as error:
        raise YamlFault(f"not YAML: {str(error).splitlines()[0]}", 1) from None
    except RecursionError:
        raise YamlFault("nested too deeply", 1) from None
    lines: dict[Path, int] = {}
    return (None if node is None else _value(node, (), lines)), lines


def _refuse(token: yaml.Token) -> None:
    """Raises YamlFault for what makes a text mean more than it says: aliases (and their bombs) and tags."""
    line = token.start_mark.line + 1
    if isinstance(token, yaml.AliasToken):
        raise YamlFault("aliases (*name) are not allowed in a recipe", line)
    if isinstance(token, yaml.TagToken):
        raise YamlFault(f"tags are not allowed in a recipe, found '{token.value[0] or ''}{token.value[1]}'", line)


def _value(node: yaml.Node, path: Path, lines: dict[Path, int]) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, lines)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, i), lines) for i, item in enumerate(node.value)]
    return node.value if node.style in ("'", '"', "|", ">") else scalar(node.value)


def _mapping(node: yaml.MappingNode, path: Path, lines: dict[Path, int]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise YamlFault("a key must be a word", line)
        key = key_node.value
        if key in result:
            raise YamlFault(f"the key '{key}' stands twice (first on line {lines[(*path, key)]})", line)
        lines[(*path, key)] = line
        result[key] = _value(value_node, (*path, key), lines)
    return result
