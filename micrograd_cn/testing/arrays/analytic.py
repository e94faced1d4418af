"""Build the derivative to check: the one that the user gave, or that of PyTorch's backward pass or of jax's vjp."""

from __future__ import annotations

import contextlib
import inspect
import math
import sys
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np

from ..inputs.array_parts import as_dense
from ..inputs.libraries import is_tensor, number_kind, to_doubles
from ..inputs.pytrees import describe
from ..numeric.numerical import DOMAIN_ERRORS
from ..numeric.thresholds import DEFAULT_RTOL, EQUAL_VALUE_BITS, RTOL_BITS
from ..report import GradientMismatch
from .vectors import CHUNK_SIZE, Packed, Vector, cached_by_identity, chunks, flat_doubles

__tracebackhide__ = True


class Derivative(Protocol):
    """The derivative of a function f from vectors to vectors.

    In its methods, x is the point, and Df(x) is the Jacobian matrix of f there. The cotangent u is a vector that has a
    weight for each output of f, and d is a direction: a vector that says how far each element of x moves.
    """

    def slope(self, x: Vector, u: Vector, d: Vector) -> float:
        """Return u · Df(x) d, the derivative of the weighted sum u · f along the direction d at the point x."""
        ...

    def gradient(self, x: Vector, u: Vector) -> Vector | None:
        """Return Df(x)ᵀ u, the gradient of the weighted sum u · f at the point x; None if only `slope` is known."""
        ...


BackwardPass: TypeAlias = Callable[[Any, Any], Vector]  # (arguments, upstream gradient) -> gradient
Changed: TypeAlias = Callable[[Vector], str | None]  # calls a derivative at a point; names a changed argument
# Records a graph at the arguments, calls f at other arguments, and runs backward through the graph twice. It takes the
# arguments, the other arguments and the upstream gradient.
BackwardTwice: TypeAlias = Callable[[Any, Any, Any], tuple[Vector, Vector]]
# Takes the arguments and the upstream gradient; returns the outputs and the gradient, both from one call of f. The
# result is None if PyTorch cannot differentiate the results of f.
OutputsAndGradient: TypeAlias = Callable[[Any, Any], tuple[Vector, Vector] | None]


class ReverseMode:
    """A derivative that is computed as a gradient Df(x)ᵀ u, as by a backward pass.

    Df(x) is the Jacobian matrix of f at the point x, and u has a weight for each output of f (see `Derivative`).

    Args:
        pullback: computes the gradient from the vectors x and u; the last three gradients are cached.
        run: stored as the attribute `backward_pass`, which is described below.
        graph: stored as the attribute `differentiable_outputs`.
        changed: stored as the attribute `changed`.
        twice: stored as the attribute `backward_twice`.
        both: stored as the attribute `outputs_and_gradient`.

    Attributes:
        backward_pass: computes the gradient from the arguments and the upstream gradient, which is u in the structure
            of the result of f. The attribute is None if the user's derivative takes no upstream gradient.
        differentiable_outputs: takes the arguments, and returns the indices of the results of f that PyTorch can
            differentiate. The upstream gradient of any of these results may be None. The attribute is None if the
            derivative is not PyTorch's.
        changed: calls the user's derivative at a point. If the call changes an argument, `changed` returns a string
            that names the argument, otherwise None. The attribute is None if there is a `backward_pass`: then the
            caller compares the arguments before and after the backward pass.
        backward_twice: records the graph of a call of f, calls f at another point, and returns the gradients of two
            backward passes through the graph (see `BackwardTwice`). If the user gave a forward and a backward pass, the
            cache that the forward pass returns takes the place of the graph. If the user gave any other derivative,
            or the derivative is that of jax, the attribute is None.
        outputs_and_gradient: computes the outputs and the gradient by one call of f (see `OutputsAndGradient`). The
            attribute is None if the derivative is not PyTorch's.
    """

    def __init__(
        self,
        pullback: Callable[[Vector, Vector], Vector],
        run: BackwardPass | None = None,
        graph: Callable[[Any], list[int]] | None = None,
        changed: Changed | None = None,
        twice: BackwardTwice | None = None,
        both: OutputsAndGradient | None = None,
    ) -> None:
        self._pullback, self.backward_pass, self.differentiable_outputs, self.changed = (
            cached_by_identity(pullback, 3),  # of two weights in turn, and of those by which `contract` checked it
            run,
            graph,
            changed,
        )
        self.backward_twice, self.outputs_and_gradient = twice, both
        self._stored: tuple[Vector, Vector, Vector] | None = None

    def store_gradient(self, x: Vector, u: Vector, g: Vector) -> None:
        """Let `gradient` return `g` whenever it is called with these vectors `x` and `u`, which must not change."""
        self._stored = x, u, g

    def gradient(self, x: Vector, u: Vector) -> Vector:
        """Return Df(x)ᵀ u, the gradient of the weighted sum u · f at the point x."""
        if self._stored is not None and self._stored[0] is x and self._stored[1] is u:
            return self._stored[2]
        return self._pullback(x, u)

    def slope(self, x: Vector, u: Vector, d: Vector) -> float:
        """Return u · Df(x) d, the derivative of the weighted sum u · f along the direction d at the point x."""
        return dot(self.gradient(x, u), d)


