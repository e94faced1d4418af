"""Programs refuse wrong inputs, `check` finds differences, and a program says how large it is and stays within it."""

import copy
import gc
import math
import pickle
import re
import subprocess
import sys
from array import array

import llvmlite.binding as llvm
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import Mismatch, compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.llvm.machine import Memory
from micrograd_cn.compiler.runtime import executable
from micrograd_cn.compiler.runtime.executable import Tiers
from micrograd_cn.engine import constant
from micrograd_cn.optim import Adam

from .common import close, code_of, is_native, lanes, settings


def test_wrong_inputs_and_outputs_are_refused():
    x, w = Value(2.0, "x"), Value(3.0)
    y = w * x
    for output, inputs, exception, message in (
        (y, [y], ValueError, r"inputs\[0\].*is computed \(mul\), not a leaf"),
        (y, [x, x], ValueError, r"inputs\[1\].*twice"),
        (y, [constant(1.0)], ValueError, "constant"),
        (y, [1.0], TypeError, "not a Value"),
        (1.0, [x], TypeError, "takes a Value or a list"),
        ([y, 1.0], [x], TypeError, r"output\[1\]"),
        ([], [x], ValueError, "needs an output"),
    ):
        with pytest.raises(exception, match=message):
            compile(output, inputs)
    with pytest.raises(ValueError, match=r"backward\(\) needs one output, but the program has a list of 2"):
        compile([y, y], [x]).backward([[1.0]])
    with pytest.raises(ValueError, match="no rows"):
        compile(y, [x]).backward([])
    assert compile(y, [x]).forward([]) == compile([y, y], [x]).forward([]) == []
    with pytest.raises(RuntimeError, match="constant"):
        compile(constant(1.0), [x]).backward([[1.0]])


def test_a_missing_llvmlite_is_named():
    code = "import sys; sys.modules['llvmlite'] = None; import micrograd_cn.compiler"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "needs llvmlite: pip install llvmlite, or from a clone pip install -e '.[native]'\n" in done.stderr


def test_a_program_is_not_copied():
    x, w = Value(2.0), Value(3.0)
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="compile the graph again"):
            copied(compile(w * x, [x]))


def test_check_finds_a_branch_that_the_graph_does_not_have():
    """A graph has the branch that was recorded alone, and `check` names the first row that takes another one."""
    w = Value(2.0)

    def branching(x):
        return w * x if x > 0 else -x

    def choosing(x):
        return mc.where(mc.less(0.0, x), w * x, -x)

    rows = [[1.0], [2.0], [-3.0]]
    x = Value(1.0)
    compile(choosing(x), [x]).check(rows, choosing)
    with pytest.raises(Mismatch, match=r"row 2, \[-3.0\]: the function gives 3.0, the graph -6.0"):
        compile(branching(x), [x]).check(rows, branching)
    with pytest.raises(Mismatch, match="row 2"):
        compile(branching(x), [x]).check(iter(rows), branching)
    compile([x * 2, w * x], [x]).check(rows, lambda x: [x * 2, w * x])
    with pytest.raises(Mismatch, match="row 0"):
        compile([x * 2, w * x], [x]).check(rows, lambda x: [x * 2])
    compile(mc.log(x), [x]).check([[-1.0], [0.0]], mc.log)


def test_rows_have_a_number_for_each_input_and_results_one_for_each_output():
    """For several outputs, `forward` returns a list for each row, for one row as for many."""
    x, z, w = Value(2.0), Value(3.0), Value(10.0)
    rows = [[1.0, 4.0], [2.0, 0.5], [5.0, 6.0], [7.0, 9.0], [8.0, -1.0]]
    program = compile([w * x, x - z, z], [x, z])
    for n in range(1, 6):
        assert program.forward(rows[:n]) == [[10.0 * a, a - b, b] for a, b in rows[:n]]
    assert compile(w * x, x).forward([[3.0]]) == [30.0]  # a single input may be given without a list
    with pytest.raises(Mismatch, match=r"row 3, \[7.0, 9.0\]: the function gives 0.0, the graph -2.0"):
        compile(x - z, [x, z]).check(rows, lambda x, z: x - z if x.data < 6.0 else 0.0)


