"""What numpy's functions and Python's own make of nan in arrays and lists of `Value`s."""

import bisect
import functools
import heapq
import itertools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from micrograd_cn import Value
from micrograd_cn.compiler import GuardError
from micrograd_cn.compiler import compile as compile_function

ROWS = [*itertools.permutations([math.nan, 1.0, 2.0]), (math.nan, math.nan, 1.0), (3.0, math.nan, math.nan)]
lexsort, reduced, by_key = np.lexsort, np.maximum.reduce, {"lexsort": np.lexsort, "sorted": sorted}
arg_sorted = functools.partial(np.lexsort)

NUMPYS: dict[str, Callable[[Any], Any]] = {
    "sort": np.sort,
    "sort of an expression": lambda a: np.sort(a + 0.0),
    "argsort": np.argsort,
    "argsort of an expression": lambda a: (a + 0.0).argsort(),
    "stable": lambda a: np.argsort(a, kind="stable"),
    "partition": lambda a: np.partition(a, 1)[1],
    "argpartition": lambda a: np.sort(a[np.argpartition(a, 1)[:1]]),
    "lexsort": lambda a: np.lexsort([a]),
    "lexsort of two keys": lambda a: np.lexsort((np.arange(3.0)[::-1], a)),
    "lexsort by an alias": lambda a: lexsort([a]),
    "lexsort by a partial": lambda a: arg_sorted([a]),
    "searchsorted": lambda a: np.searchsorted(np.sort(a), a),
    "searchsorted from the right": lambda a: np.sort(a).searchsorted(a, "right"),
    "argmax": np.argmax,
    "argmax of a part": lambda a: a[:].argmax(),
    "argmax of an expression": lambda a: (a * 2.0).argmax(),
    "argmax along an axis": lambda a: np.reshape(a, (1, 3)).argmax(axis=1),
    "argmax of rows": lambda a: np.apply_along_axis(np.argmax, 0, a),
    "argmin": np.argmin,
    "argmin of a part": lambda a: a[::-1].argmin(),
    "argmax of a list": lambda a: np.argmax([a, a], axis=1),
    "argmin by its text": lambda a: (getattr(a, "argmin")(), getattr(a[:], "argmin")()),  # noqa: B009 -- the test
    "unbound": lambda a: np.ndarray.argmin(a),
    "max": np.max,
    "max of an expression": lambda a: (a + 0.0).max(),
    "max of a part": lambda a: a.max(initial=1.5, where=np.array([True, True, False])),
    "min": lambda a: a[:].min(),
    "reduce": lambda a: np.minimum.reduce(a),
    "reduce by an alias": lambda a: reduced(a),
    "accumulate": lambda a: np.maximum.accumulate(a),
    "outer": lambda a: np.minimum.outer(a, a),
    "reduceat": lambda a: np.maximum.reduceat(a, [0, 1]),
    "maximum": lambda a: np.maximum(a[:], a[::-1]),
    "fmin": lambda a: np.fmin(a[:], a[::-1]),
    "nanmax": lambda a: np.nanmax(a),
    "nanargmin": lambda a: np.nanargmin(a),
    "ptp": np.ptp,
    "clip": lambda a: np.clip(a, 0.0, 1.5),
    "clip an expression": lambda a: (a + 0.0).clip(1.5),
    "lower bound": lambda a: np.clip(a, a[::-1], 3.0),
    "lower bounds": lambda a: np.clip([3.0, 0.5, 1.0], a, 2.5),
    "upper bounds": lambda a: np.clip([3.0, 0.5, 1.0], 0.0, a),
    "bounds": lambda a: np.clip(a[::-1], a - 1.0, a),
    "maximum by bounds": lambda a: np.minimum(np.maximum([3.0, 0.5, 1.0], a), 2.5),
    "less": lambda a: np.less(a, 1.5) + 2 * (a > 1.5) + 4 * (a[:] <= a),
    "unique": np.unique,
    "unique with counts": lambda a: np.unique(a, return_index=True, return_inverse=True, return_counts=True)[1:],
    "all of them": lambda a: np.unique(a, equal_nan=False),
    "union": lambda a: np.union1d(a, [0.5, 1.0]),
    "intersection": lambda a: np.intersect1d(a, a[:2]),
    "difference": lambda a: np.setdiff1d(a, a[:1]),
    "one of them": lambda a: np.setxor1d(a, a[:2]),
    "isin": lambda a: np.isin(a, a[:2]),
    "median": np.median,
    "nanmedian": np.nanmedian,
    "quantile": lambda a: np.quantile(a, [0.2, 0.9]),
    "percentile": lambda a: np.percentile(a, 20),
    "nanquantile": lambda a: np.nanquantile(a, 0.5),
    "digitize": lambda a: np.digitize(a, [0.5, 1.5]),
    "bins": lambda a: np.digitize([1.0, 1.5], np.sort(a)),
    "histogram": lambda a: np.histogram(a, bins=2, range=(0.0, 3.0))[0],
}
REFUSED = {"median", "quantile", "percentile", "bins", "histogram", "lower bound", "lower bounds", "upper bounds"}
REFUSED_TWICE = {
    "unique",
    "unique with counts",
    "union",
    "intersection",
    "difference",
    "one of them",
}  # if nan is there twice
# It is not known which function these call: they raise an error
UNKNOWN: dict[str, Callable[[Any], Any]] = {
    "lexsort of a dict": lambda a: by_key["lexsort"]([a]),
    "getattr": lambda a: getattr(a, "ARGMAX".lower())(),
    "map": lambda a: list(map(np.ndarray.argmax, [a])),
    "a loop": lambda a: [i for i in map(np.ndarray.argmin, [a])],  # noqa: C416 -- a loop is tested
    "a method of operator": lambda a: operator.methodcaller("argmax")(a),
    "a choice": lambda a: (np.maximum if len(a) else np.minimum)(a, a[::-1]),
}


