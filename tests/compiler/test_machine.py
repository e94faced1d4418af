"""Compiled code for other processors has vectors of the right width, and its results are right.

Tests with "on_this_processor" in their names also run in processes that pretend to have fewer features. For processors
that this machine cannot pretend to be, code is only written, not run.
"""

import itertools
import os
import random
import re
import subprocess
import sys
import threading
from pathlib import Path

import llvmlite.binding as llvm
import pytest

import micrograd_cn as mc
from micrograd_cn import OPS, Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.llvm import machine as machines
from micrograd_cn.compiler.llvm.machine import Machine, machine
from micrograd_cn.compiler.llvm.text import Function
from micrograd_cn.compiler.runtime import executable
from micrograd_cn.compiler.runtime.executable import CompiledGraph, driver
from micrograd_cn.compiler.training import update
from micrograd_cn.engine import record
from micrograd_cn.nn import MLP
from micrograd_cn.optim import Adam

from .common import assert_like_eager, everything, lanes, loop, problem
from .conftest import FEATURES

HERE = Path(__file__)
PROCESSORS = {
    "SSE2": ("", 2, 16, False),
    "AVX": ("avx", 4, 16, False),
    "AVX2": ("avx avx2 fma", 4, 16, True),
    "AVX-512": ("avx avx2 fma avx512f avx512vl avx512dq avx512bw", 8, 32, True),
}


# Results on the processor of this process


def test_numbers_are_right_on_this_processor(code):
    """A network's loss and gradient are the engine's, and its training is that of a loop of steps."""
    model = MLP(9, [10, 2], activation="sigmoid", seed=1)
    rng = random.Random(0)
    rows = [[rng.gauss(0, 1) for _ in range(9)] for _ in range(21)]
    assert_like_eager(lambda *row: mc.logsumexp(model(row)), [Value(0.3) for _ in range(9)], model.parameters(), rows)
    (ours, program, rows, _), (theirs, other, _, _) = problem(), problem()
    mine, yours = Adam(ours, lr=0.01), Adam(theirs, lr=0.01)
    program.fit(rows, mine, 3, batch_size=10)
    loop(other, rows, yours, 3, 10)
    assert everything(ours, mine) == everything(theirs, yours)


@pytest.mark.parametrize("n", [7, 33])
def test_sums_and_totals_of_every_kind_are_right_on_this_processor(code, n):
    """Sums within a row and sums over rows are right, whatever of their factors depends on the row."""
    ws, xs = [Value(0.1 * k - 0.3) for k in range(2 * n)], [Value(0.1) for _ in range(n)]

    def f(*xs):
        layer = [mc.tanh(mc.dot(ws[k : k + n], xs)) for k in range(5)]
        inner = mc.dot(layer, layer[::-1]) + mc.dot([x * x for x in xs], xs) + mc.sum([w * w for w in ws])
        return inner + mc.dot([mc.dot(ws[k : k + 5], layer) for k in range(n)], xs[::-1])

    rows = [[0.01 * (7 * i + k) - 0.3 for k in range(n)] for i in range(2 * lanes() + 3)]
    assert_like_eager(f, xs, ws, rows)


def test_every_row_of_the_table_is_right_on_this_processor(code):
    xs, ws, outputs = [Value(0.5) for _ in range(5)], [Value(0.9) for _ in range(5)], []
    for op in OPS.values():
        n = {"dot": 5, "take": 5}.get(op.name, op.arity or 3)
        operands = [w * x for w, x in zip(ws[:n], xs[:n], strict=True)]
        outputs.append(
            record(op, (2.0 + mc.less(xs[0], ws[0]), *operands[1:]) if op.lowerings.is_gather else tuple(operands))
        )
    expected = [y.data for y in outputs]
    program = compile(outputs, xs)
    for n in (1, 3):
        for found in program.forward([[0.5] * 5] * n):
            assert found == pytest.approx(expected, rel=1e-14)


# Other processors


# By LLVM's name of a processor: the system, features, doubles in a vector, and parts of instructions in its code
ELSEWHERE = {
    "x86-64": ("x86_64-unknown-linux-gnu", "", 2, "mulpd addpd"),
    "sandybridge": ("x86_64-pc-windows-msvc", "avx", 4, "vmulpd vaddpd ymm"),
    "haswell": ("x86_64-apple-darwin", "avx avx2 fma", 4, "vfmadd231pd ymm"),
    "znver4": ("x86_64-unknown-linux-gnu", "avx avx2 fma avx512f avx512vl avx512dq avx512bw", 4, "vfmadd231pd ymm"),
    "znver5": ("x86_64-unknown-linux-gnu", "avx avx2 fma avx512f avx512vl avx512dq avx512bw", 8, "vfmadd231pd zmm"),
    "sapphirerapids": ("x86_64-unknown-linux-gnu", "avx avx2 fma avx512f avx512vl avx512dq", 8, "vfmadd231pd zmm"),
    "neoverse-n1": ("aarch64-unknown-linux-gnu", "neon", 2, "fmla .2d"),
    "apple-m1": ("arm64-apple-darwin", "neon", 2, "fmla.2d"),
}


