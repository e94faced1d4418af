"""Wrong backward passes are found, at the node where the first gradient differs, and the mistake is named."""

import itertools
import math
import random
import re
from types import MethodType

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from micrograd.engine import Value as Micrograd

from micrograd_cn import Value, compare_gradients, relu, tanh
from micrograd_cn.handwritten.causes import MOST_TIMES

from .classes import (
    BINARY,
    FAULTS,
    OTHERS,
    UNARY,
    Lecture,
    MicroGPT,
    Named,
    assigns,
    begins_with_nothing,
    built,
    edges,
    forgets_upstream,
    hurries,
    keeps_the_first,
    order,
    recipes,
    right,
    sends_again,
    twice,
)

ALL = UNARY | BINARY | OTHERS


def message(root):
    """Return the message about wrong gradients, "" if there is none. It is short enough to be read at once."""
    found = ""
    try:
        compare_gradients(root)
    except AssertionError as error:
        found = str(error)
    assert len(found.splitlines()) <= 12
    assert max(map(len, found.splitlines()), default=0) < 250
    return found


def labelled(**nodes):
    for label, node in nodes.items():
        node.label = label
    return nodes.values()


# Right gradients


@given(recipes(ALL), st.sampled_from([Named, MicroGPT, Lecture]))
def test_right_gradients_are_passed_over_in_silence(recipe, theirs):
    root, _ = built(recipe, theirs)
    root.backward()
    found = message(root)
    assume("order of operands unknown" not in found)
    assert found == ""


@given(recipes(UNARY | BINARY))
def test_our_own_gradients_are_right(recipe):
    root, _ = built(recipe, Value)
    root.backward()
    assert message(root) == ""


def test_rounding_is_no_mistake():
    for x in (-19.0, -12.0, 1e-9, 3.0, 11.0, 18.0):  # at the larger ones, 1 - tanh(x)**2 has few digits left
        node = Lecture(x)
        y = node.tanh() * 1e-8
        y.backward()
        assert message(y) == ""
    big, small = Lecture(1e16), Lecture(1.0)
    y = (big + small) * 3.0 + big * -3.0  # contributions that cancel
    y.backward()
    big.grad += 1e-12
    assert message(y) == ""
    big.grad += 1e-6
    assert "the leaf 1e+16" in message(y)


@pytest.mark.parametrize("value", [Value, Named, Lecture])
def test_the_derivative_of_a_function_may_be_off_by_eight_rounding_units_of_1(value):
    x = value(18.0)  # here the derivative of tanh is smaller than that
    y = x.tanh() * 3.0
    y.backward()
    right = 3.0 * tanh.local_derivatives(math.tanh(18.0), 18.0)[0]
    for units in (7, -7):
        x.grad = right + 3.0 * units * 2.0**-52
        assert message(y) == ""
    for units in (9, -9):
        x.grad = right + 3.0 * units * 2.0**-52
        assert "the leaf 18" in message(y)


@pytest.mark.parametrize(
    "f", [lambda x: x.floor() + x.tanh() * 3.0, lambda x: x.tanh() * 3.0 + x.floor(), lambda x: x.tanh() * 3.0]
)
def test_an_operation_that_sends_nothing_does_not_change_how_far_a_derivative_may_be_off(f):
    x = Value(18.0)
    y = f(x)
    y.backward()
    right = x.grad
    for units, is_right in ((7, True), (-7, True), (9, False), (-9, False)):
        x.grad = right + 3.0 * units * 2.0**-52
        assert (message(y) == "") is is_right


# The first gradient that differs, in random graphs


def is_like(x, y, size=1.0):
    return math.isclose(x, y, rel_tol=1e-8, abs_tol=1e-10 * size)


@given(recipes(ALL), st.sampled_from([*FAULTS]))
def test_the_node_that_is_named_is_wrong_and_its_users_are_right(recipe, fault):
    root, nodes = built(recipe, MicroGPT)
    for node in order(root):
        node.label = getattr(node, "label", "unnamed")
    fault(root)
    given_by_fault = {node: node.grad for node in order(root)}
    found = message(root)
    for node in order(root):
        node.grad = 0.0
    right(root)
    differs = {node for node in order(root) if not is_like(node.grad, given_by_fault[node])}
    if not found:
        assert not differs
        return
    name = re.match(r"the first gradient that differs, .*? that of (?:the leaf )?(n\d+|unnamed)\b", found)[1]
    assume(name != "unnamed")
    [named] = [node for node in nodes if node.label == name]
    users = {node for node in order(root) for x, _ in edges(node) if x is named}
    assume(all(is_like(node.grad, given_by_fault[node]) != (node in differs) for node in users))
    assert not users & differs
    assert named in differs or abs(named.grad) < 1e-6


