"""The page says of an operation what a reader of its Python program needs."""

import pytest

from micrograd_cn import OPS, Op
from micrograd_cn.flow.graph import operation_facts
from micrograd_cn.flow.javascript import Rows


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_only_operations_of_the_table_can_be_imported(op):
    count = op.arity or 3
    assert operation_facts(op, count, Rows()).get("listed")
    own = Op(op.name, lambda *xs: xs[0], (lambda y, *xs: 1.0,) * count)
    assert "listed" not in operation_facts(own, count, Rows())
