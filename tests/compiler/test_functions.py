"""The compiler's elementary functions of vectors: their errors, their special values, and which library they call.

A function is computed by a polynomial, by libmvec (glibc's functions of vectors), or by C's function for each lane.
These tests use some thousands of points; `python -m tests.compiler.vector_functions` looks at millions.
"""

import ctypes
import itertools
import math
from functools import cache

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import OPS, Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.llvm.elementary import POLYNOMIALS
from micrograd_cn.compiler.llvm.functions import LIBRARY, ULPS, Library
from micrograd_cn.compiler.llvm.machine import Machine, _has_function, llvm, machine
from micrograd_cn.compiler.llvm.text import FAST_KERNEL_PREFIX, KERNEL_PREFIX
from micrograd_cn.compiler.runtime import executable

from .vector_functions import (
    BINARY,
    LONG,
    SPECIAL,
    Functions,
    errors,
    exact,
    is_independent,
    limit,
    machine_of,
    operands,
    widths,
)

WIDTHS, WAYS = widths()
WAY = WAYS[-1]


def lane_by_lane(symbol):
    """Return whether a process without libmvec has a function, so each lane is computed by itself."""
    return not symbol.startswith("_ZGV") and _has_function(symbol)


def bits(x):
    """Return the bits of numbers, the same for every nan."""
    return np.where(np.isnan(x), math.nan, x).view(np.uint64)


@pytest.fixture(scope="module", params=ULPS)
def case(request):
    """Return a function's name and some thousands of operands."""
    return request.param, operands(request.param, 3000, np.random.default_rng(0))


@cache
def of_width(name, native, fma=WAY, found=None):
    """Return a function for vectors of `native` doubles, compiled once for all tests."""
    return Functions(name, machine_of(native, fma, found), 2 * native)


def all_of(name):
    """Return all versions of a function: for each width of vectors, with unfused arithmetic, and without libmvec.

    Only polynomials use multiply-add, so the other functions have no unfused version.
    """
    other = [of_width(name, WIDTHS[0], fma) for fma in WAYS[:-1] if name in POLYNOMIALS]
    return [*[of_width(name, native) for native in WIDTHS], *other, of_width(name, WIDTHS[-1], WAY, lane_by_lane)]


@pytest.mark.skipif(LONG is None, reason="C's long double is double here")
def test_no_error_is_over_the_limit(case):
    """The errors of all versions of a function are within its limit, compared with C's function of long double."""
    name, xs = case
    right = exact(name, *xs)
    for run in all_of(name):
        if f"call double @{name}(" not in run.text:  # the limits do not hold for C's scalar functions
            assert errors(run(*xs), right).max() <= limit(name), run.text