def numbers(found: Any) -> str:
    """Return the numbers in an array, or in arrays, as a text, which is the same for nan."""
    arrays = found if isinstance(found, tuple) else (found,)
    return str([[x.data if isinstance(x, Value) else float(x) for x in np.ravel(array)] for array in arrays])


@pytest.mark.parametrize("name", NUMPYS)
def test_numpys_functions_order_nan_as_in_an_array_of_floats(name):
    refused = 0
    for row in ROWS:
        values = np.array([Value(x) for x in row])
        with np.errstate(invalid="ignore"):  # a comparison of nan gives a warning
            expected = numbers(NUMPYS[name](np.array(row)))
            try:
                found = numbers(NUMPYS[name](values))
            except (TypeError, ValueError):
                refused += 1
                continue
        assert found == expected, row
    assert refused == (len(ROWS) if name in REFUSED else 2 if name in REFUSED_TWICE else 0)


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_function_without_a_name_does_not_order_nan(name):
    for row in ROWS[:6]:
        assert numbers(UNKNOWN[name](np.array([1.0, 3.0, 2.0]))) == numbers(UNKNOWN[name](np.array([1.0, 3.0, 2.0])))
        with pytest.raises(
            ValueError, match=r"a comparison of Values with nan .* write the name, as in np.argmax\(x\)"
        ):
            UNKNOWN[name](np.array([Value(x) for x in row]))


COMPILED: dict[str, Callable[[Any], Any]] = {
    "lexsort": lambda x: x[0] + np.lexsort((x[::-1], np.sort(x))) @ [1.0, 2.0, 4.0],
    "argmax": lambda x: x[2] + (x * 2.0)[:].argmax() + np.argmin([x, x], axis=1).sum(),
    "searchsorted": lambda x: x[1] + np.searchsorted(np.sort(x), x).sum(),
    "searchsorted of numbers": lambda x: x[2] + np.searchsorted([-1.0, 1.5], x[0]) + np.digitize(x[1], [1.5]),
    "a plain array": lambda x: np.array([x[0], 1.5]).max() + np.argsort(np.array([x[1], 1.5, 0.0]))[0],
    "a plain array of nodes": lambda x: np.maximum(np.array([*x]) - 1.5, 0.0)[:2].sum() + np.clip(x[2], 1.5, 1.7),
    "norm": lambda x: np.linalg.norm(x[:2], np.inf),
}


