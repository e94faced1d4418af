"""Samples in several large arrays are read where they are, and give the same numbers as rows that are one array."""

import random
import tracemalloc
from array import array
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import GuardError, compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.data.columns import MAX_NUMBERS, Columns, together
from micrograd_cn.losses import binary_cross_entropy_with_logits, cross_entropy
from micrograd_cn.optim import SGD

N = 3001  # so the last block of rows is not full


def data(*widths, n=N, seed=0):
    """Return an array for each width; a width of 0 means a number for each sample."""
    rng = np.random.default_rng(seed)
    found = tuple([rng.normal(size=(n, width) if width else n) for width in widths])
    assert sum(x.size for x in found) > MAX_NUMBERS
    return found


def near(a, b, rel=1e-12, atol=0.0):
    """Return whether two arrays have the same shape, and nearly the same numbers. For these, `approx` takes long."""
    return a.shape == b.shape and np.allclose(a, b, rtol=rel, atol=atol)


def flat(columns):
    return np.column_stack(columns)


@pytest.mark.parametrize("widths", [(20, 0), (0, 20), (9, 0, 1, 12, 0), (0, 0, 30, 2), (8, 8, 8), (30, 0, 0)])
def test_all_results_are_those_of_rows_in_one_array(widths):
    weights = [Value(0.1 * k - 1) for k in range(sum(max(w, 1) for w in widths))]
    columns = data(*widths)

    def of(*args):
        numbers = [x for a in args for x in (a if isinstance(a, np.ndarray) else [a])]
        return mc.dot(weights, numbers).tanh() + numbers[0] * numbers[-1]

    takes = {
        2: lambda a, b: of(a, b),
        3: lambda a, b, c: of(a, b, c),
        4: lambda a, b, c, d: of(a, b, c, d),
        5: lambda a, b, c, d, e: of(a, b, c, d, e),
    }
    several = compile(takes[len(widths)])
    one = compile(lambda v: mc.dot(weights, list(v)).tanh() + v[0] * v[len(v) - 1])
    rows = (flat(columns),)
    for method in ("forward", "gradient", "value_and_grad"):
        for threads in (1, 2):
            found, expected = (getattr(f, method)(x, threads=threads) for f, x in ((several, columns), (one, rows)))
            for a, b in zip(found, expected, strict=True):
                assert np.array_equal(a, b)
    assert several.forward(columns).shape == (N,)
    assert several.hessian(columns, mean=True).tolist() == one.hessian(rows, mean=True).tolist()
    assert np.array_equal(several.jacobian(columns, dense=True), one.jacobian(rows, dense=True))
    for each in (False, True):
        a, b = (f.value_and_grad(x, "inputs", each=each) for f, x in ((several, columns), (one, rows)))
        assert np.array_equal(a[0], b[0])
        assert np.array_equal(a[1], b[1])
    several.check(tuple([column[:3] for column in columns]))


@pytest.mark.parametrize("batch_size", [None, 1, 7, 500])
@pytest.mark.parametrize("threads", [1, 2])
def test_fit_takes_the_steps_that_it_takes_with_rows_in_one_array(batch_size, threads):
    x, y = data(20, 0)
    found = []
    for columns in (True, False):
        weights = [Value(0.0) for _ in range(20)]
        f = (
            compile(lambda x, t, weights=weights: (mc.dot(weights, x) - t) ** 2)
            if columns
            else compile(lambda v, weights=weights: (mc.dot(weights, v[:20]) - v[20]) ** 2)
        )
        samples = (x, y) if columns else (flat((x, y)),)
        losses = f.fit(
            samples, SGD(weights, lr=0.001), epochs=2, batch_size=batch_size, shuffle=random.Random(3), threads=threads
        )
        found.append((losses, [w.data for w in weights]))
    assert found[0][1] == found[1][1]
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)


@pytest.mark.parametrize("epochs", [1, 3, 4, 5])  # from 4 on, shuffled rows are copied side by side
@pytest.mark.parametrize("widths", [(7, 1, 3), (0, 7), (8, 0)])
def test_rows_of_narrow_columns_are_shuffled_as_rows_in_one_array(widths, epochs):
    columns, found = data(*widths, n=10_000), []
    count = sum(max(width, 1) for width in widths)
    names = ", ".join([f"x{k}" for k in range(len(widths))])
    for samples, arguments in ((columns, names), ((flat(columns),), "x0")):
        weights = np.array([Value(0.0) for _ in range(count)])
        row = {"np": np, "mc": mc, "weights": weights}
        f = compile(eval(f"lambda {arguments}: (mc.dot(weights, np.hstack([{arguments}])) - 1) ** 2", row))
        losses = f.fit(samples, SGD(list(weights), lr=0.001), epochs, batch_size=100, shuffle=random.Random(3))
        found.append((losses, [w.data for w in weights]))
    assert found[0] == found[1]


