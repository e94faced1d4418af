"""Bring a pole upright on a cart that is pushed: `python demos/optimal_control.py`, with exact sparse derivatives.

Which force swings a hanging pole up within two seconds and leaves it standing, with the least effort, which is the
integral of the squared force? Direct collocation turns this into a problem with finitely many numbers: the state (the
position of the cart, the angle of the pole, and their rates of change) and the force at equally spaced times. The
trapezoidal rule makes the equations of motion constraints between neighbouring times. The example, its numbers and the
method are from M. Kelly, An Introduction to Trajectory Optimization, SIAM Review 59 (2017), section 6.

Each constraint depends on two neighbouring times only, so most entries of the Jacobian and of the Hessian of the
Lagrangian are always zero. The recorded graph shows which ones, and the compiled program computes only the others.
SciPy's trust-constr solves the problem three times: with these derivatives, with finite differences and a quasi-Newton
Hessian, and, if JAX is installed, with JAX's dense derivatives. Nothing here is random, so --seed changes nothing.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads only wait for each other in matrices as small as these

import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import BFGS, NonlinearConstraint, minimize
from scipy.sparse import coo_array

import micrograd_cn as mg
from micrograd_cn import Value
from micrograd_cn.compiler import (
    Program,
    compile,  # noqa: A004 -- the field's name
)
from shared.figures import BLUE, GREEN, GREY, ORANGE, label, save
from shared.language import text
from shared.options import options

CART, POLE, LENGTH, GRAVITY = 1.0, 0.3, 0.5, 9.81  # kg, kg, m, m/s^2
DISTANCE, SECONDS = 1.0, 2.0  # how far the cart goes, m, and how long it takes
STEPS = 40
STATE = 4  # numbers of a state: position in m, angle in rad (0 when the pole hangs), and their rates of change
KNOT = STATE + 1  # numbers at one time: the state, then the force in N
BEGIN, END = (0.0, 0.0, 0.0, 0.0), (DISTANCE, np.pi, 0.0, 0.0)
ITERATIONS = 300
FRAMES = 15  # per second of the film
SMALL = 1e-6  # the solver stops when the gradient of the Lagrangian is smaller


def motion(knot: Sequence[Any], cos: Callable[[Any], Any], sin: Callable[[Any], Any]) -> list[Any]:
    """Return the rates of change of the state. `knot` has the state and the force at one time, as numbers or arrays."""
    _, angle, speed, turning, force = knot
    c, s = cos(angle), sin(angle)
    pull = LENGTH * POLE * s * turning * turning
    heavy = CART + POLE * s * s
    faster = (pull + force + POLE * GRAVITY * c * s) / heavy
    turned = -(pull * c + force * c + (CART + POLE) * GRAVITY * s) / (LENGTH * heavy)
    return [speed, turning, faster, turned]


def defects(before: Sequence[Any], after: Sequence[Any], step: float, cos: Any, sin: Any) -> list[Any]:
    """Return what must be zero between two times: the change of the state minus the step times its mean rate."""
    rates = zip(motion(before, cos, sin), motion(after, cos, sin), strict=True)
    return [b - a - (step / 2) * (p + q) for a, b, (p, q) in zip(before[:STATE], after[:STATE], rates, strict=True)]


def effort(forces: Any, step: float) -> Any:
    """Return the integral of the squared force, by the trapezoidal rule."""
    squares = [u * u for u in forces]
    return sum(squares[1:-1], 0.5 * (squares[0] + squares[-1])) * step


def guess(steps: int) -> np.ndarray:
    """Return the solver's first guess: the states on a straight line from the first to the last one, and no force."""
    line = np.linspace(BEGIN, END, steps + 1)
    return np.hstack([line, np.zeros((steps + 1, 1))]).ravel()


class Problem(NamedTuple):
    """The functions that the solver calls. They take all numbers of all times as one array.

    Attributes:
        f: the effort, which is the integral of the squared force.
        gradient: the gradient of the effort.
        curvature: the Hessian of the effort.
        constraint: the constraints and their derivatives.
        entries: a text: how many entries the constraints' Jacobian and the Lagrangian's Hessian have.
    """

    f: Callable[[Any], Any]
    gradient: Any
    curvature: Any
    constraint: NonlinearConstraint
    entries: str


