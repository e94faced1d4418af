"""Check the contract of a backward pass: the rules that it must keep besides giving the right numbers.

A backward pass takes the upstream gradient, which has a weight for each output, and returns the gradient of the
weighted sum of the outputs. It must be linear in the upstream gradient, and must change neither the upstream gradient
nor the arguments. The upstream gradient as one vector is called a cotangent. In the code, `u` is a cotangent, and `g`
is the gradient that the backward pass returns for `u`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..inputs.libraries import is_tensor, library_of
from ..inputs.random_state import advanced_generator
from ..numeric.thresholds import (
    CANCELLING,
    EQUAL_BITS,
    LARGE_UPSTREAM,
    MAX_SINGLE_OUTPUTS,
    NEARBY_DISTANCE,
    NEARBY_IN_HALF,
    OVERFLOW_FACTOR,
    REPEATED_BITS,
    REPEATED_CALLS,
    UNDERFLOW_FACTOR,
    UPSTREAM,
)
from ..report import GradientMismatch, NotDeterministic
from .analytic import ForwardMode, ReverseMode
from .problem import Problem, max_magnitude
from .vectors import Vector, concatenated, draw_from

__tracebackhide__ = True

COTANGENT_VALUES = np.array([-1.0, -0.75, -0.5, 0.5, 0.75, 1.0])  # entries of a random cotangent, before scaling


def random_cotangent(problem: Problem, random: np.random.Generator) -> Vector:
    """Return random weights for the outputs of the function; arrays with larger outputs get smaller weights.

    Every floating-point type holds the weights exactly. A single output has the weight 1. Outputs that are not finite
    have the weight 0.
    """
    if problem.y.size == 1:
        return problem.unit_cotangent(0)
    places = zip(problem.outputs.slices(), problem.output_scales, strict=True)
    weights = concatenated(
        [draw_from(COTANGENT_VALUES / size, place.stop - place.start, random) for place, size in places]
    )
    if not problem.all_outputs_finite:
        weights[~problem.finite_outputs] = 0.0
    return weights


def without_overflow(problem: Problem, u: Vector) -> Vector:
    """Return `u`, a vector of weights of the outputs, or a smaller one if its gradient overflows in half precision.

    The largest number of float16 is 65504. If the gradient for a smaller cotangent is not finite either, `u` is
    returned.
    """
    if not problem.half_precision or _has_finite_gradient(problem, u):
        return u
    smaller: Vector = u / OVERFLOW_FACTOR
    return smaller if _has_finite_gradient(problem, smaller) else u


def _has_finite_gradient(problem: Problem, u: Vector) -> bool:
    """Return whether the gradient of u · f, a weighted sum of outputs, is finite at the point, or is not known."""
    g = problem.derivative.gradient(problem.x, u)
    return g is None or bool(np.isfinite(g).all())


def _random_signs(problem: Problem, random: np.random.Generator) -> Vector:
    """Return a vector that has 1 or -1, at random, for each element of the problem's point."""
    return draw_from(np.array([-1.0, 1.0]), problem.x.size, random)


