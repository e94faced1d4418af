"""Steps leave a parameter without a gradient alone; `dampening`, `amsgrad` and `maximize` are PyTorch's."""

import copy
import json
import pickle
import random

import pytest

from micrograd_cn import Value
from micrograd_cn.nn import Module
from micrograd_cn.optim import SGD, Adam, AdamW, Optimizer, RMSprop

KINDS = [SGD, RMSprop, Adam, AdamW]


def step(optimizer, *gradients):
    for p, gradient in zip(optimizer.parameters, gradients, strict=True):
        p.grad = gradient
    optimizer.step()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.5}])
@pytest.mark.parametrize("without", ["grad None", "frozen"])
def test_steps_without_a_gradient_leave_a_parameter_and_its_state_as_they_are(kind, options, without):
    p, other, fresh = Value(1.0), Value(2.0), Value(1.0)
    optimizer, alone = kind([p, other], lr=0.1, **options), kind([fresh], lr=0.1, **options)
    if without == "frozen":
        p.requires_grad = False
    for _ in range(1000):
        step(optimizer, None if without == "grad None" else 0.0, 1.0)
    assert (p.data, set(optimizer.state[0].values())) == (1.0, {0.0})
    assert (optimizer.steps, optimizer.skipped) == (1000, {0: 1000})
    p.requires_grad = True
    for gradient in (3.0, -1.0, 0.25):
        step(optimizer, gradient, 1.0)
        step(alone, gradient)
        assert (p.data, optimizer.state[0]) == (fresh.data, alone.state[0])
    assert optimizer.steps == 1003, "the number of the optimiser's own steps"


def test_the_first_step_of_adam_is_lr_whenever_it_comes():
    p = Value(1.0)
    optimizer = Adam([p], lr=0.1, eps=0)
    for _ in range(1000):
        step(optimizer, None)
    step(optimizer, 3.0)
    assert p.data == pytest.approx(0.9, rel=1e-15)


@pytest.mark.parametrize(("kind", "left"), [(SGD, 1.9), (AdamW, 1.9)])
def test_a_gradient_of_0_is_a_gradient_and_decays(kind, left):
    p = Value(2.0)
    optimizer = kind([p], lr=0.1, weight_decay=0.5)
    optimizer.step()
    assert p.data == pytest.approx(left)
    optimizer.zero_grad(set_to_none=True)
    assert p.grad is None
    with pytest.warns(UserWarning, match="all gradients of"):  # as after a backward() that was forgotten
        optimizer.step()
    assert p.data == pytest.approx(left)
    (p * 3.0).backward()
    assert p.grad == 3.0, "backward begins at 0 there"


def test_an_update_of_a_subclass_counts_a_parameters_own_steps():
    seen = []

    class Counting(SGD):
        def update(self, p, state):
            seen.append((p.label, self.steps))
            if p.label == "fails":
                raise KeyError

    a, b = Value(1.0, "a"), Value(1.0, "b")
    optimizer = Counting([a, b])
    step(optimizer, 1.0, None)
    step(optimizer, 1.0, 1.0)
    assert (seen, optimizer.steps) == ([("a", 1), ("a", 2), ("b", 1)], 2)
    b.label = "fails"
    with pytest.raises(KeyError):
        step(optimizer, 1.0, 1.0)
    assert optimizer.steps == 3, "an error leaves the count of all steps"


@pytest.mark.parametrize("kind", KINDS)
def test_skipped_steps_are_saved_loaded_copied_and_pickled(kind):
    def continued(change):
        rng = random.Random(0)
        optimizer = kind([Value(1.0), Value(2.0)], lr=0.05)
        for k in range(20):
            step(optimizer, rng.gauss(0, 1) if k % 3 else None, rng.gauss(0, 1))
            if k == 10:
                optimizer = change(optimizer)
        return [p.data for p in optimizer.parameters], optimizer.state_dict()

    def loaded(optimizer):
        other = kind([Value(p.data) for p in optimizer.parameters])
        other.load_state_dict(json.loads(json.dumps(optimizer.state_dict())))
        return other

    expected = continued(lambda optimizer: optimizer)
    assert expected[1]["skipped"] == [7, 0]
    for change in (loaded, copy.deepcopy, lambda optimizer: pickle.loads(pickle.dumps(optimizer))):
        assert continued(change) == expected


