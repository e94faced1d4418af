"""Threaded code: places of its own for what the plan has none for, and which functions its table goes through."""

import pytest

import micrograd_cn as mc
from micrograd_cn.compiler.instructions import SAMPLE, SUMS
from micrograd_cn.compiler.machine import machine
from micrograd_cn.compiler.places import WORD
from micrograd_cn.compiler.schedule import Stretch
from micrograd_cn.compiler.threaded import END, Threaded

from .common import Instructions
from .test_plan import table_at
from .test_schedule import random_graph


def threaded(plan):
    """Return the threaded code of a plan, and of each stretch its steps, whether they are in lanes, and its entry."""
    made, found = Threaded(plan), []
    for phase, stages in plan.stages.items():
        lanes = phase == SAMPLE and plan.schedule.lanes
        found += [(s.numbers, lanes, made.entry(s, lanes)) for s in stages if isinstance(s, Stretch)]
    return made, found


def named(plan, table):
    """Return the words of a table, functions by their names."""
    words = table_at(plan, table)
    for linked, k, name in plan._links:
        if linked.buffer_info()[0] == table:
            words[k] = name
    return words


@pytest.mark.parametrize("lanes", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_values_without_a_place_in_the_plan_get_the_next_ones_one_each(seed, lanes):
    made, roots, totals = random_graph(seed)
    plan = made.plan(*roots, totals=totals, lanes=lanes)
    slots, scalars, filled = plan.places.slots, plan.places.scalars, dict(plan.places.filled)
    code, _ = threaded(plan)
    new = [*code.slot.values(), *(slot for i, slot in code.filled.items() if i not in filled)]
    assert sorted(new) == list(range(slots, code.slots))
    assert sorted(code.scalar.values()) == list(range(scalars, code.scalars))
    assert not code.slot.keys() & plan.slot.keys()
    assert not code.scalar.keys() & plan.scalar.keys()
    constants = {i: place for i, place in code.scalar.items() if made.code.instructions[i][0] == "constant"}
    assert code.constants == {place: made.code.instructions[i][1] for i, place in constants.items()}
    assert all(code.place(i) == WORD * place for i, place in {**plan.scalar, **code.scalar}.items())


@pytest.mark.parametrize("lanes", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_a_table_has_an_entry_for_each_step_and_ends(seed, lanes):
    """An entry is the function, the result, the operands; of a sum a count and so many factors."""
    made, roots, totals = random_graph(seed)
    plan, code = made.plan(*roots, totals=totals, lanes=lanes), made.code
    for steps, in_lanes, (go, table) in threaded(plan)[1]:
        count = machine().width if in_lanes else 1
        assert go == f"micrograd_cn.threaded_{count}"
        words, at = named(plan, table), 0
        for step in steps:
            name, _ = words[at : at + 2]
            form, *operands = code.instructions[step]
            assert name in plan.makers
            if form not in SUMS:
                assert name.endswith(f"_{count}_{len(operands)}")
                at += 2 + len(operands)
                continue
            assert name.endswith(f"_{count}")
            pairs, terms = operands
            pairs = plan.schedule.long[step].others if step in plan.schedule.long else pairs
            assert words[at + 2] == max(1, len(terms) + len(pairs))
            at += 3 + 2 * words[at + 2]
        assert words[at:] == [END]


def test_functions_are_shared_by_form_operands_and_lanes():
    made = Instructions(3, 3)
    code, [x, y, z] = made.code, made.x
    roots = [
        code.machine("fsub", x, y),
        code.machine("fsub", y, z),
        code.machine("fmul", x, y),
        code.apply(mc.tanh, [x]),
    ]
    plan = made.plan(*roots)
    threaded(plan)
    names = [
        name for name in plan.makers if "threaded" in name and name not in (END, f"micrograd_cn.threaded_{plan.lanes}")
    ]
    assert len(names) == 3
    for name in names:
        assert plan.makers[name]().name == name


@pytest.mark.parametrize("count", [1, machine().width])
def test_vectors_of_an_entry_are_aligned_as_blocks_are(count):
    made = Instructions(3, 3)
    sums = [made.code.dot(list(zip(made.w, made.x, strict=True)), []), made.code.machine("fsub", *made.x[:2])]
    plan = made.plan(*sums, lanes=count > 1)
    threaded(plan)
    kind, align = (f"<{count} x double>", 8 * machine().native) if count > 1 else ("double", 8)
    for name, make in plan.makers.items():
        lines = [
            line for line in str(make()).splitlines() if "align" in line and name.startswith("micrograd_cn.threaded")
        ]
        assert all(kind in line and line.endswith(f"align {align}") for line in lines)


def test_entries_keep_no_register_for_vectors_on_the_stack_and_functions_that_call_them_do():
    made = Instructions(3, 3)
    plan = made.plan(made.code.dot(list(zip(made.w, made.x, strict=True)), []), made.code.machine("sin", made.x[0]))
    threaded(plan)
    go = f"micrograd_cn.threaded_{plan.lanes}"
    entries = [name for name in plan.makers if "threaded" in name and name not in (END, go)]
    assert len(entries) == 2
    assert [str(plan.makers[name]()).splitlines()[0][-4:] for name in (*entries, go)] == ["#0 {", "#0 {", "#1 {"]
