"""Samples and rows are read by one rule, whatever library they are of, or refused with what to write instead."""

import ctypes
import re
import sys
import warnings
from array import array
from collections import UserDict, UserList, deque, namedtuple
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.optim import SGD

X, Y = [1.0, 2.0], [3.0, 4.0]
MATRIX = np.array([[1.0, 2.0], [3.0, 4.0]])
MASKED = np.ma.array(MATRIX, mask=[[0, 1], [0, 0]])
with warnings.catch_warnings():
    warnings.simplefilter("ignore", PendingDeprecationWarning)
    NP_MATRIX = np.matrix(MATRIX)
DATES = {unit: np.array(["2020-01-01", "2020-01-02"], f"M8[{unit}]") for unit in ("D", "ns")}


def name_of(case):
    """Return the name of a case of `parametrize`, which is the same in all processes that run the tests."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(case))


class Dataset:
    """A collection like a PyTorch dataset: it has a length and items, but is not iterable, and never ends."""

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return (X + X)[i], (Y + Y)[i]


class Batches:
    """A loader like PyTorch's, which gives its dataset in batches."""

    def __init__(self, batch_size):
        self.dataset, self.batch_size = Dataset(), batch_size

    def __iter__(self):
        return iter([(X, Y)] if self.batch_size else zip(X, Y, strict=True))


class Tensor:
    """An array of another library: numpy can read it, but it is no buffer, and its dtype is not numpy's."""

    dtype, requires_grad, layout = "float", False, "strided"

    def __init__(self, numbers, **attributes):
        self._numbers = np.array(numbers)
        self.shape = self._numbers.shape
        self.__dict__ |= attributes

    def __array__(self, dtype=None):
        if self.dtype in ("unknown", "meta"):
            raise RuntimeError("numpy has no such type")
        return self._numbers if dtype is None else self._numbers.astype(dtype)

    def __len__(self):
        return len(self._numbers)

    def tolist(self):
        if self.dtype == "meta":
            raise RuntimeError("no data")
        return self._numbers.tolist()


class Frame(Tensor):
    """A table like pandas' DataFrame, which is iterated by the names of its columns."""

    iloc = None
    tolist = property()

    def __iter__(self):
        return iter("ab")


class Series(Tensor):
    iloc = None


class Nullable(Tensor):
    dtype = namedtuple("ExtensionType", "na_value")(None)

    def isna(self):
        return np.isnan(self._numbers)


class Sparse(Tensor):
    def todense(self):
        return self._numbers


def both(x, y):
    return 10 * x + y


# How rows and columns are told apart


@pytest.mark.parametrize(
    "samples",
    [
        *((X, Y), (np.array(X), np.array(Y)), (np.array(X), Y), (X, np.array(Y)), (array("d", X), array("i", [3, 4]))),
        *((memoryview(array("d", X)), Y), (range(1, 3), Y), (Tensor(X), Tensor(Y)), (Series(X), Series(Y))),
        (np.array([1, 2], object), np.array([Fraction(3), Decimal(4)])),
        *([(1.0, 3.0), (2, 4)], [[1.0, 3.0], [2.0, 4.0]], zip(X, Y, strict=True), map(tuple, [[1, 3], [2, 4]])),
        *(((x, y) for x, y in zip(X, Y, strict=True)), {1.0: 3.0, 2.0: 4.0}.items(), deque([(1, 3), (2, 4)])),
        *(Dataset(), Batches(None), [namedtuple("Pair", "x y")(1, 3), (np.array(2), Tensor(4.0))]),
    ],
    ids=lambda samples: f"{type(samples).__name__} of {type(samples[0]).__name__ if type(samples) is tuple else ''}",
)
def test_a_tuple_has_an_entry_for_each_argument_and_a_list_one_for_each_sample(samples):
    assert list(compile(both).forward(samples)) == [13.0, 24.0]


def test_lists_and_arrays_of_the_same_numbers_are_read_alike():
    """What a tuple means does not depend on whether its entries are lists or arrays, nor on how long they are."""
    f = compile(lambda x, y: mc.sum(x) * 10 + y)
    for n in (1, 2, 3, 4):
        for width in (1, 2, 3):
            xs, ys = np.arange(1.0, n * width + 1).reshape(n, width), np.arange(5.0, 5.0 + n)
            expected = (xs.sum(1) * 10 + ys).tolist()
            for first in (xs, xs.tolist(), list(xs), list(map(tuple, xs.tolist())), Tensor(xs)):
                for second in (ys, ys.tolist(), array("d", ys), Tensor(ys)):
                    assert list(f.forward((first, second))) == expected
                    w = Value(2.0)
                    g = compile(lambda x, y: w * (mc.sum(x) * 10 + y))  # noqa: B023 -- called at once
                    assert g.backward((first, second)) == pytest.approx(2 * sum(expected) / n)


