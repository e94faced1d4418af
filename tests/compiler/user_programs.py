"""Random programs as users write them, and a comparison of each with itself, compiled and not.

    python -m tests.compiler.user_programs  # a thousand programs
    python -m tests.compiler.user_programs --programs 10000 --seed 3 --interrupts 500

A program is the text of a Python module with a function `make`, which returns a function of numbers and the parameters
that it uses. Its statements are drawn from what users write: branches, loops, early returns, helpers, classes,
closures, exceptions that are caught, threads, numpy, dataclasses and generators. A few functions read something outside
that is changed between two calls, or change it themselves, as by taking the next item of an iterator. The function is
called as it is, and compiled, with and without `branches`. Values, gradients and training must be the same, or the
compiler must refuse the program with an error of its own. It must refuse the program if a second call gives another
number. With `--interrupts`, some programs are interrupted at random lines of the package while they are compiled, and
compared afterwards.
"""

from __future__ import annotations

import argparse
import builtins
import dis
import math
import random
import sys
import textwrap
import types
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.optim import SGD

from .common import PREPARED_AT_ONCE, settings
from .interrupts import is_interruptible

PACKAGE = str(Path(mc.__file__).parent)
HEADER = """\
import collections, copy, dataclasses, functools, io, itertools, math, operator, statistics, types
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import micrograd_cn as mc
from micrograd_cn import Value, functional, no_grad
from micrograd_cn.nn import MLP, Module

SCALES = [0.5, -1.5, 2.0]


class Refused(Exception):
    pass


@dataclasses.dataclass
class Point:
    x: object
    y: object = 0.25

    def norm(self):
        return (self.x * self.x + self.y * self.y + 0.1).sqrt() if isinstance(self.x + self.y, Value) else 1.0


class Cell(Module):
    def __init__(self, w, b):
        self.w, self.b = w, b

    def __call__(self, x):
        return mc.tanh(self.w * x + self.b)

    @property
    def size(self):
        return abs(self.w) + abs(self.b)


def checked(a):
    if a > 1.5:
        raise Refused("too large")
    return a * a


def halves(a, n=3):
    while n:
        a, n = a * 0.5, n - 1
        yield a


def power(a, n):
    return a if n == 0 else mc.sin(power(a, n - 1) + 0.1)


def detached(a):
    return a.detach() if isinstance(a, Value) else a


def clamp(a, low=-1.0, high=1.0):
    if a < low:
        return low
    if a > high:
        return high
    return a


"""
# What some functions read, and `change` changes between two calls
READ = """\
held, table, stream = types.SimpleNamespace(scale=0.5), {"a": 0.5}, io.StringIO("0.5")
stored, large = functools.lru_cache(lambda: [0.5]), [0.5] * 10_018


def repeated(numbers=[0.5]):
    while True:
        numbers[0] = (yield numbers) or numbers[0]


sent = repeated()
next(sent)


def change():
    held.scale += 1.0
    table["a"] += 1.0
    stream.write("0.75")
    stored()[0] += 1.0
    sent.send(1.5)


make.change = change"""
READS = ["held.scale", "table['a']", "float(stream.getvalue())", "stored()[0]", "sent.send(None)[0]"]
READS += ["held.scale * len(large) / 1e4", "getattr(held, 'scale')", "[*table.values()][0]", "vars(held)['scale']"]
# What some functions change
OUTSIDE = """\
kept, buffer, recent = [0.5], np.array([0.5, 1.0]), collections.deque([1.0, 1.0, 1.0, 2.0])
items, steps, rows = iter([1.0] * 3 + [2.0] * 999), itertools.count(), io.StringIO("1\\n" * 3 + "2\\n" * 999)"""
CHANGED = ("kept", "buffer", "recent", "items", "steps", "rows")  # the names of these
DIFFERS = "does not do the same in each call"
SIGNATURES = {  # the parameters of a drawn function, and how its numbers are reached
    "x, y": ["x", "y"],
    "x, y=0.5": ["x", "y"],
    "v": ["v[0]", "v[1]", "v[2]"],
    "x, v": ["x", "v[0]", "v[-1]"],
    "point": ["point['a']", "point['b']"],
    "*xs": ["xs[0]", "xs[1]"],
    "x, *, y": ["x", "y"],
}


