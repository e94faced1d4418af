"""Other processors: their vectors are as wide as they compute, and the numbers are right on them."""

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
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.machine import Machine, Memory, machine
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
        n = {"dot": 5}.get(op.name, op.arity or 3)
        outputs.append(record(op, tuple([w * x for w, x in zip(ws[:n], xs[:n], strict=True)])))
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
    assert Memory(3).address % 64 == 0


# Which processor it is


@pytest.mark.parametrize(
    ("name", "features", "native"),
    [
        ("znver5", {"avx": True, "avx512f": True}, 8),
        ("znver4", {"avx": True, "avx512f": True}, 4),  # it computes 512 bits in two halves
        ("haswell", {"avx": True, "avx512f": False}, 4),
        ("nehalem", {"avx": False}, 2),
        ("apple-m1", {"neon": True}, 2),
    ],
)
def test_vectors_are_as_wide_as_the_processor_computes(monkeypatch, name, features, native):
    monkeypatch.setattr(llvm, "get_host_cpu_name", lambda: name)
    monkeypatch.setattr(llvm, "get_host_cpu_features", lambda: llvm.FeatureMap(features))
    made = Machine()
    assert (made.native, made.width) == (native, 2 * native)


@pytest.mark.skipif(FEATURES not in os.environ, reason="started by the next test")
def test_this_process_has_the_processor_that_was_asked_for():
    on = machine()
    expected = next(rest for features, *rest in PROCESSORS.values() if features == os.environ[FEATURES])
    assert [on.native, on.registers, on.fused] == expected


@pytest.mark.skipif(FEATURES in os.environ, reason="this is the process that it starts")
@pytest.mark.parametrize(
    "processor", [pytest.param(name, marks=[pytest.mark.slow] * (name in ("AVX", "AVX2"))) for name in PROCESSORS]
)
def test_other_processors(processor):
    features, *_ = PROCESSORS[processor]
    here = llvm.get_host_cpu_features()
    if not llvm.get_process_triple().startswith("x86_64") or not all(here.get(name) for name in features.split()):
        pytest.skip(f"this processor is no {processor}")
    files = [HERE, *(HERE.with_name(f"test_{room}.py") for room in ("products", "drivers"))]
    options = "-q -x -p no:cacheprovider --import-mode=importlib -o addopts="
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options.split(), *files],
        env=os.environ | {FEATURES: features},
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"[1-9]\d* passed", done.stdout)