class ForwardMode:
    """A derivative that is computed along directions, as by a user's jvp.

    Df(x) is the Jacobian matrix of f at the point x, and a direction d says how far each element of x moves (see
    `Derivative`).

    Args:
        pushforward: computes Df(x) d from the vectors x and d.
        changed: stored as the attribute `changed`.

    Attributes:
        changed: calls the user's derivative at a point. If the call changes an argument, `changed` returns a string
            that names the argument, otherwise None.
    """

    def __init__(self, pushforward: Callable[[Vector, Vector], Vector], changed: Changed | None = None) -> None:
        self._pushforward, self.changed = pushforward, changed

    def gradient(self, x: Vector, u: Vector) -> None:
        """Return None, since a gradient would take a call of the user's jvp for each element of x."""

    def slope(self, x: Vector, u: Vector, d: Vector) -> float:
        """Return u · Df(x) d, the derivative of the weighted sum u · f along the direction d at the point x."""
        return dot(self._pushforward(x, d), u)


def dot(values: Vector, weights: Vector) -> float:
    """Return the weighted sum of the values; a value of weight 0 does not count, not even inf or nan.

    >>> with np.errstate(invalid="ignore"):
    ...     dot(np.array([1.0, np.inf]), np.array([2.0, 0.0]))
    2.0
    """
    n = values.size  # longer vectors are split into chunks, since BLAS would start threads for them
    if math.isfinite(
        total := float(values.dot(weights))
        if n <= CHUNK_SIZE
        else math.fsum([float(values[some].dot(weights[some])) for some in chunks(slice(0, n))])
    ):
        return total
    some = weights != 0.0
    products = values * weights if some.all() else values[some] * weights[some]
    return float(np.sum(products))


