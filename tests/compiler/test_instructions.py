"""Instructions: none twice, constants folded, phases, sums that are split, formulas that are one instruction."""

import math
import random
import struct
from itertools import pairwise
from math import nan

import pytest

import micrograd_cn as mc
from micrograd_cn import Op
from micrograd_cn.compiler.formulas import Operations
from micrograd_cn.compiler.instructions import (
    AFTER,
    BATCH,
    CONSTANT,
    FORMULAS,
    LONG,
    SAMPLE,
    SUMS,
    below,
    inlined,
    named,
)
from micrograd_cn.traits import Forms

from .common import Instructions

PLAIN = {"fadd": lambda a, b: a + b, "fsub": lambda a, b: a - b, "fmul": lambda a, b: a * b}


def values(made, parameters=(), inputs=(), totals=()):
    """Return what every instruction is, in plain Python."""
    known = []
    for form, *rest in made.code.instructions:
        if form == "constant":
            known.append(rest[0])
        elif form in ("parameter", "input", "total"):
            known.append({"parameter": parameters, "input": inputs, "total": totals}[form][rest[0]])
        elif form in SUMS:
            pairs, terms = rest
            known.append(math.fsum([*(known[a] * known[b] for a, b in pairs), *(known[t] for t in terms)]))
        elif form in FORMULAS:
            inner, result = FORMULAS[form]
            made_inside = Instructions()
            made_inside.code = inner
            known.append(values(made_inside, inputs=[known[i] for i in rest])[result])
        else:
            known.append(PLAIN[form](*[known[i] for i in rest]))
    return known


# Without duplicates


def test_the_same_instruction_is_never_there_twice():
    made = Instructions(2, 1)
    a, b = made.w
    for form in ("fsub", "fdiv", "pow", "fadd", "fmul"):
        first = made.code.machine(form, a, b)
        assert made.code.machine(form, a, b) == first
        assert (made.code.machine(form, b, a) == first) == (form in ("fadd", "fmul"))
    assert len(set(made.code.instructions)) == len(made.code.instructions)


def test_powers_of_one_and_two_are_no_calls():
    made = Instructions(2, 1)
    a, one, two = made.w[0], made.code.constant(1.0), made.code.constant(2.0)
    assert made.code.machine("pow", a, one) == a
    assert made.code.machine("pow", a, two) == made.code.machine("fmul", a, a)
    assert made.code.instructions[made.code.machine("pow", one, a)] == ("pow", one, a)


@pytest.mark.parametrize("exponent", [-1.5, -0.5, 0.5, 1.5])
def test_powers_of_halves_are_no_calls(exponent):
    made = Instructions(1, 1)
    for a in (made.w[0], made.x[0]):
        number = made.code.machine("pow", a, made.code.constant(exponent))
        form, *used = made.code.instructions[number]
        inside, _ = FORMULAS[form]
        assert used == [a]
        assert "llvm.sqrt" in [instruction[0] for instruction in inside.instructions]
        assert "pow" not in [instruction[0] for instruction in inside.instructions]
    partial, _ = made.code.partials(mc.pow, number, [made.x[0], made.code.constant(exponent + 1.0)])
    inside, _ = FORMULAS[made.code.instructions[partial][0]]
    forms = {instruction[0] for instruction in inside.instructions}
    assert "llvm.sqrt" in forms
    assert forms.isdisjoint({"pow", *FORMULAS})  # a formula has no formulas


def test_negative_zero_and_nans_are_constants_of_their_own():
    code = Operations()
    other = struct.unpack("d", struct.pack("Q", 0x7FF8000000000001))[0]
    numbers = [code.constant(x) for x in (0.0, -0.0, nan, other, 1.0)]
    assert len(set(numbers)) == 5
    assert [code.constant(x) for x in (0.0, -0.0, nan, other, 1.0)] == numbers
    assert [math.copysign(1.0, code.value(i)) for i in numbers[:2]] == [1.0, -1.0]


