"""What can read or write a pickle is found in the source."""

import pytest

from zoo.testing.pickles import breaches

SAFE = """
import json, torch, numpy
from safetensors.torch import load_file
import torch.nn.functional as F
torch.load(path, weights_only=True)
torch.load(path, map_location="cpu", weights_only=True)
torch.hub.load_state_dict_from_url(url, weights_only=True)
numpy.load(path)
load(path)
self.load(path)
model.load_state_dict(state)
"""


def test_what_is_safe():
    assert list(breaches(SAFE.encode(), "x.py")) == []


@pytest.mark.parametrize(
    ("source", "line", "text"),
    [
        ("import pickle", 1, "imports pickle"),
        ("def f():\n    from cloudpickle import loads", 2, "imports cloudpickle"),
        ("import joblib.numpy_pickle as j", 1, "imports joblib.numpy_pickle"),
        ("import torch\ntorch.load(p)", 2, "calls torch.load without weights_only=True"),
        ("import torch\ntorch.load(p, weights_only=False)", 2, "calls torch.load without weights_only=True"),
        ("import torch\ntorch.load(p, weights_only=safe)", 2, "calls torch.load without weights_only=True"),
        ("import torch\ntorch.load(p, **how)", 2, "calls torch.load without weights_only=True"),
        ("import torch as t\nx = t.load(p)", 2, "calls torch.load without weights_only=True"),
        ("from torch import load as l\nl(p)", 2, "calls torch.load without weights_only=True"),
        (
            "from torch.hub import load_state_dict_from_url\nload_state_dict_from_url(u)",
            2,
            "calls torch.hub.load_state_dict_from_url without weights_only=True",
        ),
        ("import torch\ntorch.save(m, p)", 2, "calls torch.save: it writes a pickle"),
        ("import torch\ntorch.hub.load('a/b', 'c')", 2, "calls torch.hub.load: it runs code from a repository"),
        (
            "import numpy as np\nnp.load(p, allow_pickle=False), np.load(p, allow_pickle=how)",
            2,
            "calls numpy.load with allow_pickle",
        ),
        ("import numpy as np\nnp.load(p, allow_pickle=True)", 2, "calls numpy.load with allow_pickle"),
    ],
)
def test_what_is_not(source, line, text):
    assert list(breaches(source.encode(), "x.py")) == [(line, text)]
