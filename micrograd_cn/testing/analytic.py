"""Where the derivative to be checked comes from: what the user wrote, PyTorch's backward pass, jax's vjp."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from .libraries import library
from .vectors import Packed, Vector

__tracebackhide__ = True


class Derivative(Protocol):
    """The derivative of a function from vectors to vectors, as far as somebody wrote it."""

    def slope(self, x: Vector, u: Vector, d: Vector) -> float:
        """Return the derivative at `x`, along `d`, of the outputs' sum weighted by `u`."""
        ...

    def gradient(self, x: Vector, u: Vector) -> Vector | None:
        """Return the gradient at `x` of the outputs' sum weighted by `u`; None if only slopes are known."""
        ...


class Reverse:
    """A derivative that is known as gradients, by a function of the point and the weights."""

    def __init__(self, pull: Callable[[Vector, Vector], Vector]) -> None:
        self._pull = pull
        self._last: tuple[Vector, Vector, Vector] | None = None

    def gradient(self, x: Vector, u: Vector) -> Vector:
        """Return the gradient at `x` of the outputs' sum weighted by `u`."""
        if self._last is None or self._last[0] is not x or self._last[1] is not u:
            self._last = (x, u, self._pull(x, u))
        return self._last[2]

    def slope(self, x: Vector, u: Vector, d: Vector) -> float:
        """Return the derivative at `x`, along `d`, of the outputs' sum weighted by `u`."""
        return dot(self.gradient(x, u), d)


class Forward:
    """A derivative that is known along directions, by a function of the point and the direction."""

    def __init__(self, push: Callable[[Vector, Vector], Vector]) -> None:
        self._push = push

    def gradient(self, x: Vector, u: Vector) -> None:
        """Return None: it would take as many slopes as there are elements."""

    def slope(self, x: Vector, u: Vector, d: Vector) -> float:
        """Return the derivative at `x`, along `d`, of the outputs' sum weighted by `u`."""
        return dot(self._push(x, d), u)


def dot(values: Vector, weights: Vector) -> float:
    """Return the weighted sum; what has the weight 0 counts nothing, be it infinite.

    >>> dot(np.array([1.0, np.inf]), np.array([2.0, 0.0]))
    2.0
    """
    some = weights != 0.0
    with np.errstate(all="ignore"):
        products = values * weights if some.all() else values[some] * weights[some]
        return float(np.sum(products))  # in pairs, which is more exact than a product of vectors


def derivative_of(
    f: Callable[..., Any], named: dict[str, Callable[..., Any]], arguments: Packed, outputs: Packed
) -> Derivative:
    """Return the derivative that is given by its name, or that of the arguments' library."""
    if not named:
        in_torch = any(library(x) == "torch" for x in arguments.variables(arguments.model))
        return Reverse(_torch(f, arguments, outputs) if in_torch else _jax(f, arguments, outputs))
    [(name, given)] = named.items()
    several = len(arguments.model) > 1
    what = f"{name}="
    if name == "gradient" and outputs.vector.size != 1:
        n = outputs.vector.size
        raise ValueError(f"gradcheck: gradient= is for one output, f has {n}; give jacobian=, vjp= or jvp=")

    def structured(vector: Vector) -> Any:
        tree = arguments.tree(vector)
        return tree if several else tree[0]

    def gradients(result: Any) -> Vector:
        one = isinstance(result, tuple) and len(result) == 1
        return arguments.derivative(result if several or one else (result,), what)

    def of_gradient(x: Vector, u: Vector) -> Vector:
        return float(u[0]) * gradients(given(*arguments.tree(x)))

    def of_vjp(x: Vector, u: Vector) -> Vector:
        return gradients(given(*arguments.tree(x), outputs.tree(u)))

    def of_jvp(x: Vector, d: Vector) -> Vector:
        return outputs.derivative(given(*arguments.tree(x), structured(d)), what)

    def of_jacobian(x: Vector, u: Vector) -> Vector:
        result = given(*arguments.tree(x))
        total = np.zeros(arguments.vector.size)
        for rows, shape, block in outputs.blocks(result, what):
            for columns, inner, part in arguments.blocks(block if several else (block,), what):
                matrix = np.asarray([] if part is None else part, dtype=np.float64)
                if matrix.size != u[rows].size * total[columns].size:
                    expected = (*shape, *inner)
                    raise ValueError(f"gradcheck: jacobian= gave an array of shape {matrix.shape}, not {expected}")
                matrix = matrix.reshape(u[rows].size, total[columns].size)
                some = u[rows] != 0.0
                total[columns] += u[rows][some] @ matrix[some]
        return total

    if name == "jvp":
        return Forward(of_jvp)
    return Reverse({"gradient": of_gradient, "vjp": of_vjp, "jacobian": of_jacobian}[name])


def _torch(f: Callable[..., Any], arguments: Packed, outputs: Packed) -> Callable[[Vector, Vector], Vector]:
    torch = sys.modules["torch"]

    def pull(x: Vector, u: Vector) -> Vector:
        args = arguments.tree(x)
        inputs = [leaf.requires_grad_() for leaf in arguments.variables(args)]
        pairs = list(zip(outputs.variables(f(*args)), outputs.variables(outputs.tree(u)), strict=True))
        pairs = [(y, w) for y, w in pairs if library(y) == "torch" and y.requires_grad]
        if not pairs:
            raise TypeError(
                "gradcheck: the result does not depend on the tensors by PyTorch's operations, so that there is no "
                "backward pass to check; does f use .detach(), .item(), .numpy() or no_grad()? Or give gradient="
            )
        results, weights = zip(*pairs, strict=True)
        found = torch.autograd.grad(results, inputs, [w.detach() for w in weights], allow_unused=True)
        zeros = [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(found, inputs, strict=True)]
        return np.concatenate([g.detach().to_dense().cpu().double().numpy().ravel() for g in zeros])

    return pull


def _jax(f: Callable[..., Any], arguments: Packed, outputs: Packed) -> Callable[[Vector, Vector], Vector]:
    jax = sys.modules["jax"]

    def pull(x: Vector, u: Vector) -> Vector:
        args = arguments.tree(x)
        variables = tuple(arguments.variables(args))

        def of_variables(*leaves: Any) -> tuple[Any, ...]:
            return tuple(outputs.variables(f(*arguments.with_variables(leaves))))

        _, back = jax.vjp(of_variables, *variables)
        found = back(tuple(outputs.variables(outputs.tree(u))))
        return np.concatenate([np.asarray(g, dtype=np.float64).ravel() for g in found])

    return pull