def test_an_instruction_stands_after_its_operands():
    made = Instructions(3, 3)
    code = made.code
    total = code.dot(zip(made.w, made.x, strict=True), made.w)
    code.apply(mc.gelu, [total])
    for i, operands in enumerate(code.operands):
        assert all(j < i for j in operands)


# Folding


def test_sums_and_products_of_constants_are_constants():
    code = Operations()
    two, three = code.constant(2.0), code.constant(3.0)
    assert code.value(code.machine("fadd", two, three)) == 5.0
    assert code.value(code.machine("fmul", two, three)) == 6.0
    assert code.value(code.dot([(two, three)], [two, two])) == 10.0
    assert code.value(code.apply(mc.tanh, [two])) == math.tanh(2.0)
    assert code.value(code.dot([], [])) == 0.0
    big = code.constant(1e308)
    assert code.value(code.dot([(big, two)], [code.constant(-1.5e308)] * 2)) == math.inf  # a product overflows
    assert code.value(code.dot([], [big, big, code.constant(-1.5e308)])) == pytest.approx(5e307)  # no sum on the way


@pytest.mark.parametrize("divisor", [1.0, -1.0, 2.0, -0.25, 2.0**1022, 2.0**-1022])
def test_a_quotient_by_a_power_of_two_is_a_product_with_the_same_bits(divisor):
    code = Operations()
    x = code.leaf(("input", 0), SAMPLE)
    found = code.machine("fdiv", x, code.constant(divisor))
    assert found == code.machine("fmul", x, code.constant(1.0 / divisor))
    for number in (0.0, -0.0, 5e-324, -1.5e-323, 2.3e-308, 1.1, math.pi, 1.7e308, -math.inf):
        assert struct.pack("d", number / divisor) == struct.pack("d", number * (1.0 / divisor))


@pytest.mark.parametrize("divisor", [3.0, 0.0, -0.0, 2.0**1023, 2.0**-1023, 5e-324, math.inf, math.nan])
def test_a_quotient_by_another_number_stays_one(divisor):
    code = Operations()
    x = code.leaf(("input", 0), SAMPLE)
    assert code.instructions[code.machine("fdiv", x, code.constant(divisor))][0] == "fdiv"
    assert code.instructions[code.machine("fdiv", code.constant(2.0), x)][0] == "fdiv"


def test_a_product_with_one_is_the_other_factor_and_nothing_else_is_left_out():
    made = Instructions(1, 1)
    [w], [x] = made.w, made.x
    code = made.code
    one, zero = code.constant(1.0), code.constant(0.0)
    assert code.machine("fmul", one, w) == w
    assert code.machine("fmul", x, one) == x
    assert code.dot([(one, x)], []) == x
    for form, i in (("fmul", zero), ("fadd", zero), ("fsub", zero)):
        assert code.machine(form, x, i) not in (x, i)  # 0 times infinity is none, -0.0 + 0.0 is 0.0


def test_short_sums_are_single_instructions():
    made = Instructions(2, 2)
    (a, b), (x, y) = made.w, made.x
    code = made.code
    assert code.dot([], [x]) == x
    assert code.instructions[code.dot([], [x, y])] == ("fadd", x, y)
    assert code.instructions[code.dot([], [x, y, a], "sum")] == ("sum", (), (x, y, a))
    early = code.machine("fadd", a, b)
    assert code.instructions[code.dot([], [a, b, x], "sum")] == code.instructions[code.machine("fadd", early, x)]
    assert code.instructions[code.dot([(a, x)], [])] == ("fmul", a, x)
    assert code.instructions[code.dot([(a, x)], [y])] == ("dot", ((a, x),), (y,))
    assert code.instructions[code.dot([(a, x), (b, y)], [], "adjoint")] == ("adjoint", ((a, x), (b, y)), ())


# Phases


