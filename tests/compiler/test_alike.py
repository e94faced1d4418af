"""Samples that are alike are read argument by argument, into the same rows as if they were read one by one."""

import random
from array import array
from collections import namedtuple

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.data import samples as samples_module
from micrograd_cn.compiler.data.alike import SAMPLES_PER_CHUNK, arrays_of_one_shape
from micrograd_cn.compiler.data.samples import bucket_columns, bucket_samples
from micrograd_cn.optim import SGD

Pair = namedtuple("Pair", "left right")


def split(numbered):
    _, sample = numbered
    return (), {f"a{k}": x for k, x in enumerate(sample)}


# Functions that return an argument of a sample; `n` is a length.
KINDS = {
    "float": lambda rng, n: rng.gauss(0, 1),
    "int": lambda rng, n: rng.choice([3, -2, 10**300]),
    "number": lambda rng, n: rng.choice([3, 2.5, np.float64(0.1), np.int64(-7), float("nan"), -0.0]),
    "list": lambda rng, n: [rng.gauss(0, 1) for _ in range(n)],
    "list of ints": lambda rng, n: [rng.randrange(5) for _ in range(n)],
    "tuple": lambda rng, n: tuple([rng.choice([1, 2.5, np.float64(3)]) for _ in range(n)]),
    "array": lambda rng, n: np.array([rng.gauss(0, 1) for _ in range(n)]),
    "column of an array": lambda rng, n: np.arange(3.0 * n).reshape(n, 3)[:, 1],
    "integers": lambda rng, n: np.array([rng.randrange(5) for _ in range(n)], dtype=int),
    "bools": lambda rng, n: np.array([rng.random() < 0.5 for _ in range(n)], dtype=bool),
    "float32": lambda rng, n: np.array([rng.gauss(0, 1) for _ in range(n)], dtype=np.float32),
    "big-endian": lambda rng, n: np.array([rng.gauss(0, 1) for _ in range(n)], dtype=">f8"),
    "matrix": lambda rng, n: np.arange(2.0 * n).reshape(n, 2),
    "transposed": lambda rng, n: np.arange(2.0 * n).reshape(2, n).T,
    "rows": lambda rng, n: [[rng.gauss(0, 1), 2] for _ in range(n)],
    "ragged rows": lambda rng, n: [[1.0] * rng.randrange(3) for _ in range(n)],
    "tuples": lambda rng, n: [(1.0, k) for k in range(n)],
    "arrays": lambda rng, n: [np.arange(2.0) + k for k in range(n)],
    "arrays of many shapes": lambda rng, n: [np.zeros(rng.randrange(1, 3)) for _ in range(n)],
    "namedtuple": lambda rng, n: Pair(rng.gauss(0, 1), 2),
    "dict": lambda rng, n: {"x": [1.0] * n, "y": 2.0},
    "dict of dicts": lambda rng, n: {"x": {"y": rng.choice([1, 2.5])}, "z": Pair([1.0] * n, (2.0,))},
    # These are read one by one.
    "dict of many keys": lambda rng, n: rng.choice([{"x": 1.0, "y": 2.0}, {"y": 1.0, "x": 2.0}, {"x": 1.0}]),
    "dict of integers": lambda rng, n: {1: 2.0, 3: [1.0] * n},
    "empty dict": lambda rng, n: {},
    "deep": lambda rng, n: [[[1.0] * n]],
    "bool": lambda rng, n: rng.random() < 0.5,
    "scalar": lambda rng, n: np.array(2.0),
    "mixed": lambda rng, n: rng.choice([1.0, [2.0], (3.0, 4.0), np.ones(2), [np.ones(1), 2.0]]),
    "of many dtypes": lambda rng, n: np.arange(n, dtype=rng.choice([float, int])),
}


@pytest.mark.parametrize("first", KINDS)
def test_rows_are_those_of_samples_that_are_read_one_by_one(first, monkeypatch):
    rng = random.Random(first)
    for trial in range(12):
        count, longest = rng.choice([8, 30, 2 * SAMPLES_PER_CHUNK + 3]), rng.choice([1, 2, 6])
        kinds = [KINDS[name] for name in [first, *rng.choices([*KINDS], k=trial % 3)]]
        same = rng.random() < 0.3
        data = [
            rng.choice([tuple, list])([make(rng, longest if same else rng.randrange(longest + 1)) for make in kinds])
            for _ in range(count)
        ]
        found = bucket_samples(data, split)
        with monkeypatch.context() as patch:
            patch.setattr(samples_module, "MIN_ALIKE", 10**9)
            expected = bucket_samples(data, split)
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert (a.treedef, a.static, a.width, list(a.samples)) == (b.treedef, b.static, b.width, list(b.samples))
            assert a.numbers.tobytes() == b.numbers.tobytes()


