"""Time each program here, in jax and, where it is written by hand, in numpy, after their results were compared."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np

import micrograd_cn as mg
from micrograd_cn.optim import Adam

from ..timing import Row, Work, jax_on_one_thread, ratio, time_in_turns
from . import economics, learning, physics, statistics
from .cases import Case

RATE, STEPS = 1e-3, 20  # the learning rate of Adam; after so many steps, the parameters are compared
ELEMENTARY = ("exp", "log", "tanh", "sqrt", "sin", "cos", "tan", "asin", "atan", "log1p", "expm1", "abs")
OTHERS = ("lgamma", "sigmoid", "softplus", "relu", "softmax", "log_softmax", "logsumexp", "take")
FUNCTIONS = (*ELEMENTARY, *OTHERS)  # that programs call
Run = Callable[[], tuple[Any, Any]]  # computes the value and its derivatives once


def all_cases() -> list[Case]:
    """Return all programs."""
    return [*statistics.cases(), *physics.cases(), *learning.cases(), *economics.cases()]


def programs(turns: int = 5) -> list[Row]:
    """Return a row for each program, and a last row with the geometric mean of the fastest peer's time / ours."""
    if not find_spec("llvmlite"):
        return []
    rows: list[Row] = []
    ratios = []
    for case in all_cases():
        ours, peers = _ours(case), _peers(case)
        _check(case, ours[0](), {name: run() for name, (run, _) in peers.items()})
        times = time_in_turns([ours[1], *(work for _, work in peers.values())], seconds=0.4, turns=turns)
        found = {name: x for name, x in zip(peers, times[1:], strict=True) if x}
        name = min(found, key=found.__getitem__, default="")
        best = ratio(times[0], found.get(name))
        row: Row = {"program": case.name, "ours us": times[0] and 1e6 * times[0]}
        rows.append(row | {"peer us": found.get(name, math.nan) * 1e6, "best peer": name, "peer / ours": best})
        ratios += [best] if best else []
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None
    return [
        *rows,
        {"program": "geometric mean", "ours us": None, "peer us": None, "best peer": "", "peer / ours": mean},
    ]


def _check(case: Case, ours: tuple[Any, Any], peers: dict[str, tuple[Any, Any]]) -> None:
    """Raise RuntimeError if a peer computes other numbers."""
    for name, found in peers.items():
        for x, y in zip(ours, found, strict=True):
            if not np.allclose(_numbers(case, x), _numbers(case, y), rtol=1e-6, atol=1e-9):
                raise RuntimeError(f"{case.name}: {name} computes {y}, and this package {x}")


def _numbers(case: Case, x: Any) -> Any:
    """Return all numbers in x as one array; those of a dict are put in the order of the case's parameters."""
    parts = [x[name] for name in case.parameters] if isinstance(x, dict) else [x]
    return np.concatenate([np.asarray(part, dtype=float).ravel() for part in parts])


def _value_and_derivatives(case: Case, compute: Callable[[], Any]) -> tuple[Any, Any]:
    """Return the pair of a value and derivatives that `compute` returns, or what it returns with the value 0.0.

    The latter is done for cases of the kinds "jacobian" and "results", for which `compute` returns no pair.
    """
    found = compute()
    return (0.0, found) if case.kind in ("jacobian", "results") else found


def _repeated(compute: Callable[[], Any]) -> Work:
    def work(times: int) -> None:
        for _ in range(times):
            compute()

    return work


def _ours(case: Case) -> tuple[Run, Work]:
    nodes = np.vectorize(mg.Value, otypes=[object])
    parameters = {name: nodes(np.asarray(x, dtype=float)) for name, x in case.parameters.items()}
    f = mg.compiler.compile(partial(case.formula, _our_functions(), parameters))
    if case.kind == "fit":
        leaves = [p for x in parameters.values() for p in x.flat]

        def work(times: int) -> None:
            f.fit(case.data, Adam(leaves, lr=RATE), times)

        def train() -> tuple[Any, Any]:
            for p, x in zip(leaves, _numbers(case, case.parameters), strict=True):
                p.data = float(x)
            losses = f.fit(case.data, Adam(leaves, lr=RATE), STEPS)
            return losses[-1], {name: [p.data for p in x.flat] for name, x in parameters.items()}

        train()
        return train, work
    if case.kind == "jacobian":
        compute: Callable[[], Any] = partial(f.jacobian, case.data, dense=True)
    elif case.kind == "each":
        *_, name = inspect.signature(case.formula).parameters
        compute = partial(f.value_and_grad, case.data, wrt=name, each=True)
    elif case.kind == "results":
        compute = partial(f.forward, case.data)
    elif case.kind == "each by parameters":
        compute = partial(f.value_and_grad, case.data, each=True)
    else:
        compute = partial(f.value_and_grad, case.data)
    compute()
    place = {p: k for k, p in enumerate(f.parameters)}
    places = [place[p] for x in parameters.values() for p in x.flat]

    def run() -> tuple[Any, Any]:
        value, derivatives = _value_and_derivatives(case, compute)
        by_parameters = case.kind in ("gradient", "each by parameters")
        return value, np.asarray(derivatives)[..., places] if by_parameters else derivatives

    return run, _repeated(compute)


