"""Call each of numpy's functions with floats and with `Value`s, and compare the results and the derivatives.

`python -m tests.graph.numpy_functions` makes all calls, a million in a minute, and
prints what is wrong. A function is right if it gives the numbers and shapes that it gives for floats, and derivatives
that central differences confirm. It may raise an error instead.
"""

from __future__ import annotations

import copy
import math
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from micrograd_cn import Value

# These have no arrays of numbers as operands, or read or write files, or fill an array with whatever is in memory
OTHERS = {
    *("load", "loadtxt", "savetxt", "save", "savez", "savez_compressed", "fromfile", "genfromtxt", "test", "info"),
    *("show_config", "show_runtime", "get_include", "printoptions", "set_printoptions", "get_printoptions"),
    *("seterr", "geterr", "seterrcall", "geterrcall", "setbufsize", "getbufsize", "fromregex", "fromstring"),
    *("frombuffer", "from_dlpack", "asmatrix", "bmat", "busday_count", "busday_offset", "is_busday"),
    *("datetime_as_string", "isdtype", "datetime_data", "format_float_positional", "format_float_scientific"),
    *("base_repr", "binary_repr", "array2string", "array_repr", "array_str", "nested_iters", "frompyfunc"),
    *("fromfunction", "fromiter", "einsum_path", "min_scalar_type", "result_type", "common_type", "can_cast"),
    *("promote_types", "mintypecode", "issubdtype", "iterable", "may_share_memory", "shares_memory", "isfortran"),
    *("empty", "empty_like", "piecewise", "tofile", "dump", "dumps", "tobytes", "setflags", "getfield"),
    *("byteswap", "to_device", "view", "setfield"),
}
# What is not as for floats, by a rule that `numpy_methods` states
KNOWN = {
    **dict.fromkeys(("equal", "not_equal", "equal.outer"), "== of Values goes by identity"),
    **dict.fromkeys(("logical_and", "logical_or"), "they give elements, if they are called by another name, as here"),
    "nan_to_num": "numpy looks for nan in arrays of floats alone",
    "isscalar": "a Value is no numpy scalar",
    ".item": "the number without its graph",
    **dict.fromkeys(("argpartition", ".argpartition"), "the order in each of the two parts is any order"),
    **dict.fromkeys(
        [f"{x}.{way}" for x in ("power", "arctan2") for way in ("reduce", "reduceat")], "numpy 2.4 is wrong"
    ),
}
UFUNCS = (
    *("add", "subtract", "multiply", "divide", "power", "hypot", "arctan2", "remainder", "logaddexp"),
    *("maximum", "minimum", "fmax", "fmin", "less", "equal", "greater_equal"),
)
X, Y, P = np.array([0.7, -1.3, 0.45, 1.9]), np.array([1.1, 0.6, -0.8, 0.35]), np.array([0.65, 1.3, 0.5, 0.9])
A = np.array([[0.131, -0.617, 1.429], [0.907, 0.373, -0.251], [-1.103, 0.557, 2.153]])
B = np.array([[0.809, 0.337, -0.701], [1.201, -0.409, 0.151], [0.073, 0.953, -1.511]])
S, MASK = np.float64(0.7), np.array([True, False, True, True])
OPERANDS: dict[str, tuple[Any, ...]] = {
    **{"x": (X,), "a": (A,), "p": (P,), "x, y": (X, Y), "a, b": (A, B), "a, row": (A, B[0]), "x, 0.5": (X, 0.5)},
    **{
        "0.5, x": (0.5, X),
        "x, 2": (X, 2),
        "a, 1": (A, 1),
        "1, x": (1, X),
        "x, 0, 1": (X, 0.0, 1.0),
        "x, y, p": (X, Y, P),
    },
    **{"[x, y]": ([X, Y],), "s": (S,), "s, s": (S, np.float64(1.4)), "mask, x, y": (MASK, X, Y), "x, mask": (X, MASK)},
    **{
        "x, indices": (X, np.array([2, 0, 1, 1])),
        "x, [0, 2]": (X, [0, 2]),
        "x, shape": (X, (2, 2)),
        "empty": (np.array([]),),
    },
    **{"sum, 0, a": (np.sum, 0, A), "x, 1, y": (X, 1, Y), "i,i->": ("i,i->", X, Y), "ij,jk": ("ij,jk->ik", A, B)},
    **{"rows": (A[:2],), "list": ([*X],), "shape, x": ((2, 2), X)},
}
OPTIONS: tuple[dict[str, Any], ...] = (
    *({}, {"axis": 0}, {"axis": 1}, {"axis": -1}, {"axis": None}, {"axis": (0, 1)}, {"keepdims": True}),
    *({"axis": 1, "keepdims": True}, {"where": "mask", "initial": 0.3}, {"where": "mask", "out": "objects"}),
    *({"initial": 0.3}, {"initial": "value"}, {"out": "floats"}, {"out": "objects"}, {"axis": 0, "out": "objects"}),
    *({"dtype": float}, {"dtype": object}, {"dtype": "float32"}, {"ddof": 1}, {"weights": "values"}, {"n": 2}),
    *({"nan": 0.0}, {"side": "right"}, {"return_index": True}, {"full": True}, {"kind": "stable"}, {"prepend": 0.0}),
    *({"mode": "valid"}, {"k": 1}, {"left": 0.0}, {"edge_order": 2}, {"dx": 0.5}, {"x": "values"}, {"method": "lower"}),
    *({"copy": True}, {"casting": "unsafe"}, {"order": "F"}),
)
NAN = {
    key: tuple(
        [np.where(x == x.flat[1], math.nan, x) if isinstance(x, np.ndarray) and x.size > 1 else x for x in given]
    )
    for key, given in OPERANDS.items()
    if key not in ("mask, x, y", "x, mask", "x, indices")
}


