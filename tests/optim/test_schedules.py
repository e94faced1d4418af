"""Schedules have PyTorch's rates and end exactly where they are told. Two with the same numbers are equal."""

import copy
import math
import pickle
import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import pytest

from micrograd_cn import Value, optim
from micrograd_cn.optim import SGD, cosine_lr, linear_lr, step_lr, warmup
from micrograd_cn.optim.schedules import INSTEAD


def rates(schedule, count):
    return [schedule(k) for k in range(count)]


# Our schedule, PyTorch's closed form of it, and the rates that PyTorch 2.13 gives in float64, 14 steps from 0.1, by
# CosineAnnealingLR(T_max=10, eta_min=0.01), StepLR(3, 0.5), LinearLR(1.0, 0.25, 10), LinearLR(1.0, 0.0, 10),
# LinearLR(total_iters=4), and SequentialLR of 4 steps of LinearLR and CosineAnnealingLR(T_max=6, eta_min=0). The rates
# of a cosine end at T_max: after it, PyTorch's cosine rises again, and ours stays where it is.
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
        (
            lambda: linear_lr(0.1, 1, "0"),
            ValueError,
            "linear_lr: lr_end must be 0 or more, got '0', a str, which is no number",
        ),
        (
            lambda: warmup(0.1, 1),
            TypeError,
            "warmup: schedule must be a function of the number of the step, got 0.1; for a constant rate, write "
            "lambda step: 0.1",
        ),
        (lambda: warmup(step_lr(1, 1), 1.0), ValueError, "warmup: steps must be an int of at least 1, got 1.0"),
        (lambda: warmup(step_lr(1, 1), 1, -1), ValueError, "warmup: start_factor must be 0 or more, got -1"),
        (lambda: warmup(step_lr(1, 1), 1, 1.5), ValueError, "warmup: start_factor must be 1 or less, got 1.5"),
    ],
)
def test_refused_schedules(make, exception, message):
    with pytest.raises(exception) as caught:
        make()
    assert str(caught.value) == message


class Peak(cosine_lr):
    def __init__(self, peak, total):
        super().__init__(lr=peak, steps=total)


class AnyOptions(step_lr):
    def __init__(self, **options):
        super().__init__(options["rate"], options["every"])


@dataclass(frozen=True)
class Floored(cosine_lr):
    floor: float = 0.01

    def __call__(self, step):
        return max(self.floor, super().__call__(step))


def test_a_subclass_of_a_schedule_may_have_options_of_its_own():
    peak = Peak(peak=0.1, total=10)
    assert rates(peak, 12) == rates(Peak(0.1, 10), 12) == rates(cosine_lr(0.1, 10), 12)
    assert pickle.loads(pickle.dumps(peak)) == copy.copy(peak) == peak
    assert rates(AnyOptions(rate=1.0, every=1), 2) == [1.0, 0.1]
    assert rates(Floored(lr=0.1, steps=10, floor=0.02), 12)[-1] == 0.02
    for make, message in (
        (lambda: Peak(peak=0.1, totals=10), "Peak has no option totals; write total=..."),
        (lambda: Peak(peak=0.1, T_max=10), "Peak has no option T_max; its options are peak, total"),
        (lambda: Peak(peak=0.1, last_epoch=3), f"Peak has no option last_epoch; {INSTEAD['last_epoch']}"),
        (lambda: Floored(lr=0.1, steps=10, flor=0.02), "Floored has no option flor; write floor=..."),
        (lambda: cosine_lr(0.1, T_max=10), "cosine_lr has no option T_max; write steps=..."),
        (lambda: cosine_lr(0.1, self=10), "cosine_lr has no option self; its options are lr, steps, lr_min"),
    ):
        with pytest.raises(TypeError) as caught:
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


@pytest.mark.parametrize("schedule", [cosine_lr, step_lr, linear_lr])
def test_an_optimiser_in_place_of_the_rate_is_answered_with_what_to_write(schedule):
    message = (
        rf"^{schedule.__name__} takes the learning rate of step 0.*schedule = {schedule.__name__}\(optimizer\.lr, "
    )
    with pytest.raises(TypeError, match=message + r".*optimizer\.lr = schedule\(optimizer\.steps\)$"):
        schedule(SGD([Value(1)]), 10)
    with pytest.raises(AttributeError, match=rf"{schedule.__name__} has no step; write optimizer\.lr = schedule"):
        schedule(0.1, 10).step()


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("ExponentialLR", "optimizer.lr = lr * gamma**optimizer.steps before each optimizer.step()"),
        ("LambdaLR", "optimizer.lr = lr * f(optimizer.steps) before each optimizer.step()"),
        ("OneCycleLR", "optimizer.lr = warmup(cosine_lr(lr, steps), warmup_steps)(optimizer.steps) before each "),
        ("ReduceLROnPlateau", "optimizer.lr *= 0.1 where the loss of the validation no longer falls"),
    ],
)
def test_pytorchs_name_of_a_schedule_is_answered_with_what_to_write(name, write):
    with pytest.raises(AttributeError, match=f"no attribute '{name}'; write {re.escape(write)}"):
        getattr(optim, name)


@pytest.mark.parametrize("schedule", [cosine_lr(0.1, 10), linear_lr(0.1, 10), step_lr(0.1, 3)])
@pytest.mark.parametrize("name", ["get_lr", "get_last_lr", "last_epoch"])
def test_attributes_of_pytorchs_schedulers_say_what_to_write(schedule, name):
    with pytest.raises(AttributeError, match=rf"has no {name}; (write schedule\(step\)|read optimizer\.steps)"):
        getattr(schedule, name)
