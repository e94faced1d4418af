"""Check a function of `Value`s: differentiate it, and compare each derivative of any order with a numerical one."""

from __future__ import annotations

import functools
import itertools
import math
import re
import traceback
from collections.abc import Callable, Collection
from dataclasses import replace
from math import nan
from numbers import Real
from typing import Any

from ...engine import Value, constant, graph_nodes
from ...gradients import gradients
from ...graph.closures import Closure
from ...graph.numpy_errors import NO_ARRAY, numpy_advice
from ...ops.number import number
from ...parameters.tree import flatten
from ..inputs import pytrees
from ..inputs.libraries import LIBRARIES, is_any_array
from ..inputs.random_state import advanced_generator, generator_states
from ..inputs.subject import VALUE_AND_GRADIENT, Subject
from ..inputs.value_arguments import Binding, bind, choose_variables, values_as_numbers
from ..numeric.compare import Claim, Comparison
from ..numeric.numerical import DOMAIN_ERRORS, Estimate, jump_near, loses_digits, rounding_error
from ..numeric.thresholds import (
    DEFAULT_ATOL,
    LINEAR_RTOL,
    MAX_NUMBERS,
    MAX_PARAMETERS_TWICE,
    REPEATED_AT_JUMP,
    REPEATED_CALLS,
    UNDERFLOW,
    UPSTREAM,
)
from ..report import GradientMismatch, NotDeterministic, NothingCompared
from .value_stages import ValueTolerance, compare_value

__tracebackhide__ = True  # pytest leaves out the frames of this file

GIVE_DERIVATIVE = (
    "give the derivative that is to be checked: gradcheck(f, x, gradient=df), or jacobian=, vjp=, jvp=; "
    "or write f with micrograd_cn's functions"
)

LIBRARY_NAMES = {"jax": "jax", "torch": "PyTorch"}
ARRAY_MAKERS = {"jax": "jax.numpy.asarray(x)", "torch": "torch.tensor(x, dtype=torch.float64)"}


def compare_values(
    subject: Subject, order: int, rtol: float, atol: float | None, surrogate: Callable[..., Any] | None = None
) -> tuple[list[Comparison], list[str]]:
    """Compare all derivatives of a function of `Value`s, up to those of order `order`, with numerical ones.

    Args:
        subject: the function and its arguments.
        order: the highest order of derivatives; 1 if there is a `surrogate`.
        rtol: relative tolerance.
        atol: the absolute tolerance that the user gave; None for the default.
        surrogate: a function whose numerical derivatives are used; by default, they are those of the subject.

    Returns:
        The comparisons, and the paths of the whole numbers in the arguments that are treated as constants.
    """
    with values_as_numbers():
        return _compare_bound_values(subject, order, rtol, atol, surrogate)


def _compare_bound_values(
    subject: Subject, order: int, rtol: float, atol: float | None, surrogate: Callable[..., Any] | None
) -> tuple[list[Comparison], list[str]]:
    """Do the work of `compare_values`, inside the context `values_as_numbers()` that the caller has entered.

    The arguments and the results are those of `compare_values`.
    """
    bound = bind(subject, _chosen_parameters(subject, order))
    _refuse_many_numbers(bound.without_whole_numbers())
    bound = choose_variables(bound)
    if len(bound.variables) > MAX_NUMBERS and bound.without_flags().has_variables:
        bound = bound.without_flags()
    _refuse_many_numbers(bound)
    comparisons, constants = _compare_binding(bound, order, rtol, atol, surrogate)
    varying = {v.name for v in bound.variables}
    for other in bound.doubtful:
        found, _ = _compare_binding(other, 1, rtol, atol, surrogate, varying)
        whole = [path for path in bound.constants() if path not in other.constants()]
        note = f"if f gets a Value as {', '.join(whole)}"
        comparisons += [comparison._replace(note=note) for comparison in found if comparison.agrees is False]
    return comparisons, [*bound.constants(), *constants]


