"""Threaded code: places of its own for what the plan has none for, and which functions its table goes through."""

import pytest

import micrograd_cn as mc
from micrograd_cn.compiler.instructions import SAMPLE
from micrograd_cn.compiler.machine import machine
from micrograd_cn.compiler.schedule import Stretch
from micrograd_cn.compiler.threaded import END, Threaded

from .common import Instructions
from .test_plan import table_at


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
