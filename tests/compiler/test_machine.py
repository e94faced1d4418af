"""Other processors: their vectors are as wide as they compute, and the numbers are right on them."""

import ctypes
import itertools
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import pytest

import micrograd_cn as mc
from micrograd_cn import OPS, Value
from micrograd_cn.compiler import compile, executable, update  # noqa: A004 -- the field's name
from micrograd_cn.compiler import machine as machines
from micrograd_cn.compiler.executable import Executables, driver, fit_driver, update_driver
from micrograd_cn.compiler.machine import Machine, Memory, machine
from micrograd_cn.compiler.text import OURS, Function, literal
from micrograd_cn.engine import record
from micrograd_cn.nn import MLP
from micrograd_cn.optim import Adam

from .common import assert_like_eager, everything, loop, problem
from .conftest import FEATURES

HERE = Path(__file__)
PROCESSORS = {
    "SSE2": ("", 2, 16, False),
    "AVX": ("avx", 4, 16, False),
    "AVX2": ("avx avx2 fma", 4, 16, True),
    "AVX-512": ("avx avx2 fma avx512f avx512vl avx512dq avx512bw", 8, 32, True),
}


# On whatever processor


def test_numbers_are_right_on_this_processor(code):
    model = MLP(9, [10, 2], activation="sigmoid", seed=1)
    rng = random.Random(0)
    rows = [[rng.gauss(0, 1) for _ in range(9)] for _ in range(21)]
    assert_like_eager(lambda *row: mc.logsumexp(model(row)), [Value(0.3) for _ in range(9)], model.parameters(), rows)
    (ours, program, rows, _), (theirs, other, _, _) = problem(), problem()
    mine, yours = Adam(ours, lr=0.01), Adam(theirs, lr=0.01)
    program.fit(rows, mine, 3, batch_size=10)
    loop(other, rows, yours, 3, 10)
    assert everything(ours, mine) == everything(theirs, yours)


def test_every_row_of_the_table_is_right_on_this_processor(code):
    xs, ws, outputs = [Value(0.5) for _ in range(5)], [Value(0.9) for _ in range(5)], []
    for op in OPS.values():
        n = {"dot": 5, "take": 5}.get(op.name, op.arity or 3)
        operands = [w * x for w, x in zip(ws[:n], xs[:n], strict=True)]
        outputs.append(
            record(op, (2.0 + mc.less(xs[0], ws[0]), *operands[1:]) if op.forms.chooses else tuple(operands))
        )
    expected = [y.data for y in outputs]
    program = compile(outputs, xs)
    for n in (1, 3):
        for found in program.forward([[0.5] * 5] * n):
            assert found == pytest.approx(expected, rel=1e-14)


def test_text_and_memory_are_for_vectors_of_this_processor():
    on = machine()
    assert on.width == 2 * on.native
    w, x = [Value(0.1 * k) for k in range(40)], [Value(0.5) for _ in range(40)]
    program = compile(mc.tanh(mc.dot(w, x)), x)
    text = program.source()
    assert f"<{on.width} x double>" in text
    assert f"<{on.native} x double>" in text
    aligned = set(re.findall(rf"(?:load|store) <{on.native} x double>.* align (\d+)", text))
    assert max(map(int, aligned)) == 8 * on.native  # the totals lie side by side


@pytest.mark.parametrize("count", range(1, 20))
def test_memory_begins_where_vectors_like_it_and_is_hardly_larger_than_it_must_be(count):
    memory = Memory(count)
    assert memory.address % 64 == 0
    assert ctypes.addressof(memory.data) == memory.address
    assert ctypes.sizeof(memory.data) == 8 * count
    assert ctypes.sizeof(memory._raw) <= 8 * count + 64
    assert list(memory.data) == [0.0] * count


def test_the_text_of_functions_declares_what_they_call_and_says_how_wide_they_are():
    f, g = Function("f", "double %x", "double"), Function("g", "double %x", "double")
    f.do(f"ret double {f.call('double', 'sin', 'double %x')}")
    g.do(f"ret double {g.call('double', 'pow', f.call('double', 'f', 'double %x') and 'double %x', 'double %x')}")
    bits = 64 * machine().native
    text = machine().text([f, g])
    assert re.findall("^declare .*", text, re.M) == [
        "declare double @pow(double, double)",
        "declare double @sin(double)",
    ]
    widths = f'"min-legal-vector-width"="{bits}" "prefer-vector-width"="{bits}"'
    assert text.endswith(
        f"attributes #0 = {{ nounwind {widths} }}\n"
        f'attributes #1 = {{ nounwind "frame-pointer"="all" {widths} }}\n\n'
        '!0 = !{!"branch_weights", i32 1, i32 2000}'
    )


# What all programs share


