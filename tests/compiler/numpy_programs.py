"""Draw random functions in which numpy compares elements, and compare compiled programs with numpy's results.

    python -m tests.compiler.numpy_programs --count 1000 --seed 5

The samples have nan, infinite numbers and ties. numpy treats nan in its own way when it sorts or looks for a maximum.
So a program that was recorded for one sample must not be used for another sample in which other elements are nan.
"""

from __future__ import annotations

import argparse
import math
import random
import warnings
from collections.abc import Callable
from math import inf, nan
from typing import Any

import numpy as np

from micrograd_cn import Value
from micrograd_cn.compiler import GuardError, compile  # noqa: A004 -- the field's name

NUMBERS = [nan, nan, inf, -inf, 0.0, -0.0, 1.0, 1.0, -1.0, 0.5, 2.0, -5.0]
SOURCES = [  # arrays of three elements, made of the argument; some are plain arrays, and some have constants
    *("x", "x[::-1]", "v * x", "np.array([x[0], 1.0, 0.0])", "np.array([x[1], x[0], 0.5])", "np.asarray(x)", "-x"),
    *(
        "np.array([*x])",
        "np.nan_to_num(x)",
        "np.nan_to_num(-x, nan=1.0, posinf=2.0)",
        "np.full(3, x[0])",
        "np.append(x[:2], 1.0)",
        "x * x[1]",
    ),
]
STEPS = [  # arrays of three elements, made of the arrays a and b
    *("np.maximum(a, b)", "np.minimum(a, 0.5)", "np.fmax(a, b)", "np.fmin(a, 0.0)", "np.maximum(0.0, a)"),
    *("np.clip(a, 0.0, 1.0)", "np.clip(a, -1.0, None)", "a.clip(0.5)", "np.sort(a)", "np.sort(a)[::-1]"),
    *("np.argsort(a) * 1.0", "a.argsort() * 1.0", "np.partition(a, 1)[[1, 1, 1]]", "np.maximum.accumulate(a)"),
    *("np.minimum.accumulate(a)", "np.where(a > b, a, b)", "np.where(a <= 0.5, 1.0, b)", "(a < b) * 1.0"),
    *("np.searchsorted([-1.0, 0.0, 1.0], a) * 1.0", "np.searchsorted(np.array([0.0, 1.0]), a, 'right') * 1.0"),
    *("np.searchsorted(np.sort(a), b) * 1.0", "np.digitize(a, [-1.0, 0.0, 1.0]) * 1.0", "np.digitize(a, [1.0, 0.0])"),
    *("np.lexsort([a]) * 1.0", "a[np.argsort(b)]", "np.select([a > 0.0, a < 0.0], [a, b], 0.5)", "a - b"),
    *("np.array([max(a), min(b), a[0]])", "np.array(sorted(a))", "np.heaviside(1.0, 0.0) * a", "np.roll(a, 1)"),
]
RESULTS = [  # numbers
    *("a.max()", "np.max(a)", "a.min()", "np.min(a)", "np.ptp(a)", "np.argmax(a)", "a.argmin()", "np.sort(a)[1]"),
    *("a.sum()", "np.nanmax(a)", "np.nanmin(a)", "np.nansum(a)", "np.nanargmax(a)", "np.nanmean(a)", "np.nanmedian(a)"),
    *(
        "np.median(a)",
        "np.unique(a).size",
        "np.unique(a)[-1]",
        "np.linalg.norm(a, np.inf)",
        "np.linalg.norm(a, -np.inf)",
    ),
    *("np.searchsorted([-1.0, 0.0, 1.0], a[0])", "np.digitize(a[1], [0.0, 1.0])", "np.clip(a[0], 0.0, 1.0)", "a[2]"),
    *("np.maximum(a[0], a[1])", "np.max(a, initial=0.5, where=a > 0.0)", "np.count_nonzero(a > 0.0)", "(a > b).sum()"),
    *("np.array([a[0], 1.0, 0.0]).max()", "np.sort(np.array([a[2], 1.0]))[0]", "np.argsort(np.array([0.0, b[0]]))[0]"),
]


def draw(rng: random.Random) -> str:
    """Return the source text of a random function `f` of an array x of three numbers."""
    lines = ["def f(x):", f"    a, b = {rng.choice(SOURCES)}, {rng.choice(SOURCES)}"]
    for _ in range(rng.randint(0, 2)):
        lines.append(f"    {rng.choice(['a', 'a, b', 'b'])} = {rng.choice(STEPS)}")
        if lines[-1].startswith("    a, b"):
            lines[-1] += f", {rng.choice(STEPS)}"
    return "\n".join([*lines, f"    return w * ({rng.choice(RESULTS)})"])


def function(source: str, number: Callable[[float], Any]) -> Callable[[Any], Any]:
    """Return the function of a source text that `draw` has written. `number` makes its parameters, such as `Value`."""
    names: dict[str, Any] = {"np": np, "w": number(1.0), "v": np.array([*map(number, (1.0, -1.0, 1.0))])}
    exec(source, names)
    found: Callable[[Any], Any] = names["f"]
    return found


def plain(f: Callable[[Any], Any], x: Any) -> float | None:
    """Return the result of the function for numbers, or None if numpy refuses them."""
    try:
        return float(f(np.array(x)))
    except (TypeError, ValueError):
        return None


def same(a: float, b: float) -> bool:
    """Return whether two results are the same but for rounding; nan is the same as nan."""
    return a == b or (a != a and b != b) or math.isclose(a, b, rel_tol=1e-12)


def failure(source: str, samples: list[list[float]]) -> str:
    """Return a text that says how compiled programs of a function differ from numpy's results; "" if they do not.

    Programs may refuse a function or a sample. For each sample, they are called alone and in a batch.
    """
    f = function(source, Value)
    expected = [plain(function(source, float), x) for x in samples]
    for branches in (True, False):
        compiled = compile(f, branches=branches)
        taken: list[list[float]] = []
        results: list[float] = []
        for x, right in zip(samples, expected, strict=True):
            try:
                found = float(compiled(np.array(x)))
            except GuardError:
                if branches:
                    return f"a guard at {x}"
                continue
            except (TypeError, ValueError, AttributeError):
                continue
            if right is None or not same(found, right):
                return f"branches={branches}, {x}: {found}, and {right} of numpy"
            taken.append(x)
            results.append(right)
        batches = [compiled, compile(f, branches=True)] if branches else []
        for batch in batches if taken else []:
            rows = list(zip(taken, results, strict=True))[:: 1 if batch is compiled else -1]
            found = batch.forward((np.array([x for x, _ in rows]),))
            for (x, right), y in zip(rows, found, strict=True):
                if not same(float(y), right):
                    return f"forward, {x}: {y}, and {right} of numpy"
    return ""


def case(seed: int) -> tuple[str, list[list[float]]]:
    """Return the source text of a random function, and samples for it."""
    rng = random.Random(seed)
    samples = [[rng.choice(NUMBERS) for _ in range(3)] for _ in range(8)]
    return draw(rng), samples


def check(seed: int) -> str:
    """Return a text about the function that is drawn for `seed` if compiled programs of it are wrong; otherwise ""."""
    source, samples = case(seed)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = failure(source, samples)
    return f"seed {seed}: {found}\n{source}\nsamples = {samples}" if found else ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    wrong = [found for seed in range(options.seed, options.seed + options.count) if (found := check(seed))]
    print("\n\n".join([*wrong, f"{len(wrong)} of {options.count} functions are wrong"]))
    raise SystemExit(bool(wrong))