def test_arrays_are_neither_copied_side_by_side_nor_their_rows_listed():
    """A pass over large arrays takes less memory than a tenth of theirs, or than two integers for each row."""
    x, y = data(40, 0, n=20_000)
    weights = [Value(0.0) for _ in range(40)]
    f = compile(lambda x, t: (mc.dot(weights, x) - t) ** 2)
    optimizer = SGD(weights, lr=0.001)
    runs = {
        "backward": lambda: f.backward((x, y)),
        "value_and_grad": lambda: f.value_and_grad((x, y)),
        "forward": lambda: f.forward((x, y)),
        "fit": lambda: f.fit((x, y), optimizer, epochs=2),
    }
    for name, run in runs.items():
        run()
        tracemalloc.start()
        try:
            run()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 0.1 * x.nbytes, name
        assert peak < 16 * len(x) + 100_000, name


@pytest.mark.parametrize("count", [1, 2])
def test_arrays_that_cannot_be_written_are_read_where_they_are(count):
    """A read-only array gives the numbers of a writable one, and is not copied, unless there are few numbers."""
    weights = [Value(0.1 * k) for k in range(40)]
    one = compile(lambda x: mc.dot(weights, x).tanh())
    f = one if count == 1 else compile(lambda x, t: (mc.dot(weights, x) - t).tanh())
    for n in (10, 20_000):
        x, y = np.random.default_rng(0).normal(size=(n, 40)), np.ones(n)
        expected = [getattr(f, name)((x, y)[:count]) for name in ("forward", "gradient", "value_and_grad")]
        x.flags.writeable = y.flags.writeable = False
        samples = (x, y)[:count]
        for name, other in zip(("forward", "gradient", "value_and_grad"), expected, strict=True):
            getattr(f, name)(samples)
            tracemalloc.start()
            try:
                found = getattr(f, name)(samples)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert all(np.array_equal(a, b) for a, b in zip(found, other, strict=True))
            if n > 10 and name != "gradient":
                assert peak < 0.1 * x.nbytes
        losses = f.fit(samples, SGD(weights, lr=0.0), epochs=2, batch_size=7)
        assert losses[0] == pytest.approx(float(expected[2][0]), rel=1e-12)
        assert f.forward([(x[k], y[k])[:count] for k in range(9)]) == pytest.approx(expected[0][:9].tolist())
    with pytest.raises(TypeError, match="readonly"):
        f.forward(samples, out=y)


def test_no_memory_of_the_results_is_read_as_rows():
    x, y = data(20, 0)
    f = compile(lambda x, t: x[0] + t)
    expected = x[:, 0] + y
    assert np.array_equal(f.forward((x, targets := y.copy()), out=targets), expected)
    for place in (slice(N), slice(-N, None)):
        copied = x.copy()
        assert np.array_equal(f.forward((copied, y), out=copied.reshape(-1)[place]), expected)


@pytest.mark.parametrize("called", ["callback", "schedule", "progress", "shuffle"])
def test_a_function_that_changes_an_array_does_not_change_what_fit_reads(called):
    x, y = data(20, 0)
    found = []
    for changes in (False, True):
        weights = [Value(0.0) for _ in range(20)]
        f = compile(lambda x, t, weights=weights: (mc.dot(weights, x) - t) ** 2)
        arrays = x.copy(), y.copy()

        def change(*_, arrays=arrays, changes=changes):
            if changes:
                for x in arrays:
                    x[:] = 100.0
            return 0.001 if called == "schedule" else None

        option = type("Shuffler", (), {"shuffle": staticmethod(change)})() if called == "shuffle" else change
        optimizer = SGD(weights, lr=0.001)
        losses = f.fit(arrays, optimizer, epochs=3, batch_size=1000, each_step=True, **{called: option})
        found.append(list(losses))  # those of steps; the mean of an epoch is rounded in an order that depends on time
    assert found[0] == found[1]