def test_check_compares_derivatives():
    """`check` names an argument or a parameter whose derivative differs, even if the outputs are equal."""
    w, x, y = Value(2.0, "w"), Value(1.0), Value(3.0)
    program = compile(w * x + y * y, [x, y])
    program.check([[1.0, 3.0]], lambda x, y: w * x + y * y)
    with pytest.raises(Mismatch, match=r"row 0, .*with respect to input 1 is 3.0, that of the graph 6.0"):
        program.check([[1.0, 3.0]], lambda x, y: w * x + y * y.data)
    with pytest.raises(Mismatch, match=r"with respect to the parameter Value\(data=2.0, .*'w'\) is 0.0, .* graph 1.0"):
        program.check([[1.0, 3.0]], lambda x, y: w.detach() * x + y * y)
    with mc.no_grad():
        program.check([[1.0, 3.0]], lambda x, y: w.detach() * x + y * y)
    several = compile([w * x, y * y], [x, y])
    several.check([[1.0, 3.0]], lambda x, y: [w * x, y * y])
    with pytest.raises(Mismatch, match=r"row 1, .*, output 0: the derivative .* is 0.0"):
        several.check([[1.0, 3.0], [2.0, 2.0]], lambda x, y: [w * (x if x < 2 else x.data), y * y])
    with pytest.raises(Mismatch, match=r"row 0, .*, output 1: the derivative .* is 3.0"):
        several.check([[1.0, 3.0]], lambda x, y: [w.data * x.data, y * y.data])  # a number has no derivatives
    compile(lambda x: mc.where(x, mc.dot([w, y], [mc.div(1.0, x), x]), x)).check([(0.0,)])  # the factor is infinite
    both = compile([w * x, w.detach() * 3.0], [x])
    both.check([[3.0]], lambda x: [w * x, w.detach() * 3.0])  # an output that is a constant has the derivative 0


def test_check_follows_values_that_were_computed_before_the_call_to_their_leaves():
    a, b = Value(2.0), Value(3.0)
    before = a * b
    f = compile(lambda x: before * x + a)
    f.check([(4.0,)])
    program = compile(before * (x := Value(4.0)), [x])
    with pytest.raises(Mismatch, match=r"the parameter Value\(data=3.0, .* is 0.0, that of the graph 8.0"):
        program.check([[4.0]], lambda x: before.detach() * x + 12.0 * (a - a.detach()))


def test_check_allows_what_rounding_does_beside_a_large_derivative():
    w, v, x = Value(2.0), Value(1.0), Value(1.0)
    program = compile((1e6 * w + v) * x, [x])
    program.check([[1.0]], lambda x: (1e6 * w + (1.0 + 1e-5) * v) * x)
    with pytest.raises(Mismatch, match="with respect to the parameter"):
        program.check([[1.0]], lambda x: (1e6 * w + v + 1e-2 * (v - v.detach())) * x)


def test_check_knows_leaves_that_the_function_makes_itself():
    """A `Value` that the function makes is another leaf in each call, and no reason for a mismatch."""
    w = Value(2.0)

    @compile
    def f(xs):
        total = Value(0.0)
        for x in xs:
            total = total + w * x * x
        return total + mc.maximum(w, Value(1.0))

    f.check([([1.0, 2.0],)])
    x = Value(3.0)
    with pytest.raises(Mismatch, match="with respect to the parameter"):
        compile(w * x, [x]).check([[3.0]], lambda x: w.detach() * x + Value(0.0))


