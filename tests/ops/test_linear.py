"""`solve` agrees with numpy, chooses its pivots again for other numbers, and has derivatives."""

import math
import random

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.testing import gradcheck


def system(n, seed):
    rng = random.Random(seed)
    return [[rng.uniform(-1, 1) for _ in range(n)] for _ in range(n)], [rng.uniform(-1, 1) for _ in range(n)]


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_solutions_are_those_of_numpy(n):
    for seed in range(5):
        a, b = system(n, seed)
        expected = np.linalg.solve(a, b)
        assert mc.solve(a, b) == pytest.approx(expected.tolist(), rel=1e-9)
        values = mc.solve([[Value(x) for x in row] for row in a], np.array(b))
        assert [x.data for x in values] == mc.solve(np.array(a), tuple(b))
        inverse = mc.solve(a, np.eye(n))
        assert inverse == pytest.approx(np.linalg.inv(a), rel=1e-9)


def test_a_compiled_solution_chooses_its_pivots_again():
    f = compile(lambda a, b: mc.solve(a, b))
    for a in ([[0.0, 2.0], [3.0, 1.0]], [[4.0, 1.0], [0.0, 2.0]], [[1e-20, 1.0], [1.0, 1.0]], [[1.0, 2.0], [2.0, 1.0]]):
        assert f(a, [1.0, 2.0]) == pytest.approx(np.linalg.solve(a, [1.0, 2.0]).tolist(), rel=1e-14)
    assert len(f._store.recordings) == 1


def test_solutions_have_derivatives():
    a, b = system(3, 1)
    gradcheck(lambda *xs: mc.sum(mc.solve([xs[0:3], xs[3:6], xs[6:9]], xs[9:])), *[x for row in a for x in row], *b)


def test_a_singular_matrix_gives_no_number():
    assert not all(map(math.isfinite, mc.solve([[1.0, 2.0], [2.0, 4.0]], [1.0, 1.0])))
    assert mc.solve([], []) == []


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([[1.0, 2.0]], [1.0], "square matrix, got 1 rows of 2 numbers"),
        ([[1.0, 2.0], [3.0]], [1.0, 2.0], "square matrix, got 2 rows of 1 and 2 numbers"),
        ([[1.0]], [1.0, 2.0], "as many numbers on the right as the matrix has rows, got 2 and 1"),
        ([[1.0, 0.0], [0.0, 1.0]], [[1.0], [1.0, 2.0]], "rows of one length on the right, got 1 and 2"),
    ],
)
def test_what_is_no_system_is_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        mc.solve(a, b)
