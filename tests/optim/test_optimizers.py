"""SGD, RMSprop, Adam and AdamW take PyTorch's path, continue from a saved state, and refuse wrong options."""

import json
import math

import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD, Adam, AdamW, RMSprop

START = [1.0, -0.5, 2.0]


def slopes(k, xs):
    """Return gradients that depend on the number of the step and on the parameters."""
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
# The parameters after 1, 2, 50 and 200 steps of PyTorch 2.13 in float64, with the same options and gradients.
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
    """Take the steps from `first` up to `last`; return the parameters after each."""
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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD(p, lr=-0.1), "SGD: lr must be 0 or more, got -0.1"),
        (lambda p: SGD(p, lr=math.nan), "SGD: lr must be 0 or more, got nan"),
        (lambda p: SGD(p, lr=math.inf), "SGD: lr must be 0 or more, got inf"),
        (lambda p: SGD(p, lr=float("inf")), "SGD: lr must be 0 or more, got inf"),  # not the object math.inf
        (lambda p: SGD(p, lr=True), "SGD: lr must be 0 or more, got True, a bool, which is no number"),
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


# The options that PyTorch takes without a name, in PyTorch's order
POSITIONAL = {
    SGD: (0.1, 0.9, 0.5, 0.01),  # lr, momentum, dampening, weight_decay
    RMSprop: (0.1, 0.9, 1e-6, 0.01),  # lr, alpha, eps, weight_decay
    Adam: (0.1, (0.8, 0.9), 1e-6, 0.01, True),  # lr, betas, eps, weight_decay, amsgrad
    AdamW: (0.1, (0.8, 0.9), 1e-6, 0.01, True),
}
NAMES = {
    SGD: ("lr", "momentum", "dampening", "weight_decay"),
    RMSprop: ("lr", "alpha", "eps", "weight_decay"),
    **dict.fromkeys((Adam, AdamW), ("lr", "betas", "eps", "weight_decay", "amsgrad")),
}


@pytest.mark.parametrize("make", POSITIONAL)
def test_options_without_a_name_are_in_pytorchs_order(make):
    optimizer = make([Value(1)], *POSITIONAL[make])
    assert tuple(getattr(optimizer, name) for name in NAMES[make]) == POSITIONAL[make]


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