def test_a_result_has_the_latest_phase_of_its_operands():
    made = Instructions(1, 1)
    [w], [x], [total] = made.w, made.x, made.after(1)
    code = made.code
    c = code.constant(2.0)
    for operands, phase in (
        ((c, c), CONSTANT),
        ((c, w), BATCH),
        ((w, w), BATCH),
        ((w, x), SAMPLE),
        ((x, c), SAMPLE),
        ((total, w), AFTER),
        ((total, c), AFTER),
    ):
        assert code.phase[code.machine("fadd", *operands)] == phase
        assert code.phase[code.apply(mc.hypot, list(operands))] == phase
        assert code.phase[code.dot([operands, operands], [])] == phase


# Sums


def test_what_needs_no_sample_is_summed_by_itself():
    made = Instructions(3, 2)
    (a, b, c), (x, y) = made.w, made.x
    code = made.code
    number = code.dot([(a, x), (a, b), (y, x), (c, c)], [y, c])
    form, pairs, terms = code.instructions[number]
    part = terms[0]
    assert (form, pairs, terms[1:]) == ("dot", ((a, x), (y, x)), (y,))
    assert code.instructions[part] == ("dot", ((a, b), (c, c)), (c,))
    assert code.phase[part] == BATCH
    assert code.phase[number] == SAMPLE


def test_a_single_term_of_the_batch_stays_and_so_do_sums_without_samples():
    made = Instructions(2, 2)
    (a, b), (x, y) = made.w, made.x
    assert made.code.instructions[made.code.dot([(a, x)], [a, y])] == ("dot", ((a, x),), (a, y))
    assert made.code.instructions[made.code.dot([(a, b)], [a, b])] == ("dot", ((a, b),), (a, b))


def test_constants_in_a_sum_are_one_constant():
    made = Instructions(0, 2)
    x, y = made.x
    code = made.code
    big = [code.constant(x) for x in (1e308, 1.5e308)]
    _, pairs, [part, _] = code.instructions[code.dot([(x, y)], [*big, x])]
    assert pairs == ((x, y),)
    assert code.value(part) == math.inf


def test_products_of_constants_in_a_sum_are_one_constant():
    made = Instructions(0, 2)
    x, y = made.x
    code = made.code
    two, large = code.constant(2.0), code.constant(1e308)
    _, pairs, [part] = code.instructions[code.dot([(x, y), (two, large), (two, two)], [])]
    assert pairs == ((x, y),)
    assert code.value(part) == math.inf
    _, _, [part] = code.instructions[code.dot([(x, y), (two, two), (two, code.constant(-3.0))], [])]
    assert code.value(part) == -2.0


@pytest.mark.parametrize("batch", [True, False])
def test_many_terms_are_products_with_one(batch):
    made = Instructions(17, 17)
    terms = made.w if batch else made.x
    one = made.code.constant(1.0)
    assert made.code.instructions[made.code.dot([], terms, "sum")] == ("sum", tuple((one, t) for t in terms), ())
    few = made.code.dot([], terms[:16], "sum")
    assert made.code.instructions[few] == ("sum", (), tuple(terms[:16]))


def test_many_samples_are_products_with_one_and_what_needs_none_is_a_term():
    made = Instructions(2, 20)
    code, (a, b) = made.code, made.w
    one = code.constant(1.0)
    form, pairs, terms = code.instructions[code.dot([(a, made.x[0])], [a, *made.x, b], "sum")]
    assert (form, pairs) == ("sum", ((a, made.x[0]), *((one, x) for x in made.x)))
    assert terms == (code.machine("fadd", a, b),)