def test_check_compares_numbers_of_any_kind_nearly():
    """`check` allows differences within `rtol` and `atol`, in numbers or `Value`s, and takes nan as equal to nan."""
    x = Value(1.0)
    program = compile([x, x * 0.0], [x])
    for first, second, same in (
        (1.0, 0, True),
        (1.0 + 1e-10, 1e-13, True),
        (1.0 + 1e-8, 0.0, False),
        (1.0 - 1e-8, 0.0, False),
        (1.0, 1e-11, False),
        (math.nan, 0.0, False),
    ):
        if same:
            program.check([[1.0]], lambda x, found=(first, second): found)
        else:
            with pytest.raises(
                Mismatch, match=r"row 0, \[1.0\]: the function gives \[.*, .*\], the graph \[1.0, 0.0\]"
            ):
                program.check([[1.0]], lambda x, found=(first, second): found)
    program.check([[1.0]], lambda x: [x * (1.0 - 1e-10), x * -1e-13])
    program.check([[1.0]], lambda x: [1.5, 0.0], rtol=0.5)
    program.check([[1.0]], lambda x: [1.0, 0.5], atol=0.5)
    for found in ([1.0], [1.0, 0.0, 0.0], []):
        with pytest.raises(Mismatch, match="row 0"):
            program.check([[1.0]], lambda x, found=found: found)
    nan = compile(x * math.nan, [x])
    nan.check([[1.0], [2.0]], lambda x: math.nan)
    with pytest.raises(Mismatch, match=r"row 1, \[2.0\]: the function gives 2.0, the graph nan"):
        nan.check([[1.0], [2.0]], lambda x: x if x > 1.0 else math.nan)
    with pytest.raises(ValueError, match="no rows"):
        program.check([], lambda x: [x, x])


def test_inside_detect_anomaly_the_row_is_named_in_which_a_number_is_not_finite():
    """Inside `detect_anomaly`, an error names the row and operation of a value or gradient that is not finite."""
    x, w = Value(2.0, "x"), Value(1.0, "w")
    program = compile(mc.log(w * x), [x])
    rows = [[1.0], [2.0], [-1.0]]
    assert math.isnan(program.forward(rows)[2])
    with mc.detect_anomaly():
        assert program.forward(rows[:2]) == [0.0, math.log(2.0)]
        assert program.backward(rows[:2]) == math.log(2.0) / 2.0
        assert w.grad == 1.0
        for run in (program.forward, program.backward):
            with pytest.raises(FloatingPointError, match=r"row 2: .*log"):
                run(rows)
        with pytest.raises(FloatingPointError, match="row 1: "):
            compile(mc.sqrt(w * x), [x]).backward([[1.0], [0.0]])  # the value is finite, the gradient is not
        assert compile(mc.sqrt(w * x), [x]).forward([[1.0], [0.0]]) == [1.0, 0.0]
    assert (w.grad, x.grad, w.data) == (1.0, 0.0, 1.0)


def test_the_llvm_source_has_what_runs_and_all_that_it_calls():
    """The LLVM source defines each function of the compiler that it calls, and LLVM accepts it."""
    x, w = Value(2.0), Value(3.0)
    y = mc.tanh(w * x) * mc.sin(w)
    for outputs, driver in ((y, "gradient"), ([y], "forward"), ([y, w * x], "forward")):
        text = compile(outputs, [x]).source("llvm")
        assert f"@micrograd_cn.{driver}_{lanes()}(" in text
        defined = set(re.findall(r"define [^@]*@([\w.]+)\(", text))
        called = set(re.findall(r"@([\w.]+)\(", text))
        assert {name for name in called if name.startswith("micrograd_cn.")} <= defined
        assert any(name.startswith("part") for name in defined)
        llvm.parse_assembly(text).verify()
    assert compile(y, [x]).source() == compile(y, [x]).source("llvm")
    for other in ("C", "Python", "rust"):
        with pytest.raises(ValueError, match='"llvm", "python" or "c", got'):
            compile(y, [x]).source(other)


