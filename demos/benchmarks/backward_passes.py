"""Functions with backward passes written by hand, as people write them, and mistakes to plant in these passes.

Each function is a generator. It yields its value, is sent the upstream gradient, and yields the gradients of its
arguments. Its argument `xp` is numpy, PyTorch or JAX, and it uses only names that the three libraries have in common,
so every checker gets the same function: `in_torch` makes an `autograd.Function` of it, `in_jax` a `custom_vjp`, and
`in_numpy` a function and its vjp. A mistake is written as a replacement, such as "2 * x -> x". It is made in the source
code of the backward pass, which is the part of the generator after the upstream gradient has come.
"""

import functools
import inspect
import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

Array = Any
Pass = Generator[Any, Any, None]  # yields the value, is sent the upstream gradient, and yields the gradients


@dataclass(frozen=True)
class Case:
    """A function with its backward pass.

    Attributes:
        run: the generator function; it takes the library and the arguments.
        mistakes: the mistakes, each a replacement in the code of the backward pass, such as "2 * x -> x".
        shapes: the shapes of the arguments by name.
        positive: the names of the arguments whose numbers must be positive.
    """

    run: Callable[..., Pass]
    mistakes: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]
    positive: tuple[str, ...]

    def arguments(self, seed: int) -> list[Array]:
        """Return random arguments as numpy arrays of doubles."""
        import numpy as np

        random = np.random.default_rng(seed)
        drawn = {name: random.normal(size=shape) for name, shape in self.shapes.items()}
        return [np.exp(0.5 * x) if name in self.positive else x for name, x in drawn.items()]

    def planted(self, mistake: str) -> Callable[..., Pass]:
        """Return the function with the mistake planted in its backward pass."""
        return _planted(self.run, mistake)


@functools.cache
def _planted(run: Callable[..., Pass], mistake: str) -> Callable[..., Pass]:
    code = inspect.getsource(run)
    forward, upstream, backward = code[code.index("def ") :].partition("= yield ")
    value, line, backward = backward.partition("\n")
    right, _, wrong = mistake.partition(" -> ")
    if backward.count(right) != 1:
        raise ValueError(f"{run.__name__}: {right!r} stands {backward.count(right)} times in its backward pass")
    names: dict[str, Any] = {}
    exec(forward + upstream + value + line + backward.replace(right, wrong), globals(), names)
    made: Callable[..., Pass] = names[run.__name__]
    return made


def in_numpy(run: Callable[..., Pass]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the generator function `run` as two functions of numpy arrays: the function itself, and its vjp."""
    import numpy as np

    def f(*xs: Array) -> Any:
        return next(run(np, *xs))

    def vjp(*args: Any) -> Any:
        found = _gradients(run, np, args[:-1], args[-1])
        return found if len(found) > 1 else found[0]

    f.__name__ = run.__name__
    return f, vjp


def in_torch(run: Callable[..., Pass]) -> Any:
    """Return the generator function `run` as a function of PyTorch tensors, the `apply` of an autograd.Function."""
    import torch

    def forward(ctx: Any, *xs: Array) -> Any:
        ctx.save_for_backward(*xs)
        return next(run(torch, *xs))

    def backward(ctx: Any, *upstream: Any) -> Any:
        return _gradients(run, torch, ctx.saved_tensors, upstream if len(upstream) > 1 else upstream[0])

    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    made: Any = type(run.__name__, (torch.autograd.Function,), methods)
    return made.apply


def in_jax(run: Callable[..., Pass]) -> Any:
    """Return the generator function `run` as a function of JAX arrays, a custom_vjp."""
    import jax

    f: Any = jax.custom_vjp(lambda *xs: next(run(jax.numpy, *xs)))
    f.defvjp(lambda *xs: (next(run(jax.numpy, *xs)), xs), lambda xs, g: _gradients(run, jax.numpy, xs, g))
    return f


def _gradients(run: Callable[..., Pass], xp: Any, xs: Any, upstream: Any) -> tuple[Any, ...]:
    started: Any = run(xp, *xs)
    next(started)
    found = started.send(upstream)
    return found if isinstance(found, tuple) else (found,)


CASES: dict[str, Case] = {}


def case(
    *mistakes: str, positive: tuple[str, ...] = (), **shapes: tuple[int, ...]
) -> Callable[[Callable[..., Pass]], Callable[..., Pass]]:
    """Return a decorator, which adds a generator function to `CASES` with its mistakes and its arguments' shapes."""

    def enter(run: Callable[..., Pass]) -> Callable[..., Pass]:
        CASES[run.__name__] = Case(run, mistakes, shapes, positive)
        return run

    return enter


# Helpers that the functions are written with.


def total(x: Array, axis: int = -1) -> Array:
    return x.sum(axis, keepdims=True)


def mean(x: Array, axis: int = -1) -> Array:
    return total(x, axis) / x.shape[axis]


def sigmoid(xp: Any, x: Array) -> Array:
    return 1 / (1 + xp.exp(-x))


def soft(xp: Any, x: Array) -> Array:
    e = xp.exp(x - xp.amax(x, axis=-1, keepdims=True))
    return e / total(e)


def eye(xp: Any, x: Array) -> Array:
    return xp.eye(x.shape[-1], dtype=x.dtype)


def classes(xp: Any, x: Array) -> Array:
    """Return a one-hot target for each row."""
    return eye(xp, x)[xp.asarray([(3 * i + 1) % x.shape[-1] for i in range(x.shape[0])])]


def flip(xp: Any, x: Array) -> Array:
    return xp.flip(x, (0,))


# Activations.


@case("x > 0 -> x > -1", "* (x > 0) -> ", "g * (x > 0) -> g * x * (x > 0)", x=(3, 4))
def relu(xp: Any, x: Array) -> Pass:
    g = yield x * (x > 0)
    yield g * (x > 0)


@case("0.1 -> 0.01", "0.1 -> -0.1", "x <= 0 -> x > 0", x=(3, 4))
def leaky_relu(xp: Any, x: Array) -> Pass:
    g = yield xp.where(x > 0, x, 0.1 * x)
    yield g * (x > 0) + 0.1 * g * (x <= 0)


@case("1 - y -> 1 + y", "y * (1 - y) -> x * (1 - x)", "g * y -> y", x=(5,))
def logistic(xp: Any, x: Array) -> Pass:
    y = sigmoid(xp, x)
    g = yield y
    yield g * y * (1 - y)


@case("y * y -> y", "y * y -> x * x", "1 - y -> 1 + y", "g * (1 - y * y) -> g - y * y", x=(2, 3))
def tanh(xp: Any, x: Array) -> Pass:
    y = xp.tanh(x)
    g = yield y
    yield g * (1 - y * y)


@case("3 * 0.044715 -> 0.044715", "(0.5 * (1 + t) -> ((1 + t)", "1 - t * t -> 1 - t", "* c * -> *", x=(4, 3))
def gelu(xp: Any, x: Array) -> Pass:
    c = math.sqrt(2 / math.pi)
    t = xp.tanh(c * (x + 0.044715 * x**3))
    g = yield 0.5 * x * (1 + t)
    yield g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x))


