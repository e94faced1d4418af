"""Machine code copies exactly the arrays that it expects, and calls that use it notice what has changed meanwhile."""

import itertools
import random
import sys
import threading
from array import array
from math import nan
from operator import sub

import pytest

from micrograd_cn import Value, detect_anomaly, log, no_grad
from micrograd_cn import sum as sum_of
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.data import array_reader as reader
from micrograd_cn.compiler.data import nodes
from micrograd_cn.compiler.data.array_reader import COLUMN, CONVERTED, DOUBLES, FLOAT, REFERENCED, Argument
from micrograd_cn.compiler.function import stale
from micrograd_cn.compiler.runtime import arrays
from micrograd_cn.losses import cross_entropy
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD

from .common import need_known_layout

np = pytest.importorskip("numpy")


@pytest.fixture(autouse=True)
def _machine_code():
    need_known_layout()
    for kernels in (nodes._kernels, reader._kernels):
        if not kernels.are_compiled:
            kernels.compile()


@pytest.fixture
def repeated(monkeypatch):
    """A list to which each call of `ArrayRunner.read` appends whether machine code has read the samples."""
    found, read = [], arrays.ArrayRunner.read

    def noted(self, given):
        result = read(self, given)
        found.append(result is not None)
        return result

    monkeypatch.setattr(arrays.ArrayRunner, "read", noted)
    return found


class Own(np.ndarray):
    pass


WHOLE = np.linspace(-3.0, 3.0, 6).reshape(3, 2)


def misaligned():
    found = np.zeros(8 * 6 + 1, np.uint8)[1:].view(float).reshape(3, 2)
    found[...] = WHOLE
    return found


def read_only():
    found = WHOLE.copy()
    found.flags.writeable = False
    return found


# What may be passed where an array of shape (3, 2) is expected, and which kinds of arguments take it
GIVEN = {
    "doubles": (WHOLE, {DOUBLES, CONVERTED, REFERENCED}),
    "read-only": (read_only(), {DOUBLES, CONVERTED, REFERENCED}),
    "part": (np.arange(20.0).reshape(10, 2)[4:7], {DOUBLES, CONVERTED, REFERENCED}),
    "float32": (WHOLE.astype(np.float32) / 3, {CONVERTED}),
    "int64": (np.array([[2**53 + 1, -(2**63)], [2**63 - 1, -1], [0, 7]]), {CONVERTED}),
    **{kind: (WHOLE.astype(kind), set()) for kind in ("int32", "uint8", "bool", "float16", "complex", "object", ">f8")},
    "new axis": (WHOLE.ravel()[None, :, None], set()),
    "order F": (np.asfortranarray(WHOLE), set()),
    "step": (np.zeros((6, 2))[::2], set()),
    "backwards": (WHOLE[::-1], set()),
    "broadcast": (np.broadcast_to(1.0, (3, 2)), set()),
    "misaligned": (misaligned(), set()),
    "subclass": (WHOLE.view(Own), set()),
    "masked": (np.ma.masked_array(WHOLE, WHOLE > 0), set()),
    "records": (WHOLE.view(np.recarray), set()),
    **{str(shape): (np.zeros(shape), set()) for shape in [(2, 3), (6,), (3, 2, 1), (3,), (3, 0), ()]},
    **{repr(x)[:9]: (x, set()) for x in (WHOLE.tolist(), None, 1.0, "text", np.float64(2.0), (1.0,) * 6)},
}


@pytest.mark.parametrize("kind", [DOUBLES, CONVERTED, REFERENCED])
@pytest.mark.parametrize("name", GIVEN)
def test_an_array_is_copied_exactly_if_it_is_as_expected_and_otherwise_not(name, kind):
    x, kinds = GIVEN[name]
    place = array("d", [nan] * 8)
    to = place.buffer_info()[0]
    copy = reader.array_reader([Argument((3, 2), to + 8, kind)], place)
    assert copy((x,)) == (kind in kinds)
    if kind == REFERENCED:
        words = array("q", place.tobytes())
        assert words[1] == (x.ctypes.data if kind in kinds else words[2])
    elif kind in kinds:
        assert [*map(repr, place[1:7])] == [*map(repr, x.astype(float).ravel().tolist())]
    else:
        assert np.isnan(place).all()
    assert np.isnan([place[0], place[7]]).all()


def test_the_stride_of_an_axis_of_length_1_does_not_matter():
    place, x = array("d", bytes(24)), np.arange(1.0, 4.0)
    copy = reader.array_reader([Argument((1, 3, 1), place.buffer_info()[0], DOUBLES)], place)
    assert x[None, :, None].strides != np.zeros((1, 3, 1)).strides
    assert copy((x[None, :, None],))
    assert place.tolist() == x.tolist()


