"""Right functions at the points that `points` draws by default: none is accused, and smooth layers give no warning.

The whole campaign, also of PyTorch and jax, is in `right_functions.py`.
"""

import pytest

from .right_functions import LIBRARIES, in_numpy, outcome, selected

NUMPY = in_numpy()
SMOOTH_LAYERS = "linear", "layer norm", "affine layer norm", "two layers", "attention", "cross entropy"


@pytest.mark.parametrize("name", ["linear", "one minus cos", "floor", "batch norm", "attention"])
def test_no_right_function_is_accused(name):
    assert [message for word, message in runs(name, 2) if word not in ("passed", "warned")] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NUMPY)
def test_no_right_function_is_accused_in_a_hundred_runs(name):
    assert [message for word, message in runs(name, 100) if word == "GradientMismatch"] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", SMOOTH_LAYERS)
def test_a_smooth_layer_is_not_warned_about(name):
    found = [word for word, _ in runs(name, 40)]
    assert found.count("passed") >= 39, "but for a point that saturates a softmax"


def test_a_wrong_function_is_accused():
    linear = NUMPY["linear"]

    def wrong(x, w, b, u):
        of_x, of_w, of_b = linear.vjp(x, w, b, u)
        return of_x, 1.01 * of_w, of_b

    assert outcome(linear._replace(vjp=wrong), "numpy", 0)[0] == "GradientMismatch"


def test_the_campaign_has_many_functions():
    assert set(LIBRARIES) == {"numpy", "torch", "jax"}
    assert len(NUMPY) >= 40
    assert [name for _, name, _ in selected(["numpy"], ["tanh"])] == ["tanh"]


def runs(name, seeds):
    return [outcome(NUMPY[name], "numpy", seed) for seed in range(seeds)]
