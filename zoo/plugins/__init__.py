"""Entry points: which parts are installed, who owns them, and one part by name.

    kinds      the table of kinds: groups, recipe keys, checks
    registry   the parts of every installed distribution, and one by its name
    part       one of them: whether it fits this zoo, and its import
    module     where a module is and what its source says

Listing reads metadata and source and imports nothing. Only the part that was asked for is imported, and whatever it does
at import, `SystemExit` included, becomes one PluginError that names its distribution.
"""

from zoo.plugins.kinds import KINDS, Kind
from zoo.plugins.module import locate
from zoo.plugins.part import OWN, Plugin, calling, describe_error, escape, zoo_version
from zoo.plugins.registry import find, find_backbone, find_optimizer, installed, resolve, unreadable

__all__ = [
    "KINDS",
    "OWN",
    "Kind",
    "Plugin",
    "calling",
    "describe_error",
    "escape",
    "find",
    "find_backbone",
    "find_optimizer",
    "installed",
    "locate",
    "resolve",
    "unreadable",
    "zoo_version",
]
