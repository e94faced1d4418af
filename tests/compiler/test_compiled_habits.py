"""What users are likely to write in and around compiled functions works, or is refused instead of giving old numbers.

A function runs in Python only while it is recorded. A number that Python reads then would be the same in all calls.
"""

import copy
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from micrograd_cn import OPS, Op, Value, define, less, take, where
from micrograd_cn.compiler import compile, scipy_functions  # noqa: A004 -- the field's name
from micrograd_cn.functional import grad
from micrograd_cn.graph.callers import PACKAGE
from micrograd_cn.nn import MLP
from micrograd_cn.ops.traits import Lowerings
from micrograd_cn.optim import SGD, Adam, Optimizer, clip_grad_norm


class NoDecay(Optimizer):
    """An optimiser that treats some parameters in another way than others; its subclasses do so in other ways."""

    def __init__(self, parameters, lr=0.1, no_decay=()):
        super().__init__(parameters, lr)
        self.no_decay = no_decay

    def update(self, p, state):
        p.data -= self.lr * (p.grad if p in self.no_decay else p.grad + 0.5 * p.data)


class Own(NoDecay):
    def update(self, p, state):
        if p is not self.no_decay:
            p.data -= self.lr * p.grad


class ByTable(NoDecay):
    def update(self, p, state):
        p.data -= RATES[p] * p.grad


w, b = Value(1.0), Value(1.0)
RATES = {w: 0.1, b: 0.01}


@pytest.mark.parametrize(
    "optimizer",
    [NoDecay([w, b], no_decay={b}), NoDecay([w, b], no_decay={b: 1.0}), Own([w, b], no_decay=b), ByTable([w, b])],
    ids=["set", "dict", "is", "table of a module"],
)
def test_an_update_that_asks_which_parameter_it_is_given_is_not_compiled(optimizer):
    """An update that treats parameters differently is refused, because one compiled update serves all parameters."""
    with pytest.raises(TypeError, match=r"cannot compile the update of .* which .*; use backward\(rows\) and its step"):
        compile(lambda x: w * x + b).fit([(1.0,)], optimizer, epochs=1)
    assert (w.data, b.data) == (1.0, 1.0)


def test_what_an_optimiser_of_one_s_own_has_beside_its_options_stays_when_its_state_is_loaded():
    """Loading a state changes the options of a user-defined optimiser, and no attribute that is not an option."""
    p = Value(1.0)
    optimizer = NoDecay([p], no_decay={p})
    optimizer.load_state_dict(NoDecay([p], lr=0.5).state_dict())
    assert (optimizer.lr, optimizer.no_decay) == (0.5, {p})


@pytest.mark.parametrize(
    "loss",
    [
        lambda x, a, k, c: a * x + less(k, x) * a.detach(),
        lambda x, a, k, c: max([x, take([x, 2.0 * x, a], where(less(k, 0.0), 2.0, 1.0))]) * a,
        lambda x, a, k, c: a * x + less(c, x),
        lambda x, a, k, c: where(less(x, 1.0), c, a * x) + (k * x).detach(),
    ],
)
def test_compiled_backward_gives_a_gradient_of_zero_where_plain_backward_does(loss):
    """Whatever the loss is computed from gets a gradient, if only 0.0, unless it is used only detached."""
    found = []
    for compiled in (True, False):
        a, k, v = Value(1.5), Value(0.5), Value(2.0)
        c = v * 3.0
        parameters = [a, k, v]
        optimizer = SGD(parameters, lr=0.1, weight_decay=0.5)
        optimizer.zero_grad(set_to_none=True)
        if compiled:
            compile(lambda x, a=a, k=k, c=c: loss(x, a, k, c)).backward([(2.0,)])
        else:
            loss(Value(2.0), a, k, c).backward()
        optimizer.step()
        found.append([(p.grad, p.data) for p in parameters])
    assert found[0] == found[1]
    assert {grad for grad, _ in found[0]} == {found[0][0][0], 0.0, None}