@pytest.mark.parametrize(
    ("x", "is_copied"),
    [
        *((1.5, True), (np.float64(-0.0), True), (nan, True), (1, False), (True, False), (np.float32(1), False)),
        *((None, False), (np.zeros(()), False), (np.zeros(1), False), ("1.5", False), (Value(1.0), False)),
        *((type("Number", (float,), {})(2.0), False), (np.int64(3), False)),
    ],
)
def test_a_float_is_copied(x, is_copied):
    place = array("d", [7.0])
    copy = reader.array_reader([Argument(None, place.buffer_info()[0], FLOAT)], place)
    assert copy((x,)) is is_copied
    assert repr(place[0]) == repr(float(x) if is_copied else 7.0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        *(((WHOLE, 1.5), [1.5] * 3), ((WHOLE, np.float64(-0.0)), [-0.0] * 3), ((WHOLE, nan), [nan] * 3)),
        *(((WHOLE, np.arange(3)), [0.0, 1.0, 2.0]), ((WHOLE, np.arange(3.0)), [0.0, 1.0, 2.0])),
        *[((WHOLE, x), None) for x in (2, True, np.float32(1), np.zeros(()), np.zeros(2), np.zeros((3, 1)), "1.5")],
        *[((x, 1.5), None) for x in (1.5, WHOLE[:2], WHOLE[:, 0])],
    ],
)
def test_a_float_is_broadcast_to_a_column(given, expected):
    place = array("d", [7.0] * 11)
    to = place.buffer_info()[0] + 8
    copy = reader.array_reader([Argument((3, 2), to, CONVERTED), Argument((3,), to + 48, COLUMN)], place)
    assert copy(given) is (expected is not None)
    assert [*map(repr, place[7:10])] == [*map(repr, expected or [7.0] * 3)]
    assert (place[0], place[10]) == (7.0, 7.0)


def test_not_all_columns_are_floats():
    """The count of rows would be that of an earlier call."""
    place = array("d", bytes(48))
    to = place.buffer_info()[0]
    copy = reader.array_reader([Argument((3,), to, COLUMN), Argument((3,), to + 24, COLUMN)], place)
    x = np.ones(3)
    assert [copy(given) for given in [(x, 2.0), (2.0, x), (x, x), (2.0, 2.0)]] == [True, True, True, False]


@pytest.mark.parametrize("given", [(), (WHOLE,), (WHOLE, 1.0, 1.0), [WHOLE, 1.0], WHOLE, None, 1.0, {"x": WHOLE}])
def test_the_arguments_are_a_tuple_of_as_many_items(given):
    place = array("d", bytes(8 * 7))
    to = place.buffer_info()[0]
    copy = reader.array_reader([Argument((3, 2), to, DOUBLES), Argument(None, to + 48, FLOAT)], place)
    for passed in (given, (WHOLE, 2.5)):
        before = [*map(sys.getrefcount, (True, False))]
        results = [copy(passed) for _ in range(100)]
        changes = [*map(sub, map(sys.getrefcount, (True, False)), before)]
        assert results == [passed is not given] * 100
        assert changes == ([100 * x for x in (results[0], not results[0])] if sys.version_info < (3, 12) else [0, 0])
        del results  # they hold references
    assert place.tolist() == [*WHOLE.ravel(), 2.5]


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_arrays_and_floats_are_copied_in_every_order(order):
    place = array("d", bytes(8 * 10))
    to = place.buffer_info()[0]
    arguments = [Argument(None, to, FLOAT), Argument((3, 2), to + 8, DOUBLES), Argument((3,), to + 56, COLUMN)]
    given = [2.5, WHOLE, np.arange(3.0)]
    copy = reader.array_reader([arguments[k] for k in order], place)
    assert copy(tuple([given[k] for k in order]))
    assert place.tolist() == [2.5, *WHOLE.ravel(), 0.0, 1.0, 2.0]


def test_the_reader_keeps_what_it_reads_and_writes():
    place = array("d", bytes(8 * 6))
    copy = reader.array_reader([Argument((3, 2), place.buffer_info()[0], CONVERTED)], place)
    before = sys.getrefcount(place)
    x = WHOLE.astype(int)
    references = sys.getrefcount(x)
    for _ in range(50):
        assert copy((x,))
    assert sys.getrefcount(x) == references
    del copy
    assert sys.getrefcount(place) < before


# Calls of `backward`: whatever happens between two of them, they add what the engine adds