# Mistakes, each in a graph whose numbers show which one it is


def diamond(value):
    """Return y = tanh(a*b) + a*b * c, where a*b is used twice and a once more."""
    a, b, c = value(0.7), value(-1.3), value(0.4)
    d = a * b
    e = d.tanh()
    f = d * c
    y = e + f
    labelled(a=a, b=b, c=c, d=d, e=e, f=f, y=y)
    return y, a, b, c, d, e, f


@pytest.mark.parametrize(
    ("fault", "node", "said"),
    [
        (
            assigns,
            "d",
            r"only 1 of 2 contributions is there, that of [ef] = .*; it is assigned with = where \+= is",
        ),
        (keeps_the_first, "d", "only 1 of 2 contributions is there, that of [ef] = "),
        (
            hurries,
            "a",
            r"d = a \* b sent its gradient on with 1 of its 2 contributions, before the rest had arrived; ",
        ),
        (sends_again, "a", r"d = a \* b sent its gradient on more than once"),
        (forgets_upstream, "a", "the local derivative is not multiplied by the upstream gradient, which is that of d"),
        (twice, "[ef]", "it is 2 times the right one: something is left over from an earlier backward"),
    ],
)
@pytest.mark.parametrize("value", [Named, MicroGPT])
def test_a_mistake_is_named(fault, node, said, value):
    y, *_ = diamond(value)
    fault(y)
    found = message(y)
    assert re.search(f"is that of (the leaf )?{node} = ", found) or fault in (hurries, sends_again)
    assert re.search(said, found), found


def test_contributions_are_listed_with_their_local_derivatives():
    y, _, _, _, d, e, _ = diamond(Named)
    right(y)
    slope = tanh.local_derivatives(e.data, d.data)[0]
    d.grad = 0.4
    assert message(y).splitlines()[1:4] in (
        [
            f"  it is 0.4, and should be {0.4 + slope:.4g}, the sum of local derivative × upstream gradient:",
            *order_of_lines,
        ]
        for order_of_lines in (
            [f"    from e = tanh(d): {slope:.4g} × 1 = {slope:.4g}", "    from f = c * d: 0.4 × 1 = 0.4"],
            ["    from f = c * d: 0.4 × 1 = 0.4", f"    from e = tanh(d): {slope:.4g} × 1 = {slope:.4g}"],
        )
    )


def test_whether_the_last_or_the_first_is_kept_is_told_where_the_order_is_known():
    for fault, said in ((assigns, "assigned with ="), (keeps_the_first, "those that arrive later are not added")):
        b = Named(0.7)
        y = b.tanh() * b
        labelled(b=b, y=y)
        fault(y)
        assert said in message(y)


def test_a_wrong_root_and_a_backward_that_has_not_run():
    y, *_ = diamond(Named)
    assert "backward() has not run" in message(y)
    begins_with_nothing(y)
    y.grad = 0.0
    assert "the gradient of the root, y = e + f (data" in message(y)
    y, *_ = diamond(Named)
    right(y)
    y.grad = 2.0
    assert "is 2, and should be 1: it is d root / d root" in message(y)
    assert "backward() has to begin with 1 there" in message(y)


def test_a_node_that_nothing_reaches():
    y, a, *_ = diamond(Named)
    right(y)
    a.grad = 0.0
    assert "nothing has arrived: does the backward pass of '*' reach this operand?" in message(y)


def test_leaves_of_an_earlier_graph():
    w = Named(0.5)
    w.label = "w"
    for _ in range(3):
        y = (w * 2.0 + -3.0) ** 2
        right(y)
    assert "3 times the right one" in message(y)
    w.grad += 0.123
    found = message(y)
    assert "only leaves are wrong" in found
    assert "the leaf w = 0.5" in found


def test_other_gradients_that_are_wrong_by_themselves_are_counted():
    a, b, c = Named(2.0), Named(3.0), Named(4.0)
    y = a * b + c
    right(y)
    a.grad = 1.0
    assert "other wrong gradient" not in message(y)
    b.grad = 1.0
    assert "there is another wrong gradient whose users are right" in message(y)
    c.grad = 2.0
    assert "there are 2 other wrong gradients whose users are right" in message(y)


