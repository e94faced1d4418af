"""Optimisers take PyTorch's path, remember their state, and refuse what they cannot change."""

import copy
import json
import math
import pickle
from fractions import Fraction
from itertools import pairwise

import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD, Adam, AdamW, RMSprop, clip_grad_norm, cosine_lr, linear_lr, step_lr, warmup

START = [1.0, -0.5, 2.0]


def slopes(k, xs):
    """Return gradients that depend on the step and on where the parameters are."""
    return [math.sin(0.1 * k * (i + 1)) + 0.3 * x * (i + 1) for i, x in enumerate(xs)]


OPTIMISERS = {
    "SGD": lambda ps: SGD(ps, lr=0.01),
    "SGD momentum": lambda ps: SGD(ps, lr=0.01, momentum=0.9),
    "SGD nesterov decay": lambda ps: SGD(ps, lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.1),
    "RMSprop": lambda ps: RMSprop(ps),
    "RMSprop options": lambda ps: RMSprop(ps, lr=0.02, alpha=0.9, eps=1e-3, weight_decay=0.1, momentum=0.5),
    "Adam": lambda ps: Adam(ps),
    "Adam options": lambda ps: Adam(ps, lr=0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.2),
    "AdamW": lambda ps: AdamW(ps),
    "AdamW options": lambda ps: AdamW(ps, lr=0.02, betas=(0.7, 0.99), weight_decay=0.3),
}
# Where PyTorch 2.13 (float64) is after 1, 2, 50 and 200 steps, with the same options and gradients.
PYTORCH = {
    "SGD": [
        [0.997, -0.497, 1.982],
        [0.9930106658335317, -0.4960046933079506, 1.9612067979333865],
        [0.8008361245762635, -0.45108647217187425, 1.2287171422413927],
        [0.5361031062464583, -0.19587414100302572, 0.2894536529619855],
    ],
    "SGD momentum": [
        [0.997, -0.497, 1.982],
        [0.9903106658335317, -0.4933046933079506, 1.9450067979333865],
        [-0.32341717496679434, -0.21072751534440093, -0.08329940497554185],
        [0.7052387144734498, 0.07443826758965338, -0.07740261169398074],
    ],
    "SGD nesterov decay": [
        [0.9924, -0.49335, 1.962],
        [0.9797209250837102, -0.4877281622851062, 1.9029071160734345],
        [-0.1467480180684335, -0.22110472516348478, -0.0706451437242035],
        [0.6288912009630829, 0.01798102542517015, -0.1090549069991447],
    ],
    "RMSprop": [
        [0.9000000333333222, -0.40000003333332224, 1.9000000055555553],
        [0.8221837844411161, -0.38628458817958583, 1.8254124200307578],
        [0.17464204387133336, -0.4372201083795846, 0.9393481646963944],
        [0.11571000007908053, -0.12190617846970549, 0.17588540995533725],
    ],
    "RMSprop options": [
        [0.937250524954442, -0.4373207586953014, 1.9368542889323548],
        [0.8567291118571607, -0.3866826920808488, 1.857142502927132],
        [0.27479866826411603, -0.3832325515764101, 0.2997867889953664],
        [0.11097314399113431, -0.16588304366082562, -0.1726024861919013],
    ],
    "Adam": [
        [0.9990000000333333, -0.49900000003333334, 1.9990000000055557],
        [0.9980026270284573, -0.49812785587883873, 1.9979989166356606],
        [0.9636841534242159, -0.4959323371829465, 1.9547031989259334],
        [0.9243402893262698, -0.4366752601004977, 1.8205496514757542],
    ],
    "Adam options": [
        [0.9500998003992016, -0.45012468827930174, 1.9500227169468423],
        [0.9000165124778844, -0.4060153457640831, 1.8998901526649463],
        [0.173859315010582, -0.33261933640259705, 0.28599329490504516],
        [0.2972731885266895, -0.0363799753838346, -0.11905687389866565],
    ],
    "AdamW": [
        [0.9989900000333334, -0.49899500003333336, 1.9989800000055558],
        [0.9979826368067441, -0.49811787035233196, 1.997958926736079],
        [0.9631979491317718, -0.49568547862456874, 1.9537186137305012],
        [0.9224991796533752, -0.4357899964879751, 1.816822522657778],
    ],
    "AdamW options": [
        [0.9740000006666666, -0.47700000066666665, 1.968000000111111],
        [0.9478785841561789, -0.45826394966243883, 1.9360034987184576],
        [0.40616664995592106, -0.34915466227198455, 0.8524070824488964],
        [0.18049174057742357, -0.0447507947938391, -0.03526331547730064],
    ],
}