@case("* (1 - s) -> ", "s + x -> x", "s + x * s -> s - x * s", x=(4, 3))
def swish(xp: Any, x: Array) -> Pass:
    s = sigmoid(xp, x)
    g = yield x * s
    yield g * (s + x * s * (1 - s))


@case("sigmoid(xp, x) -> sigmoid(xp, -x)", "sigmoid(xp, x) -> xp.tanh(x)", x=(6,))
def softplus(xp: Any, x: Array) -> Pass:
    g = yield xp.log(1 + xp.exp(x))
    yield g * sigmoid(xp, x)


@case("xp.exp(x) -> (xp.exp(x) - 1)", "xp.exp(x) -> x", "x > 0 -> x > 1", x=(3, 4))
def elu(xp: Any, x: Array) -> Pass:
    g = yield xp.where(x > 0, x, xp.exp(x) - 1)
    yield g * xp.where(x > 0, xp.ones_like(x), xp.exp(x))


@case("1 - t * t -> 1 - t", "* sigmoid(xp, x) -> ", "t + x -> 1 + x", x=(3, 3))
def mish(xp: Any, x: Array) -> Pass:
    t = xp.tanh(xp.log(1 + xp.exp(x)))
    g = yield x * t
    yield g * (t + x * (1 - t * t) * sigmoid(xp, x))


@case("s * (1 - s) -> (1 - s)", "b * s -> s", "(1 - s), g -> (1 - s), -g", a=(6,), b=(6,))
def gated_unit(xp: Any, a: Array, b: Array) -> Pass:
    s = sigmoid(xp, a)
    g = yield s * b
    yield g * b * s * (1 - s), g * s


@case("1 - s -> 1 + s", "g * b * (s -> g * (s", "g * a * s -> g * s", a=(2, 3), b=(2, 3))
def swiglu(xp: Any, a: Array, b: Array) -> Pass:
    s = sigmoid(xp, a)
    g = yield a * s * b
    yield g * b * (s + a * s * (1 - s)), g * a * s


# Softmax and functions related to it.


@case("- total(g * y) -> ", "total(g * y) -> total(g)", "y * (g -> (g", "total(g * y) -> mean(g * y)", x=(4, 5))
def softmax(xp: Any, x: Array) -> Pass:
    y = soft(xp, x)
    g = yield y
    yield y * (g - total(g * y))


@case("total(g) -> g", "total(g) -> mean(g)", "total(g) -> total(g, 0)", "soft(xp, x) -> x", x=(4, 5))
def log_softmax(xp: Any, x: Array) -> Pass:
    top = xp.amax(x, axis=-1, keepdims=True)
    g = yield x - top - xp.log(total(xp.exp(x - top)))
    yield g - soft(xp, x) * total(g)


@case("soft(xp, x) -> xp.exp(x)", "g * -> ", "soft(xp, x) -> soft(xp, x.T).T", x=(3, 4))
def logsumexp(xp: Any, x: Array) -> Pass:
    top = xp.amax(x, axis=-1, keepdims=True)
    g = yield top + xp.log(total(xp.exp(x - top)))
    yield g * soft(xp, x)


