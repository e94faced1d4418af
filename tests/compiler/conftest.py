"""Fixtures: `code` repeats a test for each kind of code, `sorts` counts sorted rows, and `processor` is another one."""

import hashlib
import itertools
import math
import os

import llvmlite.binding as llvm
import pytest

from micrograd_cn.compiler.guards import CompiledGuards
from micrograd_cn.compiler.llvm.machine import Machine
from micrograd_cn.compiler.runtime.executable import forget_tiers

from .common import KINDS, code_of, settings

# test_machine.py starts pytest with this variable. It holds the features of a processor that has fewer than this one.
FEATURES = "MICROGRAD_CN_TEST_FEATURES"
# Signals come, or other threads go on, while LLVM compiles in the tests of these files.
DISTURBED = ("test_background", "test_interrupts", "test_threads")
MOST_KEPT = 1_000  # pieces of machine code of each file of tests; slow tests compile far more


@pytest.fixture(params=KINDS)
def code(request):
    """Run the test once for each kind of code, which programs then have from their first run on."""
    with code_of(request.param):
        yield request.param


@pytest.fixture(scope="session", autouse=True)
def processor():
    """Compile for a processor that has the features in the environment variable alone, if it is set.

    The compiler reads the processor's features once a process, so this has to happen before the first test.
    """
    with pytest.MonkeyPatch.context() as patch:
        if FEATURES in os.environ:
            features = llvm.FeatureMap(dict.fromkeys(os.environ[FEATURES].split(), True))
            patch.setattr(llvm, "get_host_cpu_name", lambda: "")
            patch.setattr(llvm, "get_host_cpu_features", lambda: features)
        yield


@pytest.fixture(scope="session", autouse=True)
def compile_at_once():
    """Make native code in the call that decides to make it, so tests know when it is there.

    The tests in test_background.py make it in the background, as users do. The compiler does not ask whether objects
    are frozen for the garbage collector: all tests are (see tests/conftest.py), and counting them takes long.
    """
    with settings({"threads.background.IN_BACKGROUND": False, "threads.collector.MANY_OBJECTS": math.inf}):
        yield


@pytest.fixture(autouse=True)
def no_code_of_earlier_tests():
    """Let programs share the code of programs of the same test alone, so each test begins with threaded code."""
    forget_tiers()


@pytest.fixture(scope="module", autouse=True)
def generated_once(request, processor, tmp_path_factory):
    """Let LLVM generate machine code once for all processes of a run: a third of the texts are repetitions.

    LLVM still parses and verifies each text. It generates the same code for the same text, level and processor.
    """
    if request.module.__name__.endswith(DISTURBED):
        yield
        return
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "machine_code"
    folder.mkdir(exist_ok=True)
    generate, kept = Machine.generate, itertools.count()

    def find(self, module, level):
        asked = repr((str(module), level, self.name, self.triple, self.features))
        path = folder / hashlib.sha256(asked.encode()).hexdigest()
        if path.exists():
            return path.read_bytes()
        code = generate(self, module, level)
        if next(kept) < MOST_KEPT:
            written = path.with_name(f"{path.name}.{os.getpid()}")
            written.write_bytes(code)
            written.replace(path)  # at once, for other processes
        return code

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Machine, "generate", find)
        yield


@pytest.fixture
def sorts(monkeypatch):
    """Return a list to which the count of rows is appended each time that rows are sorted."""
    counts = []
    split = CompiledGuards.split

    def counted(self, data, index, *arguments):
        counts.append(len(index))
        return split(self, data, index, *arguments)

    monkeypatch.setattr(CompiledGuards, "split", counted)
    return counts
