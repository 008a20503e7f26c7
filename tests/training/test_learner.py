"""Methods of plugins: their parameters train with the head, their state joins checkpoints, and their entries are logged."""

import signal

import pytest
import torch
from processes import epochs, stop_at, tiny, weights_hash
from safetensors.torch import load_file
from torch import nn

from zoo.config.recipe import Named
from zoo.contracts import Given
from zoo.errors import PluginError, UsageError
from zoo.training.learner import build_learner, own_parameters, own_tensors, reads_features
from zoo.verbs.finetune import finetune
from zoo.verbs.resume import resume

PLUGIN = '''
import torch
from torch import nn
from torch.nn import functional as F

class Centred(nn.Module):
    """Cross-entropy of scaled logits, and a centre of the logits that moves after each step."""

    def __init__(self, model, given, scale: float = 1.0):
        super().__init__()
        self.model, self.loss = model, given.loss
        self.scale = nn.Parameter(torch.tensor([scale]))
        self.register_buffer("centre", torch.zeros(given.classes))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, seen, at):
        logits = self.model(seen.inputs).float() * self.scale - self.centre
        noise = torch.rand(len(logits), device=logits.device) * 0.01
        return {"loss": self.loss(logits, seen.targets) + noise * self.scale, "noise": noise}

    def classify(self, inputs):
        return self.model(inputs)

    def after_step(self, at):
        assert at.step == int(self.steps)
        self.steps += 1
        self.centre += 0.01 * self.scale.detach()

def nothing(model, given):
    return lambda seen, at: {}

class Other(nn.Module):
    def __init__(self, model, given):
        super().__init__()
        self.model = nn.Linear(1, 1)
'''


@pytest.fixture
def centred(install):
    names = {"centred": "zoo_centred:Centred", "nothing": "zoo_centred:nothing", "other": "zoo_centred:Other"}
    install("zoo-centred", files={"zoo_centred.py": PLUGIN}, methods=names)


def test_a_learner_is_the_model_and_what_the_method_adds(centred):
    model = nn.Linear(4, 3)
    learner = build_learner(Named(name="centred", scale=2.0), model, Given(classes=3), torch.device("cpu"))
    assert list(own_parameters(learner)) == ["scale"] and sorted(own_tensors(learner)) == ["centre", "scale", "steps"]
    assert learner.model is model and learner.scale.item() == 2.0
    assert not reads_features(Named(name="centred")) and reads_features(Named(name="supervised"))


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("nothing", PluginError, "gave a function; the contract asks for a torch module"),
        ("other", PluginError, "gave a learner whose `model` is not the model that it was given"),
        ({"name": "centred", "scale": "x"}, UsageError, "method: 'centred' refuses its options"),
    ],
)
def test_what_is_no_learner_is_refused(name, error, said, centred):
    method = Named(**(name if isinstance(name, dict) else {"name": name}))
    with pytest.raises(error, match=said):
        build_learner(method, nn.Linear(4, 3), Given(classes=3), torch.device("cpu"))


SETTINGS = ("method=centred", "train.ema=0.9", "train.precision=fp32")


def test_a_method_with_state_resumes_bit_for_bit(centred, tmp_path):
    recipe, whole, stopped = tiny(tmp_path), tmp_path / "whole", tmp_path / "stopped"
    finetune(str(recipe), SETTINGS, whole)
    words = ("finetune", "--recipe", recipe, "--out", stopped, *SETTINGS)
    code, _ = stop_at(stopped, 8, signal.SIGKILL, *words, PYTHONPATH=str(tmp_path / "site"))
    assert code == -signal.SIGKILL
    resume(stopped)
    assert weights_hash(stopped) == weights_hash(whole) and epochs(stopped) == epochs(whole)
    assert all(0 < line["train_noise"] < 0.01 for line in epochs(whole))
    step = max((whole / "checkpoints").glob("step-*"))
    state = load_file(step / "method.safetensors")
    assert int(state["steps"]) == 15 and not torch.equal(state["scale"], torch.ones(1))