@case(
    "/ t, -> ,", "-(x -> (x", "x * along -> along", "t**2 -> t", "total(g * y) -> total(g)",
    x=(3, 4), t=(1,), positive=("t",),
)  # fmt: skip
def softmax_with_temperature(xp: Any, x: Array, t: Array) -> Pass:
    y = soft(xp, x / t)
    g = yield y
    along = y * (g - total(g * y))
    yield along / t, -(x * along).sum().reshape(1) / t**2


# Normalisation.


@case(
    "- mean(y * h) * y -> ", "- mean(h) -> ", "/ s * (h -> * (h", "g * w -> g", "(g * y).sum(0) -> g.sum(0)",
    "g.sum(0) -> g.mean(0)",
    x=(3, 6), w=(6,), b=(6,),
)  # fmt: skip
def layer_norm(xp: Any, x: Array, w: Array, b: Array) -> Pass:
    c = x - mean(x)
    s = xp.sqrt(mean(c * c) + 1e-5)
    y = c / s
    g = yield y * w + b
    h = g * w
    yield 1 / s * (h - mean(h) - mean(y * h) * y), (g * y).sum(0), g.sum(0)


@case("- y * mean(y * h) -> ", "mean(y * h) -> total(y * h)", "(g * y).sum(0) -> (g * x).sum(0)", x=(3, 5), w=(5,))
def rms_norm(xp: Any, x: Array, w: Array) -> Pass:
    s = xp.sqrt(mean(x * x) + 1e-6)
    y = x / s
    g = yield y * w
    h = g * w
    yield (h - y * mean(y * h)) / s, (g * y).sum(0)


@case(
    "- mean(h, 0) -> ", "mean(y * h, 0) -> mean(y * h)", "mean(h, 0) -> mean(g, 0)", ") / s -> )",
    "(g * y).sum(0) -> (g * y).mean(0)",
    x=(8, 3), w=(3,), b=(3,),
)  # fmt: skip
def batch_norm(xp: Any, x: Array, w: Array, b: Array) -> Pass:
    c = x - mean(x, 0)
    s = xp.sqrt(mean(c * c, 0) + 1e-3)
    y = c / s
    g = yield y * w + b
    h = g * w
    yield (h - mean(h, 0) - y * mean(y * h, 0)) / s, (g * y).sum(0), g.sum(0)


@case("y * total(g * y) -> y", "/ s -> ", "total(g * y) -> total(g * x)", "- y -> + y", x=(4, 3))
def unit_rows(xp: Any, x: Array) -> Pass:
    s = xp.sqrt(total(x * x))
    y = x / s
    g = yield y
    yield (g - y * total(g * y)) / s


@case("/ s * (h -> * (h", "- u * total(h * u) -> ", "total(g * u) -> total(h * u)", v=(3, 4), m=(3, 1))
def weight_norm(xp: Any, v: Array, m: Array) -> Pass:
    s = xp.sqrt(total(v * v))
    u = v / s
    g = yield m * u
    h = g * m
    yield 1 / s * (h - u * total(h * u)), total(g * u)


@case("/ 0.8 -> ", "* keep -> ", "keep -> (1 - keep)", x=(5, 4))
def dropout(xp: Any, x: Array) -> Pass:
    keep = 1 - classes(xp, x)
    g = yield x * keep / 0.8
    yield g * keep / 0.8


# Layers.


@case("g @ w -> g @ w * 0.1", "g.T @ x -> 2 * g.T @ x", "g.sum(0) -> g.mean(0)", "g.sum(0) -> -g.sum(0)",
      x=(4, 3), w=(5, 3), b=(5,))  # fmt: skip
def linear(xp: Any, x: Array, w: Array, b: Array) -> Pass:
    g = yield x @ w.T + b
    yield g @ w, g.T @ x, g.sum(0)


@case("g @ w.T -> g @ w", "x.T @ g -> g.T @ x", "g @ w.T -> w.T @ g", x=(4, 4), w=(4, 4))
def square_linear(xp: Any, x: Array, w: Array) -> Pass:
    g = yield x @ w
    yield g @ w.T, x.T @ g


@case("ba,aij,bj->bi -> ba,aji,bj->bi", "ba,bi,bj->aij -> ba,bj,bi->aij", "by_x, by_y -> by_y, by_x",
      x=(4, 3), y=(4, 3), w=(2, 3, 3))  # fmt: skip
def bilinear(xp: Any, x: Array, y: Array, w: Array) -> Pass:
    g = yield xp.einsum("bi,aij,bj->ba", x, w, y)
    by_x = xp.einsum("ba,aij,bj->bi", g, w, y)
    by_y = xp.einsum("ba,aij,bi->bj", g, w, x)
    yield by_x, by_y, xp.einsum("ba,bi,bj->aij", g, x, y)


@case("g + d -> d", "1 - h * h -> 1 - h", "g.T @ h -> g.T @ x", x=(3, 4), v=(4, 4), w=(4, 4))
def residual_block(xp: Any, x: Array, v: Array, w: Array) -> Pass:
    h = xp.tanh(x @ v.T)
    g = yield x + h @ w.T
    d = (g @ w) * (1 - h * h)
    yield g + d @ v, d.T @ x, g.T @ h


