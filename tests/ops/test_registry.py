"""A row is found, copied and pickled by its name."""

import copy
import math
import pickle
import subprocess
import sys

import pytest

import micrograd_cn as mc
from micrograd_cn import Op, define

from .test_operation import cube


def test_define_refuses_a_taken_name_and_what_is_no_operation(table):
    define(cube())
    with pytest.raises(ValueError, match="'cube' is already defined"):
        define(cube())
    with pytest.raises(TypeError, match="takes an Op, got function"):
        define(lambda x: x)


def test_a_row_is_copied_as_itself_and_pickled_if_it_is_in_the_table():
    for op in (mc.tanh, cube(), Op("tanh", math.tanh, (lambda y, x: 1.0 - y * y,))):
        assert copy.copy(op) is copy.deepcopy([op])[0] is op
        if op is not mc.tanh:
            with pytest.raises(TypeError, match=rf"cannot pickle the operation '{op.name}'.*define\(\) it"):
                pickle.dumps(op)


def test_a_row_that_is_not_defined_where_it_is_unpickled_is_named(table):
    pickled = pickle.dumps(define(cube()))
    del table["cube"]
    with pytest.raises(LookupError, match=r"the operation 'cube' was pickled but is not in the table.*define\(\) it"):
        pickle.loads(pickled)


def test_a_row_is_unpickled_where_nothing_is_imported_yet():
    code = f"import pickle; print(pickle.loads({pickle.dumps(mc.tanh)!r})(0.0))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "0.0\n"
