"""`backward` warns where it goes again through a node that was computed before an optimiser changed its operands."""

import copy
import pickle
import warnings
from contextlib import nullcontext

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, compiler, quick
from micrograd_cn.graph import outdated
from micrograd_cn.module import Module
from micrograd_cn.optim import SGD, Adam
from micrograd_cn.optim.optimizer import FIRST_LOOKS, LOOKING_STEPS, MOST_LOOKS, PART_OF_STEP


@pytest.fixture(params=[quick.PLAIN, quick.QUICK], ids=["plain", "quick"], autouse=True)
def engine(request):
    before = {name: vars(Value).get(name, quick.PLAIN[name]) for name in request.param}
    quick.install(request.param)
    yield
    quick.install(before)


def train(parameters, loss, steps=2, kind=SGD):
    """Take steps of gradient descent, each with the gradient of the `Value` that the function `loss` returns."""
    optimizer = kind(parameters, lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


class Scaled(Module):
    def __init__(self):
        self.s = Value(2.0, "s")
        self.w = Value(0.5, requires_grad=False) * self.s

    def __call__(self, x):
        return self.w * x


def computed_before_the_loop():
    w = Value(1.0, "w")
    loss = (w - 3.0) ** 2
    return [w], lambda: loss


def computed_in_init():
    model = Scaled()
    return model.parameters(), lambda: model(1.0)


def results_in_the_array(function):
    def made():
        ws = np.array([Value(1.0, "w"), Value(2.0)])
        parameters = list(ws.flat)
        function(ws)
        return parameters, lambda: (ws * ws).sum()

    return made


def assign(ws, ys):
    ws[:] = ys


def assign_flat(ws, ys):
    ws.flat = ys


def state_that_is_not_detached():
    w, states = Value(0.5, "w"), [Value(0.1, requires_grad=False)]

    def loss():
        states.append(mc.tanh(w * states[-1] + 1.0))
        return states[-1]

    return [w], loss


OUTDATED = {
    "before the loop": computed_before_the_loop,
    "in __init__": computed_in_init,
    "out=": results_in_the_array(lambda ws: np.exp(ws, out=ws)),
    "out by position": results_in_the_array(lambda ws: np.exp(ws, ws)),
    "W[:]": results_in_the_array(lambda ws: assign(ws, mc.tanh(ws))),
    "W.flat": results_in_the_array(lambda ws: assign_flat(ws, 0.5 * ws)),
    "copyto": results_in_the_array(lambda ws: np.copyto(ws, ws * ws)),
    "state": state_that_is_not_detached,
}


@pytest.mark.parametrize("kind", [SGD, Adam])
@pytest.mark.parametrize("made", OUTDATED.values(), ids=OUTDATED)
def test_a_second_backward_through_a_node_warns_if_a_step_has_changed_its_operands(made, kind):
    parameters, loss = made()
    with pytest.warns(UserWarning, match=rf"again through .*, which was computed before a step of {kind.__name__} ch"):
        train(parameters, loss, kind=kind)


def test_the_warning_names_the_node_the_parameter_and_the_line():
    w = Value(1.0, "w")
    loss = w * 3.0
    loss.label = "loss"
    with pytest.warns(
        UserWarning, match="again through loss, which was computed before a step of SGD changed w"
    ) as found:
        train([w], lambda: loss)
    assert found[0].filename == __file__


def test_a_loop_of_compiled_gradients_is_warned_too():
    model = Scaled()
    f, optimizer = compiler.compile(model), SGD(model.parameters(), lr=0.1)
    f.backward([(1.0,)])
    optimizer.step()
    with pytest.warns(UserWarning, match="again through mul"):
        f.backward([(1.0,)])


def test_a_warning_that_is_an_error_changes_no_gradient():
    [w], loss = computed_before_the_loop()
    optimizer = SGD([w], lr=0.1)
    loss().backward()
    optimizer.step()
    with pytest.raises(UserWarning, match="again through"):
        loss().backward()
    assert w.grad == -4.0


def computed_anew():
    w = Value(1.0)
    return [w], lambda: (w - 3.0) ** 2


def detached_state():
    w, states = Value(0.5), [Value(0.1, requires_grad=False)]

    def loss():
        h = mc.tanh(w * states[-1] + 1.0)
        states.append(h.detach())
        return h

    return [w], loss


def computed_from_what_does_not_change():
    w, c = Value(0.5), Value(2.0)
    square = c * c  # c is a leaf that the optimiser does not have
    return [w], lambda: w * square


def kept_without_use():
    w = Value(1.0)
    losses = []

    def loss():
        losses.append((w - 3.0) ** 2)
        return losses[-1]

    return [w], loss


def a_step_of_0():
    w, v = Value(1.0), Value(-2.0)
    fixed = mc.relu(v)  # its gradient is 0, so no step changes v
    return [w, v], lambda: w * w + fixed


RIGHT = [computed_anew, detached_state, computed_from_what_does_not_change, kept_without_use, a_step_of_0]


@pytest.mark.parametrize("made", RIGHT)
def test_a_loop_that_computes_the_loss_anew_gets_no_warning(made):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(*made(), steps=3)


def test_two_optimisers_may_share_a_graph_whose_operands_they_leave_alone():
    """A generator and its critic: the critic's step is taken between two backward passes through the generator."""
    g, d = Value(0.5), Value(0.2)
    of_g, of_d = SGD([g], lr=0.1), SGD([d], lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            fake = mc.tanh(g * 2.0)
            (d * fake).backward()
            of_d.step()
            (-d * fake).backward()
            of_g.step()


class Line(Module):
    def __init__(self):
        self.w, self.b = Value(2.0), Value(1.0)

    def __call__(self, x):
        return self.w * x + self.b


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), lambda _: Line()])
@pytest.mark.parametrize("kind", [SGD, Adam])
def test_a_step_warns_if_backward_has_reached_none_of_the_parameters(copied, kind):
    model = Line()
    optimizer = kind(model.parameters())
    model = copied(model)
    for i in range(2):
        optimizer.zero_grad()
        model(1.0).backward()
        message = f"none of the parameters of {kind.__name__} since"
        with pytest.warns(UserWarning, match=message) if i else nullcontext():
            optimizer.step()


