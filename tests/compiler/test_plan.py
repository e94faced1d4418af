"""A plan: places in memory, what lies side by side, runs of like instructions, tables of sums and of totals."""

import random
from itertools import pairwise
from math import inf, nan

import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import (
    compile,  # noqa: A004 -- the field's name
    gathers,
    products,
)
from micrograd_cn.compiler.instructions import AFTER, BATCH, LONG, SAMPLE, START
from micrograd_cn.compiler.machine import machine
from micrograd_cn.compiler.maps import SHORTEST
from micrograd_cn.compiler.places import WORD
from micrograd_cn.compiler.schedule import ALONE, CHUNK, Map, Stretch, Sums

from .common import Instructions, plan_of
from .test_schedule import random_graph

FREE = 512  # the first place among the scalars that parameters do not have


def table_at(plan, address):
    """Return the words of a table."""
    return next(list(table) for table in plan.tables if table.buffer_info()[0] == address)


def entries(plan, kind):
    """Return the stages of a class, each with the name of its function, and its table."""
    found = [stage for phase in (BATCH, SAMPLE, AFTER) for stage in plan.stages[phase] if isinstance(stage, kind)]
    return [(stage, stage.entry[0], table_at(plan, stage.entry[1])) for stage in found]


def scalars(plan, numbers):
    return [plan.scalar[i] for i in numbers]


def beside(places):
    return places == list(range(places[0], places[0] + len(places)))


def layer(made, sums, products, form="dot", shift=1, terms=()):
    """Return the numbers of sums with the same samples and terms."""
    code = made.code
    return [
        code.dot(list(zip(made.w[shift * k : shift * k + products], made.x[:products], strict=True)), terms, form)
        for k in range(sums)
    ]


# Places