@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_program_orders_nan_as_the_function_does(name):
    program = compile_function(COMPILED[name], branches=True)
    for row in (*ROWS[:6], (-3.0, 1.0, 2.0), (1.0, 2.0, 0.5)):
        assert str(float(program(np.array(row)))) == str(float(COMPILED[name](np.array(row)))), row


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_program_for_numbers_is_not_used_for_nan_and_one_for_nan_not_for_numbers():
    w, f = Value(0.5), lambda x: (np.maximum(np.array([x * w, x]), 0.0).sum() + 1.0) ** 2
    column = np.array([-1.0, math.nan, 1.0])
    assert str(compile_function(f, branches=True).forward((column,)).tolist()) == "[1.0, nan, 6.25]"
    assert str(compile_function(f, branches=True).forward((column[::-1],)).tolist()) == "[6.25, nan, 1.0]"
    for first, second, expected in ((-1.0, math.nan, "is nan, but was not"), (math.nan, -1.0, "is not nan, but was")):
        program = compile_function(f)
        program(first)
        with pytest.raises(GuardError, match=rf": mul\(\.\.\.\) {expected} in the sample .* branches=True\)"):
            program(second)


def test_a_comparison_that_says_that_no_operand_is_nan_needs_no_further_guard():
    recording = compile_function(lambda x, y: np.maximum(np.array([x, x]), [y, 0.0]).sum(), branches=True).recording_of
    assert [guard.text for guard in recording(2.0, 1.0).guards.guards] == ["x >= y", "x >= 0.0"]
    assert [guard.text for guard in recording(1.0, 2.0).guards.guards] == ["x >= y", "x == x", "y == y", "x >= 0.0"]
    assert len(compile_function(lambda x, y: max(x, y)).recording_of(2.0, 1.0).guards.guards) == 1


def sort_in_place(a):
    """Sort an array that is an expression to Python."""
    [a][0].sort()
    return a


def test_the_method_sort_of_an_expression_may_be_that_of_a_list():
    for row in ROWS[:6]:
        with pytest.raises(ValueError, match=r"x.sort\(\) of Values among which is nan, where x is an expression"):
            sort_in_place(np.array([Value(x) for x in row]))
        assert numbers([sort_in_place([Value(x) for x in row])]) == numbers([sort_in_place([*row])])


def pushed(a):
    """Return a heap."""
    heap: list[Any] = []
    for x in a:
        heapq.heappush(heap, x)
    return heap


def inserted(a):
    """Return a list into which elements were inserted where `bisect` finds their places."""
    found: list[Any] = []
    for x in a:
        bisect.insort(found, x)
    return found


PYTHONS: dict[str, Callable[[Any], Any]] = {
    "max": lambda a: max(a),
    "max of two": lambda a: max(a[0], a[1]),
    "min": lambda a: min(*a),
    "sorted": lambda a: sorted(a),
    "sorted by a key": lambda a: sorted(a, key=lambda x: x, reverse=True),
    "sort": lambda a: [b := [*a], b.sort()][0],
    "heap": pushed,
    "the largest": lambda a: heapq.nlargest(2, a),
    "merge": lambda a: [*heapq.merge(a[:1], a[1:])],
    "bisect": inserted,
    "reduce": lambda a: functools.reduce(max, a),
    "map": lambda a: [*map(max, a, a[::-1]), *map(operator.lt, a, a[::-1])],
    "accumulate": lambda a: list(itertools.accumulate(a, min)),
    "operators": lambda a: [a[0] < a[1], a[0] >= a[1], a[1] <= a[1], operator.gt(a[0], a[2]), a[0].__le__(a[1])],
    "tuples": lambda a: [(a[0],) < (a[2],), [a[2]] >= [a[0]]],
    "the index of the largest": lambda a: max(range(3), key=lambda i: a[i]),
}


@pytest.mark.parametrize("name", PYTHONS)
def test_pythons_functions_order_nan_as_in_a_list_of_floats(name):
    for row in ROWS:
        assert numbers([PYTHONS[name]([Value(x) for x in row])]) == numbers([PYTHONS[name]([*row])]), row


