"""Find the minimum of Rosenbrock's function by Newton's method: `python demos/newton.py`.

Each step solves H d = -g with the gradient g and the Hessian H of `micrograd_cn.functional`. Near the minimum the error
is squared at every step, so the number of right digits doubles: the table shows error_k+1 / error_k^2, which stays
bounded. Nothing here is random: --seed changes nothing.
"""

import math

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from tqdm import trange

from common import BLUE, GREY, ORANGE, options, save
from micrograd_cn.functional import grad, hessian
from optimizers import MINIMUM, START, Path, rosenbrock

STEPS = 8


def newton(steps: int) -> Path:
    """Return the places before the first step and after every step."""
    gradient, curvature = grad(lambda p: rosenbrock(*p)), hessian(lambda p: rosenbrock(*p))
    place = START
    path = [place]
    for _ in trange(steps, desc="Newton", unit="step"):
        (gx, gy), ((a, b), (_, c)) = gradient(place), curvature(place)
        determinant = a * c - b * b
        place = (place[0] - (c * gx - b * gy) / determinant, place[1] - (a * gy - b * gx) / determinant)
        path.append(place)
    return path


def draw(path: Path, errors: list[float]) -> Figure:
    """Draw the path over the contours of the function, and the error after every step."""
    horizontal, vertical = np.linspace(-1.6, 1.6, 200), np.linspace(-3.6, 1.8, 200)
    heights = [[rosenbrock(float(x), float(y)) for x in horizontal] for y in vertical]
    figure = Figure(figsize=(12, 5.4), layout="constrained")
    figure.suptitle("Newton's method on Rosenbrock's function, with exact Hessians", fontsize=14)
    left, right = figure.subplots(1, 2, width_ratios=[1.3, 1])
    levels = np.geomspace(0.1, 10_000, 11)
    left.contourf(horizontal, vertical, heights, levels=levels, norm=LogNorm(), cmap="Greys", alpha=0.3, extend="both")
    left.contour(horizontal, vertical, heights, levels=levels, colors=GREY, linewidths=0.6)
    left.plot(*zip(*path, strict=True), "o-", color=BLUE, linewidth=2, markersize=6)
    for k, place in enumerate(path[:4]):
        left.annotate(str(k), place, (9, -4), textcoords="offset points", fontweight="bold")
    left.plot(*MINIMUM, "*", color=ORANGE, markersize=18, zorder=4)
    left.annotate("minimum", MINIMUM, (-12, 4), textcoords="offset points", ha="right", fontweight="bold")
    left.set(xlabel="$x$", ylabel="$y$", title="The path, its first steps numbered")
    left.grid(False)
    shown = [(k, e) for k, e in enumerate(errors) if e > 0]
    right.plot(*zip(*shown, strict=True), "o-", color=BLUE, linewidth=2)
    right.set(xlabel="step", ylabel="distance to (1, 1)", yscale="log", title="The error: in the end it is squared")
    return figure


def main() -> None:
    chosen = options(str(__doc__), STEPS)
    path = newton(chosen.steps)
    errors = [math.dist(place, MINIMUM) for place in path]
    print(f"{'step':>4} {'x':>20} {'y':>20} {'error':>10} {'error / previous^2':>20}")
    for k, ((x, y), error) in enumerate(zip(path, errors, strict=True)):
        ratio = f"{error / errors[k - 1] ** 2:.3g}" if k and errors[k - 1] and error else "-"
        print(f"{k:>4} {x:>20.16f} {y:>20.16f} {error:>10.2e} {ratio:>20}")
    save(draw(path, errors), chosen.out / "newton.png")


if __name__ == "__main__":
    main()