def loaded(optimizer):
    """Return an optimiser that goes on like `optimizer`, for the parameters of another model."""
    found = type(optimizer)(Line().parameters())
    found.load_state_dict(optimizer.state_dict())
    return found


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)), loaded])
@pytest.mark.parametrize("kind", [SGD, Adam])
@pytest.mark.parametrize("steps", [1, 5, 29, 30, 5000])
def test_the_second_step_of_a_copy_warns_if_the_copy_was_made_without_its_model(copied, kind, steps):
    """A model and its optimiser may be saved in two files."""
    model = Line()
    optimizer = kind(model.parameters())
    optimizer.steps = steps
    together, of_both = copy.deepcopy((model, optimizer))
    optimizer = copied(optimizer)
    for i in range(2):
        optimizer.zero_grad()
        model(1.0).backward()
        with (
            pytest.warns(UserWarning, match=f"none of the parameters of {kind.__name__} since") if i else nullcontext()
        ):
            optimizer.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            of_both.zero_grad()
            together(1.0).backward()
            of_both.step()


def test_optimisers_that_are_copied_in_each_step_do_not_look_for_mistakes_in_each_step():
    """Only the last copies look, and the steps of a new optimiser at which it looks are kept."""
    optimizer = SGD(Line().parameters())
    for optimizer.steps in range(2000, 2200):
        copy.copy(optimizer)
    assert {2199, 2200, *FIRST_LOOKS, *PART_OF_STEP} <= LOOKING_STEPS
    assert 2000 not in LOOKING_STEPS
    assert len(LOOKING_STEPS) <= MOST_LOOKS + 2 * len(FIRST_LOOKS) + len(PART_OF_STEP)


def test_a_step_warns_late_if_many_calls_have_reached_none_of_the_parameters():
    model, optimizer = Line(), SGD(Line().parameters())
    optimizer.steps = 1  # as of an optimiser whose model was exchanged after the first step
    for i in range(30):
        optimizer.zero_grad()
        model(1.0).backward()
        with pytest.warns(UserWarning, match="none of the parameters") if i == 29 else nullcontext():
            optimizer.step()


def lose_by_clearing(model, clear, backward):
    backward()
    clear()


def forget_backward(model, clear, backward):
    clear()
    model(1.0)


@pytest.mark.parametrize("mistake", [lose_by_clearing, forget_backward])
@pytest.mark.parametrize("clears", ["optimizer", "model", "to None"])
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("further", [0, 40])  # with many parameters, machine code takes the steps
def test_a_step_warns_if_no_backward_has_followed_zero_grad(mistake, clears, compiled, further):
    model = Line()
    model.others = [Value(0.0) for _ in range(further)]
    reverse = model.parameters()[::-1]  # the model clears them in another order
    optimizer, compiled_model = SGD(reverse, lr=0.1), compiler.compile(lambda x: model(x))
    clear = {"optimizer": optimizer.zero_grad, "model": model.zero_grad}.get(
        clears, lambda: optimizer.zero_grad(set_to_none=True)
    )

    def backward():
        if compiled:
            compiled_model.backward([(1.0,)])
        else:
            model(1.0).backward()

    for i in range(3):
        mistake(model, clear, backward)
        advice = r"all gradients of SGD are 0.*write optimizer\.zero_grad\(\), loss\.backward\(\) and then"
        with pytest.warns(UserWarning, match=advice) if i == 1 else nullcontext():
            optimizer.step()
    assert model.w.data == 2.0


