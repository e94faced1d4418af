"""What all optimisers share: parameters are checked, and the state is saved, loaded, copied and refused."""

import copy
import pickle
from fractions import Fraction

import pytest

from micrograd_cn import Value
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD, Adam, AdamW, RMSprop


@pytest.mark.parametrize(
    ("change", "exception", "message"),
    [
        (lambda s: s.pop("steps"), ValueError, "'steps' is missing in state_dict"),
        (lambda s: s.update(extra=1), ValueError, "'extra' is unexpected in state_dict"),
        (lambda s: s["options"].pop("lr"), ValueError, "'lr' is missing in options"),
        (lambda s: s["options"].update(lr=-1.0), ValueError, "lr must be 0 or more, got -1.0"),
        (lambda s: s["options"].update(lr="1"), ValueError, "lr must be 0 or more, got '1'"),
        (lambda s: s["state"].pop(), ValueError, "state of 1 parameters for 2"),
        (lambda s: s["state"].append(s["state"][0]), ValueError, "state of 3 parameters for 2"),
        (lambda s: s["state"][1].pop("exp_avg"), ValueError, r"'exp_avg' is missing in state\[1\]"),
        (lambda s: s["state"][0].update(exp_avg="0"), TypeError, r"state\[0\]\['exp_avg'\] must be a number, got str"),
        (lambda s: s["state"][0].update(exp_avg=True), TypeError, r"\['exp_avg'\] must be a number, got bool True"),
        (lambda s: s.update(steps=-1), ValueError, "steps must be 0 or more, got -1"),
        (lambda s: s.update(state=3), TypeError, "state must be a list, got int"),
        (lambda s: s["options"].update(lr=None), TypeError, "wrong options"),
        (lambda s: s["options"].update(betas=3), TypeError, "wrong options .*: Adam: betas must be two numbers, got 3"),
        (lambda s: s["options"].update(betas=[0.9, 0.9, 0.9]), ValueError, r"betas must be two numbers, got \[0.9, 0"),
        (lambda s: s["state"][1].update(exp_avg_sq=-1.0), ValueError, r"state\[1\]\['exp_avg_sq'\] must be 0 or more"),
        (lambda s: s.update(steps=1.5), TypeError, "steps must be an int, got 1.5"),
        (lambda s: s.update(steps=True), TypeError, "steps must be an int, got True"),
        (lambda s: s.update(options=3), TypeError, "options must be a dict, got int"),
    ],
)
def test_a_wrong_state_is_refused_and_changes_nothing(change, exception, message):
    optimizer = Adam([Value(1), Value(2)], lr=0.5)
    before = optimizer.state_dict()
    state = Adam([Value(1), Value(2)]).state_dict()
    change(state)
    with pytest.raises(exception, match=message):
        optimizer.load_state_dict(state)
    assert optimizer.state_dict() == before


def test_a_state_is_of_its_moment_and_of_floats():
    p = Value(1)
    optimizer = SGD([p], lr=1, momentum=Fraction(1, 2))
    before = optimizer.state_dict()
    p.grad = 2.0
    optimizer.step()
    assert before["state"] == [{"momentum_buffer": 0.0}]
    before["state"][0]["momentum_buffer"] = 3
    optimizer.load_state_dict(before)
    p.grad = 0.0
    optimizer.step()
    assert before["state"] == [{"momentum_buffer": 3}], "what was loaded belongs to its owner"
    numbers = [optimizer.lr, optimizer.momentum, optimizer.state[0]["momentum_buffer"]]
    assert (numbers, set(map(type, numbers))) == ([1, 0.5, 1.5], {float})


def test_a_state_of_hundreds_of_parameters_is_loaded():
    optimizer = Adam([Value(k) for k in range(300)])
    optimizer.load_state_dict(optimizer.state_dict())
    assert len(optimizer.state) == 300


