"""Separate two moons with a maximum-margin classifier, micrograd's own demo: `python demos/moons.py [--compiled]`.

An MLP with two hidden layers of 16 neurons gives each of 100 points a score. The loss is the mean over the points of
the hinge max(0, 1 - y * score), where the target y is -1 or 1. Every step uses all points and decays the weights a
little, which is micrograd's L2 penalty. The picture shows the decision boundary, where the score is 0, and the margins,
where it is -1 or 1. With --compiled the same training runs once more as machine code.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import make_moons
from tqdm import trange

from micrograd_cn import Value, no_grad, relu
from micrograd_cn.losses import hinge_loss
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD, linear_lr
from shared.figures import BLUE, ORANGE, label, save
from shared.language import text
from shared.options import options
from shared.training import print_comparison

Point = list[float]


def train(model: MLP, points: Sequence[Point], targets: Sequence[int], steps: int) -> float:
    """Run gradient descent on all points at once; return the loss before the last step."""
    optimizer = SGD(model.parameters(), weight_decay=2e-4)  # the gradient of 1e-4 * p**2 is 2e-4 * p
    decay = linear_lr(1.0, steps, 0.1)
    progress = trange(steps, desc=text("training", "训练"), unit=text("step", "步"))
    for step in progress:
        scores = [model(point) for point in points]
        loss = hinge_loss(scores, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.lr = decay(step)
        optimizer.step()
        accuracy = sum((score > 0) == (y > 0) for y, score in zip(targets, scores, strict=True)) / len(points)
        progress.set_postfix(loss=f"{loss.data:.3f}", accuracy=f"{accuracy:.0%}", refresh=False)
    return float(loss.data)


def train_compiled(model: MLP, points: Sequence[Point], targets: Sequence[int], steps: int) -> float:
    """Train as `train` does, with the compiled loss of one point; return the loss before the last step."""
    from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name; needs llvmlite

    @compile
    def loss(point: Sequence[Value], y: Value) -> Any:
        return relu(1 - y * model(point))

    samples = list(zip(points, targets, strict=True))
    optimizer = SGD(model.parameters(), weight_decay=2e-4)
    return loss.fit(samples, optimizer, epochs=steps, schedule=linear_lr(1.0, steps, 0.1))[-1]


def draw(model: MLP, points: Sequence[Point], targets: Sequence[int]) -> Figure:
    """Draw the points over the model's scores in the plane, with the decision boundary and the margins."""
    (left, bottom), (right, top) = np.min(points, axis=0) - 0.4, np.max(points, axis=0) + 0.4
    horizontal, vertical = np.linspace(left, right, 80), np.linspace(bottom, top, 60)
    with no_grad():
        scores = [[model([x1, x2]).data for x1 in horizontal] for x2 in vertical]

    figure = Figure(figsize=(7.5, 5.3), layout="constrained")
    ax = figure.subplots()
    ax.contourf(horizontal, vertical, scores, levels=[-np.inf, 0, np.inf], colors=[ORANGE, BLUE], alpha=0.18)
    lines = ax.contour(
        horizontal, vertical, scores, levels=[-1, 0, 1], colors="black", linestyles=["dashed", "solid", "dashed"]
    )
    ax.clabel(lines, fmt={-1: "−1", 0: "0", 1: "1"})
    for target, colour, marker, name in ((-1, ORANGE, "o", "−1"), (1, BLUE, "^", "1")):
        x1, x2 = zip(*(point for point, y in zip(points, targets, strict=True) if y == target), strict=True)
        ax.scatter(
            x1,
            x2,
            s=45,
            color=colour,
            marker=marker,
            edgecolor="white",
            label=label("target ", "目标值 ") + name,
            zorder=3,
        )
    ax.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    title = "Two moons: decision boundary (score 0) and margins (score −1, 1)"
    ax.set_title(label(title, "双月形：决策边界（得分 0）和间隔（得分 −1、1）"))
    ax.grid(False)
    ax.legend(loc="upper right")
    return figure


def main() -> None:
    chosen = options(str(__doc__), "用最大间隔分类器分开双月形数据", steps=100, compiled=True)
    data, classes = make_moons(n_samples=100, noise=0.1, random_state=chosen.seed)
    points, targets = data.tolist(), (2 * classes - 1).tolist()
    model, other = (MLP(2, [16, 16, 1], init="kaiming_uniform", seed=chosen.seed) for _ in range(2))
    start = time.perf_counter()
    loss = train(model, points, targets, chosen.steps)
    seconds = time.perf_counter() - start
    with no_grad():
        correct = sum((model(point) > 0) == (y > 0) for point, y in zip(points, targets, strict=True))
    print(f"{text('final loss: ', '最后的损失：')}{loss:.6f}")
    print(f"{text('accuracy: ', '准确率：')}{correct / len(points):.0%}")
    if chosen.compiled:
        start = time.perf_counter()
        compiled_loss = train_compiled(other, points, targets, chosen.steps)
        print_comparison(seconds, time.perf_counter() - start, (loss, compiled_loss), (model, other))
    save(draw(model, points, targets), chosen.out / "moons.png")


if __name__ == "__main__":
    main()