def test_a_call_without_source_code_is_known_all_the_same():
    names: dict[str, Any] = {"np": np, "a": np.array([Value(2.0), Value(math.nan), Value(1.0)])}
    with np.errstate(invalid="ignore"):
        exec(
            compile(
                "found = int(a[:].argmax()), np.lexsort([a]).tolist(), np.maximum(a, 1.5)[1].data", "<prompt>", "exec"
            ),
            names,
        )
    assert str(names["found"]) == "(1, [2, 0, 1], nan)"


def of_values(*row):
    return np.array([Value(x) for x in row])


class Compared(Value):
    __hash__ = Value.__hash__

    def __lt__(self, other):
        return super().__lt__(other)


class Sorted(list):
    def sort(self):
        super().sort()


def by_super():
    made = Sorted([Value(2.0), Value(math.nan), Value(1.0)])
    made.sort()
    return [v.data for v in made]


def of_variables():
    return [f(Value(math.nan), Value(1.0)).data for f in (max, min)]


def in_comprehension():
    arrays = [of_values(3.0, math.nan, 1.0), of_values(math.nan, 2.0)]
    [x.sort() for x in arrays]
    return [[v.data for v in x] for x in arrays]


def on_two_lines():
    x = of_values(math.nan, 1.0)
    # fmt: off
    y = (np
         .maximum(x, 0.0))
    z = (np.maximum
         .reduce(x))
    # fmt: on
    return [v.data for v in y], z.data


def of_an_expression():
    return (max if VALUES else min)(Value(math.nan), Value(1.0)).data


def in_a_generator():
    return sum(v.data for v in map(max, [Value(math.nan)], [Value(1.0)]))


VALUES = [Value(math.nan)]
CALLS = {
    "a subclass": (lambda: Compared(math.nan) < Compared(1.0), False),
    "a method of operators": (lambda: Value(math.nan).__lt__(1.0), False),
    "super": (by_super, [2.0, math.nan, 1.0]),
    "a variable": (of_variables, [math.nan, math.nan]),
    "a comprehension": (in_comprehension, [[1.0, 3.0, math.nan], [2.0, math.nan]]),
    "two lines": (on_two_lines, ([math.nan, 1.0], math.nan)),
    "an expression": (of_an_expression, math.nan),
    "a generator": (in_a_generator, math.nan),
    "map of a method": (lambda: list(map(Value.__lt__, VALUES, [Value(1.0)])), [False]),
    "filter": (lambda: list(filter(Value(1.0).__lt__, VALUES)), []),
}


@pytest.mark.parametrize(("f", "expected"), CALLS.values(), ids=CALLS)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_code_of_every_form_is_understood(f, expected):
    assert str(f()) == str(expected)


@pytest.mark.parametrize(
    "f",
    [
        lambda: functools.reduce(np.maximum, [of_values(math.nan, 1.0), of_values(2.0, math.nan)]),
        lambda: sum(map(np.ndarray.argmax, [of_values(1.0, math.nan, 3.0), of_values(0.0, 5.0, 2.0)])),
        lambda: next(map(np.maximum, [of_values(math.nan)], [of_values(1.0)])),
        lambda: max([of_values(1.0, math.nan), of_values(5.0, 2.0)], key=np.ndarray.argmax),
    ],
)
def test_a_function_of_numpy_that_another_function_calls_is_not_taken_for_one_of_python(f):
    with pytest.raises(ValueError, match="not called by its name"):
        f()


@pytest.mark.parametrize("order", [np.sort, np.argsort, np.argmax, np.argmin, lambda x: x.sort()])
def test_a_plain_number_and_a_plain_nan_are_refused_beside_values(order):
    """Python compares them, and finds no order."""
    with pytest.raises(ValueError, match=r"np\.\w+\(\) of Values and plain numbers, among which is nan"):
        order(np.array([Value(1.0), math.nan, 2.0], dtype=object))
    order(np.array([Value(1.0), math.nan, Value(2.0)], dtype=object))
    order(np.array([Value(1.0), Value(math.nan), 2.0, 3.0], dtype=object))