def test_errors_name_the_sample():
    x, y = data(20, 0)
    classes = np.zeros(N)
    w = Value(1.0)

    @compile
    def loss(x, c):
        return cross_entropy([w * x[k] for k in range(3)], c)

    assert loss.value_and_grad((x, classes))[0] == pytest.approx(loss.forward((x, classes)).mean())
    classes[777] = 5
    for method in ("backward", "value_and_grad"):
        with pytest.raises(IndexError, match="sample 777"):
            getattr(loss, method)((x, classes))
    with pytest.raises(IndexError, match="sample 777"):
        loss.fit((x, classes), SGD([w], lr=0.1), epochs=1)

    branching = compile(lambda x, t: w * x[0] if t > -10 else w * x[1])
    branching.forward((x, y))
    y[55] = -11
    with pytest.raises(GuardError, match="sample 55"):
        branching.forward((x, y))
    y[55] = 1.0
    x[99, 3] = np.inf
    with mc.detect_anomaly(), pytest.raises(FloatingPointError, match="row 99"):
        compile(lambda x, t: w * x[3] * t - x[3]).backward((x, y))


def test_branches_get_their_rows():
    x, y = data(20, 0)
    w = Value(2.0)
    f = compile(lambda x, t: w * x[0] if t > 0 else x[1] - w, branches=True)
    expected = np.where(y > 0, 2.0 * x[:, 0], x[:, 1] - 2.0)
    assert np.array_equal(f.forward((x, y)), expected)
    assert f.value_and_grad((x, y))[1] == pytest.approx([np.where(y > 0, x[:, 0], -1.0).mean()])
    f.fit((x, y), SGD([w], lr=0.0), epochs=1, batch_size=500)


def test_one_sample_of_many_numbers():
    x, t = np.arange(30_000.0).reshape(1, -1), np.array([2.0])
    f = compile(lambda x, t: x[0] + x[29_999] * t)
    for _ in range(60):
        assert f.forward((x, t)).tolist() == [59_998.0]


def test_small_columns_are_copied_side_by_side_and_large_ones_stay():
    small = together([np.zeros(10).data, np.ones(10).data], 10)
    assert not isinstance(small, Columns)
    wide, narrow = array("d", [1.0]) * (8 * MAX_NUMBERS), array("d", [2.0]) * MAX_NUMBERS
    found = together([narrow, wide], MAX_NUMBERS)
    assert isinstance(found, Columns)
    assert found.parts[0] is narrow
    assert found.parts[1] is wide


@pytest.mark.parametrize("calls", [1, 60])  # 60 are enough for a prepared call, see `is_worth_preparing`
@pytest.mark.parametrize("n", [2, 7, 8, 9, 31, 32, 33, 500, 4000])
def test_arguments_of_every_width_are_read(n, calls):
    """Rows are transposed as whole vectors, as parts of vectors, or singly, and the last block is not full."""
    rng = np.random.default_rng(n)
    widths = [*range(1, 19)] if n < 50 else [1, 3, 7, 1, 9]
    arrays = tuple(rng.normal(size=(n, k)) for k in widths)
    weights = [np.array([Value(x) for x in rng.normal(size=k)]) for k in widths]
    values = [np.array([w.data for w in each]) for each in weights]
    names = ", ".join([f"x{k}" for k in range(len(widths))])
    total = eval(f"lambda {names}: sum([x @ w for x, w in zip([{names}], weights)])", {"weights": weights})
    f = compile(total)
    expected = sum(x @ w for x, w in zip(arrays, values, strict=True))
    parameters = [w for each in weights for w in each]
    for _ in range(calls):
        out, (mean, gradient) = f.forward(arrays), f.value_and_grad(arrays, parameters)
    assert near(out, expected, atol=1e-12)
    assert mean == pytest.approx(expected.mean(), rel=1e-12, abs=1e-12)
    assert gradient == pytest.approx(np.concatenate([x.mean(axis=0) for x in arrays]), rel=1e-12, abs=1e-12)


def read_only(x):
    x.flags.writeable = False
    return x


def unaligned(x):
    found = np.frombuffer(bytearray(x.nbytes + 1), dtype=np.uint8)[1:].view(float).reshape(x.shape)
    found[...] = x
    return found


FORMS = {
    "as they are": lambda x: x,
    "read-only": read_only,
    "float32": lambda x: x.astype(np.float32),
    "integers": lambda x: (8 * x).astype(int),
    "other bytes first": lambda x: x.astype(">f8"),
    "columns": np.asfortranarray,
    "every other": lambda x: np.repeat(x, 2, axis=0)[::2],
    "reversed": lambda x: x[::-1],
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
    "not aligned": unaligned,
}


