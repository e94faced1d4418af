"""Compare checkers of gradients: which of the mistakes planted in `backward_passes.py` does each of them find?"""

import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median
from typing import Any

from benchmarks.backward_passes import CASES, Array, Pass, in_jax, in_numpy, in_torch
from benchmarks.timing import Row
from micrograd_cn.testing import GradientMismatch, NothingCompared, gradcheck

KINDS = ("float64", "float32")
TOLERANCES: dict[str, dict[str, float]] = {
    "float64": {},
    "float32": {"eps": 1e-2, "atol": 1e-2, "rtol": 1e-2},
}  # for PyTorch's checker, whose defaults are meant for doubles

Run = Callable[..., Pass]
Checker = Callable[[Run, list[Array], str], Callable[[], bool]]  # prepares a check, which returns whether it accuses


def ours(run: Run, xs: list[Array], kind: str) -> Callable[[], bool]:
    """Return a function that runs our check at the arguments `xs`, and returns whether it calls the gradient wrong.

    A PyTorch function is checked if PyTorch is installed, otherwise a numpy function and its vjp. `kind` is the type of
    the numbers, such as "float32".
    """
    how: dict[str, Any] = {}
    if find_spec("torch"):
        f, args = in_torch(run), _tensors(xs, kind)
    else:
        (f, how["vjp"]), args = in_numpy(run), [x.astype(kind) for x in xs]

    def accuses() -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                gradcheck(f, *args, **how)
            except GradientMismatch:
                return True
            except NothingCompared:
                return False
        return False

    return accuses


def of_torch(run: Run, xs: list[Array], kind: str) -> Callable[[], bool]:
    """Return a function that runs `torch.autograd.gradcheck` in its thorough mode, not the fast one.

    The function returns whether the check calls the gradient wrong. `xs` are the arguments, and `kind` is the type of
    their numbers, such as "float32".
    """
    import torch

    f, args = in_torch(run), [x.requires_grad_() for x in _tensors(xs, kind)]
    how: dict[str, Any] = {**TOLERANCES[kind], "raise_exception": False}

    def accuses() -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return not torch.autograd.gradcheck(f, tuple(args), **how)

    return accuses


def of_jax(run: Run, xs: list[Array], kind: str) -> Callable[[], bool]:
    """Return a function that runs `jax.test_util.check_grads` in reverse mode, so it checks the backward pass.

    The function returns whether the check calls the gradient wrong. `xs` are the arguments, and `kind` is the type of
    their numbers, such as "float32".
    """
    import jax
    from jax.test_util import check_grads

    jax.config.update("jax_enable_x64", True)
    f, args = in_jax(run), [jax.numpy.asarray(x.astype(kind)) for x in xs]

    def accuses() -> bool:
        try:
            check_grads(f, tuple(args), order=1, modes=["rev"])
        except AssertionError:
            return True
        return False

    return accuses


def _tensors(xs: list[Array], kind: str) -> list[Any]:
    import torch

    return [torch.from_numpy(x.astype(kind)) for x in xs]


CONTENDERS: dict[str, tuple[str, Checker]] = {
    "micrograd_cn": ("micrograd_cn", ours),
    "torch.autograd.gradcheck": ("torch", of_torch),
    "jax check_grads": ("jax", of_jax),
}


def table(seeds: int = 1) -> list[Row]:
    """Count how many mistakes each checker finds, and how many correct backward passes it calls wrong.

    A correct one is checked at a random point for each of `seeds` seeds, and a mistake at the point of the first seed.
    """
    rows: list[Row] = []
    installed = {name: check for name, (package, check) in CONTENDERS.items() if find_spec(package)}
    for kind in KINDS:
        found: dict[str, list[tuple[bool, bool, float]]] = {name: [] for name in installed}
        for case in CASES.values():
            planted = [(case.planted(mistake), 0) for mistake in case.mistakes]
            for run, seed in [*((case.run, seed) for seed in range(seeds)), *planted]:
                for name, prepare in installed.items():
                    accuses = prepare(run, case.arguments(seed), kind)
                    started = time.perf_counter()
                    verdict = accuses()
                    found[name].append((run is case.run, verdict, time.perf_counter() - started))
        for name, verdicts in found.items():
            right = [(accused, seconds) for is_right, accused, seconds in verdicts if is_right]
            wrong = [(accused, seconds) for is_right, accused, seconds in verdicts if not is_right]
            rows.append(
                {
                    "checker": f"{name}, {kind}",
                    "mistakes": len(wrong),
                    "found": sum(accused for accused, _ in wrong),
                    "right": len(right),
                    "accused": sum(accused for accused, _ in right),
                    "right ms": 1e3 * median(seconds for _, seconds in right),
                    "wrong ms": 1e3 * median(seconds for _, seconds in wrong),
                }
            )
    return rows
