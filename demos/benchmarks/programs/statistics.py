"""Likelihoods and losses of statistics."""

import math
from typing import Any

import numpy as np

from .cases import Case, generator

rng = generator()
N = 1000
X = rng.normal(size=(N, 5))
BETA = np.array([0.3, -0.2, 0.1, 0.4, -0.5])
COUNTS = rng.poisson(np.exp(X @ BETA)).astype(float)


def poisson(m: Any, p: Any, x: Any, y: Any) -> Any:
    """The negative log-likelihood of a count, without the constant."""
    eta = x @ p["beta"]
    return m.exp(eta) - y * eta


def poisson_by_hand(p: Any, data: Any) -> Any:
    x, y = data
    eta = x @ p["beta"]
    rate = np.exp(eta)
    return (rate - y * eta).mean(), x.T @ (rate - y) / len(y)


def student(m: Any, p: Any, y: Any) -> Any:
    """The negative log-likelihood of Student's t distribution, with its location, scale and degrees of freedom."""
    scale, df = m.exp(p["log_scale"][0]), m.exp(p["log_df"][0])
    z = (y - p["location"][0]) / scale
    half = (df + 1.0) / 2.0
    return half * m.log1p(z * z / df) + m.log(scale) + m.lgamma(df / 2.0) - m.lgamma(half) + 0.5 * m.log(df * math.pi)


def negative_binomial(m: Any, p: Any, x: Any, y: Any) -> Any:
    mean, r = m.exp(x @ p["beta"]), m.exp(p["log_r"][0])
    return m.lgamma(r) - m.lgamma(y + r) - r * m.log(r / (r + mean)) - y * m.log(mean / (r + mean))


def weibull(m: Any, p: Any, x: Any, t: Any, died: Any) -> Any:
    """The negative log-likelihood of Weibull survival times, some of which are censored."""
    shape, eta = m.exp(p["log_shape"][0]), x @ p["beta"]
    z = shape * (m.log(t) - eta)
    return m.exp(z) - died * (z + m.log(shape) - m.log(t))


def ordinal(m: Any, p: Any, x: Any, low: Any, high: Any) -> Any:
    """The negative log-likelihood of one of four grades in a cumulative logit model.

    `low` and `high` are one-hot, and pick the thresholds below and above the grade.
    """
    first = p["first"][0]
    second = first + m.exp(p["gaps"][0])
    third = second + m.exp(p["gaps"][1])
    eta = x @ p["beta"]
    below = [0.0, *(m.sigmoid(cut - eta) for cut in (first, second, third)), 1.0]
    chance = sum((high[k] - low[k]) * below[k] for k in range(5))
    return -m.log(chance)


def bradley_terry(m: Any, p: Any, winner: Any, loser: Any) -> Any:
    return m.softplus(m.take(p["skill"], loser) - m.take(p["skill"], winner))


def autoregression(m: Any, p: Any, series: Any) -> Any:
    """The mean squared error of a model that predicts each number from the two before."""
    a, b, c = p["a"][0], p["b"][0], p["c"][0]
    errors = series[2:] - a * series[1:-1] - b * series[:-2] - c
    return (errors * errors).sum() / 198.0


def autoregression_by_hand(p: Any, data: Any) -> Any:
    series = data[0][0]
    now, last, before = series[2:], series[1:-1], series[:-2]
    e = now - p["a"][0] * last - p["b"][0] * before - p["c"][0]
    return (e * e).sum() / 198.0, -2.0 / 198.0 * np.array([e @ last, e @ before, e.sum()])


def growth(m: Any, p: Any, parameters: Any) -> Any:
    """The residuals of a logistic growth curve at 20 times, for `scipy.optimize.least_squares`."""
    size, rate, middle = parameters
    return [size / (1.0 + m.exp(rate * (middle - 0.5 * k))) - 3.0 / (1.0 + math.exp(4.0 - 0.6 * k)) for k in range(20)]


def mixed_density(m: Any, p: Any, y: Any) -> Any:
    """The negative log-likelihood of a mixture of three normal distributions in one dimension."""
    logits = m.log_softmax(p["logits"])
    z = [(y - p["means"][k]) * m.exp(-p["log_scales"][k]) for k in range(3)]
    return -m.logsumexp([logits[k] - p["log_scales"][k] - 0.5 * z[k] * z[k] for k in range(3)])


def cases() -> list[Case]:
    """Return the programs."""
    grades = rng.integers(0, 4, N)
    low, high = np.eye(5)[grades], np.eye(5)[grades + 1]
    start = {"beta": np.zeros(5)}
    teams = rng.integers(0, 50, (N, 2))
    teams[:, 1] = (teams[:, 0] + 1 + teams[:, 1] % 49) % 50
    return [
        Case("Poisson regression, 1,000 rows", poisson, start, (X, COUNTS), by_hand=poisson_by_hand),
        Case(
            "Student's t, 2,000 numbers",
            student,
            {"location": [0.1], "log_scale": [0.2], "log_df": [1.0]},
            (rng.standard_t(4.0, 2000),),
        ),
        Case("negative binomial regression, 1,000 rows", negative_binomial, start | {"log_r": [0.5]}, (X, COUNTS)),
        Case(
            "Weibull survival, 1,000 rows",
            weibull,
            start | {"log_shape": [0.1]},
            (X, rng.exponential(1.0, N) + 0.01, rng.integers(0, 2, N).astype(float)),
        ),
        Case("ordinal regression, 1,000 rows", ordinal, start | {"first": [-1.0], "gaps": [0.0, 0.1]}, (X, low, high)),
        Case(
            "ranking of 50 players, 1,000 games",
            bradley_terry,
            {"skill": np.linspace(-1.0, 1.0, 50)},
            (teams[:, 0], teams[:, 1]),
        ),
        Case(
            "autoregression, 200 steps",
            autoregression,
            {"a": [0.5], "b": [0.1], "c": [0.0]},
            (rng.normal(size=(1, 200)),),
            by_hand=autoregression_by_hand,
        ),
        Case("growth curve, Jacobian", growth, {}, (np.array([[2.5, 0.7, 6.0]]),), "jacobian"),
        Case(
            "mixture of three normals, 1,000 numbers",
            mixed_density,
            {"logits": np.zeros(3), "means": np.array([-1.0, 0.0, 1.0]), "log_scales": np.zeros(3)},
            (rng.normal(size=N),),
        ),
    ]
