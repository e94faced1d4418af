"""Sparse derivatives beside CasADi, JAX and SymPy, for four problems. Each is a function of numbers of any kind.

    valleys     Rosenbrock's function of n variables, and its Hessian
    chemistry   POLLU, 20 species of polluted air in 25 reactions, and its Jacobian (J. G. Verwer, 1994; Test Set for
                Initial Value Problem Solvers, F. Mazzia and C. Magherini, 2008), for one place and for 1,000 at once
    bundle      where a camera with distortion sees a point, two numbers that depend on 12, and their Jacobian for 4,096
                observations (S. Agarwal and others, Bundle Adjustment in the Large, 2010, whose camera this is)
    control     the Hessian of the Lagrangian of demos/optimal_control.py

A contender prepares a derivative: it records, differentiates, compiles and calls it once. After that a call reads a
numpy array and fills another one. CasADi is called through its buffers, which is its fastest way, and the system's
compiler compiles its C with -O2. JAX's derivatives are dense. SymPy's expressions are not simplified, but their common
subexpressions are computed once.
"""

import math
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import pairwise
from shutil import which
from typing import Any, NamedTuple

import micrograd_cn as mg
from benchmarks.timing import Row, jax_on_one_thread, ratio, time_in_turns
from micrograd_cn import Value

MOST_ENTRIES = 4_000_000  # of a dense matrix; a larger one is not computed
Call = Callable[[], Any]  # fills an array, and returns it


class Problem(NamedTuple):
    """A function, the points at which it is evaluated, and the derivative that is wanted.

    Attributes:
        f: takes the inputs, numbers of any kind, and a module that has cos, sin and sqrt for them; returns the outputs.
        points: the numbers of the inputs, one row for each evaluation that a call makes.
        second: whether the derivative is the Hessian of the only output; otherwise it is the Jacobian.
        fixed: how many of the last inputs the derivative is not taken with respect to.
        arrays: the same function of one array, for JAX, which takes too long to trace many single numbers.
    """

    f: Callable[[Sequence[Any], Any], list[Any]]
    points: list[list[float]]
    second: bool
    fixed: int = 0
    arrays: Callable[[Any, Any], Any] | None = None


def valleys(x: Sequence[Any], xp: Any) -> list[Any]:
    return [sum(100.0 * (b - a**2) ** 2 + (1.0 - a) ** 2 for a, b in pairwise(x))]