class Recorded(NamedTuple):
    """The problem as a graph: its leaves, the effort, and the conditions, which must be zero."""

    xs: list[Value]
    effort: Any
    conditions: list[Any]


def record(steps: int) -> Recorded:
    """Record the problem at the solver's first guess."""
    xs = [Value(x) for x in guess(steps)]
    knots = [xs[k : k + KNOT] for k in range(0, len(xs), KNOT)]
    step = SECONDS / steps
    between = [d for pair in pairwise(knots) for d in defects(*pair, step, mg.cos, mg.sin)]
    ends = [*zip(knots[0], BEGIN, strict=False), *zip(knots[-1], END, strict=False)]
    return Recorded(xs, effort([knot[STATE] for knot in knots], step), [*between, *(x - at for x, at in ends)])


def lagrangian(recorded: Recorded) -> tuple[Program, list[Value]]:
    """Compile the Lagrangian: the effort plus the sum of the conditions, each times a multiplier.

    Return the program and its inputs, which are the leaves of `recorded` and then the multipliers.
    """
    multipliers = [Value(1) for _ in recorded.conditions]
    inputs = [*recorded.xs, *multipliers]
    return compile(recorded.effort + mg.dot(multipliers, recorded.conditions), inputs), inputs


def ours(steps: int) -> Problem:
    """Compile the problem with its sparse derivatives.

    The Hessian of the Lagrangian includes that of the effort, so the solver gets zeros as the Hessian of the effort.
    """
    recorded = record(steps)
    xs, conditions = recorded.xs, recorded.conditions
    objective, constraints, whole = compile(recorded.effort, xs), compile(conditions, xs), lagrangian(recorded)[0]
    jacobian, hessian = constraints.jacobian_structure(), whole.hessian_structure(wrt=xs)
    zeros = coo_array((len(xs), len(xs))).tocsr()

    def matrix(values: Any, structure: Any) -> Any:
        return coo_array((values, structure), shape=structure.shape).tocsr()

    def of_row(f: Callable[..., Any], count: int, **how: Any) -> Callable[..., Any]:
        return lambda *numbers: f(np.hstack(numbers)[None], out=np.empty(count), **how)

    value = of_row(objective.forward, 1)
    slopes = of_row(constraints.jacobian, jacobian.entries)
    bends = of_row(whole.hessian, hessian.entries, wrt=xs)
    return Problem(
        lambda x: value(x)[0],
        of_row(objective.gradient, len(xs)),
        lambda x: zeros,
        NonlinearConstraint(
            of_row(constraints.forward, len(conditions)),
            0.0,
            0.0,
            jac=lambda x: matrix(slopes(x), jacobian),
            hess=lambda x, v: matrix(bends(x, v), hessian),
        ),
        f"{jacobian.entries:,} + {hessian.entries:,}",
    )