def check_contract(problem: Problem, random: np.random.Generator) -> tuple[Vector, Vector] | None:
    """Call the derivative of a problem in every way that it must support, and check what it returns and changes.

    Return None if the derivative gives no gradient. Otherwise return two vectors: a random cotangent, which has a
    weight for each output, and the gradient of the weighted sum of the outputs.

    Raises:
        GradientMismatch: the derivative breaks the contract; the message says how.
        NotDeterministic: two calls gave different gradients.
    """
    derivative, u = problem.derivative, random_cotangent(problem, random)
    nearby = problem.arguments.rounded((1.0 + _distance(problem) * _random_signs(problem, random)) * problem.x)
    with contextlib.suppress(Exception):  # there may be no derivative there
        derivative.slope(nearby, u, problem.scale)
    if not isinstance(derivative, ReverseMode) and advanced_generator(problem.generators):
        problem.check_random_numbers()
    if not isinstance(derivative, (ForwardMode, ReverseMode)):
        return None
    if derivative.changed and (changed := derivative.changed(problem.x)):
        raise _contract_failure(problem, f"the derivative changes the argument {changed}; let it compute with a copy")
    if isinstance(derivative, ForwardMode):
        d = problem.arguments.rounded(_random_signs(problem, random) * problem.scale)
        with np.errstate(all="ignore"):
            along, other = (derivative.slope(problem.x, u, part * d) for part in (1.0, UPSTREAM))
        allowed = max(EQUAL_BITS * problem.eps * u.size, problem.rtol) * abs(along)
        if np.isfinite(along) and not abs(other - UPSTREAM * along) <= allowed:
            was = f"it gives {along:.6g}, and {other:.6g} for {UPSTREAM} times the tangents"
            raise _contract_failure(problem, f"jvp= is not linear in the tangents: {was}")
        _check_zero_tangents(problem, derivative, u, d, along)
        return None
    try:
        u = without_overflow(problem, u)
        if derivative.backward_pass is not None and not problem.half_precision:
            derivative.store_gradient(problem.x, u, _unchanging_backward_pass(problem, u))
        g = derivative.gradient(problem.x, u)
    except RuntimeError as error:
        if not str(error).startswith("view size is not compatible"):
            raise
        text = " ".join(str(error).split())[:200]
        raise _contract_failure(
            problem,
            "f or its backward pass fails at these arguments, since an array is not contiguous (.contiguous() makes it "
            f"so): {text}",
        ) from error
    _check_drawing(problem, u, g)
    if derivative.backward_pass is None:
        _check_repeated(problem, u, g, derivative.gradient(problem.x, u.copy()), nearby)
        return u, g
    factor = LARGE_UPSTREAM * 2.0 ** (u.size - 1).bit_length()
    # The factor is negative, so that a backward pass that treats the two signs differently is noticed, too.
    linear = not problem.half_precision and _is_linear_if_large(problem, -factor * u, -factor * g)
    if not linear:
        _check_linearity(problem, u, g, nearby, factor)
        _check_zero_upstream(problem, u, g)
    for variant, weights, expected in _upstream_variants(problem, u, g, strided=not linear):
        try:
            found = derivative.backward_pass(problem.arguments.unpack(problem.x), weights)
        except Exception as error:  # a user's backward pass may raise anything
            text = " ".join(str(error).split())[:200]
            raise _contract_failure(
                problem,
                f"the backward pass fails if the upstream gradient is {variant}: {type(error).__name__}: {text}",
            ) from error
        # In half precision, the gradient of a bias before a batch norm is nothing but rounding of larger terms.
        largest = np.full(g.size, np.max(np.abs(g[np.isfinite(g)]), initial=0.0)) if problem.half_precision else g
        at = _first_difference(problem, found, expected, largest)
        if at and not _is_rounding(problem, u, found - expected):
            raise _contract_failure(
                problem,
                f"the backward pass is wrong if the upstream gradient is {variant}: {_derivative_by(problem, at[1])} "
                f"is {found[at[1]]:.6g}, not {expected[at[1]]:.6g}",
            )
    return u, g


def _unchanging_backward_pass(problem: Problem, u: Vector) -> Vector:
    """Return what the backward pass gives for the cotangent `u`, and check that it changes no array that it gets.

    Raises:
        GradientMismatch: the backward pass changes an argument or the upstream gradient.
    """
    derivative = problem.derivative
    assert isinstance(derivative, ReverseMode)
    assert derivative.backward_pass is not None
    args, upstream = problem.arguments.unpack(problem.x), problem.outputs.unpack(u)
    g = derivative.backward_pass(args, upstream)
    if changed := problem.arguments.first_change(args, problem.x):
        raise _contract_failure(
            problem, f"the backward pass changes the argument {changed}; let it compute with a copy"
        )
    if changed := problem.outputs.first_change(upstream, u):
        raise _contract_failure(
            problem, f"the backward pass changes the upstream gradient, {changed}; let it make a copy"
        )
    return g


