"""Descend Rosenbrock's valley with SGD, with momentum and with Adam: `python demos/optimizers.py`.

f(x, y) = (1 - x)^2 + 100 (y - x^2)^2 is a narrow bent valley whose floor falls gently to the minimum 0 at (1, 1)
(Rosenbrock 1960). All three optimisers start at (-1.2, 1). The picture shows their paths over the contours of f, and
how far from the minimum they are after every step. Nothing here is random, so --seed changes nothing.
"""

import math
from typing import TypeVar

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from tqdm import trange

from micrograd_cn import Value
from micrograd_cn.optim import SGD, Adam, Optimizer
from shared.figures import BLUE, GREEN, GREY, ORANGE, label, save
from shared.language import align_right, text
from shared.options import options

START, MINIMUM = (-1.2, 1.0), (1.0, 1.0)
STEPS = 2000

Number = TypeVar("Number", float, Value)
Path = list[tuple[float, float]]


def rosenbrock(x: Number, y: Number) -> Number:
    """Return (1 - x)^2 + 100 (y - x^2)^2. x and y are `Value`s, or numbers for the contours of the picture."""
    return (1 - x) ** 2 + 100 * (y - x * x) ** 2


def descend(name: str, optimizer: Optimizer, steps: int) -> Path:
    """Return the optimiser's two parameters as points, before the first step and after every step."""
    x, y = optimizer.parameters
    path = [(x.data, y.data)]
    progress = trange(steps, desc=name, unit=text("step", "步"))
    for _ in progress:
        loss = rosenbrock(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        path.append((x.data, y.data))
        progress.set_postfix(loss=f"{loss.data:.2e}", refresh=False)
    return path


def start() -> list[Value]:
    return [Value(data, name) for data, name in zip(START, "xy", strict=True)]


def draw(optimizers: dict[str, Optimizer], paths: dict[str, Path]) -> Figure:
    """Draw the paths over the contours of the function, and their distances to the minimum step by step."""
    horizontal, vertical = np.linspace(-1.6, 1.5, 200), np.linspace(-0.4, 1.75, 160)
    heights = [[rosenbrock(float(x), float(y)) for x in horizontal] for y in vertical]

    figure = Figure(figsize=(12.5, 5.8), layout="constrained")
    title = "Three ways down Rosenbrock's valley, from (−1.2, 1) to its lowest point, (1, 1)"
    figure.suptitle(label(title, "走下 Rosenbrock 山谷的三种办法，从 (−1.2, 1) 到最低点 (1, 1)"), fontsize=14)
    left, curves = figure.subplots(1, 2, width_ratios=[1.6, 1])
    levels = np.geomspace(0.1, 1000, 9)
    left.contourf(horizontal, vertical, heights, levels=levels, norm=LogNorm(), cmap="Greys", alpha=0.3, extend="both")
    lines = left.contour(horizontal, vertical, heights, levels=levels, colors=GREY, linewidths=0.6)
    left.clabel(lines, fmt="%g", fontsize=10, colors="black", manual=[(0, 0.3), (0, 1), (1.3, 0.7), (-1.3, 0.7)])
    # On the valley's floor the paths cover each other. The first one is drawn widest, so it is seen under the others.
    looks = zip((BLUE, ORANGE, GREEN), (6, 2.6, 1.4), (0.6, 1, 1), strict=True)
    for (name, path), (colour, width, alpha) in zip(paths.items(), looks, strict=True):
        distances = [math.dist(place, MINIMUM) for place in path]
        rate, end = f"{optimizers[name].lr:g}", f"{distances[-1]:.2g}"
        legend = label(f"{name}, lr {rate}: ends {end} from (1, 1)", f"{name}，学习率 {rate}：最后离 (1, 1) {end}")
        left.plot(*zip(*path, strict=True), color=colour, linewidth=width, alpha=alpha, label=legend)
        curves.plot(distances, color=colour, linewidth=2, label=name)
    left.plot(*START, "ks", markersize=8, zorder=4)
    left.annotate(label("start", "起点"), START, (-9, -16), textcoords="offset points", ha="right", fontweight="bold")
    left.plot(*MINIMUM, "k*", markersize=15, zorder=4)
    left.annotate(
        label("minimum", "最小值"), MINIMUM, (-9, 4), textcoords="offset points", ha="right", fontweight="bold"
    )
    title = "Paths over $(1 - x)^2 + 100\\,(y - x^2)^2$; contours a factor $\\sqrt{10}$ apart"
    title = label(title, "(1 − x)² + 100 (y − x²)² 上的路径，等高线依次差 √10 倍")  # formula fonts have no Chinese
    left.set(xlabel="$x$", ylabel="$y$", title=title)
    left.grid(False)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    curves.set(xlabel=label("step", "步"), ylabel=label("distance", "距离"), yscale="log")
    curves.set_title(label("Distance to (1, 1)", "到 (1, 1) 的距离"))
    return figure


def main() -> None:
    chosen = options(str(__doc__), "SGD、动量法和 Adam 走过 Rosenbrock 山谷", STEPS)
    # Each learning rate is the largest of the form 1, 2 or 5 times a power of ten that gives a steady path.
    optimizers = {
        "SGD": SGD(start(), lr=0.002),
        "SGD, momentum 0.9": SGD(start(), lr=0.002, momentum=0.9),
        "Adam": Adam(start(), lr=0.1),
    }
    paths = {name: descend(name, optimizer, chosen.steps) for name, optimizer in optimizers.items()}
    first, last = text("optimizer", "优化器"), text("distance to (1, 1)", "到 (1, 1) 的距离")
    print(f"{align_right(first, 18)} {'lr':>6} {'x':>10} {'y':>10} {'f(x, y)':>10} {align_right(last, 20)}")
    for name, path in paths.items():
        x, y = path[-1]
        print(
            f"{name:>18} {optimizers[name].lr:>6g} {x:>10.6f} {y:>10.6f} "
            f"{rosenbrock(x, y):>10.1e} {math.dist(path[-1], MINIMUM):>20.1e}"
        )
    save(draw(optimizers, paths), chosen.out / "optimizers.png")


if __name__ == "__main__":
    main()