@pytest.mark.parametrize("first", KINDS)
def test_columns_of_lists_are_read_like_samples_one_by_one(first, monkeypatch):
    rng = random.Random(first)
    monkeypatch.setattr(samples_module, "MIN_ALIKE", 10**9)
    for name in KINDS:
        count, length = rng.choice([1, 5]), rng.choice([0, 1, 3])
        columns = {"a0": [KINDS[first](rng, length) for _ in range(count)]}
        columns["a1"] = [KINDS[name](rng, length) for _ in range(count)]
        found = bucket_columns(columns)
        if found is None:
            continue
        [expected] = bucket_samples([*zip(*columns.values(), strict=True)], split)
        assert (found.treedef, found.width, [*found.samples]) == (expected.treedef, expected.width, [*expected.samples])
        assert array("d", found.numbers).tobytes() == expected.numbers.tobytes()


def test_structures_are_read_once_for_each_group(monkeypatch):
    calls = []
    original = samples_module.treedef_of
    monkeypatch.setattr(samples_module, "treedef_of", lambda x, numbers: calls.append(x) or original(x, numbers))
    rng = np.random.default_rng(0)
    data = [(rng.normal(size=2 + k % 5), [[1.0, 2.0]] * (k % 3), float(k)) for k in range(600)]
    assert len(bucket_samples(data, split)) == 15
    assert len(calls) < 3 * 15 + 45


def others(x):
    """Return arguments of the same length as the array `x`, or of the same shape, that are read otherwise."""
    yield from (x[::-1], x.astype("f4"), (9 * x).astype("i8"), x.astype(">f8"), np.repeat(x, 2)[::2], x * np.nan)
    yield from (x.tolist(), tuple(x.tolist()), [np.float64(number) for number in x], x.reshape(-1, 1))
    yield from (dict.fromkeys(map(str, x), 1.0), {"x": x}, [x], x.view(Own))


class Own(np.ndarray):
    """A subclass of the class of arrays, with no operators of its own."""


@pytest.mark.parametrize("k", range(14))
@pytest.mark.parametrize("where", [slice(None), slice(3, 4), slice(0, 1), slice(-1, None)])
def test_what_is_kept_for_arrays_of_some_shapes_is_used_for_such_arrays_alone(k, where, monkeypatch):
    """Samples of the same lengths are read anew, also if their arrays have other numbers, dtypes, orders or classes."""
    rng = np.random.default_rng(0)
    first = [(rng.normal(size=1 + i % 3), rng.normal()) for i in range(12)]
    second = [*first]
    second[where] = [([*others(x)][k], y) for x, y in first[where]]
    read_only = [(x.copy(), y) for x, y in first]
    for x, _ in read_only:
        x.setflags(write=False)
    for samples in (first, second, [(y, x) for x, y in first], read_only, [(-x, y) for x, y in first], first):
        found = bucket_samples(samples, split)
        with monkeypatch.context() as patch:
            patch.setattr(samples_module, "MIN_ALIKE", 10**9)
            expected = bucket_samples(samples, split)
        for a, b in zip(found, expected, strict=True):
            assert (a.treedef, a.width, [*a.samples]) == (b.treedef, b.width, [*b.samples])
            assert a.numbers.tobytes() == b.numbers.tobytes()
    renamed = bucket_samples(first, lambda numbered: ((), dict(zip("uv", numbered[1], strict=True))))
    assert [name for name, _ in renamed[0].treedef] == ["u", "v"]


@pytest.mark.parametrize("wrong", ["2", None, 1j, [1.0, "2"], np.array(["a"]), [[1.0], ["2"]], Value(1.0)])
def test_a_wrong_sample_is_named(wrong):
    f = compile(lambda x, t: t)
    for good in ([1.0, 2.0], np.ones(2), [[1.0], [2.0]]):
        with pytest.raises(TypeError, match="sample 11: "):
            f.forward([*[(good, 1.0)] * 11, (wrong, 1.0), *[(good, 1.0)] * 5])


def test_a_sample_with_too_few_arguments_is_named():
    f = compile(lambda x, t: x + t)
    with pytest.raises(TypeError, match="sample 9 does not have the arguments"):
        f.forward([*[(1.0, 2.0)] * 9, (1.0,)])


def test_arguments_that_are_bound_otherwise_are_read_one_by_one():
    assert compile(lambda *xs: mc.sum(xs) * len(xs)).forward([(float(k),) for k in range(10)]) == [
        *map(float, range(10))
    ]
    with_default = compile(lambda x, y=3.0: x * y)
    assert with_default.forward([(float(k),) for k in range(10)]) == [3.0 * k for k in range(10)]
    static = compile(lambda x, n: x * n, static="n")
    assert static.forward([(1.0, k) for k in range(10)]) == [*map(float, range(10))]
    Pair = namedtuple("Pair", "x y")
    assert compile(lambda p: p.x * p.y).forward([(Pair(1.0, k),) for k in range(10)]) == [*map(float, range(10))]


