import pytest
import torch
from small import logits
from torch import nn
from torch.nn import functional as F

from zoo.contracts import FeatureInfo
from zoo.models.heads.gru import Gru

INFO = FeatureInfo(6, "NLC", (5,))
X = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0))


def last_state(gru: nn.GRU, start: torch.Tensor, x: torch.Tensor, suffix: str) -> torch.Tensor:
    """The state after the last position, step by step, with the weights of one direction."""
    cell = nn.GRUCell(gru.input_size, gru.hidden_size)
    cell.load_state_dict({name: getattr(gru, f"{name}_{suffix}") for name in cell.state_dict()})
    state = start.expand(len(x), -1)
    for position in x.unbind(1):
        state = cell(position, state)
    return state


@pytest.mark.parametrize("bidirectional", [False, True])
def test_it_reads_the_last_state_of_each_direction(bidirectional):
    torch.manual_seed(0)
    head = Gru(INFO, 4, hidden=7, bidirectional=bidirectional)
    x = F.layer_norm(X, (6,))
    states = [last_state(head.gru, head.start[0], x, "l0")]
    if bidirectional:
        states.append(last_state(head.gru, head.start[1], x.flip(1), "l0_reverse"))
    assert torch.allclose(head(X), head.classifier(torch.cat(states, 1)), atol=1e-6)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_order_of_positions_counts(bidirectional):
    head = Gru(INFO, 4, hidden=7, layers=2, bidirectional=bidirectional)
    assert not torch.allclose(logits(head, X), logits(head, X.flip(1)), atol=1e-3)


def test_one_layer_with_dropout_warns_of_nothing():
    assert Gru(INFO, 4, dropout=0.5).gru.dropout == 0
    assert Gru(INFO, 4, layers=2, dropout=0.5).gru.dropout == 0.5