def test_vectors_are_as_wide_as_the_processor_computes():
    llvm.initialize_all_targets()
    for name, (triple, features, native, _) in ELSEWHERE.items():
        on = Machine(name, triple, dict.fromkeys(features.split(), True))
        assert (on.simd, on.width) == (native, 2 * native)
        assert on.registers == (32 if "neon" in features or "avx512vl" in features else 16)
        assert on.fma == ("fma" in features or "neon" in features)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "has_libmvec"),
    [
        pytest.param(name, has, marks=[pytest.mark.slow] * ((name, has) != ("neoverse-n1", True)))
        for name, has in itertools.product(ELSEWHERE, (False, True))
    ],
)
def test_code_for_other_processors_is_such_as_llvm_takes(monkeypatch, name, has_libmvec):
    """LLVM accepts the code for each processor, with and without libmvec, and uses its vector instructions."""
    triple, features, native, words = ELSEWHERE[name]
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    on = Machine(name, triple, dict.fromkeys(features.split(), True))
    assert on.simd == native
    on.library.found = lambda symbol: has_libmvec or not symbol.startswith("_ZGV")
    target, assembly = on.target(1), []

    class Written(machines.Compiled):
        """A module that is translated to the other processor's assembly instead of being loaded."""

        engine = None

        def __init__(self, on, functions, prefix, level, op_names, engine=None):
            module = llvm.parse_assembly(on.text(functions, prefix))
            module.verify()
            assembly.append(target.emit_assembly(module))

        def address(self, name):
            return 0

    monkeypatch.setattr(machines, "Compiled", Written)
    monkeypatch.setattr(machines, "_has_function", lambda name: True)
    monkeypatch.setattr(llvm, "add_symbol", lambda name, address: None)  # no program of this process may call it
    for room in (executable, update):
        monkeypatch.setattr(room, "machine", lambda: on)

    x = [Value(0.5) for _ in range(40)]
    every = [record(op, tuple(x[: {"dot": 4, "take": 9}.get(op.name, op.arity or 3)])) for op in OPS.values()]
    loss = mc.logsumexp(MLP(40, [12, 12, 3])(x)) + mc.sum(every)
    compiled = CompiledGraph([loss], x)
    for kind, in_lanes, code in itertools.product(("forward", "gradient"), (False, True), (False, True)):
        compiled.tiers(kind, in_lanes).get(native=code)
        driver(kind, on.width if in_lanes else 1, fast=code)
    compiled.llvm_text("gradient")
    driver("fit")
    driver("update")
    text = "\n".join(assembly)
    assert [word for word in words.split() if word not in text] == []
    assert ("_ZGV" in text) == has_libmvec


@pytest.mark.skipif(FEATURES not in os.environ, reason="started by the next test")
def test_this_process_has_the_processor_that_was_asked_for():
    on = machine()
    expected = next(rest for features, *rest in PROCESSORS.values() if features == os.environ[FEATURES])
    assert [on.simd, on.registers, on.fma] == expected


@pytest.mark.skipif(FEATURES in os.environ, reason="this is the process that it starts")
@pytest.mark.thorough
@pytest.mark.parametrize(
    "older", [pytest.param(name, marks=[pytest.mark.slow] * (name != "SSE2")) for name in PROCESSORS]
)
def test_other_processors(older):
    """The tests of this file pass in a process that has only an older processor's features."""
    features, *_ = PROCESSORS[older]
    here = llvm.get_host_cpu_features()
    if not llvm.get_process_triple().startswith("x86_64") or not all(here.get(name) for name in features.split()):
        pytest.skip(f"this processor is no {older}")
    options = ["-qx", "--assert=plain", "-pno:cacheprovider", "--import-mode=importlib", "-oaddopts=", "-k"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "(this_process or on_this) and not gathered and not fused", HERE],
        env=os.environ | {FEATURES: features},
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"[1-9]\d* passed", done.stdout)


class _Interrupted:
    """A lock for which Ctrl-C comes before it is held."""

    def __enter__(self):
        raise KeyboardInterrupt

    def __exit__(self, *error):
        raise RuntimeError("this lock is not held")


def test_a_fork_that_ctrl_c_interrupts_leaves_no_lock_held(monkeypatch):
    monkeypatch.setattr(machines, "_llvm_lock", _Interrupted())
    with pytest.raises(KeyboardInterrupt):
        machines._hold()
    with pytest.raises(RuntimeError, match="is not held"):
        machines._release()
    found = []

    def try_lock():
        found.append(machines._lock.acquire(blocking=False))
        if found[0]:
            machines._lock.release()

    other = threading.Thread(target=try_lock)
    other.start()
    other.join()
    assert found == [True]


@pytest.mark.parametrize("interrupted", ["add_object_file", "finalize_object", "get_function_address"])
def test_kernels_are_right_after_ctrl_c_has_interrupted_llvm(monkeypatch, interrupted):
    """The engine, which all kernels share, may then have code that nobody has asked for."""
    on = Machine()

    def compiled(name):
        f = Function(name, "double %x", "double")
        f.do("ret double %x")
        return on.function(name, lambda: f, fast=False)

    assert compiled("first")(1.0) == 1.0
    with monkeypatch.context() as patch:

        def ctrl_c(*_):
            raise KeyboardInterrupt

        patch.setattr(llvm.ExecutionEngine, interrupted, ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            compiled("second")
    assert [compiled(name)(2.0) for name in ("second", "third", "first")] == [2.0] * 3