OUTCOMES = "right", "refused", "no call"


def functions() -> dict[str, Callable[..., Any]]:
    """Return numpy's functions, the methods of its arrays, and those of its functions of two operands, by name."""
    found = {}
    for prefix, module in (("", np), ("linalg.", np.linalg), ("fft.", np.fft)):
        for name in sorted({*dir(module)} - OTHERS):
            if (
                callable(function := getattr(module, name))
                and not name.startswith("_")
                and not isinstance(function, type)
            ):
                found[prefix + name] = function
    for name in sorted({*dir(np.ndarray)} - OTHERS):
        if callable(getattr(np.ndarray, name)) and not name.startswith("_"):
            found[f".{name}"] = lambda x, *rest, _name=name, **options: getattr(x, _name)(*rest, **options)
    for name in UFUNCS:
        for way in ("reduce", "accumulate", "outer", "reduceat", "at"):
            found[f"{name}.{way}"] = getattr(getattr(np, name), way)
    return found


class Call:
    """A call of a numpy function with floats, or with `Value`s in their place.

    Attributes:
        values: the `Value`s among the operands and options, in order; or the floats.
        numbers: the numbers of the result, each a float or a `Value`; None if it has other elements.
        shape: the shapes of the arrays in the result.
    """

    def __init__(self, function: Any, operands: Any, options: dict[str, Any], of: Any, shift: Any = (-1, 0.0)) -> None:
        self.of, self.shift = of, shift
        self.values: list[Any] = []
        given = [self._converted(x) for x in copy.deepcopy(operands)]
        shape = next((x.shape for x in operands if isinstance(x, np.ndarray)), ())
        first = np.arange(max(math.prod(shape), 1)).reshape(shape) > 0
        texts = {
            "mask": lambda: first,
            "value": lambda: self._converted(np.float64(0.3)),
            "values": lambda: self._converted(np.linspace(1.0, 2.0, first.size).reshape(shape)),
            "floats": lambda: np.zeros(shape),
            "objects": lambda: np.zeros(shape, dtype=object if of is Value else float),
        }
        chosen = {key: texts.get(x, lambda x=x: x)() if type(x) is str else x for key, x in options.items()}
        if of is not Value and chosen.get("dtype") is object:
            chosen["dtype"] = float  # numpy treats nan in another way in arrays of objects
        result = function(*given, **chosen)
        self.numbers, self.shape = _flat([x for x in given if isinstance(x, np.ndarray)] if result is None else result)

    def _converted(self, x: Any) -> Any:
        if type(x) is list:
            return [self._converted(y) if type(y) is not int else y for y in x]
        if isinstance(x, np.ndarray) and x.dtype == float:
            made = [self._number(y) for y in x.flat]
            array = np.empty(x.shape, object if self.of is Value else float)
            array.reshape(-1)[:] = made
            return array
        return self._number(x) if isinstance(x, np.float64) else x

    def _number(self, x: Any) -> Any:
        index, distance = self.shift
        self.values.append(self.of(x + distance if len(self.values) == index else x))
        return self.values[-1]