def run(optimizer, first, last):
    """Take the steps from `first` up to `last`; return where the parameters are after each."""
    path = []
    for k in range(first, last):
        for p, g in zip(optimizer.parameters, slopes(k, [p.data for p in optimizer.parameters]), strict=True):
            p.grad = g
        optimizer.step()
        path.append([p.data for p in optimizer.parameters])
        assert optimizer.steps == k + 1
    return path


@pytest.mark.parametrize("name", OPTIMISERS)
def test_trajectories_over_200_steps_are_pytorchs(name):
    path = run(OPTIMISERS[name]([Value(x) for x in START]), 0, 200)
    for k, expected in zip((0, 1, 49, 199), PYTORCH[name], strict=True):
        assert path[k] == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_saved_state_continues_to_the_same_bits(name):
    whole = run(OPTIMISERS[name]([Value(x) for x in START]), 0, 60)
    optimizer = OPTIMISERS[name]([Value(x) for x in START])
    run(optimizer, 0, 30)
    state = json.loads(json.dumps(optimizer.state_dict()))
    other = type(optimizer)([Value(p.data) for p in optimizer.parameters])
    other.load_state_dict(state)
    assert run(other, 30, 60) == whole[30:]


@pytest.mark.parametrize(
    ("change", "exception", "message"),
    [
        (lambda s: s.pop("steps"), ValueError, "'steps' is missing in state_dict"),
        (lambda s: s.update(extra=1), ValueError, "'extra' is surplus in state_dict"),
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
    with pytest.raises(ValueError, match="Adam: 'options', 'state', 'steps' is missing in state_dict"):
        Adam([Value(1)]).load_state_dict({})


def test_the_learning_rate_may_be_set_between_steps():
    p = Value(1)
    optimizer = SGD([p], lr=0.1)
    p.grad = 1.0
    optimizer.step()
    optimizer.lr = 0.5
    optimizer.step()
    assert p.data == pytest.approx(0.4)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_zero_grad_and_frozen_parameters(name):
    p, frozen = Value(1), Value(2)
    frozen.requires_grad = False
    optimizer = OPTIMISERS[name]([p, frozen])
    p.grad = frozen.grad = 1.0
    optimizer.step()
    assert p.data < 1
    assert frozen.data == 2
    optimizer.zero_grad()
    assert (p.grad, frozen.grad) == (0, 0)


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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD(p, lr=-0.1), "SGD: lr must be 0 or more, got -0.1"),
        (lambda p: SGD(p, lr=math.nan), "SGD: lr must be 0 or more, got nan"),
        (lambda p: SGD(p, lr=math.inf), "SGD: lr must be 0 or more, got inf"),
        (lambda p: SGD(p, lr=float("inf")), "SGD: lr must be 0 or more, got inf"),  # not the object math.inf
        (lambda p: SGD(p, lr=True), "SGD: lr must be 0 or more, got True"),
        (lambda p: Adam(p, betas=("0.9", 0.9)), r"Adam: betas\[0\] must be .*, got '0.9'"),
        (lambda p: Adam(p, betas=(0.9, False)), r"Adam: betas\[1\] must be .*, got False"),
        (lambda p: SGD(p, momentum=-1), "SGD: momentum must be 0 or more, got -1"),
        (lambda p: SGD(p, nesterov=True), "nesterov needs a momentum"),
        (lambda p: SGD(p, weight_decay=-1), "weight_decay must be 0 or more"),
        (lambda p: Adam(p, betas=(1.0, 0.9)), r"Adam: betas\[0\] must be at least 0 and less than 1, got 1.0"),
        (lambda p: Adam(p, betas=(0.9, 1.5)), r"Adam: betas\[1\] must be at least 0 and less than 1, got 1.5"),
        (lambda p: AdamW(p, betas=(0.9, -0.1)), r"AdamW: betas\[1\]"),
        (lambda p: Adam(p, betas=(0.9,)), r"Adam: betas must be two numbers, got \(0.9,\)"),
        (lambda p: AdamW(p, betas=(0.9, 0.99, 0.999)), r"AdamW: betas must be two numbers, got \(0.9, 0.99, 0.999\)"),
        (lambda p: Adam(p, eps=-1e-8), "eps must be 0 or more"),
        (lambda p: RMSprop(p, alpha=1.0), r"RMSprop: alpha must be at least 0 and less than 1, got 1.0"),
        (lambda p: RMSprop(p, eps=-1), "RMSprop: eps must be 0 or more, got -1"),
        (lambda p: RMSprop(p, momentum=-1), "RMSprop: momentum must be 0 or more, got -1"),
        (lambda p: RMSprop(p, weight_decay=-1), "RMSprop: weight_decay must be 0 or more, got -1"),
    ],
)
def test_refused_options(make, message):
    with pytest.raises(ValueError, match=message):
        make([Value(1)])


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_network_learns_with_it(name):
    model = MLP(2, [6, 1], activation="tanh", init="xavier_uniform", seed=0)
    optimizer = OPTIMISERS[name](model.parameters())
    optimizer.lr *= 5
    points = [((0, 0), 0), ((0, 1), 1), ((1, 0), 1), ((1, 1), 0)]

    def loss():
        return mc.mean([mc.softplus((1 - 2 * t) * model(x)) for x, t in points])

    start = loss().data
    for _ in range(60):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss().data < start


