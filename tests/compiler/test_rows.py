"""Programs read rows of numbers from sequences, iterables and buffers, and refuse anything else with an error."""

import subprocess
import sys
from array import array
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.optim import SGD


def test_rows_may_be_anything_with_numbers():
    x, w, t = Value(2.0), Value(3.0), Value(1.0)
    program = compile(w * x + t, [x, t])
    expected = [31.0, 62.0]
    flat = array("d", [10.0, 1.0, 20.0, 2.0])
    matrix = np.array([[10.0, 1.0], [20.0, 2.0]])
    frozen = matrix.copy()
    frozen.flags.writeable = False
    for rows in (
        [[10, 1], [20, 2]],
        ((10.0, True), (20, 2)),
        [np.array([10, 1]), np.array([20, 2])],
        [[np.float32(10), np.int64(1)], [20, 2]],
        matrix,
        frozen,
        np.asfortranarray(matrix),
        np.repeat(matrix, 2, axis=0)[::2],
        *(matrix.astype(kind) for kind in "fbBhHiIlLqQ"),
        matrix.astype("f")[::1, ::-1][:, ::-1],
        memoryview(flat).cast("B").cast("d", (2, 2)),
    ):
        assert [*program.forward(rows)] == expected
        w.grad = 0.0
        assert program.backward(rows) == 46.5
        assert w.grad == 15.0
    assert program(10, 1) == 31.0
    assert compile([w * x, t], [x, t])(10, 1) == [30.0, 1.0]
    assert program.forward(np.array([[True, False]])).tolist() == [3.0]
    for rows in ([[], [], []], np.empty((3, 0))):
        assert [*compile(w * 2, []).forward(rows)] == [6.0, 6.0, 6.0]


def test_numpy_is_not_imported():
    """The compiler reads numpy's arrays without importing numpy, which need not be installed."""
    code = "import sys; from micrograd_cn.compiler import compile; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_zero_rows():
    """`forward` and derivatives of no rows are empty; `backward`, `fit` and `check` refuse no rows."""
    x, w = Value(2.0), Value(3.0)
    program = compile(w * x, [x])
    assert program.forward([]) == []
    assert program.forward(np.empty((0, 1))).shape == (0,)
    assert program.gradient(np.empty((0, 1))).shape == (0, 1)
    assert compile([w * x], [x]).forward([]) == []
    for refused in (lambda: program.backward([]), lambda: program.fit([], SGD([w]), 1), lambda: program.check([], abs)):
        with pytest.raises(ValueError, match="no rows"):
            refused()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("outputs", [1, 2])
def test_outputs_may_be_written_to_a_buffer(threads, outputs):
    """`forward` writes outputs to a buffer of any shape with the right size, and nothing before or behind it."""
    x = Value(2.0)
    program = compile([x * x, 3 * x][:outputs], [x])
    rows = [[0.5 * k] for k in range(50)]
    expected = np.array([[(0.5 * k) ** 2, 1.5 * k][:outputs] for k in range(50)])
    for buffer in (np.zeros((50, outputs)), np.zeros(50 * outputs), array("d", [0.0] * 50 * outputs)):
        assert program.forward(rows, threads=threads, out=buffer) is buffer
        assert np.array(buffer).reshape(50, outputs).tolist() == expected.tolist()
    part = np.full((52, outputs), 7.0)
    program.forward(rows, threads=threads, out=part[1:51])
    assert part.tolist() == [[7.0] * outputs, *expected.tolist(), [7.0] * outputs]
    nothing = np.zeros((0, outputs))
    assert program.forward([], out=nothing) is nothing


