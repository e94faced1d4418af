"""Sparse derivatives beside CasADi, JAX and SymPy: four problems, each of which is a function of numbers of any kind.

    valleys     Rosenbrock's function of n variables, and its Hessian
    chemistry   POLLU, 20 species of polluted air in 25 reactions, and its Jacobian (J. G. Verwer, 1994; Test Set for
                Initial Value Problem Solvers, F. Mazzia and C. Magherini, 2008): for one place, and for 1,000 at once
    bundle      where a camera sees a point, with distortion: two numbers of 12, and their Jacobian, for 4,096
                observations (S. Agarwal and others, Bundle Adjustment in the Large, 2010, whose camera this is)
    control     the Lagrangian's Hessian of demos/optimal_control.py

Prepared means: recorded, differentiated, compiled and called once. A call reads a numpy array and fills another one.
CasADi is called through its buffers, which is its fastest way; its C is compiled by the system's compiler with -O2.
JAX's derivatives are dense; SymPy's are of expressions that it has simplified nowhere, with common parts taken out.
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
from benchmarks.compiled_programs import Row, _compile, _jax, _ratio, in_turns
from micrograd_cn import Value

DENSE = 4_000_000  # numbers of a dense matrix that are too many
Call = Callable[[], Any]  # fills an array, and returns it


class Work(NamedTuple):
    """A problem: some outputs, each of all inputs, and which derivative is wanted.

    Attributes:
        f: takes the inputs, and cos, sin and sqrt as attributes, and returns the outputs, of numbers of any kind.
        points: the inputs' numbers, one row for each evaluation that a call makes.
        second: whether it is the Hessian of the one output, otherwise the Jacobian.
        fixed: how many of the last inputs are not differentiated by.
        arrays: the same of an array, for JAX, where to trace number by number takes too long.
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
    reacting = [
        *(y1, y2 * y4, y5 * y2, y7, y7, y7 * y6, y9, y9 * y6, y11 * y2, y11 * y1, y13, y10 * y2, y14, y1 * y6, y3),
        *(y4, y4, y16, y16, y17 * y6, y19, y19, y1 * y4, y19 * y1, y20),
    ]  # fmt: skip
    r = [None, *(k * x for k, x in zip(RATES, reacting, strict=True))]
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


MEANS = [0.0, 0.0, 0.0, 0.0, 0.0, -5.0, 500.0, 0.0, 0.0, 0.0, 0.0, 0.0]  # of what a camera and a point are
WIDTHS = [0.3, 0.3, 0.3, 0.1, 0.1, 0.1, 9.0, 0.01, 0.001, 1.0, 1.0, 1.0]


def bundle(x: Sequence[Any], xp: Any) -> list[Any]:
    """Return where a point is seen: its camera's turn, shift, focal length and distortion, then the point."""
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
    bent = focal * (1.0 + r * (k1 + k2 * r))
    return [bent * u, bent * v]


def control(x: Sequence[Any], xp: Any) -> list[Any]:
    """Return the Lagrangian of the swing-up: the numbers of all times, then a multiplier for each constraint."""
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


def works() -> dict[str, Work]:
    """Return the problems by name."""
    import random

    from optimal_control import KNOT, STATE, STEPS

    rng = random.Random(0)
    start = [0.0, 0.2, 0.0, 0.04, 0.0, 0.0, 0.1, 0.3, 0.01, *[0.0] * 7, 0.007, 0.0, 0.0, 0.0]
    cells = [[abs(x + 0.01 * rng.random()) for x in start] for _ in range(1000)]
    seen = [[rng.gauss(mean, width) for mean, width in zip(MEANS, WIDTHS, strict=True)] for _ in range(4096)]
    multipliers = STATE * STEPS
    lagrangian = [rng.gauss(0, 1) for _ in range(KNOT * (STEPS + 1) + multipliers)]

    def rosenbrock(n: int) -> Work:
        return Work(valleys, [[rng.gauss(0, 1) for _ in range(n)]], second=True, arrays=valleys_of_array)

    return {
        "valleys, n = 1,000": rosenbrock(1000),
        "valleys, n = 10,000": rosenbrock(10_000),
        "chemistry, 1 place": Work(chemistry, cells[:1], second=False),
        "chemistry, 1,000 places": Work(chemistry, cells, second=False),
        "bundle, 4,096 observations": Work(bundle, seen, second=False),
        "control, 205 variables": Work(control, [lagrangian], True, multipliers, control_of_array),
    }


