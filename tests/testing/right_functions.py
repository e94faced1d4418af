"""A campaign: `checks_gradient` accuses no right function, at the points that `points` draws by default.

Run it from the root of the repository, with the libraries that are installed:

    python -m tests.testing.right_functions [torch numpy jax] --seeds 100

With `--dtype float16`, the functions of PyTorch or numpy are checked in half precision, and with `--dtype bfloat16`
those of PyTorch.

It prints, for each function, how many runs ended in a `GradientMismatch`, in another exception, or with a warning, and
how often an array was not compared at all at a point. A run without a warning may have such points. It exits with 1 if
a right function was accused. Each function has correct derivatives: those of PyTorch and jax are computed by these
libraries, and those of numpy functions are written here.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import math
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from micrograd_cn.testing.report.result_hooks import CheckResult, result_hook


class Right(NamedTuple):
    """A function with a right derivative: `f` of arrays of the shapes `shapes`, with a `vjp` if numpy computes it.

    `bounds` are keyword arguments of `points`; functions with a domain need them.
    """

    f: Callable[..., Any]
    shapes: tuple[Any, ...]
    vjp: Callable[..., Any] | None = None
    bounds: Mapping[str, float] = MappingProxyType({})


POSITIVE = {"min_value": 1e-3}
WITHIN_ONE = {"min_value": -0.999, "max_value": 0.999}


def in_numpy(dtype: str = "float64") -> dict[str, Right]:
    """Return functions of numpy arrays of every type, and their vector-Jacobian products."""

    def each(f: Any, df: Any, **bounds: float) -> Right:
        return Right(f, ((3, 4),), lambda x, u: u * df(x), bounds)

    def sigmoid(x: Any) -> Any:
        return 1.0 / (1.0 + np.exp(-x))

    def softplus(x: Any) -> Any:
        return np.logaddexp(0.0, x)

    def softmax(x: Any) -> Any:
        e = np.exp(x - x.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    def log_softmax(x: Any) -> Any:
        shifted = x - x.max(-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))

    def softmax_vjp(x: Any, u: Any) -> Any:
        p = softmax(x)
        return p * (u - (p * u).sum(-1, keepdims=True))

    def cross_entropy(x: Any) -> Any:
        return -log_softmax(x)[np.arange(3), [0, 1, 3]].mean()

    def cross_entropy_vjp(x: Any, u: Any) -> Any:
        p = softmax(x)
        p[np.arange(3), [0, 1, 3]] -= 1.0
        return u * p / 3.0

    def normalised(x: Any, axis: int) -> tuple[Any, Any]:
        away = x - x.mean(axis, keepdims=True)
        deviation = np.sqrt((away**2).mean(axis, keepdims=True) + 1e-5)
        return away / deviation, deviation

    def norm_vjp(x: Any, u: Any, axis: int) -> Any:
        y, deviation = normalised(x, axis)
        mean = u.mean(axis, keepdims=True)
        return (u - mean - y * (u * y).mean(axis, keepdims=True)) / deviation

    def affine_norm(x: Any, w: Any, b: Any) -> Any:
        return normalised(x, -1)[0] * w + b

    def affine_norm_vjp(x: Any, w: Any, b: Any, u: Any) -> Any:
        return norm_vjp(x, u * w, -1), (u * normalised(x, -1)[0]).sum(0), u.sum(0)

    def two_layers(x: Any, w: Any, b: Any, v: Any) -> Any:
        return np.tanh(x @ w.T + b) @ v

    def two_layers_vjp(x: Any, w: Any, b: Any, v: Any, u: Any) -> Any:
        h = np.tanh(x @ w.T + b)
        of_sum = np.outer(u, v) * (1.0 - h * h)
        return of_sum @ w, of_sum.T @ x, of_sum.sum(0), u @ h

    def rms_norm_vjp(x: Any, u: Any) -> Any:
        size = np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)
        return u / size - x * (u * x).mean(-1, keepdims=True) / size**3

    def attention(q: Any, k: Any, v: Any) -> Any:
        return softmax(q @ k.T / 2.0) @ v

    def attention_vjp(q: Any, k: Any, v: Any, u: Any) -> Any:
        p = softmax(q @ k.T / 2.0)
        of_scores = p * (u @ v.T - (p * (u @ v.T)).sum(-1, keepdims=True)) / 2.0
        return of_scores @ k, of_scores.T @ q, p.T @ u

    def convolved(x: Any, w: Any) -> Any:
        return np.array([x[i : i + 3] @ w for i in range(x.size - 2)])

    def convolved_vjp(x: Any, w: Any, u: Any) -> Any:
        of_x = np.zeros_like(x)
        for i in range(x.size - 2):
            of_x[i : i + 3] += u[i] * w
        return of_x, np.array([u @ x[j : j + u.size] for j in range(3)])

    matrix, vector = (3, 4), (4,)
    return {
        "linear": Right(
            lambda x, w, b: x @ w.T + b,
            ((3, 4), (2, 4), (2,)),
            lambda x, w, b, u: (u @ w, u.T @ x, u.sum(0)),
        ),
        "matmul": Right(lambda a, b: a @ b, ((3, 4), (4, 2)), lambda a, b, u: (u @ b.T, a.T @ u)),
        "add": Right(lambda a, b: a + b, (matrix, matrix), lambda a, b, u: (u, u)),
        "bias": Right(lambda a, b: a + b, (matrix, vector), lambda a, b, u: (u, u.sum(0))),
        "product": Right(lambda a, b: a * b, (matrix, matrix), lambda a, b, u: (u * b, u * a)),
        "quotient": Right(
            lambda a, b: a / (1.0 + b * b),
            (matrix, matrix),
            lambda a, b, u: (u / (1.0 + b * b), -2.0 * u * a * b / (1.0 + b * b) ** 2),
        ),
        "tanh": each(np.tanh, lambda x: 1.0 - np.tanh(x) ** 2),
        "sin": each(np.sin, np.cos, min_value=-100.0, max_value=100.0),
        "one minus cos": each(lambda x: 1.0 - np.cos(x), np.sin, min_value=-100.0, max_value=100.0),
        "sigmoid": each(sigmoid, lambda x: sigmoid(x) * sigmoid(-x), min_value=-700.0, max_value=700.0),
        "softplus": each(softplus, sigmoid, min_value=-700.0, max_value=700.0),
        "swish": each(
            lambda x: x * sigmoid(x),
            lambda x: sigmoid(x) * (1.0 + x * sigmoid(-x)),
            min_value=-700.0,
            max_value=700.0,
        ),
        "square": each(np.square, lambda x: 2.0 * x),
        "cube": each(lambda x: x**3, lambda x: 3.0 * x**2),
        "log of 1 + square": each(lambda x: np.log(1.0 + x * x), lambda x: 2.0 * x / (1.0 + x * x)),
        "root of 1 + square": each(lambda x: np.sqrt(x * x + 1.0) - 1.0, lambda x: x / np.sqrt(x * x + 1.0)),
        "bump": each(lambda x: np.exp(-x * x), lambda x: -2.0 * x * np.exp(-x * x)),
        "one minus bump": each(lambda x: 1.0 - np.exp(-x * x), lambda x: 2.0 * x * np.exp(-x * x)),
        "arctan": each(np.arctan, lambda x: 1.0 / (1.0 + x * x)),
        "arcsinh": each(np.arcsinh, lambda x: 1.0 / np.sqrt(1.0 + x * x)),
        "exp": each(np.exp, np.exp, min_value=-300.0, max_value=300.0),
        "expm1": each(np.expm1, np.exp, min_value=-300.0, max_value=300.0),
        "log": each(np.log, lambda x: 1.0 / x, min_value=1e-3),
        "log1p": each(np.log1p, lambda x: 1.0 / (1.0 + x), min_value=-0.9),
        "sqrt": each(np.sqrt, lambda x: 0.5 / np.sqrt(x), min_value=1e-3),
        "reciprocal": each(lambda x: 1.0 / x, lambda x: -1.0 / x**2, min_value=1e-3),
        "arcsin": each(np.arcsin, lambda x: 1.0 / np.sqrt(1.0 - x * x), **WITHIN_ONE),
        "relu": each(lambda x: np.maximum(x, 0.0), lambda x: (x > 0.0) * 1.0),
        "leaky relu": each(lambda x: np.where(x > 0.0, x, 0.1 * x), lambda x: np.where(x > 0.0, 1.0, 0.1)),
        "abs": each(np.abs, np.sign),
        "floor": each(np.floor, np.zeros_like),
        "round": each(np.round, np.zeros_like),
        "sign": each(np.sign, np.zeros_like),
        "quantiser": each(lambda x: np.round(16.0 * x) / 16.0, np.zeros_like),
        "softmax": Right(softmax, (matrix,), softmax_vjp),
        "log_softmax": Right(log_softmax, (matrix,), lambda x, u: u - softmax(x) * u.sum(-1, keepdims=True)),
        "cross entropy": Right(cross_entropy, (matrix,), cross_entropy_vjp),
        "logsumexp": Right(lambda x: np.logaddexp.reduce(x, axis=-1), (matrix,), lambda x, u: u[:, None] * softmax(x)),
        "mean": Right(lambda x: x.mean(0), (matrix,), lambda x, u: np.broadcast_to(u / 3.0, (3, 4))),
        "variance": Right(lambda x: x.var(0), (matrix,), lambda x, u: 2.0 / 3.0 * u * (x - x.mean(0))),
        "mean square error": Right(
            lambda a, b: ((a - b) ** 2).mean(),
            (matrix, matrix),
            lambda a, b, u: (u * (a - b) / 6.0, u * (b - a) / 6.0),
        ),
        "cumsum": Right(np.cumsum, (vector,), lambda x, u: np.cumsum(u[::-1])[::-1]),
        "layer norm": Right(lambda x: normalised(x, -1)[0], (matrix,), lambda x, u: norm_vjp(x, u, -1)),
        "batch norm": Right(lambda x: normalised(x, 0)[0], ((5, 3),), lambda x, u: norm_vjp(x, u, 0)),
        "affine layer norm": Right(affine_norm, (matrix, vector, vector), affine_norm_vjp),
        "rms norm": Right(lambda x: x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6), (matrix,), rms_norm_vjp),
        "two layers": Right(two_layers, ((3, 4), (2, 4), (2,), (2,)), two_layers_vjp),
        "attention": Right(attention, ((3, 4), (5, 4), (5, 2)), attention_vjp),
        "convolution": Right(convolved, ((7,), (3,)), convolved_vjp),
        "dot": Right(lambda a, b: a @ b, (vector, vector), lambda a, b, u: (u * b, u * a)),
        "outer": Right(np.outer, (vector, (3,)), lambda a, b, u: (u @ b, a @ u)),
    }


def in_torch(dtype: str = "float64") -> dict[str, Right]:
    """Return functions and modules of PyTorch, which differentiates them itself, with constants of the given type."""
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(1)
    torch.manual_seed(0)
    kind: Any = {"dtype": getattr(torch, dtype)}
    x, long = (3, 4), {"min_value": -100.0, "max_value": 100.0}
    labels, signs = torch.tensor([0, 1, 3]), torch.tensor([1.0, -1.0, 1.0], **kind)
    targets = torch.tensor([[0.0, 1.0, 1.0, 0.0]] * 3, **kind)
    plain: dict[str, Any] = {
        "linear": (functional.linear, x, (2, 4), (2,)),
        "bilinear": (functional.bilinear, x, (3, 5), (2, 4, 5)),
        "conv1d": (functional.conv1d, (1, 2, 6), (3, 2, 3)),
        "conv1d with bias": (functional.conv1d, (1, 2, 6), (3, 2, 3), (3,)),
        "conv2d": (functional.conv2d, (1, 1, 4, 4), (2, 1, 2, 2)),
        "conv_transpose1d": (functional.conv_transpose1d, (1, 2, 4), (2, 3, 3)),
        "matmul": (torch.matmul, x, (4, 2)),
        "bmm": (torch.bmm, (2, 2, 3), (2, 3, 2)),
        "einsum": (lambda a, b: torch.einsum("ij,kj->ik", a, b), x, (2, 4)),
        "addmm": (torch.addmm, (3, 2), x, (4, 2)),
        "outer": (torch.outer, (3,), (4,)),
        "lerp": (torch.lerp, x, x, x),
        "mse_loss": (functional.mse_loss, x, x),
        "cosine_embedding": (lambda a, b: functional.cosine_embedding_loss(a, b, signs), x, x),
        "attention": (functional.scaled_dot_product_attention, (1, 3, 4), (1, 5, 4), (1, 5, 4)),
        "cdist": (torch.cdist, (3, 2), (4, 2)),
        "1 - cos": (lambda t: 1 - torch.cos(t), x),
        "1 - exp(-x²)": (lambda t: 1 - torch.exp(-t * t), x),
        "log(1 + x²)": (lambda t: torch.log(1 + t * t), x),
        "sqrt(x² + 1) - 1": (lambda t: torch.sqrt(t * t + 1) - 1, x),
        "cross_entropy": (lambda t: functional.cross_entropy(t, labels), x),
        "nll of log_softmax": (lambda t: functional.nll_loss(functional.log_softmax(t, 1), labels), x),
        "softmax": (lambda t: functional.softmax(t, 1), x),
        "log_softmax": (lambda t: functional.log_softmax(t, 1), x),
        "logsumexp": (lambda t: torch.logsumexp(t, 1), x),
        "logcumsumexp": (lambda t: t.logcumsumexp(1), x),
        "binary cross entropy": (lambda t: functional.binary_cross_entropy_with_logits(t, targets), x),
        "layer_norm": (lambda t: functional.layer_norm(t, (4,)), x),
        "layer_norm with weights": (lambda t, w, b: functional.layer_norm(t, (4,), w, b), x, (4,), (4,)),
        "normalize": (lambda t: functional.normalize(t + 1e-3), x),
        "huber": (lambda t: functional.huber_loss(t, targets), x),
        "smooth l1": (lambda t: functional.smooth_l1_loss(t, targets), x),
        "var": (lambda t: t.var(0), x),
        "std": (lambda t: (t.var(0) + 1).sqrt(), x),
        "cumsum": (lambda t: t.cumsum(0), x),
        "cumprod": (lambda t: t.cumprod(0), (3, 2)),
        "logit of sigmoid": (lambda t: functional.logsigmoid(t), x),
        "sort": (lambda t: t.sort(1)[0], x),
        "max": (lambda t: t.max(1)[0], x),
        "median": (lambda t: t.median(1)[0], (3, 5)),
        "floor": (torch.floor, x),
        "round": (torch.round, x),
        "sign": (torch.sign, x),
        "avg_pool1d": (lambda t: functional.avg_pool1d(t, 2), (1, 2, 6)),
        "pixel differences": (lambda t: (t[:, 1:] - t[:, :-1]) ** 2, x),
        "glu": (functional.glu, x),
    }
    found = {name: Right(f, shapes) for name, (f, *shapes) in plain.items()}
    for f in (
        torch.tanh,
        torch.sigmoid,
        torch.atan,
        torch.asinh,
        torch.erf,
        functional.gelu,
        functional.silu,
        functional.elu,
        functional.selu,
        functional.mish,
    ):
        found[f.__name__] = Right(f, (x,))
    for f in (
        functional.softplus,
        functional.relu,
        functional.leaky_relu,
        functional.hardswish,
        functional.softsign,
        functional.tanhshrink,
        torch.square,
        torch.abs,
    ):
        found[f.__name__] = Right(f, (x,))
    for f in (torch.sin, torch.exp, torch.sinh):
        found[f.__name__] = Right(f, (x,), None, long)
    for f in (torch.log, torch.sqrt, torch.rsqrt, torch.lgamma, torch.digamma):
        found[f.__name__] = Right(f, (x,), None, POSITIVE)
    found["asin"] = Right(torch.asin, (x,), None, WITHIN_ONE)
    modules: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
        "Linear": (nn.Linear(4, 3, **kind), x),
        "BatchNorm1d": (nn.BatchNorm1d(4, **kind), (5, 4)),
        "GroupNorm": (nn.GroupNorm(2, 4, **kind), (3, 4)),
        "LSTM": (nn.LSTM(3, 2, **kind), (4, 3)),
        "GRU": (nn.GRU(3, 2, **kind), (4, 3)),
        "Linear, tanh, BatchNorm1d": (
            nn.Sequential(nn.Linear(4, 3, **kind), nn.Tanh(), nn.BatchNorm1d(3, **kind)),
            (5, 4),
        ),
        "MLP": (nn.Sequential(nn.Linear(4, 3, **kind), nn.GELU(), nn.Linear(3, 1, **kind)), x),
    }
    found.update({name: Right(module, (shape,)) for name, (module, shape) in modules.items()})
    return found


def in_jax() -> dict[str, Right]:
    """Return functions of jax, which differentiates them itself."""
    import jax
    from jax import nn
    from jax import numpy as jnp

    jax.config.update("jax_enable_x64", True)
    x, long = (3, 4), {"min_value": -100.0, "max_value": 100.0}
    found = {
        "linear": Right(lambda a, w, b: a @ w.T + b, (x, (2, 4), (2,))),
        "matmul": Right(jnp.matmul, (x, (4, 2))),
        "product": Right(jnp.multiply, (x, x)),
        "1 - cos": Right(lambda a: 1 - jnp.cos(a), (x,)),
        "log(1 + x²)": Right(lambda a: jnp.log(1 + a * a), (x,)),
        "softmax": Right(nn.softmax, (x,)),
        "log_softmax": Right(nn.log_softmax, (x,)),
        "logsumexp": Right(lambda a: nn.logsumexp(a, -1), (x,)),
        "standardize": Right(nn.standardize, (x,)),
        "mean square": Right(lambda a, b: ((a - b) ** 2).mean(), (x, x)),
        "var": Right(lambda a: a.var(0), (x,)),
        "cumsum": Right(lambda a: jnp.cumsum(a, 0), (x,)),
        "logaddexp": Right(jnp.logaddexp, (x, x)),
        "sort": Right(lambda a: jnp.sort(a, 1), (x,)),
        "max": Right(lambda a: a.max(1), (x,)),
        "floor": Right(jnp.floor, (x,)),
        "round": Right(jnp.round, (x,)),
        "sin": Right(jnp.sin, (x,), None, long),
        "exp": Right(jnp.exp, (x,), None, long),
        "log": Right(jnp.log, (x,), None, POSITIVE),
    }
    for f in (jnp.tanh, jnp.arctan, jnp.square, nn.gelu, nn.silu, nn.softplus, nn.elu, nn.relu, nn.sigmoid):
        found[f.__name__] = Right(f, (x,))
    return found


LIBRARIES: dict[str, Callable[..., dict[str, Right]]] = {"numpy": in_numpy, "torch": in_torch, "jax": in_jax}


def converter(library: str, dtype: str = "float64") -> Callable[[Any], Any]:
    """Return a function that makes an array of the library from a numpy array; jax's arrays are of float64."""
    if library == "torch":
        import torch

        kind = getattr(torch, dtype)
        return lambda x: torch.from_numpy(x).to(kind)
    if library == "jax":
        import jax.numpy as jnp

        return jnp.asarray
    return lambda x: x.astype(dtype)