def test_an_array_alone_has_the_values_of_one_argument():
    f = compile(lambda x: mc.sum(x))
    for samples in (MATRIX, (MATRIX,), Tensor(MATRIX), Frame(MATRIX), (MATRIX.tolist(),), memoryview(MATRIX)):
        assert list(f.forward(samples)) == [3.0, 7.0]
    g = compile(lambda x: x * 1.0)
    for samples in (np.array(X), array("d", X), (X,), [(1.0,), (2.0,)], Series(X)):
        assert list(g.forward(samples)) == X


def test_columns_are_put_together_without_numpy_too(monkeypatch):
    f = compile(lambda x, y, z: x + 10 * y[0] + 100 * y[1] + 1000 * z)
    columns = [1, 2], memoryview(array("d", [1.0, 2.0, 3.0, 4.0])).cast("B").cast("d", (2, 2)), array("d", [5.0, 6.0])
    expected = [5211.0, 6432.0]
    assert f.forward(columns) == expected
    monkeypatch.delitem(sys.modules, "numpy")
    assert f.forward(columns) == expected
    assert compile(lambda x, y: x * y).forward(([1.0, 2.0], [3.0, 4.0])) == [3.0, 8.0]
    assert "numpy" not in sys.modules


def test_columns_of_nested_arguments_and_of_static_ones_are_read():
    f = compile(lambda p, x: p["w"][0] * x + p["b"])
    assert f.forward(([{"w": [2.0], "b": 1.0}, {"w": [3.0], "b": 0.0}], [10.0, 20.0])) == [21.0, 60.0]
    g = compile(lambda x, n: x**n, static="n")
    assert g.forward(([2.0, 3.0], [3, 2])) == [8.0, 9.0]
    assert g.forward([(2.0, 3), (3.0, 2)]) == [8.0, 9.0]
    h = compile(lambda x, n=2: x**n, static="n")
    assert h.forward((np.array([2.0, 3.0]),)).tolist() == [4.0, 9.0]


def test_no_samples_are_read_from_anything_empty():
    for samples in ([], (), ([], []), (np.empty(0), []), (np.empty((0, 3)), np.empty(0)), iter([])):
        assert list(compile(both).forward(samples)) == []


def fit(f, samples):
    return f.fit(samples, SGD([Value(1.0)]), 1)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (((1.0, 3.0), (2.0, 4.0)), r"entry for each argument, .* but got a tuple; write \[\(x, y\), \.\.\.\], a list"),
        ((1.0, 3.0), r"but got a float; write \[\(x, y\)\] for one sample"),
        ((np.array(1.0), np.array(3.0)), r"but got a ndarray; write \[\(x, y\)\] for one sample"),
        ((iter(X), iter(Y)), r"but got a list_iterator; write list\(x\)"),
        (({1.0}, {3.0}), r"but got a set; write list\(x\)"),
        (({"x": 1.0}, {"y": 1.0}), r"but got a dict; write \[\(x, y\), "),
        (("ab", "cd"), "but got a str"),
        ((X, Y, Y), r"of <lambda>\(x, y\): too many positional arguments; a tuple has one entry for each argument"),
        ((X,), r"missing a required argument: 'y'; an array has the values of one argument, so write \(x\[:, 0\], "),
        (MATRIX, r"missing a required argument: 'y'; an array has .* write \(x\[:, 0\], x\[:, 1\]\)"),
        ([np.array(X), np.array(Y)], r"sample 0 is ndarray .*; write a tuple \(X, y\) of arrays"),
        ([{"x": 1.0, "y": 3.0}], r"sample 0 is dict .*; write \[\(x\['x'\], x\['y'\],\) for x in samples\]"),
        ([{"a": 1.0}], r"sample 0 is dict .*; write \[tuple\(x\.values\(\)\) for x in samples\]"),
        ([1.0, 2.0], r"sample 0 is float 1\.0, not a tuple of arguments"),
        ([(1.0, 2.0), (1.0,)], "sample 1 does not have the arguments of"),
        ({"x": X, "y": Y}, r"got a dict; write tuple\(x\.values\(\)\), with the values in the order"),
        (UserDict(x=X, y=Y), r"got a UserDict; write tuple\(x\.values\(\)\)"),
        ({(1.0, 3.0)}, "got a set, which has no order; write a list"),
        (frozenset({(1.0, 3.0)}), "got a frozenset, which has no order"),
        (np.array(1.0), "expected samples, each a tuple of arguments, got ndarray"),
        (Tensor(1.0), "expected samples, each a tuple of arguments, got Tensor"),
        ("ab", "expected samples, each a tuple of arguments, got str"),
        (None, "expected samples, each a tuple of arguments, got NoneType"),
        (Batches(2), r"got a Batches, which gives batches of them; write x\.dataset"),
    ],
    ids=name_of,
)
def test_samples_that_could_be_read_in_two_ways_are_refused(samples, message):
    for use in (lambda f, samples: f.forward(samples), lambda f, samples: f.backward(samples), fit):
        with pytest.raises(TypeError, match=message):
            use(compile(lambda x, y: 10 * x + y), samples)
    if isinstance(samples, tuple) and type(samples[0]) is tuple:
        assert compile(both).forward([*samples]) == [13.0, 24.0], "what the message says to write"