def test_training_with_many_lengths_is_a_loop_over_the_samples():
    rng = np.random.default_rng(0)
    data = [(rng.normal(size=2 + k % 4), float(k)) for k in range(20)]

    def train(fit):
        w = Value(0.5)

        def loss(xs, t):
            h = 0.0
            for x in xs:
                h = (h * w + x).tanh()
            return (h - t) ** 2

        optimizer = SGD([w], lr=0.01)
        if fit:
            compile(loss).fit(data, optimizer, epochs=3, batch_size=6)
        else:
            for _ in range(3):
                for start in range(0, 20, 6):
                    batch = data[start : start + 6]
                    optimizer.zero_grad()
                    (mc.sum([loss(*sample) for sample in batch]) / len(batch)).backward()
                    optimizer.step()
        return w.data

    assert train(True) == pytest.approx(train(False), rel=1e-12)


def test_lists_and_tuples_are_told_apart_however_many_samples_there_are():
    f = compile(lambda x: x[0][0] + (100 if isinstance(x[0], tuple) else 0))
    samples = [([[1.0, 2.0]],)] * 64 + [([(1.0, 2.0)],)] * 64
    assert f.forward(samples) == [1.0] * 64 + [101.0] * 64


FORMS = {
    "doubles": lambda x: x,
    "floats": lambda x: x.astype("f4"),
    "integers": lambda x: (9 * x).astype("i8"),
    "bools": lambda x: x > 0,
    "big-endian": lambda x: x.astype(">f8"),
    "not contiguous": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "in Fortran's order": np.asfortranarray,
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("shape", [(3,), (2, 3), (0,), (2, 0)])
def test_arrays_of_one_shape_are_read_like_samples_one_by_one(name, shape, monkeypatch):
    rng = np.random.default_rng(0)
    rows = [(FORMS[name](rng.normal(size=shape)), rng.normal(), rng.normal(size=2)) for _ in range(20)]
    if name == "floats":
        rows[7] = (rng.normal(size=shape), *rows[7][1:])  # another dtype
    [found] = bucket_samples(rows, split)
    monkeypatch.setattr(samples_module, "MIN_ALIKE", 10**9)
    [expected] = bucket_samples(rows, split)
    assert (found.treedef, found.width, [*found.samples]) == (expected.treedef, expected.width, [*expected.samples])
    assert array("d", found.numbers) == array("d", expected.numbers)


@pytest.mark.parametrize(
    "first", [(), (0,), (2,), (0, 1), (0, 2), (2, 0), (1, 2), (2, 1), (2, 2), (0, 2, 2), (2, 2, 0)]
)
@pytest.mark.parametrize("last", [(), (0,), (2,), (0, 1), (0, 2), (2, 0), (1, 2), (2, 1), (2, 2), (0, 2, 2), (2, 2, 0)])
def test_arrays_are_joined_only_if_all_have_the_same_shape(first, last):
    """Arrays without numbers differ in their shapes, too."""
    arrays = [np.full(first, 1.0), np.full(first, 2.0), np.full(last, 3.0)]
    found = arrays_of_one_shape(arrays)
    assert (found is not None) == (first == last != ())
    if found:
        shape, numbers = found
        assert (shape, [*numbers]) == (first, np.stack(arrays).ravel().tolist())


@pytest.mark.parametrize("wrong", [["1"], [1j], [Value(1.0)], np.array(["2020-01-01"], "M8[D]"), np.array([1], "g")])
def test_arrays_of_other_things_are_refused_if_all_samples_have_them(wrong):
    """Texts, dates, complex numbers, `Value`s and longer floating-point numbers are no doubles."""
    with pytest.raises(TypeError, match="sample 0"):
        bucket_samples([(np.array(wrong),)] * 20, split)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "bool", "bfloat16"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_tensors_of_one_shape_are_read_like_samples_one_by_one(dtype, shape, monkeypatch):
    torch = pytest.importorskip("torch")
    rows = [(9 * torch.randn(shape)).to(getattr(torch, dtype)) for _ in range(20)]
    rows = [(x, float(i)) for i, x in enumerate(rows)]
    [found] = bucket_samples(rows, split)
    with pytest.raises(TypeError, match="sample 7"):
        bucket_samples([*rows[:7], (torch.ones(shape, requires_grad=True), 7.0), *rows[8:]], split)
    monkeypatch.setattr(samples_module, "MIN_ALIKE", 10**9)
    [expected] = bucket_samples(rows, split)
    assert (found.treedef, found.width, [*found.samples]) == (expected.treedef, expected.width, [*expected.samples])
    assert array("d", found.numbers) == array("d", expected.numbers)