def _check_linearity(problem: Problem, u: Vector, g: Vector, nearby: Vector, factor: float) -> None:
    """Check that the backward pass gives the same gradient again, and is linear in the upstream gradient.

    Args:
        problem: the function, its derivative and the point.
        u: a cotangent, which is a vector of weights of the outputs.
        g: its gradient.
        nearby: another point, where the derivative was called before it was called at the problem's point.
        factor: a large number. The backward pass must be linear up to this factor, except in half precision.

    Raises:
        GradientMismatch: the backward pass is not linear, changes an array that it gets, or gives stored results.
        NotDeterministic: two calls gave different gradients.
    """
    derivative = problem.derivative
    assert isinstance(derivative, ReverseMode)
    assert derivative.backward_pass is not None
    scaled = _unchanging_backward_pass(problem, UPSTREAM * u)
    if not np.array_equal(scaled, UPSTREAM * g):  # if they are equal, the second call has given the same result
        again = derivative.backward_pass(problem.arguments.unpack(problem.x), problem.outputs.unpack(u))
        _check_repeated(problem, u, g, again, nearby)
    if (
        (at := _first_difference(problem, scaled, UPSTREAM * g))
        and (
            problem.half_precision or _first_difference(problem, scaled, UPSTREAM * g, _without_cancelling(problem, u))
        )
        and not (problem.half_precision and _is_linear(problem, UNDERFLOW_FACTOR * u))
    ):
        path, i = at
        what = "upstream gradient not used", f"Multiply what is returned for {path} by it"
        if _first_difference(problem, scaled, g):
            what = (
                "not linear in the upstream gradient",
                f"Multiply each term of what is returned for {path} by it once",
            )
        raise _contract_failure(
            problem,
            f"{what[0]}: {_derivative_by(problem, i)} is {g[i]:.6g}, with {UPSTREAM} times the upstream gradient "
            f"{scaled[i]:.6g}, not {UPSTREAM * g[i]:.6g}. {what[1]}",
        )
    if not problem.half_precision:
        found = derivative.gradient(problem.x, factor * u)
        if (
            np.isfinite(found).all()
            and (at := _first_difference(problem, found, factor * g, factor=factor))
            and _first_difference(problem, found, factor * g, factor * _without_cancelling(problem, u), factor=factor)
        ):
            raise _contract_failure(
                problem,
                f"not linear in the upstream gradient where that is large: {_derivative_by(problem, at[1])} is "
                f"{g[at[1]]:.6g}, with {factor:g} times the upstream gradient {found[at[1]]:.6g}, not "
                f"{factor * g[at[1]]:.6g}",
            )


def _check_zero_upstream(problem: Problem, u: Vector, g: Vector) -> None:
    """Check that the backward pass gives 0 for an upstream gradient of 0, up to a tolerance.

    If it gives another gradient, a term of the gradient does not contain the upstream gradient. `_check_linearity`
    misses such a term if it is small compared with `g`. It may be, for example, if the outputs are small: their weights
    `u`, and so `g`, are then large. Therefore the tolerance is rtol times g / max |u| here, where g / max |u| is about
    the gradient for an upstream gradient of order 1. There is a tolerance, since a backward pass that solves equations
    step by step may stop at a small residual.

    Nothing is checked if the backward pass raises an error, or gives inf or nan: it may multiply 0 by an infinite
    derivative, or divide by the norm of the upstream gradient.

    Args:
        problem: the function, its derivative and the point.
        u: a cotangent, which is a vector of weights of the outputs.
        g: its gradient.

    Raises:
        GradientMismatch: the gradient for an upstream gradient of 0 is not 0.
    """
    derivative = problem.derivative
    assert isinstance(derivative, ReverseMode)
    assert derivative.backward_pass is not None
    found = None
    # The user's code may divide by 0. Whatever it raises says nothing of the gradient at other upstream gradients.
    with contextlib.suppress(Exception), np.errstate(all="ignore"):
        found = derivative.backward_pass(problem.arguments.unpack(problem.x), problem.outputs.unpack(np.zeros(u.size)))
    if found is None or not found.any() or not np.isfinite(found).all():
        return
    factor = max(1.0, float(np.max(np.abs(u))))
    for path, place in problem.arguments.leaf_slices():
        size = float(np.max(np.abs(g[place][np.isfinite(g[place])]), initial=0.0))
        i = place.start + int(np.argmax(np.abs(found[place]))) if found[place].any() else place.start
        allowed = max(problem.atol, problem.rtol * size / factor, problem.smallest_normal)
        if place.stop > place.start and abs(found[i]) > allowed:
            raise _contract_failure(
                problem,
                f"the gradient for an upstream gradient of 0 is {found[i]:.6g} with respect to "
                f"{problem.arguments.element_name(i)}, and it must be 0. Multiply each term of what is returned "
                f"for {path} by the upstream gradient",
            )