def planted(name, slot, wrong):
    """Return a class in which one operation has a wrong local derivative."""

    class Planted(Named):
        def __init__(self, data, children=(), local_grads=(), op=""):
            local = list(local_grads)
            if op == name:
                local[slot] = wrong(local[slot], *[x.data for x in children])
            super().__init__(data, children, local, op)

    return Planted


@pytest.mark.parametrize(
    ("name", "slot", "wrong"),
    [
        ("*", 0, lambda right, a, b: a),
        ("tanh", 0, lambda right, x: 1.0 - math.tanh(x)),
        ("-", 1, lambda right, a, b: 1.0),
        ("/", 1, lambda right, a, b: -right),
        ("**2", 0, lambda right, x: x),
    ],
)
@given(st.integers(0, 2**32))
def test_a_wrong_local_derivative_is_named_with_its_operation(name, slot, wrong, seed):
    value = planted(name, slot, wrong)
    rng = random.Random(seed)
    a, b, c = (value(rng.uniform(0.3, 0.9)) for _ in range(3))
    nodes = [a.tanh(), b - c, a * c, b / c, a**2, c.exp()]
    y = nodes[0]
    for node in nodes[1:]:
        y = (y + node * rng.uniform(1.0, 2.0)).exp() if node is nodes[2] else y + node
    right(y)
    symbol = name.rstrip("0123456789")
    found = message(y)
    named = re.search(r"a wrong local derivative of ('.*?'(?:(?:,| or) '.*?')*)", found)
    assert named, found
    assert repr(symbol) in named[1]


def test_the_numbers_of_a_wrong_local_derivative():
    a = planted("tanh", 0, lambda right, x: 3.0)(0.5)
    y = a.tanh() * 2.0
    labelled(a=a, y=y)
    right(y)
    assert "of 'tanh': 3 would give this gradient, but the derivative of tanh(a) is 0.7864" in message(y)


def test_a_kink_is_no_mistake_without_a_word():
    x = planted("ReLU", 0, lambda right, x: 1.0)(0.0)
    y = x.relu()
    right(y)
    assert f"it is at a kink, where we choose {relu.smoothness.convention}" in message(y)


def test_closures_of_one_operation():
    """The lecture's first mistake is found: = in the closure of one operation."""
    a = Lecture(3.0, label="a")
    b = a + a
    b._backward = MethodType(lambda out: setattr(a, "grad", out.grad), b)
    b.label = "b"
    b.backward()
    assert message(b) == (
        "the first gradient that differs, going back from the root, is that of the leaf a = 3\n"
        "  it is 1, and should be 2, the sum of local derivative × upstream gradient:\n"
        "    from b = a + a, first operand: 1 × 1 = 1\n"
        "    from b = a + a, second operand: 1 × 1 = 1\n"
        "  likely cause: only 1 of 2 contributions is there; it is assigned with = where += is needed"
    )


def test_micrograd_s_second_backward():
    x, w = Micrograd(2.0), Micrograd(-3.0)
    y = (x * w + 7.0).relu() * x
    y.backward()
    assert message(y) == ""
    y.backward()
    assert "2 times the right one: something is left over" in message(y)


def test_of_two_mistakes_that_give_one_number_it_is_the_one_that_gives_all_of_them():
    a, b = Named(0.7), Named(-1.3)
    d = a * b
    y = d.tanh() + d  # y sends 1 to d; a and b are as if d had sent it on before the rest arrived
    forgets_upstream(y)
    assert "is not multiplied by the upstream gradient" in message(y)


@given(st.floats(0.1, 0.5), st.lists(st.sampled_from([UNARY["tanh"], UNARY["square"]]), min_size=1, max_size=6))
def test_a_mistake_that_also_explains_the_gradients_further_down_is_the_likelier_one(number, functions):
    a = Named(number)
    d = a * 3.0
    for function in functions:
        d = function(d)
    forgetting = order(d)
    y = d.tanh() * 2.0 + d  # y sends 1 to d, so d's operand is as if d had sent that on too early
    y.grad = 1.0
    for node in order(y):
        for x, local in edges(node):
            x.grad += local * (1.0 if node in forgetting else node.grad)
    assume(all(abs(node.grad - 1.0) > 0.01 for node in forgetting))  # who forgets to multiply by 1 makes no mistake
    assert "is not multiplied by the upstream gradient" in message(y)


