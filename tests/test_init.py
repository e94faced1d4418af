"""Initialisers draw numbers with the variance that they promise, and the same seed gives the same network."""

import math
import random

import numpy as np
import pytest

from micrograd_cn.nn import MLP, Layer, Neuron, init

N = 20_000
# The sample variance of N draws with kurtosis k has a standard deviation of var * sqrt((k - 1) / N). If a test allows
# six standard deviations, a right initialiser fails once in 5e8 seeds, by the tails of the normal distribution.
SIGMAS = 6.0
UNIFORM, NORMAL = 1.8, 3.0  # kurtosis


@pytest.mark.parametrize(
    ("name", "variance", "kurtosis"),
    [
        ("uniform", lambda nin, nout: 1 / 3, UNIFORM),
        ("xavier_uniform", lambda nin, nout: 2 / (nin + nout), UNIFORM),
        ("xavier_normal", lambda nin, nout: 2 / (nin + nout), NORMAL),
        ("kaiming_uniform", lambda nin, nout: 2 / nin, UNIFORM),
        ("kaiming_normal", lambda nin, nout: 2 / nin, NORMAL),
    ],
)
@pytest.mark.parametrize(("nin", "nout"), [(50, 10), (10, 200), (20, 20)])
def test_mean_and_variance_are_as_promised(name, variance, kurtosis, nin, nout):
    rng = random.Random(f"{name} {nin} {nout}")
    layers = [Layer(nin, nout, init=name, seed=rng) for _ in range(N // (nin * nout))]
    weights = [w.data for layer in layers for neuron in layer.neurons for w in neuron.w]
    assert len(weights) == N
    expected = variance(nin, nout)
    mean = math.fsum(weights) / N
    assert abs(mean) <= SIGMAS * math.sqrt(expected / N)
    assert abs(math.fsum(w * w for w in weights) / N - expected) <= SIGMAS * expected * math.sqrt((kurtosis - 1) / N)
    fourth = math.fsum(w**4 for w in weights) / N / expected**2
    assert fourth == pytest.approx(kurtosis, rel=0.15), "the kurtosis tells a uniform distribution from a normal one"
    assert all(neuron.b.data == 0 for layer in layers for neuron in layer.neurons)


def test_zeros_constant_and_any_function():
    """An initialiser is a name, `init.constant`, or a function of the random generator and the layer's two sizes."""
    assert {w.data for w in Neuron(3, init="zeros").w} == {0}
    assert {w.data for w in Neuron(3, init=init.constant(0.25)).w} == {0.25}
    layer = Layer(2, 3, init=lambda rng, nin, nout: 10 * nin + nout)
    assert {w.data for neuron in layer.neurons for w in neuron.w} == {23}


def test_one_seed_gives_one_network_and_leaves_the_module_random_alone():
    def weights(seed):
        return [p.data for p in MLP(3, [4, 2], init="xavier_normal", seed=seed).parameters()]

    state = random.getstate()
    assert weights(1) == weights(1) == weights(random.Random(1))
    assert weights(0) == weights(0) == weights(np.int64(0)) == weights(np.uint8(0))
    assert weights(1) != weights(2)
    assert random.getstate() == state
    assert len(set(weights(1))) == 3 * 4 + 4 * 2 + 1, "all weights differ, and all biases are 0"


def test_refused_initialisers_and_seeds():
    with pytest.raises(ValueError, match=r"unknown initialiser 'xaver'; known: uniform, xavier_uniform"):
        MLP(2, [1], init="xaver")
    with pytest.raises(TypeError, match="init must be a name or a function, got 3"):
        MLP(2, [1], init=3)
    with pytest.raises(TypeError, match=r"seed must be an int, a random.Random or None, got 'x'"):
        MLP(2, [1], seed="x")
    with pytest.raises(
        ValueError, match=r"seed must be 0 or more, got -1: random\.Random draws the same numbers for 1"
    ):
        Layer(2, 1, seed=-1)


@pytest.mark.parametrize("name", ["xavier_normal", "kaiming_normal"])
def test_a_generator_of_numpy_draws_normal_weights(name):
    """Its method is called `normal`, not `gauss`."""
    for made in (np.random.default_rng, np.random.RandomState):
        model, rng = MLP(3, [2], init=name, seed=made(5)), made(5)
        deviation = math.sqrt(2 / 5) if name == "xavier_normal" else math.sqrt(2 / 3)
        drawn = [p.data for p in model.parameters() if p.label != "b"]
        assert drawn == [rng.normal(0.0, deviation) for _ in range(6)]
        assert {type(x) for x in drawn} == {float}