def test_parameters_that_an_optimiser_was_not_made_for_are_refused_before_any_has_changed():
    """If somebody appends to an optimiser's parameters, `step` and `fit` raise, because the new one has no state."""
    p, q = Value(1.0), Value(2.0)
    optimizer = Adam([p])
    optimizer.parameters.append(q)
    p.grad = 1.0
    with pytest.raises(ValueError, match="Adam was made for 1 parameter and has 2 now"):
        optimizer.step()
    with pytest.raises(ValueError, match="Adam was made for 1 parameter and has 2 now"):
        compile(lambda x: p * q * x).fit([(1.0,)], optimizer, epochs=1)
    assert (p.data, optimizer.steps) == (1.0, 0)


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_what_has_no_gradient_is_passed_over(kind):
    """Optimisers and `clip_grad_norm` skip a parameter whose `grad` is None, as PyTorch's do."""
    p, q = Value(1.0), Value(2.0)
    p.grad, q.grad = None, 3.0
    assert clip_grad_norm([p, q], 1.0) == 3.0
    kind([p, q], lr=0.1).step()
    assert p.data == 1.0
    assert q.data == pytest.approx(1.9)


def test_a_file_beside_the_package_whose_name_begins_like_it_is_the_user_s(tmp_path):
    """Reading a number is refused in a file whose path begins like the package's, such as micrograd_cn_demo.py.

    The package may read numbers, and it is recognised by the path of the file that reads.
    """
    shutil.copytree(PACKAGE, tmp_path / "micrograd_cn", ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "micrograd_cn_demo.py"
    path.write_text(
        "from micrograd_cn.compiler import compile\n"
        "try:\n"
        "    compile(lambda x, y: y * 2 if x else -y)(1, 5)\n"
        "except TypeError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True)
    assert "x as a condition would be the same number for every sample" in done.stdout


# Functions that read a number while they are recorded


def copied(x):
    return copy.copy(w) * x


def copied_model(x):
    return copy.deepcopy(MLP(1, [1]))([x])


def another_program(x):
    return compile(w * Value(3.0), []).forward([[]])[0] * x


def another_function(x):
    return compile(lambda y: w * y).forward([(3.0,)])[0] * x


def edges(x):
    return sum(partial for _, partial in (x * x * w).edges()) + x


def by_hand(x):
    y = x * w
    y._backward()
    return y * w


def edges_of_parameters(x):
    return sum(partial for _, partial in (w * w).edges()) + x


def partials_of_parameters(x):
    return (w**3).partials[0] * x


def gradient(x):
    return x * w if w.grad is None else x * w.grad


def penalty(x):
    return x * w + sum(p.grad**2 for p in [w])


@pytest.mark.parametrize(
    "f",
    [
        *(copied, copied_model, another_program, another_function, edges, edges_of_parameters),
        *(partials_of_parameters, by_hand, gradient, penalty),
    ],
)
def test_a_number_that_is_read_while_a_function_is_recorded_is_refused(f):
    """Copies, other programs, `edges()` and a backward by hand would read the number of one call, and are refused."""
    with pytest.raises(TypeError, match=r"as .* would be the same number (for every sample|in all calls)"):
        compile(f)(2.0)


def zeroed(x):
    w.zero_grad()
    return w * x


def given(x):
    w.grad = 0.0
    return w * x


@pytest.mark.parametrize("f", [zeroed, given, lambda x: (SGD([w]).zero_grad(), w * x)[1]])
def test_a_gradient_that_is_set_while_a_function_is_recorded_is_refused(f):
    """Later calls would not set it, so backward() would add to the gradient of the call before."""
    with pytest.raises(TypeError, match=r"is given a gradient while a function is recorded.*zero_grad\(\), outside"):
        compile(f)(2.0)


def test_what_another_thread_computes_of_an_argument_is_refused():
    """An operation on an argument in another thread is not recorded, so it is refused."""

    def f(x, y):
        with ThreadPoolExecutor(2) as pool:
            return sum(pool.map(lambda v: w * v, [x, y]))

    with pytest.raises(TypeError, match=r"[xy] is used in another thread, where nothing is"):
        compile(f)(1.0, 2.0)


def test_derivatives_with_respect_to_parameters_have_a_column_for_each_whatever_the_branch():
    """`wrt="parameters"` gives a column for each parameter of any branch, and 0 where a sample's branch has none."""
    p, q = Value(2.0), Value(3.0)
    f = compile(lambda x: p * x if x > 0 else q * x, branches=True)
    samples = np.array([1.0, -1.0])
    expected = [[1.0, 0.0], [0.0, -1.0]]
    assert f.gradient(samples, wrt="parameters").tolist() == expected
    assert f.parameters == [p, q]
    assert f.gradient(samples, wrt=f.parameters).tolist() == expected
    assert f.gradient([(1.0,)], wrt=[q]) == [[0.0]]
    assert f.jacobian(samples, wrt="parameters", dense=True).tolist() == [[row] for row in expected]
    assert f.gradient(samples, wrt=[Value(1.0), q]).tolist() == [[0.0, 0.0], [0.0, -1.0]]
    with pytest.raises(ValueError, match="neither an input nor a parameter of the program; write the leaves"):
        f.gradient(samples, wrt=[p * q])


def test_a_branch_that_is_a_constant_has_a_gradient_of_0_beside_others():
    """A constant branch has the gradient 0 once another branch is known to have one, and is refused before.

    A function whose only result is a constant is probably a mistake.
    """
    f = compile(lambda v: v[0] ** 2 if v[0] > 0 else 0.0, branches=True)
    with pytest.raises(RuntimeError, match="it has no gradient"):
        f.gradient([([-1.0],)])
    assert f.gradient([([3.0],), ([-1.0],)]) == [[6.0], [0.0]]
    assert f.gradient([([-1.0],)]) == [[0.0]]
    assert f.hessian([([3.0],), ([-1.0],)], dense=True) == [[[2.0]], [[0.0]]]
    assert scipy_functions(f)["jac"]([-1.0]).tolist() == [0.0]


def test_a_method_that_calls_the_one_that_it_overrides_is_recorded_once():
    """A compiled method that calls the compiled method that it overrides does not take that method's programs."""
    recorded = []

    class Base:
        def __init__(self):
            self.w = Value(2.0)

        @compile
        def loss(self, x):
            return self.w * x

    class Derived(Base):
        @compile
        def loss(self, x):
            recorded.append(1)
            return super().loss(x) + 1.0

        @classmethod
        @compile
        def of_class(cls, x):
            return x

    derived = Derived()
    assert [derived.loss(float(k)) for k in range(4)] == [1.0, 3.0, 5.0, 7.0]
    assert (len(recorded), derived.loss.parameters) == (1, [derived.w])
    assert Base.loss.__get__(derived, Base)(3.0) == 6.0
    said = r"of_class is a classmethod, .*write compile\(Derived.of_class\) after the class"
    # The second message is that of CPython 3.13 and later.
    with pytest.raises(TypeError, match=f"{said}|of_class: cls: expected a real number"):
        Derived.of_class(1.0)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.array([[1, 2], [3]], dtype=object), r"x: an array of shape \(2,\) that holds 3 numbers"),
        (np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), r"x: .*"),
        (np.ma.array([1.0, 1e20], mask=[0, 1]), r"x.*: expected a real number, got NoneType|x: a masked array"),
    ],
    ids=["ragged", "structured", "masked"],
)
def test_an_array_that_holds_something_else_than_a_number_for_each_entry_is_refused(x, said):
    for call in (lambda f: f(x), lambda f: f.forward([(x,)])):
        with pytest.raises(TypeError, match=said):
            call(compile(lambda x: x[0]))