def derivative_of(
    f: Callable[..., Any], derivatives: dict[str, Callable[..., Any]], arguments: Packed, outputs: Packed
) -> Derivative:
    """Return, as a `Derivative`, the derivative that the user gave or, if there is none, that of PyTorch or jax.

    Args:
        f: the function; it takes and returns structures of arrays.
        derivatives: the derivative that the user gave, keyed by its kind ("gradient", "jacobian", "vjp", "jvp" or
            "backward"); empty if there is none. A "backward" is a vjp that calls the backward pass that the user gave.
        arguments: the structure of the arguments.
        outputs: the structure of the outputs.

    Raises:
        ValueError: a "gradient" was given for several outputs, or a "jacobian" for complex numbers or a sparse matrix.
    """
    if not derivatives:
        in_torch = any(is_tensor(x) for x in arguments.variables(arguments.template))
        run = (_torch_backward_pass if in_torch else _jax_backward_pass)(f, arguments, outputs)

        def graph(args: Any) -> list[int]:
            inputs = _inputs_of(args, arguments)
            args = arguments.with_variables(inputs) if arguments.has_array_parts else args
            found = outputs.variables(f(*args))
            return [k for k, y in enumerate(found) if is_tensor(y) and y.requires_grad]

        if in_torch:
            twice = _torch_backward_twice(f, arguments, outputs)
            both = _torch_outputs_and_gradient(f, arguments, outputs)
            return _reverse_mode(run, arguments, outputs, graph, twice, both)
        return _reverse_mode(run, arguments, outputs)
    [(name, user_derivative)] = derivatives.items()
    several = len(arguments.template) > 1
    what = "backward" if name == "backward" else f"{name}="
    if name == "jacobian" and (arguments.has_array_parts or outputs.has_array_parts):
        raise ValueError(
            "gradcheck: jacobian= of complex numbers or of a sparse matrix is not checked, since there are several "
            "conventions; give vjp= or jvp="
        )
    if name == "gradient" and outputs.vector.size != 1:
        n = outputs.vector.size
        raise ValueError(f"gradcheck: gradient= is for one output, f has {n}; give jacobian=, vjp= or jvp=")

    def not_none(result: Any) -> Any:
        if result is None:
            raise TypeError(f"gradcheck: {what} returned None; does it end without a return?")
        return result

    def unpacked(vector: Vector) -> Any:
        tree = arguments.unpack(vector)
        return tree if several else tree[0]

    def is_value_and_gradient(result: Any, args: Any) -> bool:
        """Return whether `result` is a pair of the value of f and its gradient, where the shapes do not tell.

        The shapes do not tell if f takes two arguments, and one of these is a constant: the pair may then also be the
        gradients with respect to both arguments. So its first item is compared with the value of f at `args`. In all
        other cases, the result is False, and the caller decides by the shapes.
        """
        if not (
            len(args) == 2 and isinstance(result, tuple) and len(result) == 2 and np.size(_plain_number(result[0])) == 1
        ):
            return False
        constants = [i for i in range(2) if not arguments.variable_paths(i)]
        if len(constants) != 1 or result[constants[0]] is None or isinstance(result[1], tuple):
            return False
        return np.array_equal(outputs.pack(result[0]), outputs.pack(f(*args)))

    varying = [bool(arguments.variable_paths(i)) for i in range(len(arguments.template))]

    def with_constants(result: Any) -> Any:
        """Return the gradients in `result` with None inserted for each argument that is a constant.

        `result` has no item for such arguments.
        """
        if not several or all(varying):
            return result
        one = sum(varying) == 1
        parts = [result] if one and not (isinstance(result, (tuple, list)) and len(result) == 1) else list(result)
        found = iter(parts)
        return tuple([next(found) if varies else None for varies in varying])

    def leaves_out_constants(result: Any) -> bool:
        if not isinstance(result, (tuple, list)):
            return sum(varying) == 1
        return len(result) == sum(varying) != len(varying)

    def pack_pair(result: Any, args: Any) -> Vector:
        """Return the gradient in a pair (value, gradient) as a vector.

        Raises:
            GradientMismatch: the value in the pair is not the value of f at `args`.
        """
        value, expected = float(_plain_number(result[0])), float(outputs.pack(f(*args))[0])
        eps = max(arguments.eps, outputs.eps)
        same = math.isclose(value, expected, rel_tol=max(DEFAULT_RTOL, RTOL_BITS * eps), abs_tol=EQUAL_VALUE_BITS * eps)
        if not same and not (math.isnan(value) and math.isnan(expected)):
            raise GradientMismatch(
                f"gradcheck: gradient= returns the value {value:.9g} with the gradient, but f returns {expected:.9g}"
            )
        return pack_gradients(result[1])

    def pack_gradients(result: Any, args: Any = None) -> Vector:
        if args is not None and is_value_and_gradient(result, args):
            return pack_gradients(tuple([result[1] if varies else None for varies in varying]))
        one = isinstance(result, tuple) and len(result) == 1
        try:
            return arguments.pack_derivative(not_none(result) if several or one else (not_none(result),), what)
        except ValueError:
            if several and leaves_out_constants(result):
                with contextlib.suppress(ValueError):
                    return arguments.pack_derivative(with_constants(result), what)
            if several and sum(varying) == 1 and not (isinstance(result, tuple) and len(result) == len(varying)):
                with contextlib.suppress(ValueError):  # the single gradient is a list
                    return pack_gradients(tuple([result if varies else None for varies in varying]))
            if (
                args is not None
                and isinstance(result, tuple)
                and len(result) == 2
                and np.ndim(_plain_number(result[0])) == 0
            ):
                return pack_pair(result, args)  # the function returned (value, gradient)
            advise_static(result)
            raise

    def advise_static(result: Any) -> None:
        """Raise ValueError if `result` has fewer derivatives than f has arguments; the message says what to write."""
        numbers = isinstance(result, list) and all(isinstance(x, (int, float)) for x in result)
        one = numbers or not isinstance(result, (tuple, list))
        given = 1 if one else len(result)
        if isinstance(result, dict) or given >= len(varying):
            return
        shape = _shape(result) if one else None
        fitting = [i for i, x in enumerate(arguments.template) if varying[i] and one and _shape(x) == shape]
        known = fitting or range(given)
        names = [repr(arguments.names[i]) for i, varies in enumerate(varying) if varies and i not in known]
        if names or len(fitting) > 1:
            shown = ", ".join(names) if len(fitting) < 2 else "..."
            raise ValueError(
                f"gradcheck: {what} gave {describe(result)}, but f takes {len(varying)} arguments; return a derivative "
                f"for each, or write static=[{shown}], which names the arguments that are constants"
            )

    point = arguments.vector

    def of_gradient(x: Vector, u: Vector) -> Vector:
        args = arguments.unpack(x)
        return float(u[0]) * pack_gradients(user_derivative(*args), args)

    def of_vjp(args: Any, upstream: Any) -> Vector:
        return pack_gradients(user_derivative(*args, upstream))

    def of_jvp(x: Vector, d: Vector) -> Vector:
        return outputs.pack_derivative(not_none(user_derivative(*arguments.unpack(x), unpacked(d))), what)

    def of_jacobian(x: Vector, u: Vector) -> Vector:
        result = not_none(user_derivative(*arguments.unpack(x)))
        total = np.zeros(arguments.vector.size)
        for rows, shape, block in outputs.matched_parts(result, what):
            try:
                given = with_constants(block) if leaves_out_constants(block) else block
                parts = list(arguments.matched_parts(given if several else (block,), what))
            except ValueError:
                advise_static(block)
                raise
            for columns, inner, block_part in parts:
                part = as_dense(block_part)
                if np.iscomplexobj(part):
                    raise ValueError(f"gradcheck: {what} gave complex numbers for a real function")
                matrix = np.zeros(0) if part is None else to_doubles(part)
                expected, rows_first = (*shape, *inner), (u[rows].size, *inner)
                flat = (u[rows].size, total[columns].size)
                if _without_ones(matrix.shape) not in map(_without_ones, (expected, rows_first, flat)):
                    advise_static(block)
                    raise ValueError(f"gradcheck: jacobian= gave an array of shape {matrix.shape}, not {expected}")
                matrix = matrix.reshape(u[rows].size, total[columns].size)
                some = u[rows] != 0.0
                total[columns] += u[rows][some] @ matrix[some]
        return total

    def changed(x: Vector) -> str | None:
        args = arguments.unpack(x)
        user_derivative(*args, *([unpacked(x)] if name == "jvp" else []))
        return arguments.first_change(args, x)

    def backward_twice(args: Any, elsewhere: Any, upstream: Any) -> tuple[Vector, Vector]:
        def call_elsewhere() -> None:
            with contextlib.suppress(Exception):  # f may not be defined there
                f(*elsewhere)

        first = pack_gradients(user_derivative(*args, upstream, _between=call_elsewhere))
        return first, pack_gradients(user_derivative(*args, upstream, _passes=2))

    if name in ("vjp", "backward"):
        return _reverse_mode(of_vjp, arguments, outputs, twice=backward_twice if name == "backward" else None)
    if name == "jvp":
        return ForwardMode(_nan_outside_domain(of_jvp, point, outputs.vector.size), changed)
    of_point = of_gradient if name == "gradient" else of_jacobian
    return ReverseMode(_nan_outside_domain(of_point, point, point.size), changed=changed)