@pytest.mark.parametrize(("make", "rate"), [(SGD, 1e-3), (RMSprop, 1e-2), (Adam, 1e-3), (AdamW, 1e-3)])
def test_the_learning_rate_is_pytorchs_where_none_is_given(make, rate):
    assert make([Value(1)]).lr == rate


def test_no_eps_and_no_gradient_is_nan_as_in_pytorch():
    p = Value(1)
    Adam([p], eps=0).step()
    assert math.isnan(p.data)


@pytest.mark.parametrize("gradient", [2.0, -0.5])
def test_adam_that_keeps_nothing_steps_by_the_sign(gradient):
    p = Value(1)
    optimizer = Adam([p], lr=0.25, betas=(0, 0), eps=0)
    for k in range(1, 4):
        p.grad = gradient * k
        optimizer.step()
        assert p.data == 1 - 0.25 * k * math.copysign(1, gradient)
    assert optimizer.state == [{"exp_avg": 3 * gradient, "exp_avg_sq": 9 * gradient * gradient}]


def test_a_subclass_says_which_of_its_state_is_0_or_more():
    class Counted(SGD):
        slots = ("count", "other")
        nonnegative = ("count",)

    optimizer = Counted([Value(1)])
    state = optimizer.state_dict()
    state["state"][0] = {"count": 0, "other": -1}
    optimizer.load_state_dict(state)
    state["state"][0]["count"] = -1
    with pytest.raises(ValueError, match=r"Counted: state\[0\]\['count'\] must be 0 or more, got -1"):
        optimizer.load_state_dict(state)
    assert optimizer.state == [{"count": 0, "other": -1}]


# Schedules and clipping.


def rates(schedule, count):
    return [schedule(k) for k in range(count)]


