"""`gradcheck`: compare the gradient of a function with numerical derivatives that estimate their own error.

The arguments decide what is checked. If they are numbers or numpy arrays, and the user gives no derivative, the
function is called with `Value`s, and `value_check` compares each of its derivatives, up to any order, on its own. If
the user gives a derivative, or the arguments are PyTorch or jax arrays, `array_check` packs the arguments into one
vector of doubles (`vectors`, `libraries`). It then calls the user's derivative, or differentiates with PyTorch or jax
(`analytic`). In both cases, the derivatives are compared with numerical ones (`compare`, `numerical`), and the result
is reported (`report`).
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from ..ops.number import flag, whole_number
from .inputs import pytrees
from .inputs.forward_backward import (
    args_as_floats,
    is_compiled,
    is_layer,
    pair_of_compiled,
    pair_of_functions,
    pair_of_layer,
    with_compiled_static,
)
from .inputs.libraries import is_any_array, library_of
from .inputs.random_state import restored_generators
from .inputs.subject import make_subject, parameter_names
from .numeric.thresholds import DEFAULT_ATOL, DEFAULT_RTOL
from .report import GradientMismatch, NothingCompared, raise_or_warn
from .report.result_hooks import Compared, notify_failure
from .value_checks.value_check import compare_values

__tracebackhide__ = True  # pytest leaves out the frames of this file


LEAVE_OUT = "leave it out, since"
OTHER_OPTIONS = {  # of PyTorch's `gradcheck`, jax's `check_grads` and others: what to write instead
    "eps": f"{LEAVE_OUT} the steps of the numerical derivatives are chosen by their estimated error",
    "fast_mode": f"{LEAVE_OUT} large arrays are always compared along random directions; to compare each element, "
    "write exhaustive=True",
    "raise_exception": "a mistake always raises GradientMismatch; to go on after it, write `except GradientMismatch`",
    "nondet_tol": f"{LEAVE_OUT} a function that draws random numbers has no derivative; let it seed its generator",
    "modes": f"{LEAVE_OUT} the reverse mode is checked; to check a forward mode, give its function as jvp=",
    "check_forward_ad": "to check a forward mode, give its function as jvp=",
    "check_batched_grad": f"{LEAVE_OUT} vmap of a backward pass is not checked",
    "check_grad_dtypes": f"{LEAVE_OUT} types of gradients are not checked",
    "check_backward_ad": f"{LEAVE_OUT} the backward pass is always checked",
    "check_undefined_grad": f"{LEAVE_OUT} upstream gradients that are None are always tried",
    "masked": f"{LEAVE_OUT} sparse tensors are always checked by their stored entries",
    "grad": "to check a gradient that you wrote, give it as gradient=",
    "df": "to check a gradient that you wrote, give it as gradient=",
    "grad_fn": "to check a gradient that you wrote, give it as gradient=",
    "jac": "to check a Jacobian matrix that you wrote, give it as jacobian=",
    "epsilon": f"{LEAVE_OUT} the steps of the numerical derivatives are chosen by their estimated error",
    "h": f"{LEAVE_OUT} the steps of the numerical derivatives are chosen by their estimated error",
    "tol": "give rtol= or atol=",
    "inputs": "give the arguments of f one after the other: gradcheck(f, x, y)",
}
NO_SUCH_OPTION = "keyword arguments of f are given as kwargs={...}"


def gradcheck(
    f: Callable[..., Any],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    static: Collection[str | int] = (),
    gradient: Callable[..., Any] | None = None,
    jacobian: Callable[..., Any] | None = None,
    vjp: Callable[..., Any] | None = None,
    jvp: Callable[..., Any] | None = None,
    backward: Callable[..., Any] | None = None,
    order: int = 1,
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
    exhaustive: bool = False,
    like: Callable[..., Any] | None = None,
    **others: Any,
) -> Compared:
    """Compare the derivatives of `f` at `args` with numerical ones; return what was compared if they agree.

    The result is always true, so `assert gradcheck(f, x)` works, as with PyTorch.

    If you give a derivative (`gradient`, `jacobian`, `vjp` or `jvp`), it is checked. Otherwise the derivative that the
    arguments' library computes is checked: by PyTorch's backward pass for tensors, by jax's vjp for jax arrays, and by
    micrograd_cn for numbers and numpy arrays. In the last case `f` is called with `Value`s, or arrays of `Value`s, as
    in `functional.grad` and `compile`. It takes the branches that it takes for numbers, also at `n == 2`, `n in (2, 3)`
    and `if n:`. Of a function that `compile` made, the derivative that its machine code computes is checked.

    A derivative agrees if it differs from the numerical one by at most the largest of three numbers: atol, rtol times
    the larger of the two derivatives, and five times the estimated error of the numerical derivative. This estimate
    includes the rounding of `f`, which is measured in the type of its arrays, also in float16 and bfloat16. At a kink,
    a derivative agrees if it lies between the two one-sided derivatives; nan at a kink is a convention and is not
    compared. At the edge of the domain, a derivative agrees if it is the one-sided derivative.

    All derivatives of a function of `Value`s, and up to 16 of any other function, are compared one by one. If there are
    more, the outputs are added up with random weights, and the sum is differentiated along four random directions. A
    direction says how far each element, which is one number of an argument, moves. If the arguments hold several
    arrays, two directions move all arrays, and each array has a direction that moves it alone, so no array hides behind
    another; if there are more than 12 arrays, some share such a direction. Derivatives with respect to eight single
    elements are compared, too. Among them is the element for which derivative times size is largest. If the derivative
    along a direction disagrees, bisection finds an element whose derivative is far off, and it is compared as well. An
    array of the result that changes far less than the others has a direction in which only its outputs are added up.

    As long as nothing looks wrong, `f` is called at most 300 times, however many elements there are. Each comparison
    has a share of these calls, and a derivative whose share does not suffice for a verdict counts as not compared. In
    half precision (float16 and bfloat16) there may be a few thousand calls, since a difference then counts as a mistake
    only if it also shows at points next to `args`, where rounding differs. In float32, a difference counts as a mistake
    only if the Taylor remainder f(x + h) - f(x) - h * derivative is of first order in h. If rounding or a nearby kink
    causes the difference, the remainder has another order.

    Rules that any derivative must keep are checked, too. The derivative must change no argument. A backward pass takes
    the upstream gradient, the derivative of some final result with respect to each output of `f`. The backward pass
    must be linear in the upstream gradient up to rtol, even if the upstream gradient is large or 0, must not change the
    upstream gradient, and must give the same gradient again after other calls. It must accept an upstream gradient that
    is not contiguous in memory. In PyTorch, it must also accept one that `expand` has made, and one that is None for
    some outputs, and must give the same gradient if it runs twice through one graph, and if `f` is called elsewhere
    before it runs. The same holds for a `backward` that you give, and its cache.

    A function that uses a global random number generator without seeding it is called 32 times more. If the results
    differ, the check raises `NotDeterministic`. If all of them are equal, a warning says that the function may still
    not be deterministic. A function whose values near `args` jump is called again at the jump.

    What `gradcheck` cannot see:

    - a mistake that shows only far from `args`, or a mistake in `f` itself;
    - a random number generator or a state of the function's own that changes its results only now and then;
    - a mistake that is smaller than the tolerance, or smaller than the noise of `f`;
    - in arrays, a mistake in a derivative that is far smaller than others. There, rtol is relative to at least a
      hundredth of a typical derivative. If rounding hides a derivative of less than a 10,000th of the gradient's norm,
      it counts as right. Only where all derivatives are compared one by one, since there are at most 16, it counts as
      not compared if the estimated error of the numerical derivative is thousands of times as large as itself;
    - a backward pass of complex PyTorch tensors that changes its upstream gradient in place;
    - in large arrays, a mistake that all random directions miss, such as one of less than about rtol times the norm of
      the whole gradient; `exhaustive=True` compares each element;
    - at a kink, whether the gradient is the intended one: any value between the two one-sided derivatives agrees;
    - in half precision, whether a difference is a mistake or comes from rounding of values that do not depend on
      `args`, or from rounding that goes the same way over steps as large as 16 times the numbers in `args`;
    - in half precision, a mistake of a few last bits that is much smaller over steps of 16 times the numbers in `args`;
    - whether a difference is a mistake or comes from a feature of `f` that is narrower than the finest steps, such as
      the clamp of x / max(|x|, 1e-12) at 0, or the poles of lgamma at -300000 in float32;
    - whether a difference is a mistake or comes from a staircase that rounding makes of `f`, with treads wider than the
      finest steps. Examples are 1 + erf(x) at -5, and 1 - cos(x) at 1e-65, where no digit of the derivative is left;
    - whether a step function with high steps, such as floor or a quantiser, has a gradient of 0 on purpose: it counts
      as right. A straight-through gradient counts as wrong, and as not compared if rounding may make such steps; for
      such a gradient, write `like`.

    Args:
        f: takes and returns numbers, arrays (of numpy, PyTorch, jax, or with `__array__` or `tolist`), or nested lists,
            tuples, dicts, dataclasses and pytrees of them. A PyTorch module is checked with all its parameters, and its
            buffers are left alone. A `Module` of this package is checked with its parameters, too; if it has more than
            100 (8 for second derivatives), a sample of them is compared. For PyTorch's `autograd.Function`, give your
            class itself or its method `apply`. Of an object with methods `forward(x)` and `backward(dout)`, these are
            checked, and its attributes are constants. A number that a function of `Value`s returns is a constant, and
            its derivative is 0.
        args: the arguments of `f`, one after the other or, as with PyTorch, in one tuple; a `Value` stands for its
            data. If `f` is a function, module or `autograd.Function` of PyTorch or jax, numpy arrays are converted,
            unless a derivative is given or an array of that library is among the arguments. If a derivative is given,
            or there are PyTorch or jax arrays, everything that is not a floating-point number, such as integers,
            booleans and text, is a constant. For a function of `Value`s, booleans, masks, None, text, functions, slices
            and members of an `Enum` are constants. A whole number is a number like any other, unless `f` asks whether
            it equals a number, uses it as a condition, a count, an index or a key, or looks at its type or its text:
            then it is a constant, and the result names it. It is also a constant if `f` jumps at this number, or is not
            defined for numbers next to it, as x ** n is not if x is -2. For other functions, complex arrays and numbers
            are checked by their real and imaginary parts: as in PyTorch, the gradient with respect to z is dL/dz.real +
            1j * dL/dz.imag, and the upstream gradient of a complex result has the same form. Derivatives of jax itself,
            such as those of `custom_vjp`, keep the convention of jax. Sparse PyTorch tensors (COO, CSR, CSC) and sparse
            matrices of scipy (csr, csc, coo) are checked by their stored entries. If the arguments have no element,
            only the shapes of gradients are checked.
        kwargs: keyword arguments of `f` and of its derivative; they are constants.
        static: names or indices of positional arguments that are constants.
        gradient: `(*args)` -> the gradient of an `f` with a single output. It has the structure of the argument, which
            means the same nesting and the same shapes; for several arguments, it is a tuple. Constants may be left out
            of the tuple. The function may return the value too: `(value, gradient)`; the value is then compared with
            that of `f`. If `f` itself returns such a pair, write `gradient=f`. None for a floating-point argument
            stands for 0.
        jacobian: `(*args)` -> the output's structure, in which each number or array is replaced by the arguments'
            structure. An output of shape s and an argument of shape t have an array of shape s + t.
        vjp: `(*args, upstream)` -> the gradient of the sum of all outputs times their entries in `upstream`, in the
            structure that `gradient` returns. `upstream` has the structure of the output.
        jvp: `(*args, tangents)` -> the derivative of the outputs along `tangents`, which has the structure of the
            argument; for several arguments, it is a tuple.
        backward: `(dout, cache)` -> the gradient, as from `vjp`. `f` then returns `(out, cache)`, and `out` is
            differentiated.
        order: how many times to differentiate a function of `Value`s, or of PyTorch or jax arrays.
        rtol: relative tolerance; by default 1e-6, and up to 5e-3 in types that have fewer digits than float64.
        atol: absolute tolerance. By default, it is 1e-9 for functions of `Value`s and 0 for all others. The default of
            1e-9 does not excuse a derivative that is off by more than a thousandth, if the numerical one is known to
            four digits.
        seed: the seed of the random directions and weights.
        exhaustive: whether the derivatives with respect to all elements of large arrays are compared, and not only to
            eight of them. This takes about six calls of `f` for each element.
        like: a surrogate, a function of the same arguments. The derivative of `f` is compared with numerical ones of
            the surrogate: write `gradcheck(ste, x, like=lambda x: x)` for a straight-through estimator. This works only
            with `order=1`.
        others: options of the `gradcheck` of PyTorch and the `check_grads` of jax. They are refused, and the message
            says what to write instead.

    Returns:
        The comparisons of derivatives with numerical ones, as an object that is always true. Its `repr` says up to
        which size noise may hide mistakes in large arrays.

    Raises:
        GradientMismatch: an AssertionError with a table of the derivatives, or with the rule that the backward pass
            breaks.
        NothingCompared: no derivative could be compared, for example since the point is outside the domain, at a jump
            or at a pole, or since there are no arguments.
        TooNoisy: a subclass of NothingCompared. Rounding hides the derivatives. In half precision, the warning
            PartlyCompared is given instead.
        NotDeterministic: a subclass of NothingCompared. Two calls at the same point gave different results.
        TypeError: an argument holds something that is not a number, there is no derivative to check, you gave several
            derivatives, or an option does not exist.
        ValueError: `order` is less than 1, or more than 1 where only 1 works; a tolerance is negative; or a function
            that you gave returns another structure than is described above.
        ImportError: numpy is needed and not installed.

    Warns:
        PartlyCompared: some derivatives could not be compared. The message names their arguments, or says that `f`
            draws random numbers. In large arrays of float32 and half precision, it also says if noise hides mistakes of
            more than a tenth of the gradient's norm.

    >>> gradcheck(lambda x, w: (x * w).tanh(), 0.5, -2.0, order=2)
    <6 derivatives agree>
    >>> import math
    >>> assert gradcheck(lambda x: math.exp(-x * x), 0.5, gradient=lambda x: -2.0 * x * math.exp(-x * x))
    """
    for name in others:
        raise TypeError(f"gradcheck: there is no option {name}=; {OTHER_OPTIONS.get(name, NO_SUCH_OPTION)}")
    given = {"gradient": gradient, "jacobian": jacobian, "vjp": vjp, "jvp": jvp, "backward": backward}
    derivatives = {name: derivative for name, derivative in given.items() if derivative is not None}
    order = whole_number("gradcheck: order", order)
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if tolerance is not None and not tolerance >= 0.0:
            raise ValueError(f"gradcheck: {name} must be 0 or more, got {tolerance}")
    if len(derivatives) > 1:
        raise TypeError(f"gradcheck: give one derivative, not {' and '.join(f'{name}=' for name in derivatives)}")
    for name, derivative in derivatives.items():
        if not callable(derivative):
            found = type(derivative).__name__
            raise TypeError(f"gradcheck: {name}= must be a function of the arguments, got {found}; write {name}=df")
    written = derivatives | ({} if like is None else {"like": like})  # what a message repeats
    if backward:
        f, pulled = pair_of_functions(f, backward)
        derivatives = {"backward": pulled}
    elif gradient is not None and gradient is f:
        f, derivatives = _part_of_pair(f, 0), {"gradient": _part_of_pair(f, 1)}
    elif not derivatives and is_compiled(f):
        if order > 1:
            raise ValueError("gradcheck: order= is not for compiled functions; give the function without compile")
        static = with_compiled_static(f, args, static)
        args = args_as_floats(f, args, static)
        f, pulled = pair_of_compiled(f)
        derivatives = {"vjp": pulled}
    elif not derivatives and is_layer(f):
        f, pulled = pair_of_layer(f)
        derivatives = {"backward": pulled}
    if not derivatives:
        _refuse_positional_derivative(f, args, static)
    exhaustive = flag("gradcheck: exhaustive", exhaustive)
    chosen = {"rtol": rtol, "atol": atol, "seed": seed or None, "exhaustive": exhaustive or None}
    options = {name: x for name, x in chosen.items() if x is not None}
    subject = replace(
        make_subject(f, args, kwargs, static, not derivatives), order=order, derivatives=written, options=options
    )
    if not subject.args and not subject.parameters:
        raise NothingCompared(
            f"gradcheck of {subject.short_name} compared nothing: give the arguments of f at which its gradient is "
            "checked: gradcheck(f, x)"
        )
    derivatives = {name: functools.partial(df, **subject.keywords) for name, df in derivatives.items()}
    leaves = pytrees.leaves(subject.args)
    foreign = derivatives or any(library_of(x) in ("torch", "jax") for x in leaves)
    surrogate, constants = None, list[str]()
    if like is not None:
        if order > 1:
            raise ValueError("gradcheck: like= is for order=1; check a second derivative by giving the gradient as f")
        other = make_subject(like, args, kwargs, static, not derivatives)
        surrogate = _without_parameters(other.f) if subject.is_module and not other.is_module else other.f
    if derivatives and order > 1:
        raise ValueError(
            "gradcheck: order= is for functions of Values, torch or jax; to check a second derivative that you wrote, "
            "give the gradient as f, and its derivative as jacobian="
        )
    with restored_generators() as generators:
        if foreign:
            try:
                from .arrays.array_check import compare_arrays
            except ModuleNotFoundError as error:
                raise ImportError(
                    "gradcheck of other functions than those of Values needs numpy: pip install numpy"
                ) from error
            try:
                comparisons, half_precision, rtol = compare_arrays(
                    subject, derivatives, order, rtol, atol, seed, exhaustive, surrogate, generators
                )
            except GradientMismatch:
                notify_failure(subject.short_name)
                raise
        else:
            rtol = DEFAULT_RTOL if rtol is None else rtol
            half_precision, (comparisons, constants) = False, compare_values(subject, order, rtol, atol, surrogate)
            atol = DEFAULT_ATOL if atol is None else atol
    raise_or_warn(subject, comparisons, half_precision, stacklevel=2, rtol=rtol, atol=atol or 0.0)
    return Compared(tuple(comparisons), tuple(constants))


def _without_parameters(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that ignores its first argument, a dict of parameters, and calls `f` with the others."""
    return lambda _, *args, **keywords: f(*args, **keywords)