def _our_functions() -> SimpleNamespace:
    def repeat(times: int, step: Callable[..., Any], state: Any, with_index: bool = False) -> Any:
        for k in range(times):
            state = step(state, k) if with_index else step(state)
        return state

    return SimpleNamespace(**{name: getattr(mg, name) for name in FUNCTIONS}, repeat=repeat, roll=np.roll)


def _peers(case: Case) -> dict[str, tuple[Run, Work]]:
    found: dict[str, tuple[Run, Work]] = {}
    if jax := jax_on_one_thread():
        found["jax.jit"] = _in_jax(case, jax)
    if case.by_hand:
        parameters = {name: np.asarray(x, dtype=float) for name, x in case.parameters.items()}
        run = partial(case.by_hand, parameters, case.data)
        found["numpy by hand"] = run, _repeated(run)
    return found


def _in_jax(case: Case, jax: Any) -> tuple[Run, Work]:
    module = _functions_of_jax(jax)
    parameters = {name: jax.numpy.asarray(x, dtype=float) for name, x in case.parameters.items()}
    data = tuple(map(jax.numpy.asarray, case.data))

    def mean(parameters: Any, *data: Any) -> Any:
        return jax.vmap(partial(case.formula, module, parameters))(*data).mean()

    if case.kind == "fit":
        return _adam_in_jax(jax, mean, parameters, data)

    def results(parameters: Any, *sample: Any) -> Any:
        return jax.numpy.stack(case.formula(module, parameters, *sample))

    if case.kind == "gradient":
        compiled = jax.jit(jax.value_and_grad(mean))
    elif case.kind == "each":
        compiled = jax.jit(lambda p, x: jax.vmap(jax.value_and_grad(partial(case.formula, module, p)))(x))
    elif case.kind == "each by parameters":
        formula, names = partial(case.formula, module), [*case.parameters]  # in jit, a dict has its keys sorted
        compiled = jax.jit(lambda p, *x: _gradients_in_jax(jax, formula, p, names, x))
    elif case.kind == "results":
        compiled = jax.jit(lambda p, *x: jax.vmap(partial(results, p))(*x))
    else:
        compiled = jax.jit(lambda p, x: jax.vmap(jax.jacfwd(partial(results, p)))(x))

    def compute() -> Any:
        return jax.block_until_ready(compiled(parameters, *data))

    run = partial(_value_and_derivatives, case, compute)
    run()
    return run, _repeated(compute)


def _gradients_in_jax(
    jax: Any, formula: Callable[..., Any], parameters: Any, names: list[str], data: tuple[Any, ...]
) -> Any:
    """Return the value for each sample, and a matrix with the gradient for each sample as a row.

    The gradient is taken with respect to the parameters `names`.
    """
    each = jax.vmap(jax.value_and_grad(formula), in_axes=(None, *[0] * len(data)))
    values, gradients = each(parameters, *data)
    parts = [gradients[name].reshape(len(values), -1) for name in names]
    return values, jax.numpy.concatenate(parts, axis=1)


def _adam_in_jax(jax: Any, mean: Callable[..., Any], parameters: Any, data: Any) -> tuple[Run, Work]:
    gradient, map_leaves = jax.value_and_grad(mean), jax.tree_util.tree_map

    def step(t: Any, state: Any) -> Any:
        parameters, m, v, _ = state
        loss, g = gradient(parameters, *data)
        m = map_leaves(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = map_leaves(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate, scale = RATE / (1.0 - 0.9 ** (t + 1)), jax.numpy.sqrt(1.0 - 0.999 ** (t + 1))
        moved = map_leaves(lambda p, m, v: p - rate * m / (jax.numpy.sqrt(v) / scale + 1e-8), parameters, m, v)
        return moved, m, v, loss

    zeros = map_leaves(jax.numpy.zeros_like, parameters)
    steps = jax.jit(lambda times: jax.lax.fori_loop(0, times, step, (parameters, zeros, zeros, 0.0)))

    def work(times: int) -> None:
        jax.block_until_ready(steps(times))

    def run() -> tuple[Any, Any]:
        moved, _, _, loss = steps(STEPS)
        return loss, moved

    run()
    return run, work


def _functions_of_jax(jax: Any) -> SimpleNamespace:
    """Return the functions that the programs call, under the names that they have in `micrograd_cn`."""
    np_, nn = jax.numpy, jax.nn

    def repeat(times: int, step: Callable[..., Any], state: Any, with_index: bool = False) -> Any:
        # XLA would compile a loop that is written out for minutes, and take gigabytes.
        return jax.lax.fori_loop(0, times, lambda k, x: step(x, k) if with_index else step(x), state)

    return SimpleNamespace(
        **{name: getattr(np_, name) for name in ELEMENTARY},
        lgamma=jax.scipy.special.gammaln,
        sigmoid=nn.sigmoid,
        softplus=nn.softplus,
        relu=nn.relu,
        softmax=nn.softmax,
        log_softmax=nn.log_softmax,
        logsumexp=lambda xs: jax.scipy.special.logsumexp(np_.stack(xs)),
        take=lambda xs, index: np_.asarray(xs)[index],
        roll=np_.roll,
        repeat=repeat,
    )