def test_backward_may_come_before_after_and_between_calls_of_zero_grad():
    """A gradient of 0 from the last `backward` is no mistake, and neither is another model's `zero_grad`."""
    dead, other, w = Value(-1.0), Line(), Value(1.0)

    def loss():
        return mc.relu(dead)

    def twice():
        loss().backward()
        optimizer.zero_grad()
        loss().backward()
        other.zero_grad()

    def first():
        optimizer.zero_grad()
        loss().backward()
        other.zero_grad()

    def last():  # zero_grad() at the end of the loop
        loss().backward()
        optimizer.step()
        optimizer.zero_grad()
        loss().backward()

    def elsewhere():
        optimizer.zero_grad()
        (w * w).backward()
        dead.grad = -0.5

    for prepare in (twice, first, last, elsewhere):
        optimizer = SGD([dead])
        for _ in range(3):
            prepare()
            optimizer.step()


def test_a_gradient_may_come_from_elsewhere_and_a_parameter_may_be_frozen_or_dead():
    x, w, frozen, dead = Value(2.0), Value(1.0), Value(1.0, requires_grad=False), Value(-1.0)
    optimizers = [SGD([w]), SGD([frozen]), SGD([dead])]
    for optimizer in optimizers:
        for _ in range(3):
            optimizer.zero_grad()
            (x * x).backward()
            mc.relu(dead).backward()
            w.grad = 1.0
            optimizer.step()


@pytest.mark.parametrize("reach", [lambda f: f(1.0).backward(), lambda f: compiler.compile(f).backward([(1.0,)])])
def test_a_gradient_of_0_is_no_missed_parameter_though_many_other_calls_of_backward_came_before(reach):
    dead, x = Value(-1.0), Value(2.0)
    optimizer = SGD([dead])
    for _ in range(3):
        optimizer.zero_grad()
        for _ in range(20):
            (x * x).backward()
        reach(lambda k: mc.relu(dead * k))
        optimizer.step()


def test_an_optimiser_is_not_asked_for_when_it_is_gone():
    w, x = Value(1.0), Value(2.0)
    optimizer = SGD([w])
    w.grad = 1.0
    optimizer.step()
    (x * x).backward()
    assert outdated.expected
    del optimizer
    assert outdated.expected is None


@pytest.mark.parametrize("sign", ["-=", "+="])
def test_subtracting_from_a_leaf_outside_no_grad_is_named_as_the_reason_that_nothing_is_trained(sign):
    """It makes a new node, as in micrograd, and the loop over parameters only gives the node the name p."""
    w, b = Value(1.0, "w"), Value(0.0, "b")

    def steps(count, update):
        for _ in range(count):
            loss = (w * 2.0 + b - 5.0) ** 2
            w.grad = b.grad = 0.0
            loss.backward()
            for p in (w, b):
                update(p)

    def lost(p):
        if sign == "-=":
            p -= 0.05 * p.grad
        else:
            p += -0.05 * p.grad

    def kept(p):
        with mc.no_grad():
            p -= 0.05 * p.grad

    def assigned(p):
        p.data -= 0.05 * p.grad

    steps(2, kept)
    steps(2, assigned)
    before = w.data
    with pytest.warns(UserWarning, match=rf"p \{sign[0]}= .* outside no_grad\(\) has made a new Value.* leaf p, w,"):
        steps(2, lost)
    assert w.data == before
    with pytest.warns(UserWarning, match="p.data .= "):  # the last steps asked once more
        steps(1, assigned)
    steps(2, assigned)


def test_subtracting_from_a_leaf_makes_a_new_node_without_a_word_where_the_node_is_used():
    w = Value(1.0)
    w.grad = 1.0
    for _ in range(3):
        h = w
        h -= 0.5
        (h * h).backward()
        assert w.grad
    x = Value(3.0)
    for _ in range(5):  # x is no leaf after the first step, but its gradients are right
        (x * x).backward()
        x -= 0.1 * x.grad
    assert x.data == pytest.approx(3.0 * 0.8**5)
    optimizer = SGD([w])
    optimizer.zero_grad()
    (w * w).backward()
    optimizer.step()
    w -= 0.1 * w.grad
    assert not isinstance(outdated.expected, outdated.Reassignment), "the optimiser's question goes first"
