"""A schedule: what is done before what, which sums are loops, which go together, and totals that are tables."""

import random
from itertools import chain
from math import nan

import pytest

import micrograd_cn as mc
from micrograd_cn.compiler.instructions import AFTER, BATCH, LONG, SAMPLE, SUMS
from micrograd_cn.compiler.schedule import ALONE, CHUNK, COLUMNS, Stretch, Sums

from .common import Instructions


def long_dot(made, n, first=0, form="dot", terms=()):
    """Return the number of a sum of terms and `n` products of parameters, from the given one on, and inputs."""
    return made.code.dot(list(zip(made.w[first : first + n], made.x[:n], strict=True)), terms, form)


def kinds(schedule, phase=SAMPLE):
    """Return what the stages of a phase are."""
    return [stage.kind if isinstance(stage, Sums) else "stretch" for stage in schedule.stages[phase]]


def of_kind(schedule, kind):
    return [s for phase in schedule.stages.values() for s in phase if isinstance(s, Sums) and s.kind == kind]


def random_graph(seed):
    """Return instructions of every kind and phase, roots, and totals."""
    rng = random.Random(seed)
    made = Instructions(20, 20)
    code = made.code
    pool = [*made.w, *made.x, code.constant(0.5), code.constant(2.0)]

    def some(n):
        return [rng.choice(pool[-40:]) for _ in range(n)]

    layer = None
    for k in range(60):
        kind = rng.randrange(6)
        if kind == 0:
            pool.append(
                code.machine(rng.choice(["fadd", "fsub", "fmul", "fcmp olt"]), rng.choice(made.w + made.x), *some(1))
            )
        elif kind == 1:
            pool.append(code.apply(rng.choice([mc.tanh, mc.silu, mc.gelu, mc.exp]), some(1)))
        elif kind == 2:
            n = rng.choice([2, 3, LONG, ALONE + 5])
            pool.append(code.dot(zip(some(n), some(n), strict=True), some(rng.randrange(3)), rng.choice(SUMS[:3])))
        elif kind == 3 and k % 3 == 0:
            layer = some(LONG + 2)
        elif layer:  # sums that share their factors
            start = rng.choice([some(1), [], [code.constant(0.0)]])
            pool.append(code.dot(list(zip(rng.sample(made.w, len(layer)), layer, strict=True)), start))
    samples = [i for i in pool if code.phase[i] == SAMPLE]
    totals = [tuple((rng.choice(samples), rng.choice(samples)) for _ in range(rng.choice([1, 1, 2]))) for _ in range(9)]
    after = [code.machine("fmul", t, rng.choice(made.w)) for t in made.after(9)]
    return made, [*pool[-5:], *after], totals


@pytest.mark.parametrize("lanes", [True, False])
@pytest.mark.parametrize("seed", range(25))
def test_everything_that_is_needed_is_done_once_and_after_what_it_needs(seed, lanes):
    made, roots, totals = random_graph(seed)
    schedule = made.schedule(*roots, totals=totals, lanes=lanes)
    code = made.code
    done, started, summed = set(), set(), []
    for phase in (BATCH, SAMPLE, AFTER):
        for stage in schedule.stages[phase]:
            if isinstance(stage, Sums):
                for i, left, right in zip(stage.numbers, stage.lefts, stage.rights, strict=True):
                    assert (i in started) != (i in schedule.firsts)
                    assert repr(schedule.firsts.get(i)) == repr(stage.first)
                    for j in (*left, *right):
                        assert not code.operands[j] or j in done
                    pairs = {tuple(sorted(pair)) for pair in zip(left, right, strict=True)}
                    assert pairs <= {tuple(sorted(pair)) for pair in code.instructions[i][1]}
                    assert code.phase[i] == phase
                done.update(stage.numbers)
                summed += stage.numbers
                continue
            for i in stage.numbers:
                assert code.phase[i] == phase
                for j in schedule.reads(i):
                    assert not code.operands[j] or j in done, (i, j)
                assert i not in started | done
                (started if i in schedule.long else done).add(i)
    assert lanes or not schedule.firsts
    assert started | set(schedule.firsts) == set(summed) == set(schedule.long)
    assert len(summed) == len(set(summed))
    assert done == {i for i in schedule.needed if code.operands[i]}


