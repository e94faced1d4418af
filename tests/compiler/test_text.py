"""The text of functions: whole numbers, addresses, calls, loops and branches, read and run."""

import ctypes

import pytest

from micrograd_cn.compiler.machine import machine
from micrograd_cn.compiler.text import Function


def result_of(write, *arguments):
    """Return what a function of whole numbers gives, of which `write` writes the body and returns the result's name."""
    names = [f"%x{k}" for k in range(len(arguments))]
    f = Function("f", ", ".join([f"i64 {name}" for name in names]), "i64")
    f.do(f"ret i64 {write(f, *names)}")
    compiled = machine().compile([f])
    kinds = [ctypes.c_int64] * (1 + len(arguments))
    return ctypes.CFUNCTYPE(*kinds)(compiled.address("f"))(*arguments)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("add", lambda a, b: a + b),
        ("subtract", lambda a, b: a - b),
        ("times", lambda a, b: a * b),
        ("quotient", lambda a, b: a // b),
        ("smaller", min),
        ("larger", max),
    ],
)
def test_whole_numbers(name, expected):
    for a, b in ((7, 2), (7, 1), (3, 7), (1, 7), (5, 5), (6, 3)):
        assert result_of(lambda f, x, y: getattr(f, name)(x, y), a, b) == expected(a, b)
        assert result_of(lambda f, x, b=b: getattr(f, name)(x, b), a) == expected(a, b)
        assert result_of(lambda f, y, a=a: getattr(f, name)(a, y), b) == expected(a, b)


def test_nothing_is_written_for_what_changes_nothing():
    f = Function("f", "i64 %a, ptr %p")
    assert [f.add("%a", 0), f.add(0, "%a"), f.times("%a", 1), f.at("%p", 0)] == ["%a", "%a", "%a", "%p"]
    assert f.lines == []
    changed = [f.add("%a", 1), f.add(1, "%a"), f.add("%a", -1), f.times("%a", 2), f.times("%a", 0), f.at("%p", 1)]
    assert changed == [f"%v{k}" for k in range(6)]
    assert f.lines == [
        "  %v0 = add i64 %a, 1",
        "  %v1 = add i64 1, %a",
        "  %v2 = add i64 %a, -1",
        "  %v3 = mul i64 %a, 2",
        "  %v4 = mul i64 %a, 0",
        "  %v5 = getelementptr double, ptr %p, i64 1",
    ]


def test_names_are_new():
    f = Function("f", "")
    names = [f.fresh(), f.op("add i64 1, 2"), f.fresh("end"), f.op("add i64 1, 2"), f.fresh()]
    assert names == ["%v0", "%v1", "end2", "%v3", "%v4"]


def test_tables_and_memory():
    f = Function("f", "ptr %p")
    assert [f.word("%p"), f.word("%p", 2), f.pointer("%p"), f.pointer("%p", "%p")] == ["%v0", "%v2", "%v3", "%v5"]
    f.store("double", f.load("double", "%p"), "%p")
    f.store("<4 x double>", f.load("<4 x double>", "%p", 32), "%p", 32)
    assert f.lines == [
        "  %v0 = load i64, ptr %p",
        "  %v1 = getelementptr i64, ptr %p, i64 2",
        "  %v2 = load i64, ptr %v1",
        "  %v3 = load ptr, ptr %p",
        "  %v4 = getelementptr i64, ptr %p, i64 %p",
        "  %v5 = load ptr, ptr %v4",
        "  %v6 = load double, ptr %p, align 8",
        "  store double %v6, ptr %p, align 8",
        "  %v7 = load <4 x double>, ptr %p, align 32",
        "  store <4 x double> %v7, ptr %p, align 32",
    ]


def test_calls():
    f = Function("f", "double %x")
    assert f.call("double", "pow", "double %x", "double 2.0") == "%v0"
    assert f.call("void", "g", "<2 x double> <double 1.0, double 2.0>", "ptr null") == ""
    assert f.lines == [
        "  %v0 = call double @pow(double %x, double 2.0)",
        "  call void @g(<2 x double> <double 1.0, double 2.0>, ptr null)",
    ]
    assert f.called == {"pow": ("double", ("double", "double")), "g": ("void", ("<2 x double>", "ptr"))}


@pytest.mark.parametrize(("first", "count", "step"), [(0, 7, 1), (3, 7, 1), (0, 7, 3), (2, 8, 3), (0, 1, 1), (5, 2, 1)])
def test_a_loop_runs_from_the_first_index_below_the_count_and_at_least_once(first, count, step):
    def write(f, first, count, step):
        with f.loop(count, [("i64", "0"), ("i64", "1")], first=first, step=step) as loop:
            total, product = loop.carried
            loop.next = [f.add(total, loop.index), f.times(product, 3)]
        assert f.lines[-1] == f"{f.label}:"
        return f.add(f.times(loop.next[0], 1000), loop.next[1])

    indices = list(range(first, count, step)) or [first]
    assert result_of(write, first, count, step) == 1000 * sum(indices) + 3 ** len(indices)


def test_loops_have_defaults_and_lie_in_each_other():
    def write(f, count):
        with f.loop(count, [("i64", "0")]) as outer:
            with f.loop(3, [("i64", outer.carried[0])]) as inner:
                inner.next = [f.add(inner.carried[0], f.times(outer.index, inner.index))]
            outer.next = inner.next
        return outer.next[0]

    assert result_of(write, 4) == sum(i * j for i in range(4) for j in range(3))


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_a_body_is_repeated_as_often_as_is_said_or_not_at_all(count):
    def write(f, count):
        with f.repeat(count, [("i64", "7"), ("i64", "1")]) as loop:
            total, double = loop.carried
            loop.next = [f.add(total, loop.index), f.times(double, 2)]
        return f.add(f.times(loop.next[0], 1000), loop.next[1])

    assert result_of(write, count) == 1000 * (7 + sum(range(count))) + 2**count


def test_branches():
    def rarely(f, x):
        with f.rarely(f.op(f"icmp ult i64 {x}, 5"), "i64", [x, "9"]) as branch:
            branch.next = [f.times(x, 2), f.add(x, 3)]
        a, b = branch.carried
        return f.add(f.times(a, 100), b)

    def when(f, x):
        place = f.op("alloca i64")
        f.store("i64", x, place)
        with f.when(f.op(f"icmp ult i64 {x}, 5")):
            f.store("i64", f.times(x, 2), place)
        return f.load("i64", place)

    assert [result_of(rarely, x) for x in (4, 5)] == [807, 509]
    assert [result_of(when, x) for x in (4, 5)] == [8, 5]
    f = Function("f", "i1 %c")
    with f.rarely("%c", "i64", []):
        pass
    assert f.lines[0].endswith("!prof !0")


def test_a_body_must_set_what_is_carried():
    f = Function("f", "i1 %c")
    for block in (f.loop(3, [("i64", "0")]), f.repeat("3", [("i64", "0")]), f.rarely("%c", "i64", ["0"])):
        with pytest.raises(ValueError, match="shorter"), block:
            pass
