"""Turn a program into the functions that `scipy.optimize.minimize` takes."""

from __future__ import annotations

import copy
import inspect
import sys
from typing import Any

from ...ops.number import flag
from ..derivatives import Structure
from ..program import Program
from .jit import CompiledFunction

# What the methods of `scipy.optimize.minimize` call. Those that are not here take a Hessian, which may be sparse.
GRADIENT_FREE = {"nelder-mead", "powell", "cobyla", "cobyqa"}
HESSIAN_FREE = {"cg", "bfgs", "l-bfgs-b", "tnc", "slsqp"}
DENSE_HESSIAN = {"dogleg", "trust-ncg", "trust-krylov", "trust-exact"}


def scipy_functions(
    program: Program | CompiledFunction, dense: bool | None = None, *, method: Any = None
) -> dict[str, Any]:
    """Return the arguments with which `scipy.optimize.minimize` minimises the output of a program over its inputs.

    With `method`, the arguments are the functions that this method of `minimize` calls. Without it they are the
    functions `fun`, `jac` and `hess`. `minimize` then warns of those that its method does not call: its default method,
    BFGS, calls no `hess`.

    Args:
        program: a program with one output; or a compiled function of one argument, a vector, that returns one number.
        dense: whether `hess` returns a numpy array and not a sparse matrix. By default it returns an array for the
            methods that need an array: "trust-ncg", "trust-krylov", "trust-exact" and "dogleg".
        method: the name of a method of `minimize`, or a function that is a method of your own. The returned dict has it
            as well, so `minimize` gets it too.

    Returns:
        a dict with some of `fun`, `jac` and `hess`, and with `method` if it is given. Each function takes a numpy
            vector with the numbers of the inputs. `fun` returns a float, `jac` a vector, and `hess` an array or a
            `scipy.sparse.csr_array`.

    Raises:
        ImportError: numpy or scipy is not installed.
        TypeError: `program` is neither a program nor a compiled function, the function does not take one argument, or
            `dense` is not a bool.
        ValueError: the program has several outputs. If `program` is a function, one of the returned functions raises
            this when it is called.
        RuntimeError: the output is a constant, which has no gradient, and the method needs a gradient.

    >>> from scipy.optimize import minimize
    >>> from micrograd_cn import Value
    >>> from micrograd_cn.compiler import compile
    >>> x, y = Value(0), Value(0)
    >>> program = compile(100 * (y - x**2) ** 2 + (1 - x) ** 2, [x, y])
    >>> found = minimize(x0=[-1.2, 1.0], **scipy_functions(program, method="trust-constr"))
    >>> [round(float(x), 6) for x in found.x]
    [1.0, 1.0]
    >>> f = compile(lambda v: 100 * (v[1] - v[0] ** 2) ** 2 + (1 - v[0]) ** 2)
    >>> [round(float(x), 4) for x in minimize(x0=[-1.2, 1.0], **scipy_functions(f, method="BFGS")).x]
    [1.0, 1.0]
    """
    try:
        import scipy.sparse  # noqa: F401 -- so its absence, or that of numpy, is noticed here
    except ImportError as error:
        raise ImportError("scipy_functions() needs numpy and scipy: pip install scipy") from error
    if isinstance(dense, (list, tuple)) or hasattr(dense, "__array__"):
        raise TypeError(
            "scipy_functions() takes no samples, only a function of the vector that is to be found; write "
            "scipy_functions(compile(f)) with a function f(x) that computes the loss of all samples itself"
        )
    if dense is not None:
        dense = flag("scipy_functions(): dense", dense, "method")
    named = method.lower() if isinstance(method, str) else ""
    names = ["fun", "jac", "hess"][: 1 if named in GRADIENT_FREE else 2 if named in HESSIAN_FREE else 3]
    as_array = named in DENSE_HESSIAN if dense is None else dense
    if isinstance(program, Program):
        _check_one_output(program, "the program has a list of outputs")
        if "jac" in names:
            # If there is no gradient, this raises now, and not in the first call of `minimize`
            program.derivative_for_calls("hessian" if "hess" in names else "value_and_grad")
    elif isinstance(program, CompiledFunction):
        _check_one_argument(program)
    else:
        what = getattr(program, "__name__", type(program).__name__)
        raise TypeError(
            f"scipy_functions() needs a program or a compiled function, got {what}; write "
            "scipy_functions(compile(f), ...)"
        )

    found = _Objective(program, with_gradient="jac" in names, as_array=as_array)
    functions: dict[str, Any] = {"fun": found.value, "jac": found.gradient, "hess": found.hessian}
    return {name: functions[name] for name in names} | ({} if method is None else {"method": method})


