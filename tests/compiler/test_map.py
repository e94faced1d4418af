"""The page that leads through this package names functions that a first batch really calls."""

import re
import sys
from types import FrameType
from typing import Any

import micrograd_cn.compiler
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.llvm.machine import machine
from micrograd_cn.compiler.tables.tables import written


def called_names(f: Any, *args: Any) -> set[str]:
    """Return the qualified names of the package's functions that a call of `f` calls; a class stands for __init__."""
    found = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_globals.get("__name__", "").startswith("micrograd_cn.compiler"):
            found.add(frame.f_code.co_qualname.removesuffix(".__init__"))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        f(*args)
    finally:
        sys.setprofile(before)
    return found


def test_the_first_batch_of_a_product_calls_what_the_page_names(monkeypatch):
    for name, value in (("addresses", ({}, {})), ("kernels", {})):  # as in a new process
        monkeypatch.setattr(machine(), name, value)
    written.cache_clear()
    steps = re.findall(r"(?m)^    \d ([\w.]+) +(.*(?:\n {30}.*)*)", micrograd_cn.compiler.__doc__)
    assert [module for module, _ in steps][::7] == ["function.jit", "llvm.machine"]
    names = {name for _, text in steps for name in re.findall(r"`([\w.]*[A-Z_]\w*[\w.]*)`", text)}
    w = Value(3.0)
    f = compile(lambda x: w * x)
    found = called_names(f.forward, [(1.0,), (2.0,), (3.0,)])
    ends = found | {name.rpartition(".")[2] for name in found}
    used = names - {"Value"}
    assert len(used) > 20
    assert {name for name in used if name not in ends and name.rpartition(".")[2] not in ends} == set()