# Long sums


def test_which_sums_are_loops():
    made = Instructions(ALONE, ALONE)
    short, shared, other = long_dot(made, LONG - 1), long_dot(made, LONG), long_dot(made, LONG, 3)
    alone = made.code.dot(list(zip(made.w[:LONG], made.x[5 : 5 + LONG], strict=True)), [])
    large = long_dot(made, ALONE)
    schedule = made.schedule(short, shared, other, alone, large)
    assert set(schedule.long) == {shared, other, large}
    assert set(made.schedule(shared).long) == set()  # nothing shares its factors
    groups = {tuple(s.numbers): s for s in of_kind(schedule, "matrix")}
    assert set(groups) == {(shared, other), (large,)}
    group = groups[shared, other]
    assert group.rights == [tuple(made.x[:LONG])] * 2
    assert group.lefts == [tuple(made.w[:LONG]), tuple(made.w[3 : 3 + LONG])]


@pytest.mark.parametrize("kind", ["matrix", "inner", "scalars"])
def test_a_sum_is_a_loop_from_8_products_if_another_shares_its_factors_and_else_from_32(kind):
    made = Instructions(40, 40)
    lefts, rights = {"matrix": (made.w, made.x), "inner": (made.x, made.x), "scalars": (made.w, made.w)}[kind]
    for n, sums, loops in ((7, 2, 0), (8, 1, 0), (8, 2, 2), (8, 3, 3), (31, 1, 0), (31, 2, 2), (32, 1, 1)):
        products = [zip(lefts[k : k + n], rights[:n], strict=True) for k in range(sums)]
        schedule = made.schedule(*[made.code.dot(pairs, []) for pairs in products])
        assert sum(len(group.numbers) for group in of_kind(schedule, kind)) == loops, (n, sums)
        assert len(schedule.long) == loops


def test_the_samples_are_on_the_right_whatever_the_order_of_a_product():
    made = Instructions(ALONE, ALONE)
    turned = [(x, w) if k % 2 else (w, x) for k, (w, x) in enumerate(zip(made.w, made.x, strict=True))]
    [group] = of_kind(made.schedule(made.code.dot(turned, [])), "matrix")
    assert group.lefts == [tuple(made.w)]
    assert group.rights == [tuple(made.x)]


def test_sums_of_other_forms_are_other_groups():
    made = Instructions(LONG + 1, LONG)
    numbers = [long_dot(made, LONG, first, form) for first in (0, 1) for form in ("dot", "sum", "adjoint")]
    groups = of_kind(made.schedule(*numbers), "matrix")
    assert sorted((s.form, len(s.numbers)) for s in groups) == [("adjoint", 2), ("dot", 2), ("sum", 2)]


def test_sums_without_lanes_or_without_samples_are_loops_over_scalars():
    made = Instructions(ALONE, ALONE)
    code = made.code
    of_both, of_parameters = long_dot(made, ALONE), code.dot(list(zip(made.w, made.w[::-1], strict=True)), [])
    assert [s.numbers for s in of_kind(made.schedule(of_both, of_parameters), "scalars")] == [[of_parameters]]
    numbers = [s.numbers for s in of_kind(made.schedule(of_both, of_parameters, lanes=False), "scalars")]
    assert sorted(numbers) == [[of_both], [of_parameters]]


def test_sums_of_samples_by_samples_are_together_and_the_few_other_products_are_done_before():
    made = Instructions(2, ALONE)
    code = made.code
    squares = [code.dot([*((x, x) for x in made.x), (w, made.x[0])], []) for w in made.w]
    schedule = made.schedule(*squares)
    [group] = of_kind(schedule, "inner")
    assert group.numbers == squares
    assert group.lefts == group.rights == [tuple(made.x)] * 2
    assert schedule.long[squares[1]].others == [(made.w[1], made.x[0])]
    assert set(schedule.reads(squares[1])) == {made.w[1], made.x[0]}