def test_loaded_whole_numbers_are_floats():
    optimizer = Adam([Value(1)])
    optimizer.load_state_dict({**optimizer.state_dict(), "state": [{"exp_avg": 1, "exp_avg_sq": 2}]})
    assert repr(optimizer.state) == "[{'exp_avg': 1.0, 'exp_avg_sq': 2.0}]"


def test_all_missing_entries_are_named_in_order():
    with pytest.raises(ValueError, match="Adam: 'options', 'state', 'steps' are missing in state_dict"):
        Adam([Value(1)]).load_state_dict({})


def test_the_learning_rate_may_be_set_between_steps():
    p = Value(1)
    optimizer = SGD([p], lr=0.1)
    p.grad = 1.0
    optimizer.step()
    optimizer.lr = 0.5
    optimizer.step()
    assert p.data == pytest.approx(0.4)


@pytest.mark.parametrize("make", [SGD, RMSprop, Adam, AdamW])
def test_refused_parameters(make):
    a, b = Value(1, "a"), Value(2)
    with pytest.raises(ValueError, match=f"{make.__name__} was given no parameters"):
        make([])
    with pytest.raises(ValueError, match=r"parameters\[1\], Value\(data=2.0.*is computed \(mul\), not a leaf"):
        make([a, a * b])
    with pytest.raises(ValueError, match=r"parameters\[2\], Value\(data=1.0.*'a'\), is there twice"):
        make([a, b, a])
    with pytest.raises(TypeError, match=r"parameters\[1\] is float 0.5, not a Value"):
        make([a, 0.5])
    with pytest.raises(TypeError, match=r"write \[p\] for one"):
        make(a)


def test_a_subclass_says_which_of_its_state_is_0_or_more():
    class Counted(SGD):
        state_names = ("count", "other")
        nonnegative = ("count",)

    optimizer = Counted([Value(1)])
    state = optimizer.state_dict()
    state["state"][0] = {"count": 0, "other": -1}
    optimizer.load_state_dict(state)
    state["state"][0]["count"] = -1
    with pytest.raises(ValueError, match=r"Counted: state\[0\]\['count'\] must be 0 or more, got -1"):
        optimizer.load_state_dict(state)
    assert optimizer.state == [{"count": 0, "other": -1}]


def test_a_subclass_of_sgd_steps_by_its_own_update():
    class Half(SGD):
        def update(self, p, state):
            p.data -= 0.5 * self.lr * p.grad

    p = Value(1.0)
    p.grad = 2.0
    Half([p], lr=0.5).step()
    assert p.data == 0.5


def test_what_a_compiled_loop_keeps_is_copied_and_loaded_without_the_nodes_that_it_read():
    compiler = pytest.importorskip("micrograd_cn.compiler")
    w, c = Value(1.0), Value(0.5)
    before = c * 3.0  # computed before the call, by a deep graph
    for _ in range(5000):
        before = before + 0.0
    f = compiler.compile(lambda x: (w * x - before) ** 2)
    optimizer = RMSprop([w], lr=0.1)
    f.fit([(1.0,), (2.0,)], optimizer, 3)
    again, other = pickle.loads(pickle.dumps(optimizer)), copy.deepcopy(optimizer)
    saved = optimizer.state_dict()
    assert again.state == other.state == saved["state"] != RMSprop([w]).state
    assert set(saved["state"][0]) == set(RMSprop.state_names)
    held = optimizer.state  # and in the middle of training another one is loaded
    f.fit([(1.0,), (2.0,)], optimizer, 2, progress=lambda losses: optimizer.load_state_dict(saved))
    assert set(optimizer.state[0]) == set(RMSprop.state_names)
    assert held is not optimizer.state


def test_a_model_is_no_sequence_of_parameters():
    with pytest.raises(TypeError, match=r"SGD takes a sequence of parameters, got MLP; write model\.parameters\(\)"):
        SGD(MLP(1, [1]))