def _check_zero_tangents(problem: Problem, derivative: ForwardMode, u: Vector, d: Vector, along: float) -> None:
    """Check that a jvp gives 0 for tangents of 0, up to a tolerance.

    If it gives another number, a term of the jvp does not contain the tangents, or tangents of 0 are a case of their
    own in the user's code. The tolerance is rtol times the derivative along tangents of order 1, as in
    `_check_zero_upstream`. Nothing is checked if the jvp raises an error, or gives inf or nan: it may multiply 0 by an
    infinite derivative, or divide by the norm of the tangents.

    Args:
        problem: the function, its derivative and the point.
        derivative: the jvp.
        u: a cotangent, which is a vector of weights of the outputs.
        d: a direction, whose entries are the tangents.
        along: the derivative of the weighted sum of the outputs along `d`.

    Raises:
        GradientMismatch: the derivative for tangents of 0 is not 0.
    """
    found = math.nan
    with contextlib.suppress(Exception), np.errstate(all="ignore"):  # the user's code may divide by 0
        found = derivative.slope(problem.x, u, np.zeros(d.size))
    size = math.fabs(along) / max(1.0, max_magnitude(d)) if math.isfinite(along) else 0.0
    if math.isfinite(found) and abs(found) > max(problem.atol, problem.rtol * size, problem.smallest_normal):
        raise _contract_failure(
            problem,
            f"jvp= gives {found:.6g} for tangents of 0, and it must give 0. Multiply each term of what it returns by "
            "the tangents",
        )


