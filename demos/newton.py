"""Find the minimum of Rosenbrock's function by Newton's method: `python demos/newton.py`.

Each step solves H d = -g, where the gradient g and the Hessian H come from `micrograd_cn.functional`. Near the minimum
every step squares the error, so the number of right digits doubles. The table shows error_k+1 / error_k^2, which stays
bounded. Nothing here is random, so --seed changes nothing.
"""

import math

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from tqdm import trange

from micrograd_cn.functional import grad, hessian
from optimizers import MINIMUM, START, Path, rosenbrock
from shared.figures import BLUE, GREY, ORANGE, label, save
from shared.language import align_right, text
from shared.options import options

STEPS = 8


def newton(steps: int) -> Path:
    """Return the point before the first step and the points after every step."""
    gradient, curvature = grad(lambda p: rosenbrock(*p)), hessian(lambda p: rosenbrock(*p))
    place = START
    path = [place]
    for _ in trange(steps, desc=text("Newton", "牛顿法"), unit=text("step", "步")):
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
    title = "Newton's method on Rosenbrock's function, with exact Hessians"
    figure.suptitle(label(title, "用牛顿法求 Rosenbrock 函数的最小值，黑塞矩阵是精确的"), fontsize=14)
    left, curve = figure.subplots(1, 2, width_ratios=[1.3, 1])
    levels = np.geomspace(0.1, 10_000, 11)
    left.contourf(horizontal, vertical, heights, levels=levels, norm=LogNorm(), cmap="Greys", alpha=0.3, extend="both")
    left.contour(horizontal, vertical, heights, levels=levels, colors=GREY, linewidths=0.6)
    left.plot(*zip(*path, strict=True), "o-", color=BLUE, linewidth=2, markersize=6)
    for k, place in enumerate(path[:4]):
        left.annotate(str(k), place, (9, -4), textcoords="offset points", fontweight="bold")
    left.plot(*MINIMUM, "*", color=ORANGE, markersize=18, zorder=4)
    left.annotate(
        label("minimum", "最小值"), MINIMUM, (-12, 4), textcoords="offset points", ha="right", fontweight="bold"
    )
    left.set(xlabel="$x$", ylabel="$y$", title=label("The path, its first steps numbered", "路径，前几步标了号"))
    left.grid(False)
    shown = [(k, e) for k, e in enumerate(errors) if e > 0]
    curve.plot(*zip(*shown, strict=True), "o-", color=BLUE, linewidth=2)
    curve.set(xlabel=label("step", "步"), ylabel=label("distance to (1, 1)", "到 (1, 1) 的距离"), yscale="log")
    curve.set_title(label("The error: in the end it is squared", "误差：最后每步变成平方"))
    return figure


def main() -> None:
    chosen = options(str(__doc__), "用牛顿法求 Rosenbrock 函数的最小值", STEPS)
    path = newton(chosen.steps)
    errors = [math.dist(place, MINIMUM) for place in path]
    name, ratio = text("error", "误差"), text("error / previous^2", "误差 / 上步误差^2")
    print(f"{align_right(text('step', '步'), 4)} {'x':>20} {'y':>20} {align_right(name, 10)} {align_right(ratio, 20)}")
    for k, ((x, y), error) in enumerate(zip(path, errors, strict=True)):
        ratio = f"{error / errors[k - 1] ** 2:.3g}" if k and errors[k - 1] and error else "-"
        print(f"{k:>4} {x:>20.16f} {y:>20.16f} {error:>10.2e} {ratio:>20}")
    save(draw(path, errors), chosen.out / "newton.png")


if __name__ == "__main__":
    main()