class _Objective:
    """The value, the gradient and the Hessian of a program or function of a vector, for `scipy.optimize.minimize`.

    Args:
        program: the program or the compiled function.
        with_gradient: whether the method of `minimize` asks for gradients, too. `value` then also computes the
            gradient.
        as_array: whether a Hessian is a numpy array. If not, it is a sparse matrix.
    """

    def __init__(self, program: Program | CompiledFunction, with_gradient: bool, as_array: bool) -> None:
        self._program, self._with_gradient, self._as_array = program, with_gradient, as_array
        self._numpy = sys.modules["numpy"]
        self._unbranched: dict[Any, Program] = {}  # for all vectors of a shape, if the function never branches there
        self._checked: set[Program] = set()
        self._sparse: dict[Program, SparseMatrices] = {}
        # Methods ask for the value and then for the gradient at the same point
        self._last: list[tuple[Any, float, Any]] = []

    def _at(self, x: Any) -> tuple[Program, Any]:
        """Return the program to run at the point `x`, and the point as a matrix with one row.

        If the function has branches, each may have a program of its own.

        Raises:
            ValueError: the function is not what it was when its program was made.
        """
        vector = self._numpy.array(x, float, ndmin=1)
        if isinstance(self._program, Program):
            return self._program, vector.reshape(1, -1)
        self._program.compare_if_due(vector)
        found = self._unbranched.get(vector.shape)
        if not found:
            recording = self._program.recording_of(vector)
            found = recording.program
            if found not in self._checked:
                _check_one_output(found, f"{getattr(self._program, '__name__', 'the function')} returns a list")
                self._checked.add(found)
            if not recording.guards.guards:
                self._unbranched[vector.shape] = found
        return found, vector.reshape(1, -1)

    def _value_and_gradient(self, x: Any) -> tuple[float, Any]:
        here, row = self._at(x)
        point = here, row.tobytes(), here.compiled.data()  # the parameters' data are another object once they change
        for known, value, gradient in self._last:
            if known[:2] == point[:2] and known[2] is point[2]:
                return value, gradient
        (value,), (gradient,) = here.value_and_grad(row, "inputs", each=True)
        self._last[:] = [(point, float(value), gradient)]
        return float(value), gradient

    def value(self, x: Any) -> float:
        """Return the output at the point `x`."""
        here, row = self._at(x)
        if self._with_gradient and here.has_gradient:
            return self._value_and_gradient(x)[0]
        return float(here.forward(row)[0])

    def gradient(self, x: Any) -> Any:
        """Return the gradient at the point `x`."""
        return self._numpy.array(self._value_and_gradient(x)[1])

    def hessian(self, x: Any) -> Any:
        """Return the Hessian at the point `x`."""
        here, row = self._at(x)
        structure = here.derivative_for_calls("hessian").structure
        if self._as_array:
            return here.hessian(row, dense=True, out=self._numpy.empty(structure.shape))
        matrices = self._sparse.get(here) or self._sparse.setdefault(here, SparseMatrices(structure))
        return matrices.with_entries(here.hessian(row, out=self._numpy.empty(structure.entries)))


def _check_one_output(program: Program, what: str) -> None:
    """Raise ValueError if a program has several outputs.

    `what` is the part of the message that says what has several outputs, such as "f returns a list".
    """
    if program.forward(sys.modules["numpy"].empty((0, len(program.inputs)))).ndim > 1:
        raise ValueError(
            f"scipy_functions() needs one output, the number to minimise, but {what}; compile one Value, such as the "
            "sum of the outputs' squares"
        )


class SparseMatrices:
    """Make `scipy.sparse.csr_array`s whose entries have the positions that `structure` lists, in its order.

    scipy sorts and checks the positions only once. To copy them for each matrix takes a tenth of that time. Without
    copies, matrices would share memory, and a user may change one in place.

    >>> matrices = SparseMatrices(Structure((1, 0), (0, 1), (2, 2), (False, False)))
    >>> matrices.with_entries([3.0, 4.0]).toarray().tolist()
    [[0.0, 4.0], [3.0, 0.0]]
    """

    def __init__(self, structure: Structure) -> None:
        import numpy as np
        from scipy.sparse import coo_array

        numbered = coo_array((np.arange(float(structure.entries)), structure), shape=structure.shape).tocsr()
        self._order = numbered.data.astype(np.intp)  # for each entry of the matrix, its index in `structure`
        self._template = numbered

    def with_entries(self, entries: Any) -> Any:
        """Return a matrix with these entries, one for each position of the matrices' structure, in the same order."""
        import numpy as np

        made = copy.copy(self._template)  # skips the checks of the constructor
        made.data, made.indices, made.indptr = np.take(entries, self._order), made.indices.copy(), made.indptr.copy()
        return made


def _check_one_argument(function: CompiledFunction) -> None:
    """Raise TypeError if `function` cannot be called with one argument."""
    signature = inspect.signature(function)
    try:
        signature.bind(0.0)
    except TypeError as error:
        name = getattr(function, "__name__", "f")
        count = sum([p.default is p.empty for p in signature.parameters.values()])
        call = f"lambda v: f({', '.join([f'v[{k}]' for k in range(count)])})"
        raise TypeError(
            f"scipy_functions() needs a function of one argument, a vector, got {name}{signature}; write "
            f"compile({call})"
        ) from error