def test_entries_of_different_lengths_are_refused():
    for samples in ((X, Y + Y), (np.array(X), np.array(Y + Y)), (X, np.array(Y + Y))):
        with pytest.raises(ValueError, match="of equal length, but got 2 of x, 4 of y"):
            compile(lambda x, y: x * y).forward(samples)


def test_columns_are_refused_where_it_is_unclear_whose_they_are():
    with pytest.raises(TypeError, match="it takes any number of arguments; give a list of tuples"):
        compile(lambda *xs: mc.sum(xs)).forward((X, Y))
    with pytest.raises(TypeError, match="n is static; write a list of tuples"):
        compile(lambda x, n=2, y=0: x**n + y, static="n").forward((np.array(X), np.array(Y)))


# Arguments


@pytest.mark.parametrize(
    "x",
    [
        *(X, tuple(X), [1, True + 1], np.array(X), np.array([1, 2], ">i4"), np.array(X, "e"), np.array([1, 2], object)),
        *(array("d", X), array("B", [1, 2]), memoryview(array("f", X)), memoryview(b"\1\2"), np.array(X)[::-1][::-1]),
        *([np.array(1.0), np.float32(2)], [Fraction(1), Decimal(2)], np.ma.array(X), np.ma.array(X, mask=[0, 0])),
        *(Tensor(X), Tensor(X, dtype="unknown"), [Tensor(1.0), Tensor(2.0)], np.broadcast_to(np.array(X), (2,))),
    ],
    ids=lambda x: f"{type(x).__name__} {getattr(x, 'dtype', '')}",
)
def test_an_argument_may_be_an_array_of_any_kind(x):
    f = compile(lambda x: 10 * x[0] + x[1])
    assert f(x) == f.forward([(x,)])[0] == 12.0


def test_dicts_of_arrays_and_lists_of_tuples_of_lists_are_nested_as_they_are():
    f = compile(lambda x: x["a"][1] * 100 + x["b"][1, 0] * 10 + x["c"][1][0][1])
    assert f({"a": array("d", X), "b": MATRIX, "c": [(1.0, 2.0), ([5.0, 6.0], 7.0)]}) == 236.0


def test_an_array_of_another_library_is_a_numpy_array_while_a_function_is_recorded():
    """So `x + x` and `2 * x` are sums and products, as they are in these libraries; of lists they would be longer."""
    for x in (np.array(X), Tensor(X), Tensor(X, dtype="unknown")):
        f = compile(lambda x: (x + x)[1] + mc.sum(2 * x))
        assert f(x) == 10.0
        assert f.forward([(x,)]) == [10.0]
        assert compile(lambda x: (x + x)[1]).forward((Tensor([X, Y]),)) == [4.0, 8.0]