def outcome(right: Right, library: str, seed: int, examples: int = 20, dtype: str = "float64") -> tuple[str, str]:
    """Run `checks_gradient` of a function once; return a word for what happened, and the message.

    The word is "passed", "warned" if a warning `PartlyCompared` was given, or the name of the exception.
    """
    import hypothesis
    from hypothesis import core

    from micrograd_cn.testing import PartlyCompared, checks_gradient, points

    profile = hypothesis.settings.get_current_profile_name()
    hypothesis.settings.register_profile("campaign", database=None, report_multiple_bugs=False)
    hypothesis.settings.load_profile("campaign")
    convert = converter(library, dtype)
    bounds = {**right.bounds}
    if "float16" in dtype:  # products of larger numbers overflow in float16
        low, high = bounds.get("min_value", -math.inf), bounds.get("max_value", math.inf)
        bounds = {"min_value": max(-10.0, low), "max_value": min(10.0, high)}
    arguments = [points(shape, **bounds).map(convert) for shape in right.shapes]
    how = {} if right.vjp is None else {"vjp": right.vjp}
    before, core.global_force_seed = core.global_force_seed, seed
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", PartlyCompared)
            checks_gradient(right.f, *arguments, examples=examples, **how)()
    except Exception as error:  # a check may raise anything
        return type(error).__name__, str(error)
    finally:
        core.global_force_seed = before
        hypothesis.settings.load_profile(profile)
    return ("warned", str(caught[0].message)) if caught else ("passed", "")