def _nan_outside_domain(
    compute: Callable[[Vector, Vector], Vector], point: Vector, size: int
) -> Callable[[Vector, Vector], Vector]:
    """Return a function like `compute` that returns nans where `compute` raises a domain error, except at `point`.

    Points beside the `point` of a check may lie outside the domain of f, or of its derivative. An error at `point` is
    raised. `size` is the length of the vectors that `compute` returns.
    """

    def computed(x: Vector, other: Vector) -> Vector:
        try:
            return compute(x, other)
        except GradientMismatch:  # f or its derivative contains a check, which has failed; this is no edge of a domain
            raise
        except DOMAIN_ERRORS:
            if x is point or np.array_equal(x, point, equal_nan=True):
                raise
            return np.full(size, math.nan)

    return computed


def _shape(x: Any) -> tuple[int, ...] | None:
    """Return the shape of an array, a number or nested lists; None for a dict, and for lists of different lengths.

    Any other object has the shape () of a number.
    """
    try:
        return None if isinstance(x, dict) else np.shape(x)
    except ValueError:  # lists of different lengths
        return None


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape without axes of length 1; (1, 3, 1) becomes (3,)."""
    return tuple([n for n in shape if n != 1])


def _reverse_mode(
    run: BackwardPass,
    arguments: Packed,
    outputs: Packed,
    graph: Callable[[Any], list[int]] | None = None,
    twice: BackwardTwice | None = None,
    both: OutputsAndGradient | None = None,
) -> ReverseMode:
    """Return a `ReverseMode` that calls the backward pass `run` with structures of arrays in place of vectors.

    The other parameters become attributes: `graph` becomes `ReverseMode.differentiable_outputs`, `twice` becomes
    `backward_twice`, and `both` becomes `outputs_and_gradient`.
    """
    point = arguments.vector
    gradient = _nan_outside_domain(lambda x, u: run(arguments.unpack(x), outputs.unpack(u)), point, point.size)
    return ReverseMode(gradient, run, graph, twice=twice, both=both)


def _plain_number(x: Any) -> Any:
    """Return an array or number of floating-point type as doubles, and anything else unchanged."""
    return to_doubles(x) if number_kind(x) == "float" else x


def _inputs_of(args: Any, arguments: Packed) -> list[Any]:
    """Return the PyTorch tensors in `args` that the result is differentiated by, and let each require a gradient."""
    return [leaf if leaf.requires_grad else leaf.requires_grad_() for leaf in arguments.variables(args)]


def _record_in_torch(
    f: Callable[..., Any], args: Any, upstream: Any, arguments: Packed, outputs: Packed
) -> tuple[Any, ...]:
    """Call f in PyTorch, and return what is needed to differentiate the results.

    Returns:
        Four items. The first three are lists of tensors: the results of f, the arguments that require gradients, and
        the weights of each result. The weights of a result are its upstream gradient: the part of `upstream` at the
        position of the result in the output. A result is left out if this part is None, or if PyTorch cannot
        differentiate the result. The fourth item is the whole output of f.
    """
    inputs = _inputs_of(args, arguments)
    if arguments.has_array_parts:
        args = arguments.with_variables(inputs)
    found = f(*args)
    pairs = zip(outputs.variables(found), outputs.variables(upstream), strict=True)
    some = [(y, w) for y, w in pairs if is_tensor(y) and y.requires_grad and w is not None]
    return [y for y, _ in some], inputs, [w for _, w in some], found


def _torch_backward_pass(f: Callable[..., Any], arguments: Packed, outputs: Packed) -> BackwardPass:
    """Return a function that computes the gradient of `f` by PyTorch's backward pass (see `BackwardPass`)."""

    def run(args: Any, upstream: Any) -> Vector:
        results, inputs, weights, _ = _record_in_torch(f, args, upstream, arguments, outputs)
        if not results and isinstance(inspect.unwrap(f), GradientFunction):
            return np.zeros(arguments.vector.size)  # the gradient of a linear function is constant
        if not results:
            raise TypeError(
                "gradcheck: the result does not depend on the tensors through PyTorch's operations, so there is no "
                "backward pass to check; does f use .detach(), .item(), .numpy() or no_grad()? Otherwise give gradient="
            )
        return _torch_gradient(results, inputs, [w.detach() for w in weights])

    return run