def valleys_of_array(x: Any, np: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


RATES = [
    *(0.35, 26.6, 12300.0, 8.6e-4, 8.2e-4, 15000.0, 1.3e-4, 24000.0, 16500.0, 9000.0, 0.022, 12000.0, 1.88),
    *(16300.0, 4.8e6, 3.5e-4, 0.0175, 1e8, 4.44e11, 1240.0, 2.1, 5.78, 0.0474, 1780.0, 3.12),
]  # fmt: skip


def chemistry(y: Sequence[Any], xp: Any) -> list[Any]:
    y1, y2, y3, y4, y5, y6, y7, _, y9, y10, y11, _, y13, y14, _, y16, y17, _, y19, y20 = y
    speeds = [
        *(y1, y2 * y4, y5 * y2, y7, y7, y7 * y6, y9, y9 * y6, y11 * y2, y11 * y1, y13, y10 * y2, y14, y1 * y6, y3),
        *(y4, y4, y16, y16, y17 * y6, y19, y19, y1 * y4, y19 * y1, y20),
    ]  # fmt: skip
    r = [None, *(k * x for k, x in zip(RATES, speeds, strict=True))]
    return [
        -(r[1] + r[10] + r[14] + r[23] + r[24]) + (r[2] + r[3] + r[9] + r[11] + r[12] + r[22] + r[25]),
        -r[2] - r[3] - r[9] - r[12] + r[1] + r[21],
        -r[15] + r[1] + r[17] + r[19] + r[22],
        -r[2] - r[16] - r[17] - r[23] + r[15],
        -r[3] + 2.0 * r[4] + r[6] + r[7] + r[13] + r[20],
        -r[6] - r[8] - r[14] - r[20] + r[3] + 2.0 * r[18],
        -r[4] - r[5] - r[6] + r[13],
        r[4] + r[5] + r[6] + r[7],
        -r[7] - r[8],
        -r[12] + r[7] + r[9],
        -r[9] - r[10] + r[8] + r[11],
        r[9],
        -r[11] + r[10],
        -r[13] + r[12],
        r[14],
        -r[18] - r[19] + r[16],
        -r[20],
        r[20],
        -r[21] - r[22] - r[24] + r[23] + r[25],
        -r[25] + r[24],
    ]


# Means and standard deviations of the numbers of a camera and of the point that it sees.
MEANS = [0.0, 0.0, 0.0, 0.0, 0.0, -5.0, 500.0, 0.0, 0.0, 0.0, 0.0, 0.0]
WIDTHS = [0.3, 0.3, 0.3, 0.1, 0.1, 0.1, 9.0, 0.01, 0.001, 1.0, 1.0, 1.0]


def bundle(x: Sequence[Any], xp: Any) -> list[Any]:
    """Return where a camera sees a point.

    The inputs are the camera's rotation, translation, focal length and distortion, then the point.
    """
    a, b, c, shift_x, shift_y, shift_z, focal, k1, k2, px, py, pz = x
    square = a * a + b * b + c * c
    angle = xp.sqrt(square)
    cos, sinc, rest = xp.cos(angle), xp.sin(angle) / angle, (1.0 - xp.cos(angle)) / square
    along = (a * px + b * py + c * pz) * rest
    qx = px * cos + (b * pz - c * py) * sinc + a * along + shift_x
    qy = py * cos + (c * px - a * pz) * sinc + b * along + shift_y
    qz = pz * cos + (a * py - b * px) * sinc + c * along + shift_z
    u, v = -qx / qz, -qy / qz
    r = u * u + v * v
    scale = focal * (1.0 + r * (k1 + k2 * r))
    return [scale * u, scale * v]


def control(x: Sequence[Any], xp: Any) -> list[Any]:
    """Return the Lagrangian of the problem in demos/optimal_control.py, in which a pole on a cart is swung up.

    The inputs are the state and the force at each time, and then the multipliers.
    """
    from optimal_control import KNOT, SECONDS, STATE, STEPS, defects, effort

    step = SECONDS / STEPS
    knots = [x[k : k + KNOT] for k in range(0, KNOT * (STEPS + 1), KNOT)]
    between = [d for pair in pairwise(knots) for d in defects(*pair, step, xp.cos, xp.sin)]
    weighted = sum(a * b for a, b in zip(x[KNOT * (STEPS + 1) :], between, strict=True))
    return [effort([knot[STATE] for knot in knots], step) + weighted]


def control_of_array(x: Any, np: Any) -> Any:
    from optimal_control import KNOT, SECONDS, STATE, STEPS, defects, effort

    size, step = KNOT * (STEPS + 1), SECONDS / STEPS
    knots = x[:size].reshape(-1, KNOT)
    between = np.stack(defects(knots[:-1].T, knots[1:].T, step, np.cos, np.sin), axis=1)
    return effort(knots[:, STATE], step) + x[size:] @ between.ravel()


def problems() -> dict[str, Problem]:
    """Return the problems by name."""
    import random

    from optimal_control import KNOT, STATE, STEPS

    rng = random.Random(0)
    start = [0.0, 0.2, 0.0, 0.04, 0.0, 0.0, 0.1, 0.3, 0.01, *[0.0] * 7, 0.007, 0.0, 0.0, 0.0]
    cells = [[abs(x + 0.01 * rng.random()) for x in start] for _ in range(1000)]
    seen = [[rng.gauss(mean, width) for mean, width in zip(MEANS, WIDTHS, strict=True)] for _ in range(4096)]
    multipliers = STATE * STEPS
    lagrangian = [rng.gauss(0, 1) for _ in range(KNOT * (STEPS + 1) + multipliers)]

    def rosenbrock(n: int) -> Problem:
        return Problem(valleys, [[rng.gauss(0, 1) for _ in range(n)]], second=True, arrays=valleys_of_array)

    return {
        "valleys, n = 1,000": rosenbrock(1000),
        "valleys, n = 10,000": rosenbrock(10_000),
        "chemistry, 1 place": Problem(chemistry, cells[:1], second=False),
        "chemistry, 1,000 places": Problem(chemistry, cells, second=False),
        "bundle, 4,096 observations": Problem(bundle, seen, second=False),
        "control, 205 variables": Problem(control, [lagrangian], True, multipliers, control_of_array),
    }


# Each contender returns a call that computes the derivative, and the places of the entries that the call computes.

Prepared = tuple[Call, Any, Any]  # the call, and the rows and columns of the entries; None for a dense matrix


def ours(problem: Problem) -> Prepared:
    import numpy as np

    rows = np.array(problem.points)
    xs = [Value(x) for x in problem.points[0]]
    outputs = problem.f(xs, mg)
    wrt = xs[: len(xs) - problem.fixed]
    if problem.second:
        derivative = mg.compiler.compile(outputs[0], xs).derivative("hessian", wrt, lower=True)
    else:
        derivative = mg.compiler.compile(outputs, xs).derivative("jacobian", wrt)
    assert derivative.program  # None would mean that all entries are constants
    out = np.empty((len(rows), derivative.structure.entries))
    return derivative.program.prepare(rows, out), *derivative.structure


def _casadi(problem: Problem) -> tuple[Any, Any, Any]:
    """Return CasADi's function that computes the nonzero entries at all points, and the entries' rows and columns."""
    import casadi

    x = casadi.SX.sym("x", len(problem.points[0]))
    outputs = casadi.vertcat(*problem.f(casadi.vertsplit(x), casadi))
    wrt = x[: x.numel() - problem.fixed]
    if problem.second:
        whole, _ = casadi.hessian(outputs, x)
        count = wrt.numel()
        matrix = casadi.tril(whole[:count, :count])
    else:
        matrix = casadi.jacobian(outputs, wrt)
    f = casadi.Function("derivative", [x], [matrix])
    rows, columns = matrix.sparsity().get_triplet()
    if len(problem.points) > 1:
        entries = casadi.Function("derivative", [x], [casadi.vertcat(*matrix.nonzeros())])
        f = entries.map(len(problem.points))
    return f, rows, columns


def _buffered(f: Any, problem: Problem) -> Call:
    import numpy as np

    rows: Any = np.array(problem.points).ravel()
    out: Any = np.zeros(f.nnz_out(0))
    buffer, run = f.buffer()
    buffer.set_arg(0, memoryview(rows))
    buffer.set_res(0, memoryview(out))

    def call() -> Any:
        run()
        return out

    call.held = buffer, rows  # type: ignore[attr-defined]
    return call


def casadi_machine(problem: Problem) -> Prepared:
    f, rows, columns = _casadi(problem)
    return _buffered(f, problem), rows, columns


def casadi_c(problem: Problem) -> Prepared:
    import casadi

    f, rows, columns = _casadi(problem)
    with tempfile.TemporaryDirectory() as folder:
        name = f"{f.name()}.c"
        generator = casadi.CodeGenerator(name)
        generator.add(f)
        generator.generate(f"{folder}/")
        library = f"{folder}/derivative.so"
        subprocess.run(["cc", "-O2", "-fPIC", "-shared", f"{folder}/{name}", "-o", library], check=True)
        compiled = casadi.external(f.name(), library)
    return _buffered(compiled, problem), rows, columns


def jax(problem: Problem) -> Prepared | None:
    import numpy as np

    jax = jax_on_one_thread()
    jnp = jax.numpy
    count = len(problem.points[0]) - problem.fixed
    if problem.second and count**2 > MOST_ENTRIES:
        return None

    def f(x: Any, others: Any) -> Any:
        every = jnp.concatenate([x, others])
        if problem.arrays:
            return problem.arrays(every, jnp)
        outputs = problem.f(list(every), jnp)
        return outputs[0] if problem.second else jnp.stack(outputs)

    made = jax.jit(jax.vmap(jax.hessian(f) if problem.second else jax.jacfwd(f)))
    points = np.array(problem.points)
    return lambda: np.asarray(made(points[:, :count], points[:, count:])), None, None


def sympy(problem: Problem) -> Prepared | None:
    import numpy as np
    import sympy

    if problem.second:
        return None  # it would take minutes
    xs = sympy.symbols(f"x:{len(problem.points[0])}")
    outputs = problem.f(xs, sympy)
    found = [(i, j, d) for i, y in enumerate(outputs) for j, x in enumerate(xs) if (d := sympy.diff(y, x)) != 0]
    rows, columns, entries = zip(*found, strict=True)
    made = sympy.lambdify(xs, entries, modules="numpy" if len(problem.points) > 1 else "math", cse=True)
    points = np.array(problem.points)
    out = np.empty((len(points), len(entries)))
    numbers = list(points.T) if len(points) > 1 else problem.points[0]

    def call() -> Any:
        for k, values in enumerate(made(*numbers)):
            out[:, k] = values
        return out

    return call, rows, columns


CONTENDERS: dict[str, tuple[str, Callable[[Problem], Prepared | None]]] = {
    "micrograd_cn compiled": ("llvmlite", ours),
    "CasADi, virtual machine": ("casadi", casadi_machine),
    "CasADi, its C by cc -O2": ("casadi", casadi_c),
    "jax.jit, dense": ("jax", jax),
    "SymPy lambdify": ("sympy", sympy),
}


def table(turns: int = 7) -> list[Row]:
    """Time every problem with every contender that is installed, and check that they compute the same entries."""
    if not find_spec("llvmlite"):
        return []
    rows: list[Row] = []
    for title, problem in problems().items():
        found: dict[str, tuple[Call, float, int]] = {}
        first: Any = None
        for name, (package, prepare) in CONTENDERS.items():
            if not find_spec(package) or (prepare is casadi_c and not which("cc")):
                continue
            begun = time.perf_counter()
            prepared = prepare(problem)
            if prepared is None:
                continue
            call, *places = prepared
            values = call()
            seconds = time.perf_counter() - begun
            by_place = _entries_by_place(problem, values, *places)
            first = by_place if first is None else first
            check_entries(title, name, by_place, first)
            found[name] = call, seconds, len(values.ravel()) // len(problem.points)
        medians = time_in_turns([_repeated(call) for call, *_ in found.values()], seconds=0.4, turns=turns)
        best = medians[0]
        for (name, (_, seconds, entries)), median in zip(found.items(), medians, strict=True):
            each = median and 1e6 * median / len(problem.points)
            row: Row = {"problem": title, "contender": name, "entries": entries}
            rows.append(row | {"prepared, s": seconds, "us an evaluation": each, "this / ours": ratio(best, median)})
    return rows


def _repeated(call: Call) -> Callable[[int], None]:
    def work(times: int) -> None:
        for _ in range(times):
            call()

    return work


def _entries_by_place(problem: Problem, values: Any, rows: Any, columns: Any) -> Any:
    """Return the nonzero entries at the first point by (row, column); for a Hessian, those of its lower triangle."""
    import numpy as np

    first = np.asarray(values).reshape(len(problem.points), -1)[0]
    if rows is None:
        width = len(problem.points[0]) - problem.fixed
        matrix = first.reshape(-1, width)
        rows, columns = np.nonzero(np.tril(matrix) if problem.second else matrix)
        first = matrix[rows, columns]
    return {(int(i), int(j)): float(x) for i, j, x in zip(rows, columns, first, strict=True) if x}


def check_entries(problem: str, name: str, found: Any, first: Any) -> None:
    """Raise RuntimeError if `found`, the entries of the contender `name`, are not those of the first contender."""
    size = max(map(abs, first.values()))
    for place in {*found, *first}:
        if not math.isclose(found.get(place, 0.0), first.get(place, 0.0), rel_tol=1e-8, abs_tol=1e-12 * size):
            raise RuntimeError(f"{problem}: {name} has {found.get(place)} at {place}, not {first.get(place)}")