def test_a_loop_reads_scalars_and_samples_or_samples_alone_and_starts_from_one_number():
    made = Instructions(16, 16)
    ws, xs = made.w, made.x
    mixed, alike = list(zip(ws, xs, strict=True))[:8], list(pairwise(xs))[:8]
    code = made.code
    for longer, other in ((mixed, alike), (mixed, alike[:-1]), (alike, mixed[1:])):
        _, pairs, [part] = code.instructions[code.dot([*mixed, *alike] if len(other) == 8 else [*longer, *other], [])]
        assert pairs == tuple(longer)
        assert code.instructions[part] == ("dot", tuple(other), ())
    _, pairs, [start] = code.instructions[code.dot([(x, w) for w, x in mixed], [ws[2], xs[3], xs[4]])]
    assert pairs == tuple(mixed)
    assert code.instructions[start] == ("dot", (), (ws[2], xs[3], xs[4]))
    _, pairs, terms = code.instructions[code.dot([*mixed[:6], *alike[:6]], [])]
    assert (pairs, terms) == ((*mixed[:6], *alike[:6]), ())  # too few for a loop


@pytest.mark.parametrize("form", ["sum", "dot", "adjoint"])
@pytest.mark.parametrize("seed", range(40))
def test_a_sum_has_all_its_products_and_terms_however_it_is_split(form, seed):
    rng = random.Random(seed)
    made = Instructions(20, 20)
    code = made.code
    leaves = [*made.w, *made.x, *[code.constant(rng.gauss(0, 1)) for _ in range(5)]]
    leaves = rng.choice([leaves, leaves, made.w, made.x, leaves[-5:]])
    pairs = [(rng.choice(leaves), rng.choice(leaves)) for _ in range(rng.choice([0, 1, 2, 9, 40]))]
    terms = [rng.choice(leaves) for _ in range(rng.choice([0, 1, 2, 9, 40]))]
    ws, xs = [[rng.gauss(0, 1) for _ in range(20)] for _ in range(2)]
    number = code.dot(pairs, terms, form)
    known = values(made, ws, xs)
    expected = math.fsum([*(known[a] * known[b] for a, b in pairs), *(known[t] for t in terms)])
    assert known[number] == pytest.approx(expected, rel=1e-13, abs=1e-13)


# Formulas


def twice(form="own"):
    return Op(form, lambda x: mc.sin(x) * mc.cos(x), (lambda y, x: 1.0,))


def test_a_short_formula_is_one_instruction_for_whatever_operand():
    made = Instructions(1, 2)
    [w], [x, y] = made.w, made.x
    code = made.code
    numbers = [code.apply(twice(), [i]) for i in (x, y, w)]
    assert [code.instructions[i][1:] for i in numbers] == [(x,), (y,), (w,)]
    [form] = {code.instructions[i][0] for i in numbers}  # also of another operation with the same formula
    inner, result = FORMULAS[form]
    assert [f for f, *_ in inner.instructions] == ["input", "sin", "cos", "fmul"]
    assert result == 3
    assert code.weight(numbers[0]) == 4 + 4 + 1


def test_formulas_of_one_step_of_too_many_or_of_too_many_operands_are_their_instructions():
    made = Instructions(0, 5)
    code = made.code

    def chain(n):
        def f(x):
            for _ in range(n):
                x = mc.sin(x)
            return x

        return Op("chain", f, (lambda y, x: 1.0,))

    def all_of(*xs):
        y = xs[0]
        for x in xs[1:]:
            y = mc.sin(y * x)
        return y

    for op, operands, one in (
        (chain(1), made.x[:1], False),
        (chain(2), made.x[:1], True),
        (chain(50), made.x[:1], True),
        (chain(51), made.x[:1], False),
        (Op("all_of", all_of, (lambda *_: 1.0,) * 4), made.x[:4], True),
        (Op("all_of", all_of, (lambda *_: 1.0,) * len(made.x)), made.x, False),
    ):
        number = code.apply(op, operands)
        assert (code.instructions[number][0] in FORMULAS) == one, op