def _part_of_pair(f: Callable[..., Any], part: int) -> Callable[..., Any]:
    """Return a function that calls `f`, which returns a pair, and returns item `part` of the pair, which is 0 or 1.

    The items of the pair are the value and the gradient. If `f` does not return a pair, the function returns the whole
    result of `f`. Then `f` is its own derivative, as exp is.
    """

    @functools.wraps(f)
    def of_pair(*args: Any, **keywords: Any) -> Any:
        found = f(*args, **keywords)
        return found[part] if isinstance(found, tuple) and len(found) == 2 else found

    return of_pair


def _refuse_positional_derivative(f: Callable[..., Any], args: tuple[Any, ...], static: Collection[str | int]) -> None:
    """Raise TypeError if the first or last argument is a function that seems to be the derivative to check.

    A derivative must be given by keyword, as in `gradient=df`. An argument that `static` lists, by its name or index,
    is not refused.
    """
    for k in dict.fromkeys((len(args) - 1, 0) if args else ()):
        x = args[k]
        if not isinstance(x, (types.FunctionType, types.BuiltinFunctionType, functools.partial)):
            continue
        if {k, k - len(args), parameter_names(f, len(args))[k]} & {*static}:
            continue
        if _takes(f, args) and (any(map(is_any_array, pytrees.leaves(args))) or not _takes(f, args[:-1])):
            continue  # f takes a function, which is a constant
        name = getattr(x, "__name__", "df")
        name = name if name.isidentifier() else "df"
        raise TypeError(
            f"gradcheck: an argument of f is a function; to check it as the gradient of f, write "
            f"gradcheck(f, x, gradient={name}), or jacobian=, vjp=, jvp=; if f takes it, write static=[{k}]"
        )


def _takes(f: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    """Return whether `f` can be called with as many arguments as `args` has; False if its signature is not known."""
    try:
        inspect.signature(f).bind(*args)
    except (TypeError, ValueError):
        return False
    return True
