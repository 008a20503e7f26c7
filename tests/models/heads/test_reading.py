import pytest
import torch

from zoo.contracts import FeatureInfo
from zoo.models.heads.reading import average, tokens

POOLED = torch.arange(12.0).view(2, 6)


@pytest.mark.parametrize(
    ("info", "x", "expected"),
    [
        (FeatureInfo(6, "NC"), POOLED, POOLED),
        (FeatureInfo(6, "NCHW", (1, 2)), torch.stack([POOLED, POOLED + 2], 2).unsqueeze(2), POOLED + 1),
        (FeatureInfo(6, "NHWC", (2, 1)), torch.stack([POOLED, POOLED + 2], 1).unsqueeze(2), POOLED + 1),
        (FeatureInfo(6, "NLC", (2,)), torch.stack([POOLED, POOLED + 2], 1), POOLED + 1),
        (FeatureInfo(6, "NLC", (3,), 1), torch.stack([POOLED - 99, POOLED, POOLED + 2], 1), POOLED + 1),
        (FeatureInfo(6, "NLC", (3,), 2), torch.stack([POOLED - 99, POOLED + 50, POOLED + 2], 1), POOLED + 2),
    ],
)
def test_average_over_positions(info, x, expected):
    assert torch.equal(average(x, info), expected)


def test_the_average_of_a_map_is_torchs_own():
    x = torch.randn(3, 7, 5, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(average(x, FeatureInfo(7, "NCHW", (5, 4))), x.mean((2, 3)))


def test_positions_are_read_row_by_row():
    x = torch.arange(6.0).view(1, 1, 2, 3)
    rows = torch.arange(6.0).view(1, 6, 1)
    assert torch.equal(tokens(x, FeatureInfo(1, "NCHW", (2, 3))), rows)
    assert torch.equal(tokens(x.permute(0, 2, 3, 1), FeatureInfo(1, "NHWC", (2, 3))), rows)
    assert torch.equal(tokens(rows, FeatureInfo(1, "NLC", (6,), 2)), rows[:, 2:])
    assert torch.equal(tokens(rows[:, 4], FeatureInfo(1, "NC")), rows[:, 4:5])