def test_loading_a_state_without_skipped_steps_forgets_those():
    optimizer = Adam([Value(1.0)])
    step(optimizer, None)
    optimizer.load_state_dict(Adam([Value(1.0)]).state_dict())
    assert (optimizer.skipped, optimizer.state_dict().keys()) == ({}, {"options", "steps", "state"})


@pytest.mark.parametrize(
    ("skipped", "exception", "message"),
    [
        (3, TypeError, "skipped must be a list, got int"),
        ([1], ValueError, "skipped has 1 counts for 2 parameters"),
        ([0, 1.0], TypeError, r"skipped\[1\] must be an int, got 1.0"),
        ([0, -1], ValueError, r"skipped\[1\] must be 0 or more, got -1"),
        ([0, 6], ValueError, r"skipped\[1\] is 6, more than the 5 steps that were taken"),
    ],
)
def test_wrong_counts_of_skipped_steps_are_refused(skipped, exception, message):
    optimizer = Adam([Value(1.0), Value(2.0)])
    before = optimizer.state_dict()
    with pytest.raises(exception, match=message):
        optimizer.load_state_dict({**before, "steps": 5, "skipped": skipped})
    assert optimizer.state_dict() == before


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_0_2_have_none_of_the_new_options_and_load(kind):
    saved = kind([Value(1.0)], lr=0.5).state_dict()
    for name in ("dampening", "amsgrad", "maximize"):
        saved["options"].pop(name, None)
    optimizer = kind([Value(1.0)], maximize=True)
    optimizer.load_state_dict(saved)
    assert (optimizer.lr, optimizer.maximize) == (0.5, False)


def test_amsgrad_may_be_set_and_unset_between_steps_and_comes_with_a_loaded_state():
    optimizer, plain = Adam([Value(1.0)], amsgrad=True), Adam([Value(1.0)])
    step(optimizer, 2.0)
    assert optimizer.state[0]["max_exp_avg_sq"] == optimizer.state[0]["exp_avg_sq"] > 0.0
    plain.load_state_dict(optimizer.state_dict())
    assert (plain.amsgrad, plain.state) == (True, optimizer.state)
    optimizer.amsgrad = False
    assert set(optimizer.state[0]) == {"exp_avg", "exp_avg_sq"}
    step(optimizer, 2.0)
    optimizer.amsgrad = True
    step(optimizer, 0.0)
    assert optimizer.state[0]["max_exp_avg_sq"] == optimizer.state[0]["exp_avg_sq"]
    state = optimizer.state_dict()
    state["state"][0]["max_exp_avg_sq"] = -1.0
    with pytest.raises(ValueError, match=r"state\[0\]\['max_exp_avg_sq'\] must be 0 or more, got -1.0"):
        optimizer.load_state_dict(state)
    with pytest.raises(ValueError, match="'max_exp_avg_sq' is unexpected in state"):
        plain.load_state_dict({**optimizer.state_dict(), "options": Adam([Value(1.0)]).state_dict()["options"]})


@pytest.mark.parametrize("kind", KINDS)
def test_maximize_is_the_descent_of_the_negated_loss(kind):
    rng = random.Random(0)
    up, down = (kind([Value(1.0)], lr=0.05, weight_decay=0.1, maximize=way) for way in (True, False))
    for _ in range(20):
        gradient = rng.gauss(0, 1)
        step(up, gradient)
        step(down, -gradient)
        assert up.parameters[0].data == down.parameters[0].data


def test_plain_sgd_climbs_too():
    p = Value(1.0)
    step(SGD([p], lr=0.1, maximize=True), 2.0)
    assert p.data == 1.2


class Descent(Optimizer):
    """An update that does not look at `maximize`."""

    def update(self, p, state):
        p.data -= self.lr * p.grad


class Asking(Optimizer):
    """An update that looks at it, which is not necessary."""

    def update(self, p, state):
        p.data -= self.lr * (-p.grad if self.maximize else p.grad)


class Clipping(Optimizer):
    """An update that changes the gradient."""

    def update(self, p, state):
        p.grad = min(p.grad, 0.5)
        p.data -= 4 * self.lr * p.grad


