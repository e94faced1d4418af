"""Fits and plans of finance and economics."""

from typing import Any

import numpy as np

from .cases import Case, generator

rng = generator()
INCOMES, DISCOUNTS = np.repeat([1.0, 0.2], [30, 10]), 0.96 ** np.arange(40)
MATURITIES = np.array([0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 25.0, 30.0])


def yield_curve(m: Any, p: Any, t: Any, observed: Any) -> Any:
    """The squared error of Nelson and Siegel's curve."""
    z = t / m.exp(p["log_tau"][0])
    slope = (1.0 - m.exp(-z)) / z
    error = p["level"][0] + p["slope"][0] * slope + p["curve"][0] * (slope - m.exp(-z)) - observed
    return error * error


def yield_curve_by_hand(p: Any, data: Any) -> Any:
    t, observed = data
    tau = np.exp(p["log_tau"][0])
    z = t / tau
    decay = np.exp(-z)
    slope = (1.0 - decay) / z
    error = p["level"][0] + p["slope"][0] * slope + p["curve"][0] * (slope - decay) - observed
    d_slope = decay / z - (1.0 - decay) / z**2
    d_z = p["slope"][0] * d_slope + p["curve"][0] * (d_slope + decay)
    parts = (np.ones_like(z), slope, slope - decay, -z * d_z)
    return (error * error).mean(), np.array([(2.0 * error * part).mean() for part in parts])


def sabr(m: Any, p: Any, strike: Any, observed: Any) -> Any:
    """The squared error of Hagan's formula for implied volatility, with beta 1."""
    alpha, rho, nu = m.exp(p["log_alpha"][0]), m.tanh(p["rho"][0]), m.exp(p["log_nu"][0])
    z = nu / alpha * m.log(100.0 / strike)
    x = m.log((m.sqrt(1.0 - 2.0 * rho * z + z * z) + z - rho) / (1.0 - rho))
    error = alpha * z / x * (1.0 + 0.25 * rho * nu * alpha + (2.0 - 3.0 * rho * rho) / 24.0 * nu * nu) - observed
    return error * error


def shortfall(m: Any, p: Any, returns: Any) -> Any:
    """The expected shortfall of a portfolio of ten assets, with a softplus in place of max(0, x)."""
    shares = m.softmax(p["logits"])
    loss = -(returns @ shares) - p["quantile"][0]
    return p["quantile"][0] + m.softplus(200.0 * loss) / 200.0 / 0.05


def life_cycle(m: Any, p: Any, savings: Any) -> Any:
    """The negative utility of a life of 40 years; each year, a share of the income and the wealth is saved."""

    def live(state: Any, year: Any) -> Any:
        wealth, utility = state
        share = m.sigmoid(savings[year])
        means = wealth + m.take(INCOMES, year)
        return 1.03 * share * means, utility - m.take(DISCOUNTS, year) / ((1.0 - share) * means)

    return -m.repeat(40, live, (1.0, 0.0), with_index=True)[1]


def cases() -> list[Case]:
    """Return the programs."""
    curve = {"level": [0.03], "slope": [-0.01], "curve": [0.01], "log_tau": [0.5]}
    smile = {"log_alpha": [-1.5], "rho": [-0.3], "log_nu": [-0.7]}
    strikes = np.linspace(70.0, 99.0, 500)
    return [
        Case(
            "yield curve, 12 maturities",
            yield_curve,
            curve,
            (MATURITIES, 0.02 + 0.01 * np.sqrt(MATURITIES / 30.0)),
            by_hand=yield_curve_by_hand,
        ),
        Case("SABR, 500 strikes", sabr, smile, (strikes, 0.2 + 1e-3 * rng.normal(size=500))),
        Case(
            "expected shortfall, 250 days",
            shortfall,
            {"logits": np.zeros(10), "quantile": [0.01]},
            (rng.normal(0.0005, 0.01, (250, 10)),),
        ),
        Case("saving over 40 years", life_cycle, {}, (np.zeros((1, 40)),), "each"),
    ]