def shared(name, value, calls=()):
    """Return what writes a function that returns a number, and how often it was asked to."""
    asked = []

    def make():
        asked.append(name)
        f = Function(name, "", "double")
        for other, inner in calls:
            f.shared[other] = inner
            f.call("double", other)
        f.do(f"ret double {literal(value)}")
        return f

    return make, asked


def returned(address):
    return ctypes.CFUNCTYPE(ctypes.c_double)(address)()


def test_a_shared_function_is_compiled_once_quickly_and_once_well_with_all_that_it_calls():
    on = Machine()
    levels = []
    on.engine = lambda module, level: levels.append(level) or Machine.engine(on, module, level)
    inner, asked_inner = shared(f"{OURS}test_inner", 2.5)
    outer, asked_outer = shared(f"{OURS}test_outer", 1.5, [(f"{OURS}test_inner", inner)])
    addresses = {}
    for fast in (False, False, True, True):
        addresses.setdefault(fast, set()).add(on.address(f"{OURS}test_outer", outer, fast))
        assert on.addresses[fast].keys() == {f"{OURS}test_outer", f"{OURS}test_inner"}
        assert [returned(on.addresses[fast][f"{OURS}test_{name}"]) for name in ("outer", "inner")] == [1.5, 2.5]
    assert [len(found) for found in addresses.values()] == [1, 1]
    assert addresses[False] != addresses[True]
    assert levels == [0, 1]
    assert (len(asked_outer), len(asked_inner)) == (1, 1)


def test_a_functions_text_is_shown_with_all_that_it_calls():
    on = Machine()
    inner, _ = shared(f"{OURS}test_low", 2.5)
    outer, _ = shared(f"{OURS}test_high", 1.5, [(f"{OURS}test_low", inner)])
    on.share({f"{OURS}test_high": outer}, fast=False)
    f = Function("f", "", "double")
    f.do(f"ret double {f.call('double', f'{OURS}test_high')}")
    names = {f"{OURS}test_high", f"{OURS}test_low"}
    for functions, wanted, expected in (
        ([f], [], {"f", *names}),
        ([], [f"{OURS}test_low"], {f"{OURS}test_low"}),
        ([], [f"{OURS}test_high"], names),
        ([], ["sin"], set()),
    ):
        assert {g.name for g in on.with_shared(functions, wanted)} == expected


def test_a_function_that_there_is_not_is_refused_with_the_operation():
    f = Function("f", "double %x", "double")
    f.do(f"ret double {f.call('double', 'nosuch', 'double %x')}")
    for refuse in (
        lambda: machine().compile([f], {"nosuch": "odd"}),
        lambda: machine().share({"micrograd_cn.test_odd": lambda: f}, False, {"nosuch": "odd"}),
    ):
        with pytest.raises(TypeError, match=r"'odd' has the machine form 'nosuch', which is no .*forms are fadd.*fneg"):
            refuse()
    with pytest.raises(TypeError, match="the operation '' has the machine form 'nosuch'"):
        machine().compile([f])
    assert "micrograd_cn.test_odd" not in machine().shared


@pytest.mark.parametrize("form", ["llvm.flor", "llvm.sqrt"])
@pytest.mark.parametrize("lanes", [1, 4])
def test_an_intrinsic_that_there_is_not_is_refused_with_the_operation(form, lanes):
    kind, suffix = ("double", ".f64") if lanes == 1 else (f"<{lanes} x double>", f".v{lanes}f64")
    f = Function("f", f"{kind} %x", kind)
    f.do(f"ret {kind} {f.call(kind, form + suffix, f'{kind} %x', f'{kind} %x')}")
    with pytest.raises(TypeError, match=f"'odd' has the machine form '{form}'"):
        machine().compile([f], {"sin": "sine", form: "odd", "llvm.cos": "other"})


def test_a_text_that_is_none_is_refused():
    f = Function("f", "")
    f.do("ret double")
    with pytest.raises(RuntimeError, match="expected"):
        machine().compile([f], {"llvm.sqrt": "square root"})


# Which processor it is


@pytest.mark.parametrize(
    ("name", "features", "native"),
    [
        ("znver5", {"avx": True, "avx512f": True}, 8),
        ("znver4", {"avx": True, "avx512f": True}, 4),  # it computes 512 bits in two halves
        ("skylake-avx512", {"avx": True, "avx512f": True, "avx512vl": True, "fma": True}, 8),
        ("haswell", {"avx": True, "avx512f": False, "fma": True}, 4),
        ("nehalem", {"avx": False}, 2),
        ("apple-m1", {"neon": True}, 2),
    ],
)
def test_vectors_are_as_wide_as_the_processor_computes(monkeypatch, name, features, native):
    monkeypatch.setattr(llvm, "get_host_cpu_name", lambda: name)
    monkeypatch.setattr(llvm, "get_host_cpu_features", lambda: llvm.FeatureMap(features))
    monkeypatch.setattr(Machine, "engine", lambda *_: None)
    monkeypatch.setattr(llvm, "get_process_triple", lambda: "arm64-apple-darwin" if "neon" in features else "x86_64")
    made = Machine()
    assert (made.native, made.width) == (native, 2 * native)
    assert made.registers == (32 if "neon" in features or features.get("avx512vl") else 16)
    assert made.fused is bool("neon" in features or features.get("fma"))