# Contenders: each prepares a call, and says where the entries are that it computes.

Prepared = tuple[Call, Any, Any]  # the call, and the rows and columns of its numbers; None for all of a matrix


def ours(work: Work) -> Prepared:
    import numpy as np

    rows = np.array(work.points)
    xs = [Value(x) for x in work.points[0]]
    outputs = work.f(xs, mg)
    wrt = xs[: len(xs) - work.fixed]
    if work.second:
        derivative = _compile()(outputs[0], xs).derivative("hessian", wrt, lower=True)
    else:
        derivative = _compile()(outputs, xs).derivative("jacobian", wrt)
    assert derivative.program  # not all entries are constants
    out = np.empty((len(rows), derivative.structure.entries))
    return derivative.program.prepare(rows, out), *derivative.structure


def _casadi(work: Work) -> tuple[Any, Any, Any]:
    """Return CasADi's function of all rows, and the rows and columns of its numbers."""
    import casadi

    x = casadi.SX.sym("x", len(work.points[0]))
    outputs = casadi.vertcat(*work.f(casadi.vertsplit(x), casadi))
    wrt = x[: x.numel() - work.fixed]
    if work.second:
        whole, _ = casadi.hessian(outputs, x)
        count = wrt.numel()
        matrix = casadi.tril(whole[:count, :count])
    else:
        matrix = casadi.jacobian(outputs, wrt)
    f = casadi.Function("derivative", [x], [matrix])
    rows, columns = matrix.sparsity().get_triplet()
    if len(work.points) > 1:
        entries = casadi.Function("derivative", [x], [casadi.vertcat(*matrix.nonzeros())])
        f = entries.map(len(work.points))
    return f, rows, columns


def _buffered(f: Any, work: Work) -> Call:
    import numpy as np

    rows: Any = np.array(work.points).ravel()
    out: Any = np.zeros(f.nnz_out(0))
    buffer, run = f.buffer()
    buffer.set_arg(0, memoryview(rows))
    buffer.set_res(0, memoryview(out))

    def call() -> Any:
        run()
        return out

    call.held = buffer, rows  # type: ignore[attr-defined]
    return call


def casadi_machine(work: Work) -> Prepared:
    f, rows, columns = _casadi(work)
    return _buffered(f, work), rows, columns


def casadi_c(work: Work) -> Prepared:
    import casadi

    f, rows, columns = _casadi(work)
    with tempfile.TemporaryDirectory() as folder:
        name = f"{f.name()}.c"
        generator = casadi.CodeGenerator(name)
        generator.add(f)
        generator.generate(f"{folder}/")
        library = f"{folder}/derivative.so"
        subprocess.run(["cc", "-O2", "-fPIC", "-shared", f"{folder}/{name}", "-o", library], check=True)
        compiled = casadi.external(f.name(), library)
    return _buffered(compiled, work), rows, columns


def jax(work: Work) -> Prepared | None:
    import numpy as np

    jax = _jax()
    jnp = jax.numpy
    count = len(work.points[0]) - work.fixed
    if work.second and count**2 > DENSE:
        return None

    def f(x: Any, others: Any) -> Any:
        every = jnp.concatenate([x, others])
        if work.arrays:
            return work.arrays(every, jnp)
        outputs = work.f(list(every), jnp)
        return outputs[0] if work.second else jnp.stack(outputs)

    made = jax.jit(jax.vmap(jax.hessian(f) if work.second else jax.jacfwd(f)))
    points = np.array(work.points)
    return lambda: np.asarray(made(points[:, :count], points[:, count:])), None, None