def test_the_llvm_source_is_native_code_whatever_has_run_before(monkeypatch):
    """Neither threaded code that has run, nor a comparison that native code has lost, changes the LLVM source.

    A program that has kept its threaded code keeps it after its native code was made for the source.
    """
    monkeypatch.setattr(Tiers, "_seconds", lambda self, code, *numbers: float(code.native))
    x, w, row = Value(2.0), Value(3.0), memoryview(array("d", [0.5])).cast("B").cast("d", (1, 1))
    for kind, size in (("threaded", {}), ("native", {"loops.schedule.MAX_UNFUSED_COST": -1})):
        with code_of(kind), settings(size):
            text = compile([w * x + w], [x]).source("llvm")
            executable.forget_tiers()  # otherwise the program begins with the native code of the line before
            program = compile([w * x + w], [x])
            assert program.forward([[0.5], [1.0], [1.5]]) == [[4.5], [6.0], [7.5]]
            assert not is_native(program)
            program.prepare(row, array("d", [0.0]))
            assert program.source("llvm") == text
            assert is_native(program) == (kind == "threaded")
        assert "@part0(" in text
        assert "threaded" not in text
        assert "prepared" not in text


def test_a_program_says_what_it_is_and_how_large():
    """The repr of a program counts operations and parameters, and names the tier and the memory of its largest run."""
    x, w, v = Value(0.5), Value(1.5), Value(2.0)
    one, two = compile(w * x, [x]), compile(mc.tanh(w * x) * v, [x])
    assert repr(one) == "1 operation, 1 parameter, not run yet, 0 kB"
    two.forward([[1.0]])
    found = re.fullmatch(r"3 operations, 2 parameters, threaded code, (\d+) kB", repr(two))
    two.forward([[1.0]] * 500)
    more = re.fullmatch(r"3 operations, 2 parameters, threaded code, (\d+) kB", repr(two))
    assert int(found[1]) <= 1 < int(more[1]) < 100, "many rows need a panel, which is larger than a single row"
    with settings({"runtime.executable.SECONDS_BEFORE_NATIVE": 0.0}):
        two.forward([[1.0]] * 3)
    assert ", native code, " in repr(two)
    assert (one.gradient([[5.0]]), one.hessian([[5.0]])) == ([[1.5]], [[]])
    assert "1 operation, 1 parameter, not run yet" in repr(one), "only its derivatives have run"


@pytest.mark.parametrize("code", ["threaded"], indirect=True)
@pytest.mark.parametrize("rows", [1, 40])
def test_the_size_is_that_of_the_memory_of_a_run_and_of_the_tables(code, rows, monkeypatch):
    """The size in a program's repr is the memory that a run allocates, plus the tables of its threaded code."""
    allocated = []

    class Counted(Memory):
        def __init__(self, count):
            super().__init__(count)
            allocated.append(self.view.nbytes)

    monkeypatch.setattr(executable, "Memory", Counted)
    x, ws = Value(0.5), [Value(0.5) for _ in range(800)]
    program = compile(mc.sum([w * x for w in ws]) + mc.tanh(mc.sum([mc.tanh(w) for w in ws[:400]])) * x, [x])
    program.forward([[1.0]] * rows)
    run = program.compiled.select_executable("forward", rows)
    tables = [len(table.tobytes()) for table in run.tables.all]
    assert (len(allocated), len(tables) > 1) == (3, True)
    assert min(sum(allocated), sum(tables)) > 3_000, "each of them must be large enough to change the number of kB"
    assert repr(program).endswith(f" code, {(sum(allocated) + sum(tables)) / 1000:,.0f} kB")


def test_leaves_stay_what_they_are_when_a_program_is_made():
    """Compiling decides which leaves are parameters, and reads the constants.

    Later changes of `requires_grad`, or of a constant's data, change nothing in the program.
    """
    w, c, x = Value(2.0), constant(3.0), Value(1.0)
    program = compile(w * x + c, [x])
    w.requires_grad, c.data = False, 5.0
    assert (program.parameters, program.forward([[1.0]])) == ([w], [5.0])
    w.data = 4.0
    assert program.forward([[1.0]]) == [7.0]