class Author:
    """Write one random program.

    Args:
        rng: the source of random choices.

    Attributes:
        signature: the key of SIGNATURES that was drawn.
        text: the text of the module.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.signature = rng.choice([*SIGNATURES])
        self._names = [*SIGNATURES[self.signature], "w[0]", "w[1]", "w[2]"]
        self._count = 0
        body = [line for _ in range(rng.randint(1, 5)) for line in self.statement(2)]
        result = self.expression(2)
        if rng.random() < 0.2:
            body.append(f"return mc.tanh({result}) + 0.1 * mc.mean([{self.expression(1)}, {self.expression(1)}])")
        else:
            body.append(f"return {result}")
        lines = [f"def f({self.signature}):", *indented(body)]
        weights = ", ".join(f"Value({rng.uniform(-1.5, 1.5):.2f})" for _ in range(3))
        outside = [*READ.split("\n"), *OUTSIDE.split("\n")]
        made = [f"w = [{weights}]", "cell = Cell(w[0], w[1])", *outside, *lines, "return f, w"]
        self.text = HEADER + "\n".join(["def make():", *indented(made), ""])

    # Expressions.

    def name(self) -> str:
        return self.rng.choice(self._names)

    def number(self) -> str:
        return repr(self.rng.choice([0.5, 2.0, -1.0, 0.25, 3.0, 1.0, -0.5, 1.5, round(self.rng.uniform(-2, 2), 3)]))

    def fresh(self) -> str:
        self._count += 1
        return f"t{self._count}"

    def expression(self, depth: int) -> str:
        """Return the text of an expression whose value is a number or a `Value`, and of moderate size."""
        rng, e = self.rng, self.expression
        if depth <= 0:
            return self.name() if rng.random() < 0.85 else self.number()
        d = depth - 1
        kinds: list[Callable[[], str]] = [
            lambda: f"({e(d)} {rng.choice('+-*')} {e(d)})",
            lambda: f"({e(d)} {rng.choice('+-*')} {e(d)})",
            lambda: f"mc.{rng.choice(['tanh', 'sin', 'relu', 'sigmoid', 'cos', 'softplus'])}({e(d)})",
            lambda: f"mc.{rng.choice(['maximum', 'minimum'])}({e(d)}, {e(d)})",
            lambda: f"({e(d)} / (2.5 + mc.tanh({e(d)})))",
            lambda: f"mc.tanh({e(d)}) ** {rng.choice([2, 3])}",
            lambda: f"(mc.exp(mc.tanh({e(d)})))",
            lambda: f"mc.sqrt(1.5 + mc.sin({e(d)}))",
            lambda: f"({e(d)} if {self.condition(d)} else {e(d)})",
            lambda: f"mc.where(mc.less({e(d)}, {e(d)}), {e(d)}, {e(d)})",
            lambda: f"{rng.choice(['max', 'min'])}({e(d)}, {e(d)})",
            lambda: f"abs({e(d)})",
            lambda: f"-({e(d)})",
            lambda: f"sum([{e(d)}, {e(d)}])",
            lambda: f"sum(a * {self.number()} for a in ({e(d)}, {e(d)}, {self.number()}))",
            lambda: f"mc.dot([{e(d)}, {e(d)}], [{e(d)}, {self.number()}])",
            lambda: f"clamp({e(d)})",
            lambda: f"clamp(high=0.5, a={e(d)})",
            lambda: f"cell({e(d)})",
            lambda: f"power({e(d)}, {rng.randint(0, 3)})",
            lambda: f"sum(halves({e(d)}))",
            lambda: f"Point({e(d)}, {e(d)}).norm()",
            lambda: f"dataclasses.replace(Point({e(d)}), y={e(d)}).y",
            lambda: f"(lambda a, b={self.number()}: a * b + {e(d)})({e(d)})",
            lambda: f"functools.reduce(operator.mul, [{e(d)}, {self.number()}, {e(d)}])",
            lambda: f"[*itertools.accumulate([{e(d)}, {e(d)}, {self.number()}])][-1]",
            lambda: f"{{'a': {e(d)}, 'b': {e(d)}}}['{rng.choice('ab')}']",
            lambda: f"sorted([{e(d)}, {e(d)}, {self.number()}])[{rng.choice([0, 1, -1])}]",
            lambda: f"mc.softmax([{e(d)}, {e(d)}])[0]",
            lambda: f"mc.take([{e(d)}, {e(d)}, {self.number()}], {rng.randint(0, 2)})",
            lambda: f"(np.array([{e(d)}, {e(d)}]) * {self.number()}).sum()",
            lambda: f"np.dot(np.array([{e(d)}, {e(d)}]), np.array([{self.number()}, {e(d)}]))",
            lambda: f"np.mean([{e(d)}, {e(d)}])",
            lambda: f"cell.size * {e(d)}",
            lambda: f"next(a for a in [{e(d)}, {e(d)}] if {self.condition(d)} or True)",
            lambda: f"sum(a * b for a, b in zip(SCALES, [{e(d)}, {e(d)}]))",
            lambda: f"{e(d)} * any([{self.condition(d)}, {self.condition(d)}])",
            lambda: f"min([{e(d)}, {e(d)}], key=lambda a: {rng.choice(['-a', 'a * a', 'abs(a)'])})",
            lambda: f"sorted([{e(d)}, {e(d)}, {e(d)}], key=lambda a: -a, reverse={rng.random() < 0.5})[0]",
            lambda: f"({e(d)} {rng.choice(['and', 'or'])} {e(d)})",
            lambda: f"(1.0 if {e(d)} else {e(d)})",
            lambda: f"({e(d)} if {self.name()} {rng.choice(['==', '!=', 'is', 'in'])} [{self.name()}] else {e(d)})",
            lambda: f"copy.{rng.choice(['copy', 'deepcopy'])}({e(d)})",
            lambda: f"mc.Value({self.number()}) * {e(d)}",
            lambda: f"detached({e(d)}) * {e(d)}",
            lambda: f"sum(filter(lambda a: a > {self.number()}, [{e(d)}, {e(d)}]), {self.number()})",
            lambda: f"sum(map(lambda a, b: a * b, [{e(d)}, {e(d)}], SCALES))",
            lambda: f"[{e(d)} for a in range(3) if a * {e(d)} < 2][:1][0:1] and {e(d)} or {self.number()}",
            lambda: f"list(itertools.takewhile(lambda a: a < 2.0, [0.0, {e(d)}, {e(d)}]))[-1]",
            lambda: f"np.maximum({e(d)}, {self.number()})",
            lambda: f"np.where({self.condition(d)}, 1.0, 2.0) * {e(d)}",
            lambda: f"isinstance({e(d)}, (int, float)) * {e(d)} + {e(d)}",
            lambda: f"len([*filter(None, [{e(d)}, 0.0, 1.0])]) * {e(d)}",
            lambda: f"statistics.fmean([{self.number()}, 2.0]) * {e(d)}",
        ]  # fmt: skip
        return rng.choice(kinds[:24] if rng.random() < 0.5 else kinds)()  # the later kinds are often refused

    def condition(self, depth: int) -> str:
        rng, e = self.rng, self.expression
        kinds = [
            lambda: f"{e(depth)} {rng.choice(['<', '>', '<=', '>='])} {self.number()}",
            lambda: f"{e(depth)} {rng.choice(['<', '>'])} {e(depth)}",
            lambda: f"-0.5 < {e(depth)} < {self.number()}",
            lambda: f"not {e(depth)} > {e(depth)}",
            lambda: (
                f"({self.condition(depth - 1)} {rng.choice(['and', 'or'])} {self.condition(depth - 1)})"
                if depth > 0
                else f"{self.name()} > 0"
            ),
        ]
        return rng.choice(kinds)()

    # Statements.

    def block(self, depth: int) -> list[str]:
        names = [*self._names]
        lines = [line for _ in range(self.rng.randint(1, 2)) for line in self.statement(depth)]
        self._names = names
        return indented(lines)

    def assigned(self, text: str) -> list[str]:
        name = self.fresh()
        self._names.append(name)
        return [f"{name} = {text}"]

    def statement(self, depth: int) -> list[str]:
        """Return the lines of one statement. Names that are bound in a block are not used after it."""
        rng, e = self.rng, self.expression
        local = [x for x in self._names if x.startswith("t")]
        kinds = ["assign"] * 4 + ["if", "if", "for", "while", "return", "try", "try own", "thread", "generator"]
        kinds += ["change", "sort", "dict", "kept"]
        kinds += ["class", "closure", "numpy", "walrus", "unpack", "no_grad", "grad", "match", "nonlocal", "finally"]
        kind = rng.choice(kinds) if depth > 0 else "assign"
        if depth > 0 and rng.random() < 0.02:
            kind = "state"
        elif depth > 0 and rng.random() < 0.03:
            kind = "outside"
        if kind == "assign" and local and rng.random() < 0.4:
            return [f"{rng.choice(local)} {rng.choice(['+=', '-=', '*='])} {e(1)}"]
        if kind == "if":
            lines = [f"if {self.condition(1)}:", *self.block(depth - 1)]
            if local:
                lines += indented([f"{rng.choice(local)} = {e(1)}"])
            return [*lines, "else:", *self.block(depth - 1)] if rng.random() < 0.5 else lines
        if kind == "for":
            name, k = self.fresh(), self.fresh()
            step = rng.choice([f"{k} * {e(0)}", e(1), f"SCALES[{k}] * {e(0)}"])
            lines = [f"{name} = {e(1)}", f"for {k} in range({rng.randint(1, 3)}):"]
            lines += indented([f"{name} = mc.tanh({name} + {step})"])
            if rng.random() < 0.3:
                lines += indented([f"if {name} > {self.number()}:", *indented([rng.choice(["break", "continue"])])])
            self._names.append(name)
            return lines
        if kind == "while":
            name, k = self.fresh(), self.fresh()
            lines = [f"{name}, {k} = {e(1)}, 0", f"while {name} < {self.number()} and {k} < 4:"]
            lines += indented([f"{name} = {name} + 0.5 + abs({e(0)})", f"{k} += 1"])
            self._names.append(name)
            return lines
        if kind == "return":
            return [f"if {self.condition(1)}:", *indented([f"return {e(1)}"])]
        if kind == "try":
            name = self.fresh()
            lines = ["try:", *indented([f"{name} = checked({e(1)})"])]
            lines += [f"except {rng.choice(['Refused', 'Exception'])}:", *indented([f"{name} = {e(1)}"])]
            self._names.append(name)
            return lines
        if kind == "try own":  # looks at a number, which the compiler refuses and the program catches
            name = self.fresh()
            look = rng.choice(["math.exp({})", "float({})", "{}.data", "int({})", "round({}, 2)", "format({}, '.2f')"])
            lines = ["try:", *indented([f"{name} = len(str({look.format(e(0))})) * 0.01 * {e(0)}"])]
            lines += ["except Exception:", *indented([f"{name} = {e(1)}"])]
            self._names.append(name)
            return lines
        if kind == "finally":
            name = self.fresh()
            self._names.append(name)
            return [f"{name} = 0.5", "try:", *indented([f"{name} = {e(1)}"]), "finally:", *indented([f"{name} *= 2"])]
        if kind == "thread":
            what = rng.choice([e(1), f"({self.condition(1)}) * 1.0", f"{self.name()} * 2"])
            name = self.fresh()
            self._names.append(name)
            lines = ["with ThreadPoolExecutor(1) as pool:"]
            return [*lines, *indented([f"{name} = pool.submit(lambda: {what}).result()"])]
        if kind == "generator":
            made, name = self.fresh(), self.fresh()
            lines = [f"def {made}(n):", *indented([f"a = {e(1)}", "for k in range(n):"])]
            lines += indented(indented([f"yield a * k + {e(0)}", f"if a > {self.number()}:", "    return"]))
            self._names.append(name)
            return [*lines, f"{name} = sum({made}({rng.randint(1, 3)}))"]
        if kind == "class":
            made, name = self.fresh(), self.fresh()
            lines = [f"class {made}:", *indented(["def __init__(self, a):", *indented(["self.a, self.calls = a, 0"])])]
            lines += indented(["def __call__(self, b):", *indented(["self.calls += 1", f"return self.a * b + {e(0)}"])])
            lines.append(f"{name} = {made}({e(1)})({e(1)})")
            self._names.append(name)
            return lines
        if kind == "closure":
            made, name = self.fresh(), self.fresh()
            lines = [f"{made} = [lambda a, k=k: a * k + {e(0)} for k in range({rng.randint(1, 3)})]"]
            lines.append(f"{name} = sum(g({e(0)}) for g in {made})")
            self._names.append(name)
            return lines
        if kind == "nonlocal":
            made, name = self.fresh(), self.fresh()
            lines = [f"{name} = {e(1)}", f"def {made}(a):"]
            lines += indented([f"nonlocal {name}", f"{name} = {name} * a", f"return {name}"])
            self._names.append(name)
            return [*lines, f"{made}({e(0)})"]
        if kind == "numpy":
            name, a = self.fresh(), self.fresh()
            lines = [f"{a} = np.array([{e(1)}, {e(1)}, {self.number()}])"]
            ends = [f"{a}.sum()", f"({a} * {a}[::-1])[0]", f"{a} @ {a}", f"np.prod({a})", f"{a}.reshape(3, 1)[1, 0]"]
            self._names.append(name)
            return [*lines, f"{name} = {rng.choice(ends)}"]
        if kind == "change" and self._names[0].startswith("v["):
            return [rng.choice([f"v[0] = {e(1)}", f"v.append({e(1)})", f"v.insert(0, {e(1)})", f"v[1] *= {e(1)}"])]
        if kind == "sort" and self._names[0].startswith("v["):
            return [rng.choice(["v.sort()", "v.reverse()", f"v.sort(key=lambda a: a * {self.number()})"])]
        if kind == "dict":
            name, d = self.fresh(), self.fresh()
            lines = [f"{d} = dict(a={e(1)}, b={e(1)})", f"{d}['c'] = {d}.get('{rng.choice('abz')}', {e(0)})"]
            self._names.append(name)
            return [*lines, f"{name} = sum(k * a for k, a in enumerate({d}.values()))"]
        if kind == "state":  # which the next call finds changed
            name, other = self.fresh(), self.fresh()
            changes = {
                f"kept.append({self.number()})": "len(kept)",
                f"{other} = kept; {other} += [1.0]": "len(kept)",
                f"{other} = buffer[1:]; {other} *= 0.5": "buffer[1]",
                "np.add(buffer, 1.0, buffer)": "buffer[0]",
                "recent.rotate(1)": "recent[0]",
                f"{other} = next(items)": other,
                f"{other} = next(steps)": f"({other} // 4)",
                f"{other} = float(rows.readline())": other,
            }
            change, read = rng.choice([*changes.items()])
            used = f"{name} = {read} * 0.1 * {e(1)}"
            self._names.append(name)
            return [change, used]
        if kind == "outside":
            name, text = self.fresh(), f"{rng.choice(READS)} * {e(1)}"
            self._names.append(name)
            return [f"{name} = {text}"]
        if kind == "kept":  # a module keeps what it computed
            name = self.fresh()
            lines = [f"cell.last = {e(1)}", f"{name} = cell.last * {e(0)}"]
            self._names.append(name)
            return lines
        if kind == "walrus":
            name = self.fresh()
            lines = [f"if ({name} := {e(1)}) > {self.number()}:", *indented([f"{name} = {name} * 0.5"])]
            self._names.append(name)
            return lines
        if kind == "unpack":
            a, b = self.fresh(), self.fresh()
            lines = [f"{a}, *{b} = [{e(1)}, {e(0)}, {e(0)}]", f"{a}, {b} = {b}[0], {a}"]
            self._names += [a, b]
            return lines
        if kind == "no_grad":
            name = self.fresh()
            lines = ["with no_grad():", *indented([f"{name} = {e(1)}"])]
            self._names.append(name)
            return lines
        if kind == "grad":
            return self.assigned(f"functional.grad(lambda z: mc.tanh(z * {e(1)}) * z)({e(0)})")
        if kind == "match":
            name = self.fresh()
            lines = [f"match ({self.condition(0)}, {rng.randint(0, 2)}):"]
            lines += indented(["case (True, 1 | 2):", f"    {name} = {e(1)}", "case _:", f"    {name} = {e(0)}"])
            self._names.append(name)
            return lines
        return self.assigned(e(2))


def indented(lines: Sequence[str]) -> list[str]:
    return ["    " + line for line in lines]


# The comparison


class Different(Exception):
    """Raised when the compiled program gives other numbers than the function; the message says where."""


def call(f: Callable[..., Any], signature: str, numbers: Sequence[Any]) -> Any:
    """Call `f`, which has one of the SIGNATURES, with three numbers or `Value`s."""
    x, y, z = numbers
    if signature in ("x, y", "x, y=0.5"):
        return f(x, y)
    if signature == "*xs":
        return f(x, y)
    if signature == "v":
        return f([x, y, z])
    if signature == "x, v":
        return f(x, [y, z])
    if signature == "point":
        return f({"a": x, "b": y})
    return f(x, y=y)


def sample(signature: str, numbers: Sequence[float]) -> Any:
    """Return the sample for `fit` with which `call` calls a function, or None if there is no such form."""
    x, y, z = numbers
    forms = {"x, y": (x, y), "x, y=0.5": (x, y), "v": ([x, y, z],), "x, v": (x, [y, z]), "point": ({"a": x, "b": y},)}
    return forms.get(signature)


def same(a: Any, b: Any, rel: float = 1e-8) -> bool:
    """Return whether two numbers agree, nan with nan."""
    return a == b or (a != a and b != b) or math.isclose(a, b, rel_tol=rel, abs_tol=rel)


def number(y: Any) -> float:
    return float(y.data if isinstance(y, Value) else y)


def module(text: str) -> Callable[[], tuple[Callable[..., Any], list[Value]]]:
    """Execute the text of a module, and return its function `make`."""
    made = sys.modules["user_program"] = types.ModuleType("user_program")  # dataclasses look their module up
    exec(builtins.compile(text, "<user program>", "exec"), vars(made))
    found: Callable[[], tuple[Callable[..., Any], list[Value]]] = vars(made)["make"]
    return found


class Comparison:
    """Compare a program with itself, compiled.

    Args:
        text: the text of the module.
        signature: the key of SIGNATURES with which the function is called.
        rng: draws the samples.

    Attributes:
        counts: how many comparisons were made, and how many were refused, by kind.
    """

    def __init__(self, text: str, signature: str, rng: random.Random) -> None:
        self.make, self.signature = module(text), signature
        body = text.rpartition("\n    def f(")[2]
        self._changes_state = any(name in body for name in CHANGED)
        self.samples = [[round(rng.uniform(-2, 2), 3) for _ in range(3)] for _ in range(4)]
        self.counts: Counter[str] = Counter()

    def run(self, before: Callable[[Callable[[], Any]], None] | None = None) -> None:
        """Compare calls, `backward`, gradients, `value_and_grad` and `fit`, with branches and without, and with arrays.

        Args:
            before: called with a function that uses the compiled program; it may interrupt the function.
        """
        rows = [sample(self.signature, numbers) for numbers in self.samples]
        eager = [self._eager(numbers) for numbers in self.samples]
        for branches in (True, False):
            told = self._values(branches, before)  # of numbers that each call changes, so later calls differ
            if not told and None not in rows and None not in eager:
                self._backward(branches, rows, eager, before)
                self._gradient(branches, rows, eager)
                self._value_and_grad(branches, rows, eager)
                self._arrays(branches, eager)
                self._fit(branches, rows, before)

    def _attempt(self, kind: str, f: Callable[[], Any]) -> Any:
        """Return f(), or None if it is refused by an error that the package raises for a program that it cannot run."""
        self.counts[kind] += 1
        try:
            return f()
        except (TypeError, ValueError, AssertionError, IndexError, RuntimeError, ZeroDivisionError) as error:
            if crashed(error):
                raise Different(f"{kind}: {type(error).__name__}: {error}, which the package did not raise") from error
            if DIFFERS in str(error) and not self._changes_state and self._is_repeatable():
                raise Different(f"{kind}: {error}") from error
            self.counts[f"{kind} refused"] += 1
            return None

    def _is_repeatable(self) -> bool:
        """Return whether a second call of the function does the same as the first, for all samples."""
        return all(map(self._repeats, self.samples))

    def _repeats(self, numbers: Sequence[float]) -> bool | None:
        """Return whether a second call for one sample does the same as the first; None if one of them raises an error.

        Most drawn programs do the same. But a `Module` refuses a number in an attribute that held a parameter after the
        first call.
        """
        f, _ = self.make()
        try:
            count = 9 if self._changes_state else 2
            first, *later = [number(call(f, self.signature, [*map(Value, numbers)])) for _ in range(count)]
        except Exception:  # whatever the drawn program raises
            return None
        return all(same(first, x) for x in later)

    def _eager(
        self, numbers: Sequence[float], leaves: bool = True, changed: bool = False
    ) -> tuple[float, list[float], list[float]] | None:
        """Return the value, the gradients of the parameters and those of the arguments; None if the function raises.

        Unless `leaves` is set, the arguments are results of an operation. If `changed` is set, what the function reads
        is changed before.
        """
        f, w = self.make()
        if changed:
            vars(self.make)["change"]()
        xs = [Value(x) for x in numbers]
        try:
            y = call(f, self.signature, xs if leaves else [x * 1.0 for x in xs])
        except Exception:  # whatever the drawn program raises
            return None
        if isinstance(y, Value) and y.requires_grad:
            y.backward()
        return number(y), [p.grad for p in w], [x.grad for x in xs]

    def _differ(self, kind: str, branches: bool, found: Any, expected: Any) -> None:
        if not all(map(same, found, expected)):
            raise Different(f"{kind}, branches={branches}: {found}, expected {expected}")

    def _values(self, branches: bool, before: Any) -> bool:
        """Compare calls. Return whether a warning has named numbers that the function reads and changes."""
        f, _ = self.make()
        change, told = vars(self.make)["change"], False
        program = compile(f, branches=branches)
        if before:
            before(lambda: call(program, self.signature, self.samples[0]))
        for numbers in self.samples:
            expected = self._eager(numbers)
            with warnings.catch_warnings(record=True) as warned:
                warnings.filterwarnings("always", ".* reads and changes")
                found = self._attempt("calls", partial(call, program, self.signature, numbers))
            told |= any("reads and changes" in str(x.message) for x in warned)
            if found is None or told:
                continue
            if expected is None:  # a derivative refuses a leaf that the function uses besides, but not a number
                expected = self._eager(numbers, leaves=False)
            if expected is None:
                raise Different(f"a call, branches={branches}: {found}, where the function raises an error")
            self._differ("a call", branches, [number(found)], expected[:1])
            if self._repeats(numbers) is False:
                raise Different(f"a call, branches={branches}: {found}, where the function gives another number later")
        if self._changes_state:
            return told
        change()
        for numbers in self.samples:
            found = self._attempt("calls after a change", partial(call, program, self.signature, numbers))
            expected = self._eager(numbers, changed=True) or self._eager(numbers, leaves=False, changed=True)
            if found is not None and expected is not None:
                self._differ("a call after a change", branches, [number(found)], expected[:1])
        return told

    def _backward(self, branches: bool, rows: list[Any], eager: list[Any], before: Any) -> None:
        f, w = self.make()
        program = compile(f, branches=branches)
        if before:
            before(lambda: program.backward(rows))
            for p in w:
                p.grad = 0.0
        for _ in range(2):  # the second call may run a merged program
            for p in w:
                p.grad = 0.0
            loss = self._attempt("backward", lambda: program.backward(rows))
            if loss is None:
                return
            n = len(rows)
            expected = [sum(e[0] for e in eager) / n, *(sum(g) / n for g in zip(*(e[1] for e in eager), strict=True))]
            self._differ("backward", branches, [loss, *(p.grad for p in w)], expected)

    def _gradient(self, branches: bool, rows: list[Any], eager: list[Any]) -> None:
        f, _ = self.make()
        program = compile(f, branches=branches)
        used = {"x, y": 2, "x, y=0.5": 2, "v": 3, "x, v": 3, "point": 2}[self.signature]
        for _ in range(2):
            found = self._attempt("gradient", lambda: program.gradient(rows))
            if found is None:
                return
            for row, e in zip(found, eager, strict=True):
                self._differ("gradient", branches, flat(row), e[2][:used])

    def _value_and_grad(self, branches: bool, rows: list[Any], eager: list[Any]) -> None:
        """Compare values and gradients of the mean and of each sample, and the Hessian of the mean with their mean."""
        f, w = self.make()
        program = compile(f, branches=branches)
        for _ in range(2):
            found = self._attempt("value_and_grad", lambda: program.value_and_grad(rows))
            if found is None:
                return
        n, place = len(rows), {p: i for i, p in enumerate(program.parameters)}
        chosen = [k for k, p in enumerate(w) if p in place]
        of_mean = [sum(e[1][k] for e in eager) / n for k in chosen]
        # The gradient of a value that was computed before the call goes to other parameters
        if not program._recorder.captured:
            ours = [found[1][place[w[k]]] for k in chosen]
            self._differ("value_and_grad", branches, [found[0], *ours], [sum(e[0] for e in eager) / n, *of_mean])
        for _ in range(2):
            values, gradients = program.value_and_grad(rows, "inputs", each=True)
            for value, gradient, e in zip(values, gradients, eager, strict=True):
                self._differ("value_and_grad of a sample", branches, [value, *gradient], [e[0], *e[2][: len(gradient)]])
        each = self._attempt("hessian", lambda: program.hessian(rows, dense=True))
        mean = self._attempt("hessian of the mean", lambda: program.hessian(rows, dense=True, mean=True))
        if each and mean:
            expected = [sum(x) / n for x in zip(*map(flat, each), strict=True)]
            if all(map(math.isfinite, expected)):
                self._differ("hessian of the mean", branches, flat(mean), expected)

    def _arrays(self, branches: bool, eager: list[Any]) -> None:
        """Compare calls with arrays of a shape that was seen before, if each argument is a number."""
        if self.signature != "x, y":
            return
        f, w = self.make()
        program, numbers = compile(f, branches=branches), np.array(self.samples)
        arrays, n = (numbers[:, 0].copy(), numbers[:, 1]), len(numbers)
        with settings(PREPARED_AT_ONCE):
            for _ in range(3):
                for p in w:
                    p.grad = 0.0
                loss = self._attempt("backward with arrays", lambda: program.backward(arrays))
                if loss is None:
                    return
                expected = [sum(g) / n for g in zip(*(e[1] for e in eager), strict=True)]
                found = [loss, *(p.grad for p in w)]
                self._differ("backward with arrays", branches, found, [sum(e[0] for e in eager) / n, *expected])
                results = self._attempt("forward with arrays", lambda: program.forward(arrays))
                if results is None:  # a module refuses a number in an attribute that held a parameter in the first call
                    return
                self._differ("forward with arrays", branches, results, [e[0] for e in eager])
                slopes = flat([e[2][:2] for e in eager])
                self._differ("gradient with arrays", branches, flat(program.gradient(arrays).tolist()), slopes)

    def _fit(self, branches: bool, rows: list[Any], before: Any) -> None:
        f, w = self.make()
        program = compile(f, branches=branches)
        if before:
            before(lambda: program.fit(rows, SGD(w, lr=0.0), epochs=1))
        trained = SGD(w, lr=0.01)
        if self._attempt("fit", lambda: program.fit(rows, trained, epochs=3, batch_size=2)) is None:
            return
        with settings(PREPARED_AT_ONCE | {"threads.background.IN_BACKGROUND": False}):
            # The last ones by code that is kept from call to call, if there may be such code
            for options in ({}, {}, {"callback": lambda number, loss: None}, {}):
                if self._attempt("short fit", lambda has=options: program.fit(rows, trained, 1, **has)) is None:
                    return
        g, u = self.make()
        optimizer = SGD(u, lr=0.01)
        for batch in [self.samples[:2], self.samples[2:]] * 3 + [self.samples] * 4:
            constants = [[Value._constant(x) for x in numbers] for numbers in batch]
            ys = self._attempt("plain fit", lambda rows=constants: [call(g, self.signature, x) for x in rows])
            if ys is None:  # the module refuses a constant in an attribute that held a parameter
                return
            loss = mc.sum(ys) / len(batch)
            if isinstance(loss, Value) and loss.requires_grad:
                loss.backward()
            with warnings.catch_warnings():  # a batch may take branches that use none of the parameters
                warnings.filterwarnings("ignore", r"backward\(\) has reached none of the parameters")
                warnings.filterwarnings("ignore", r"all gradients of \w+ are 0, since backward")
                optimizer.step()
            optimizer.zero_grad()
        self._differ("fit", branches, [p.data for p in w], [p.data for p in u])


def crashed(error: BaseException) -> bool:
    """Return whether an error comes from a line of the package that does not say `raise`, so it is no refusal."""
    last = error.__traceback__
    while last and last.tb_next:
        last = last.tb_next
    assert last
    code = last.tb_frame.f_code
    [opcode] = [step.opname for step in dis.get_instructions(code) if step.offset == last.tb_lasti]
    return code.co_filename.startswith(PACKAGE) and opcode not in ("RAISE_VARARGS", "RERAISE")


def flat(x: Any) -> list[float]:
    """Return the numbers in a nesting of lists, tuples, dicts and arrays, in order."""
    if isinstance(x, dict):
        return [y for key in x for y in flat(x[key])]
    if hasattr(x, "tolist"):
        return flat(x.tolist())
    return [y for item in x for y in flat(item)] if isinstance(x, (list, tuple)) else [number(x)]


# Settings with which the branches of a program are merged in its second call, and rows are sorted in machine code
MERGED: dict[str, Any] = {
    "threads.background.IN_BACKGROUND": False,
    "runtime.prepared.CALLS_BEFORE_PREPARED": -1,
    "function.merged.CALLS_BEFORE_MADE": -1,
    "function.merged.CALLS_BEFORE_LOSS": -1,
    "function.merged.STEPS_BEFORE_LOSS": -1,
    "data.partition.FEW_NUMBERS": 0,
    "data.partition.NUMBERS_BEFORE_CODE": 0,
    "function.merged.CALL": 10**9,
    "function.merged.CALL_ALONE": 10**9,
}


LOOKING = {"function.stale.TIMES_AS_LONG": 0.0}  # so each call looks for changes of what its function reads


class Stop(BaseException):
    """Raised at a random line of the package, in place of KeyboardInterrupt."""


def interrupted(rng: random.Random) -> Callable[[Callable[[], Any]], None]:
    """Return a function that calls its argument, and raises `Stop` at a random line of the package meanwhile."""

    def before(use: Callable[[], Any]) -> None:
        left = int(10 ** rng.uniform(0, 4))

        def trace(frame: Any, event: str, _: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.startswith(PACKAGE):
                return None
            if event == "line" and is_interruptible(frame):
                left -= 1
                if left == 0:
                    raise Stop
            return trace

        old = sys.gettrace()
        sys.settrace(trace)
        try:
            use()
        except (Stop, Exception):
            pass
        finally:
            sys.settrace(old)

    return before


def compare(seed: int, interrupts: bool = False) -> Counter[str]:
    """Draw the program with this seed, and compare it; return how many comparisons were made and refused.

    Raises:
        Different: the program gives other numbers when it is compiled. The message has the text of its function.
    """
    rng = random.Random(seed)
    author = Author(rng)
    comparison = Comparison(author.text, author.signature, rng)
    try:
        with settings(LOOKING | (MERGED if seed % 2 else {})), warnings.catch_warnings():
            # Eager results are those for `Value`s, and a program may give others for numbers
            warnings.filterwarnings("ignore", r".* for the numbers of this sample")
            warnings.filterwarnings("ignore", r"fit\(\) of f has trained nothing")  # the loss may be a comparison
            comparison.run(interrupted(rng) if interrupts else None)
    except Different as error:
        raise Different(f"seed {seed}: {error}\n{author.text.removeprefix(HEADER)}") from None
    return comparison.counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare as many programs as the command line says, print those that differ, and return the exit status."""
    parser = argparse.ArgumentParser(description=textwrap.dedent(__doc__ or "").partition("\n")[0])
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--interrupts", type=int, default=0, help="how many programs are interrupted, too")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first program")
    options = parser.parse_args(arguments)
    counts: Counter[str] = Counter()
    failures = 0
    for seed in range(options.seed, options.seed + options.programs):
        try:
            counts += compare(seed, seed - options.seed < options.interrupts)
        except Different as error:
            failures += 1
            print(error, flush=True)
        except Exception as error:
            failures += 1
            print(f"seed {seed}: {type(error).__name__}: {error}", flush=True)
    print(f"{options.programs} programs, {failures} failures; " + ", ".join(f"{k}: {n}" for k, n in counts.items()))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