@pytest.mark.parametrize("lanes", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_no_two_values_have_the_same_place_but_those_that_share_a_slot(seed, lanes):
    made, roots, totals = random_graph(seed)
    plan = made.plan(*roots, totals=totals, lanes=lanes, scalars=FREE)
    lasting = {*roots, *plan.read_by_totals(), *plan.schedule.leaves}
    for places, count in ((plan.scalar, plan.places.scalars), (plan.slot, plan.places.slots)):
        assert all(0 <= place < count for place in places.values())
    assert len(set(plan.scalar.values())) == len(plan.scalar)
    kept = [slot for i, slot in plan.slot.items() if i in lasting]
    assert len(set(kept)) == len(kept)
    for i, w in enumerate(made.w):
        assert plan.scalar.get(w, i) == i
    for i, x in enumerate(made.x):
        assert (plan.slot if lanes else plan.scalar).get(x, plan.columns_at + i) == plan.columns_at + i
    others = [place for i, place in plan.scalar.items() if i not in made.w]
    assert all(place >= FREE for place in others)
    assert not set(plan.places.filled.values()) & set(plan.slot.values())
    assert all(plan.scalar[i] == place for place, i in ((plan.scalar[i], i) for i in plan.places.filled))


@pytest.mark.parametrize("lanes", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_what_another_stage_or_the_caller_reads_has_a_place(seed, lanes):
    made, roots, totals = random_graph(seed)
    plan = made.plan(*roots, totals=totals, lanes=lanes, scalars=FREE)
    code = made.code
    made_in = {}
    stages = [stage for phase in (BATCH, SAMPLE, AFTER) for stage in plan.stages[phase]]
    for stage in stages:
        for i in [i for i in stage.numbers if not (isinstance(stage, Stretch) and i in plan.schedule.long)]:
            made_in[i] = stage
    placed = plan.scalar.keys() | plan.slot.keys()
    for stage in stages:
        if isinstance(stage, Stretch):
            read = {j for i in stage.numbers for j in plan.schedule.reads(i)}
        elif isinstance(stage, Map):
            read = {j for i in stage.numbers for j in code.instructions[i][1:]}
        else:
            read = set(plan.read_by(stage))
        assert {j for j in read if j in made_in and made_in[j] is not stage} <= placed
    assert {i for i in roots if code.operands[i]} <= placed
    assert {i for i in plan.read_by_totals() if code.operands[i]} <= placed


@pytest.mark.parametrize("lanes", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_everything_is_done_once_and_after_what_it_needs(seed, lanes):
    made, roots, totals = random_graph(seed)
    plan = made.plan(*roots, totals=totals, lanes=lanes, scalars=FREE)
    code, done = made.code, []
    for stage in (stage for phase in (BATCH, SAMPLE, AFTER) for stage in plan.stages[phase]):
        here = [i for i in stage.numbers if not (isinstance(stage, Stretch) and i in plan.schedule.long)]
        if isinstance(stage, Stretch):
            assert sum(map(plan.schedule.weight, stage.numbers[:-1])) < 300
            read = {j for i in stage.numbers for j in plan.schedule.reads(i)} - set(here)
        elif isinstance(stage, Map) and stage.form == START:  # of sums that are done later
            read, here = {j for i in here for j in plan.schedule.reads(i)}, []
        else:
            read = {j for i in here for j in code.operands[i]}
        assert {j for j in read if code.operands[j]} <= set(done)
        done += here
    assert sorted(done) == [i for i in plan.schedule.needed if code.operands[i]]
    for entry in (*plan.totals, *plan.packed, *[entry for _, entry in runs_of(plan)]):
        assert len(entry) == 2


def runs_of(plan):
    runs = [stage for phase in (BATCH, SAMPLE, AFTER) for stage in plan.stages[phase] if isinstance(stage, Map)]
    return [(run, run.entry) for run in runs]


@pytest.mark.parametrize("seed", range(20))
def test_with_lanes_what_its_own_stretch_alone_reads_has_no_place(seed):
    made, roots, totals = random_graph(seed)
    plan = made.plan(*roots, totals=totals, scalars=FREE)
    schedule = plan.schedule
    read = {*roots, *plan.read_by_totals()}
    for stage in plan.stages[SAMPLE]:
        if isinstance(stage, Sums):
            read.update(stage.numbers, plan.read_by(stage))
        else:
            here = {i for i in stage.numbers if i not in schedule.long}
            read |= {j for i in stage.numbers for j in schedule.reads(i)} - here
    assert {i for i in plan.slot if made.code.operands[i]} <= read


def test_constants_that_are_read_from_memory_are_there_from_the_start():
    made = Instructions(0, LONG)
    c = made.code.constant(2.5)
    a, b = [made.code.dot([(c, x) for x in part], [], "adjoint") for part in (made.x, made.x)]
    assert a == b
    other = made.code.dot([(made.code.constant(0.5), x) for x in made.x], [], "adjoint")
    plan = made.plan(a, other, scalars=FREE)
    assert {plan.places.constants[plan.scalar[i]] for i in (c, made.code.constant(0.5))} == {2.5, 0.5}


def test_sums_of_a_group_lie_side_by_side():
    made = Instructions(40, LONG)
    sums = layer(made, 11, LONG)
    for lanes in (True, False):
        plan = made.plan(*[made.code.apply(mc.tanh, [i]) for i in sums], lanes=lanes, scalars=FREE)
        assert beside([(plan.slot if lanes else plan.scalar)[i] for i in sums])
    native = machine().native
    taken = set(plan.scalar.values())
    last = plan.scalar[sums[-1]]
    assert taken.isdisjoint(range(last + 1, plan.scalar[sums[0]] + -(-11 // native) * native))  # a vector writes there


# Runs of like instructions


def runs(plan, phase=SAMPLE):
    return [stage for stage in plan.stages[phase] if isinstance(stage, Map)]


def test_like_instructions_on_neighbours_are_a_run():
    made = Instructions(9, 9)
    code = made.code
    products_ = [code.machine("fmul", w, x) for w, x in zip(made.w, made.x, strict=True)]
    results = [code.apply(mc.tanh, [i]) for i in products_]
    scaled = [code.machine("fsub", made.w[0], i) for i in results]
    plan = made.plan(*scaled, lanes=False, scalars=FREE)
    assert [(run.form, run.numbers, run.pattern) for run in runs(plan)] == [
        ("fmul", products_, "vv"),
        ("tanh", results, "v"),
        ("fsub", scaled, "sv"),
    ]
    assert all(beside(scalars(plan, numbers)) for numbers in (products_, results, scaled))
    assert not any(isinstance(stage, Stretch) for stage in plan.stages[SAMPLE])
    for run, name, words in entries(plan, Map):
        count = -(-9 // machine().native)
        firsts = [column[0] for column in plan.columns(run)]
        assert words == [count, plan.at(run.numbers[0]), *map(plan.at, firsts)]
        assert name == gathers.mapped(run.form, run.pattern)(machine(), "dot").name
    assert runs(made.plan(*scaled, lanes=True, scalars=FREE)) == []  # with lanes they are vectors already


@pytest.mark.parametrize("count", [3, 4, 9])
def test_constants_beside_the_same_operand_are_neighbours_so_that_there_is_a_run(count):
    made = Instructions(0, 1)
    code = made.code
    constants = [code.constant(float(k)) for k in range(count)]
    masks = [code.machine("fcmp oeq", made.x[0], i) for i in constants]
    plan = made.plan(*masks, lanes=False, scalars=FREE)
    [run] = runs(plan)
    assert (run.numbers, run.pattern) == (masks, "sv")
    assert beside(scalars(plan, constants))


def test_what_depends_on_parameters_alone_is_in_runs_with_lanes_too():
    made = Instructions(9, 1)
    code = made.code
    early = [code.apply(mc.exp, [w]) for w in made.w]
    roots = [code.machine("fmul", i, made.x[0]) for i in early]
    for lanes in (True, False):
        assert [run.numbers for run in runs(made.plan(*roots, lanes=lanes, scalars=FREE), BATCH)] == [early]


def test_a_run_ends_where_operands_are_no_neighbours_and_a_short_one_is_none():
    made = Instructions(0, 20)
    code = made.code
    places = [0, 1, 2, 3, 5, 6, 7, 10, 11]
    roots = [code.apply(mc.exp, [made.x[i]]) for i in places]
    plan = made.plan(*roots, lanes=False, scalars=FREE)
    assert [run.numbers for run in runs(plan)] == [roots[:4], roots[4:7]]
    [rest] = [stage for stage in plan.stages[SAMPLE] if isinstance(stage, Stretch)]
    assert rest.numbers == roots[7:]
    assert SHORTEST == 3
    assert len(set(plan.scalar.values())) == len(plan.scalar)


def test_without_lanes_what_runs_do_not_have_is_together():
    made = Instructions(4, 4)
    code, w, x = made.code, made.w, made.x
    products_ = [code.machine("fmul", a, b) for a, b in zip(w, x, strict=True)]
    odd = [code.machine("fsub", w[0], x[3]), code.apply(mc.exp, [x[1]])]
    later = [code.machine("fadd", odd[0], products_[2]), code.machine("fdiv", odd[1], x[0])]
    last = code.dot([(later[0], later[1]), (odd[0], odd[0])], [], "adjoint")
    plan = made.plan(*products_, last, lanes=False, scalars=FREE)
    run, stretch = plan.stages[SAMPLE]
    assert (run.numbers, stretch.numbers) == (products_, [*odd, *later, last])


def test_sums_are_placed_after_others_and_those_that_a_loop_reads_before_them():
    made = Instructions(2, 2 * ALONE)
    code, w, x = made.code, made.w, made.x
    sums = [code.dot([(x[k], x[k]), (x[k + 1], w[0])], [], "adjoint") for k in range(3)]
    others = [code.machine("fsub", x[9], x[8]), code.machine("fdiv", x[2], x[3])]
    read = [code.machine("fmul", a, a) for a in x[ALONE:]]
    pairs = list(zip(x[:ALONE], [*read[:-1], sums[2]], strict=True))
    plan = made.plan(*sums, *others, code.dot(pairs, []), lanes=False, scalars=FREE)
    order = sorted([*sums[:2], *others], key=plan.scalar.get)
    assert order == [others[1], others[0], *sums[:2]]  # by their operands; sums by their numbers
    assert plan.scalar[sums[2]] < plan.scalar[others[1]]


@pytest.mark.parametrize("count", [3, 4, 7, 8, 9, 15, 17])
def test_a_run_has_places_for_whole_vectors_and_no_more(count):
    made = Instructions(0, count)
    roots = [made.code.apply(mc.exp, [x]) for x in made.x]
    plan = made.plan(*roots, lanes=False, scalars=FREE)
    assert [run.numbers for run in runs(plan)] == [roots]
    assert plan.places.scalars == FREE + count + plan.places.whole(count)


def test_operands_in_the_other_order_are_no_run():
    made = Instructions(0, 12)
    code = made.code
    backwards = [code.machine("fsub", a, b) for a, b in zip(made.x[:6], made.x[:5:-1], strict=True)]
    assert runs(made.plan(*backwards, lanes=False, scalars=FREE)) == []


def test_results_lie_in_the_order_in_which_a_loop_reads_them():
    made = Instructions(2 * ALONE, ALONE)
    code = made.code
    squares = [code.machine("fmul", x, x) for x in made.x]
    order = squares[:]
    random.Random(0).shuffle(order)
    sums = [code.dot(list(zip(made.w[k : k + ALONE], order, strict=True)), []) for k in (0, ALONE)]
    plan = made.plan(*sums, lanes=False, scalars=FREE)
    [(_, name, words)] = entries(plan, Sums)
    assert beside(scalars(plan, order))
    wide = machine().native > 4
    assert name.endswith("list_sums" if wide else "row_sums")
    assert words[2 if wide else 1] == ALONE


# Sums of samples


@pytest.mark.parametrize("count", [1, 2, 5, 6, 7, 8, 9, 13, 20])
def test_a_matrix_is_tiles_of_about_the_same_size(count):
    made = Instructions(count * ALONE, ALONE)
    sums = layer(made, count, ALONE, shift=ALONE)
    plan = made.plan(*sums, scalars=FREE)
    [(group, name, words)] = entries(plan, Sums)
    assert (group.kind, name) == ("matrix", "micrograd_cn.matrix")
    depth, step, tiles, first = words[:4]
    assert (depth, step, first) == (ALONE, WORD, products.number_of_first(-0.0))
    assert words[4 : 4 + depth] == [plan.at(x) for x in made.x]
    rest = words[4 + depth :]
    found, sizes = [], []
    for _ in range(tiles):
        size = rest[1]
        found += zip(rest[2 : 2 + 2 * size : 2], rest[3 : 3 + 2 * size : 2], strict=True)
        sizes.append(size)
        rest = rest[2 + 2 * size :]
    assert rest == []
    assert found == [(plan.at(i), WORD * ALONE * k) for k, i in enumerate(sums)]
    assert max(sizes) <= products.TILE
    assert max(sizes) - min(sizes) <= 1
    assert tiles == -(-count // products.TILE)


def test_samples_by_samples_are_a_list():
    made = Instructions(0, ALONE)
    xs, reverse = made.x, made.x[::-1]
    sums = [made.code.dot(list(zip(xs, other, strict=True)), [], "adjoint") for other in (xs, reverse)]
    plan = made.plan(*sums, scalars=FREE)
    [(_, name, words)] = entries(plan, Sums)
    assert name == "micrograd_cn.inner"
    expected = [2, products.number_of_first(-0.0)]
    for i, other in zip(sums, (xs, reverse), strict=True):
        expected += [plan.at(i), ALONE, *(plan.at(x) for pair in zip(xs, other, strict=True) for x in pair)]
    assert words == expected


@pytest.mark.parametrize("lefts", ["w", "x"])
def test_tables_of_samples_say_what_their_sums_start_from(lefts):
    made = Instructions(ALONE, ALONE)
    code, pairs = made.code, list(zip(getattr(made, lefts), made.x, strict=True))
    for terms, first in (
        *(([0.0], 0.0), ([], -0.0), ([-0.0], -0.0)),
        *(([x], None) for x in (1.0, -0.25, 1e-320, inf, nan)),
    ):
        plan = made.plan(code.dot(pairs, map(code.constant, terms)), scalars=FREE)
        [(group, name, words)] = entries(plan, Sums)
        word = words[{"micrograd_cn.matrix": 3, "micrograd_cn.inner": 1}[name]]
        assert repr(products.FIRSTS[word]) == repr(group.first) == repr(first)


# Factors at even distances


def even(plan, lefts):
    return plan.even([tuple(left) for left in lefts])


def test_factors_at_even_distances_stay_where_they_are():
    made = Instructions(40, 1)
    plan = made.plan(*made.w, scalars=FREE)
    w = made.w
    for lefts, expected in (
        ([w[0:5], w[5:10]], ([0, 40], 8)),
        ([w[0:20:4], w[1:21:4]], ([0, 8], 32)),
        ([w[4::-1], w[9:4:-1]], ([32, 72], -8)),
        ([w[3:4] * 5, w[7:8] * 5], ([24, 56], 0)),
    ):
        assert even(plan, lefts) == expected
    assert plan.packed == []


def test_irregular_factors_are_copied_side_by_side_once():
    made = Instructions(40, 1)
    plan = made.plan(*made.w, scalars=FREE)
    w = made.w
    regular, irregular = [w[k] for k in (0, 1, 2, 3)], [w[k] for k in (5, 9, 1, 1)]
    before = plan.places.scalars
    places, step = even(plan, [regular, irregular])
    assert step == WORD
    assert plan.places.scalars == before + 8
    assert even(plan, [irregular, regular]) == (places[::-1], WORD)  # the same copies
    tables = [table_at(plan, table) for _, table, *_ in plan.packed]
    assert sorted(tables, key=lambda t: t[1]) == [[4, places[0], 0, 8, 16, 24], [4, places[1], 40, 72, 8, 8]]
    assert all(function.endswith("copy") for function, *_ in plan.packed)
    assert even(plan, [w[0:4], w[4:12:2]])[1] == WORD  # each even, but with other distances


# Sums of scalars


def scalar_sums(plan):
    return [(name.removeprefix("micrograd_cn."), words) for _, name, words in entries(plan, Sums)]


def test_sums_of_neighbours_are_rows():
    made = Instructions(8 * ALONE, ALONE)
    sums = layer(made, 7, ALONE, shift=ALONE)
    plan = made.plan(*sums, lanes=False, scalars=FREE)
    [(name, words)] = scalar_sums(plan)
    whole = plan.places.whole(7)
    first = [WORD * ALONE * k for k in range(7)]
    assert name == "row_sums"
    assert words == [whole, ALONE, plan.at(made.x[0]), plan.at(sums[0]), *first, *first[-1:] * (whole - 7)]


def test_sums_whose_factors_are_neighbours_are_columns():
    made = Instructions(8 * ALONE, ALONE)
    sums = [made.code.dot(list(zip(made.w[k::8], made.x, strict=True)), []) for k in range(8)]
    plan = made.plan(*sums, lanes=False, scalars=FREE)
    [(name, words)] = scalar_sums(plan)
    factors = [x for k in range(ALONE) for x in (WORD * 8 * k, plan.at(made.x[k]))]
    assert (name, words) == ("column_sums", [1, plan.places.whole(8), ALONE, plan.at(sums[0]), *factors])


def test_other_sums_of_scalars_are_lists():
    made = Instructions(8 * ALONE, ALONE)
    rng = random.Random(0)
    lefts = [rng.sample(made.w, ALONE) for _ in range(8)]
    sums = [made.code.dot(list(zip(left, made.x, strict=True)), []) for left in lefts]
    plan = made.plan(*sums, lanes=False, scalars=FREE)
    [(name, words)] = scalar_sums(plan)
    expected = [8]
    for i, left in zip(sums, lefts, strict=True):
        expected += [plan.at(i), ALONE, *(plan.at(a) for pair in zip(left, made.x, strict=True) for a in pair)]
    assert (name, words) == ("list_sums", expected)


@pytest.mark.parametrize("form", ["sum", "dot", "adjoint"])
def test_sums_that_fill_half_a_vector_are_rows_and_fewer_are_lists(form):
    half = machine().native // 2
    for count in (max(1, half - 1), half, half + 1):
        made = Instructions(8 * ALONE, ALONE)
        w, x = made.w, made.x
        products_ = [tuple(zip(w[k * ALONE : (k + 1) * ALONE], x, strict=True)) for k in range(count)]
        sums = [made.code.add((form, pairs, ())) for pairs in products_]
        [(name, _)] = scalar_sums(made.plan(*sums, lanes=False, scalars=FREE))
        assert name.startswith("list_sums" if 2 * count < machine().native else "row_sums")


# Totals


def totals_of(rows, columns):
    return [((a, b),) for a in rows for b in columns]


def tiles_of(plan, address):
    """Return the names of the functions in a table, by place."""
    return {k: name for table, k, name in plan._links if table.buffer_info()[0] == address}


@pytest.mark.parametrize(("rows", "columns"), [(3, 16), (16, 3), (5, 5), (9, 8), (7, 16), (8, 16)])
def test_a_table_of_totals_has_those_as_columns_that_fill_vectors_better(rows, columns):
    made = Instructions(0, rows + columns)
    plan = made.plan(totals=totals_of(made.x[:rows], made.x[rows:]), scalars=FREE)
    [table] = plan.outer
    m, n = len(table.lefts), len(table.rights)
    assert {(m, n)} <= {(rows, columns), (columns, rows)}
    if rows * plan.places.whole(columns) <= columns * plan.places.whole(rows):
        assert (m, n) == (rows, columns)
    assert m * plan.places.whole(n) == min(rows * plan.places.whole(columns), columns * plan.places.whole(rows))
    [(name, address, *_)] = plan.totals
    words = table_at(plan, address)
    assert name == "micrograd_cn.outer"
    assert words[:4] == [1, m, plan.places.whole(n), WORD * plan._total_place[table.totals[0][0]]]
    size = products.rows_of(machine())
    sizes = [min(size, m), m % size or size]
    assert tiles_of(plan, address) == {4 + k: products.totals(sizes[k])(machine(), "dot").name for k in range(2)}
    assert words[6 : 6 + m] == [plan.at(a) for [a] in table.lefts]
    right = words[6 + m :]
    assert right[:n] == [plan.at(b) for [b] in table.rights]
    assert set(right[n:]) <= {right[n - 1]}
    assert len(right) == plan.places.whole(n)
    for row, numbers in enumerate(table.totals):
        start = plan._total_place[table.totals[0][0]] + row * plan.places.whole(n)
        assert [plan._total_place[k] for k in numbers] == list(range(start, start + n))


def test_single_totals_fill_whole_vectors():
    made = Instructions(0, 10)
    pairs = [(made.x[0], made.x[1]), (made.x[2], made.x[3]), (made.x[4], made.x[5])]
    plan = made.plan(totals=[(pair,) for pair in pairs], scalars=FREE)
    [(name, address, *_)] = plan.totals
    whole = plan.places.whole(3)
    factors = [plan.at(i) for pair in pairs for i in pair]
    assert name == "micrograd_cn.single_totals"
    assert table_at(plan, address) == [whole, 0, *factors, *factors[-2:] * (whole - 3)]
    assert plan.count == whole


def test_totals_of_single_rows_are_products_of_scalars():
    made = Instructions(0, 20)
    neighbours = made.plan(totals=totals_of(made.x[:3], made.x[3:12]), lanes=False, scalars=FREE)
    assert [name for name, *_ in neighbours.totals] == ["micrograd_cn.column_totals"]
    others = made.plan(totals=totals_of(made.x[:3], made.x[3:19:2]), lanes=False, scalars=FREE)
    assert [name for name, *_ in others.totals] == ["micrograd_cn.list_totals"]
    [address] = [address for _, address, *_ in others.totals]
    expected = [24]
    [table] = others.outer
    for row, [a] in zip(table.totals, table.lefts, strict=True):
        for k, [b] in zip(row, table.rights, strict=True):
            expected += [WORD * others._total_place[k], 1, others.at(a), others.at(b)]
    assert table_at(others, address) == expected


def test_factors_of_totals_of_single_rows_lie_as_a_vector_reads_them():
    made = Instructions(0, 20)
    lefts = [made.code.machine("fmul", x, x) for x in made.x[:5]]
    rights = [made.code.machine("fadd", x, x) for x in made.x[5:]]
    random.Random(0).shuffle(rights)
    plan = made.plan(totals=totals_of(lefts, rights), lanes=False, scalars=FREE)
    [(name, address, *_)] = plan.totals
    assert name == "micrograd_cn.column_totals"
    assert beside(scalars(plan, rights))
    place, width, expected = WORD * plan._total_place[0], plan.places.whole(15), [5]
    for row, left in enumerate(lefts):
        expected += [width, 1, place + WORD * width * row, plan.at(rights[0]), plan.at(left)]
    assert table_at(plan, address) == expected


def test_means_of_totals_are_among_the_scalars():
    made = Instructions(1, 4)
    [total] = made.after(1)
    root = made.code.machine("fmul", total, made.w[0])
    plan = made.plan(root, totals=[((made.x[0], made.x[1]),)], scalars=FREE)
    assert plan.scalar[total] == plan.totals_at + plan._total_place[0]
    assert [i for stage in plan.stages[AFTER] for i in stage.numbers] == [root]


# Panels


@pytest.mark.parametrize("chunk", [5, CHUNK])
@pytest.mark.parametrize("seed", range(40))
def test_a_value_gives_its_slot_to_others_when_nobody_reads_it_any_more(seed, chunk, monkeypatch):
    monkeypatch.setattr("micrograd_cn.compiler.schedule.CHUNK", chunk)
    made, roots, totals = random_graph(seed)
    plan = made.plan(*roots, totals=totals)
    schedule, owner, sums = plan.schedule, dict[int, int](), dict[int, list[int]]()
    owner.update({plan.slot[i]: i for i in schedule.leaves if i in plan.slot})

    def read(numbers):
        for i in numbers:
            if i in plan.slot:
                assert owner[plan.slot[i]] == i

    for stage in plan.stages[SAMPLE]:
        if isinstance(stage, Stretch):
            for i in stage.numbers:
                read(schedule.reads(i))
                if i in schedule.long:
                    sums[i] = schedule.reads(i)
                if i in plan.slot:
                    owner[plan.slot[i]] = i
        else:
            read(plan.read_by(stage))
            for i in stage.numbers:
                read(sums.get(i, ()))  # native code may start a sum not before it adds it up
            for i in stage.numbers:
                if i in sums:
                    read([i])
                owner[plan.slot[i]] = i
    read([*roots, *plan.read_by_totals()])
    assert max(plan.slot.values(), default=0) < plan.places.slots


def test_a_long_chain_needs_few_slots():
    n, counts, values = 2 * LONG, [], []
    made = Instructions(n * n, n)
    xs = made.x
    for _ in range(6):
        sums = [made.code.dot(list(zip(made.w[n * k : n * k + n], xs, strict=True)), []) for k in range(n)]
        xs = [made.code.machine("sin", x) for x in sums]
        plan = made.plan(made.code.dot(list(zip(made.w[:n], xs, strict=True)), []), scalars=2 * n * n)
        counts.append(plan.places.slots)
        values.append(len(plan.slot))
    assert counts[1:] == [3 * n] * 5
    assert [b - a for a, b in pairwise(values)] == [2 * n] * 5


@pytest.mark.parametrize("inputs", [LONG, 100, 700, 5000, 12_000, 16_000, 40_000])
def test_a_panel_is_at_most_16_blocks_and_a_megabyte_or_two_blocks_of_one(inputs):
    made = Instructions(LONG + 1, inputs)
    plan = made.plan(*layer(made, 2, LONG), scalars=FREE)
    megabyte, size = 1024 * 1024, 8 * plan.lanes * plan.places.slots
    assert 1 <= plan.blocks <= 16
    if 2 * size > megabyte:
        assert plan.blocks == (2 if size <= megabyte else 1)
    else:
        assert plan.blocks * size <= megabyte
        assert plan.blocks == 16 or (plan.blocks + 1) * size > megabyte
    assert made.plan(made.x[0], lanes=False, scalars=FREE).blocks == 1


@pytest.mark.parametrize("inputs", [0, 1, 3, 20, 100, 700])
def test_a_panel_that_no_loop_goes_through_stays_in_the_nearest_cache(inputs):
    made = Instructions(1, inputs)
    plan = made.plan(made.code.machine("fmul", made.w[0], made.x[-1]) if inputs else made.w[0], scalars=FREE)
    size = 8 * plan.lanes * max(plan.places.slots, 1)
    assert plan.blocks == 1 or plan.blocks * size <= 8192
    assert plan.blocks == 16 or (plan.blocks + 1) * size > 8192


def test_a_panel_of_which_totals_are_made_is_one_that_loops_go_through():
    made = Instructions(1, 100)
    product = made.code.machine("fmul", made.w[0], made.x[0])
    few, many = made.plan(product, scalars=FREE), made.plan(product, totals=[((made.x[0], product),)], scalars=FREE)
    assert few.blocks < 16 == many.blocks


@pytest.mark.parametrize("more", [0, 1])
def test_pairs_of_totals_are_the_loop_inside_where_they_are_more_than_blocks(more):
    made = Instructions(1, 16 * 40)  # inputs of which two blocks fill a panel
    pairs = made.plan(totals=totals_of(made.x[:3], made.x[8:16]), scalars=FREE).blocks + more
    places = [(i, j) for i in range(3) for j in range(8, 16)]
    totals = [tuple([(made.x[16 * k + i], made.x[16 * k + j]) for k in range(pairs)]) for i, j in places]
    plan = made.plan(totals=totals, scalars=FREE)
    [(_, address, *_)] = plan.totals
    assert plan.blocks == pairs - more > 1
    assert {*tiles_of(plan, address).values()} == {products.totals(3, more == 1)(machine(), "dot").name}


def test_addresses_are_put_into_tables_when_they_are_linked():
    made = Instructions(ALONE, ALONE)
    plan = made.plan(*layer(made, 2, LONG), scalars=FREE)
    [(stage, *_)] = entries(plan, Sums)
    place = 4 + LONG  # of the function of the first tile
    address = stage.entry[1]
    assert table_at(plan, address)[place] == 0
    plan.link()
    slow = table_at(plan, address)[place]
    plan.link(fast=True)
    fast = table_at(plan, address)[place]
    assert 0 != slow != fast != 0
    plan.link()
    assert (table_at(plan, address)[place], plan.fast) == (fast, True)
    name = products.tile(2)(machine(), "dot").name
    assert [slow, fast] == [addresses[name] for addresses in machine().addresses]


@pytest.mark.parametrize("count", range(3, 18))
def test_what_is_computed_as_whole_vectors_overwrites_nobody(count):
    xs, w = [Value(0.1 * i) for i in range(count)], Value(0.5)
    plan = plan_of(compile(mc.sum([mc.sin(x) * w for x in xs]), xs), lanes=False)
    runs = [stage for stages in plan.stages.values() for stage in stages if isinstance(stage, Map)]
    assert runs
    for run in runs:
        first = plan.scalar[run.numbers[0]]
        written = range(first, first + plan.places.whole(len(run.numbers)))
        assert {i for i, place in plan.scalar.items() if place in written} == set(run.numbers)
        assert written.stop <= plan.places.scalars
