"""What a plugin must keep, checked: for the tests of its author, and for `zoo plugin check`.

    from zoo.testing import check_backbone, check_head, check_schedule

    def test_contract():
        check_head("zoo-paw:paw")          # or the callable itself, and any of its options

Each raises `zoo.errors.ContractError` with every broken point at once. Importing this needs neither pytest nor torch.

report      a point of the contract, and what was found
part        what is checked: a callable or a registered name, with its options
source_checks     what stands in the source: docstring, options, contract range, licence, no pickles
module      what any module must keep: eval mode, gradients, saving, memory layout, precision
frozen      nothing frozen moves in a training step, under every freezing schedule
head, backbone, schedule, adapter, loss, method, recipe     the points of each kind
checks  kind -> points, in order
sandbox      one part in a process of its own, with a time limit
distributions       the parts of a distribution, installed or in a folder
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.testing.checks import (
        check_adapter,
        check_backbone,
        check_head,
        check_loss,
        check_method,
        check_recipe,
        check_schedule,
    )

__all__ = [
    "check_adapter",
    "check_backbone",
    "check_head",
    "check_loss",
    "check_method",
    "check_recipe",
    "check_schedule",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'zoo.testing' has no attribute '{name}'")
    from zoo.testing import checks

    return getattr(checks, name)
