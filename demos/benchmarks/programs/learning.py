"""Small models and losses of machine learning."""

from typing import Any

import numpy as np

from .cases import Case, generator, weights

rng = generator()


def autoencoder(m: Any, p: Any, x: Any) -> Any:
    code = m.tanh(x @ p["encode"] + p["a"])
    error = m.tanh(code @ p["decode"] + p["b"]) - x
    return (error * error).sum()


def policy(m: Any, p: Any, x: Any, action: Any, advantage: Any) -> Any:
    """The loss of REINFORCE with two actions. `action` has 1 for the action that was taken, and 0 for the other."""
    logits = m.tanh(x @ p["w"] + p["a"]) @ p["v"]
    return -advantage * (m.log_softmax(logits) * action).sum()


def temporal_difference(m: Any, p: Any, x: Any, action: Any, target: Any) -> Any:
    hidden = m.relu(m.relu(x @ p["w"] + p["a"]) @ p["v"] + p["b"])
    error = (hidden @ p["out"] * action).sum() - target
    return error * error


def gru(m: Any, p: Any, xs: Any) -> Any:
    """The squared state of a gated recurrent unit with 8 units after 20 steps."""
    h = np.zeros(8)
    for k in range(20):
        z = m.sigmoid(xs[k] * p["z"] + h @ p["hz"])
        r = m.sigmoid(xs[k] * p["r"] + h @ p["hr"])
        h = (1.0 - z) * h + z * m.tanh(xs[k] * p["n"] + (r * h) @ p["hn"])
    return (h * h).sum()


def triplet(m: Any, p: Any, anchor: Any, same: Any, other: Any) -> Any:
    def embed(x: Any) -> Any:
        return m.tanh(x @ p["w"]) @ p["v"]

    a, b, c = embed(anchor), embed(same), embed(other)
    return m.relu(((a - b) ** 2).sum() - ((a - c) ** 2).sum() + 0.5)


def factorisation_machine(m: Any, p: Any, x: Any, y: Any) -> Any:
    crossed = x @ p["v"]
    squares = (x * x) @ (p["v"] * p["v"])
    error = x @ p["w"] + 0.5 * (crossed * crossed - squares).sum() - y
    return error * error


def smoothed_softmax(m: Any, p: Any, x: Any, hot: Any) -> Any:
    return -(m.log_softmax(x @ p["w"] + p["b"]) * (0.9 * hot + 0.02)).sum()


def classes(m: Any, p: Any, x: Any) -> Any:
    """The probabilities of four classes by a network with one hidden layer, without a loss, as for test samples."""
    probabilities = m.softmax(m.relu(x @ p["w"] + p["a"]) @ p["v"] + p["b"])
    return [probabilities[k] for k in range(4)]


def logistic(m: Any, p: Any, x: Any, y: Any) -> Any:
    """The loss of logistic regression, whose gradient for each sample differentially private SGD needs."""
    logit = x @ p["w"] + p["b"][0]
    return m.softplus(logit) - y * logit


def variational(m: Any, p: Any, x: Any, noise: Any) -> Any:
    """The loss of a variational autoencoder with two latent numbers."""
    hidden = m.tanh(x @ p["encode"])
    mean, log_scale = hidden @ p["mean"], hidden @ p["scale"]
    z = mean + m.exp(log_scale) * noise
    error = m.tanh(z @ p["decode"]) @ p["out"] - x
    return (error * error).sum() + (0.5 * (mean * mean + m.exp(2.0 * log_scale)) - log_scale).sum()


def density_network(m: Any, p: Any, x: Any, y: Any) -> Any:
    hidden = m.tanh(x * p["w"] + p["a"])
    logits, means, scales = m.log_softmax(hidden @ p["pi"]), hidden @ p["mu"], hidden @ p["s"]
    return -m.logsumexp([logits[k] - scales[k] - 0.5 * ((y - means[k]) * m.exp(-scales[k])) ** 2 for k in range(3)])


def cases() -> list[Case]:
    """Return the programs."""
    x8, x4 = rng.normal(size=(64, 8)), rng.normal(size=(128, 4))
    taken = np.eye(2)[rng.integers(0, 2, 128)]
    x10, x20 = rng.normal(size=(500, 10)), rng.normal(size=(500, 20))
    small = rng.normal(size=(64, 6))
    recurrent = {name: weights(8) for name in "zrn"} | {name: weights(8, 8) for name in ("hz", "hr", "hn")}
    critic = {"w": weights(4, 32), "a": np.zeros(32), "v": weights(32, 32), "b": np.zeros(32), "out": weights(32, 2)}
    return [
        Case(
            "autoencoder 8-3-8, a step of Adam",
            autoencoder,
            {"encode": weights(8, 3), "a": np.zeros(3), "decode": weights(3, 8), "b": np.zeros(8)},
            (x8,),
            "fit",
        ),
        Case(
            "policy gradient 4-16-2, 128 rows",
            policy,
            {"w": weights(4, 16), "a": np.zeros(16), "v": weights(16, 2)},
            (x4, taken, rng.normal(size=128)),
        ),
        Case(
            "Q-learning 4-32-32-2, a step of Adam",
            temporal_difference,
            critic,
            (x4[:64], taken[:64], rng.normal(size=64)),
            "fit",
        ),
        Case("gated recurrent unit, 20 steps, 32 rows", gru, recurrent, (rng.normal(size=(32, 20)),)),
        Case(
            "triplet loss 8-16-4, 64 rows",
            triplet,
            {"w": weights(8, 16), "v": weights(16, 4)},
            (x8, x8 + 0.1, rng.normal(size=(64, 8))),
        ),
        Case(
            "factorisation machine, 500 rows",
            factorisation_machine,
            {"w": np.zeros(10), "v": weights(10, 4)},
            (x10, rng.normal(size=500)),
        ),
        Case(
            "softmax with smoothed labels, 500 rows",
            smoothed_softmax,
            {"w": weights(20, 5), "b": np.zeros(5)},
            (x20, np.eye(5)[rng.integers(0, 5, 500)]),
        ),
        Case(
            "classes of 2,000 rows, 8-16-4",
            classes,
            {"w": weights(8, 16), "a": np.zeros(16), "v": weights(16, 4), "b": np.zeros(4)},
            (rng.normal(size=(2000, 8)),),
            "results",
        ),
        Case(
            "logistic regression, a gradient for each of 256 rows",
            logistic,
            {"w": np.zeros(10), "b": [0.0]},
            (x10[:256], 1.0 * (x10[:256, 0] > 0.0)),
            "each by parameters",
        ),
        Case(
            "variational autoencoder 6-8-2, a step of Adam",
            variational,
            {
                "encode": weights(6, 8),
                "mean": weights(8, 2),
                "scale": 0.1 * weights(8, 2),
                "decode": weights(2, 8),
                "out": weights(8, 6),
            },
            (small, rng.normal(size=(64, 2))),
            "fit",
        ),
        Case(
            "mixture density network, 200 rows",
            density_network,
            {"w": weights(16), "a": weights(16), "pi": weights(16, 3), "mu": weights(16, 3), "s": 0.1 * weights(16, 3)},
            (np.linspace(-1.0, 1.0, 200), rng.normal(size=200)),
        ),
    ]