def _check_repeated(problem: Problem, u: Vector, g: Vector, again: Vector, nearby: Vector) -> None:
    """Check that two calls of the derivative at the problem's point have returned the same gradient.

    Args:
        problem: the function, its derivative and the point.
        u: the cotangent of the gradient: a weight for each output.
        g: the gradient of the first call at the point, before which the derivative was called nearby.
        again: the gradient of the second call at the point.
        nearby: the other point.

    Raises:
        GradientMismatch: the gradients differ, because the derivative uses what the function stored in the call before.
            This shows in further calls: each call at the point returns the first gradient if the call before was
            nearby, and the second gradient if the call before was at the point.
        NotDeterministic: the gradients differ for another reason.
    """
    derivative = problem.derivative
    assert isinstance(derivative, ReverseMode)
    try:
        problem.check_same_gradient(g, again)
    except NotDeterministic:

        def gradient(x: Vector) -> Vector:
            return derivative.gradient(x, u.copy())

        stored = False
        with contextlib.suppress(Exception):  # there may be no derivative nearby
            for _ in range(REPEATED_CALLS // 2):  # a coin would give such results by chance in few calls
                gradient(nearby)
                stored = all(np.array_equal(gradient(problem.x), each) for each in (g, again))
                if not stored:
                    break
        if stored:
            name = problem.arguments.element_name(int(np.argmax(g != again)))
            raise _contract_failure(problem, _stored_result(name)) from None
        raise


def _check_drawing(problem: Problem, u: Vector, g: Vector) -> None:
    """If f or its derivative uses a global random number generator, check that more calls give the same results.

    There are many more calls of f if f does not seed the generator, and many more of the derivative if that does not.

    Args:
        problem: the function, its derivative and the point.
        u: the cotangent of `g`: a weight for each output.
        g: the gradient for `u`.

    Raises:
        NotDeterministic: another call gave another result.
    """
    if not advanced_generator(problem.generators):
        return
    problem.check_random_numbers()
    for count in range(REPEATED_CALLS):
        again = problem.derivative.gradient(problem.x, u.copy())
        assert again is not None
        problem.check_same_gradient(g, again)
        if count == 0 and not advanced_generator(problem.generators):
            return  # f alone uses a generator, or seeds it


def check_additivity(problem: Problem, u: Vector, g: Vector, known_to: Vector) -> None:
    """Check that the gradient for a cotangent is the sum of the gradients for each of its entries alone.

    A cotangent is a vector of weights of the outputs, for which a backward pass computes the gradient of the weighted
    sum. For one entry alone, all other weights are 0.

    Args:
        problem: the function and its derivative.
        u: the cotangent.
        g: the gradient for this cotangent.
        known_to: for each element, a bound of the absolute error of the derivative of any single output with respect to
            it. A difference of the sum from `g` is no error if it is at most this bound times the sum of the absolute
            weights: terms may cancel in the gradients, so that only rounding is left.

    Raises:
        GradientMismatch: the sum of the gradients is not `g`.
    """
    alone = [
        u[j] * problem.derivative.gradient(problem.x, problem.unit_cotangent(j)) for j in np.flatnonzero(u).tolist()
    ]
    if len(alone) < 2:
        return
    total, usual = np.sum(alone, axis=0), np.sum(np.abs(alone), axis=0)
    unknown = np.abs(total - g) <= np.sum(np.abs(u)) * known_to
    if at := _first_difference(problem, np.where(unknown, g, total), g, usual):
        path, i = at
        raise _contract_failure(
            problem,
            f"not additive in the upstream gradient: {_derivative_by(problem, i)} is {g[i]:.6g}, and those of "
            f"single outputs add up to {total[i]:.6g}. Add up the terms that are returned for {path}",
        )


def check_no_stale_state(problem: Problem, u: Vector, before: Vector) -> None:
    """Check that the gradient at the problem's point is the same as before the function was called at other points.

    It would not be the same if each call of the function stored a result that the backward pass uses later. In PyTorch,
    and if the user gave a forward and a backward pass, the function is called elsewhere between the two passes. Then
    the backward pass runs a second time through the same graph or with the same cache, and must give the same gradient
    again: it must not change what the forward pass saved.

    Args:
        problem: the function and its derivative.
        u: a cotangent, which is a vector of weights of the outputs.
        before: the gradient for `u` before the function was called at other points.

    Raises:
        GradientMismatch: the gradient at the point has changed, or the second backward pass gives another gradient.
    """
    derivative = problem.derivative
    assert isinstance(derivative, ReverseMode)
    other = problem.arguments.rounded(problem.x + _distance(problem) * problem.scale)
    after = again = None
    if derivative.backward_twice is not None:
        args, elsewhere = problem.arguments.unpack(problem.x), problem.arguments.unpack(other)
        # PyTorch itself raises an error where f changes what it has saved, or frees the graph.
        with contextlib.suppress(Exception):
            after, again = derivative.backward_twice(args, elsewhere, problem.outputs.unpack(u))
    if after is None:
        problem.value(other)
        after = derivative.gradient(problem.x, u.copy())
    if at := _first_difference(problem, after, before, bits=REPEATED_BITS):
        name = problem.arguments.element_name(at[1])
        raise _contract_failure(problem, _stored_result(name))
    if again is not None and (at := _first_difference(problem, again, after, bits=REPEATED_BITS)):
        same = "with the same cache" if derivative.differentiable_outputs is None else "through the same graph"
        raise _contract_failure(
            problem,
            f"a second backward pass {same} gives another gradient: {_derivative_by(problem, at[1])} "
            f"is {again[at[1]]:.6g}, and was {after[at[1]]:.6g}. Does the backward pass change what f saved for it? "
            "Let it compute with a copy",
        )


def _without_cancelling(problem: Problem, u: Vector) -> Vector:
    """Return the gradient for the absolute values of the cotangent `u`, times the constant `CANCELLING`.

    A cotangent is a vector of weights of the outputs. The returned gradient is about as large as the terms of the
    gradient for `u`, which may cancel. If a backward pass adds up positive terms and negative terms separately, as that
    of logcumsumexp does, its rounding error is relative to these terms, and not to their sum.
    """
    derivative = problem.derivative
    assert isinstance(derivative, ReverseMode)
    return CANCELLING * derivative.gradient(problem.x, np.abs(u))


def _is_rounding(problem: Problem, u: Vector, off: Vector) -> bool:
    """Return whether a gradient may be off by `off` since it is a sum of terms that cancel, added in another order.

    The gradient for a bias before a batch norm is an example, which is 0 but for rounding. To see how large the terms
    are, the weights of the outputs in `u` are changed by a few last bits. The result is True if, in each array, `off`
    is at most several times as large as the change of the gradient that this causes.
    """
    derivative, random = problem.derivative, np.random.default_rng(0)
    assert isinstance(derivative, ReverseMode)
    g, bits = derivative.gradient(problem.x, u), CANCELLING * problem.eps
    others = [u * (1.0 + bits * random.choice([-1.0, 1.0], u.size)) for _ in range(4)]
    change = np.max([np.abs(derivative.gradient(problem.x, other) - g) for other in others], axis=0)
    return all(
        float(np.max(np.abs(off[place]))) <= CANCELLING * float(np.max(change[place]))
        for _, place in problem.arguments.leaf_slices()
        if off[place].any()
    )


def _is_linear(problem: Problem, u: Vector) -> bool:
    """Return whether the gradient is multiplied by the constant `UPSTREAM` if the cotangent `u` is multiplied by it.

    A cotangent is a vector of weights of the outputs. If the gradient is not finite, the result is False.
    """
    derivative = problem.derivative
    assert isinstance(derivative, ReverseMode)
    g, scaled = (derivative.gradient(problem.x, part * u) for part in (1.0, UPSTREAM))
    return bool(np.isfinite(g).all()) and not _first_difference(problem, scaled, UPSTREAM * g)


def _is_linear_if_large(problem: Problem, u: Vector, expected: Vector) -> bool:
    """Return whether the backward pass gives exactly the gradient `expected` for a large upstream gradient `u`.

    `expected` is the gradient of an earlier backward pass, and both `u` and `expected` were multiplied by the same
    large factor. The arrays of the upstream gradient are strided here. If the result is True, this backward pass, which
    is the second one, has shown several things: it gives the same gradient as the first one, the derivative is linear,
    also where the upstream gradient is large, and it is right where the upstream gradient is not contiguous. If the
    result is False, the caller has to check each of these by itself.
    """
    derivative = problem.derivative
    assert isinstance(derivative, ReverseMode)
    assert derivative.backward_pass is not None
    with contextlib.suppress(Exception):  # the caller calls the backward pass again, and reports its error
        upstream = _strided(problem, u)
        upstream = problem.outputs.unpack(u) if upstream is None else upstream
        return np.array_equal(derivative.backward_pass(problem.arguments.unpack(problem.x), upstream), expected)
    return False


def _is_strided_array(leaf: Any) -> bool:
    """Return whether `leaf` is an array that can be copied to memory with other strides: PyTorch's or numpy's."""
    return library_of(leaf) in ("torch", "numpy") and leaf.ndim > 0 and 0 not in leaf.shape


def _strided(problem: Problem, u: Vector) -> Any:
    """Return `u` in the structure of the result, in arrays that are not contiguous in memory; None if it has no array.

    `u` has weights of the outputs.
    """
    leaves = problem.outputs.variables(problem.outputs.unpack(u))
    arrays = [*map(_is_strided_array, leaves)]
    strided = [_non_contiguous(leaf) if array else leaf for leaf, array in zip(leaves, arrays, strict=True)]
    return problem.outputs.with_variables(strided) if any(arrays) else None


def _upstream_variants(problem: Problem, u: Vector, g: Vector, *, strided: bool) -> Iterator[tuple[str, Any, Vector]]:
    """Yield upstream gradients of unusual kinds, such as arrays that are not contiguous in memory.

    Each item is a triple: a name of the kind for messages, the upstream gradient in the structure of the result, and
    the gradient that the backward pass should return for it. `u` has weights of the outputs as a vector, and `g` is the
    gradient that the backward pass returns for these weights. `strided` tells whether arrays that are not contiguous
    are among them.
    """
    outputs, derivative = problem.outputs, problem.derivative
    assert isinstance(derivative, ReverseMode)
    if strided and (weights := _strided(problem, u)) is not None:
        yield "not contiguous (.contiguous() makes it so)", weights, g
    leaves = outputs.variables(outputs.unpack(u))
    arrays = [*map(_is_strided_array, leaves)]
    in_torch = any(is_tensor(leaf) and array for leaf, array in zip(leaves, arrays, strict=True))
    if in_torch and problem.all_outputs_finite:
        wide = [leaf.new_full((), 0.5).expand(leaf.shape) for leaf in leaves]
        halves = np.full(u.size, 0.5)
        yield "expanded, as that of y.sum() is", outputs.with_variables(wide), derivative.gradient(problem.x, halves)
    if derivative.differentiable_outputs is not None and len(leaves) > 1 and not outputs.has_array_parts:
        for k in derivative.differentiable_outputs(problem.arguments.unpack(problem.x))[:MAX_SINGLE_OUTPUTS]:
            path, place = outputs.leaf_slices()[k]
            alone = np.zeros(u.size)
            alone[place] = u[place]
            some = outputs.with_variables([leaf if i == k else None for i, leaf in enumerate(leaves)])
            yield f"None but for {path}", some, derivative.gradient(problem.x, alone)


def _non_contiguous(w: Any) -> Any:
    """Return an array that has the numbers of `w` but is not contiguous: nans lie between the numbers in memory."""
    *outer, last = w.shape
    shape = (*outer, last + 1, 2)
    spread: Any = w.new_full(shape, math.nan) if is_tensor(w) else np.full(shape, math.nan, w.dtype)
    spread[..., :last, 0] = w
    return spread[..., :last, 0]


def _first_difference(
    problem: Problem,
    found: Vector,
    expected: Vector,
    usual: Vector | None = None,
    bits: float = EQUAL_BITS,
    factor: float = 1.0,
) -> tuple[str, int] | None:
    """Return the first element in which two gradients differ by more than the tolerance; None if there is none.

    The element is returned as a pair of the path of its array, such as "x['w']", and its index in the vector of all
    elements. Elements whose `expected` gradient is not finite are not compared.

    Args:
        problem: the function and its derivative.
        found: the gradient that the backward pass has returned.
        expected: the gradient that `found` should be equal to.
        usual: numbers about as large as the terms of the sum that gives `expected`; by default `expected` itself. If
            these terms cancel, rounding is larger than `expected` tells.
        bits: how many last bits of the largest entry of an array its gradients may differ by. They may differ by rtol
            times the largest entry in any case.
        factor: if `expected` is the product of a factor and another gradient, this factor. It makes the tolerance
            larger: libraries such as XLA round numbers below the smallest normal one to 0 inside of a backward pass,
            and the factor multiplies the error that this makes.
    """
    lost = problem.smallest_normal * (1.0 if problem.half_precision else UNDERFLOW_FACTOR * factor)
    usual = expected if usual is None else usual
    for path, place in problem.arguments.leaf_slices():
        a, b = found[place], expected[place]
        if np.array_equal(a, b):
            continue
        finite = np.isfinite(b)
        if not finite.any():
            continue
        with np.errstate(all="ignore"):
            both = [b] if usual is expected else [b, usual[place]]
            size = max(max_magnitude(x if finite.all() else x[finite]) for x in both)
            share = max(bits * problem.eps, problem.rtol)
            allowed = share * (size if math.isfinite(size) else 0.0) + lost
            other = finite & ~(np.abs(a - b) <= allowed)
        if other.any():
            return path, place.start + int(np.argmax(other))
    return None


def _derivative_by(problem: Problem, i: int) -> str:
    """Return the name of the derivative with respect to the element with the index `i`, for messages."""
    return f"d/d{problem.arguments.element_name(i)}"


def _distance(problem: Problem) -> float:
    """Return how far from the problem's point the function is called, to find out whether it stores results.

    The distance of each element is relative to its entry in `Problem.scale`.
    """
    return NEARBY_IN_HALF if problem.half_precision else NEARBY_DISTANCE


def _stored_result(name: str) -> str:
    """Return a message: the gradient for the argument `name` depends on earlier calls of f."""
    return f"the gradient for {name} changes after calls of f elsewhere: does f store a result?"


def _contract_failure(problem: Problem, what: str) -> GradientMismatch:
    return GradientMismatch(f"{problem.heading}: {what}")
