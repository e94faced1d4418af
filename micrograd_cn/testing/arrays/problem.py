"""`Problem`: a function of arrays, as a function from one vector to another, with its derivative and a point."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..inputs.libraries import is_tensor, library_of, number_kind
from ..inputs.pytrees import leaves
from ..inputs.random_state import advanced_generator, generator_states
from ..numeric.call_budget import CallBudget
from ..numeric.numerical import DOMAIN_ERRORS, Steps
from ..numeric.thresholds import (
    DEFAULT_RTOL,
    DETECTABLE_ERROR,
    EXACT_ENOUGH,
    FINEST_STEP_BITS,
    FIRST_STEP_BITS,
    HALF_PRECISION_BITS,
    MANY_IN_HALF_PRECISION,
    MAX_CACHED_SIZE,
    MAX_CALLS,
    MIN_EXACT_SQUARE_SUM,
    NEARBY_DISTANCES,
    NOISE_STEP_BITS,
    REPEATED_AT_JUMP,
    REPEATED_BITS,
    REPEATED_CALLS,
    RTOL_BITS,
)
from ..report import GradientMismatch, NotDeterministic, NothingCompared
from .analytic import Derivative, ReverseMode, derivative_of, jit_compiled
from .vectors import CHUNK_SIZE, Packed, Vector, cached_by_identity, chunks, tied

__tracebackhide__ = True


class Problem:
    """A function from vectors to vectors, its derivative, and the point at which they are compared.

    The arguments of a user's function and its result are structures: lists, dicts and so on, which hold arrays.
    `Packed` turns the arguments into one vector, and the result into another. An entry of the vector of arguments is
    called an element, and an entry of the vector of results is called an output.

    A cotangent is a vector u of weights of the outputs. The derivative of the weighted sum u · f is what a backward
    pass computes from u. In the structure of the result, u is called the upstream gradient. A direction is a vector
    that says how far each element moves.

    All calls of the function are counted in `budget`, which limits the calls of each comparison.

    Args:
        heading: what messages begin with.
        f: the function, which takes and returns structures of arrays.
        args: its arguments, as structures.
        derivatives: the derivative that the user gave, keyed by its kind ("gradient", "jacobian", "vjp", "jvp" or
            "backward"). If it is empty, the derivative is that of PyTorch or jax.
        rtol: relative tolerance.
        atol: absolute tolerance.
        names: the names of the arguments.
        static: names, or indices, of arguments that are constants.
        output_name: what messages call the result.
        like: a function whose numerical derivatives the derivative of `f` is compared with, instead of those of `f`.
        generators: the states of the global random number generators, if the caller knows them. This saves a call that
            reads them.

    Attributes:
        is_empty: whether the arguments have no element. Of the attributes below, only `arguments`, `outputs`, `x`, `y`,
            `derivative`, `half_precision` and `budget` are set then.
        arguments: the structure of the arguments.
        outputs: the structure of the result.
        x: the point, as a vector.
        y: the outputs at x, as a vector. It has 0 for each output that is not finite, since the check leaves it out.
        finite_outputs: a mask of the outputs that are finite at the point.
        derivative: the derivative that is checked.
        scale: how far each element of x may be moved, as a vector of powers of 2.
        steps: the steps of numerical derivatives, relative to `scale`.
        noise_exponents: exponents k. The rounding of f is measured in steps of 2**-k, relative to `scale`.
        eps: the distance from 1.0 to the next number, in the coarsest type of the arguments and the result.
        bits: the number of fraction bits of this coarsest type, -log2(eps).
        half_precision: whether this coarsest type is float16 or bfloat16.
        few_comparisons: whether there are so many numbers in half precision that only few derivatives are compared.
        generators: the states of the global random number generators before f and its derivative are called or, if
            `check_random_numbers` has been called, at its end.
        drawn: the name of a global random number generator that f uses without seeding it; "" if there is none, and
            until `check_random_numbers` finds out.
        may_have_treads: whether f may be a step function near the point, such as a quantiser; None if the next
            comparison along a direction shall find out, and False until a check sets it.
        has_steps: for each array of the arguments that was looked at, whether f is a step function along most of its
            elements; the key is the index of its first element.
        steps_in_own_types: whether elements are moved by numpy in the types of their arrays, and not as doubles. This
            is quicker if there are many elements.
        point_leaves: the elements of each array of the point, in its own type; empty if there are few elements.
        output_leaves: the outputs of each array of the result, in its own type; empty if there are few outputs.
        unit_cotangent: returns the cotangent that is 1 for the output with a given index, and 0 for all others.
        norm: the function `norm` of this module, with a cache.
        max_magnitude: the function `max_magnitude` of this module, with a cache.
        scratch: memory for a vector of the size of x that is needed only for a moment.
        budget: counts the calls of the function, and limits those of each comparison.

    Raises:
        NothingCompared: no argument is a floating-point number, no output is finite, or there is no output.
        NotDeterministic: two calls at the point gave different results.
        GradientMismatch: the function changes an argument.
        TypeError: the result holds no floating-point number.
        ValueError: `like` returns arrays of other shapes than `f`, or the user's derivative does not suit `f`.
    """

    def __init__(
        self,
        heading: str,
        f: Callable[..., Any],
        args: tuple[Any, ...],
        derivatives: dict[str, Callable[..., Any]],
        rtol: float | None,
        atol: float | None,
        names: Sequence[str] = (),
        static: Collection[str | int] = (),
        output_name: str = "f",
        like: Callable[..., Any] | None = None,
        generators: dict[str, Any] | None = None,
    ) -> None:
        self.budget = budget = CallBudget(MAX_CALLS)
        self._cache: dict[bytes, Vector] | None = {}

        valued = like or f

        def counted(*args: Any) -> Any:
            budget.calls += 1
            return valued(*args)

        self.f, self.heading = functools.update_wrapper(counted, valued), heading
        self.names = list(names) or [f"x{i}" for i in range(len(args))]
        self.arguments = Packed(args, self.names, _is_differentiated(args, derivatives, self.names, static))
        self.x = self.arguments.vector
        if not self.x.size and not self.arguments.slices():
            raise NothingCompared(f"{heading} compared nothing: {_no_floats_message(self.arguments)}")
        tree = self.arguments.unpack(self.x)
        result = counted(*tree)
        if changed := self.arguments.first_change(tree, self.x):
            raise GradientMismatch(
                f"{heading}: f changes its argument {changed}; its gradient would be taken at another point than its "
                "value. Let it compute with a copy"
            )
        self.outputs = Packed(result, output_name)
        self.y = self.outputs.vector
        if not self.y.size and not self.outputs.slices():
            raise TypeError(f"{heading}: f returned {type(result).__name__}, which holds no floating-point number")
        if self.x.size and not self.y.size:
            raise NothingCompared(
                f"{heading} compared nothing: f returned no number; give a point where it returns some"
            )
        if like is not None:
            _check_same_shapes(heading, self.outputs, Packed(f(*self.arguments.unpack(self.x)), output_name))
        self._compiled: Callable[..., Any] | None = None
        self.is_empty = not self.x.size
        self.derivative: Derivative
        if self.is_empty:
            self.derivative = derivative_of(f, derivatives, self.arguments, self.outputs)
            self.half_precision, self.rtol = False, DEFAULT_RTOL if rtol is None else rtol
            return
        self.finite_outputs: NDArray[np.bool_] = np.isfinite(self.y)
        self.eps = max(self.arguments.eps, self.outputs.eps)
        self.generators = generator_states() if generators is None else generators
        self._check_repeats(self.x, self.y, 1)
        self.drawn, self._checked_jump = "", False
        if not self.finite_outputs.any():
            what = "the function" if self.y.size == 1 else self.outputs.element_name(0)
            raise NothingCompared(f"{heading}: outside the domain, {what} is {self.y[0]} there")
        self.all_outputs_finite = bool(self.finite_outputs.all())
        self.y = np.where(self.finite_outputs, self.y, 0.0)
        varying = self.arguments.variables(self.arguments.template)
        if not derivatives and all(library_of(x) == "jax" for x in varying):
            self._compiled = jit_compiled(
                lambda *xs: tuple(self.outputs.variables(f(*self.arguments.with_variables(xs))))
            )
        # jax calls f while it compiles; these are no calls at a point, so they are not counted
        self._has_own_values = like is None  # otherwise, the values that are compared are not those of f
        differentiated = counted if like is None and any(is_tensor(x) for x in varying) else f
        self.derivative = derivative_of(differentiated, derivatives, self.arguments, self.outputs)
        default = min(max(DEFAULT_RTOL, RTOL_BITS * self.eps), 0.5 * DETECTABLE_ERROR)
        self.rtol = default if rtol is None else rtol
        self.atol = 0.0 if atol is None else atol
        if self.x.size + self.y.size > MAX_CACHED_SIZE:
            self._cache = None
        many = self._cache is None
        self.steps_in_own_types = many and self.all_outputs_finite and self.arguments.writable
        self.point_leaves = self.arguments.split(self.x) if many else []
        self.output_leaves = self.outputs.split(self.y) if many else []
        self.scale = np.concatenate([element_scales(self.x[place]) for place in self.arguments.slices()])
        # It returns the same vector each time, so the derivative's cache finds the gradient that belongs to it.
        self.unit_cotangent = functools.cache(lambda output: unit_vector(self.y.size, output))
        self.norm = cached_by_identity(norm, 3)
        self.max_magnitude = cached_by_identity(max_magnitude)
        self.scratch = np.empty(self.x.size)
        self.may_have_treads: bool | None = False
        self.has_steps: dict[int, bool] = {}
        self.smallest_normal = max(self.arguments.smallest_normal, self.outputs.smallest_normal)
        self.bits = bits = -math.log2(self.eps)
        self.half_precision = bits <= HALF_PRECISION_BITS
        self.few_comparisons = self.half_precision and self.x.size + self.y.size > MANY_IN_HALF_PRECISION
        first = sorted({round(bits * part) for part in FIRST_STEP_BITS})
        finest = 2.0 ** -round(FINEST_STEP_BITS * bits)
        self.steps = Steps([2.0**-k for k in first], finest, EXACT_ENOUGH * self.rtol, stops_early=True)
        self.noise_exponents = [round(bits * part) for part in NOISE_STEP_BITS]

    def value(self, x: Vector) -> Vector:
        """Return the outputs at `x` after rounding `x` to the arguments' types.

        An output that is not finite at the problem's own point is left out of the check: it is 0 at every `x`. If the
        function raises one of `DOMAIN_ERRORS` at `x`, all other outputs are nan.
        """
        return self.evaluate(x)[0]

    def evaluate(self, x: Vector) -> tuple[Vector, Vector]:
        """Round `x` to the arguments' types; return the outputs at the rounded point, and that point.

        An output that is not finite at the problem's own point is left out of the check: it is 0 at every `x`. If the
        function raises one of `DOMAIN_ERRORS` at `x`, all other outputs are nan.

        Raises:
            OutOfCalls: the running comparison may not call the function any more.
        """
        made, held = self.arguments.unpack_later(x)
        key = b"" if self._cache is None else held.tobytes()
        if self._cache and (known := self._cache.get(key)) is not None:
            return known, held
        self.budget.check()
        tree = made()
        try:
            if self._compiled is None:
                y = self.outputs.pack(self.f(*tree))
            else:
                self.budget.calls += 1
                found = self._compiled(*self.arguments.variables(tree))
                y = np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in found])
        except GradientMismatch:  # f itself contains a check, which has failed; this is no edge of its domain
            raise
        except DOMAIN_ERRORS:
            y = np.full(self.y.size, np.nan)
        y = self._without_infinite(y)
        if self._cache is not None:
            self._cache[key] = y
        return y, held

    def evaluate_with_gradient(self, x: Vector, u: Vector) -> tuple[Vector, Vector, Vector | None]:
        """Return the outputs of f, the rounded point, and the gradient of u · f there, from one call of f.

        The outputs and the rounded point are those that `evaluate(x)` returns. A single call gives the gradient, too,
        only if PyTorch computes it, and if f returns the same outputs at the problem's own point whether PyTorch
        records a graph or not. Otherwise, the gradient is None.

        Raises:
            OutOfCalls: the running comparison may not call the function any more.
        """
        made, held = self.arguments.unpack_later(x)
        key = b"" if self._cache is None else held.tobytes()
        if self._records_same_outputs and not (self._cache and key in self._cache):
            self.budget.check()
            found = self._outputs_and_gradient(made(), u)
            if found is not None:
                if self._cache is not None:
                    self._cache[key] = found[0]
                return found[0], held, found[1]
        return *self.evaluate(x), None

    @functools.cached_property
    def _records_same_outputs(self) -> bool:
        """Whether f returns the outputs `y` at the problem's point while PyTorch records a graph of its operations.

        It may not: modules such as `torch.nn.TransformerEncoder` compute in another way if no graph is recorded.
        """
        found = self._outputs_and_gradient(self.arguments.unpack(self.x), np.ones(self.y.size))
        return found is not None and np.array_equal(found[0], self.y)

    def _outputs_and_gradient(self, tree: Any, u: Vector) -> tuple[Vector, Vector] | None:
        """Return the outputs of f for the arguments in `tree`, and the gradient of u · f, from one call of f.

        None is returned if the derivative is not PyTorch's, if PyTorch cannot differentiate the outputs, if there is a
        domain error, or if `like` was given: the outputs that are compared are then not those of f. An output that is
        not finite at the problem's own point is 0.
        """
        both = self.derivative.outputs_and_gradient if isinstance(self.derivative, ReverseMode) else None
        if both is None or not self._has_own_values:
            return None
        try:
            found = both(tree, self.outputs.unpack(u))
        except GradientMismatch:  # f itself contains a check, which has failed; this is no edge of its domain
            raise
        except DOMAIN_ERRORS:
            return None
        return None if found is None else (self._without_infinite(found[0]), found[1])

    def _without_infinite(self, y: Vector) -> Vector:
        """Return the outputs `y` with 0 for each output that is not finite at the problem's own point."""
        return y if self.all_outputs_finite else np.where(self.finite_outputs, y, 0.0)

    def all_outputs_at(self, x: Vector) -> Vector:
        """Return the outputs at `x` after rounding `x` to the arguments' types.

        Unlike `value`, it also computes outputs that are not finite at the problem's own point. If the function raises
        one of `DOMAIN_ERRORS` at `x`, all outputs are nan.
        """
        try:
            return self.outputs.pack(self.f(*self.arguments.unpack(self.arguments.rounded(x))))
        except GradientMismatch:  # f itself contains a check, which has failed; this is no edge of its domain
            raise
        except DOMAIN_ERRORS:
            return np.full(self.y.size, math.nan)

    def evaluate_tree(self, tree: Any) -> tuple[Any, list[NDArray[Any]]] | None:
        """Return the result of the function for the arguments in `tree`, and the arrays in that result as flat arrays.

        None is returned instead of the pair if the function raises one of `DOMAIN_ERRORS`.

        Raises:
            OutOfCalls: the running comparison may not call the function any more.
        """
        self.budget.check()
        try:
            found = self.f(*tree)
            return found, self.outputs.flat_leaves(found)
        except GradientMismatch:  # f itself contains a check, which has failed; this is no edge of its domain
            raise
        except DOMAIN_ERRORS:
            return None

    @functools.cached_property
    def output_scales(self) -> list[float]:
        """A list with a power of 2 for each array of the result, near the root mean square of the array's outputs.

        The powers lie between 2**-8 and 2**8.
        """
        sizes = (math.log2(rms(self.y[place])) for place in self.outputs.slices())
        return [2.0 ** round(min(max(size, -8.0), 8.0)) for size in sizes]

    @functools.cached_property
    def tied_elements(self) -> NDArray[np.bool_]:
        """A mask of the elements of the problem's point that are equal to another element of it."""
        return tied(self.x)

    @functools.cached_property
    def avoidable_ties(self) -> NDArray[np.bool_]:
        """The mask `tied_elements` of elements that are equal to others; all False if equal elements are unavoidable.

        They are unavoidable if at least half as many elements are equal to others at a point nearby. For example, a
        million numbers between 0 and 1 in half precision cannot all be different, since the type has fewer numbers.
        """
        parts = np.random.default_rng(0).uniform(0.5, 1.0, self.x.size)
        nearby = tied(self.arguments.rounded(self.x + NEARBY_DISTANCES[0] * parts * self.scale))
        unavoidable = 2 * np.count_nonzero(nearby) >= np.count_nonzero(self.tied_elements)
        return np.zeros_like(self.tied_elements) if unavoidable else self.tied_elements

    def check_jump(self, x: Vector) -> None:
        """Check that f, which seems to jump between the problem's point and `x`, gives the same results there again.

        The jump may be that of a random number generator in f, or of a state that f keeps. A function that jumps may do
        so in many places, so only the first call of this method does something.

        Raises:
            NotDeterministic: two calls at the same point gave different results.
        """
        if self._checked_jump:
            return
        self._checked_jump = True
        # Where values are cached, the value that seems to jump is compared.
        for at, y in ((self.x, self.y), (x, None if self._cache is None else self.value(x))):
            self._check_repeats(at, y, REPEATED_AT_JUMP // 2, finite_alone=True)

    def _check_repeats(self, x: Vector, expected: Vector | None, count: int, finite_alone: bool = False) -> None:
        """Call f at the point `x`, `count` times, and check that the outputs are `expected` each time.

        An error of f counts as an edge of its domain, and ends the calls, unless `x` is the problem's point.

        Args:
            x: the point.
            expected: the outputs at `x`, if they are known; if it is None, the first call here gives them.
            count: how often f is called.
            finite_alone: whether outputs that are not finite at the problem's own point are left out.

        Raises:
            NotDeterministic: two calls gave different results.
        """
        for _ in range(count):
            try:
                found = self.outputs.pack(self.f(*self.arguments.unpack(x)))
            except GradientMismatch:  # f itself contains a check, which has failed; this is no edge of its domain
                raise
            except DOMAIN_ERRORS:
                if x is self.x:
                    raise
                return
            if finite_alone and not self.all_outputs_finite:
                found = np.where(self.finite_outputs, found, 0.0)
            expected = found if expected is None else expected
            self._check_same("it", expected, found, self.outputs, self._random_source)

    def check_random_numbers(self) -> None:
        """Find out whether f uses a global random number generator without seeding it, and if so, call f many times.

        The caller has seen that the state of a generator differs from that in `generators`, so f or its derivative has
        used the generator. The attribute `drawn` gets the name of a generator that f uses without seeding it. All calls
        of f must give the same results.

        Raises:
            NotDeterministic: two calls gave different results.
        """
        self._check_repeats(self.x, self.y, 1, finite_alone=True)  # if f seeds the generator, it leaves the same state
        before = generator_states()
        self._check_repeats(self.x, self.y, 1, finite_alone=True)
        self.generators = generator_states()
        self.drawn = advanced_generator(before, self.generators)
        if self.drawn:
            self._check_repeats(self.x, self.y, REPEATED_CALLS, finite_alone=True)
            self.generators = generator_states()

    def check_same_gradient(self, first: Vector, second: Vector) -> None:
        """Check that two calls of the derivative returned the same gradient.

        Raises:
            NotDeterministic: the gradients differ.
        """
        self._check_same("the gradient", first, second, self.arguments, str)

    def _random_source(self) -> str:
        """Return the name of the global random number generator that the function uses; "" if it uses none."""
        before = generator_states()
        with contextlib.suppress(Exception):  # the error that the caller raises tells more than one of this call
            self.f(*self.arguments.unpack(self.x))
        return advanced_generator(before)

    def _check_same(self, what: str, first: Vector, second: Vector, packed: Packed, draws: Callable[[], str]) -> None:
        """Raise NotDeterministic if two calls at the same point gave results that differ by more than rounding.

        Args:
            what: what the message calls the result.
            first: the result of one call, as a vector.
            second: the result of the other call, as a vector.
            packed: the structure of the results. The message takes the name of an entry of the vectors from it.
            draws: returns the name of a random number generator that may be the reason; "" if there is none.
        """
        if np.array_equal(first, second):
            return
        with np.errstate(all="ignore"):
            apart = np.abs(first - second) > REPEATED_BITS * self.eps * np.max(np.abs(first))
        if (other := apart | (np.isnan(first) != np.isnan(second))).any():
            i = int(np.argmax(other))
            of = f"{what}, at {packed.element_name(i)}," if packed.vector.size > 1 else what
            from_one = draws()
            cure = f"; f draws from {from_one}: seed it inside f, or let the numbers be an argument" if from_one else ""
            raise NotDeterministic(
                f"{self.heading}: not deterministic, two calls of {of} gave {first[i]} and {second[i]}{cure}"
            )

    def derivative_name(self, output: int, element: int) -> str:
        """Return the name of the derivative of an output with respect to an element, such as "df[1]/dx[0]"."""
        name = self.outputs.element_name(output) if self.y.size > 1 else self.outputs.leaf_path(output)
        return f"d{name}/d{self.arguments.element_name(element)}"

    def element_direction(self, element: int) -> Vector:
        """Return a direction that moves only the element with this index, by the element's entry of `scale`.

        A direction is a vector that says how far each element moves.
        """
        direction = unit_vector(self.x.size, element)
        direction[element] = self.scale[element]
        return direction

    def typical_slope(self, u: Vector) -> float:
        """Return the root mean square of the gradient of u · f, with each entry multiplied by its entry in `scale`.

        u · f is the sum of the outputs with the weights in `u`. Entries of the gradient that are not finite are left
        out. The result is 0.0 if the derivative gives no gradient.
        """
        g = self.derivative.gradient(self.x, u)
        if g is None:
            return 0.0
        finite = int(np.count_nonzero(np.isfinite(g)))
        return norm(g, self.scale) / math.sqrt(finite) if finite else 0.0


def _check_same_shapes(heading: str, expected: Packed, found: Packed) -> None:
    """Check that f returns arrays of the shapes that the function given as `like=` returns.

    Raises:
        ValueError: the shapes differ.
    """
    if expected.shapes() != found.shapes():
        shapes = [", ".join(map(str, packed.shapes())) for packed in (expected, found)]
        raise ValueError(
            f"{heading}: like= returns arrays of the shapes {shapes[0]}, and f returns {shapes[1]}; let like= return "
            "the same shapes"
        )


def _is_differentiated(
    args: tuple[Any, ...], derivatives: dict[str, Any], names: Sequence[str], static: Collection[str | int]
) -> Callable[[str, Any], bool]:
    """Return a function that tells from the path and value of an array whether f is differentiated with respect to it.

    The path is a string that says where in the arguments the array is, such as "x['w']". Arguments in `static`, by
    index or name, are constants, and `names` are the names of all arguments. If the user gave a derivative of f, f is
    differentiated with respect to all other arrays. If not, and there are PyTorch tensors, it is differentiated with
    respect to those tensors that require a gradient, or to all tensors if none requires one. If there are no tensors
    either, it is differentiated with respect to jax's arrays.
    """
    constant = {names[i] if isinstance(i, int) else i for i in static}
    in_torch = [x for x in leaves(args) if is_tensor(x)]
    chosen = any(getattr(x, "requires_grad", False) for x in in_torch)

    def varies(path: str, leaf: Any) -> bool:
        if any(path == name or path.startswith((f"{name}[", f"{name}.")) for name in constant):
            return False
        if derivatives:
            return True
        if in_torch:
            return is_tensor(leaf) and (leaf.requires_grad or not chosen)
        return library_of(leaf) == "jax"

    return varies


def _no_floats_message(arguments: Packed) -> str:
    """Return a message that no argument holds floating-point numbers.

    If an argument holds integers, the message says what to write instead.
    """
    for path, x in arguments.constants:
        if number_kind(x) == "int":
            floats = {"torch": ".double()", "": ""}.get(library_of(x), ".astype(float)")
            write = f"{path}{floats}" if floats else f"{path} = {float(x)}"
            return f"no argument holds floating-point numbers, but {path} holds integers; write {write}"
    return "no argument holds floating-point numbers"


def rms(x: Vector) -> float:
    """Return the root mean square of the numbers, or 1.0 if that is 0. An infinite or nan number counts as 0.

    >>> rms(np.array([3.0, -3.0, 3.0, -3.0]))
    3.0
    """
    with np.errstate(all="ignore"):
        return norm(x) / math.sqrt(x.size) or 1.0 if x.size else 1.0


def norm(x: Vector, factors: Vector | None = None) -> float:
    """Return the Euclidean norm of x, or of x * factors, over the finite elements.

    The squares neither overflow nor underflow.

    >>> with np.errstate(all="ignore"):
    ...     [norm(size * np.array([3.0, -4.0, np.nan])) / size for size in (1.0, 2.0**700, 2.0**-700)]
    [5.0, 5.0, 5.0]
    """
    if x.size <= CHUNK_SIZE:
        return _norm(x if factors is None else x * factors)
    places = chunks(slice(0, x.size))
    return math.hypot(*(_norm(x[some] if factors is None else x[some] * factors[some]) for some in places))


def _norm(x: Vector) -> float:
    if math.isfinite(total := float(x.dot(x))) and total > MIN_EXACT_SQUARE_SUM:
        return math.sqrt(total)
    if not np.count_nonzero(x):
        return 0.0
    x = x[np.isfinite(x)]
    largest = max_magnitude(x)
    scale = math.ldexp(0.5, math.frexp(largest)[1])
    return scale * math.sqrt(float(np.sum((x / scale) ** 2)))


def max_magnitude(x: Vector) -> float:
    """Return the largest absolute value of the numbers; nan if there is a nan, and 0.0 if there are no numbers.

    >>> max_magnitude(np.array([1.0, -3.0])), max_magnitude(np.zeros(0))
    (3.0, 0.0)
    """
    if x.size > CHUNK_SIZE:  # without memory for absolute values
        return max(float(np.max(x)), -float(np.min(x)))
    return float(np.maximum.reduce(np.abs(x), initial=0.0))


def element_scales(x: Vector) -> Vector:
    """Return how far each number of an array may be moved in a check of derivatives, as powers of 2.

    A number may be moved by its absolute value, or by the root mean square of the array if that is larger, rounded down
    to a power of 2. A number that is infinite or nan counts as 0, also in the root mean square. If all numbers of the
    array are 0, each may be moved by 1.

    >>> element_scales(np.array([8.0, 0.0])), element_scales(np.array([8.0, np.nan]))
    (array([8., 4.]), array([8., 4.]))
    """
    found, least = np.empty(x.size), rms(x)
    for some in chunks(slice(0, x.size)):
        size = np.abs(x[some])
        found[some] = floor_power_of_2(np.fmax(np.where(size < np.inf, size, 0.0), least))
    return found


def floor_power_of_2(x: Vector) -> Vector:
    """Return, for each number, the largest power of 2 that is not above it; 0 for 0.

    >>> floor_power_of_2(np.array([5.0, 0.0]))
    array([4., 0.])
    """
    mantissa, exponent = np.frexp(x)
    powers: Vector = np.ldexp(np.where(mantissa > 0.0, 0.5, 0.0), exponent)
    return powers


def unit_vector(n: int, i: int) -> Vector:
    """Return the i-th unit vector of length n.

    >>> unit_vector(2, 1)
    array([0., 1.])
    """
    vector = np.zeros(n)
    vector[i] = 1.0
    return vector
