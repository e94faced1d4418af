"""A graph as instructions, and its gradient: which there are, of which phase, and what is summed over a batch."""

import threading
import time

import pytest

import micrograd_cn as mc
from micrograd_cn import Op, Value
from micrograd_cn.compiler import compile, executable  # noqa: A004 -- the field's name
from micrograd_cn.compiler.instructions import AFTER, BATCH, CONSTANT, SAMPLE
from micrograd_cn.compiler.lowering import Graph, Lowering
from micrograd_cn.engine import constant, record
from micrograd_cn.traits import Forms


def lowered(output, inputs, differentiate=True):
    lowering = Lowering(Graph([output], inputs))
    if differentiate:
        lowering.differentiate()
    return lowering


def named(lowering, i):
    """Return an instruction, with the instructions of its operands in place of their numbers."""
    form, *rest = lowering.code.instructions[i]
    return (form, *(named(lowering, j) for j in rest)) if lowering.code.operands[i] else (form, *rest)


W, X, SEED = ("parameter", 0), ("input", 0), ("seed",)


def test_leaves_are_inputs_parameters_and_constants():
    x, z, w, v, c = Value(1.0), Value(2.0), Value(3.0), Value(4.0), constant(5.0)
    graph = Graph([(w * x + v) * c, z, w, c], [x, z])
    lowering = Lowering(graph)
    code = lowering.code
    assert (lowering.columns, lowering.parameters, graph.constants) == (2, [w, v], {c: 5.0})
    assert [code.instructions[lowering.of[leaf]] for leaf in (x, z, w, v, c)] == [
        ("input", 0),
        ("input", 1),
        ("parameter", 0),
        ("parameter", 1),
        ("constant", 5.0),
    ]
    assert [code.phase[lowering.of[leaf]] for leaf in (x, w, c)] == [SAMPLE, BATCH, CONSTANT]
    assert lowering.outputs[1:] == [lowering.of[leaf] for leaf in (z, w, c)]
    assert lowering.gradients == lowering.totals == []


def test_leaves_stay_what_they_are_when_a_program_is_made():
    w, c, x = Value(2.0), constant(3.0), Value(1.0)
    program = compile(w * x + c, [x])
    w.requires_grad, c.data = False, 5.0
    assert (program.parameters, program.forward([[1.0]])) == ([w], [5.0])
    w.data = 4.0
    assert program.forward([[1.0]]) == [7.0]


def test_a_program_of_which_derivatives_alone_are_computed_is_not_lowered(monkeypatch):
    graphs = []
    monkeypatch.setattr(executable, "Lowering", lambda graph: graphs.append(graph) or Lowering(graph))
    w, x = Value(2.0, "w"), Value(3.0, "x")
    program = compile(w * x**3, [x])
    assert program.hessian([[5.0]]) == [[60.0]]
    assert "2 operations, 1 parameter, not run yet" in repr(program)
    assert graphs == [program.derivative("hessian").program.executables.graph]


def test_threads_lower_a_program_once(monkeypatch):
    graphs, meeting, found = [], threading.Barrier(4, timeout=60), []

    def slowly(graph):
        graphs.append(graph)
        time.sleep(0.01)
        return Lowering(graph)

    def run():
        meeting.wait()
        found.append(program.forward([[3.0]]))

    monkeypatch.setattr(executable, "Lowering", slowly)
    x = Value(1.0)
    program = compile(x * x, [x])
    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(graphs), found) == (1, [[9.0]] * 4)


@pytest.mark.parametrize("inside", [False, True])
def test_what_cannot_be_compiled_is_refused_at_once(inside):
    row = Op("odd", lambda x: x, (lambda y, x: 1.0,), forms=Forms(machine="no such"))
    outer = (
        Op("outer", lambda x: x, (lambda y, x: 1.0,), forms=Forms(formula=lambda x: 2.0 * row(x))) if inside else row
    )
    for _ in range(2):
        with pytest.raises(TypeError, match="the operation 'odd' has the machine form 'no such'"):
            compile(record(outer, (Value(2.0),)), [])


def test_a_parameter_receives_the_mean_of_what_the_samples_have():
    w, x = Value(2.0), Value(3.0)
    lowering = lowered(w * x, [x])
    [[(a, b)]] = lowering.totals
    assert sorted([named(lowering, a), named(lowering, b)]) == [X, SEED]
    assert [named(lowering, i) for i in lowering.gradients] == [("total", 0)]
    lowering = lowered(w + x, [x])
    [[(a, b)]] = lowering.totals
    assert (named(lowering, a), lowering.code.value(b)) == (SEED, 1.0)


def test_what_the_mean_of_a_batch_goes_on_to_is_after_it():
    w, x = Value(2.0), Value(3.0)
    lowering = lowered(mc.exp(w) * x, [x])
    assert len(lowering.totals) == 1
    [gradient] = lowering.gradients
    assert sorted(named(lowering, gradient)[1:]) == [("exp", W), ("total", 0)]
    assert lowering.code.phase[gradient] == AFTER