def test_formulas_in_a_short_formula_are_part_of_it_and_in_a_long_one_instructions():
    outer = Op("outer", lambda x: twice()(x) * mc.gelu(x), (lambda y, x: 1.0,))

    def often(x):
        for _ in range(51):
            x = twice()(x)
        return x

    made = Instructions(0, 1)
    code, [x] = made.code, made.x
    inner, _ = FORMULAS[code.instructions[code.apply(outer, [x])][0]]
    assert not {form for form, *_ in inner.instructions} & set(FORMULAS)
    number = code.apply(twice(), [x])
    single = Op("single", lambda x: twice()(x), (lambda y, x: 1.0,))
    assert code.apply(single, [x]) == number  # of one step: what that is
    for _ in range(50):
        number = code.apply(twice(), [number])
    assert code.apply(Op("often", often, (lambda y, x: 1.0,)), [x]) == number


def test_a_formula_with_a_loop_is_its_instructions():
    for n, one in ((7, True), (8, False), (11, False)):
        op = Op(
            "loop", lambda x, n=n: mc.sin(mc.dot([mc.add(x, k + 0.5) for k in range(n)], [x] * n)), (lambda y, x: 1.0,)
        )
        made = Instructions(0, 1)
        number = made.code.apply(op, made.x)
        assert (made.code.instructions[number][0] in FORMULAS) == one


def test_constants_of_the_operation_are_in_its_form_and_others_are_operands():
    made = Instructions(0, 1)
    [x] = made.x
    op = Op("own", lambda x, c: mc.sin(x * 1.25) * c + 2.5 * c, (lambda *_: 1.0,) * 2)
    for c, given in ((0.3, [0.3, 0.75]), (1.0, []), (-1.0, [-2.5]), (1.25, [3.125])):
        form, *operands = made.code.instructions[made.code.apply(op, [x, made.code.constant(c)])]
        assert [made.code.value(i) for i in operands] in ([None, *given], [None, *given[::-1]]), c
        assert {i[1] for i in FORMULAS[form][0].instructions if i[0] == "constant"} <= {1.25, 2.5, c}


def test_of_constants_nothing_is_computed_however_many_there_are():
    tempered = Op("tempered", lambda x, c: mc.sin(x) * mc.tanh(mc.exp(c)), (lambda y, x, c: mc.sin(c) * mc.cos(c),) * 2)
    made = Instructions(0, 1)
    code, [x] = made.code, made.x
    for k in range(8):
        c = code.constant(0.1 * k)
        y = code.apply(tempered, [x, c])
        [partial, _] = code.partials(tempered, y, [x, c])
        assert code.value(partial) == pytest.approx(math.sin(0.1 * k) * math.cos(0.1 * k), rel=1e-15)
        assert code.constant(math.tanh(math.exp(0.1 * k))) in code.operands[y]
    assert not any(used for used, phase in zip(code.operands, code.phase, strict=True) if phase == CONSTANT)


def test_what_a_formula_computes_without_samples_is_an_instruction_of_the_batch():
    tempered = Op("tempered", lambda x, w: mc.sin(x) * mc.tanh(mc.exp(w)), (lambda *_: 1.0,) * 2)
    made = Instructions(1, 1)
    [w], [x] = made.w, made.x
    code = made.code
    number = code.apply(tempered, [x, w])
    form, *operands = code.instructions[number]
    early = code.instructions.index(("tanh", code.instructions.index(("exp", w))))
    assert operands == [x, early]
    assert code.phase[early] == BATCH
    assert [f for f, *_ in FORMULAS[form][0].instructions] == ["input", "input", "sin", "fmul"]


def test_of_a_formula_with_constants_nothing_is_computed_that_is_known():
    tempered = Op("tempered", lambda x, c: mc.sin(x) * mc.tanh(mc.exp(c)), (lambda *_: 1.0,) * 2)
    made = Instructions(0, 1)
    [x], c = made.x, made.code.constant(0.3)
    number = made.code.apply(tempered, [x, c])
    form, *operands = made.code.instructions[number]
    assert operands == [x, made.code.constant(math.tanh(math.exp(0.3)))]
    inner = FORMULAS[form][0]
    assert [f for f, *_ in inner.instructions] == ["input", "input", "sin", "fmul"]