@given(st.integers(2, 2 * MOST_TIMES) | st.integers(MOST_TIMES - 1, MOST_TIMES + 1), st.integers(1, 80))
def test_a_gradient_was_added_less_than_a_thousand_times(times, eighths):
    w = Named(0.5)
    y = w * (eighths / 8)  # a number whose multiples are exact
    right(y)
    w.grad *= times
    assert (f"it is {times} times the right one: something is left over" in message(y)) == (times < 1000)


def test_where_the_numbers_do_not_tell_nothing_is_said():
    a = Named(0.7)
    d = y = a.tanh()
    for k in range(7):
        y = y + d * float(k)
    sends_again(y)
    found = message(y)
    assert "the leaf 0.7" in found
    assert "likely cause" not in found


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_operation_that_is_wrong_twice_is_named_also_where_one_number_would_not_tell(count):
    value = planted("tanh", 0, lambda right, x: 1.3 * right)
    y = value(0.25)
    for leaf in [value(0.5 + 0.1 * k) for k in range(count)]:
        d = leaf.tanh()
        for k in range(7):  # the gradient of d may have been sent on in more ways than are tried
            y = y + d * float(k)
    right(y)
    found = message(y)
    assert "the sum of local derivative × upstream gradient" in found
    assert ("a wrong local derivative of 'tanh'" in found) == (count > 1)


# inf and nan


@pytest.mark.parametrize(("grad", "right"), [(math.inf, True), (1e300, False), (math.nan, False), (-math.inf, False)])
def test_a_gradient_that_should_be_infinite(grad, right):
    x = Named(1e200)
    y = x * 1e200 * x * 1e200
    y.grad = 1.0
    for node in order(y):
        for operand, local in edges(node):
            operand.grad += local * node.grad
    assert x.grad == math.inf
    x.grad = grad
    assert (message(y) == "") == right


def test_a_gradient_that_should_be_nan():
    n = Named(2.0)
    y = n * math.nan
    right(y)
    assert message(y) == ""
    n.grad = 1.0
    assert "it is 1, and should be nan" in message(y)


@pytest.mark.parametrize("factors", sorted({*itertools.permutations((-1e308, 1e308, 1e308))}))
def test_sums_whose_parts_overflow(factors):
    x = Named(1.0)
    first, second, third = (x * factor for factor in factors)
    y = first + second + third
    right(y)
    x.grad = 1e308
    assert message(y) == ""
    x.grad = 0.9e308
    assert "the leaf 1" in message(y)


# The message says what cannot be compared


def test_below_an_unknown_operation_nothing_is_said_to_be_right():
    a, b = Named(0.5), Named(2.0)
    c = Named(7.0, (a,), (3.0,), "mystery")
    y = c * b
    labelled(a=a, b=b, c=c, y=y)
    right(y)
    assert message(y) == (
        "no gradient differs, but not all gradients can be compared: those below the following nodes depend on local\n"
        "  derivatives that are not known: c = mystery(a) (data 7): unknown operation"
    )
    b.grad = 1.0
    found = message(y)
    assert "the leaf b = 2" in found
    assert "not all gradients can be compared because of c = mystery(a) (data 7): unknown operation" in found


def test_a_difference_below_what_is_not_compared_says_so():
    a = Named(0.5)
    d = a * 3.0
    y = Named(7.0, (d,), (3.0,), "mystery")
    labelled(a=a, d=d, y=y)
    right(y)
    a.grad = 1.0
    assert "the gradients above this node are taken as they are" in message(y)


def test_many_contributions_and_many_unknown_operations_stay_short():
    x = Named(0.5)
    y = x
    for k in range(30):
        y = y + Named(k + 0.3, (x,), (1.0,), f"mystery{k}x") if k % 3 == 0 else y + x * float(k)
    labelled(x=x, y=y)
    right(y)
    assert message(y).count("mystery") == 3
    z = x
    for k in range(30):
        z = z + x * float(k)
    right(z)
    x.grad = -1.0
    assert "... and 27 more" in message(z)


# Operands that are not selected