@pytest.mark.parametrize("kind", [Descent, Asking, Clipping])
@pytest.mark.parametrize("skips", [False, True])
def test_maximize_belongs_to_the_step_and_not_to_the_update(kind, skips):
    p, other = Value(1.0), Value(1.0)
    optimizer = kind([p, other], lr=0.1)
    optimizer.maximize = True
    if skips:
        step(optimizer, None, None)
    step(optimizer, 2.0, -2.0)
    assert (p.data, optimizer.maximize) == (pytest.approx(1.8 if kind is Clipping else 1.2), True)
    assert (other.data, p.grad, other.grad) == (0.8, 2.0, -0.5 if kind is Clipping else -2.0)


def test_maximize_is_as_before_when_an_update_fails():
    class Failing(Optimizer):
        def update(self, p, state):
            raise ZeroDivisionError

    p = Value(1.0)
    optimizer = Failing([p], lr=0.1)
    optimizer.maximize = True
    with pytest.raises(ZeroDivisionError):
        step(optimizer, 2.0)
    assert (p.grad, optimizer.maximize) == (2.0, True)


def test_maximize_of_an_optimiser_without_this_option_is_saved():
    optimizer, other = Descent([Value(1.0)], lr=0.1), Descent([Value(1.0)], lr=0.2)
    optimizer.maximize = True
    saved = json.loads(json.dumps(optimizer.state_dict()))
    other.load_state_dict(saved)
    assert (other.maximize, other.lr, saved["options"]) == (True, 0.1, {"lr": 0.1, "maximize": True})
    other.load_state_dict(Descent([Value(1.0)], lr=0.3).state_dict())
    assert (other.maximize, other.lr) == (False, 0.3)
    with pytest.raises(TypeError, match="Descent: maximize must be True or False, got 'max'"):
        other.load_state_dict({**saved, "options": {"lr": 0.1, "maximize": "max"}})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD(p, 0.1, 0.9, 0.0, 1e-4, 1e-4), "SGD: nesterov must be True or False, got 0.0001"),
        (lambda p: SGD(p, momentum=0.9, dampening=-1), "SGD: dampening must be 0 or more, got -1"),
        (
            lambda p: SGD(p, momentum=0.9, nesterov=True, dampening=0.5),
            "SGD: nesterov needs a dampening of 0, got 0.5",
        ),
        (lambda p: Adam(p, amsgrad="yes"), "Adam: amsgrad must be True or False, got 'yes'"),
        (lambda p: AdamW(p, maximize=2), "AdamW: maximize must be True or False, got 2"),
        (lambda p: RMSprop(p, maximize=None), "RMSprop: maximize must be True or False, got None"),
    ],
)
def test_refused_options(make, message):
    with pytest.raises(TypeError if "True or False" in message else ValueError, match=message):
        make([Value(1.0)])


def test_flags_may_be_any_kind_of_true_and_false():
    np = pytest.importorskip("numpy")
    optimizer = SGD([Value(1.0)], momentum=0.9, nesterov=np.bool_(True), maximize=1)
    assert (optimizer.nesterov, optimizer.maximize) == (True, True)
    assert json.dumps(optimizer.state_dict()["options"]).endswith('"nesterov": true, "maximize": true}')


def test_an_optimiser_shows_its_options():
    optimizer = Adam([Value(1.0), Value(2.0)], lr=0.5, amsgrad=True)
    step(optimizer, 1.0, 1.0)
    assert repr(optimizer) == (
        "<Adam of 2 parameters after 1 step: lr=0.5, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0, amsgrad=True, "
        "maximize=False>"
    )


def random_options(kind, rng):
    """Return random options of an optimiser, some of them 0."""
    options = {"lr": 10 ** rng.uniform(-3, -1), "maximize": rng.random() < 0.5}
    options["weight_decay"] = rng.choice([0.0, rng.uniform(0.0, 0.5)])
    if kind is SGD:
        options |= {"momentum": rng.choice([0.0, rng.random()]), "dampening": rng.choice([0.0, rng.random()])}
        options["nesterov"] = bool(options["momentum"] and not options["dampening"])
    elif kind is RMSprop:
        options |= {"alpha": rng.random(), "momentum": rng.choice([0.0, rng.random()])}
    else:
        options |= {"betas": (rng.random(), rng.uniform(0.5, 0.999)), "amsgrad": rng.random() < 0.5}
    return options


