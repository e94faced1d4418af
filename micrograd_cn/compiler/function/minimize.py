"""Turn a program into the functions that `scipy.optimize.minimize` takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..derivatives import Program
from .jit import CompiledFunction


def scipy_functions(program: Program | CompiledFunction, dense: bool = False) -> dict[str, Callable[[Any], Any]]:
    """Return the arguments with which `scipy.optimize.minimize` minimises the output of a program over its inputs.

    Args:
        program: a program with one output; or a compiled function of one argument, which is a vector.
        dense: whether `hess` returns a numpy array, which the methods "trust-ncg", "trust-krylov", "trust-exact" and
            "dogleg" need. "trust-constr" and "Newton-CG" take sparse matrices too.

    Returns:
        a dict with the functions `fun`, `jac` and `hess`. Each function takes a numpy vector with the numbers of the
            inputs. `fun` returns a float, `jac` a vector, and `hess` a `scipy.sparse.csr_array` or, if `dense` is set,
            an array.

    Raises:
        ImportError: scipy is not installed.
        ValueError: the program has several outputs.
        RuntimeError: the output is a constant.

    >>> from scipy.optimize import minimize
    >>> from micrograd_cn import Value
    >>> from micrograd_cn.compiler import compile
    >>> x, y = Value(0), Value(0)
    >>> program = compile(100 * (y - x**2) ** 2 + (1 - x) ** 2, [x, y])
    >>> found = minimize(x0=[-1.2, 1.0], method="trust-constr", **scipy_functions(program))
    >>> [round(float(x), 6) for x in found.x]
    [1.0, 1.0]
    >>> f = compile(lambda v: 100 * (v[1] - v[0] ** 2) ** 2 + (1 - v[0]) ** 2)
    >>> [round(float(x), 6) for x in minimize(x0=[-1.2, 1.0], method="trust-exact", **scipy_functions(f, dense=True)).x]
    [1.0, 1.0]
    """
    try:
        import numpy as np
        from scipy.sparse import coo_array
    except ImportError as error:
        raise ImportError("scipy_functions() needs numpy and scipy: pip install scipy") from error
    if isinstance(program, Program):
        program.derivative("hessian")  # raises now if there is no Hessian

    def at(x: Any) -> tuple[Program, Any]:
        vector = np.array(x, float, ndmin=1)
        return program if isinstance(program, Program) else program.program(vector), vector.reshape(1, -1)

    def fun(x: Any) -> float:
        here, row = at(x)
        return float(here.forward(row)[0])

    def jac(x: Any) -> Any:
        here, row = at(x)
        return here.gradient(row, out=np.empty(row.shape[1]))

    def hess(x: Any) -> Any:
        here, row = at(x)
        structure = here.derivative("hessian").structure
        if dense:
            return here.hessian(row, dense=True, out=np.empty(structure.shape))
        values = here.hessian(row, out=np.empty(structure.entries))
        return coo_array((values, structure), shape=structure.shape).tocsr()

    return {"fun": fun, "jac": jac, "hess": hess}