def test_a_product_with_0_where_nothing_flows_is_named():
    x = Named(-1.0)
    h = Named(0.0, (x,), (0.0,), "relu")
    y = Named(0.0, (h,), (math.inf,), "sqrt")
    x.label = "x"
    right(y)  # multiplies every local derivative by the upstream gradient
    assert message(y) == (
        "the first gradient that differs, going back from the root, is that of the leaf x = -1\n"
        "  it is nan, and should be 0, the sum of local derivative × upstream gradient:\n"
        "    from relu(x): nothing, because 'relu' did not select this operand\n"
        "  likely cause: 0 × inf is nan; 'relu' did not select this operand, so add nothing"
    )
    x.grad = 0.0
    assert message(y) == ""


def test_an_operand_whose_derivative_is_0_everywhere_gets_nothing():
    x = Named(0.5)
    h = Named(0.0, (x,), (0.0,), "floor")
    y = Named(0.0, (h,), (math.inf,), "sqrt")
    x.label = "x"
    right(y)
    assert "from floor(x): nothing, because this derivative is 0 everywhere" in message(y)
    x.grad = 0.0
    assert message(y) == ""


@pytest.mark.parametrize("count", range(3, 10))
def test_of_more_than_six_operands_the_first_and_the_last_are_named(count):
    xs = [Named(float(k)) for k in range(count)]
    y = Named(float(sum(range(count))), tuple(xs), (1.0,) * count, "sum")
    names = [f"x{k}" for k in range(count)]
    for x, name in zip(xs, names, strict=True):
        x.label = name
    right(y)
    assert message(y) == ""
    xs[2].grad = 2.0
    shown = f"[{', '.join(names)}]" if count <= 6 else ", ".join([*names[:3], "...", *names[-2:]])
    assert f"from sum({shown}): 1 × 1 = 1" in message(y)


def test_a_product_with_inf_below_what_was_not_selected_is_named():
    x, z = Named(0.0), Named(3.0)
    h = Named(0.0, (x,), (math.inf,), "sqrt")
    y = Named(3.0, (h, z), (0.0, 1.0), "maximum")
    x.label, h.label, z.label = "x", "h", "z"
    right(y)
    found = message(y)
    assert "from h = sqrt(x): nothing, because no gradient reached it" in found
    assert "likely cause: inf × 0 is nan; no gradient reached h = sqrt(x), so add nothing" in found
    x.grad = 0.0
    assert message(y) == ""


def own_tanh(x, slope, name="tanh"):
    """Return a `Value` that is made by hand as in micrograd, whose `_backward` has the local derivative `slope(t)`."""
    t = math.tanh(x.data)
    out = Value(t, (x,), name, "out")

    def backward():
        x.grad += slope(t) * out.grad

    out._backward = backward
    return out


def test_a_wrong_closure_of_our_value_is_found():
    """A `_backward` that the user has written for our `Value` is compared with the operation that its name means."""
    x, w = Value(0.5, "x"), Value(3.0, "w")
    y = own_tanh(w * x, lambda t: 1 - t) * 2 + x.exp()
    y.backward()
    with pytest.raises(AssertionError, match=r"(?s)that of w \* x .*likely cause: a wrong local derivative of 'tanh'"):
        compare_gradients(y)
    right = own_tanh(w * x, lambda t: 1 - t * t) * 2 + x.exp()
    w.grad = x.grad = 0.0
    right.backward()
    w.data = 7.0  # local derivatives are those of the forward pass, as everywhere
    compare_gradients(right)


def test_a_closure_of_an_unknown_name_is_not_compared():
    x = Value(0.5, "x")
    y = own_tanh(x, lambda t: 1 - t, name="own") * 2
    y.backward()
    with pytest.raises(AssertionError, match=r"no gradient differs, but not all .*\n.*own\(x\).*: unknown operation"):
        compare_gradients(y)


@pytest.mark.parametrize("factor", [2.0, 3.0])
def test_a_closure_that_replaces_that_of_an_operator_is_compared(factor):
    x = Value(3.0, "x")
    square, product = x**2, x * x
    for y, slope in (
        (square, lambda: factor * x.data * square.grad),
        (product, lambda: factor * x.data * product.grad),
    ):
        x.grad = 0.0

        def backward(slope=slope):
            x.grad += slope()

        y._backward = backward
        y.backward()
        if factor == 2.0:
            compare_gradients(y)
        else:
            with pytest.raises(AssertionError, match="is that of the leaf x = 3\n  it is 9, and should be 6"):
                compare_gradients(y)