X, Y = np.linspace(-1.0, 1.0, 10).reshape(5, 2), np.linspace(0.0, 1.0, 5)


class Trained:
    """A loss that is called again and again with arrays of the same shapes, and its optimiser."""

    def __init__(self, rng):
        net = self.net = MLP(2, [4, 1], activation="tanh", seed=1)
        self.parameters = net.parameters()
        self.optimizer = SGD(self.parameters, lr=0.05)
        self.loss = compile(lambda x, y: (net(x) - y) ** 2)
        self.rng = rng

    def expected(self, x, y):
        before = [p.grad for p in self.parameters]
        losses = [self.loss.__wrapped__(a, float(b)) for a, b in zip(np.array(x), np.array(y), strict=True)]
        mean = sum(losses) * (1.0 / len(losses))
        mean.backward()
        after = [p.grad for p in self.parameters]
        for p, grad in zip(self.parameters, before, strict=True):
            p.grad = grad
        return mean.data, after


FORMS = {
    "doubles": lambda x, y: (x, y),
    "copies": lambda x, y: (x.copy(), y.copy()),
    "float32": lambda x, y: (x.astype(np.float32), y),
    "integers": lambda x, y: (np.round(9 * x).astype(int), y),
    "bytes": lambda x, y: (x, (y > 0.5).astype(np.uint8)),
    "order F": lambda x, y: (np.asfortranarray(x), y),
    "backwards": lambda x, y: (x[::-1], y[::-1]),
    "lists": lambda x, y: (x.tolist(), y.tolist()),
    "fewer": lambda x, y: (x[:3], y[:3]),
    "one": lambda x, y: (x[:1], y[:1]),
}


def freeze(made):
    made.rng.choice(made.parameters).requires_grad = False


def unfreeze(made):
    for p in made.parameters:
        p.requires_grad = True


def assign(made):
    made.rng.choice(made.parameters).data = made.rng.random()


def none(made):
    made.rng.choice(made.parameters).grad = None


def other_method(made):
    made.loss.forward((X, Y))


def nothing(made):
    pass


@pytest.mark.parametrize("seed", range(6))
def test_repeated_calls_add_what_the_engine_adds_whatever_is_changed_between_them(seed, repeated):
    made = Trained(random.Random(seed))
    forms = [*FORMS.values()]
    for _ in range(40):
        x, y = made.rng.choice(forms)(X + made.rng.random(), Y)
        for _ in range(made.rng.choice([1, 30])):  # calls of one kind are prepared after ten, and repeated after three
            made.loss.backward((x, y))
        made.rng.choice([freeze, unfreeze, unfreeze, assign, none, other_method, nothing])(made)
        if made.rng.random() < 0.5:
            made.optimizer.zero_grad()
        if not any(p.requires_grad for p in made.parameters):
            unfreeze(made)
        for form in (lambda x, y: (x, y), made.rng.choice(forms)):
            given = form(np.array(x), np.array(y))
            mean, gradients = made.expected(*given)
            assert made.loss.backward(given) == pytest.approx(mean)
            assert [p.grad for p in made.parameters] == pytest.approx(gradients, abs=1e-12)
    assert repeated.count(True) > 100


METHODS = {
    "forward": lambda f, given: f.forward(given),
    "gradient": lambda f, given: f.gradient(given),
    "jacobian": lambda f, given: f.jacobian(given, dense=True),
    "hessian": lambda f, given: f.hessian(given, dense=True),
    "mean": lambda f, given: f.value_and_grad(given),
    "some": lambda f, given: f.value_and_grad(given, wrt=f.parameters[3:0:-1]),
    "all": lambda f, given: f.value_and_grad(given, wrt=f.parameters),
    "each": lambda f, given: f.value_and_grad(given, wrt=f.parameters, each=True),
    "argument": lambda f, given: f.value_and_grad(given, wrt="x", each=True),
}