def test_formulas_with_other_constants_are_one_form():
    made = Instructions(0, 1)
    [x] = made.x
    numbers = [made.code.apply(mc.elu, [x, made.code.constant(alpha)]) for alpha in (0.1, 0.2, 0.3)]
    assert len({made.code.instructions[number][0] for number in numbers}) == 1
    known = len(FORMULAS)
    made.code.apply(mc.elu, [x, made.code.constant(0.4)])
    assert len(FORMULAS) == known


def test_a_formula_is_traced_anew_for_a_few_constants_alone():
    traced = []

    def f(x, c):
        traced.append(c)
        return mc.sin(x) * c

    op = Op("own", f, (lambda *_: 1.0,) * 2)
    made = Instructions(0, 1)
    for k in range(12):
        made.code.apply(op, [made.x[0], made.code.constant(0.5 + k)])
    numbers = [c for c in traced if isinstance(c, float)]
    assert numbers == [0.5, 1.5, 2.5, 3.5]
    assert len(traced) == 5


@pytest.mark.parametrize(("count", "known"), [(4, 0.5), (5, None), (6, None)])
def test_a_formula_of_more_than_4_operands_is_not_traced_for_constants(count, known):
    traced = []

    def f(*xs):
        traced.append(xs[-1] if isinstance(xs[-1], float) else None)
        return mc.sin(xs[0]) * xs[-1]

    made = Instructions(0, count - 1)
    made.code.apply(Op("own", f, (lambda *_: 1.0,) * count), [*made.x, made.code.constant(0.5)])
    assert traced[0] == known


def test_signs_of_zero_choose_formulas():
    op = Op("own", lambda x, c: mc.sin(x) * mc.div(1.0, c) if isinstance(c, float) else x, (lambda *_: 1.0,) * 2)
    made = Instructions(0, 1)
    forms = [made.code.instructions[made.code.apply(op, [made.x[0], made.code.constant(c)])] for c in (0.0, -0.0)]
    assert forms[0] != forms[1]


def test_a_result_may_be_an_operand_or_a_number():
    made = Instructions(1, 1)
    [w], [x] = made.w, made.x
    op = Op("own", lambda a, b: mc.sin(a) * b, (lambda y, a, b: b, lambda y, a, b: 2.5))
    y = made.code.apply(op, [x, w])
    [first, second] = made.code.partials(op, y, [x, w])
    assert first == w
    assert made.code.value(second) == 2.5


def test_partials_may_read_the_result():
    made = Instructions(0, 1)
    [x] = made.x
    y = made.code.apply(mc.exp, [x])
    assert made.code.partials(mc.exp, y, [x]) == [y]


def test_what_is_needed():
    made = Instructions(2, 1)
    (a, b), [x] = made.w, made.x
    product = made.code.machine("fmul", a, x)
    made.code.machine("fmul", b, x)
    total = made.code.dot([(a, product)], [x])
    assert below(made.code, [total]) == sorted([a, x, product, total])


def test_the_size_of_code_counts_loops_calls_and_formulas():
    made = Instructions(LONG, LONG)
    code = made.code
    product, call = code.machine("fmul", made.w[0], made.x[0]), code.machine("sin", made.x[0])
    loop = code.dot(zip(made.w, made.x, strict=True), [])
    early = code.machine("sin", made.w[0])
    assert [code.size([i]) for i in (product, call, loop, made.x[0])] == [1, 4, LONG, 0]
    longer = code.dot([*zip(made.w, made.x, strict=True)] * 2, [made.w[0], made.w[1], made.x[0]])
    assert [code.weight(longer), code.size([longer])] == [10, 10]
    few = code.dot([(made.w[0], made.x[0])], [made.w[0], made.w[1], made.x[0]])
    assert code.weight(few) == 3
    assert [code.size([early] * k) for k in (2, 3)] == [2, 4]  # as a third
    assert code.size([product, call, loop, early]) == (3 * (1 + 4 + LONG) + 4) // 3


