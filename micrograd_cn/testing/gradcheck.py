"""`gradcheck`: compare the gradient of any function with numerical derivatives that know their own error.

The arguments say what is checked: numbers, and numpy's arrays of them, go to a function of `Value`s, one derivative at
a time (here, to any order); arrays of other libraries, or a derivative that is given, to `directions`, which takes them
for vectors of doubles (`vectors`, `libraries`) and the gradient from where it is (`analytic`). Both compare with a
numerical derivative (`compare`, `numerical`) and tell it (`report`).
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from math import nan
from typing import Any

from ..derivatives.tree import flatten
from ..engine import Value
from ..gradients import gradients
from ..ops.number import number
from . import pytrees
from .compare import Claim, Comparison, ValueTolerance, compare_value
from .libraries import is_any_array, library_of
from .numerical import loses_digits, rounding_error
from .random_state import restored_generators
from .report import GradientMismatch, NotDeterministic, NothingCompared, raise_or_warn
from .result_hooks import notify_failure
from .subject import Subject, make_subject

__tracebackhide__ = True  # pytest leaves out the frames of this file

MAX_NUMBERS = (
    100  # numbers in arrays at which a function of Values is checked: ten seconds; three times as many, minutes
)

GIVE_DERIVATIVE = (
    "give the derivative that is to be checked: gradcheck(f, x, gradient=df), or jacobian=, vjp=, jvp=; "
    "or write f with micrograd_cn's functions"
)


def gradcheck(
    f: Callable[..., Any],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    static: Collection[str | int] = (),
    gradient: Callable[..., Any] | None = None,
    jacobian: Callable[..., Any] | None = None,
    vjp: Callable[..., Any] | None = None,
    jvp: Callable[..., Any] | None = None,
    order: int = 1,
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
) -> None:
    """Compare the derivatives of `f` at `args` with numerical ones; return None if they agree.

    What is checked is the derivative that is given; without one, it is that of the arguments' library: PyTorch's
    backward pass for tensors, jax's vjp for its arrays, and for numbers, and other arrays of them, ours: `f` then takes
    `Value`s in their place, as in `functional.grad` and `compile`, so numpy's arrays are arrays of `Value`s.

    A derivative agrees if it differs from the numerical one by no more than atol, rtol times the larger of the two, or
    five times the numerical one's estimated error. At a kink it agrees if it lies between the derivatives of the two
    sides, at the edge of the domain if it is that of the one side; nan at a kink is a convention, and not compared.
    How exact `f` is in its own type, float16 and bfloat16 too, is measured.

    Up to 16 derivatives are compared singly, and all those of functions of `Value`s. Of more, four random directions,
    with random weights of the outputs (of several arrays two, and one of each array, so that none hides behind
    another), and eight elements, the steepest among them; of one that disagrees the steepest element is taken, or, if
    that is hardly wrong, the worst one is found by halving. While nothing looks wrong, that takes 300 calls of `f`,
    however many elements there are: each comparison has its share, and what that did not tell is not compared. In half
    precision it may take some thousands, since a mistake must be as large at points next to `args`, where rounding is
    another. In float32 only that is a mistake of which the remainder is of the first order, as that of rounding and of
    kinks nearby is not.

    It is checked, too, that a derivative changes no argument, and of a backward pass that it is linear in the upstream
    gradient, also where that is large, and does not change it, gives the same again after other calls, and takes an
    upstream gradient that is not contiguous, is expanded, or is None for some of PyTorch's outputs.

    What it cannot see: a mistake elsewhere than near `args`; one smaller than the tolerance, or than the noise where
    that is larger; in large arrays, one that is lost in all directions, less than about rtol of the whole gradient; how
    the gradient is at a kink, but for its lying between both sides; and a mistake in `f` itself. In half precision it
    cannot tell a mistake from rounding that goes one way even over steps of 16 times the numbers' size, or that of
    what does not depend on `args`, nor one that is far less over such steps; nor, in any, from a feature narrower than
    its finest steps, such as the clamp of x / max(|x|, 1e-12) at 0. What rounding has made a stair, with treads wider
    than those steps, it takes for one: 1 + erf(x) at -5, of whose derivative hardly a digit is left.

    Args:
        f: takes and returns numbers, arrays (of numpy, PyTorch, jax, or with `__array__` or `tolist`), or nested lists,
            tuples, dicts, dataclasses and pytrees of them. A module of PyTorch is checked with all its parameters, and
            its buffers are left alone; an `autograd.Function` may be given by its own name.
        args: what to call it with; of a `Value` its data. Beside a derivative of somebody else's, integers, flags,
            text and whatever else is no floating-point number are constants.
        kwargs: keyword arguments of `f`, and of its derivative; they are constants.
        static: names, or numbers, of arguments that are constants.
        gradient: `(*args)` -> the gradient of a scalar `f`, in the argument's structure; for several arguments a tuple.
            It may return the value too: `(value, gradient)`. None for a floating-point argument says 0.
        jacobian: `(*args)` -> the output's structure, with the arguments' in the place of each number or array; of an
            array of shape s and one of shape t an array of shape s + t.
        vjp: `(*args, upstream)` -> the gradient of the outputs times `upstream`, as for `gradient`.
        jvp: `(*args, tangents)` -> the derivative of the outputs along `tangents`, a tuple for several arguments.
        order: how many times to differentiate a function of `Value`s, or of PyTorch's or jax's arrays.
        rtol: relative tolerance; by default 1e-6, in types of fewer digits up to 5e-3.
        atol: absolute tolerance; by default, for functions of `Value`s, 1e-9, less where the numerical derivative is
            smaller and yet known to four digits.
        seed: of the random directions.

    Raises:
        GradientMismatch: an AssertionError with a table of the derivatives, or what the backward pass does wrong.
        NothingCompared: no derivative could be compared: the point is outside the domain, at a jump or at a pole.
        TooNoisy: a NothingCompared: rounding hides the derivatives; in half precision, that is warned of.
        NotDeterministic: a NothingCompared: two calls gave different results.
        TypeError: an argument holds something that is not a number, or there is no derivative to check.
        ValueError: `order` is less than 1, a tolerance less than 0, or the derivative has another structure than it
            should.

    Warns:
        PartlyCompared: some derivatives could not be compared; it names their arguments.

    >>> gradcheck(lambda x, w: (x * w).tanh(), 0.5, -2.0, order=2)
    >>> gradcheck(lambda x: math.exp(-x * x), 0.5, gradient=lambda x: -2.0 * x * math.exp(-x * x))
    """
    given = {"gradient": gradient, "jacobian": jacobian, "vjp": vjp, "jvp": jvp}
    derivatives = {name: derivative for name, derivative in given.items() if derivative is not None}
    if order < 1:
        raise ValueError(f"order must be at least 1, got {order}")
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if tolerance is not None and not tolerance >= 0.0:
            raise ValueError(f"gradcheck: {name} must be 0 or more, got {tolerance}")
    if len(derivatives) > 1:
        raise TypeError(f"gradcheck: give one derivative, not {' and '.join(f'{name}=' for name in derivatives)}")
    for name, derivative in derivatives.items():
        if not callable(derivative):
            found = type(derivative).__name__
            raise TypeError(f"gradcheck: {name}= must be a function of the arguments, got {found}; write {name}=df")
    options = {name: x for name, x in (("rtol", rtol), ("atol", atol), ("seed", seed or None)) if x is not None}
    subject = replace(make_subject(f, args, kwargs, static), order=order, derivatives=derivatives, options=options)
    derivatives = {name: functools.partial(df, **subject.keywords) for name, df in derivatives.items()}
    leaves = pytrees.leaves(subject.args)
    foreign = derivatives or any(library_of(x) in ("torch", "jax") for x in leaves)
    if derivatives and order > 1:
        raise ValueError(
            "gradcheck: order is for derivatives of any order, of functions of Values, torch or jax; "
            "check the gradient as f, and its derivative"
        )
    if not foreign and any(map(is_any_array, leaves)) and (count := len(flatten(subject.args)[0])) > MAX_NUMBERS:
        found = next(type(x).__name__ for x in leaves if is_any_array(x))
        raise TypeError(
            f"gradcheck: nothing says what the gradient of f is, given a {found}, and {count} numbers are too many to "
            f"check ours at, one derivative at a time; {GIVE_DERIVATIVE}"
        )
    with restored_generators():
        if foreign:
            try:
                from .array_check import compare_arrays
            except ModuleNotFoundError as error:
                raise ImportError(
                    "gradcheck of other functions than those of Values needs numpy: pip install numpy"
                ) from error
            try:
                comparisons, half_precision = compare_arrays(subject, derivatives, order, rtol, atol, seed)
            except GradientMismatch:
                notify_failure(subject.short_name)
                raise
        else:
            half_precision, comparisons = False, _compare_values(subject, order, 1e-6 if rtol is None else rtol, atol)
    raise_or_warn(subject, comparisons, half_precision, stacklevel=2)


def _compare_values(subject: Subject, order: int, rtol: float, atol: float | None) -> list[Comparison]:
    """Compare every derivative, up to `order`, of a function of `Value`s."""
    heading = subject.heading
    varying = [i for i, name in enumerate(subject.names) if name not in subject.static]
    leaves, rebuild = flatten([subject.args[i] for i in varying], "args")
    names = [re.sub(r"^args\[(\d+)\]", lambda found: subject.names[varying[int(found[1])]], path) for path, _ in leaves]
    point = [x.data if isinstance(x, Value) else number(x) for _, x in leaves]

    def f(*inputs: Any) -> Any:
        args = list(subject.args)
        for i, x in zip(varying, inputs, strict=True):
            args[i] = x
        return subject.f(*args)

    def at(xs: list[float], output: int, slots: tuple[int, ...]) -> tuple[Value, list[Value]]:
        """Return the partial derivative of an output in `slots` at `xs` as a `Value`, and the leaves it depends on."""
        inputs = [Value(x) for x in xs]
        y = _outputs(f(*rebuild(inputs)))[output][1]
        for slot in slots:
            [y] = gradients(y, [inputs[slot]], create_graph=True)
        return y, inputs

    try:
        outputs = _outputs(f(*rebuild([Value(x) for x in point])))
    except (TypeError, AttributeError) as error:
        arrays = any(map(is_any_array, pytrees.leaves(subject.args)))
        if arrays or ("Value" in str(error) and ("ufunc" in str(error) or "not Value" in str(error))):
            raise TypeError(f"gradcheck: f does not take a Value ({error}); {GIVE_DERIVATIVE}") from error
        raise
    for k, (path, y) in enumerate(outputs):
        again = at(point, k, ())[0].data
        if y.data != again and not (math.isnan(y.data) and math.isnan(again)):
            what = f"output{path}" if path else "it"
            raise NotDeterministic(f"{heading}: not deterministic, two calls of {what} gave {y.data} and {again}")
        if not math.isfinite(y.data):
            raise NothingCompared(f"{heading}: outside the domain, the function is {y.data} there")

    @functools.cache
    def moved(k: int, slots: tuple[int, ...], i: int, t: float) -> list[float]:
        """Return, where the i-th number is `t`, the partial derivative of an output in `slots`, and its gradient."""
        y, inputs = at([*point[:i], t, *point[i + 1 :]], k, slots)
        return [y.data, *(gradients(y, inputs) if order > 1 else ())]

    comparisons: list[Comparison] = []
    for k, level in itertools.product(range(len(outputs)), range(order)):
        for slots in itertools.product(range(len(point)), repeat=level):
            y, inputs = at(point, k, slots)
            for i, analytic in enumerate(gradients(y, inputs)):

                def along(t: float, k: int = k, slots: tuple[int, ...] = slots, i: int = i) -> float:
                    try:
                        return moved(k, slots[:-1], i, t)[slots[-1] + 1 if slots else 0]
                    except (ArithmeticError, ValueError):  # f refuses what is outside its domain
                        return nan

                over = "/".join(f"d{names[j]}" for j in (*slots, i))
                title = f"d{level + 1 if level else ''}f{outputs[k][0]}/{over}"
                lost = functools.partial(loses_digits, y)
                noise = rounding_error(y, inputs[i])
                size = math.fabs(y.data) / max(math.fabs(point[i]), 1.0)
                tolerance = ValueTolerance(rtol, 1e-9 if atol is None else atol, size)
                claim = Claim(title, analytic, along, point[i], y.data, noise, tolerance)
                comparisons.append(compare_value(claim, rtol, atol, lost))
    return comparisons


def _outputs(result: Any) -> list[tuple[str, Value]]:
    """Return the function's outputs, each with the path to it."""
    outputs = flatten(result)[0]
    for _, y in outputs:
        if not isinstance(y, Value):
            raise TypeError(
                f"gradcheck: f returned {type(y).__name__} {y!r}, not a Value: its graph was lost; {GIVE_DERIVATIVE}"
            )
    if not outputs:
        raise TypeError(f"gradcheck: f returned {result!r}, in which there is no number")
    return outputs