DATE = r"for a number of days, write \(x - start\) / np\.timedelta64\(1, 'D'\)"
NOT_NUMBERS = {
    "matrix": (NP_MATRIX, r"an np\.matrix, whose \* is the product of matrices; write np\.asarray\(x\)"),
    "masked": (MASKED, r"a masked array in which some numbers are missing; write x\.filled"),
    "a masked number": (np.ma.masked, "a masked array in which some numbers are missing"),
    "complex": (np.array([1, 2j]), r"complex128; its real part is x\.real"),
    "complex tensor": (Tensor([1, 2j]), r"complex128; its real part is x\.real"),
    "a complex number": (Tensor(2j), r"got the complex 2j; use its \.real or \.imag"),
    "days": (DATES["D"], DATE),
    "nanoseconds": (DATES["ns"], DATE),
    "dates of a table": (Series(DATES["ns"]), r"a Series, which code may read by its labels; write x\.to_numpy\(\)"),
    "a day": (DATES["D"][0], f"the datetime64.D. 2020-01-01; {DATE}"),
    "a nanosecond": (DATES["ns"][0], DATE),
    "a nanosecond without axes": (np.array(DATES["ns"][0]), DATE),
    "a difference": (np.timedelta64(3, "ns"), r"for a number of seconds, write x / np\.timedelta64\(1, 's'\)"),
    "differences": (np.diff(DATES["ns"]), r"for a number of seconds, write x / np\.timedelta64\(1, 's'\)"),
    "text": (np.array(["1", "2"]), r"for text that spells numbers, write x\.astype\(float\)"),
    "bytes": (b"12", r"got the bytes b'12'"),
    "fields": (np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]), "write its fields as the columns of an array"),
    "wide": (np.array(X, np.longdouble), r"write x\.astype\(float\), which rounds them"),
    "ragged": (np.array([[1], [2, 3]], object), r"an array of shape \(2,\) that holds 3 numbers; write nested lists"),
    "objects": (np.array([1, "2"], object), "expected a real number, got the str '2'"),
    "sparse": (Sparse(X), r"a sparse Sparse, which is not read entry by entry; write x\.todense\(\)"),
    "sparse tensor": (Tensor(X, layout="torch.sparse_coo"), r"a sparse Tensor, .*; write x\.to_dense\(\)"),
    "differentiable": (Tensor(X, requires_grad=True), r"a Tensor that requires a gradient, .*; write x\.detach\(\)"),
    "nullable": (Nullable([1.0, np.nan]), r"a Nullable in which some numbers are missing; write x\.fillna"),
    "without data": (Tensor(X, dtype="meta"), "Tensor: no data"),
    "table": (Frame(MATRIX), r"a Frame, which code may read by its labels; write x\.to_numpy\(\)"),
    "generator": ((x for x in X), r"got a generator; write list\(x\)"),
    "zip": (zip(X, strict=True), r"got a zip; write list\(x\)"),
    "map": (map(float, X), r"got a map; write list\(x\)"),
    "range": (range(2), r"got a range; write list\(x\)"),
    "deque": (deque(X), r"got a deque; write list\(x\)"),
    "user list": (UserList(X), r"got a UserList; write list\(x\)"),
    "values": ({1: 1.0}.values(), r"got a dict_values; write list\(x\)"),
    "set": ({1.0, 2.0}, "got a set, which has no order; write a list"),
    "mapping": (MappingProxyType({"a": 1.0}), r"got a mappingproxy; write dict\(x\)"),
    "nothing": (None, "expected a real number, got NoneType"),
}