# Machine forms


@pytest.mark.parametrize(
    ("form", "count", "message"),
    [
        ("fadd", 1, "has 1 operands, its machine form 'fadd' 2"),
        ("fneg", 2, "has 2 operands, its machine form 'fneg' 1"),
        ("fcmp xyz", 2, "'fcmp xyz'; comparisons are fcmp oeq, ogt, oge, "),
        ("fcmp", 2, "'fcmp'; comparisons are"),
        *((form, 1, "which is no name of a function") for form in ("sum", "input", "no such", "formula3", "1x", "a-b")),
    ],
)
def test_a_machine_form_that_there_is_not_is_refused(form, count, message):
    made = Instructions(0, count)
    op = Op("odd", lambda *xs: xs[0], (lambda *_: 1.0,) * count, forms=Forms(machine=form))
    for _ in range(2):
        with pytest.raises(TypeError, match=f"the operation 'odd' .*{message}"):
            made.code.apply(op, made.x)


def test_machine_forms_have_the_names_of_their_operations():
    made = Instructions(0, 2)
    for op in (mc.sin, mc.pow, mc.less):
        made.code.apply(op, made.x[: op.arity])
    assert made.code.rows == {"sin": "sin", mc.pow.forms.machine: "pow", mc.less.forms.machine: "less"}
    assert made.code.instructions[-1] == (mc.less.forms.machine, *made.x)


def test_what_is_wrong_in_a_formula_is_said_with_the_operation():
    made = Instructions(0, 1)
    wrong = Op("odd", lambda x: {1.0: x}[x], (lambda y, x: 1.0,))
    with pytest.raises(TypeError, match="the operation 'odd' cannot be compiled: KeyError in its formula: "):
        made.code.apply(wrong, made.x)
    for count in (0, 2):
        wrong = Op("odd", mc.sin.forward, lambda y, *xs, n=count: (y,) * n, forms=Forms(formula=lambda x: mc.sin(x)))
        with pytest.raises(
            TypeError,
            match=r"'odd' cannot be compiled: RowError in its partials: odd: of 1 operands, its partials gave",
        ):
            made.code.partials(wrong, made.code.apply(wrong, made.x), made.x)


def test_a_copy_may_be_changed():
    code = Operations()
    x = code.leaf(("input", 0), SAMPLE)
    y = code.add(("exp", x))
    copied = code.copy()
    one = copied.constant(1.0)
    copied.add(("fadd", x, one))
    copied.instructions[y], copied.operands[y] = ("fneg", x), (x, x)
    assert (copied.value(one), code.value(one)) == (1.0, None)
    assert (len(copied.instructions), len(code.instructions)) == (4, 2)
    assert (code.instructions[y], code.operands[y]) == (("exp", x), (x,))
    assert code.add(("fadd", x, code.constant(1.0))) == 3


def test_formulas_have_one_name_by_what_they_compute_and_are_written_out_by_it():
    made = []
    for _ in range(2):
        code = Operations()
        x = code.leaf(("input", 0), SAMPLE)
        made.append((code, code.add(("exp", x)), code.add(("fadd", code.constant(7.25), x))))
    (code, y, z), (other, *_) = made
    assert named(code, y) == named(other, y)
    assert named(code, z) != named(code, y)
    ground = Operations()
    a = ground.leaf(("input", 0), SAMPLE)
    negated = ground.add(("fneg", a))
    found = inlined(ground, named(code, z), [negated])
    assert ground.instructions[found] == ("fadd", ground.constant(7.25), negated)
    assert ground.phase[found] == SAMPLE