@case("flip(xp, w) -> w", "g[i] * x -> x", "range(6) -> range(5)", x=(8,), w=(3,))
def convolution(xp: Any, x: Array, w: Array) -> Pass:
    g = yield xp.stack([(x[i : i + 3] * w).sum() for i in range(6)])
    padded = xp.concatenate([xp.zeros_like(w)[:2], g, xp.zeros_like(w)[:2]])
    by_w = sum(g[i] * x[i : i + 3] for i in range(6))
    yield xp.stack([(padded[i : i + 3] * flip(xp, w)).sum() for i in range(8)]), by_w


@case("8)]) / 2 -> 8)])", "8)]) / 2 -> 8)]) / 4", "g[i // 2] -> g[i // 3]", x=(8,))
def average_pool(xp: Any, x: Array) -> Pass:
    g = yield x.reshape(4, 2).sum(1) / 2
    yield xp.stack([g[i // 2] for i in range(8)]) / 2


@case("g[:, None] * -> 1.0 * ", "== x -> >= x", "(3, 3))).reshape -> (3, 3)).T).reshape", x=(9,))
def max_pool(xp: Any, x: Array) -> Pass:
    top = xp.amax(x.reshape(3, 3), axis=1)
    g = yield top
    yield (g[:, None] * (top[:, None] == x.reshape(3, 3))).reshape(9)


@case("[i] == k -> [i] == k + 1", "range(5) -> range(2)", "g[i] -> -g[i]", w=(4, 3))
def embedding(xp: Any, w: Array) -> Pass:
    words = [2, 0, 2, 1, 3]
    g = yield xp.stack([w[k] for k in words])
    yield xp.stack([sum((g[i] for i in range(5) if words[i] == k), 0 * w[k]) for k in range(4)])


@case("-g[:, :n] * s -> g[:, :n] * s", "* c + -> +", "c * g[:, n:] -> s * g[:, n:]", x=(3, 4))
def rotary_embedding(xp: Any, x: Array) -> Pass:
    n, at = 2, xp.asarray([[0.0, 0.0], [1.0, 0.1], [2.0, 0.2]], dtype=x.dtype)
    c, s = xp.cos(at), xp.sin(at)
    a, b = x[:, :n], x[:, n:]
    g = yield xp.concatenate([a * c - b * s, a * s + b * c], 1)
    yield xp.concatenate([g[:, :n] * c + g[:, n:] * s, -g[:, :n] * s + c * g[:, n:]], 1)


# Attention and recurrent networks.


@case(
    "p * (d - total(d * p)) -> d * p", "(s @ k) / 2 -> s @ k", "(s.T @ q) / 2 -> (s @ q) / 2", "g @ v.T -> v @ g.T",
    "p.T @ g -> p @ g", "total(d * p) -> total(d)",
    q=(4, 4), k=(4, 4), v=(4, 4),
)  # fmt: skip
def attention(xp: Any, q: Array, k: Array, v: Array) -> Pass:
    p = soft(xp, q @ k.T / 2)
    g = yield p @ v
    d = g @ v.T
    s = p * (d - total(d * p))
    yield (s @ k) / 2, (s.T @ q) / 2, p.T @ g


@case(
    "/ 2 -> ", "s.T @ q -> s.T @ k", "p.T @ g -> xp.tril(p.T) @ g", "- total(d * p) -> ", "p * (d -> (d",
    q=(5, 4), k=(5, 4), v=(5, 3),
)  # fmt: skip
def causal_attention(xp: Any, q: Array, k: Array, v: Array) -> Pass:
    seen = xp.tril(xp.ones((5, 5), dtype=q.dtype))
    scores = q @ k.T / 2
    e = xp.exp(scores - xp.amax(scores, axis=-1, keepdims=True)) * seen
    p = e / total(e)
    g = yield p @ v
    d = g @ v.T
    s = p * (d - total(d * p)) / 2
    yield s @ k, s.T @ q, p.T @ g


@case(
    "dc * i * (1 - u * u) -> dc * i * (1 - u)", "dh * t * o * (1 - o) -> dh * t", "* (1 - t * t) -> ",
    "dc * c * f * (1 - f) -> dc * f * (1 - f)", "dz @ w -> dz @ w * 0.9", "x, dc * f -> x, dc", "dc = g[1] + -> dc =",
    "dz.T @ x -> dz.T @ x * x.shape[0]", "dc * u * i * (1 - i) -> dc * u * i",
    x=(2, 3), w=(12, 3), c=(2, 3),
)  # fmt: skip
def lstm_cell(xp: Any, x: Array, w: Array, c: Array) -> Pass:
    z = x @ w.T
    i, f, o, u = sigmoid(xp, z[:, :3]), sigmoid(xp, z[:, 3:6]), sigmoid(xp, z[:, 6:9]), xp.tanh(z[:, 9:])
    after = f * c + i * u
    t = xp.tanh(after)
    g = yield o * t, after
    dh = g[0]
    dc = g[1] + dh * o * (1 - t * t)
    dz = xp.concatenate([dc * u * i * (1 - i), dc * c * f * (1 - f), dh * t * o * (1 - o), dc * i * (1 - u * u)], 1)
    yield dz @ w, dz.T @ x, dc * f


@case(
    "g * (h - n) -> g * (n - h)", "(dn @ v.T) * r -> (dn @ v.T)", "z * g + -> g +", "(1 - n * n) -> (1 - n)",
    "r * (1 - r) -> r", "(r * h).T @ dn -> h.T @ dn",
    h=(2, 3), v=(3, 3), a=(3, 3), b=(3, 3),
)  # fmt: skip
def gru_cell(xp: Any, h: Array, v: Array, a: Array, b: Array) -> Pass:
    z, r = sigmoid(xp, h @ a), sigmoid(xp, h @ b)
    n = xp.tanh((r * h) @ v)
    g = yield z * h + (1 - z) * n
    dz = g * (h - n) * z * (1 - z)
    dn = g * (1 - z) * (1 - n * n)
    dr = (dn @ v.T) * h * r * (1 - r)
    yield z * g + (dn @ v.T) * r + dz @ a.T + dr @ b.T, (r * h).T @ dn, h.T @ dz, h.T @ dr


@case("d = d @ w -> d = d @ w.T", "by_w + -> ", "hs[t] -> hs[t + 1]", "1 - hs[t + 1] ** 2 -> 1 - hs[t + 1]",
      "[::-1] -> ", x=(4, 3), w=(3, 3))  # fmt: skip
def recurrent_network(xp: Any, x: Array, w: Array) -> Pass:
    hs = [0 * x[0]]
    for t in range(4):
        hs.append(xp.tanh(w @ hs[-1] + x[t]))
    g = yield hs[-1]
    d, by_w, by_x = g, 0 * w, []
    for t in range(3, -1, -1):
        d = d * (1 - hs[t + 1] ** 2)
        by_w = by_w + d[:, None] * hs[t]
        by_x.append(d)
        d = d @ w
    yield xp.stack(by_x[::-1]), by_w


# Losses.


@case("2 * g -> g", "/ 12 -> ", "yield d -> yield -d", "g * (y - t) -> (y - t)", ", -d -> , d", y=(3, 4), t=(3, 4))
def mse_loss(xp: Any, y: Array, t: Array) -> Pass:
    g = yield ((y - t) ** 2).sum() / 12
    d = 2 * g * (y - t) / 12
    yield d, -d


@case("/ 4 -> ", "soft(xp, x) - t -> t - soft(xp, x)", "- t -> ", "- t -> - t / 2", "g * -> ", x=(4, 5))
def cross_entropy(xp: Any, x: Array) -> Pass:
    t = classes(xp, x)
    top = xp.amax(x, axis=-1, keepdims=True)
    g = yield (xp.log(xp.exp(x - top).sum(-1)) - (t * (x - top)).sum(-1)).sum() / 4
    yield g * (soft(xp, x) - t) / 4


@case("0.1 / 5 -> 0.1", "0.9 * -> ", "soft(xp, x) - ( -> soft(xp, x) + (", x=(3, 5))
def label_smoothing(xp: Any, x: Array) -> Pass:
    t = 0.9 * classes(xp, x) + 0.1 / 5
    top = xp.amax(x, axis=-1, keepdims=True)
    g = yield (xp.log(xp.exp(x - top).sum(-1)) - (t * (x - top)).sum(-1)).sum()
    yield g * (soft(xp, x) - (0.9 * classes(xp, x) + 0.1 / 5))


@case("- t -> + t", "sigmoid(xp, x) -> xp.tanh(x)", "g * (sig -> (sig", "/ 6 -> ", x=(6,))
def bce_with_logits(xp: Any, x: Array) -> Pass:
    t = xp.asarray([1.0, 0.0, 1.0, 1.0, 0.0, 0.3], dtype=x.dtype)
    g = yield (xp.log(1 + xp.exp(-abs(x))) + x * (x > 0) - t * x).sum() / 6
    yield g * (sigmoid(xp, x) - t) / 6


@case("(p - 1) -> (1 - p)", "p * (p - 1) -> (p - 1)", "t / p -> t / (1 - p)", "/ 5 -> / 4", z=(5,))
def bce_of_probabilities(xp: Any, z: Array) -> Pass:
    t = xp.asarray([1.0, 0.0, 1.0, 0.0, 0.0], dtype=z.dtype)
    p = sigmoid(xp, z)
    g = yield -(t * xp.log(p) + (1 - t) * xp.log(1 - p)).sum() / 5
    yield g * (t / p - (1 - t) / (1 - p)) * p * (p - 1) / 5


@case("< 1 -> < 0", "-g -> g", "* s -> ", x=(8,))
def hinge_loss(xp: Any, x: Array) -> Pass:
    s = xp.asarray([1.0, -1.0, 1.0, -1.0, 1.0, -1.0, -1.0, 1.0], dtype=x.dtype)
    g = yield ((1 - s * x) * (s * x < 1)).sum()
    yield -g * s * (s * x < 1)


@case("xp.sign(x) -> x", "< 0.5 -> < 1", "0.5 * xp -> xp", x=(3, 4))
def huber_loss(xp: Any, x: Array) -> Pass:
    g = yield xp.where(abs(x) < 0.5, 0.5 * x * x, 0.5 * abs(x) - 0.125).sum()
    yield g * xp.where(abs(x) < 0.5, x, 0.5 * xp.sign(x))


@case("2 * xp.sinh -> xp.sinh", "+ x / xp -> - x / xp", ") ** 2 -> )", x=(6,))
def log_cosh_loss(xp: Any, x: Array) -> Pass:
    g = yield (x * xp.tanh(x) + xp.log(xp.cosh(x))).sum()
    yield g * (2 * xp.sinh(x) / xp.cosh(x) + x / xp.cosh(x) ** 2)


@case("xp.log(p / q) -> xp.log(q / p)", "- total(p * d) -> ", "soft(xp, y) - p -> p - soft(xp, y)", x=(3, 4), y=(3, 4))
def kl_divergence(xp: Any, x: Array, y: Array) -> Pass:
    p, q = soft(xp, x), soft(xp, y)
    g = yield (p * xp.log(p / q)).sum()
    d = xp.log(p / q)
    yield g * p * (d - total(p * d)), g * (soft(xp, y) - p)


@case("0.5 - -> ", "/ v, -> ,", "/ (2 * v) -> / v", "-g * d -> g * d", m=(5,), v=(5,), positive=("v",))
def gaussian_likelihood(xp: Any, m: Array, v: Array) -> Pass:
    t = xp.asarray([0.3, -1.2, 0.8, 0.1, 2.0], dtype=m.dtype)
    d = t - m
    g = yield (0.5 * d * d / v + 0.5 * xp.log(v)).sum()
    yield -g * d / v, g * (0.5 - d * d / (2 * v)) / v


@case("- c * x / xx -> ", "y / xy -> y", "c * y / yy -> c * x / yy", x=(4, 3), y=(4, 3))
def cosine_similarity(xp: Any, x: Array, y: Array) -> Pass:
    xx, yy = total(x * x), total(y * y)
    xy = xp.sqrt(xx * yy)
    c = total(x * y) / xy
    g = yield c
    yield g * (y / xy - c * x / xx), g * (x / xy - c * y / yy)


@case("- eye(xp, d) -> ", "d @ y -> d @ x", "d.T @ x -> d @ x", "/ 4 -> ", "/ 0.5 -> ", x=(4, 3), y=(4, 3))
def contrastive_loss(xp: Any, x: Array, y: Array) -> Pass:
    s = x @ y.T / 0.5
    g = yield -(xp.log(soft(xp, s)) * eye(xp, s)).sum() / 4
    d = soft(xp, s)
    d = g * (d - eye(xp, d)) / 4 / 0.5
    yield d @ y, d.T @ x


@case("2 * g -> g", "(n - p) * on, -> n * on,", "(p - a) * on, -> (a - p) * on,", a=(4, 3), p=(4, 3), n=(4, 3))
def triplet_loss(xp: Any, a: Array, p: Array, n: Array) -> Pass:
    far = total((a - p) ** 2) - total((a - n) ** 2) + 1
    g = yield (far * (far > 0)).sum()
    on = 2 * g * (far > 0)
    yield (n - p) * on, (p - a) * on, (a - n) * on


@case("2 * g * -> g *", "p * (1 - p) -> p", "(p - t) / 5 -> p - t", z=(5,))
def brier_score(xp: Any, z: Array) -> Pass:
    p, t = sigmoid(xp, z), xp.asarray([1.0, 0.0, 1.0, 0.0, 1.0], dtype=z.dtype)
    g = yield ((p - t) ** 2).sum() / 5
    yield 2 * g * p * (1 - p) * (p - t) / 5


@case("w * d -> d", "2 * g -> g", "d * d -> d", x=(6,), w=(6,))
def weighted_squares(xp: Any, x: Array, w: Array) -> Pass:
    d = x - 1
    g = yield (w * d * d).sum()
    yield 2 * g * (w * d), g * (d * d)


# Linear algebra.


@case("0.5 * xp.eye -> xp.eye", "s + s.T -> s", "i.T @ (half -> i @ (half", "c.T @ g -> c @ g", x=(3, 3))
def cholesky(xp: Any, x: Array) -> Pass:
    c = xp.linalg.cholesky(x @ x.T + 3 * eye(xp, x))
    g = yield c
    i = xp.linalg.inv(c)
    half = xp.tril(xp.ones_like(x)) - 0.5 * xp.eye(3, dtype=x.dtype)
    s = i.T @ (half * (c.T @ g)) @ i
    yield 0.5 * (s + s.T) @ x * 2


@case("-b @ y.T -> b @ y.T", "-b @ y.T -> -y @ b.T", "i.T @ g -> i @ g", m=(3, 3), r=(3, 2))
def solve(xp: Any, m: Array, r: Array) -> Pass:
    i = xp.linalg.inv(m + 4 * eye(xp, m))
    y = i @ r
    g = yield y
    b = i.T @ g
    yield -b @ y.T, b


@case("-i.T -> i.T", "-i.T @ g -> -i @ g", "g @ i.T -> g @ i", m=(3, 3))
def inverse(xp: Any, m: Array) -> Pass:
    i = xp.linalg.inv(m + 4 * eye(xp, m))
    g = yield i
    yield -i.T @ g @ i.T


@case("i.T -> i", "i.T -> 2 * i.T", "g * -> ", m=(4, 4))
def log_determinant(xp: Any, m: Array) -> Pass:
    a = m + 6 * eye(xp, m)
    g = yield xp.log(xp.linalg.det(a))
    i = xp.linalg.inv(a)
    yield g * i.T


@case("+ m.T -> ", "x @ x.T -> 2 * x @ x.T", "(m + m.T) @ x -> x @ (m + m.T)", m=(3, 3), x=(3, 3))
def quadratic_form(xp: Any, m: Array, x: Array) -> Pass:
    g = yield (x * (m @ x)).sum()
    yield g * x @ x.T, g * (m + m.T) @ x


@case("b.T @ a.T @ g -> a.T @ b.T @ g", "g @ c.T @ b.T -> g @ b.T @ c.T", "a.T @ g @ c.T -> a.T @ g @ c", a=(3, 3),
      b=(3, 3), c=(3, 3))  # fmt: skip
def product_of_three(xp: Any, a: Array, b: Array, c: Array) -> Pass:
    g = yield a @ b @ c
    yield g @ c.T @ b.T, a.T @ g @ c.T, b.T @ a.T @ g


@case("+ g.T -> - g.T", "+ g.T -> ", "@ c -> @ x", x=(3, 4))
def covariance(xp: Any, x: Array) -> Pass:
    c = x - mean(x)
    g = yield c @ c.T
    yield (g + g.T) @ c


@case("/ s -> / s**2", "x[:, None] - x[None] -> x[None] - x[:, None]", "(h + h.T) -> h", x=(4, 2))
def pairwise_distances(xp: Any, x: Array) -> Pass:
    apart = ((x[:, None] - x[None]) ** 2).sum(-1)
    s = xp.sqrt(apart + 1)
    g = yield s
    h = g / s
    yield ((h + h.T)[:, :, None] * (x[:, None] - x[None])).sum(1)


@case("-k -> k", "g.T -> g", "/ w**3 -> / w", ".sum(1) / w**2 -> .sum(1) / w", x=(4, 2), w=(1,), positive=("w",))
def gaussian_kernel(xp: Any, x: Array, w: Array) -> Pass:
    apart = x[:, None] - x[None]
    squares = (apart**2).sum(-1)
    k = xp.exp(-squares / (2 * w**2))
    g = yield k
    yield ((-k * (g + g.T))[:, :, None] * apart).sum(1) / w**2, (g * k * squares).sum().reshape(1) / w**3


# Filters, steps of differential equations, transforms, scans.


@case(
    "dk * k / s -> dk / s", "- g[1] * h * p1 -> ", "* h * h -> * h", "g[0] - de * h -> g[0]", "(1 - k * h) -> k",
    x=(2,), p=(2,), z=(2,), positive=("p",),
)  # fmt: skip
def kalman_step(xp: Any, x: Array, p: Array, z: Array) -> Pass:
    h, q, r = 0.8, 0.3, 0.5
    p1 = p + q
    s = h * h * p1 + r
    k, e = p1 * h / s, z - h * x
    g = yield x + k * e, (1 - k * h) * p1
    de = g[0] * k
    dk = g[0] * e - g[1] * h * p1
    dp = g[1] * (1 - k * h) + dk * h / s - (dk * k / s) * h * h
    yield g[0] - de * h, dp, de


@case("g / 2 + h -> g / 2", "1 - k2 * k2 -> 1 - k1 * k1", "* h / 2 * -> *", "(x + h * k1) -> x", "g + up -> up",
      x=(3,), w=(3, 3))  # fmt: skip
def heun_step(xp: Any, x: Array, w: Array) -> Pass:
    h = 0.5
    k1 = xp.tanh(w @ x)
    k2 = xp.tanh(w @ (x + h * k1))
    g = yield x + h / 2 * (k1 + k2)
    d2 = g * h / 2 * (1 - k2 * k2)
    up = d2 @ w
    d1 = (h * g / 2 + h * up) * (1 - k1 * k1)
    yield g + up + d1 @ w, d2[:, None] * (x + h * k1) + d1[:, None] * x


@case("1 - 2 * y -> 1 - y", "reversed(ys) -> ys", "d * y * (1 - y) -> d", "1 + r / 4 * -> r / 4 *", x=(3,), r=(3,))
def logistic_growth(xp: Any, x: Array, r: Array) -> Pass:
    y, ys = sigmoid(xp, x), []
    for _ in range(4):
        ys.append(y)
        y = y + r / 4 * y * (1 - y)
    g = yield y
    d, by_r = g, 0 * r
    for y in reversed(ys):
        by_r = by_r + d * y * (1 - y) / 4
        d = d * (1 + r / 4 * (1 - 2 * y))
    y = ys[0]
    yield d * y * (1 - sigmoid(xp, x)), by_r


@case("3 * q * q -> q * q", "+ h * dq -> + dq", "dq - h -> dq + h", q=(4,), p=(4,))
def leapfrog_step(xp: Any, q: Array, p: Array) -> Pass:
    h = 0.3
    p1 = p - h * (q**3 + q)
    g = yield q + h * p1, p1
    dq, dp = g
    dp = dp + h * dq
    yield dq - h * dp * (3 * q * q + 1), dp


@case("half * -> ", "16 -> 8", "g * half * z -> half * z", x=(8,))
def power_spectrum(xp: Any, x: Array) -> Pass:
    z = xp.fft.rfft(x)
    g = yield z.real**2 + z.imag**2
    half = xp.asarray([1.0, 0.5, 0.5, 0.5, 1.0], dtype=x.dtype)
    yield 16 * xp.fft.irfft(g * half * z)


@case("xp.conj(fw) -> fw", "xp.conj(fx) -> xp.conj(fw)", "* xp.conj(fx) -> / xp.conj(fx)", x=(8,), w=(8,))
def circular_convolution(xp: Any, x: Array, w: Array) -> Pass:
    fx, fw = xp.fft.rfft(x), xp.fft.rfft(w)
    g = yield xp.fft.irfft(fx * fw)
    fg = xp.fft.rfft(g)
    yield xp.fft.irfft(fg * xp.conj(fw)), xp.fft.irfft(fg * xp.conj(fx))


@case("flip(xp, g) -> g", "flip(xp, xp -> (xp", "xp.cumsum(flip(xp, g), 0) -> flip(xp, g)", x=(5, 2))
def cumulative_sum(xp: Any, x: Array) -> Pass:
    g = yield xp.cumsum(x, 0)
    yield flip(xp, xp.cumsum(flip(xp, g), 0))


@case("/ x -> ", "g * y -> g", "g * y -> g * x", x=(6,))
def cumulative_product(xp: Any, x: Array) -> Pass:
    y = xp.cumprod(x, 0)
    g = yield y
    yield flip(xp, xp.cumsum(flip(xp, g * y), 0)) / x


@case("0.9 * d -> d", "0.9 * d -> 0.81 * d", "d = g[t] + -> d =", x=(6,))
def discounted_returns(xp: Any, x: Array) -> Pass:
    y, ys = 0 * x[0], []
    for t in range(5, -1, -1):
        y = x[t] + 0.9 * y
        ys.append(y)
    g = yield xp.stack(ys[::-1])
    d, ds = 0 * x[0], []
    for t in range(6):
        d = g[t] + 0.9 * d
        ds.append(d)
    yield xp.stack(ds)


@case("xp.argsort(at) -> at", "g[xp.argsort(at)] -> g", x=(7,))
def sort(xp: Any, x: Array) -> Pass:
    at = xp.argsort(x)
    g = yield x[at]
    yield g[xp.argsort(at)]


@case("* (abs(x) < 1) -> ", "< 1 -> < 2", "g * -> x * ", x=(3, 4))
def clip(xp: Any, x: Array) -> Pass:
    g = yield xp.clip(x, -1, 1)
    yield g * (abs(x) < 1)


@case("/ y -> ", "x / y -> y / x", "g * x / y -> 2 * g * x", x=(5,))
def length(xp: Any, x: Array) -> Pass:
    y = xp.sqrt((x * x).sum())
    g = yield y
    yield g * x / y


@case("2 * -> ", "/ x.shape[-1] -> / (x.shape[-1] - 1)", "(x - mean(x)) -> x", x=(3, 5))
def variance(xp: Any, x: Array) -> Pass:
    c = x - mean(x)
    g = yield mean(c * c)
    yield 2 * g * (x - mean(x)) / x.shape[-1]


@case("-p -> p", "- total(p * h) -> ", "h - total -> total", x=(3, 4))
def entropy(xp: Any, x: Array) -> Pass:
    p = soft(xp, x)
    h = xp.log(p)
    g = yield -total(p * h)
    yield -p * g * (h - total(p * h))


@case(
    "-(x * gx -> (x * gx",
    "/ z**2 -> / z",
    "gy / z -> gy",
    "+ y * gy -> - y * gy",
    x=(4,),
    y=(4,),
    z=(4,),
    positive=("z",),
)
def pinhole_camera(xp: Any, x: Array, y: Array, z: Array) -> Pass:
    gx, gy = yield x / z, y / z
    yield gx / z, gy / z, -(x * gx + y * gy) / z**2


@case(
    "-x * s -> x * s",
    "c * gx + s * gy -> c * gx - s * gy",
    "gy * (x * c - y * s) -> gy * (x * c)",
    x=(5,),
    y=(5,),
    a=(5,),
)
def rotation(xp: Any, x: Array, y: Array, a: Array) -> Pass:
    c, s = xp.cos(a), xp.sin(a)
    gx, gy = yield x * c - y * s, x * s + y * c
    by_a = gx * (-x * s - y * c) + gy * (x * c - y * s)
    yield c * gx + s * gy, c * gy - s * gx, by_a


@case("p * d / v -> d / v", "* (d / v) -> * d", "-(p -> (p", "/ total(e) -> ", x=(4,), m=(3,))
def mixture_likelihood(xp: Any, x: Array, m: Array) -> Pass:
    v = 0.5
    d = x[:, None] - m
    e = xp.exp(-d * d / (2 * v))
    g = yield xp.log(e.sum(1))
    p = g[:, None] * e / total(e)
    yield -(p * (d / v)).sum(1), (p * d / v).sum(0)