def _compare_binding(
    bound: Binding,
    order: int,
    rtol: float,
    atol: float | None,
    surrogate: Callable[..., Any] | None,
    only: Collection[str] | None = None,
) -> tuple[list[Comparison], list[str]]:
    """Compare the derivatives of a function with respect to the variables of `bound` with numerical ones.

    Args:
        bound: the function, its arguments, and the choice of its variables.
        order: the highest order of derivatives.
        rtol: relative tolerance.
        atol: the absolute tolerance that the user gave; None for the default.
        surrogate: a function whose numerical derivatives are used; by default, they are those of the function itself.
        only: names of variables. If they are given, derivatives with respect to other variables are not compared.

    Returns:
        The comparisons, and the names of variables that turn out to be constants. These are whole numbers that the
        function compares by `==`, uses as conditions, or has no derivative with respect to.

    Raises:
        NotDeterministic: two calls at the point gave different outputs.
        NothingCompared: an output is infinite or nan at the point.
        TypeError: f does not take `Value`s, loses the graph, or seems to return a value and its gradient.
    """
    subject, heading = bound.subject, bound.subject.heading
    names, point = [v.name for v in bound.variables], [v.number for v in bound.variables]

    def at(xs: list[float], output: int, slots: tuple[int, ...], called: Binding = bound) -> tuple[Value, list[Value]]:
        """Return a derivative of an output at the point `xs`, and the inputs: the numbers of `xs` as `Value`s.

        Output number `output` is differentiated once for each index in `slots`, with respect to the input with this
        index. If `slots` is empty, the output itself is returned. `called` is the binding whose function is called.
        """
        result, inputs = called.call(xs)
        y = result if type(result) is Value and not output else _outputs(result)[output][1]
        for slot in slots:
            [y] = gradients(y, [inputs[slot]], create_graph=True)
        return y, inputs

    try:
        result, _ = bound.call()
    except Exception as error:  # of the user's function, which may raise anything; it is raised again in any case
        if told := _explanation(error, subject, bound.hint):
            raise TypeError(told) from error
        raise
    if refusal := _pair_refusal(result, subject):
        raise TypeError(refusal)
    outputs, given = _outputs(result), [y for _, y in flatten(result)[0]]
    drawn = ""
    for k, (path, y) in enumerate(outputs):
        states = generator_states()
        output = functools.partial(lambda k: at(point, k, ())[0].data, k)
        _check_repeats(heading, path, output, y.data, 1)
        drawn = drawn or advanced_generator(states)  # f uses this generator, and does not seed it
        _check_repeats(heading, path, output, y.data, REPEATED_CALLS if drawn else 0, drawn)
        if not math.isfinite(y.data):
            raise NothingCompared(f"{heading}: outside the domain, the function is {y.data} there")
        _check_closures(y, heading)

    valued = bound
    if surrogate is not None:
        valued = replace(bound, subject=replace(bound.subject, f=surrogate))
        _check_same_outputs(heading, _outputs(valued.call()[0]), outputs)

    parameters = [*bound.parameters.values()]
    own = [*zip(parameters, point[len(point) - len(parameters) :], strict=True)]

    @functools.cache
    def moved(k: int, slots: tuple[int, ...], i: int, t: float) -> list[float]:
        """Return a list that begins with a derivative of output `k`, at the checked point with input `i` set to `t`.

        The output is differentiated once for each index in `slots`, with respect to the input that has this index; if
        `slots` is empty, the list begins with the output itself. If derivatives of more than first order are checked,
        the rest of the list is the gradient of the first number: its derivatives with respect to all inputs. Otherwise
        the list ends there.
        """
        try:
            y, inputs = at([*point[:i], t, *point[i + 1 :]], k, slots, valued)
            return [y.data, *gradients(y, inputs)] if order > 1 else [y.data]
        finally:
            for p, x in own:
                p.data = x

    comparisons: list[Comparison] = []
    constants: dict[str, None] = {}
    may_jump = True  # whether no jump has been found yet
    for k, level in itertools.product(range(len(outputs)), range(order)):
        for slots in itertools.product(range(len(point)), repeat=level):
            y, inputs = at(point, k, slots)
            for i, analytic in enumerate(gradients(y, inputs)):
                if only is not None and names[i] not in only:
                    continue
                if any(bound.is_flag(j) for j in (*slots, i)):
                    constants.update((names[j], None) for j in (*slots, i) if bound.is_flag(j))
                    continue

                seen: dict[float, float] = {}  # keyed by the input: what `along` has returned

                def along(
                    t: float,
                    k: int = k,
                    slots: tuple[int, ...] = slots,
                    i: int = i,
                    seen: dict[float, float] = seen,
                ) -> float:
                    try:
                        seen[t] = moved(k, slots[:-1], i, t)[slots[-1] + 1 if slots else 0]
                    except GradientMismatch:  # of a check inside f, which is no edge of its domain
                        raise
                    except DOMAIN_ERRORS:
                        seen[t] = nan
                    return seen[t]

                over = "/".join(f"d{names[j]}" for j in (*slots, i))
                title = f"d{level + 1 if level else ''}f{outputs[k][0]}/{over}"
                lost = functools.partial(loses_digits, y)
                noise = rounding_error(y, inputs[i])
                size = math.fabs(y.data) / max(math.fabs(point[i]), 1.0)
                tolerance = ValueTolerance(rtol, DEFAULT_ATOL if atol is None else atol, size)
                here = y.data if surrogate is None else along(point[i])
                claim = Claim(title, analytic, along, point[i], here, noise, tolerance)
                comparison = compare_value(claim, rtol, atol, lost)
                steps = {t - point[i]: value - here for t, value in seen.items()}
                if may_jump and (step := jump_near(steps, analytic, noise)) is not None:
                    may_jump = False  # a function that jumps may do so in many places
                    for t in (point[i], next(t for t in seen if t - point[i] == step)):
                        before = along(t)

                        def again(t: float = t, along: Callable[[float], float] = along) -> float:
                            moved.cache_clear()
                            return along(t)

                        _check_repeats(heading, outputs[k][0], again, before, REPEATED_AT_JUMP // 2)
                if comparison.agrees is False and not isinstance(given[k], Value):
                    raise TypeError(_lost_graph(outputs[k][0], given[k]))
                if comparison.agrees is False and (advice := bound.advice(i)):
                    comparison = comparison._replace(note=advice)
                undefined = math.isnan(comparison.analytic) or comparison.note.startswith("a jump")
                if comparison.agrees is None and undefined and bound.is_count(i):
                    constants[names[i]] = None
                else:
                    comparisons.append(comparison)
    if drawn:
        note = f"f draws from {drawn}, so it may not be deterministic: seed it inside f"
        comparisons.append(Comparison("all of f", nan, Estimate(nan, math.inf), None, note))
    return comparisons, [*constants]


def _check_repeats(
    heading: str, path: str, call: Callable[[], float], before: float, count: int, drawn: str = ""
) -> None:
    """Check that `count` more calls of the function give the same number as before.

    Args:
        heading: what a message begins with.
        path: where the number is in the result of the function, such as "[0]['loss']".
        call: calls the function.
        before: the number that an earlier call gave.
        count: how many calls are made.
        drawn: the name of a random number generator that the function uses; "" if none is known.

    Raises:
        NotDeterministic: a call gave another number.
    """
    for _ in range(count):
        again = call()
        if before != again and not (math.isnan(before) and math.isnan(again)):
            what = f"output{path}" if path else "it"
            cure = f"; f draws from {drawn}: seed it inside f, or let the numbers be an argument" if drawn else ""
            raise NotDeterministic(f"{heading}: not deterministic, two calls of {what} gave {before} and {again}{cure}")


def _chosen_parameters(subject: Subject, order: int) -> dict[str, Value]:
    """Return a dict from names to those parameters of a `Module` of this package by which the check differentiates.

    The dict is empty for other functions.

    Parameters that require no gradient are left out. If there are more than may be compared in a check of order
    `order`, only every k-th is taken, for some k, so the sample is spread over the layers. With `exhaustive=True`, all
    are taken.
    """
    found = {name: p for name, p in subject.parameters.items() if p.requires_grad}
    most = MAX_NUMBERS if order == 1 else MAX_PARAMETERS_TWICE
    every = 1 if subject.options.get("exhaustive") else -(-len(found) // most)
    return {name: found[name] for name in [*found][:: every or 1]}


def _check_closures(y: Value, heading: str) -> None:
    """Check that each `_backward` that a user has written, as in micrograd, multiplies by `out.grad`.

    The upstream gradient of the result itself is 1, so the derivatives do not show whether `_backward` uses it.

    Args:
        y: the result of the function. All nodes of its graph are checked.
        heading: what messages begin with.

    Raises:
        GradientMismatch: a `_backward` is not linear in the upstream gradient.
    """
    for node in graph_nodes(y):
        if not isinstance(node.op, Closure):
            continue
        for one, part in zip(node.op.sent(node, 1.0), node.op.sent(node, UPSTREAM), strict=True):
            one, part = one or 0.0, part or 0.0
            if math.isfinite(one) and not math.isclose(part, UPSTREAM * one, rel_tol=LINEAR_RTOL, abs_tol=UNDERFLOW):
                name = node.op.notation.symbol or "a node"
                raise GradientMismatch(
                    f"{heading}: not linear in the upstream gradient: _backward of {name} adds {one:.6g} if out.grad "
                    f"is 1, and {part:.6g} if it is {UPSTREAM}. Multiply each term that _backward adds by out.grad once"
                )


def _refuse_many_numbers(bound: Binding) -> None:
    """Raise TypeError if there are too many variables to check one by one, and some of them are in arrays."""
    arrays = [part for part in bound.variable_parts() if is_any_array(part.given)]
    if arrays and (count := sum([len(flatten(part.given)[0]) for part in bound.variable_parts()])) > MAX_NUMBERS:
        whole = [part for part in arrays if part.kind == "whole"]
        also = f"; {whole[0].make_static}" if whole else ""
        raise TypeError(
            f"gradcheck: no derivative of f is given, and {count} numbers in a {type(arrays[0].given).__name__} are "
            f"too many to check micrograd_cn's, one derivative at a time; {GIVE_DERIVATIVE}{also}"
        )


def _pair_refusal(result: Any, subject: Subject) -> str:
    """Return a message if the result of a function of `Value`s looks like a value and a gradient; else "".

    A pair looks like that if its first item is a number, and its second item is an array with the shape of an argument,
    or several such arrays.
    """
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], (Value, float))):
        return ""
    found = result[1] if isinstance(result[1], (tuple, list)) else [result[1]]
    given = zip(subject.names, subject.args, strict=True)
    shapes = [getattr(x, "shape", None) for name, x in given if name not in subject.static and is_any_array(x)]
    if not found or not all(is_any_array(part) and getattr(part, "shape", None) in shapes for part in found):
        return ""
    return VALUE_AND_GRADIENT


