"""An entry is left out where it is zero whatever the numbers are, and only there; constants are known."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

import micrograd_cn as mc
from micrograd_cn import Op, Value
from micrograd_cn.derivatives.finite_field import PRIME, FieldEvaluator
from micrograd_cn.derivatives.sparse import sparse_gradient
from micrograd_cn.derivatives.sparse import sparse_hessian as hessian_entries
from micrograd_cn.derivatives.sparse import sparse_jacobian as jacobian_entries
from micrograd_cn.engine import constant
from micrograd_cn.functional import sparse_hessian, sparse_jacobian

from .test_sparse import places

FLAT = Op("flat", lambda x: x - x + 1.0, (lambda y, x: x - x,))
ZEROS = {
    "x - x": (lambda x, y: x - x + y * y, {(1, 1)}),
    "x*y - y*x": (lambda x, y: x * y - y * x, set()),
    "expanded": (lambda x, y: (x + y) ** 2 - x**2 - 2 * x * y, {(1, 1)}),
    "divided": (lambda x, y: (x**2 - y**2) / (x - y), set()),
    "inverse": (lambda x, y: x**-1 * x**3 - x * x + y**0 + y**1, set()),
    "inside": (lambda x, y: mc.sin(x * y - y * x + x), {(0, 0)}),
    "of functions": (lambda x, y: mc.sin(x * y) - mc.sin(y * x), set()),
    "linear": (lambda x, y: 3 * x - y / 7 + 2, set()),
    "dot": (lambda x, y: mc.dot([x, y], [y, -x]), set()),
    "sum": (lambda x, y: mc.sum([x * x, y, -(x**2)]), set()),
    "comparison": (lambda x, y: mc.less(x, y) + mc.step(x) + mc.equal(x, y), set()),
    "times comparison": (lambda x, y: mc.less(x, y) * x * x, {(0, 0)}),
    "maximum": (lambda x, y: mc.maximum(x, y), set()),
    "square of maximum": (lambda x, y: mc.maximum(x, y) ** 2, {(0, 0), (0, 1), (1, 0), (1, 1)}),
    "relu": (lambda x, y: mc.relu(x - 1e300) ** 2, {(0, 0)}),  # nowhere near
    "where": (lambda x, y: mc.where(mc.less(x, -1e300), x * y, 0), {(0, 1), (1, 0)}),
    "where never": (lambda x, y: mc.where(0, x * y, y), set()),
    "cancels in floats alone": (lambda x, y: (x * 0.1 * 3 - x * 0.3) * y, {(0, 1), (1, 0)}),
    "tiny": (lambda x, y: 1e-200 * x * x * 1e-200, {(0, 0)}),
    "power": (lambda x, y: x**2.5 + x**y, {(0, 0), (0, 1), (1, 0), (1, 1)}),
    "infinite": (lambda x, y: math.inf * x * y - math.inf * x * y, {(0, 1), (1, 0)}),
    "divided by zero": (lambda x, y: x * x / (y - y), {(0, 0)}),
    "unused": (lambda x, y: 1.0, set()),
    "derivative": (lambda x, y: FLAT(x) * y, set()),
}


@pytest.mark.parametrize("name", ZEROS)
def test_exactly_the_entries_that_are_zero_whatever_the_numbers_are_left_out(name):
    f, expected = ZEROS[name]
    found = sparse_hessian(f, (0, 1))(0.3, 0.7)
    assert (places(found), found.shape) == (expected, (2, 2))
    assert places(sparse_hessian(f, (0, 1), lower=True)(0.3, 0.7)) == {(i, j) for i, j in expected if j <= i}


def test_constants_are_known():
    x, y, w = Value(1.5), Value(0.25), Value(3.0)
    values = {
        "found": hessian_entries(5 * x * x + x * y - y * y * w + (x + 2 - x) * y**2, [x, y]).values,
        "linear": jacobian_entries([3 * x - y, x / y + (x + y) ** 2 - x * x - y * y - 2 * x * y], [x, y]).values,
        "gradient": sparse_gradient(5 * x + mc.less(x, y) * w, [x, y]),
        "of a leaf": jacobian_entries([(w + 2 - w) * x, (w + 2 - w * w) * x], [x]).values,
    }
    assert {name: [isinstance(v, float) for v in every] for name, every in values.items()} == {
        "found": [True, True, True, False],  # 10, 1, 1, 4 - 2 * w
        "linear": [True, True, False, False],
        "gradient": [True, True],
        "of a leaf": [True, False],
    }
    assert [getattr(v, "data", v) for v in values["found"]] == [10.0, 1.0, 1.0, -2.0]
    assert values["gradient"] == [5.0, 0.0]


def test_a_constant_that_is_rounded_where_it_was_recorded_is_not_taken_from_there():
    x = Value(1e20)
    [[found]] = [hessian_entries((x + 2 - x) * x * x, [x]).values]
    assert isinstance(found, Value)  # 4, but here it is 0


def test_constant_factors_do_not_vanish_together():
    found = sparse_hessian(lambda v: (1e-200 * v[0]) * (1e-200 * v[1] * v[2]), lower=True)([1.0, 2.0, 1e300])
    assert found.dense()[1][0] == pytest.approx(1e-100, abs=0.0)
    tiny = Op("tiny", lambda x: 1e-200 * (1e-200 * x * x), (lambda y, x: 1e-200 * (2e-200 * x),))
    assert sparse_jacobian(lambda x: tiny(x) * 1e200)(1e300).values == [pytest.approx(2e100)]


def test_elements_do_not_depend_on_the_evaluator_or_the_process():
    source = (
        "import micrograd_cn as mc\n"
        "from micrograd_cn.derivatives.finite_field import FieldEvaluator\n"
        "x, y = mc.Value(1), mc.Value(2)\n"
        "found = FieldEvaluator().of(mc.sin(x) * y + mc.cos(x))\n"
    )
    here = []
    for _ in range(2):
        names = {}
        exec(source, names)
        here.append(str(names["found"]))
    root = Path(mc.__file__).parents[1]
    there = [
        subprocess.run(
            [sys.executable, "-c", f"{source}print(found)"],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert {*here, *there} == {here[0]}


def test_elements_differ_by_operation_and_are_a_field():
    x, y = Value(1), Value(2)
    first = FieldEvaluator()
    own = [Op("own", forward, (lambda y, x: 1.0,)) for forward in (lambda x: x, lambda x: 2.0 * x)]  # of one name
    elements = [first.of(op(x)) for op in own] + [first.of(mc.sin(x)), first.of(mc.cos(x)), first.of(x)]
    assert len({*elements}) == 5
    assert first.of(constant(0.25)) * 4 % PRIME == first.of(1.0) == 1
    assert first.of(x**-2) * first.of(x * x) % PRIME == 1
    assert first.of((x - x) ** -2) is first.of(x / (y - y)) is first.of(math.nan * x) is None