def _torch_gradient(results: Any, inputs: Any, weights: Any, retain_graph: bool = False) -> Vector:
    """Return the gradient of the weighted sum of `results` with respect to `inputs`, computed by PyTorch, as a vector.

    `weights` has a tensor of weights for each result. `retain_graph` says whether the graph is kept for another
    backward pass.
    """
    torch = sys.modules["torch"]
    found = torch.autograd.grad(results, inputs, weights, allow_unused=True, retain_graph=retain_graph)
    zeros = [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(found, inputs, strict=True)]
    return flat_doubles([g.to_dense() for g in zeros], sum(g.numel() for g in zeros))


def _torch_backward_twice(f: Callable[..., Any], arguments: Packed, outputs: Packed) -> BackwardTwice:
    """Return a function that runs PyTorch's backward pass of `f` twice through one graph (see `BackwardTwice`)."""

    def run(args: Any, elsewhere: Any, upstream: Any) -> tuple[Vector, Vector]:
        results, inputs, weights, _ = _record_in_torch(f, args, upstream, arguments, outputs)
        if not results:
            raise ValueError("no result depends on the tensors")
        with contextlib.suppress(Exception):  # f may not be defined there
            f(*elsewhere)
        first, second = (_torch_gradient(results, inputs, [w.clone() for w in weights], True) for _ in range(2))
        return first, second

    return run


def _torch_outputs_and_gradient(f: Callable[..., Any], arguments: Packed, outputs: Packed) -> OutputsAndGradient:
    """Return a function that computes the outputs of `f` and their gradient (see `OutputsAndGradient`) in PyTorch."""

    def run(args: Any, upstream: Any) -> tuple[Vector, Vector] | None:
        results, inputs, weights, found = _record_in_torch(f, args, upstream, arguments, outputs)
        if not results:
            return None
        y = outputs.pack(found)  # before the backward pass, which may change it
        return y, _torch_gradient(results, inputs, [w.detach() for w in weights])

    return run