def _explanation(error: Exception, subject: Subject, hint: str) -> str:
    """Return a message if f raised `error` because it was called with `Value`s, and does not take these; else "".

    Args:
        error: what the function raised.
        subject: the function and its arguments.
        hint: the end of the message, which says what the user should write if the function takes one of its arguments
            as a number, but not as a `Value`; "" if there is no such argument.
    """
    also = f"; {hint}" if hint else ""
    if isinstance(error, (TypeError, AttributeError)):
        if library := _library_that_raised(error):
            [kind, *_] = [*(type(x).__name__ for x in pytrees.leaves(subject.args)), ""]
            return (
                f"gradcheck: f computes with {LIBRARY_NAMES[library]}, and gets a {kind}; write "
                f"gradcheck(f, {ARRAY_MAKERS[library]})"
            )
        if "has no callable" in str(error):  # numpy's error for an array of Values and numbers
            return f"gradcheck: f makes an array of Values and numbers ({error}); {numpy_advice(error)}{also}"
        if re.search(NO_ARRAY, str(error)) and any(isinstance(x, (list, tuple)) for x in subject.args):
            return f"gradcheck: f gets a list, as it was given ({error}); write gradcheck(f, np.array(x)) for an array"
        arrays = any(map(is_any_array, pytrees.leaves(subject.args)))
        told = any(words in str(error) for words in ("ufunc", "not Value", "of a Value"))
        if arrays or ("Value" in str(error) and told):
            return f"gradcheck: f does not take a Value ({error}); {GIVE_DERIVATIVE}{also}"
    return f"gradcheck: f does not take a Value ({type(error).__name__}: {error}){also}" if hint else ""