def _flat(result: Any) -> tuple[list[Any], Any]:
    if isinstance(result, (list, tuple)):
        parts = [_flat(x) for x in result]
        return [x for numbers, _ in parts for x in numbers], [shape for _, shape in parts]
    array = np.asarray(result, dtype=object)
    return [x for x in array.flat if isinstance(x, (Value, int, float, complex, np.generic))], array.shape


def _data(x: Any) -> complex:
    return complex(x.data if isinstance(x, Value) else x)


def _same(a: complex, b: complex, tolerance: float) -> bool:
    return a == b or (a != a and b != b) or abs(a - b) <= tolerance * (1.0 + abs(b))


def outcome(function: Any, operands: Any, options: dict[str, Any], derivatives: bool = True) -> str:
    """Return "right", "refused", "no call" if there is none of the kind for floats, or what is wrong."""
    if "out" in options and not isinstance(operands[0], np.ndarray):
        return "no call"  # numpy may crash if `out` has another shape
    try:
        floats = Call(function, operands, options, np.float64)
        expected = [_data(x) for x in floats.numbers]
    except Exception:  # whatever numpy raises for operands that this function does not take
        return "no call"
    try:
        call = Call(function, operands, options, Value)
    except (TypeError, ValueError, AttributeError):  # any other error would be a fault
        return "refused"
    found = [_data(x) for x in call.numbers]
    if call.shape != floats.shape or len(found) != len(expected):
        return f"the shape is {call.shape}, not {floats.shape}"
    if not all(_same(a, b, 1e-9) for a, b in zip(found, expected, strict=True)):
        return f"the numbers are {found[:4]}, not {expected[:4]}"
    # A number that is 0 may be at a kink, such as the deviation of one number
    weights = [math.cos(1.0 + i) if x and math.isfinite(abs(x)) else 0.0 for i, x in enumerate(expected)]

    def total(index: int, distance: float) -> float:
        moved = Call(function, operands, options, np.float64, (index, distance)).numbers
        pairs = [(weight, _data(x)) for weight, x in zip(weights, moved, strict=True) if weight]
        return sum([weight * (x.real + x.imag) for weight, x in pairs])

    if derivatives:
        loss = sum(
            [weight * x for weight, x in zip(weights, call.numbers, strict=True) if weight and isinstance(x, Value)]
        )
        if isinstance(loss, Value) and loss.requires_grad:
            loss.backward()
        for i, x in enumerate(call.values):
            slope = (total(i, 1e-6) - total(i, -1e-6)) / 2e-6
            if not _same(x.grad, slope, 1e-4):
                return f"the derivative with respect to number {i} is {x.grad}, not {slope}"
    return "right"


def campaign(every: int = 1) -> tuple[Counter[str], list[str]]:
    """Return how often each outcome came, and the calls that are wrong. Only one call in `every` is made."""
    counts: Counter[str] = Counter()
    wrong = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for name, function, operands, options, derivatives in islice(_calls(), 0, None, every):
            found = outcome(function, operands, options, derivatives)
            counts[found if found in OUTCOMES else "wrong"] += 1
            if found not in OUTCOMES:
                wrong.append(f"{name}({operands}, {options}): {found}")
    return counts, wrong


def _calls() -> Iterator[tuple[str, Any, tuple[Any, ...], dict[str, Any], bool]]:
    for name, function in functions().items():
        if name not in KNOWN:
            for all_operands, derivatives in ((OPERANDS, True), (NAN, False)):
                for operands in all_operands.values():
                    for options in OPTIONS:
                        yield name, function, operands, options, derivatives


if __name__ == "__main__":
    counts, wrong = campaign()
    print(dict(counts), *wrong, sep="\n")
    sys.exit(bool(wrong))