# PyTorch's rates (2.13, float64) of 14 steps from 0.1, and its closed forms: what `_get_closed_form_lr` computes in
# CosineAnnealingLR(T_max=10, eta_min=0.01), StepLR(3, 0.5), LinearLR(1.0, 0.25, 10), LinearLR(total_iters=4) alone and
# before the first one with T_max=6 and eta_min=0 (SequentialLR, milestone 4). Its cosine rises again after T_max, ours
# stays: of it no more steps are held.
SCHEDULES = {
    "cosine": (
        cosine_lr(0.1, 10, 0.01),
        lambda t: 0.01 + (0.1 - 0.01) * (1 + math.cos(math.pi * t / 10)) / 2,
        [
            *(0.1, 0.09779754323328192, 0.09140576474687263, 0.08145033635316129, 0.06890576474687264),
            *(0.05500000000000001, 0.04109423525312737, 0.028549663646838717, 0.01859423525312737),
            *(0.012202456766718092, 0.01),
        ],
    ),
    "step": (
        step_lr(0.1, 3, 0.5),
        lambda t: 0.1 * 0.5 ** (t // 3),
        [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025, 0.0125, 0.0125, 0.0125, 0.00625, 0.00625],
    ),
    "linear": (
        linear_lr(0.1, 10, 0.025),
        lambda t: 0.1 * (1.0 + (0.25 - 1.0) * min(10, t) / 10),
        [0.1, 0.0925, 0.085, 0.0775, 0.07, 0.0625, 0.055, 0.0475, 0.04, 0.0325, 0.025, 0.025, 0.025, 0.025],
    ),
    "to 0": (
        linear_lr(0.1, 10),
        lambda t: 0.1 * (1.0 + (0.0 - 1.0) * min(10, t) / 10),
        [0.1, 0.09, 0.08, 0.07, 0.06, 0.05, 0.04, 0.03, 0.02, 0.01, 0.0, 0.0, 0.0, 0.0],
    ),
    "warm-up": (
        warmup(lambda t: 0.1, 4),
        lambda t: 0.1 * (1 / 3 + (1 - 1 / 3) * min(4, t) / 4),
        [0.03333333333333333, 0.05, 0.06666666666666668, 0.08333333333333334, 0.1, 0.1, 0.1, 0.1],
    ),
    "warm-up, cosine": (
        warmup(cosine_lr(0.1, 6), 4, 0.25),
        lambda t: 0.1 * (0.25 + 0.75 * t / 4) if t < 4 else 0.1 * (1 + math.cos(math.pi * (t - 4) / 6)) / 2,
        [
            *(0.025, 0.043750000000000004, 0.06250000000000001, 0.08125000000000002),
            *(0.1, 0.09330127018922195, 0.07500000000000001, 0.05, 0.025000000000000012, 0.006698729810778065, 0.0),
        ],
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_are_pytorchs(name):
    schedule, closed, pytorch = SCHEDULES[name]
    ours = rates(schedule, len(pytorch))
    assert ours == pytest.approx(pytorch, rel=1e-12, abs=1e-16)
    assert ours == pytest.approx([closed(t) for t in range(len(pytorch))], rel=1e-14, abs=1e-16)


@pytest.mark.parametrize("lr", [0.1, 0.3, 2.0])
@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_schedules_are_those_of_the_pytorch_that_is_installed(lr, steps):
    torch = pytest.importorskip("torch")
    theirs = torch.optim.lr_scheduler

    def path(make, count):
        optimizer = torch.optim.SGD([torch.zeros(1, dtype=torch.float64, requires_grad=True)], lr=lr)
        scheduler = make(optimizer)
        found = []
        for _ in range(count):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return found

    for ours, make, count in (
        (cosine_lr(lr, steps, lr / 8), lambda o: theirs.CosineAnnealingLR(o, steps, lr / 8), steps + 1),
        (step_lr(lr, steps, 0.7), lambda o: theirs.StepLR(o, steps, 0.7), 3 * steps + 3),
        (linear_lr(lr, steps), lambda o: theirs.LinearLR(o, 1.0, 0.0, steps), 3 * steps),
        (linear_lr(lr / 4, steps, lr), lambda o: theirs.LinearLR(o, 0.25, 1.0, steps), 3 * steps),
        (warmup(lambda _: lr, steps), lambda o: theirs.LinearLR(o, total_iters=steps), 3 * steps),
        (
            warmup(step_lr(lr, 3), steps, 0.25),
            lambda o: theirs.SequentialLR(o, [theirs.LinearLR(o, 0.25, 1.0, steps), theirs.StepLR(o, 3)], [steps]),
            2 * steps + 4,
        ),
    ):
        assert rates(ours, count) == pytest.approx(path(make, count), rel=1e-11, abs=1e-16), ours


@pytest.mark.parametrize("steps", [1, 3, 10, 49, 1000])
@pytest.mark.parametrize(("first", "last"), [(0.1, 0.0), (0.3, 0.1), (0.7, 0.1), (0.1, 0.7)])
def test_a_schedule_ends_exactly_where_it_is_told(steps, first, last):
    for schedule in (cosine_lr(first, steps, last), linear_lr(first, steps, last)):
        assert [schedule(k) for k in (0, steps, steps + 1, 10**9)] == [first, last, last, last]
        path = rates(schedule, steps + 1)
        assert all(b <= a + 1e-16 if last < first else b >= a - 1e-16 for a, b in pairwise(path))
    rising = warmup(lambda k: first + k, steps, 0.0)
    assert [rising(k) for k in (0, steps, steps + 1)] == [0.0, first, first + 1]


def test_steps_multiply_by_gamma():
    assert rates(step_lr(1.0, 2, 0.5), 6) == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert rates(step_lr(1.0, 1, 0.5), 3) == [1, 0.5, 0.25]
    assert rates(step_lr(1, 1, 0), 3) == [1, 0, 0]


def test_rates_are_floats():
    for whole in (cosine_lr(1, 2), step_lr(1, 2, 2), linear_lr(1, 2), warmup(cosine_lr(1, 2), 2), linear_lr(0, 2, 1)):
        assert {type(rate) for rate in rates(whole, 6)} == {float}, whole
    assert rates(linear_lr(Fraction(1, 2), 2, Fraction(1, 4)), 3) == [0.5, 0.375, 0.25]


def test_a_schedule_is_its_numbers():
    alike = [
        [cosine_lr(0.1, 10), cosine_lr(steps=10, lr=0.1, lr_min=0)],
        [step_lr(0.1, 10), step_lr(0.1, step_size=10, gamma=0.1)],
        [linear_lr(0.1, 10), linear_lr(0.1, 10, lr_end=0.0)],
        [warmup(step_lr(0.1, 10), 3), warmup(step_lr(0.1, 10), 3, start_factor=1 / 3)],
        [linear_lr(0.1, 11)],
    ]
    for i, (one, *others) in enumerate(alike):
        assert [other for group in alike for other in group if other == one] == alike[i]
        assert eval(repr(one)) == pickle.loads(pickle.dumps(one)) == copy.copy(one) == one
        assert {one, *others} == {one}
        for name in vars(one):
            with pytest.raises(AttributeError):
                setattr(one, name, 1)


@pytest.mark.parametrize(
    ("make", "exception", "message"),
    [
        (lambda: cosine_lr(0.1, 0), ValueError, "cosine_lr: steps must be an int of at least 1, got 0"),
        (lambda: cosine_lr(100, 0.1), ValueError, "cosine_lr: steps must be an int of at least 1, got 0.1"),
        (lambda: cosine_lr(-0.1, 5), ValueError, "cosine_lr: lr must be 0 or more, got -0.1"),
        (lambda: cosine_lr(0.1, 5, math.nan), ValueError, "cosine_lr: lr_min must be 0 or more, got nan"),
        (lambda: step_lr(0.1, True), ValueError, "step_lr: step_size must be an int of at least 1, got True"),
        (lambda: step_lr(math.inf, 1), ValueError, "step_lr: lr must be 0 or more, got inf"),
        (lambda: step_lr(0.1, 1, -1), ValueError, "step_lr: gamma must be 0 or more, got -1"),
        (lambda: linear_lr(0.1, -1), ValueError, "linear_lr: steps must be an int of at least 1, got -1"),
        (lambda: linear_lr(None, 1), TypeError, "linear_lr: lr must be 0 or more, got None"),
        (lambda: linear_lr(0.1, 1, "0"), ValueError, "linear_lr: lr_end must be 0 or more, got '0'"),
        (lambda: warmup(0.1, 1), TypeError, "warmup: schedule must be a function of the number of the step, got 0.1"),
        (lambda: warmup(step_lr(1, 1), 1.0), ValueError, "warmup: steps must be an int of at least 1, got 1.0"),
        (lambda: warmup(step_lr(1, 1), 1, -1), ValueError, "warmup: start_factor must be 0 or more, got -1"),
        (lambda: warmup(step_lr(1, 1), 1, 1.5), ValueError, "warmup: start_factor must be 1 or less, got 1.5"),
    ],
)
def test_refused_schedules(make, exception, message):
    with pytest.raises(exception) as caught:
        make()
    assert str(caught.value) == message


def test_a_schedule_drives_a_loop_of_steps():
    p = Value(0)
    optimizer = SGD([p], lr=0.0)
    schedule = warmup(linear_lr(1.0, 4), 2, 0.5)
    path = []
    for _ in range(6):
        p.grad = -1.0
        optimizer.lr = schedule(optimizer.steps)
        optimizer.step()
        path.append(p.data)
    assert path == [0.5, 1.25, 2.25, 3.0, 3.5, 3.75]


def test_clipping_scales_all_gradients_alike_and_returns_the_norm():
    a, b = Value(0), Value(0)
    a.grad, b.grad = 3.0, -4.0
    for enough in (5.001, 10.0):
        assert clip_grad_norm([a, b], enough) == 5.0
        assert (a.grad, b.grad) == (3, -4)
    assert clip_grad_norm(iter([a, b]), 0.5) == 5.0
    factor = 0.5 / (5.0 + 1e-6)
    assert [a.grad, b.grad] == pytest.approx([3 * factor, -4 * factor], rel=1e-15)
    assert clip_grad_norm([a, b], 0) == pytest.approx(0.5)
    assert (a.grad, b.grad) == (0, 0)


def test_clipping_refuses_what_it_cannot_do():
    a = Value(0)
    a.grad = math.inf
    with pytest.raises(ValueError, match="norm of the gradients is inf"):
        clip_grad_norm([a], 1.0)
    with pytest.raises(ValueError, match="max_norm must be 0 or more, got -1"):
        clip_grad_norm([a], -1)


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
    assert set(saved["state"][0]) == set(RMSprop.slots)
    held = optimizer.state  # and in the middle of training another one is loaded
    f.fit([(1.0,), (2.0,)], optimizer, 2, progress=lambda losses: optimizer.load_state_dict(saved))
    assert set(optimizer.state[0]) == set(RMSprop.slots)
    assert held is not optimizer.state


def test_a_model_is_no_sequence_of_parameters():
    with pytest.raises(TypeError, match=r"SGD takes a sequence of parameters, got MLP; write model\.parameters\(\)"):
        SGD(MLP(1, [1]))