@pytest.mark.parametrize(
    ("out", "exception", "message"),
    [
        ([0.0, 0.0], TypeError, "out must be a buffer of doubles, got list"),
        (np.zeros(2, "f"), TypeError, "out must be a buffer of doubles, .*; it is of format 'f'"),
        (np.zeros(4)[::2], TypeError, "out must be a buffer of doubles, .*; it is not contiguous"),
        (memoryview(bytes(16)).cast("d"), TypeError, "out must be a buffer of doubles, .*; it is readonly"),
        (np.zeros(3), ValueError, "out has room for 3 numbers, not for 2"),
        (np.zeros(1), ValueError, "out has room for 1 numbers, not for 2"),
    ],
)
def test_what_cannot_take_the_outputs_is_refused(out, exception, message):
    x = Value(2.0)
    program = compile(x * x, [x])
    for rows in ([[1.0], [2.0]], np.ones((2, 1))):
        with pytest.raises(exception, match=message):
            program.forward(rows, out=out)


class Longer(list):
    """A list that gives a wrong length, as a class of a user's may."""

    def __len__(self):
        return 2


@pytest.mark.parametrize(
    ("rows", "exception", "message"),
    [
        ([[1.0, 2.0], [1.0]], ValueError, r"rows\[1\] has 1 numbers, the program 2 inputs"),
        ([[1.0, 2.0, 3.0]], ValueError, r"rows\[0\] has 3 numbers"),
        (np.zeros((3, 1)), ValueError, "rows have 1 numbers, the program 2 inputs"),
        (
            np.zeros((3, 2), dtype=complex),
            TypeError,
            r"rows: .* complex128; its real part is x\.real",
        ),
        (
            np.zeros((3, 2), np.longdouble),
            TypeError,
            r"got an array of float\d+; write x.astype\(float\), which rounds",
        ),
        (memoryview(bytes(16)).cast("c", (2, 8)), TypeError, "rows: expected a real number, got the bytes"),
        (np.array([["1", "2"]], object), TypeError, r"rows\[0\]: expected a real number, got the str '1'"),
        (np.array([["1", "2"]]), TypeError, "got an array of <U1"),
        (np.array([["2020-01-01", "2020-01-02"]], "M8[D]"), TypeError, r"rows: .* array of datetime64\[D\]; for a"),
        ({"a": [1.0, 2.0]}, TypeError, "expected rows, each a sequence of 2 numbers, got dict"),
        ([{1.0: "x", 2.0: "y"}], TypeError, r"rows\[0\] must be a sequence of numbers, got dict"),
        (np.zeros((3, 3), dtype="f"), ValueError, "rows have 3 numbers, the program 2 inputs"),
        (np.zeros(2), TypeError, "two dimensions"),
        (array("d", [1.0, 2.0]), TypeError, r"got 1; write \[x\], or x.reshape\(1, -1\), for one row"),
        ([1.0, 2.0], TypeError, r"rows\[0\] must be a sequence of numbers, got float 1.0; write \[x\] for one row"),
        (["ab"], TypeError, r"rows\[0\] must be a sequence"),
        ([[1.0, "2"]], TypeError, "real number"),
        ([[1.0, None]], TypeError, "real number"),
        ([[1.0, Value(2.0)]], TypeError, "real number"),
        ([[1.0, 2j]], TypeError, "real number"),
        ([[1.0, 2.0], [np.complex128(2j), 1.0]], TypeError, r"rows\[1\]: expected a real number, got the complex"),
        ([np.array([2j, 1.0])], TypeError, r"rows\[0\]: .* array of complex128; its real part is x\.real"),
        (None, TypeError, "expected rows, each a sequence of 2 numbers, got NoneType"),
        ([Longer([1.0])], ValueError, r"rows\[0\] has 1 numbers, the program 2 inputs"),
        ([Longer([1.0]), Longer([1.0, 2.0, 3.0])], ValueError, r"rows\[0\] has 1 numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_wrong_rows_are_refused(rows, exception, message):
    """An error names the row that has too few or too many numbers, or something that is no real number."""
    x, t, w = Value(2.0), Value(1.0), Value(3.0)
    program = compile(w * x + t, [x, t])
    for run in (program.forward, program.backward, lambda rows: program.fit(rows, SGD([w]), 1)):
        with pytest.raises(exception, match=message):
            run(rows)
    assert w.grad == 0.0


def numbers_of(rows):
    """Return the numbers that a program with two inputs reads."""
    xs = [Value(0.0), Value(0.0)]
    return compile(xs, xs).forward(rows)


def test_every_kind_of_real_number_is_read():
    kinds = (float, int, Fraction, np.float64, np.float32, np.int64, np.array, lambda x: bool(x - 1))
    for kind in kinds:
        assert numbers_of([[kind(2), 1.0], (0.5, kind(1))]) == [[kind(2), 1.0], [0.5, kind(1)]]


@pytest.mark.parametrize("huge", [10**400, Fraction(10**400)])
def test_a_number_beyond_the_largest_float_is_refused_as_by_a_value(huge):
    """The error for an int or a Fraction that is too large for a float says in which row it is."""
    with pytest.raises(OverflowError, match=r"^rows\[1\]: an? (int|Fraction) that is too large for a float"):
        numbers_of([[1, 2.0], [huge, 1.0]])
    with pytest.raises(OverflowError, match=r"; write -math\.inf for infinity"):
        Value(-huge)


def test_rows_may_be_what_can_only_be_numbered():
    """Rows may be an object that has only `__getitem__` with an int, Python's old protocol of iteration."""

    class Numbered:
        def __getitem__(self, i):
            return [[1.0, 2.0], [3.0, 4.0]][i]

    assert numbers_of(Numbered()) == [[1.0, 2.0], [3.0, 4.0]]


def test_a_row_that_changes_after_it_was_read_is_as_it_was():
    """Each row is copied when an iterator yields it, so the iterator may change the same list for the next row."""

    def rows():
        row = [1.0, 2.0]
        yield row
        row[0] = 3.0
        yield row
        row.pop()

    assert numbers_of(rows()) == [[1.0, 2.0], [3.0, 2.0]]


def test_buffers_that_do_not_lie_one_row_after_the_other_are_read_too():
    """Arrays that are transposed, reversed, strided or readonly are read by their strides."""
    matrix = np.arange(8.0).reshape(4, 2)
    frozen = matrix.copy()
    frozen.flags.writeable = False
    for other in (matrix, frozen, matrix[:2].T, matrix[:, ::-1], matrix[::2], np.asfortranarray(matrix)):
        assert numbers_of(other).tolist() == other.tolist()


@pytest.mark.parametrize("shape", [(4,), (2, 2, 1), (1, 2, 2)])
def test_buffers_of_other_dimensions_are_refused(shape):
    with pytest.raises(TypeError, match=f"in two dimensions, one row after the other, got {len(shape)}; write"):
        numbers_of(np.zeros(shape))


@pytest.mark.parametrize("row", [0, 1, 4])
def test_the_row_of_what_is_no_number_is_named(row):
    rows = [[1.0, 2.0] for _ in range(6)]
    for column in range(2):
        rows[row][column] = "2"
        with pytest.raises(TypeError, match=rf"rows\[{row}\]: "):
            numbers_of(rows)


@pytest.mark.parametrize("kind", ["e", "f", ">f8", "<f4", "i1", "u8", "?", ">i4", object])
def test_arrays_of_other_types_are_converted_where_that_is_exact(kind):
    """Arrays of small floats, ints, bools and objects, in either byte order, give the numbers of lists."""
    x, y = Value(1.0), Value(1.0)
    program = compile([x + 2 * y, x], [x, y])
    assert program.forward(np.array([[1, 0], [1, 1], [0, 1]], kind)).tolist() == [[1.0, 1.0], [3.0, 1.0], [2.0, 0.0]]
    assert program.jacobian(np.array([[1, 0]], kind), dense=True).tolist() == [[[1.0, 2.0], [1.0, 0.0]]]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("n", [0, 1, 2, 37])
@pytest.mark.parametrize("constant", [False, True])
def test_what_is_computed_of_an_array_is_an_array_with_the_numbers_of_lists(threads, n, constant):
    """For rows in an array, results are new arrays of doubles, with the bits that lists of rows give.

    A result whose numbers are constant must be a new array too: the caller may change it.
    """
    x, y, w = Value(1.0), Value(1.0), Value(3.0)
    one = compile(3 * x + y if constant else w * x**2 * y, [x, y])
    two = compile([3 * x + y, y] if constant else [w * x**2 * y, x], [x, y])
    table = np.random.default_rng(0).normal(size=(n, 2))
    rows = table.tolist()
    for f, shape in (
        (one.forward, (n,)),
        (two.forward, (n, 2)),
        (one.gradient, (n, 2)),
        (partial(two.jacobian, dense=True), (n, 2, 2)),
        (two.jacobian, (n, 3)),
        (partial(one.hessian, dense=True), (n, 2, 2)),
        (one.hessian, (n, 0 if constant else 3)),
        (partial(one.gradient, wrt="parameters"), (n, 0 if constant else 1)),
    ):
        found = f(table, threads=threads)
        assert (type(found), found.dtype, found.shape) == (np.ndarray, np.float64, shape)
        assert found.tolist() == f(rows, threads=threads)
        found += 1.0  # this changes no later result
        again = f(table, threads=threads)
        assert again.tolist() == f(rows, threads=threads)


def test_a_function_of_arrays_gives_arrays():
    """A compiled function whose samples are arrays returns arrays, whatever branches the samples take."""
    f = compile(lambda x, y: mc.where(mc.less(x, 0), x * y, x + y), branches=True)
    g = compile(lambda x, y: x * y if x < 0 else x + y, branches=True)
    xs, ys = np.array([1.0, -2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    for function in (f, g):
        for found in (function.forward((xs, ys)), function.gradient((xs, ys)), function.hessian((xs, ys), dense=True)):
            assert type(found) is np.ndarray
        assert function.forward((xs, ys)).tolist() == [5.0, -10.0, 9.0] == function.forward([*zip(xs, ys, strict=True)])
        assert function.gradient((xs, ys)).tolist() == [[1.0, 1.0], [5.0, -2.0], [1.0, 1.0]]
    lists = [[[0.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]
    assert g.hessian((xs, ys), dense=True).tolist() == lists
    assert type(g.hessian((xs, ys))) is list  # the samples have different numbers of entries
    assert compile(lambda x: {"twice": 2 * x}).forward((xs,)) == [{"twice": 2.0}, {"twice": -4.0}, {"twice": 6.0}]


@pytest.mark.parametrize("shift", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize("kind", ["forward", "jacobian", "hessian", "dense"])
def test_out_may_lie_over_the_rows(kind, shift):
    """`out` may overlap the rows: no output is written over a row that has not been read.

    A prepared function reads the rows at each call, so it refuses this.
    """
    x, y = Value(1.0), Value(1.0)
    program = compile(x**3 * y, [x, y]) if kind == "hessian" else compile([x * y + y, x**3 * y], [x, y])
    run = {"dense": partial(program.jacobian, dense=True)}.get(kind) or getattr(program, kind)
    size = {"forward": 2, "hessian": 3, "jacobian": 4, "dense": 4}[kind]
    numbers = np.arange(100.0)
    rows = numbers[10:30].reshape(10, 2)
    expected = run(rows.tolist())
    out = numbers[10 + shift : 10 + shift + 10 * size]
    assert run(rows, out=out) is out
    assert out.tolist() == np.array(expected).ravel().tolist()
    if kind == "forward":
        with pytest.raises(ValueError, match="out overlaps the rows"):
            program.prepare(rows, out)


def test_out_of_no_numbers_is_taken():
    """`out` may be an empty buffer if there is nothing to write."""
    x, y = Value(1.0), Value(1.0)
    program = compile([x * y, x], [x, y])
    scalar = compile(x**3 * y, [x, y])
    for out in (np.empty((0, 2)), np.empty(0), array("d")):
        assert program.forward(np.empty((0, 2)), out=out) is out
        assert program.jacobian(np.empty((0, 2)), out=out) is program.jacobian([], out=out, dense=True) is out
        assert scalar.gradient([], out=out) is scalar.hessian(np.empty((0, 2)), out=out, dense=True) is out
    assert compile(2 * x, [x]).hessian([[1.0]], out=np.empty((1, 0))).shape == (1, 0)