# What sums start from


def starting(lefts, rights, other):
    """Return instructions with long sums of the same products, by what each starts from: terms, or another product."""
    made = Instructions(ALONE, ALONE)
    code, w, x = made.code, made.w, made.x
    few = [(getattr(made, other[0])[0], getattr(made, other[1])[1])]
    zero, pairs = code.constant(0.0), list(zip(getattr(made, lefts), getattr(made, rights), strict=True))
    starts = {
        "zero": ([zero], []),
        "minus zero": ([code.constant(-0.0)], []),
        "nothing": ([], []),
        "one": ([code.constant(1.0)], []),
        "nan": ([code.constant(nan)], []),
        "bias": ([w[0]], []),
        "sample": ([x[0]], []),
        "two terms": ([zero, x[0]], []),
        "product": ([], few),
        "zero and product": ([zero], few),
    }
    return made, {name: code.dot([*pairs, *others], terms) for name, (terms, others) in starts.items()}


@pytest.mark.parametrize(("lefts", "other", "kind"), [("w", "xx", "matrix"), ("x", "wx", "inner")])
def test_sums_of_samples_start_from_a_zero_or_from_a_place_and_groups_from_the_same(lefts, other, kind):
    made, sums = starting(lefts, "x", other)
    schedule = made.schedule(*sums.values())
    assert set(schedule.long) == set(sums.values())
    zeros = {"zero": 0.0, "minus zero": -0.0, "nothing": -0.0}
    assert repr(schedule.firsts) == repr({sums[name]: x for name, x in zeros.items()})
    others = [i for name, i in sums.items() if name not in zeros]
    groups = [[sums["zero"]], [sums["minus zero"], sums["nothing"]], others]
    found = [(repr(group.first), group.numbers) for group in of_kind(schedule, kind)]
    assert sorted(found) == sorted(zip(("0.0", "-0.0", "None"), groups, strict=True))
    [stretch] = [stage for stage in schedule.stages[SAMPLE] if isinstance(stage, Stretch)]
    assert sorted(stretch.numbers) == others
    assert schedule.long.keys() >= {*stretch.numbers}


@pytest.mark.parametrize(("lefts", "rights", "lanes"), [("w", "x", False), ("x", "x", False), ("w", "w", True)])
def test_sums_of_scalars_start_from_their_places(lefts, rights, lanes):
    made, sums = starting(lefts, rights, "ww")
    schedule = made.schedule(*sums.values(), lanes=lanes)
    assert schedule.firsts == {}
    groups = of_kind(schedule, "scalars")
    numbers = {i for group in groups for i in group.numbers}
    assert {sums["zero"], sums["nothing"]} <= numbers == set(schedule.long)
    assert {group.first for group in groups} == {None}
    done = [i for stages in schedule.stages.values() for t in stages if isinstance(t, Stretch) for i in t.numbers]
    assert {i for i in done if i in schedule.long} == numbers


# Depth


@pytest.mark.parametrize(
    ("bias", "stages"), [(True, ["stretch", "matrix"] * 3 + ["stretch"]), (False, ["matrix", "stretch"] * 3)]
)
def test_long_sums_on_each_other_are_layers(bias, stages):
    made = Instructions(LONG * LONG, LONG)
    layer = made.x
    for _ in range(3):
        pairs = [list(zip(made.w[k * LONG :], layer, strict=False)) for k in range(LONG)]
        sums = [made.code.dot(few, made.w[k : k + bias]) for k, few in enumerate(pairs)]
        layer = [made.code.apply(mc.tanh, [i]) for i in sums]
    schedule = made.schedule(*layer)
    assert kinds(schedule) == stages
    assert all(len(s.numbers) == LONG for s in of_kind(schedule, "matrix"))


