"""Formulas of operations are traced a few times for constant operands, and then the general formula serves for all."""

import pytest

from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.instructions import formulas
from micrograd_cn.compiler.instructions.formulas import MAX_SPECIALIZATIONS, Formulas
from micrograd_cn.compiler.instructions.gradient import differentiate
from micrograd_cn.compiler.instructions.graph import Graph
from micrograd_cn.compiler.instructions.lowering import Lowering
from micrograd_cn.functional import grad
from micrograd_cn.ops import OPS


@pytest.mark.parametrize("kind", ["formula", "partials"])
def test_a_formula_is_simplified_for_a_few_constants_alone(kind):
    """A program with many constants would otherwise have an opcode for each of them."""
    formulas, op = Formulas(), OPS["logaddexp"]
    count = 2 if kind == "formula" else 3  # the operands; or the result and the operands
    known = [[None] * (count - 1) + [float(k)] for k in range(2, 2 + 2 * MAX_SPECIALIZATIONS)]
    found = [formulas.of(op, kind, constants) for constants in known]
    general = formulas.of(op, kind, [None] * count)
    assert [x is general for x in found] == [False] * MAX_SPECIALIZATIONS + [True] * MAX_SPECIALIZATIONS
    assert all(formulas.of(op, kind, constants) is x for constants, x in zip(known, found, strict=True))


def test_no_more_than_so_many_formulas_are_kept_and_those_that_were_dropped_are_traced_again(monkeypatch):
    kept = {}
    monkeypatch.setattr(formulas, "MAX_TRACED", 3)
    monkeypatch.setattr(formulas, "_of_the_table", kept)
    for name in ["mul", "div", "pow", "maximum", "logaddexp"] * 2:
        f = OPS[name]
        found = compile(lambda x, y, f=f: f(x, y)).gradient([(2.0, 3.0)])
        assert found == [pytest.approx(grad(f, argnums=(0, 1))(2.0, 3.0))]
        assert len(kept) <= 3
    assert kept


def test_a_partial_derivative_is_expanded_without_the_steps_of_the_others():
    """The derivative of x**2 by the exponent has a logarithm, that by x has none."""
    lowering = Lowering(Graph([Value(1.5) ** 2 + Value(0.5) ** 2], []))
    differentiate(lowering)
    assert "log" not in [opcode for opcode, *_ in lowering.code.instructions]