@pytest.mark.parametrize(("x", "message"), NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_an_argument_that_is_no_real_number_is_refused(x, message):
    """The message names the argument and says what to write, wherever the argument is."""
    f = compile(lambda x: mc.sum(x))
    with pytest.raises(TypeError, match=rf"^<lambda>: x(\[\d\])?: .*{message}"):
        f(x)
    with pytest.raises(TypeError, match=rf"^<lambda>: x\[1\](\[\d\])?: .*{message}"):
        f([1.0, x])
    with pytest.raises(TypeError, match=rf"^sample 1: x\['a'\](\[\d\])?: .*{message}"):
        f.forward([({"a": 1.0},), ({"a": x},)])


@pytest.mark.parametrize("x", ["tanh", None, len, object(), Fraction, "0.5"], ids=name_of)
def test_an_argument_that_may_be_an_option_is_refused_with_how_to_make_it_static(x):
    f = compile(lambda x, kind: x * 1.0)
    with pytest.raises(TypeError, match=r"kind: .*; for an option, write compile\(f, static='kind'\)"):
        f(1.0, x)
    with pytest.raises(TypeError, match=r"sample 0: kind: .*; for an option, write compile\(f, static='kind'\)"):
        f.forward([(1.0, x)])
    with pytest.raises(
        TypeError, match=r"kind\[0\]: [^;]*(; (convert it with float|write math.nan|call it, and pass).*)?$"
    ):
        f(1.0, [x])
    assert compile(lambda x, kind: x * 1.0, static="kind")(1.0, x) == 1.0


@pytest.mark.parametrize("name", [name for name, (x, _) in NOT_NUMBERS.items() if getattr(x, "shape", ())])
def test_columns_that_hold_no_real_numbers_are_refused(name):
    """The message names the method, the function and the argument. A table of numbers, though, has its rows."""
    x, message = NOT_NUMBERS[name]
    if name == "table":
        assert list(compile(lambda x, y: mc.sum(x) + y).forward((x, X))) == [4.0, 9.0]
        return
    message = DATE if name == "dates of a table" else message
    for samples, f in (((x, Y[: len(x)]), compile(lambda x, y: mc.sum(x) + y)), (x, compile(lambda x: mc.sum(x)))):
        with pytest.raises(TypeError, match=rf"^forward\(\) of <lambda>\(.*\): (x: )?.*{message}"):
            f.forward(samples)


def test_keys_that_python_calls_equal_are_different_structures():
    """A function that reads the keys of a dict is recorded for each of them, although 1 == True and 0.0 == -0.0."""
    f = compile(lambda p: sum([x * len(str(key)) for key, x in p.items()]))
    assert [f({1: 1.0}), f({True: 1.0}), f({1.0: 1.0}), f({1: 2.0})] == [1.0, 4.0, 3.0, 2.0]
    assert [f({0.0: 1.0}), f({-0.0: 1.0})] == [3.0, 4.0]
    assert f.forward([({1: 1.0},), ({True: 1.0},)]) == [1.0, 4.0]


# Rows of a program


def program():
    xs = [Value(0.0), Value(0.0)]
    return compile(10 * xs[0] + xs[1], xs)


@pytest.mark.parametrize(
    "rows",
    [
        *(MATRIX, NP_MATRIX, np.ma.array(MATRIX), Tensor(MATRIX), Tensor(MATRIX, dtype="unknown"), Frame(MATRIX)),
        *([X, Y], (tuple(X), tuple(Y)), [np.array(X), Tensor(Y)], [array("d", X), range(3, 5)], [Series(X), Y]),
        *(zip([1, 3], [2, 4], strict=True), map(list, [X, Y]), deque([X, Y]), {1: X, 2: Y}.values()),
        [[np.array(1.0), Tensor(2.0)], [np.float32(3), Fraction(4)]],
    ],
    ids=lambda rows: type(rows).__name__,
)
def test_rows_may_be_of_any_library(rows):
    assert list(program().forward(rows)) == [12.0, 34.0]


def test_only_doubles_that_are_read_in_place_can_be_prepared():
    """A prepared call sees later changes of the rows, so rows that would have to be converted are refused."""
    tables = [(ctypes.c_double * 2 * 2)((1.0, 2.0), (3.0, 4.0)) for _ in range(2)]
    for rows in (MATRIX.copy(), memoryview(MATRIX.copy()), tables[0], memoryview(tables[1])):
        out = array("d", [0.0, 0.0])
        run = program().prepare(rows, out)
        run()
        assert list(out) == list(program().forward(rows)) == [12.0, 34.0]
        np.asarray(rows)[0, 0] = 5.0
        run()
        assert list(out) == [52.0, 34.0]
    for rows in (MATRIX.astype("f"), MATRIX.T, MATRIX[:, ::-1], MATRIX.astype(">f8"), Tensor(MATRIX), [X, Y]):
        with pytest.raises(TypeError, match=r"prepare\(\) needs rows in a writable, contiguous buffer of doubles"):
            program().prepare(rows, array("d", [0.0, 0.0]))


def test_objects_with_a_shape_that_are_no_arrays_are_refused_or_read_by_their_items():
    class Shape:
        shape = "circle"

    class Table:
        shape = (2, 2)

        def __iter__(self):
            return iter([(1.0, 3.0), (2.0, 4.0)])

    with pytest.raises(TypeError, match="expected a real number, got Shape"):
        compile(lambda x: x * 1.0)(Shape())
    assert compile(both).forward(Table()) == [13.0, 24.0]
    with pytest.raises(TypeError, match=r"got a c_double_Array_2; write list\(x\)"):
        compile(lambda x: x[0])((ctypes.c_double * 2)(1.0, 2.0))


def test_rows_that_are_not_iterable_are_read_by_their_indices():
    assert list(program().forward(Dataset())) == [13.0, 24.0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((X, Y), r"a tuple of lists, which could be columns; write list\(x\) for rows, or list\(zip\(\*x\)\) for col"),
        (
            (np.array(X), np.array(Y)),
            r"a tuple of ndarrays, which could be columns; .* or np\.column_stack\(x\)",
        ),
        ((array("d", X), Y), "a tuple of arrays, which could be columns"),
        ({"a": X, "b": Y}, r"got dict, read by its keys; write list\(zip\(\*x\.values\(\)\)\)"),
        ({(1.0, 2.0)}, "got set, which has no order"),
        ([{1.0, 2.0}], r"rows\[0\] must be a sequence of numbers, got set"),
        ([bytearray(b"ab")], r"rows\[0\] must be a sequence of numbers, got bytearray"),
        ([iter(X)], r"rows\[0\] must be a sequence of numbers, got list_iterator .*; write list\(row\)"),
        (
            [Tensor(1.0), Tensor(2.0)],
            r"rows\[0\] must be a sequence of numbers, got Tensor .*; write \[x\] for one row",
        ),
        ([MATRIX], r"rows\[0\] must be a sequence of numbers, got an array of shape \(2, 2\)"),
        (np.array(1.0), "expected rows, each a sequence of 2 numbers, got ndarray"),
        (b"ab", "expected rows, each a sequence of 2 numbers, got bytes"),
        (Batches(2), r"got a Batches, which gives batches of them; write x\.dataset"),
        (MASKED, "rows: a masked array in which some numbers are missing"),
        ([X, MASKED[0]], r"rows\[1\]: a masked array in which"),
        ([X, [np.ma.masked, 1.0]], r"rows\[1\]: a masked array in which"),
        (np.array([DATES["ns"]]), f"rows: .*{DATE}"),
        ([X, DATES["ns"]], rf"rows\[1\]: .*{DATE}"),
        ([[1.0, DATES["ns"][0]]], rf"rows\[0\]: .*{DATE}"),
        (
            [[1.0, np.timedelta64(1, "ns")]],
            r"rows\[0\]: .*the timedelta64\[ns\] 1 nanoseconds; for a number of s",
        ),
        (Tensor([X, [1j, 2]]), "rows: .*complex128"),
        (Tensor(MATRIX, requires_grad=True), r"rows: a Tensor that requires a gradient"),
        (Frame([["a", "b"]]), "rows: .*for text that spells numbers"),
        (Sparse(MATRIX), r"rows: a sparse Sparse, .*; write x\.todense\(\)"),
        (np.array([X, [1, "2"]], object), r"rows\[1\]: expected a real number, got the str '2'"),
        ([[1.0, np.array([2.0])]], r"rows\[0\]: expected one real number, got the sequence ndarray"),
    ],
    ids=name_of,
)
def test_rows_that_are_no_rows_of_real_numbers_are_refused(rows, message):
    with pytest.raises(TypeError, match=message):
        program().forward(rows)


