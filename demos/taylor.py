"""Plot the Taylor polynomials of functions from their derivatives at a point: `python demos/taylor.py`.

The n-th derivative is `grad` applied n times. The higher its degree, the further the polynomial of sin follows sin. The
polynomials of 1/(1 + x^2) follow it only up to the distance 1 from the point 0, since the function has poles at i and
-i. --steps is the largest degree. Nothing here is random, so --seed changes nothing.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import trange

from micrograd_cn import sin
from micrograd_cn.functional import grad
from shared.figures import BLUE, GREEN, GREY, ORANGE, label, save
from shared.language import align_right, text
from shared.options import options

DEGREE = 12
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], float, float]] = {
    "sin(x)": (sin, 0.0, 8.0),
    "1 / (1 + x^2)": (lambda x: 1 / (1 + x * x), 0.0, 2.0),
}


def derivatives(f: Callable[[Any], Any], x: float, degree: int) -> list[float]:
    """Return f(x) and the derivatives of f at x up to the order `degree`."""
    found = [float(f(x))]
    for _ in trange(degree, desc=text("derivatives", "求导"), unit=text("order", "阶")):
        f = grad(f)
        found.append(f(x))
    return found


def polynomial(slopes: list[float], d: float) -> float:
    """Return the Taylor polynomial at the distance d from its centre: the sum of slopes[n] / n! * d**n."""
    return math.fsum(slope / math.factorial(n) * d**n for n, slope in enumerate(slopes))


def draw(found: dict[str, list[float]], degree: int) -> Figure:
    """Draw each function with its Taylor polynomials of up to three degrees."""
    figure = Figure(figsize=(12.5, 5.2), layout="constrained")
    figure.suptitle(
        label("Taylor polynomials from derivatives of any order", "由任意阶导数得到的泰勒多项式"), fontsize=14
    )
    degrees = sorted({max(1, degree // 4), max(1, degree // 2), degree})
    for ax, (name, (f, centre, reach)) in zip(figure.subplots(1, 2), FUNCTIONS.items(), strict=True):
        xs = np.linspace(centre - reach, centre + reach, 401)
        exact = [float(f(float(x))) for x in xs]
        for n, colour, style in zip(degrees, (GREEN, ORANGE, BLUE), (":", "--", "-"), strict=False):
            ys = [polynomial(found[name][: n + 1], float(x) - centre) for x in xs]
            ax.plot(xs, ys, color=colour, linestyle=style, linewidth=2, label=label(f"degree {n}", f"{n} 次"))
        ax.plot(xs, exact, color="black", linewidth=4, alpha=0.35, label=label("the function", "原函数"))
        low, high = min(exact), max(exact)
        ax.set(
            title=label(f"${name}$ around {centre:g}".replace("sin", r"\sin"), f"{name}，在 {centre:g} 附近"),
            xlabel="$x$",
            ylim=(low - 0.7 * (high - low), high + 0.7 * (high - low)),
        )
        ax.axvline(centre, color=GREY, linewidth=0.8)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def main() -> None:
    chosen = options(str(__doc__), "由任意阶导数得到的泰勒多项式", DEGREE)
    found = {name: derivatives(f, x, chosen.steps) for name, (f, x, _) in FUNCTIONS.items()}
    print(align_right(text("order", "阶数"), 5) + "".join(f"{name:>22}" for name in found))
    for n in range(chosen.steps + 1):
        print(f"{n:>5}" + "".join(f"{slopes[n] + 0.0:>22.10g}" for slopes in found.values()))
    save(draw(found, chosen.steps), chosen.out / "taylor.png")


if __name__ == "__main__":
    main()