@pytest.mark.parametrize("factor", [0.0, 1.0, 2.5])
def test_the_derivative_of_a_product_in_a_sum_is_its_other_factor_a_constant_too(factor):
    """In a dot product, the derivative of a factor is the other factor, even if that is the constant 0 or 1.

    The compiler simplifies products with 0 and 1, so it might lose their derivative.
    """
    w, v, x = Value(2.0), Value(4.0), Value(3.0)
    program = compile(mc.dot([w, v], [constant(factor), x]) * x, [x])
    program.backward([[3.0], [5.0]])
    assert (w.grad, v.grad) == (factor * 4.0, 17.0)


@pytest.mark.parametrize("outputs", [*range(1, 10), 31, 301])
def test_outputs_of_every_row_are_where_they_belong_and_nothing_is_written_beyond(code, outputs):
    """`forward` writes each output of each row to its index in `out`, and nothing after the last one.

    Some outputs depend on the row and some do not, some are sums, and one is there twice. More than are stored from
    registers at a time go through memory.
    """
    parameter, fixed = Value(2.0), Value(7.0)
    fixed.requires_grad = False

    def f(a, b):
        exponential = mc.exp(b)
        made = [mc.sum([a, b, parameter, 1e3]), b * 3.0, fixed, parameter, a, exponential, parameter * parameter]
        made += [made[1], mc.sum([a, b, 5.0]) * exponential]
        made += [made[k % 6] * k - b for k in range(len(made), outputs)]
        return made[:outputs]

    xs = Value(0.5), Value(0.25)
    program = compile(f(*xs), xs)
    for n in (1, 2, 3, 8, 9, 39):
        rows = [[0.5 * i, 1.0 - 0.25 * i] for i in range(n)]
        out = array("d", [math.nan] * (n * outputs + 3))
        program.forward(rows, out=memoryview(out)[: n * outputs])
        expected = [y.data for row in rows for y in f(*map(Value, row))]
        assert all(map(close, out, expected))
        assert all(map(math.isnan, out[n * outputs :]))


class Guarded(Memory):
    """Memory that is followed by numbers which must not change."""

    def __init__(self, count):
        super().__init__(count + 24)
        self.view[count:] = array("d", [math.pi] * 24)
        self.behind, self.view = self.view[count:], self.view[:count]
        made.append(self)


made = []


def test_nothing_is_written_behind_the_memory(code):
    """Compiled code writes nothing behind the memory that it allocates, for any number of rows."""
    made.clear()
    with settings(
        {f"{room}.Memory": Guarded for room in ("program", "runtime.executable", "training.state", "training.run")}
    ):
        ws, xs = [Value(0.1 * k) for k in range(33)], [Value(0.5) for _ in range(11)]
        layer = [mc.tanh(mc.dot(ws[11 * k : 11 * k + 11], xs)) for k in range(3)]
        loss = mc.sum([*layer, *(w * w for w in ws)]) * mc.dot(layer, layer)
        program, outputs = compile(loss, xs), compile([*layer, ws[0] * 2.0], xs)
        for n in (1, 2, 3, 2 * lanes() + 1):
            rows = [[0.01 * k * row for k in range(11)] for row in range(n)]
            outputs.forward(rows)
            program.backward(rows)
            program.fit(rows, Adam(ws, lr=0.01), 2, batch_size=max(n - 1, 1))
    assert len(made) > 10
    assert all(memory.behind.tolist() == [math.pi] * 24 for memory in made)


@pytest.mark.parametrize("on", [True, False])
def test_the_garbage_collector_is_as_it_was_when_a_program_is_made(on):
    """Compiling pauses the garbage collector, and afterwards it is on or off as it was before."""
    x = Value(0.5)
    (gc.enable if on else gc.disable)()
    try:
        program = compile(mc.tanh(x), [x])
        program.forward([[1.0]])
        assert gc.isenabled() == on
    finally:
        gc.enable()
