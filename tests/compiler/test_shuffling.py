"""`fit` shuffles rows as the generator does that it is given, and Python's own generator by machine code."""

import random
from array import array

import numpy as np
import pytest

from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.data import partition
from micrograd_cn.compiler.training import shuffling
from micrograd_cn.optim import SGD


@pytest.fixture(autouse=True)
def compiled():
    partition.compile_kernels()


@pytest.fixture
def by_machine_code(monkeypatch):
    """Return the counts of the rows that machine code has shuffled."""
    counts, shuffle = [], shuffling.shuffle_by_machine_code

    def counted(rows, getrandbits):
        counts.append(len(rows))
        shuffle(rows, getrandbits)

    monkeypatch.setattr(shuffling, "shuffle_by_machine_code", counted)
    return counts


@pytest.mark.parametrize("n", [*range(70), 127, 128, 129, 1000, 1023, 1024, 1025, 4097, 70_000])
def test_machine_code_shuffles_as_python_does_and_leaves_the_generator_as_it_does(n):
    ours, pythons, rows, expected = random.Random(n), random.Random(n), array("q", range(n)), [*range(n)]
    for _ in range(3):
        partition.shuffle_by_machine_code(rows, ours.getrandbits)
        pythons.shuffle(expected)
        assert rows.tolist() == expected
        assert ours.getstate() == pythons.getstate()


@pytest.mark.parametrize("batch", [1, 7, 40])
def test_fit_trains_in_the_order_of_the_generator(batch, by_machine_code):
    xs = np.linspace(-1.0, 1.0, 40)
    for shuffle, other in [(random.Random(3), random.Random(3)), (random, random.Random(5))]:
        random.seed(5)
        w, expected, order = Value(0.5), 0.5, [*range(40)]
        compile(lambda x, w=w: (w * x - 1.0) ** 2).fit((xs,), SGD([w], lr=0.1), 3, batch, shuffle=shuffle)
        for _ in range(3):
            other.shuffle(order)
            for begin in range(0, 40, batch):
                some = xs[order[begin : begin + batch]]
                expected -= 0.1 * float(np.mean(2.0 * some * (expected * some - 1.0)))
        assert w.data == pytest.approx(expected, rel=1e-12)
    assert by_machine_code[-6:] == [40] * 6


def test_generators_of_users_shuffle_a_list_themselves(by_machine_code):
    seen = []

    class Own(random.Random):
        def shuffle(self, x):
            seen.append([*x])
            x.reverse()

    patched = random.Random(0)
    patched.shuffle = Own().shuffle
    for shuffle in (Own(0), patched, np.random.default_rng(0), random.SystemRandom()):
        order = shuffling.shuffled(array("q", range(100)), shuffle)
        assert sorted(order) == [*range(100)]
    assert seen == [[*range(100)]] * 2
    assert not by_machine_code


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
@pytest.mark.parametrize("n", [1, 2, 3, 100, 1000, 4097])
def test_generators_of_numpy_shuffle_an_array_as_they_shuffle_a_list(make, n):
    ours, numpys, order, expected = make(n), make(n), array("q", range(n)), [*range(n)]
    for _ in range(3):
        order = shuffling.shuffled(order, ours)
        numpys.shuffle(expected)
        assert order.tolist() == expected
        assert ours.random() == numpys.random()


def test_another_algorithm_of_python_is_followed(monkeypatch):
    """If a later version of Python shuffles in another way, so does `fit`."""

    def reverse(generator, x):
        x.reverse()

    for place, name in ((random.Random, "shuffle"), (shuffling, "SHUFFLE")):
        monkeypatch.setattr(place, name, reverse)
    shuffling._does_as_python.cache_clear()
    try:
        assert shuffling.shuffled(array("q", range(100)), random.Random(0)).tolist() == [*range(99, -1, -1)]
    finally:
        shuffling._does_as_python.cache_clear()