@pytest.mark.parametrize(("bias", "stages"), [(True, ["stretch", "matrix"]), (False, ["matrix"])])
def test_stages_of_another_phase_are_not_counted_as_deeper(bias, stages):
    made = Instructions(ALONE, ALONE)
    code = made.code
    early = code.dot(list(zip(made.w, made.w[::-1], strict=True)), [])
    pairs = [list(zip([early, *made.w[k : k + LONG]], made.x, strict=False)) for k in (0, 1)]
    schedule = made.schedule(*[code.dot(few, made.w[:bias]) for few in pairs])
    assert kinds(schedule) == stages
    assert [len(s.numbers) for s in of_kind(schedule, "matrix")] == [2]


def test_steps_without_lanes_are_levels_of_which_none_needs_another():
    made, roots, totals = random_graph(3)
    schedule = made.schedule(*roots, totals=totals, lanes=False)
    for stage in chain(*schedule.stages.values()):
        if isinstance(stage, Stretch):
            here = {i for i in stage.numbers if i not in schedule.long}
            for i in stage.numbers:
                assert here.isdisjoint(schedule.reads(i))
    made = Instructions(0, 4)
    sums = [made.code.machine("fadd", a, b) for a in made.x for b in made.x]
    squares = [made.code.machine("fmul", i, i) for i in sums]
    levels = made.schedule(*sums, *squares, lanes=False).stages[SAMPLE]
    assert [{*level.numbers} for level in levels] == [set(sums), set(squares)]


def test_without_lanes_a_step_is_in_the_level_after_the_last_one_that_it_needs():
    made = Instructions(2, 1)
    code, [w, v], [x] = made.code, made.w, made.x
    chain = [code.machine("fmul", x, w)]
    for _ in range(4):
        chain.append(code.machine("fmul", chain[-1], w))
    after = [code.machine("fadd", chain[0], chain[3]), code.machine("fadd", x, chain[1]), code.machine("fadd", x, v)]
    levels = made.schedule(chain[-1], *after, lanes=False).stages[SAMPLE]
    found = [level.numbers for level in levels]
    assert found == [[chain[0], after[2]], [chain[1]], [chain[2], after[1]], [chain[3]], [chain[4], after[0]]]


def test_what_is_after_the_samples_is_in_levels_with_lanes_too():
    made = Instructions(4, 0)
    products = [made.code.machine("fmul", t, w) for t, w in zip(made.after(4), made.w, strict=True)]
    roots = [made.code.machine("fsub", i, w) for i, w in zip(products, made.w, strict=True)]
    levels = made.schedule(*roots).stages[AFTER]
    assert [level.numbers for level in levels] == [products, roots]


def numbers_of(schedule):
    """Return the steps' numbers in the one stretch of the samples."""
    [stretch] = schedule.stages[SAMPLE]
    return stretch.numbers


def test_with_lanes_a_value_is_used_soon():
    made = Instructions(1, 4)
    code, [w] = made.code, made.w
    sines = [code.apply(mc.sin, [x]) for x in made.x]
    scaled = [code.machine("fmul", i, w) for i in sines]
    both = code.machine("fadd", scaled[0], scaled[2])
    root = code.machine("fsub", both, scaled[3])
    schedule = made.schedule(root, scaled[1])
    (s0, s1, s2, s3), (t0, t1, t2, t3) = sines, scaled
    assert numbers_of(schedule) == [s0, t0, s1, t1, s2, t2, both, s3, t3, root]


def test_a_stretch_is_not_long():
    made = Instructions(1, 1)
    y = made.x[0]
    for _ in range(310):
        y = made.code.machine("fadd", made.code.machine("fmul", y, made.w[0]), made.x[0])
    schedule = made.schedule(y)
    assert [sum(map(schedule.weight, stage.numbers)) for stage in schedule.stages[SAMPLE]] == [300, 300, 20]
    made = Instructions(0, 200)
    schedule = made.schedule(*[made.code.apply(mc.sin, [x]) for x in made.x])  # each as much as 4
    assert [len(stage.numbers) for stage in schedule.stages[SAMPLE]] == [75, 75, 50]
    made = Instructions(0, 200)
    sums = [made.code.dot([(x, made.x[0]), (x, x), (x, made.x[9])], made.x[:4], "adjoint") for x in made.x]  # as 7
    assert [len(stage.numbers) for stage in made.schedule(*sums).stages[SAMPLE]] == [43, 43, 43, 43, 28]
    assert CHUNK == 300