@pytest.mark.parametrize("of", FORMS)
@pytest.mark.parametrize("shapes", [((3000, 2), (3000,)), ((500, 8), (500,)), ((9000,), (9000, 1)), ((1, 5000), (1,))])
def test_large_arrays_of_prepared_calls_are_read_in_any_form(shapes, of):
    w, rng = Value(2.0), np.random.default_rng(0)
    f = compile(lambda x, y: (w * np.ravel(x)[-1] - np.ravel(y)[0]) ** 2)
    given = [[FORMS[of](np.round(rng.normal(size=shape), 2)) for shape in shapes] for _ in range(3)]
    for x, y in given[:1] * 51:  # later calls are prepared
        f.forward((x, y)), f.value_and_grad((x, y))
    for x, y in given:
        first, last = x.reshape(len(x), -1)[:, -1].astype(float), y.reshape(len(y), -1)[:, 0].astype(float)
        out, (mean, [gradient]) = f.forward((x, y)), f.value_and_grad((x, y))
        assert near(out, (2.0 * first - last) ** 2)
        assert mean == pytest.approx(out.mean(), rel=1e-12)
        assert gradient == pytest.approx((2.0 * (2.0 * first - last) * first).mean(), rel=1e-12, abs=1e-12)


def test_prepared_calls_of_large_arrays_in_several_threads():
    w, n = Value(2.0), 5000
    f = compile(lambda x, y: w * x + y)
    given = [(np.full(n, float(k)), np.full(n, 0.5)) for k in range(8)]
    for x in given * 8:
        f.forward(x)
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(f.forward, given * 40)]
    assert all((x == 2.0 * (k % 8) + 0.5).all() for k, x in enumerate(found))


def test_a_call_with_one_large_array():
    w = Value(2.0)
    f = compile(lambda x: w * x[0] + x[-1])
    for k in range(60):
        assert f(np.arange(30_000.0) + k) == 2.0 * k + 29_999 + k


@pytest.mark.parametrize("n", [2, 40, 10_000])
def test_arguments_without_numbers_are_read(n):
    w, (x, y) = Value(3.0), (np.arange(2.0 * n).reshape(n, 2), np.ones(n))
    f = compile(lambda a, x, b, y: w * x[1] + y)
    for _ in range(60):
        mean, [gradient] = f.value_and_grad((np.zeros((n, 0)), x, np.zeros((n, 0, 3)), y))
    assert gradient == x[:, 1].mean() == n
    assert mean == 3.0 * n + 1.0


def test_columns_are_a_sequence_of_the_rows_numbers():
    a, b = array("d", range(12)), array("d", range(100, 108))
    columns = Columns([a, b], 4)
    every = columns.flat()
    expected = [0, 1, 2, 100, 101, 3, 4, 5, 102, 103, 6, 7, 8, 104, 105, 9, 10, 11, 106, 107]
    assert list(every) == list(columns) == expected
    assert [columns[k] for k in range(-20, 20)] == expected * 2
    for cut in (
        slice(5, 10),
        slice(0, 20),
        slice(3, None, 5),
        slice(4, None, 5),
        slice(1, 19, 3),
        slice(2, 8),
        slice(5, 5),
    ):
        assert list(columns[cut]) == expected[cut]
    with pytest.raises(IndexError):
        columns[20]
    assert np.asarray(columns).tolist() == np.reshape(expected, (4, 5)).tolist()
    assert np.asarray(columns.giving_numpy(), dtype=int).dtype == int


def test_logistic_regression_gives_the_gradient_of_numpy():
    x, y = data(20, 0)
    y = (y > 0).astype(float)
    weights = [Value(0.05 * k) for k in range(20)]
    f = compile(lambda x, t: binary_cross_entropy_with_logits(mc.dot(weights, x), t))
    z = x @ np.array([w.data for w in weights])
    gradient = x.T @ (1 / (1 + np.exp(-z)) - y) / N
    assert f.value_and_grad((x, y))[1] == pytest.approx(gradient, rel=1e-10, abs=1e-13)


@pytest.mark.parametrize("offset", [0, 1, 3, 4])
def test_an_array_may_begin_at_any_address(offset):
    """A part of a file's bytes, for example, need not be aligned."""
    count = 40
    xs = np.frombuffer(bytearray(8 * count + offset), dtype=float, offset=offset, count=count)
    xs[:] = np.arange(count)
    w = Value(2.0)
    f, program = compile(lambda x: w * x), compile(w * (x := Value(0.0)), [x])
    for _ in range(3):
        assert f.forward(xs).tolist() == [2.0 * k for k in range(count)]
        assert program.forward(xs.reshape(-1, 1)).tolist() == [2.0 * k for k in range(count)]
        assert f.forward((xs,)).tolist() == [2.0 * k for k in range(count)]