@pytest.mark.parametrize(
    "names", [*[(name,) for name in METHODS], ("forward", "mean"), ("each", "gradient", "forward")]
)
def test_all_methods_give_for_arrays_what_they_give_for_lists(names, repeated):
    """This holds although parameters, data and shapes change, and methods are called in turn."""
    made = Trained(random.Random(0))
    other = compile(made.loss.__wrapped__)
    forms = [FORMS[name] for name in ("doubles", "doubles", "copies", "float32", "integers", "order F")]
    made.loss.backward((X, Y))
    other.backward((X, Y))
    for k in range(80):
        assign(made)
        x, y = made.rng.choice(forms)(X + k, Y)
        call = METHODS[names[k % len(names)]]
        found, expected = call(made.loss, (x, y)), call(other, (x.tolist(), y.tolist()))
        if type(found) is not tuple:
            found, expected = (found,), (expected,)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, np.reshape(b, np.shape(a)), rtol=1e-9, atol=1e-12)
    assert repeated.count(True) > 10


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("x", [X[:, 0].copy(), X[:1, 0].copy()], ids=["rows", "row"])
def test_all_methods_take_a_number_for_a_column(name, x, repeated):
    net = MLP(2, [3, 1], activation="tanh", seed=1)
    loss, other = [compile(lambda x, y: net([x * y, y])) for _ in range(2)]
    rng = random.Random(0)
    for f in (loss, other):
        f.backward((x, x))
    for k in range(80):
        y = rng.choice([0.5 * k, np.float64(0.25 * k), x + k, k])
        xs, ys = (x, y) if rng.random() < 0.7 else (0.5 * k, x)
        given = [np.broadcast_to(each, x.shape).tolist() for each in (xs, ys)]
        found, expected = METHODS[name](loss, (xs, ys)), METHODS[name](other, (*given,))
        if type(found) is not tuple:
            found, expected = (found,), (expected,)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, np.reshape(b, np.shape(a)), rtol=1e-9, atol=1e-12)
    assert repeated.count(True) > 10
    given = [METHODS[name](f, [(0.5, 0.25)]) for f in (loss, other)]
    np.testing.assert_allclose(*[each[0] for each in given])
    for f in (loss, other):
        with pytest.raises((TypeError, ValueError)):
            METHODS[name](f, (0.5, 0.25))


def test_a_number_in_place_of_a_matrix_is_not_copied_to_all_its_columns(repeated):
    w = Value(2.0)
    f = compile(lambda x, y: w * np.sum(x) * y)
    x, y = np.ones((4, 3)), np.arange(4.0)
    for _ in range(40):
        np.testing.assert_allclose(f.forward((x, y)), 6.0 * y)
    assert repeated.count(True) > 10
    np.testing.assert_allclose(f.forward((0.5, y)), y)


def test_shapes_that_differ_in_each_call_are_not_compared_with_earlier_ones(repeated):
    w = Value(2.0)
    loss = compile(lambda x: w * x)
    for _ in range(60):
        loss.backward(Y)
    assert any(repeated[-4:])
    for k in range(6, 30):
        assert loss.backward(np.ones(k)) == 2.0
    del repeated[:]
    for k in range(6, 30):
        assert loss.backward(np.ones(k)) == 2.0
    assert not repeated
    for _ in range(20):
        loss.backward(Y)
    assert any(repeated[-4:])


def test_variables_are_those_of_the_call(repeated):
    made = Trained(random.Random(0))
    other = compile(made.loss.__wrapped__)
    made.loss.backward((X, Y))
    other.backward((X, Y))
    for name in ("each", "argument", "mean", "each"):
        for _ in range(20):
            found = METHODS[name](made.loss, (X, Y))
        for a, b in zip(found, METHODS[name](other, (X.tolist(), Y.tolist())), strict=True):
            np.testing.assert_allclose(a, np.reshape(b, np.shape(a)), rtol=1e-9)
        assert any(repeated[-4:])


def test_parameters_that_another_recording_has_brought_get_a_derivative(repeated):
    w, v = Value(2.0), Value(3.0)
    f = compile(lambda x: w * x.sum() if len(x) < 3 else v * x.sum())
    for _ in range(30):
        assert f.value_and_grad(X, "parameters", each=True)[1].shape == (5, 1)
    assert any(repeated[-4:])
    f.forward(np.ones((2, 3)))
    assert f.value_and_grad(X, "parameters", each=True)[1].tolist() == [[x.sum(), 0.0] for x in X]


def test_single_samples_in_a_list_are_read_as_well(repeated):
    made = Trained(random.Random(0))
    samples = [*zip(X, Y, strict=True)]
    for k, sample in enumerate(itertools.islice(itertools.cycle(samples), 60)):
        given = [sample] if k % 7 else [(sample[0], float(sample[1]))]
        made.optimizer.zero_grad()
        mean, gradients = made.expected([sample[0]], [sample[1]])
        assert made.loss.backward(given) == pytest.approx(mean)
        assert [p.grad for p in made.parameters] == pytest.approx(gradients)
        made.optimizer.step()
    assert repeated.count(True) > 20
    for form in (list, lambda s: (s[0].tolist(), s[1]), lambda s: (s[0].astype(int), s[1]), lambda s: (s[0], 1)):
        given = form(samples[0])
        mean, _ = made.expected([given[0]], [given[1]])
        assert made.loss.backward([given]) == pytest.approx(mean)


