"""All kinds of code, for tests that hold for each; and other processors, where pytest was started for one."""

import os

import llvmlite.binding as llvm
import pytest

from .common import KINDS, code_of

FEATURES = "MICROGRAD_CN_TEST_FEATURES"  # what the processor has, as test_machine.py says; this one has more


@pytest.fixture(params=KINDS)
def code(request):
    """Run every kind of code, from the first run on."""
    with code_of(request.param):
        yield request.param


@pytest.fixture(scope="session", autouse=True)
def processor():
    """Let the machine of this process, which nothing has asked for yet, have no other features than are said."""
    with pytest.MonkeyPatch.context() as patch:
        if FEATURES in os.environ:
            features = llvm.FeatureMap(dict.fromkeys(os.environ[FEATURES].split(), True))
            patch.setattr(llvm, "get_host_cpu_name", lambda: "")
            patch.setattr(llvm, "get_host_cpu_features", lambda: features)
        yield