def test_masked_samples_are_refused():
    with pytest.raises(TypeError, match=r"a masked array in which some numbers are missing; write x\.filled"):
        compile(lambda x: x).forward(np.ma.array([1.0, 1e20], mask=[0, 1]))


def test_an_operation_of_one_s_own_may_look_like_a_comparison():
    """A user-defined operation that is printed as "<" does not take the place of the table's comparison in guards."""
    looks_alike = define(
        Op("below_too", lambda a, b: 1.0 if a < b else 0.0, (None, None), lowerings=Lowerings(array="<"))
    )
    try:
        assert compile(lambda x: x if x > 0 else -x)(2.0) == 2.0
    finally:
        del OPS[looks_alike.name]


def test_a_derivative_in_a_compiled_function_refuses_a_leaf_that_the_function_uses_besides():
    """As it does in the plain function. A number of an argument, and what it is computed from, is no leaf there."""
    v = Value(2.0)
    with pytest.raises(ValueError, match="also the leaf"):
        compile(lambda x: grad(lambda z: z * v * x)(v))(3.0)
    assert compile(lambda x: grad(lambda z: z * x)(x) * v)(3.0) == 6.0
    assert compile(lambda x: grad(lambda z: grad(lambda u: u * z * x)(z))(x * v))(3.0) == 3.0