ELSEWHERE = {  # processors by what LLVM calls them, with doubles in a vector, and a few of the instructions they need
    "x86-64": ("x86_64-unknown-linux-gnu", "", 2, "mulpd addpd"),
    "sandybridge": ("x86_64-pc-windows-msvc", "avx", 4, "vmulpd vaddpd ymm"),
    "haswell": ("x86_64-apple-darwin", "avx avx2 fma", 4, "vfmadd231pd ymm"),
    "znver4": ("x86_64-unknown-linux-gnu", "avx avx2 fma avx512f avx512vl avx512dq avx512bw", 4, "vfmadd231pd ymm"),
    "znver5": ("x86_64-unknown-linux-gnu", "avx avx2 fma avx512f avx512vl avx512dq avx512bw", 8, "vfmadd231pd zmm"),
    "sapphirerapids": ("x86_64-unknown-linux-gnu", "avx avx2 fma avx512f avx512vl avx512dq", 8, "vfmadd231pd zmm"),
    "neoverse-n1": ("aarch64-unknown-linux-gnu", "neon", 2, "fmla .2d"),
    "apple-m1": ("arm64-apple-darwin", "neon", 2, "fmla.2d"),
}


@pytest.mark.parametrize(
    ("name", "has_libmvec"),
    [
        pytest.param(
            name, has, marks=[pytest.mark.slow] * ((name, has) not in (("neoverse-n1", True), ("znver5", False)))
        )
        for name, has in itertools.product(ELSEWHERE, (False, True))
    ],
)
def test_code_for_other_processors_is_such_as_llvm_takes(monkeypatch, name, has_libmvec):
    triple, features, native, words = ELSEWHERE[name]
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    on = Machine(name, triple, dict.fromkeys(features.split(), True))
    assert (on.native, on.fused) == (native, "fma" in features or "neon" in features)
    on.library.found = lambda symbol: has_libmvec or not symbol.startswith("_ZGV")
    target, assembly = on.target(1), []

    class Written(machines.Compiled):
        """A module that is no more than written in the processor's instructions."""

        def __init__(self, on, text, level, rows):
            module = llvm.parse_assembly(text)
            module.verify()
            assembly.append(target.emit_assembly(module))

        def address(self, name):
            return 0

    monkeypatch.setattr(machines, "Compiled", Written)
    monkeypatch.setattr(machines, "_found", lambda name: True)
    monkeypatch.setattr(llvm, "add_symbol", lambda name, address: None)  # no program is to call it
    for room in (executable, update):
        monkeypatch.setattr(room, "machine", lambda: on)

    x = [Value(0.5) for _ in range(40)]
    every = [record(op, tuple(x[: {"dot": 4, "take": 9}.get(op.name, op.arity or 3)])) for op in OPS.values()]
    loss = mc.logsumexp(MLP(40, [12, 12, 3])(x)) + mc.sum(every)
    executables = Executables([loss], x)
    for kind, lanes, code in itertools.product(("forward", "gradient"), (False, True), (False, True)):
        executables.get(kind, lanes, native=code)
        driver(kind, on.width if lanes else 1, fast=code)
    executables.text("gradient")
    fit_driver(fast=True)
    update_driver()
    text = "\n".join(assembly)
    assert [word for word in words.split() if word not in text] == []
    assert ("_ZGV" in text) == has_libmvec


@pytest.mark.skipif(FEATURES not in os.environ, reason="started by the next test")
def test_this_process_has_the_processor_that_was_asked_for():
    on = machine()
    expected = next(rest for features, *rest in PROCESSORS.values() if features == os.environ[FEATURES])
    assert [on.native, on.registers, on.fused] == expected


@pytest.mark.skipif(FEATURES in os.environ, reason="this is the process that it starts")
@pytest.mark.parametrize(
    "processor", [pytest.param(name, marks=[pytest.mark.slow] * (name != "SSE2")) for name in PROCESSORS]
)
def test_other_processors(processor):
    features, *_ = PROCESSORS[processor]
    here = llvm.get_host_cpu_features()
    if not llvm.get_process_triple().startswith("x86_64") or not all(here.get(name) for name in features.split()):
        pytest.skip(f"this processor is no {processor}")
    files = [HERE, *(HERE.with_name(f"test_{room}.py") for room in ("products", "drivers"))]
    options = ["-q", "-x", "-p", "no:cacheprovider", "--import-mode=importlib", "-o", "addopts=", "-k"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "not llvm_takes", *files],
        env=os.environ | {FEATURES: features},
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"[1-9]\d* passed", done.stdout)
