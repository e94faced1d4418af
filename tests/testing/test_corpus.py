"""A corpus of hand-written backward passes: right ones pass within 300 calls, and every planted mistake is found."""

import importlib.util
import sys
import warnings
from pathlib import Path

import pytest

from micrograd_cn.testing import GradientMismatch, PartlyCompared, gradcheck
from micrograd_cn.testing.numeric.thresholds import CALLS_AFTER_WRONG, MAX_CALLS

np = pytest.importorskip("numpy")
PATH = Path(__file__).parents[2] / "demos/benchmarks/backward_passes.py"


def loaded():
    spec = importlib.util.spec_from_file_location("backward_passes", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


corpus = loaded()
CASES = [
    pytest.param(case, id=name, marks=[pytest.mark.slow] if i % 10 else [])
    for i, (name, case) in enumerate(corpus.CASES.items())
]


class Counted:
    def __init__(self, f):
        self.f, self.calls = f, 0

    def __call__(self, *args):
        self.calls += 1
        return self.f(*args)


def arguments(case, kind):
    return [x.astype(kind) for x in case.arguments(0)]


@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES)
def test_what_is_right_passes_in_few_calls_and_every_mistake_is_found(case, kind):
    f, vjp = corpus.in_numpy(case.run)
    counted = Counted(f)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartlyCompared)
        gradcheck(counted, *arguments(case, kind), vjp=vjp)
        assert counted.calls <= MAX_CALLS
        for mistake in case.mistakes:
            with pytest.raises(GradientMismatch):
                gradcheck(f, *arguments(case, kind), vjp=corpus.in_numpy(case.planted(mistake))[1])


def test_a_mistake_is_planted_in_the_backward_pass_alone():
    case = corpus.CASES["softmax"]
    x, g = case.arguments(0)[0], np.ones((4, 5))
    (f, right), (planted, wrong) = (corpus.in_numpy(run) for run in (case.run, case.planted("y * (g -> (g")))
    assert (f(x) == planted(x)).all()
    assert (right(x, g) != wrong(x, g)).any()
    with pytest.raises(ValueError, match="softmax: 'y' stands 3 times in its backward pass"):
        case.planted("y -> x")


SATURATED = {
    "tanh": (lambda x: np.tanh(20 * x), lambda x, g: g * 20 * (1 - np.tanh(20 * x) ** 2)),
    "sum of tanh": (lambda x: np.tanh(20 * x).sum(), lambda x, g: g * 20 * (1 - np.tanh(20 * x) ** 2)),
    "square of tanh": (
        lambda x: np.tanh(20 * x) ** 2,
        lambda x, g: g * 40 * np.tanh(20 * x) * (1 - np.tanh(20 * x) ** 2),
    ),
    "bell": (lambda x: np.exp(-4 * x * x), lambda x, g: -8 * g * x * np.exp(-4 * x * x)),
    "one and little": (lambda x: 1 + 1e-3 * x.sum(), lambda x, g: np.full_like(x, 1e-3 * g)),
}


@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize("name", SATURATED)
def test_of_what_saturates_no_more_is_asked(name, kind):
    f, vjp = SATURATED[name]
    for shape in ((1,), (4,), (16,), (2, 8), (24,), (1000,)):
        x = (4 * np.random.default_rng(0).normal(size=shape)).astype(kind)
        counted = Counted(f)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PartlyCompared)
            try:
                gradcheck(counted, x, vjp=vjp)
            except GradientMismatch:
                raise
            except ValueError:  # nothing can be told
                pass
        # where rounding hides all, one comparison may look wrong
        assert counted.calls <= MAX_CALLS + CALLS_AFTER_WRONG, shape