def sympy(work: Work) -> Prepared | None:
    import numpy as np
    import sympy

    if work.second:
        return None  # minutes
    xs = sympy.symbols(f"x:{len(work.points[0])}")
    outputs = work.f(xs, sympy)
    found = [(i, j, d) for i, y in enumerate(outputs) for j, x in enumerate(xs) if (d := sympy.diff(y, x)) != 0]
    rows, columns, entries = zip(*found, strict=True)
    made = sympy.lambdify(xs, entries, modules="numpy" if len(work.points) > 1 else "math", cse=True)
    points = np.array(work.points)
    out = np.empty((len(points), len(entries)))
    numbers = list(points.T) if len(points) > 1 else work.points[0]

    def call() -> Any:
        for k, values in enumerate(made(*numbers)):
            out[:, k] = values
        return out

    return call, rows, columns


CONTENDERS: dict[str, tuple[str, Callable[[Work], Prepared | None]]] = {
    "micrograd_cn compiled": ("llvmlite", ours),
    "CasADi, virtual machine": ("casadi", casadi_machine),
    "CasADi, its C by cc -O2": ("casadi", casadi_c),
    "jax.jit, dense": ("jax", jax),
    "SymPy lambdify": ("sympy", sympy),
}


def table(turns: int = 7) -> list[Row]:
    """Measure every problem by every contender that is installed, and compare their numbers."""
    if not find_spec("llvmlite"):
        return []
    rows: list[Row] = []
    for problem, work in works().items():
        found: dict[str, tuple[Call, float, int]] = {}
        first: Any = None
        for name, (package, prepare) in CONTENDERS.items():
            if not find_spec(package) or (prepare is casadi_c and not which("cc")):
                continue
            begun = time.perf_counter()
            prepared = prepare(work)
            if prepared is None:
                continue
            call, *places = prepared
            values = call()
            seconds = time.perf_counter() - begun
            dense = _dense(work, values, *places)
            first = dense if first is None else first
            check_agreement(problem, name, dense, first)
            found[name] = call, seconds, len(values.ravel()) // len(work.points)
        medians = in_turns([_repeated(call) for call, *_ in found.values()], seconds=0.4, turns=turns)
        best = medians[0]
        for (name, (_, seconds, entries)), median in zip(found.items(), medians, strict=True):
            each = median and 1e6 * median / len(work.points)
            row: Row = {"problem": problem, "contender": name, "entries": entries}
            rows.append(row | {"prepared, s": seconds, "us an evaluation": each, "this / ours": _ratio(best, median)})
    return rows


def _repeated(call: Call) -> Callable[[int], None]:
    def work(times: int) -> None:
        for _ in range(times):
            call()

    return work


def _dense(work: Work, values: Any, rows: Any, columns: Any) -> Any:
    """Return the entries of the first point by place; of a symmetric matrix the lower triangle."""
    import numpy as np

    first = np.asarray(values).reshape(len(work.points), -1)[0]
    if rows is None:
        width = len(work.points[0]) - work.fixed
        matrix = first.reshape(-1, width)
        rows, columns = np.nonzero(np.tril(matrix) if work.second else matrix)
        first = matrix[rows, columns]
    return {(int(i), int(j)): float(x) for i, j, x in zip(rows, columns, first, strict=True) if x}


def check_agreement(problem: str, name: str, found: Any, first: Any) -> None:
    """Refuse to compare contenders that compute different things."""
    size = max(map(abs, first.values()))
    for place in {*found, *first}:
        if not math.isclose(found.get(place, 0.0), first.get(place, 0.0), rel_tol=1e-8, abs_tol=1e-12 * size):
            raise RuntimeError(f"{problem}: {name} has {found.get(place)} at {place}, not {first.get(place)}")