@contextlib.contextmanager
def compiled_once() -> Iterator[None]:
    """Compile a function of jax, and its backward pass, once for all checks of this function in the `with` statement.

    `gradcheck` compiles both for each point, which takes most of the time of a check. Here all points of a function
    have the same shapes, and no constants, so the compiled functions of the first point serve for all others.
    """
    from micrograd_cn.testing.arrays import analytic, problem

    kept: dict[Any, Callable[..., Any]] = {}
    original = analytic.jit_compiled

    def once(f: Any) -> Callable[..., Any]:
        if f.__code__ not in kept:
            kept[f.__code__] = original(f)
        return kept[f.__code__]

    with mock.patch.object(analytic, "jit_compiled", once), mock.patch.object(problem, "jit_compiled", once):
        yield


def selected(libraries: list[str], names: list[str], dtype: str = "float64") -> Iterator[tuple[str, str, Right]]:
    """Yield library, name and function; only functions whose names are in `names`, if there are any."""
    for library in libraries:
        if importlib.util.find_spec(library):
            functions = LIBRARIES[library]() if dtype == "float64" else LIBRARIES[library](dtype)
            for name, right in functions.items():
                if not names or name in names:
                    yield library, name, right


def main() -> None:
    """Run the campaign, and exit with 1 if a right function was accused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("libraries", nargs="*", default=[], help="numpy, torch or jax; by default all three")
    parser.add_argument("--seeds", type=int, default=100, help="how many runs of each function")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", nargs="*", default=[], help="names of functions")
    parser.add_argument("--dtype", default="float64", help="float64, float32, float16, or bfloat16 of PyTorch")
    parser.add_argument("--verbose", action="store_true", help="show the first message of each kind")
    options = parser.parse_args()
    taking = {"torch"} if options.dtype == "bfloat16" else {"torch", "numpy"}
    if options.dtype != "float64" and not (options.libraries and taking.issuperset(options.libraries)):
        parser.error(f"--dtype {options.dtype} is for {' and '.join(sorted(taking))}: name them before it")
    total: Counter[str] = Counter()
    for library, name, right in selected(options.libraries or list(LIBRARIES), options.only, options.dtype):
        found: Counter[str] = Counter()
        start, results = time.process_time(), list[CheckResult]()
        with compiled_once(), result_hook(results.append):
            for seed in range(options.first, options.first + options.seeds):
                word, message = outcome(right, library, seed, dtype=options.dtype)
                if options.verbose and word != "passed" and not found[word]:
                    print(message)
                found[word] += 1
        total += found
        seconds = time.process_time() - start
        unknown = sum(result.verdict == "not compared" for result in results)
        hidden = f"{unknown} of {len(results)} not compared" if unknown else ""
        print(f"{library:6} {name:28} {seconds:6.1f} s  {dict(found)}  {hidden}", flush=True)
    print(f"in all: {dict(total)}")
    sys.exit(total["GradientMismatch"] > 0)


if __name__ == "__main__":
    main()