LISTED, ROW, LIST = ([(np.ones(3),)], 60.0), (np.ones((1, 3)), 60.0), ([([1.0, 1.0, 1.0],)], 6.0)


@pytest.mark.parametrize(("before", "after"), [(LISTED, LIST), (ROW, LIST), (LIST, LISTED), (LIST, ROW)])
def test_arguments_for_which_there_is_another_program_are_not_taken_for_those_before(before, after):
    """Lists and arrays have programs of their own, since a function may do something else for them."""
    w = Value(2.0)
    loss = compile(lambda x: w * (sum_of(x) if isinstance(x, list) else sum_of(x) * 10.0))
    for given, expected in [before] * 30 + [after]:
        assert loss.backward(given) == expected


def test_large_arrays_are_read_where_they_are(repeated):
    x, w = np.ones((3000, 2)), Value(1.0)
    loss = compile(lambda x: w * x.sum())
    for k in range(30):
        x[...] = k
        assert loss.backward(x) == 2.0 * k
        assert loss.backward(x.copy() + 1.0) == 2.0 * k + 2.0
    assert repeated.count(True) > 30
    assert loss.backward(x.astype(int)) == 58.0
    assert loss.backward(np.asfortranarray(x)) == 58.0


def test_a_missing_class_is_an_error_after_many_calls_too(repeated):
    ws = [Value(0.5 * k) for k in range(4)]
    loss = compile(lambda k: cross_entropy(ws, k))
    indices = np.arange(4)
    for _ in range(30):
        loss.backward(indices)
    assert any(repeated[-4:])
    with pytest.raises(IndexError):
        loss.backward(np.array([0, 1, 2, 4]))
    gradients = [w.grad for w in ws]
    with pytest.raises(IndexError):
        loss.backward(np.array([0, 1, 2, -1]))
    assert [w.grad for w in ws] == gradients


def test_modes_are_left_to_the_code_that_knows_them(repeated):
    w = Value(1.0)
    loss = compile(lambda x: log(w * x))
    x = np.array([1.0, 2.0])
    for _ in range(30):
        loss.backward(x)
    assert any(repeated[-4:])
    with no_grad(), pytest.raises(RuntimeError, match="no_grad"):
        loss.backward(x)
    w.data, w.grad = -1.0, 0.0
    with detect_anomaly(), pytest.raises(FloatingPointError):
        loss.backward(x)
    assert np.isnan(loss.backward(x))


@pytest.mark.parametrize("is_due", [False, True])
def test_a_change_of_what_the_function_reads_is_noticed(is_due, repeated, monkeypatch):
    """It is noticed by the next look, and in the first call after several calls of another method."""
    w, factors = Value(1.0), [2.0]
    loss = compile(lambda x: w * x * factors[0])
    if is_due:
        monkeypatch.setattr(stale, "TIMES_AS_LONG", 0)
    for _ in range(60):
        loss.backward(Y)
    assert any(repeated[-4:])
    for _ in range(0 if is_due else 5):
        loss.forward(Y)
    factors[0] = 3.0
    with pytest.raises(ValueError, match="is not what it was"):
        loss.backward(Y)


def test_a_constant_that_has_become_a_parameter_is_refused():
    w, c = Value(1.0), Value(3.0, requires_grad=False)
    loss = compile(lambda x: w * x * c)
    for _ in range(60):
        loss.backward(Y)
    c.requires_grad = True
    with pytest.raises(ValueError, match="requires a gradient now"):
        loss.backward(Y)


def test_a_call_whose_parameters_are_all_frozen_is_refused_after_many_calls_too(repeated):
    w, v = Value(2.0), Value(3.0)
    loss = compile(lambda x: w * x + v * x)
    for _ in range(60):
        loss.backward((Y,))
    w.grad, w.requires_grad = 7.0, False
    for _ in range(10):
        loss.backward((Y,))
    assert any(repeated[-4:])
    v.requires_grad = False
    for _ in range(10):
        with pytest.raises(RuntimeError, match="all are frozen"):
            loss.backward((Y,))
    assert any(repeated[-4:])
    assert w.grad == 7.0


def test_threads_add_each_gradient_once(repeated):
    made = Trained(random.Random(0))
    for _ in range(60):
        made.loss.backward((X, Y))
    made.optimizer.zero_grad()
    _, gradients = made.expected(X, Y)

    def work():
        for _ in range(200):
            made.loss.backward((X, Y))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [p.grad for p in made.parameters] == pytest.approx([800 * g for g in gradients])