# Libraries that are not installed with the tests


def test_tables_of_pandas_are_read_by_rows_and_columns():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": X, "b": Y}, index=[1, 0])
    assert compile(both).forward((table.a, table.b)) == [13.0, 24.0]
    assert compile(both).forward(table.itertuples(index=False)) == [13.0, 24.0]
    assert compile(lambda x, y: x[0] + 10 * x[1] + y).forward((table, table.b)) == [34.0, 46.0]
    assert program().forward(table) == [13.0, 24.0]
    days = pandas.DataFrame({"a": pandas.to_datetime(["2020-01-01", "2020-01-02"])})
    missing = pandas.DataFrame({"a": pandas.array([1, None], dtype="Int64")})
    for refused in (days, missing, pandas.DataFrame({"a": [1j, 2j]}), pandas.DataFrame({"a": ["1", "2"]})):
        for samples in (refused, (refused,), refused.a, (refused.a,)):
            with pytest.raises(TypeError, match=r"^forward\(\) of <lambda>\(x\): x: "):
                compile(lambda x: mc.sum(x)).forward(samples)
        with pytest.raises(TypeError, match=r"^rows"):
            program().forward(refused[["a", "a"]])
    for series in (table.a, table):
        with pytest.raises(TypeError, match=r"which code may read by its labels; write x\.to_numpy\(\)"):
            compile(lambda x: x[0])(series)


def test_tensors_and_datasets_of_pytorch_are_samples():
    torch = pytest.importorskip("torch")
    data = torch.utils.data
    x, y = torch.tensor(X), torch.tensor(Y, dtype=torch.bfloat16)
    dataset = data.TensorDataset(x, y)
    for samples in ((x, y), dataset, data.Subset(dataset, [0, 1]), data.DataLoader(dataset, batch_size=None)):
        assert compile(both).forward(samples) == [13.0, 24.0]
    with pytest.raises(TypeError, match=r"got a DataLoader, which gives batches of them; write x\.dataset"):
        compile(both).forward(data.DataLoader(dataset, batch_size=2))
    for refused, message in (
        (x.clone().requires_grad_(), r"write x\.detach"),
        (torch.tensor([1j, 2]), "complex"),
        (torch.eye(2).to_sparse(), r"write x\.to_dense"),
        (torch.empty(2, device="meta"), "no data"),
    ):
        with pytest.raises(TypeError, match=message):
            compile(both).forward((refused, y))


def test_methods_that_tensors_and_arrays_have_but_compute_otherwise_are_refused():
    """A compiled function gets a numpy array in the place of a tensor, also as an element of a dataset."""
    weight, x = Value(2.0), np.array([[1.0, 2.0], [3.0, 5.0]])
    tensor = x.view(type("Tensor", (np.ndarray,), {"__module__": "torch"}))  # PyTorch may not be installed
    for f in (
        *(lambda x: x.std(), lambda x: (2.0 * x).var(0)[0], lambda x: x.transpose(0, 1)[0, 1]),
        *(lambda x: x.repeat(2, 1)[1, 0], lambda x: x.max(0)[0], lambda x: x.min(axis=1)[1]),
    ):
        program = compile(lambda x, f=f: weight * f(x["a"] if isinstance(x, dict) else x))
        for call in (
            *(lambda p=program: p(tensor), lambda p=program: p({"a": tensor}), lambda p=program: p.check([(tensor,)])),
            *(lambda p=program: p.forward([(tensor,)]), lambda p=program: p.forward((tensor[None],))),
        ):
            with pytest.raises(TypeError, match=r"pass x\.numpy\(\) for a tensor x"):
                call()
        assert program(x) == 2.0 * f(x)
    for f in (
        *(lambda x: x.size(0), lambda x: x.view(-1)[0], lambda x: x.sum(dim=0)[0], lambda x: x.unsqueeze(0)[0, 0, 0]),
        lambda x: x.mean(0, keepdim=True)[0, 0],
    ):
        with pytest.raises((TypeError, AttributeError)) as caught:
            compile(lambda x, f=f: weight * f(x))(tensor)
        assert any("write x.shape[0] for x.size(0)" in note for note in caught.value.__notes__)
    for f in (
        *(lambda x: x.sum(), lambda x: x.mean(0)[1], lambda x: (x @ x)[0, 1], lambda x: x.swapaxes(0, 1)[0, 1]),
        *(lambda x: x.max(), lambda x: x.T[0, 1], lambda x: np.transpose(x)[0, 1], lambda x: np.max(x, 0)[0]),
        lambda x: np.tensordot(x, np.eye(2), ((0,), (1,)))[0, 1],
    ):
        assert compile(lambda x, f=f: weight * f(x))(tensor) == 2.0 * f(x)


