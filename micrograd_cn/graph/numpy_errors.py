"""Advice for errors that numpy, scipy, PyTorch or jax raises about `Value`s: what to write instead."""

from __future__ import annotations

import re

from ..ops.registry import OPS
from .conversion import operand_names
from .numpy_methods import INSTEAD

__all__ = ["NO_ARRAY", "NO_COLLECTION", "NO_LABELS", "numpy_advice"]

NO_LABELS = (
    "write x[0] for the first number of an array x, or give the rows of a table df as dicts, "
    "[(row,) for row in df.to_dict('records')]"
)
# The errors of Python for a number in the place of a list
NO_COLLECTION = r"'Value' object is not (subscriptable|iterable)|'Value' has no len"
# The errors of Python for a list in the place of an array
NO_ARRAY = (
    r"can't multiply sequence by non-int of type '(list|tuple|Value|float)'|unsupported operand type\(s\) for "
    r".*'(list|tuple)'|'(list|tuple)' object has no attribute '(sum|mean|dot|T|shape|reshape|max|min|exp|ndim|size)'"
)
NO_SHAPE = r"'(float|int)' object has no attribute 'shape'"  # the user's own code may raise such an error, too
# Errors of numpy, PyTorch and jax about arrays of objects and about `Value`s, and what to write instead
NUMPY_ERRORS = {
    r"ufunc '(isnan|isfinite|isinf|signbit)'": "for a question about an array of Values x, such as np.isnan(x), write "
    "x != x for nan, or abs(x) < np.inf for what is finite",
    r"Cannot cast ufunc '(slogdet|det)": "np.linalg has no derivatives: write the determinant as a formula, such as "
    "a * d - b * c, or as the product of the pivots of Gauss's elimination",
    r"Cannot cast ufunc '(eig|svd)": "np.linalg has no derivatives, and there is no operation for eigenvalues and "
    "singular values: write the formula for 2 rows, or some steps of the power iteration, v = A @ v / norm",
    r"Cannot cast ufunc '(solve|inv|cholesky\w*|lstsq|qr\w*)|does not support type object|"
    r"array type object is unsupported in linalg": "np.linalg has no derivatives: write micrograd_cn.solve(A, b) for "
    "the solution of A x = b, and solve it for the columns of the unit matrix for the inverse",
    r"ufunc 'i?r?c?fft\w*' not supported": "np.fft takes no Values: for the real and the imaginary part of "
    "np.fft.fft(x) write np.cos(a) @ x and -np.sin(a) @ x, with k = np.arange(n), a = 2 * np.pi * np.outer(k, k) / n",
    r"'matrix' and '\w+'|'\w+' and 'matrix'": "np.matrix takes no Values: write np.asarray(m) * x for a matrix m",
    r"type numpy\.object_|dtype of Value|expected Tensor .* Value|must be Tensor, not (Value|list)|"
    r"invalid combination of arguments - got \(.*Value|'Tensor' and '\w*Value'|'\w*Value' and 'Tensor'": "PyTorch's "
    "functions and tensors take no Values: write micrograd_cn.exp(x), and the like, for torch.exp(x), and x.numpy() "
    "for a tensor x of numbers",
    r"valid JAX|Error interpreting argument to .* as an? (abstract array|JAX value)|'\S*ArrayImpl' and '\w*Value'|"
    r"'\w*Value' and '\S*ArrayImpl'": "jax's functions and arrays take no Values: write micrograd_cn.exp(x), and the "
    "like, for jnp.exp(x), and np.asarray(x) for an array x of numbers",
    r"only integers, slices|only integer scalar arrays can be converted to a scalar index": "an array takes integers "
    "as indices, and no Values: write take(xs, i) for xs[i], and [take(xs, k) for k in i] for an array i",
    r"'complex' and '\w*Value'|'\w*Value' and 'complex'": "a Value is a real number: compute the real and the "
    "imaginary part by themselves, as in x * a and x * b for x * (a + 1j * b)",
    # numpy goes on after the error of a conversion, and Python raises one of these at the next occasion
    r"returned a result with an exception set|for \S+: 'float' and 'Value'": "np.add.at(a, i, x), and the like, add "
    "Values only to an array of objects: make it by a = np.zeros(n, dtype=object)",
    NO_SHAPE: "for np.cov(x, y) write ((x - x.mean()) * (y - y.mean())).sum() / "
    "(len(x) - 1), and divide it by the standard deviations for np.corrcoef",
    r"loop of ufunc does not support .* no callable \w+ method": "in an array of Values and numbers, numpy asks each "
    "element for the function: write micrograd_cn.exp(xs), and the like, which takes arrays of both",
    r"expected a sequence of integers or a single integer": "a shape has integers, and no Values: write len(x), or "
    "x.shape of an array x, for a size that the code knows",
    r"dtype\('O'\) to dtype\('float64'\)": "this numpy function takes numbers alone: write the formula, for "
    "np.interp as a sum of where(less(x, limit), a, b), and for np.bincount a loop that adds the weights up",
}


def numpy_advice(error: BaseException) -> str:
    """Return a string that says what to write, if another library raised `error` because of `Value`s; otherwise ""."""
    text, traceback = str(error), error.__traceback__
    while traceback and traceback.tb_next:
        traceback = traceback.tb_next
        code, owner = traceback.tb_frame.f_code, str(traceback.tb_frame.f_globals.get("__name__", ""))
        if owner.startswith("numpy.") and code.co_name == "isclose":  # np.allclose calls it, too
            return "for np.isclose(x, y) write abs(x - y) <= 1e-8 + 1e-5 * abs(y)"
        if owner.startswith("scipy.") and code.co_name in OPS:
            name = code.co_name
            return f"scipy's {name} takes no Values: write micrograd_cn.{name}({operand_names(OPS[name].arity)})"
        if "numpy/random/" in code.co_filename:
            return "np.random takes no Values: write mean + std * z, with z = np.random.standard_normal(n), for Values"
    module = traceback.tb_frame.f_globals.get("__name__", "") if traceback else ""
    innermost = traceback.tb_frame.f_code.co_name if traceback else ""
    in_python = module.startswith("numpy.")  # other errors are those of numpy's C code, or of the user's own code
    if unsupported := re.search(r"ufunc '(\w+)' not supported for the input types", text):
        name = unsupported[1]
        if name in OPS:
            operands = operand_names(OPS[name].arity)
            return f"np.{name} takes no arrays of Values: write micrograd_cn.{name}({operands}), which does"
    if (method := re.search(r"'(ValueArray|ArgumentArray|ndarray)' object has no attribute '(\w+)'", text)) and (
        name := method[2]
    ) in OPS:
        operands = operand_names(OPS[name].arity)
        return f"an array has no method {name}: write micrograd_cn.{name}({operands}), which takes arrays of Values"
    known = {found: advice for found, advice in NUMPY_ERRORS.items() if in_python or found != NO_SHAPE}
    if advice := next((advice for found, advice in known.items() if re.search(found, text)), ""):
        return advice
    if unsupported and unsupported[1] in INSTEAD:
        return f"there is no {unsupported[1]} of Values: for each Value x of an array write {INSTEAD[unsupported[1]]}"
    if unsupported or (in_python and "'object'" in text):
        name = unsupported[1] if unsupported else innermost
        return f"numpy's {name} takes numbers alone: write its formula with operators and operations, such as exp()"
    return ""
