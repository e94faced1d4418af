"""Both kinds of code, for tests that hold for either; and other processors, where pytest was started for one."""

import os
from math import inf

import llvmlite.binding as llvm
import pytest

FEATURES = "MICROGRAD_CN_TEST_FEATURES"  # what the processor has, as test_machine.py says; this one has more


@pytest.fixture(params=["threaded", "native"])
def code(request, monkeypatch):
    """Run threaded code, however long it runs, or native code from the first run on."""
    monkeypatch.setattr("micrograd_cn.compiler.executable.PATIENCE", {"threaded": inf, "native": 0.0}[request.param])
    return request.param


@pytest.fixture(scope="session", autouse=True)
def processor():
    """Let the machine of this process, which nothing has asked for yet, have no other features than are said."""
    with pytest.MonkeyPatch.context() as patch:
        if FEATURES in os.environ:
            features = llvm.FeatureMap(dict.fromkeys(os.environ[FEATURES].split(), True))
            patch.setattr(llvm, "get_host_cpu_name", lambda: "")
            patch.setattr(llvm, "get_host_cpu_features", lambda: features)
        yield
