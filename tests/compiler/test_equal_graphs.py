"""A graph that equals another one is not lowered again, and one that differs in anything gets code of its own."""

import math

import pytest

from micrograd_cn import Op, Value, maximum, take, tanh, where
from micrograd_cn import sum as total
from micrograd_cn.compiler import Program
from micrograd_cn.compiler import compile as compiled
from micrograd_cn.compiler.runtime import executable
from micrograd_cn.losses import cross_entropy
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD

ROWS = [[0.5, -1.25], [2.0, 0.75], [-0.5, 3.0]]


@pytest.fixture
def lowered(monkeypatch):
    """A list of the kinds of code for which a graph was lowered."""
    executable.forget_tiers()
    found, lower = [], executable.CompiledGraph._lower

    def noted(self, kind):
        found.append(kind)
        return lower(self, kind)

    monkeypatch.setattr(executable.CompiledGraph, "_lower", noted)
    yield found
    executable.forget_tiers()


def graph(**changes):
    """Return the output, the inputs and the parameters of a graph that `changes` alter in one place."""
    x, y, w, v, c = Value(0.5), Value(2.0), Value(1.5), Value(-0.5), Value(3.0, requires_grad=False)
    now = {"op": tanh, "left": w, "right": v, "number": 2.0, "constant": 3.0, "inputs": [x, y], "swap": False}
    now |= {name: {"x": x, "y": y, "w": w, "v": v}.get(change, change) for name, change in changes.items()}
    c.data = now["constant"]
    a, b = now["left"] * x, now["right"] * y
    z = now["op"](b - a if now["swap"] else a - b) * now["number"] + c * w + maximum(x, v)
    return z, (now["inputs"] if not changes.get("reversed") else [y, x])


CHANGES = [
    {},
    {"op": Value.exp},
    {"op": lambda z: z},
    {"left": "v"},
    {"right": "w"},
    {"left": "v", "right": "w"},
    {"left": "x"},
    {"right": "x"},
    {"swap": True},
    {"number": 1.0},
    {"number": 0.0},
    {"number": -0.0},
    {"number": math.nan},
    {"number": math.inf},
    {"constant": 0.0},
    {"constant": -0.0},
    {"constant": 2.0},
    {"constant": math.inf},
    {"reversed": True},
]


def results(change):
    output, inputs = graph(**change)
    program = Program(output, inputs)
    for p in program.parameters:
        p.grad = 0.0
    program.backward(ROWS)
    return [*map(repr, program.forward(ROWS)), *[repr(p.grad) for p in program.parameters]]


@pytest.mark.parametrize("k", range(len(CHANGES)))
def test_graphs_that_differ_in_one_place_have_their_own_code(k, lowered):
    alone = results(CHANGES[k])
    executable.forget_tiers()
    for change in CHANGES[:k] + CHANGES[k + 1 :]:
        results(change)
    before = len(lowered)
    assert results(CHANGES[k]) == alone
    assert len(lowered) > before
    assert results(CHANGES[k]) == alone
    assert len(lowered) == before + 3  # forward code, a gradient, and the forward code that the gradient begins with


def test_a_model_that_is_made_and_trained_again_is_not_lowered_again(lowered):
    def losses(seed):
        net = MLP(2, [3, 1], activation="tanh", seed=seed)
        loss = compiled(lambda x, y: (net([x, y]) - x * y) ** 2)
        return loss.fit(ROWS, SGD(net.parameters(), lr=0.1), 5), [net([0.5, 1.0]).data, *loss.forward(ROWS)]

    first = losses(1)
    count = len(lowered)
    assert count
    others = [losses(seed) for seed in (2, 1)]
    assert len(lowered) == count
    assert others[1] == first
    assert others[0] != first


def test_targets_and_indices_are_part_of_a_graph(lowered):
    ws = [Value(0.1), Value(0.2), Value(0.3)]
    for target in (0, 1, 2, 1):
        x = Value(1.0)
        loss = cross_entropy([w * x for w in ws], target)
        found = Program(loss, [x]).forward([[2.0]])
        x.data = 2.0
        assert found == pytest.approx([cross_entropy([w * x for w in ws], target).data])
        chosen = Program(take(ws, target) * where(x, x, 0.0), [x])
        assert [*chosen.forward([[2.0]])] == [ws[target].data * 2.0]


def test_large_sums_are_compared_term_by_term(lowered):
    for shift in (0, 1):
        ws, x = [Value(float(k)) for k in range(40)], Value(1.0)
        terms = [ws[(k + shift * (k == 7)) % 40] * x for k in range(40)]
        program = Program(total(terms), [x])
        assert [*program.forward([[2.0]])] == [2.0 * sum([float((k + shift * (k == 7)) % 40) for k in range(40)])]
        program.backward([[2.0]])
        expected = [0.0] * 40
        for k in range(40):
            expected[(k + shift * (k == 7)) % 40] += 2.0
        assert [w.grad for w in ws] == expected


def test_sums_of_other_lengths_inputs_and_outputs_tell_graphs_apart(lowered):
    """The operands, one after the other, are the same."""
    x, *ws = [Value(float(k)) for k in range(2, 8)]
    row = [[3.0]]
    for pairs in ((1, 4), (2, 3)), ((2, 3), (1, 4)):
        for ends in pairs:
            first = ends[0]
            y = total(ws[:first]) * total(ws[first:])
            assert [*Program(y * x, [x]).forward(row)] == [y.data * 3.0]
    for names in ("ab", "ba"):
        outputs = {"a": x * ws[0], "b": x + ws[0]}
        assert [*Program([outputs[name] for name in names], [x]).forward(row)[0]] == [
            {"a": 9.0, "b": 6.0}[name] for name in names
        ]
    before = x * ws[0]
    after = before + 1.0
    for several, expected in (([after], [10.0]), ([after, before], [10.0, 9.0]), ([before, after], [9.0, 10.0])):
        assert Program(several, [x]).forward(row) == [expected]
    for inputs, rows in (([x], row), ([x, ws[0]], [[3.0, 5.0]])):
        product = Program(x * ws[0], inputs)
        assert [*product.forward(rows)] == [9.0 if len(inputs) == 1 else 15.0]
        if len(inputs) == 1:
            product.backward(rows)
    frozen = Value(3.0, requires_grad=False)
    assert [*Program(x * frozen, [x]).forward(row)] == [9.0]


def test_a_leaf_that_is_an_input_and_a_parameter_is_read_from_the_row(lowered):
    x, w = Value(2.0), Value(3.0)
    for first in ([], [x], [w], [x, w], [w, x]):
        assert [*Program(w * x, [x], first).forward([[4.0]])] == [12.0]


def test_code_for_one_row_is_not_used_for_many(lowered):
    made = []
    for _ in range(2):
        x, w = Value(2.0), Value(3.0)
        made.append(Program(w * x, [x]).compiled)
    for lanes in (True, False):
        assert made[0].tiers("forward", lanes) is made[1].tiers("forward", lanes)
    assert made[0].tiers("forward", True) is not made[0].tiers("forward", False)


def test_an_operation_of_the_user_is_traced_anew(lowered):
    scale = [2.0]
    own = Op("own", lambda x: scale[0] * x, (lambda y, x: scale[0],))
    programs = []
    for factor in (2.0, 5.0):
        scale[0] = factor
        x = Value(1.0)
        programs.append(Program(own(x), [x]))
        assert [*programs[-1].forward([[3.0]])] == [3.0 * factor]