def test_arrays_of_jax_are_samples_and_rows_whatever_their_type():
    jnp = pytest.importorskip("jax.numpy")
    for kind in (jnp.float32, jnp.bfloat16, jnp.int32):
        assert compile(both).forward((jnp.array(X, kind), jnp.array(Y, kind))) == [13.0, 24.0]
        assert program().forward(jnp.array(MATRIX, kind)) == [12.0, 34.0]
        assert compile(lambda x: (x + x)[1])(jnp.array(X, kind)) == 4.0
    with pytest.raises(TypeError, match="complex64"):
        program().forward(jnp.array([[1j, 2]]))


def test_sparse_matrices_of_scipy_are_refused():
    sparse = pytest.importorskip("scipy.sparse")
    for make in (sparse.csr_array, sparse.csr_matrix, sparse.coo_array, sparse.dia_array, sparse.csc_matrix):
        for use in (compile(lambda x: mc.sum(x[0])), compile(lambda x: x[0]).forward, program().forward):
            with pytest.raises(TypeError, match=rf"a sparse {make.__name__}, .*; write x\.toarray\(\)"):
                use(make(MATRIX))


@pytest.mark.parametrize(
    "x", [DATES["D"][0], DATES["ns"][0], np.timedelta64(3, "ns"), np.timedelta64(3, "s")], ids=repr
)
def test_a_value_is_no_date_either(x):
    """Without the refusal, Python's float() gives a count of nanoseconds for some units of numpy's dates."""
    with pytest.raises(
        TypeError, match=r"expected a real number, got the (datetime|timedelta)64\[.*np\.timedelta64\(1, "
    ):
        Value(x)


# A number in the place of a column


def test_a_number_in_the_place_of_a_column_is_that_of_all_samples():
    """`(X, 2.0)` is the same as `(X, [2.0, 2.0, ...])`, for lists and arrays, and for all methods that read samples."""
    w = Value(3.0)
    f = compile(lambda x, y, z: w * x * y - z)
    xs = [0.5, -1.5, 2.0]
    for column in (xs, np.array(xs)):
        assert list(f.forward((column, 2, np.float32(0.5)))) == [3.0 * x * 2 - 0.5 for x in xs]
        assert np.array(f.gradient((column, 2.0, 0.5), wrt="y")).tolist() == [[3.0 * x] for x in xs]
        w.grad = 0.0
        assert f.backward((2.0, column, Fraction(1, 2))) == pytest.approx(sum(6.0 * x - 0.5 for x in xs) / 3)
        assert w.grad == pytest.approx(2.0 / 3)
    optimizer = SGD([w], lr=0.1)
    f.fit((xs, 2.0, 0.5), optimizer, 2)
    expected = 3.0 - 0.2 * 2.0 * sum(xs) / 3
    assert w.data == pytest.approx(expected)
    rows = compile(lambda v, s: s * mc.sum(v))
    assert rows.forward((np.ones((4, 3)), 2.0)).tolist() == [6.0] * 4
    assert rows.forward(([[1.0], [1.0, 2.0]], 2.0)) == [2.0, 6.0]


def test_a_number_in_the_place_of_a_static_argument_is_that_of_all_samples():
    f = compile(lambda x, n: x**n if isinstance(n, int) else x, static=["n"])
    assert f.forward(([1.0, 2.0, 3.0], 2)) == [1.0, 4.0, 9.0]
    assert f.forward(([1.0, 2.0, 3.0], 2.0)) == [1.0, 2.0, 3.0]


def test_numbers_alone_are_no_columns():
    f = compile(lambda x, y: x * y)
    for samples in ((1.0, 2.0), (2.0,), ([1.0], "2"), ([1.0], Value(2.0)), ([1.0], (2.0,))):
        with pytest.raises(TypeError, match="a tuple has one entry for each argument, a list or an array"):
            f.forward(samples)
    assert f.forward(([], 2.0)) == []


