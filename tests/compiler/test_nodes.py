"""Machine code that reads and writes the numbers of many nodes does what Python code does, or changes nothing."""

import copy
import math
import pickle
import random
import sys
import threading
from array import array

import pytest

from micrograd_cn import Value, logsumexp, no_grad
from micrograd_cn.compiler import compile, parameters_to_vector, vector_to_parameters  # noqa: A004 -- the field's name
from micrograd_cn.compiler.data import nodes as machine
from micrograd_cn.compiler.data.parameters import Gradients, add_gradients, data_version
from micrograd_cn.graph import context
from micrograd_cn.optim import Adam, clip_grad_norm, optimizer

from .common import need_known_layout

SPECIAL = [0.0, -0.0, 1.5, -2.25, math.inf, -math.inf, math.nan, 1e308, 5e-324, 1e-310]


@pytest.fixture(autouse=True)
def _machine_code(monkeypatch):
    """Let machine code serve lists of any length, from the first one on."""
    need_known_layout()
    monkeypatch.setattr(machine, "MIN_NODES", 1)
    monkeypatch.setattr(machine, "NODES_BEFORE_CODE", 0)
    if not machine._kernels.are_compiled:  # Python code serves until a thread in the background has compiled them
        machine._kernels.compile()


def parameters(n=50):
    return [Value(SPECIAL[k % len(SPECIAL)] + k // len(SPECIAL)) for k in range(n)]


def texts(numbers):
    return [*map(repr, numbers)]


def test_the_data_are_read_and_written():
    found = parameters()
    assert texts(machine.data_of(found)) == texts([p.data for p in found])
    context.data_changed = False
    machine.set_data(found, array("d", [2 * p.data for p in found]))
    assert context.data_changed
    assert texts(machine.data_of(found)) == texts([2 * p.data for p in parameters()]) == texts([p.data for p in found])


@pytest.mark.parametrize("weight", [1.0, 0.3, -2.0])
def test_gradients_are_added_as_in_python(weight):
    """That holds for gradients that are None, -0.0 or not finite, for shared floats, and for floats of a node alone."""
    ours, theirs = parameters(100), parameters(100)
    numbers = array("d", [SPECIAL[(k * 7) % len(SPECIAL)] for k in range(100)])
    rng = random.Random(0)
    for turn in range(3):
        for p, q in zip(ours, theirs, strict=True):
            if turn == 0:
                p.grad = q.grad = rng.choice([None, *SPECIAL])
        assert machine.add_to_gradients(ours, numbers, weight)
        for q, x in zip(theirs, numbers, strict=True):
            q.grad = (q.grad or 0.0) + weight * x
        assert texts([p.grad for p in ours]) == texts([q.grad for q in theirs])
    assert machine.clear_gradients(ours)
    assert texts([p.grad for p in ours]) == ["0.0"] * 100


def test_a_number_that_somebody_holds_does_not_change():
    """Machine code changes floats in place, but only those to which nothing but the node refers."""
    found = parameters()
    machine.set_data(found, array("d", [k + 0.5 for k in range(50)]))
    machine.add_to_gradients(found, array("d", [k + 0.25 for k in range(50)]), 1.0)
    held = [(p.data, p.grad) for p in found]
    alone = [sys.getrefcount(p._data) for p in found[:1]]
    again = copy.deepcopy(held)
    for _ in range(2):
        machine.set_data(found, array("d", [7.0] * 50))
        machine.add_to_gradients(found, array("d", [1.0] * 50), 1.0)
    machine.clear_gradients(found)
    assert held == again == [(k + 0.5, k + 0.25) for k in range(50)]
    assert {(p.data, p.grad) for p in found} == {(7.0, 0.0)}
    assert alone == [3]  # the node, `held` and the argument of getrefcount


def test_floats_are_neither_leaked_nor_freed_too_early():
    found = parameters()
    shared = float("12345.5")
    for p in found:
        p.data, p.grad = shared, shared
    assert sys.getrefcount(shared) == 2 + 2 * len(found)
    machine.set_data(found, array("d", range(50)))
    assert sys.getrefcount(shared) == 2 + len(found)
    machine.clear_gradients(found)
    assert sys.getrefcount(shared) == 2
    none = sys.getrefcount(None)
    for p in found:
        p.grad = None
    machine.add_to_gradients(found, array("d", range(50)), 1.0)
    assert abs(sys.getrefcount(None) - none) < 20
    assert [sys.getrefcount(p._data) for p in found] == [2] * 50


class Other(Value):
    """A subclass, whose attributes may mean something else."""

    __slots__ = ()


@pytest.mark.parametrize("what", ["frozen", "subclass", "no node", "small", "missing", "text"])
def test_what_is_not_as_expected_changes_nothing(what):
    found = parameters()
    numbers = array("d", [1.0] * 50)
    before = [(p.data, p.grad) for p in found]
    if what == "frozen":
        found[30].requires_grad, found[30].grad = False, None
    elif what == "subclass":
        found[30] = Other(1.0)
    elif what in ("no node", "small"):
        found[30] = object() if what == "no node" else 1
    elif what == "missing":
        del found[30]._grad
    else:
        found[30]._grad = "text"
    assert not machine.add_to_gradients(found, numbers, 1.0)
    assert not machine.add_to_gradients(found, numbers[:3], 1.0)
    assert machine.clear_gradients(found) == (what == "frozen")
    if what in ("missing", "text"):
        found[30]._grad = 0.0
    others = [k for k in range(50) if k != 30]
    assert texts([(found[k].data, found[k].grad) for k in others]) == texts([before[k] for k in others])


def test_a_frozen_parameter_a_none_and_a_subclass_get_what_they_get_from_python():
    found = parameters(5)
    found[1].requires_grad, found[2].grad, found[3] = False, None, Other(2.0)
    add_gradients([Gradients(found, array("d", [1, 2, 3, 4, 5]))])
    assert [p.grad for p in found] == [1.0, 0.0, 3.0, 4.0, 5.0]


def test_if_gradients_of_one_program_cannot_be_added_those_of_all_others_are_taken_back():
    ws = parameters(3)
    ws[1].grad = None
    before = [w.grad for w in ws]
    wrong = Gradients([ws[2]], array("d", [1.0, 2.0]))  # two numbers for one parameter
    with pytest.raises(ValueError, match="longer"):
        add_gradients([Gradients(ws[:2], array("d", [1.0, 2.0])), Gradients(ws[:1], array("d", [3.0]), 0.5), wrong])
    assert [w.grad for w in ws] == before


@pytest.mark.parametrize("prepared", [False, True])
def test_machine_code_leaves_the_gradients_of_frozen_parameters_alone(prepared):
    found = parameters()
    for k, p in enumerate(found):
        p.grad, p.requires_grad = (-0.0, 2.5 + k)[k % 2], k % 5 > 1
    before = [p.grad for p in found]
    kept, numbers = texts(before), array("d", [1.0] * 50)
    at = numbers.buffer_info()[0]
    added = machine.PreparedNodes(found, at, at).add() if prepared else machine.add_to_gradients(found, numbers, 1.0)
    assert added
    assert texts(before) == kept  # floats that others refer to are not changed in place
    assert texts([p.grad for p in found]) == texts(
        [x + 1.0 if p.requires_grad else x for x, p in zip(before, found, strict=True)]
    )


@pytest.mark.parametrize("kind", [Value, type("Other", (Value,), {"__slots__": ()})], ids=["Value", "subclass"])
@pytest.mark.parametrize("flag", [True, 1])
def test_the_first_node_that_requires_a_gradient_is_found(kind, flag):
    found = [Value(x, requires_grad=False) for x in SPECIAL]
    assert machine._machine_code_finds("all_frozen", found)
    assert machine.first_unfrozen(found) is None
    for k in reversed(range(len(found))):
        found[k] = kind(1.0, requires_grad=False)
        assert machine.first_unfrozen(found) is (found[k + 1] if k + 1 < len(found) else None)
        found[k].requires_grad = flag
        assert machine.first_unfrozen(found) is found[k]
        assert not machine._machine_code_finds("all_frozen", found)


def test_a_compiled_function_reads_and_trains_by_machine_code():
    ws = [Value(0.1 * k) for k in range(40)]
    f = compile(lambda x: sum(w * x**k for k, w in enumerate(ws[:4])) + sum(ws[4:]) * x)
    assert f.backward([(0.5,), (2.0,)]) == pytest.approx(sum(f.forward([(0.5,), (2.0,)])) / 2)
    assert [ws[k].grad for k in range(5)] == [1.0, 1.25, 2.125, 4.0625, 1.25]
    vector_to_parameters([0.0] * 40, f.parameters)
    assert f(3.0) == 0.0
    ws[2].data = 5
    assert f(3.0) == 45.0
    assert [*parameters_to_vector(ws)] == [0.0, 0.0, 5.0, *[0.0] * 37]


def test_parameters_are_one_array_without_numpy(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)  # `import numpy` raises an ImportError
    assert parameters_to_vector([Value(1.0), Value(2.0)]) == array("d", [1.0, 2.0])


def test_a_copy_and_a_pickle_do_not_change_with_their_original():
    found = parameters()
    machine.set_data(found, array("d", range(50)))
    others = [copy.copy(found), copy.deepcopy(found), pickle.loads(pickle.dumps(found))]
    shallow = [copy.copy(p) for p in found]
    machine.set_data(found, array("d", [9.0] * 50))
    assert [p.data for p in others[0]] == [9.0] * 50
    for other in (*others[1:], shallow):
        assert [p.data for p in other] == [float(k) for k in range(50)]


def test_vectors_of_other_lengths_and_other_things_are_refused():
    found = parameters(3)
    for wrong, error in (([1.0], ValueError), (["a", "b", "c"], TypeError), ([1j] * 3, TypeError)):
        with pytest.raises(error):
            vector_to_parameters(wrong, found)
    with pytest.raises(TypeError, match="takes a sequence of parameters"):
        parameters_to_vector(found[0])
    assert texts([p.data for p in found]) == texts([p.data for p in parameters(3)])
    with pytest.raises(TypeError, match="parameters_to_vector"):
        compile(lambda x: x * parameters_to_vector(found)[1])(2.0)


def test_a_mode_does_not_matter():
    found = parameters()
    with no_grad():
        vector_to_parameters(range(50), found)
    assert [p.data for p in found] == [*range(50)]


def test_threads_lose_no_gradient():
    """A sum of gradients is one step for other threads, so nothing is lost when several threads add theirs."""
    found, ones = [Value(1.0) for _ in range(200)], array("d", [1.0] * 200)
    added: list[bool] = []
    threads = [
        threading.Thread(target=lambda: added.extend(machine.add_to_gradients(found, ones, 1.0) for _ in range(500)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(added) == 2000
    assert all(added)
    assert {p.grad for p in found} == {2000.0}


@pytest.mark.parametrize("what", ["all", "a node twice", "None", "subclass", "frozen"])
def test_gradients_are_clipped_as_in_python(what, monkeypatch):
    """Machine code multiplies gradients by the same factor as Python code, and leaves alone floats that others hold."""

    def clipped():
        ws = [Value(k) for k in range(40)]
        if what == "subclass":
            ws[7] = Other(8.0)
        for k, w in enumerate(ws):
            w.grad = 0.1 * k - 1
        ws[3].requires_grad = what != "frozen"
        if what == "None":
            ws[5].grad = None
        held = [w.grad for w in ws]
        before = texts(held)
        norms = [clip_grad_norm([*ws, *ws[:1]] if what == "a node twice" else ws, bound) for bound in (1e3, 0.5)]
        assert texts(held) == before
        return norms, texts([w.grad for w in ws])

    by_machine_code = clipped()
    monkeypatch.setattr(optimizer, "machine_code", None)
    assert by_machine_code == clipped()


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e100, 1e-100, 1e-200, 1e200, 0.0])
def test_the_norm_of_gradients_is_that_of_python(scale):
    rng = random.Random(1)
    for n in (1, 2, 40, 500):
        ws = [Value(0.0) for _ in range(n)]
        for w in ws:
            w.grad = scale * rng.gauss(0.0, 1.0) * rng.choice([1.0, 1e-8, 1e3])
        norm = machine.norm_of_gradients(ws)
        assert norm is None or norm == math.hypot(*[w.grad for w in ws])
        assert (norm is None) == (scale in (0.0, 1e-200, 1e200))
    for other in (None, math.nan, math.inf):
        ws[3].grad = other
        assert machine.norm_of_gradients(ws) is None


def test_leaves_and_floats_are_told_from_other_objects():
    """Machine code finds what Python code finds: other objects, subclasses, computed nodes and computed constants."""
    w = Value(1.0)
    with no_grad():
        constant = w * 2
    for other in (w * 2, logsumexp([w, w, w]), constant, Other(1.0), 1.0, None):
        assert machine.finds_leaves([w] * 40)
        assert not machine.finds_leaves([*[w] * 40, other])
    numbers = [0.5, -0.0, math.inf] * 20
    assert texts(machine.floats_of(numbers)) == texts(machine.floats_of(tuple(numbers))) == texts(numbers)
    for other in (1, True, "a", None, w, type("Float", (float,), {})(1.0)):
        assert machine.floats_of([*numbers, other]) is None
    same = [object(), w, *numbers]
    assert machine.are_same([*same], same)
    assert not machine.are_same([*same[:-1], 1.0], same)
    assert not machine.are_same([*same[:5], object(), *same[6:]], same)


@pytest.mark.parametrize("what", ["plain", "frozen", "subclass"])
def test_fit_writes_the_same_numbers_as_python_code(what, monkeypatch):
    """It leaves alone the floats that somebody holds, and changes frozen parameters as Python code does."""

    def trained():
        ws = [Value(1.0 + k) for k in range(40)]
        if what == "subclass":
            ws[7] = Other(8.0)
        ws[3].requires_grad = what != "frozen"
        ws[5].grad, ws[6].grad = None, 2.5
        held, optimizer = [w.data for w in ws], Adam(ws, lr=0.1)
        f = compile(lambda x: sum([w * w * x for w in ws]))
        f(1.0)  # keeps the data of the parameters until they are assigned
        version = data_version()
        losses = [*f.fit([(1.0,), (2.0,)], optimizer, 2)]
        assert held == [1.0 + k for k in range(40)]
        assert data_version() != version
        assert f(1.0) == pytest.approx(sum([w.data**2 for w in ws]))
        return losses, [(w.data, w.grad) for w in ws], optimizer.state, optimizer.steps

    by_machine_code = trained()
    monkeypatch.setattr(machine, "MIN_NODES", 1000)
    assert by_machine_code == trained()


@pytest.mark.parametrize("count", [1, 31])
def test_for_few_nodes_no_machine_code_is_asked_for(monkeypatch, count):
    """To compile it takes longer than to look at the nodes, and many optimisers have few parameters."""
    monkeypatch.setattr(machine, "MIN_NODES", 32)
    monkeypatch.setattr(machine, "_machine_code_finds", lambda *arguments: pytest.fail("machine code was asked for"))
    nodes = [Value(1.0) for _ in range(count)]
    assert not machine.some_frozen(nodes)
    assert machine.first_unfrozen(nodes) is nodes[0]
    assert not machine.finds_leaves(nodes)