@pytest.mark.parametrize("others", [3, 4])
def test_what_a_long_sum_starts_from_counts_as_long_as_it_is(others):
    made = Instructions(0, ALONE)
    few = list(zip(made.x[:5], made.x[1:6], strict=True))
    one = made.code.constant(1.0)
    number = made.code.dot([*((x, x) for x in made.x), *((one, x) for x in made.x[:others])], made.x[:2])
    schedule = made.schedule(number)
    assert schedule.weight(number) == 1 + others + 2
    assert schedule.weight(made.code.dot(few, [])) == 5


# What is checked together


# Totals


def test_totals_with_the_same_columns_are_a_table():
    made = Instructions(0, 12)
    rows, columns = made.x[:4], made.x[4:9]
    totals = [((a, b),) for b in columns for a in rows]
    totals.insert(7, ((made.x[10], made.x[11]),))
    schedule = made.schedule(totals=totals)
    [table] = schedule.totals.outer
    assert (len(table.lefts), len(table.rights)) == (4, 5)
    for row, left in zip(table.totals, table.lefts, strict=True):
        for k, right in zip(row, table.rights, strict=True):
            assert totals[k] == tuple(zip(left, right, strict=True))
    assert schedule.totals.single == [(7, (made.x[10], made.x[11]))]


def test_totals_of_several_products_are_tables_of_several_pairs():
    made = Instructions(0, 20)
    lefts, others = made.x[:3], made.x[3:6]
    columns, more = made.x[6:10], made.x[10:14]
    totals = [((a, b), (c, d)) for a, c in zip(lefts, others, strict=True) for b, d in zip(columns, more, strict=True)]
    [table] = made.schedule(totals=totals).totals.outer
    assert table.totals == [[4 * row + column for column in range(4)] for row in range(3)]
    assert table.lefts == list(zip(lefts, others, strict=True))
    assert table.rights == list(zip(columns, more, strict=True))
    turned = table.transposed()
    assert turned.totals == [[4 * row + column for row in range(3)] for column in range(4)]
    assert (turned.lefts, turned.rights) == (table.rights, table.lefts)


def test_few_columns_are_no_table():
    made = Instructions(0, 10)
    totals = [((made.x[0], x),) for x in made.x[1:COLUMNS]]
    schedule = made.schedule(totals=totals)
    assert (schedule.totals.outer, [pair for _, pair in schedule.totals.single]) == ([], [pair for [pair] in totals])
    schedule = made.schedule(totals=[((made.x[0], x),) for x in made.x[1 : COLUMNS + 1]])
    assert (len(schedule.totals.outer), schedule.totals.single) == (1, [])


def test_a_single_total_of_several_products_is_a_sum_of_the_sample():
    made = Instructions(0, 4)
    a, b, c, d = made.x
    schedule = made.schedule(totals=[((a, b), (c, d))])
    [(k, (sum_, one))] = schedule.totals.single
    assert k == 0
    assert made.code.instructions[sum_] == ("adjoint", ((a, b), (c, d)), ())
    assert made.code.value(one) == 1.0
    assert sum_ in schedule.needed


def test_what_nobody_needs_is_not_done():
    made = Instructions(1, 2)
    used = made.code.machine("fmul", made.w[0], made.x[0])
    made.code.apply(mc.tanh, [made.x[1]])
    schedule = made.schedule(used)
    assert schedule.needed == [made.w[0], made.x[0], used]
    assert [i for stage in schedule.stages[SAMPLE] for i in stage.numbers] == [used]
    assert schedule.size == 1