RESULTS = {  # functions of an array of two numbers, and the shape of a result if the results are one array
    "list": (lambda w, x: [w * x[0], x[1], w], (3,)),
    "one": (lambda w, x: [w * x[0]], (1,)),
    "array": (lambda w, x: w * x, (2,)),
    "matrix": (lambda w, x: np.array([[w * x[0], x[1]], [w, x[0]]]), (2, 2)),
    "branch": (lambda w, x: [w * x[0], x[1]] if x[0] > 3 else [x[1], w * x[1]], (2,)),
    "tuple": (lambda w, x: (w * x[0], x[1]), None),
    "nested": (lambda w, x: [[w * x[0]], [x[1], w]], None),
    "integers": (lambda w, x: [w * x[0], 1], None),
    "dict": (lambda w, x: {"product": w * x[0]}, None),
}


@pytest.mark.parametrize("name", RESULTS)
def test_lists_and_arrays_that_a_function_returns_are_one_array_for_samples_in_arrays(name, monkeypatch):
    """Each item of the array is what a call returns; for samples in lists, and other results, there is a list."""
    monkeypatch.setattr("micrograd_cn.compiler.runtime.prepared.CALLS_BEFORE_PREPARED", 1)
    (function, shape), w = RESULTS[name], Value(2.0)
    compiled = compile(lambda x: function(w, x), branches=name == "branch")
    rows = np.array([[1.0, 2.0], [4.0, 5.0], [3.5, 7.0]])
    called = [compiled(row) for row in rows]
    for _ in range(5):
        found = compiled.forward(rows)
        if shape is None:
            assert found == called
            assert {type(x) for x in found} == {type(called[0])}
        else:
            assert found.shape == (3, *shape)
            assert found.tolist() == [np.asarray(x).tolist() for x in called]
        listed = compiled.forward([(row,) for row in rows])
        assert type(listed) is list
        assert {type(x) for x in listed} == {type(called[0])}
        assert repr(listed) == repr(called)  # also the types of integers
        kept = repr(found)
        compiled.forward(rows + 1)
        assert repr(found) == kept  # the results are the caller's own


class Reused:
    """Gives one list again and again, with other numbers in it, as readers of large files do."""

    def __init__(self):
        self.row = [0.0, 0.0]

    def __getitem__(self, i):
        if i == 9:
            raise IndexError
        self.row[:] = i, 2.0 * i
        return self.row


def _reusing():
    row = [0.0, 0.0]
    for i in range(9):
        row[:] = i, 2.0 * i
        yield row


PAIRS = [[float(i), 2.0 * i] for i in range(9)]
ZIPPED = {
    "lists": lambda: zip(PAIRS, range(9), strict=False),
    "arrays": lambda: zip(np.array(PAIRS), np.arange(9.0), strict=False),
    "tuples": lambda: zip(tuple(PAIRS), tuple(range(9)), strict=True),
    "a row that is used again": lambda: zip(_reusing(), range(9), strict=False),
    "an object that uses a row again": lambda: zip(Reused(), range(9), strict=False),
    "a map that uses a row again": lambda: zip(map(list, _reusing()), range(9), strict=False),
    "a generator": lambda: ((row, i) for i, row in enumerate(_reusing())),
    "namedtuples": lambda: [Sample(row, i) for i, row in enumerate(PAIRS)],
    "one namedtuple": lambda: [Sample(row, i) if i else (row, i) for i, row in enumerate(PAIRS)],
}
Sample = namedtuple("Sample", "x y")


@pytest.mark.parametrize("name", ZIPPED)
def test_iterators_are_read_before_they_change_what_they_gave(name):
    """Each sample is what the iterator gives at its turn, even if it gives the same list for all of them."""
    compiled = compile(lambda x, y: x[0] + 10 * x[1] + 1000 * y)
    assert compiled.forward(ZIPPED[name]()) == [row[0] + 10 * row[1] + 1000 * i for i, row in enumerate(PAIRS)]


def test_namedtuples_with_other_names_are_refused_in_long_lists_too():
    """The names of a namedtuple are compared with those of the arguments, in lists of any length."""
    other = namedtuple("other", "y x")
    compiled = compile(lambda x, y: x - y)
    for samples in ([other(1.0, 2.0)], [other(1.0, 2.0)] * 20, [(1.0, 2.0)] * 20 + [other(1.0, 2.0)]):
        with pytest.raises(TypeError, match="is in another place"):
            compiled.forward(samples)


@pytest.mark.parametrize("count", [1, 20])
def test_an_int_that_is_too_large_is_refused_with_what_to_write(count):
    compiled = compile(lambda x, y: x[0] + x[1] * y)
    assert compiled.forward([([1, 2.5], 2)] * count) == [6.0] * count
    for sample in (([1, 10**400], 2), ([1.5, 10**400], 2), ([1, 2], 10**400)):
        with pytest.raises(OverflowError, match=r"write math\.inf for infinity"):
            compiled.forward([sample] * count)
        with pytest.raises(OverflowError, match=r"write math\.inf for infinity"):
            compiled(*sample)