def _function_of_variables(f: Callable[..., Any], arguments: Packed, outputs: Packed) -> Callable[..., tuple[Any, ...]]:
    """Return a function that takes the variables of `f` one after the other, and calls `f` with them.

    The variables are the floating-point arrays and numbers in the arguments of `f`. The constants come from `arguments`
    (see `Packed`). The function returns a tuple of the floating-point arrays and numbers in the result of `f`.
    """
    return lambda *leaves: tuple(outputs.variables(f(*arguments.with_variables(leaves))))


def _jax_backward_pass(f: Callable[..., Any], arguments: Packed, outputs: Packed) -> BackwardPass:
    """Return a function that computes the gradient of `f` by jax's vjp (see `BackwardPass`)."""
    jax = sys.modules["jax"]

    def back(variables: tuple[Any, ...], weights: tuple[Any, ...]) -> Any:
        return jax.vjp(_function_of_variables(f, arguments, outputs), *variables)[1](weights)

    pullback = jit_compiled(back)

    def run(args: Any, upstream: Any) -> Vector:
        found = pullback(tuple(arguments.variables(args)), tuple(outputs.variables(upstream)))
        return np.concatenate([np.asarray(g, dtype=np.float64).ravel() for g in found])

    return run


def jit_compiled(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls `f` compiled by `jax.jit`, and `f` itself once a compiled call has failed.

    If jax has no `jit`, `f` is returned.
    """
    jax = sys.modules["jax"]
    if not hasattr(jax, "jit"):
        return f
    quick: Any = jax.jit(f)

    def call(*args: Any) -> Any:
        nonlocal quick
        if quick is not f:
            try:
                return quick(*args)
            except Exception:  # f may branch on values or leave jax; if there is a mistake, an eager call raises it
                quick = f
        return f(*args)

    return call


def _ends_at_once_differentiable(gradients: Any) -> bool:
    """Return whether PyTorch's graph of some gradients has a node that raises an error when it is differentiated.

    PyTorch's decorator `once_differentiable` inserts such a node.
    """
    nodes = [node for g in gradients if (node := getattr(g, "grad_fn", None)) is not None]
    seen = set(nodes)
    while nodes:
        node = nodes.pop()
        if node.name().endswith("Error"):
            return True
        new = {following for following, _ in node.next_functions if following is not None} - seen
        seen |= new
        nodes += new
    return False


class GradientFunction:
    """The gradient of f as a function that PyTorch or jax can differentiate again, to check second derivatives.

    It takes the arguments of f and the upstream gradient: an array of weights for each result of f, in the structure
    of the result. It returns the gradient of the weighted sum of the results, as a tuple with an array for each
    argument array that f is differentiated with respect to.
    """

    def __init__(self, f: Callable[..., Any], arguments: Packed, outputs: Packed) -> None:
        self._f, self._arguments, self._outputs = f, arguments, outputs
        self._in_torch = any(is_tensor(x) for x in arguments.variables(arguments.template))

    def __call__(self, *args: Any) -> tuple[Any, ...]:
        """Return the gradient of f; the last of `args` is the upstream gradient, and the others are f's arguments.

        Raises:
            TypeError: a backward pass is marked with PyTorch's `once_differentiable`.
        """
        f, arguments, outputs = self._f, self._arguments, self._outputs
        if not self._in_torch:
            _, back = sys.modules["jax"].vjp(
                _function_of_variables(f, arguments, outputs), *arguments.variables(args[:-1])
            )
            return tuple(back(tuple(outputs.variables(args[-1]))))
        torch = sys.modules["torch"]
        results, inputs, weights, _ = _record_in_torch(f, args[:-1], args[-1], arguments, outputs)
        found: Any = [None] * len(inputs)
        if results:
            found = torch.autograd.grad(results, inputs, weights, create_graph=True, allow_unused=True)
            if any(w.requires_grad for w in weights) and _ends_at_once_differentiable(found):
                raise TypeError(
                    "gradcheck: a backward pass is marked with once_differentiable, so PyTorch cannot differentiate "
                    "it, and order=2 cannot be checked; write order=1, or let backward compute with PyTorch's "
                    "operations and leave out the mark"
                )
        return tuple([torch.zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True)])