def test_of_several_totals_there_is_one_for_each_node_that_samples_meet():
    w, v, x = Value(2.0), Value(5.0), Value(3.0)
    lowering = lowered(w * x + v * mc.sin(x) + w * 2.0 * x * x, [x])
    assert len(lowering.totals) == 3  # w, v, and w * 2.0
    forms = [lowering.code.instructions[i][0] for i in lowering.gradients]
    assert forms == ["adjoint", "total"]


def test_a_partial_of_1_passes_on_what_is_received_and_any_other_is_a_factor():
    w, v, x = Value(2.0), Value(5.0), Value(3.0)
    lowering = lowered(mc.exp(w + v) * x, [x])
    first, second = lowering.gradients
    assert first == second
    assert lowering.code.instructions[first][0] == "fmul"
    for factor in (2.0, -1.0, 0.5, 0.0):
        lowering = lowered(mc.exp(w * factor) * x, [x])
        [gradient] = lowering.gradients
        assert ("constant", factor) in named(lowering, gradient)


def test_no_partial_is_there_that_no_parameter_needs():
    w, x, z = Value(2.0), Value(3.0), Value(4.0)
    lowering = lowered(w * mc.sin(mc.exp(x)) + mc.sin(z), [x, z])
    assert "cos" not in [form for form, *_ in lowering.code.instructions]
    number = len(lowered(w * mc.sin(x), [x], differentiate=False).code.instructions)
    assert len(lowered(w * mc.sin(x), [x]).code.instructions) == number + 2  # seed and total
    frozen = Op("frozen", lambda q, x: mc.sin(q) * x, (lambda y, q, x: 0.0, lambda y, q, x: mc.sin(q)))
    lowering = lowered(frozen(mc.sin(w), x * w), [x])
    assert len(lowering.gradients) == 1


def test_a_constant_has_no_gradient():
    w, x = Value(2.0), Value(3.0)
    lowering = lowered(mc.sin(x), [x])
    assert (lowering.parameters, lowering.gradients, lowering.totals) == ([], [], [])
    assert SEED not in lowering.code.instructions
    lowering = lowered(w, [x])
    [gradient] = lowering.gradients
    assert named(lowering, gradient) == ("total", 0)


def test_the_partials_of_sums_are_their_own_operands():
    ws, xs = [Value(1.0 + k) for k in range(3)], [Value(0.1 * k) for k in range(3)]
    lowering = lowered(mc.dot(ws, xs), xs)
    assert [sorted([named(lowering, a), named(lowering, b)]) for [(a, b)] in lowering.totals] == [
        [("input", k), SEED] for k in range(3)
    ]
    lowering = lowered(mc.sum([*ws, ws[0]]), xs)
    assert all(lowering.code.value(b) == 1.0 for total in lowering.totals for _, b in total)


def test_products_in_a_sum_are_its_own():
    ws, x = [Value(1.0 + k) for k in range(3)], Value(2.0)
    lowering = lowered(mc.sum([ws[0] * x, ws[1] * ws[2], ws[1], x]), [x], differentiate=False)
    first = lowering.parameters.index(ws[0])
    form, pairs, terms = lowering.code.instructions[lowering.outputs[0]]
    assert (form, [[named(lowering, i) for i in pair] for pair in pairs]) == ("sum", [[X, ("parameter", first)]])
    assert [lowering.code.instructions[t][0] for t in terms] == ["sum", "input"]
    lowering = lowered(mc.sum([ws[0] + x, mc.sin(x)]), [x], differentiate=False)
    assert lowering.code.instructions[lowering.outputs[0]][1] == ()


def test_a_gradient_is_of_one_output():
    w = Value(2.0)
    with pytest.raises(ValueError, match="too many"):
        Lowering(Graph([w, w * 2.0], [])).differentiate()


def test_a_row_of_any_number_of_operands_passes_on_to_as_many_as_there_are():
    x, ws = Value(0.5), [Value(float(k)) for k in range(5)]
    many, few = ([w * x for w in ws[:k]] for k in (5, 3))
    for y in (mc.logsumexp(many) * mc.logsumexp(few), mc.logsumexp(few) * mc.logsumexp(many)):
        assert len(lowered(y, [x]).totals) == 5


def test_operations_that_pass_nothing_on_need_no_gradient():
    w, x = Value(2.0), Value(3.0)
    lowering = lowered(record(mc.step, (w,)) * x, [x])
    assert lowering.totals == []
    assert [lowering.code.value(i) for i in lowering.gradients] == [0.0]


@pytest.mark.parametrize("factor", [0.0, 1.0, 2.5])
def test_the_derivative_of_a_product_in_a_sum_is_its_other_factor_a_constant_too(factor):
    w, v, x = Value(2.0), Value(4.0), Value(3.0)
    program = compile(mc.dot([w, v], [constant(factor), x]) * x, [x])
    program.backward([[3.0], [5.0]])
    assert (w.grad, v.grad) == (factor * 4.0, 17.0)
