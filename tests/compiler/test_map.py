"""The page that leads through this package names the folders, files and functions through which a call passes."""

import re
import sys
from types import FrameType
from typing import Any

import micrograd_cn.compiler
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.llvm.machine import machine
from micrograd_cn.compiler.tables.tables import written

from .common import settings


def called(f: Any) -> list[tuple[str, str]]:
    """Return the module and the qualified name of the package's functions that `f()` calls.

    They are in the order of their first calls. A class stands for its method __init__.
    """
    found: dict[tuple[str, str], None] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_globals.get("__name__", "").startswith("micrograd_cn.compiler."):
            module = frame.f_globals["__name__"].removeprefix("micrograd_cn.compiler.")
            found[module, frame.f_code.co_qualname.removesuffix(".__init__")] = None

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        f()
    finally:
        sys.setprofile(before)
    return [*found]


def as_in_a_new_process(monkeypatch):
    for name, value in (("addresses", ({}, {})), ("kernels", {})):
        monkeypatch.setattr(machine(), name, value)
    written.cache_clear()


def test_a_first_call_reaches_the_folders_in_the_order_of_the_page(monkeypatch):
    as_in_a_new_process(monkeypatch)
    listed, _ = micrograd_cn.compiler.__doc__.split("\n\nThese are the other folders and modules:\n\n")
    helpers = ("check_gradient_flow", "machine", "FrequentCalls")
    found = called(lambda: compile(lambda x, y: x * y)(2.0, 3.0))
    folders = dict.fromkeys(module.partition(".")[0] for module, name in found if name not in helpers)
    assert [folder for folder in folders if folder != "threads"] == re.findall(r"(?m)^    (\w+) ", listed)


def test_a_multiplication_passes_through_the_eight_files_of_the_page(monkeypatch):
    as_in_a_new_process(monkeypatch)
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