def _arrays(steps: int, np: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return the effort and the conditions as functions of arrays, where `np` is numpy or jax.numpy."""
    step = SECONDS / steps

    def f(x: Any) -> Any:
        return effort(x.reshape(-1, KNOT)[:, STATE], step)

    def conditions(x: Any) -> Any:
        knots = x.reshape(-1, KNOT)
        between = np.stack(defects(knots[:-1].T, knots[1:].T, step, np.cos, np.sin), axis=1)
        return np.concatenate(
            [
                between.ravel(),
                knots[0, :STATE] - np.array(BEGIN),
                knots[-1, :STATE] - np.array(END),
            ]
        )

    return f, conditions


def differences(steps: int) -> Problem:
    """Let the solver take finite differences of numpy functions, and approximate Hessians by a quasi-Newton method."""
    f, conditions = _arrays(steps, np)
    n, m = KNOT * (steps + 1), STATE * (steps + 2)
    constraint = NonlinearConstraint(conditions, 0.0, 0.0, jac="2-point", hess=BFGS())
    return Problem(f, "2-point", BFGS(), constraint, f"{n * m:,} + {n * n:,}")


def dense(steps: int) -> Problem:
    """Let JAX compute dense derivatives, all of them jitted."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    f, conditions = _arrays(steps, jnp)
    n, m = KNOT * (steps + 1), STATE * (steps + 2)

    def numpy(function: Any) -> Callable[..., Any]:
        made = jax.jit(function)
        return lambda *numbers: np.asarray(made(*numbers))

    return Problem(
        numpy(f),
        numpy(jax.grad(f)),
        numpy(jax.hessian(f)),
        NonlinearConstraint(
            numpy(conditions),
            0.0,
            0.0,
            jac=numpy(jax.jacrev(conditions)),
            hess=numpy(lambda x, v: jax.hessian(lambda x: v @ conditions(x))(x)),
        ),
        f"{n * m:,} + {n * n:,}",
    )


PROBLEMS = {
    ("micrograd_cn, exact and sparse", "micrograd_cn，精确的稀疏导数"): ours,
    ("finite differences, BFGS", "有限差分，BFGS"): differences,
    ("jax, exact and dense", "jax，精确的稠密导数"): dense,
}


def solve(make: Callable[[int], Problem], steps: int) -> tuple[Any, list[str]]:
    """Return the solver's result, and the lines to print about it."""
    begun = time.perf_counter()
    problem = make(steps)
    count = 0

    def counted(x: Any) -> Any:
        nonlocal count
        count += 1
        return problem.constraint.fun(x)

    constraint = problem.constraint
    watched = NonlinearConstraint(counted, 0.0, 0.0, jac=constraint.jac, hess=constraint.hess)
    made = time.perf_counter()
    found = minimize(
        problem.f,
        guess(steps),
        method="trust-constr",
        jac=problem.gradient,
        hess=problem.curvature,
        constraints=[watched],
        options={"maxiter": ITERATIONS, "gtol": SMALL, "xtol": 1e-12, "initial_tr_radius": 10.0},
    )
    ended = time.perf_counter()
    kept, gradient = f"{found.constr_violation:.0e}", f"{found.optimality:.0e}"
    return found, [
        text(f"derivatives: {problem.entries} numbers", f"导数：{problem.entries} 个数"),
        text(
            f"iterations: {found.niter}, evaluations of the constraints: {count:,}",
            f"迭代：{found.niter} 次，约束求值：{count:,} 次",
        ),
        text(
            f"effort: {found.fun:.6f}, constraints kept to {kept}, gradient {gradient}",
            f"代价：{found.fun:.6f}，约束误差：{kept}，梯度：{gradient}",
        ),
        text("time: ", "时间：")
        + text(
            f"{ended - begun:.2f} s, {made - begun:.2f} s of it to prepare",
            f"{ended - begun:.2f} s，其中准备 {made - begun:.2f} s",
        ),
    ]


# The picture.


def pole(axes: Axes, place: float, angle: float, **how: Any) -> list[Any]:
    """Draw the cart and its pole, and return the lines that matplotlib made."""
    top = place + LENGTH * np.sin(angle), -LENGTH * np.cos(angle)
    [rod] = axes.plot([place, top[0]], [0, top[1]], "-", linewidth=3, solid_capstyle="round", **how)
    [bob] = axes.plot(*top, "o", markersize=12, **how)
    [cart] = axes.plot([place], [0], "s", markersize=16, **how)
    return [rod, bob, cart]


def stage(axes: Axes, places: Any) -> None:
    """Set the limits of axes so they show a cart at all of its `places`, and draw its track."""
    axes.axhline(0, color=GREY, linewidth=1, zorder=0)
    axes.set(
        xlim=(places.min() - 0.6, places.max() + 0.6),
        ylim=(-0.62, 0.62),
        aspect="equal",
        xlabel=label("place, m", "位置（m）"),
    )
    axes.set_yticks([])
    axes.grid(False)


def draw(x: Any, steps: int) -> Figure:
    """Draw the pole at several times in one picture, the force and the angle over time, and the sparse Hessian."""
    knots = x.reshape(-1, KNOT)
    times = np.linspace(0, SECONDS, steps + 1)
    figure = Figure(figsize=(12, 6), layout="constrained")
    figure.suptitle(
        label("A pole swings up with the least effort, found with exact sparse derivatives", "摆以最省力的方式摆起"),
        fontsize=14,
    )
    parts: Any = figure.subfigures(2, 1, height_ratios=[1.25, 1])
    above, below = parts
    axes = above.subplots()
    for k in np.linspace(0, steps, 13).round().astype(int):
        pole(axes, knots[k, 0], knots[k, 1], color=BLUE, alpha=0.12 + 0.88 * (k / steps) ** 2)
    stage(axes, knots[:, 0])
    force, angle, band = below.subplots(1, 3, width_ratios=[1.4, 1.4, 1])
    force.plot(times, knots[:, 4], color=ORANGE, linewidth=2)
    force.set(xlabel=label("time, s", "时间（s）"), title=label("Force, N", "力（N）"))
    angle.plot(times, np.degrees(knots[:, 1]), color=BLUE, linewidth=2)
    angle.set(xlabel=label("time, s", "时间（s）"), title=label("Angle of the pole, degrees", "摆的角度（度）"))
    angle.set(yticks=range(-90, 271, 90))
    recorded = record(steps)
    rows, columns = lagrangian(recorded)[0].hessian_structure(wrt=recorded.xs)
    band.plot(columns, rows, "s", color=GREEN, markersize=0.8)
    n = len(recorded.xs)
    share = len(rows) / n**2
    title = label(f"Hessian: {100 * share:.1f} % are entries", f"黑塞矩阵：{100 * share:.1f} % 的元素非零")
    band.set(xlim=(-1, n), ylim=(n, -1), aspect="equal", title=title)
    band.set(xticks=[], yticks=[])
    band.grid(False)
    return figure


def animate(x: Any, steps: int) -> FuncAnimation:
    """Return a film of the pole."""
    knots = x.reshape(-1, KNOT)
    times = np.linspace(0, SECONDS, steps + 1)
    figure = Figure(figsize=(6, 3), dpi=60, layout="constrained")
    axes = figure.subplots()
    stage(axes, knots[:, 0])
    rod, bob, cart = pole(axes, *knots[0, :2], color=BLUE)

    def show(frame: int) -> list[Any]:
        place, angle = (np.interp(min(frame / FRAMES, SECONDS), times, knots[:, k]) for k in range(2))
        top = place + LENGTH * np.sin(angle), -LENGTH * np.cos(angle)
        rod.set_data([place, top[0]], [0, top[1]])
        bob.set_data([top[0]], [top[1]])
        cart.set_data([place], [0])
        return [rod, bob, cart]

    return FuncAnimation(figure, show, frames=round(FRAMES * (SECONDS + 0.5)), blit=True)


def main() -> None:
    chosen = options(str(__doc__), "用最少的力气让小车上的摆摆起并立住", STEPS)
    best = None
    variables, constraints = f"{KNOT * (chosen.steps + 1):,}", f"{STATE * (chosen.steps + 2):,}"
    print(
        text(f"{variables} variables, {constraints} constraints", f"{variables} 个变量，{constraints} 个约束"),
        "",
        sep="\n",
    )
    for names, make in PROBLEMS.items():
        name = text(*names)
        if make is dense and not find_spec("jax"):
            print(name + text(": jax is not installed", "：没有安装 jax"))
            continue
        found, lines = solve(make, chosen.steps)
        best = found if make is ours else best
        print(name, *lines, "", sep="\n")
    assert best is not None
    save(draw(best.x, chosen.steps), chosen.out / "optimal_control.png")
    film = chosen.out / "optimal_control.gif"
    animate(best.x, chosen.steps).save(film, writer=PillowWriter(fps=FRAMES))
    print(text("wrote", "已写入"), film)


if __name__ == "__main__":
    main()