def sgd(o, p, g, state, _):
    g += o["weight_decay"] * p
    if o["momentum"]:
        state["b"] = o["momentum"] * state["b"] + (1 - o["dampening"]) * g if "b" in state else g
        g = g + o["momentum"] * state["b"] if o["nesterov"] else state["b"]
    return p - o["lr"] * g


def rmsprop(o, p, g, state, _):
    g += o["weight_decay"] * p
    state["v"] = o["alpha"] * state.get("v", 0.0) + (1 - o["alpha"]) * g**2
    state["b"] = o["momentum"] * state.get("b", 0.0) + g / (state["v"] ** 0.5 + 1e-8)
    return p - o["lr"] * state["b"]


def adam(o, p, g, state, t):
    g += o["weight_decay"] * p
    (beta1, beta2), m, v = o["betas"], state.get("m", 0.0), state.get("v", 0.0)
    state["m"], state["v"] = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    state["largest"] = max(state.get("largest", 0.0), state["v"])
    v = state["largest" if o["amsgrad"] else "v"]
    return p - o["lr"] * (state["m"] / (1 - beta1**t)) / ((v / (1 - beta2**t)) ** 0.5 + 1e-8)


def adamw(o, p, g, state, t):
    return adam(o | {"weight_decay": 0.0}, p * (1 - o["lr"] * o["weight_decay"]), g, state, t)


@pytest.mark.parametrize(("kind", "formula"), [(SGD, sgd), (RMSprop, rmsprop), (Adam, adam), (AdamW, adamw)])
def test_random_options_and_missing_gradients_give_the_numbers_of_the_published_formulas(kind, formula):
    """The formulas are those of PyTorch's documentation. PyTorch is not needed for this test."""
    rng = random.Random(1)
    for _ in range(40):
        options = random_options(kind, rng)
        ours = [Value(rng.gauss(0, 1)) for _ in range(3)]
        expected, states, counts = [p.data for p in ours], [{}, {}, {}], [0, 0, 0]
        optimizer = kind(ours, **options)
        for _ in range(12):
            gradients = [None if rng.random() < 0.3 else rng.gauss(0, 1) for _ in ours]
            step(optimizer, *gradients)
            for i, g in enumerate(gradients):
                if g is not None:
                    counts[i] += 1
                    g = -g if options["maximize"] else g
                    expected[i] = formula(options, expected[i], g, states[i], counts[i])
        assert [p.data for p in ours] == pytest.approx(expected, rel=1e-9, abs=1e-9), options


@pytest.mark.parametrize("kind", KINDS)
def test_random_options_and_missing_gradients_give_pytorchs_numbers(kind):
    torch = pytest.importorskip("torch")
    rng = random.Random(0)
    for _ in range(50):
        options = random_options(kind, rng)
        ours = [Value(rng.gauss(0, 1)) for _ in range(3)]
        theirs = [torch.nn.Parameter(torch.tensor(p.data, dtype=torch.float64)) for p in ours]
        mine, yours = kind(ours, **options), getattr(torch.optim, kind.__name__)(theirs, **options)
        for _ in range(30):
            gradients = [None if rng.random() < 0.3 else rng.gauss(0, 10 ** rng.uniform(-1, 1)) for _ in ours]
            step(mine, *gradients)
            for p, g in zip(theirs, gradients, strict=True):
                p.grad = None if g is None else torch.tensor(g, dtype=torch.float64)
            yours.step()
        assert [p.data for p in ours] == pytest.approx([p.item() for p in theirs], rel=1e-12, abs=1e-12), options


def test_an_optimizer_asks_each_model_once_for_its_parameters_when_it_looks_for_mistakes():
    """A large model takes long to list its parameters, so a step that looks would take many times as long as others."""

    class Counting(Module):
        def __init__(self):
            self.w, self.b = Value(1.0), Value(2.0)

        def parameters(self):
            asked.append(len(taken))
            return super().parameters()

    asked, taken, model = [], [], Counting()
    optimizer = SGD(model.parameters(), lr=0.01)
    asked.clear()
    for _ in range(40):
        taken.append(1)
        optimizer.zero_grad()
        (model.w * model.b).backward()
        optimizer.step()
    assert max(map(asked.count, asked), default=0) <= 1
    assert asked