def test_special_values_are_those_of_the_table():
    """At inf, nan, signed zeros and the ends of domains, the bits are those of the operation's row."""
    for name in ULPS:
        xs = np.array(list(itertools.product(SPECIAL, repeat=1 + (name in BINARY)))).T
        xs = [np.resize(x, -(-len(x) // 16) * 16) for x in xs]
        right = np.array([OPS[name].forward(*map(float, x)) for x in zip(*xs, strict=True)])
        special = ~np.isfinite(right) | (right == 0.0) | np.isin(right, [1.0, -1.0])
        for run in all_of(name):
            found = run(*xs)
            assert (bits(found) == bits(right))[special].all(), (name, run.text)
            assert np.isfinite(found[~special]).all()


def test_subnormal_operands_and_results_keep_their_bits():
    """Subnormal numbers are not flushed to zero."""
    tiny = np.array([5e-324, -5e-324, 1e-320, -1e-320, 2e-308, -2e-308, 3e-308, 1e-300] * 2)
    for name in ("expm1", "log1p", "tanh", "sin", "tan", "asin", "atan", "sinh"):
        for run in all_of(name):
            assert (run(tiny) == tiny).all(), name
    for run in all_of("exp"):
        assert run(np.full(16, -744.0))[0] == math.exp(-744.0)
        assert run(np.full(16, -745.13321910194))[0] == 5e-324
        assert run(np.full(16, -745.1332191019413))[0] == 0.0
    for run in all_of("log"):
        assert run(np.full(16, 5e-324))[0] == math.log(5e-324)


def test_a_lane_has_the_same_bits_beside_other_numbers(case):
    """The bits of a result do not depend on the other numbers in the vector, so the order of rows does not matter."""
    name, xs = case
    for run in all_of(name):
        assert is_independent(run, xs, np.random.default_rng(1))


def test_a_formula_has_the_same_bits_in_vectors_of_every_width(case):
    """A polynomial gives the same bits for each width, so results do not depend on the machine's vectors."""
    name, xs = case
    found = [bits(of_width(name, native)(*xs)) for native in WIDTHS]
    if name in POLYNOMIALS:
        assert all((other == found[0]).all() for other in found)


# Libraries that a process may have


def test_a_symbol_is_named_as_the_processor_names_its_vectors():
    """`symbol` returns libmvec's name of a function, which contains the processor's kind of vector and its width."""

    def symbol(triple, native, name="sin", operands=1):
        return Library(triple, native, True, lambda symbol: True).symbol(name, operands)

    assert symbol("x86_64-unknown-linux-gnu", 2) == "_ZGVbN2v_sin"
    assert symbol("x86_64-unknown-linux-gnu", 4) == "_ZGVdN4v_sin"
    assert symbol("x86_64-unknown-linux-gnu", 8, "atan2", 2) == "_ZGVeN8vv_atan2"
    assert symbol("aarch64-unknown-linux-gnu", 2) == "_ZGVnN2v_sin"
    assert symbol("x86_64-unknown-linux-gnu", 4, "lgamma") == "", "its errors are not measured, so it is not called"


def test_without_the_library_each_lane_is_what_c_computes(case):
    """Without libmvec, functions without a polynomial give the bits of C's scalar functions."""
    name, xs = case
    run = of_width(name, WIDTHS[-1], WAY, lane_by_lane)
    assert "_ZGV" not in run.text
    assert (f"call double @{name}(" in run.text) == (name not in POLYNOMIALS)
    if name not in POLYNOMIALS:
        of_c = np.hypot if name == "hypot" else OPS[name].forward  # Python has a hypot of its own, numpy calls C's
        with np.errstate(all="ignore"):
            right = [of_c(*map(float, x)) for x in zip(*xs, strict=True)]
        assert (bits(run(*xs)) == bits(np.array(right))).all()


@pytest.fixture
def this(monkeypatch):
    """Return a new `Machine` without kernels, and let programs be compiled for it."""
    this = Machine()
    monkeypatch.setattr(executable, "machine", lambda: this)
    yield this
    for prefix, addresses in zip((KERNEL_PREFIX, FAST_KERNEL_PREFIX), machine().addresses, strict=True):
        # LLVM knows kernels by name, and now has those of the new machine, which are freed with it.
        for name, address in addresses.items():
            llvm.add_symbol(name.replace(KERNEL_PREFIX, prefix), address)


def source(f):
    """Return the LLVM text of a program that computes a function, and assert that its results are right."""
    x, w = Value(0.3), Value(0.5)
    program = compile(f(w * x), [x])
    text = program.source()
    rows = [[k / 10.0] for k in range(-20, 20)]
    assert program.forward(rows) == pytest.approx([f(0.5 * x) for [x] in rows], rel=1e-15)
    return text


def test_a_program_calls_c_where_the_process_has_no_library(this):
    """Without libmvec, a program calls C's `sin` for each lane, and still computes `tanh` by a polynomial."""
    this.library.found = lane_by_lane
    assert "call double @sin(" in source(mc.sin)
    assert "@tanh(" not in source(mc.tanh)
    assert "_ZGV" not in source(mc.tanh)


def test_the_library_is_loaded_where_there_is_one():
    """Where the system has libmvec, the machine uses its `sin`, although nothing else has loaded the library."""
    try:
        of_c = ctypes.CDLL(LIBRARY)
    except OSError:
        pytest.skip(f"this system has no {LIBRARY}")
    this = machine()
    symbol = Library(this.triple, this.simd, this.fma, lambda symbol: True).symbol("sin", 1)
    assert this.library.symbol("sin", 1) == symbol * hasattr(of_c, symbol)


def test_a_system_without_the_library_is_no_error(monkeypatch):
    monkeypatch.setattr("micrograd_cn.compiler.llvm.machine.LIBRARY", "libnobodyhas.so.1")
    this = Machine()
    assert Functions("cos", this, this.width)(np.zeros(16))[0] == 1.0