def _library_that_raised(error: BaseException) -> str:
    """Return "torch" or "jax" if an error comes from this library, which was given a `Value`; else ""."""
    if "must be Tensor" in str(error):
        return "torch"
    if "jit-wrapped" in str(error) or "JAX" in str(error):
        return "jax"
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    found = [LIBRARIES.get(str(name).partition(".")[0], "") for name in modules]
    return next((library for library in found if library in LIBRARY_NAMES), "")


def _outputs(result: Any) -> list[tuple[str, Value]]:
    """Return the outputs of the function, each with its path in the structure `result`, such as "[0]['loss']".

    A plain number in `result` is returned as a `Value` that is a constant.

    Raises:
        TypeError: an output is neither a `Value` nor a number, or the function has no output.
    """
    outputs = []
    for path, y in flatten(result)[0]:
        if not isinstance(y, Value) and (isinstance(y, bool) or not (isinstance(y, Real) or hasattr(y, "__float__"))):
            raise TypeError(
                f"gradcheck: f returned {type(y).__name__} {y!r}{f' as output{path}' * bool(path)}, which is neither a "
                f"Value nor a number; {GIVE_DERIVATIVE}"
            )
        outputs.append((path, y if isinstance(y, Value) else constant(number(y))))
    if not outputs:
        raise TypeError(f"gradcheck: f returned {result!r}, which holds no number")
    return outputs


def _check_same_outputs(heading: str, expected: list[tuple[str, Value]], found: list[tuple[str, Value]]) -> None:
    """Check that f returns numbers in the same structure as the function given as `like=`.

    Raises:
        ValueError: the structures differ.
    """
    paths = [[path for path, _ in outputs] for outputs in (expected, found)]
    if paths[0] != paths[1]:
        like, f = ["one number" if some == [""] else f"{len(some)} in a structure" for some in paths]
        raise ValueError(f"{heading}: like= returns {like}, and f returns {f}; let like= return what f returns")


def _lost_graph(path: str, y: Any) -> str:
    """Return an error message, which says that the result of f has at `path` the number `y` in place of a `Value`."""
    where = f" as output{path}" if path else ""
    return f"gradcheck: f returned {type(y).__name__} {y!r}{where}, not a Value: its graph was lost; {GIVE_DERIVATIVE}"
