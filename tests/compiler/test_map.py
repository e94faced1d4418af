"""The page that leads through this package names the files and functions through which a multiplication passes."""

import re
import sys
from types import FrameType
from typing import Any

import micrograd_cn.compiler
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.llvm.machine import machine
from micrograd_cn.compiler.tables.tables import written

from .common import settings


def called(f: Any) -> set[tuple[str, str]]:
    """Return the module and the qualified name of the package's functions that `f()` calls.

    A class stands for its method __init__.
    """
    found = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_globals.get("__name__", "").startswith("micrograd_cn.compiler."):
            module = frame.f_globals["__name__"].removeprefix("micrograd_cn.compiler.")
            found.add((module, frame.f_code.co_qualname.removesuffix(".__init__")))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        f()
    finally:
        sys.setprofile(before)
    return found


def test_a_multiplication_passes_through_the_eight_files_of_the_page(monkeypatch):
    for name, value in (("addresses", ({}, {})), ("kernels", {})):  # as in a new process
        monkeypatch.setattr(machine(), name, value)
    written.cache_clear()
    steps = re.findall(r"(?m)^    (\d) ([\w.]+) +(.*(?:\n {29}.*)*)", micrograd_cn.compiler.__doc__)
    assert [number for number, _, _ in steps] == [*"12345678"]
    with settings({"runtime.executable.SECONDS_BEFORE_NATIVE": 0.0}):
        found = called(lambda: compile(lambda x, y: x * y)(2.0, 3.0))
    ends = {name for _, name in found} | {name.rpartition(".")[2] for _, name in found}
    for _, module, text in steps:
        names = {*re.findall(r"`([\w.]*[A-Z_]\w*[\w.]*)`", text)} - {"Value"}
        assert names, module
        assert {name for name in names if name not in ends} == set(), module
        assert any(place == module and name in names for place, name in found), module
