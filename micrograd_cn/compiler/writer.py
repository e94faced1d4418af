"""Write one function of a layout: instructions on vectors or on scalars, and the loops of sums."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import TYPE_CHECKING

from .instructions import CONSTANT, SAMPLE, SCALE, Pair
from .text import Function, literal

if TYPE_CHECKING:
    from .assembly import Task
    from .layout import Layout

PARTS = 8  # sums into which a long sum of products of scalars is divided
INSTRUCTIONS = ("fadd", "fsub", "fmul", "fdiv")


class Writer:
    """Write the tasks of one function, of vectors or of scalars."""

    def __init__(self, layout: Layout, f: Function, sample: bool) -> None:
        self.layout = layout
        self.code = layout.code
        self.f = f
        self.sample = sample
        self.lanes = layout.width if sample else 1
        self.kind = vector(self.lanes) if sample else "double"
        self.known: dict[int, str] = {}
        self.conditions: dict[int, str] = {}

    def value(self, i: int) -> str:
        """Return the name of an instruction's value in this function."""
        if i not in self.known:
            if i in self.conditions:
                ones = self.splat(literal(1.0))
                self.known[i] = self.f.op(
                    f"select {self.mask()} {self.conditions[i]}, {self.kind} {ones}, {self.kind} zeroinitializer"
                    if self.sample
                    else f"select i1 {self.conditions[i]}, double 1.0, double 0.0"
                )
            elif self.code.phase[i] == CONSTANT:
                self.known[i] = self.splat(literal(self.code.code[i][1]))
            elif self.code.phase[i] == SAMPLE:
                self.known[i] = self.f.load(self.kind, self.vector_at(self.layout.slot[i]), self.layout.align)
            else:
                self.known[i] = self.splat(self.f.load("double", self.f.at("%s", self.layout.scalar[i])))
        return self.known[i]

    def splat(self, x: str) -> str:
        """Return a scalar in all lanes."""
        return splat(self.f, x, self.lanes) if self.sample else x

    def mask(self) -> str:
        """Return the type of a condition."""
        return f"<{self.lanes} x i1>" if self.sample else "i1"

    def vector_at(self, slot: int) -> str:
        """Return a slot's address."""
        return self.f.at("%w", slot * self.lanes)

    def define(self, i: int, name: str) -> None:
        """Take note of an instruction's value, and store it if it has a place."""
        self.known[i] = name
        if i in self.layout.slot:
            self.f.store(self.kind, name, self.vector_at(self.layout.slot[i]), self.layout.align)
        elif i in self.layout.scalar:
            self.f.store("double", name, self.f.at("%s", self.layout.scalar[i]))

    def plain(self, task: Task) -> None:
        """Write one instruction."""
        [i] = task.items
        form, *rest = self.code.code[i]
        if form.startswith("fcmp"):
            a, b = map(self.value, rest)
            self.conditions[i] = self.f.op(f"{form} {self.kind} {a}, {b}")
            if i in self.layout.slot or i in self.layout.scalar:
                self.define(i, self.value(i))
            return
        if form == "select":
            condition = self.conditions.get(rest[0])
            if condition is None:
                zero = "zeroinitializer" if self.sample else "0.0"
                condition = self.f.op(f"fcmp une {self.kind} {self.value(rest[0])}, {zero}")
            a, b = map(self.value, rest[1:])
            name = self.f.op(f"select {self.mask()} {condition}, {self.kind} {a}, {self.kind} {b}")
        elif form == "fneg":
            name = self.f.op(f"fneg {self.kind} {self.value(rest[0])}")
        elif form in INSTRUCTIONS:
            a, b = map(self.value, rest)
            name = self.f.op(f"{form} {self.kind} {a}, {b}")
        else:
            arguments = ", ".join([f"{self.kind} {self.value(j)}" for j in rest])
            called = self.layout.called_on_vectors if self.sample else self.layout.called
            called[form] = len(rest)
            name = self.f.op(f"call {self.kind} @{symbol(form, self.lanes if self.sample else 0)}({arguments})")
        self.define(i, name)

    def fused(self, i: int) -> bool:
        """Return whether a sum's products and additions are rounded once, together."""
        return self.layout.fused and self.code.code[i][0] in ("dot", "adjoint")

    def fma(self, a: str, b: str, total: str, fused: bool) -> str:
        """Return a product added to a total."""
        return fma(self.f, self.lanes if self.sample else 0, a, b, total, fused)

    def sum(self, fused: bool, pairs: Iterable[Pair], terms: Iterable[int], total: str | None = None) -> str:
        """Return the sum of single products and terms, and of `total` if it is given."""
        for t in terms:
            total = self.value(t) if total is None else self.f.op(f"fadd {self.kind} {total}, {self.value(t)}")
        for a, b in pairs:
            if total is None:
                total = self.f.op(f"fmul {self.kind} {self.value(a)}, {self.value(b)}")
            else:
                total = self.fma(self.value(a), self.value(b), total, fused)
        assert total is not None
        return total

    def scaled(self, pairs: Sequence[Pair], terms: Sequence[int], *twins: int, total: str | None = None) -> str:
        """Return the sum times SCALE, which does not overflow unless one of its products does."""
        scale = self.splat(literal(SCALE))
        for twin in map(self.value, twins):
            total = twin if total is None else self.f.op(f"fadd {self.kind} {total}, {twin}")
        parts = [self.value(t) for t in terms[len(twins) :]]
        parts += [self.f.op(f"fmul {self.kind} {self.value(a)}, {self.value(b)}") for a, b in pairs]
        for part in parts:
            small = self.f.op(f"fmul {self.kind} {part}, {scale}")
            total = small if total is None else self.f.op(f"fadd {self.kind} {total}, {small}")
        return self.splat(literal(-0.0)) if total is None else total

    def sums(self, task: Task) -> None:
        """Write sums of which none needs another."""
        parts = [self.code.code[i][1:] for i in task.items]
        self.add_up(
            task.items,
            lambda: [self.sum(self.fused(i), *part[:2]) for i, part in zip(task.items, parts, strict=True)],
            lambda: [self.scaled(*part) for part in parts],
        )

    def add_up(self, items: Sequence[int], fast: Callable[[], list[str]], scaled: Callable[[], list[str]]) -> None:
        """Define sums: the fast ones, or where these have overflowed on the way, or are as large, the others."""
        if self.code.code[items[0]][0] == "scaled":
            names = scaled()
        else:
            for i in items:
                for twin in self.code.code[i][3:]:
                    self.value(twin)  # loaded where both branches see it
            names = fast()
            if any(map(self.may_overflow, items)):
                names = self.checked(names, scaled)
        for i, name in zip(items, names, strict=True):
            self.define(i, name)

    def may_overflow(self, i: int) -> bool:
        """Return whether a sum that must not overflow on the way might, or a product that is part of an operation."""
        form, pairs, terms, *twins = self.code.code[i]
        least = 2 if twins or (self.fused(i) and pairs) else 3
        return form in ("sum", "dot") and len(pairs) + len(terms) >= least

    def checked(self, names: list[str], scaled: Callable[[], list[str]]) -> list[str]:
        """Return sums with those lanes replaced of which the square is not finite."""
        infinite = self.splat(literal(inf))
        total = self.f.op(f"fmul {self.kind} {names[0]}, {names[0]}")
        for name in names[1:]:
            total = self.fma(name, name, total, self.layout.fused)
        wrong = self.f.op(f"fcmp ueq {self.kind} {total}, {infinite}")
        if self.sample:
            wrong = self.f.op(
                f"icmp ne i{self.lanes} {self.f.op(f'bitcast {self.mask()} {wrong} to i{self.lanes}')}, 0"
            )
        with self.f.rarely(wrong, self.kind, names) as rare:
            unit = self.splat(literal(1.0 / SCALE))
            for name, other in zip(names, scaled(), strict=True):
                square = self.f.op(f"fmul {self.kind} {name}, {name}")
                lanes = self.f.op(f"fcmp ueq {self.kind} {square}, {self.splat(literal(inf))}")
                full = self.f.op(f"fmul {self.kind} {other}, {unit}")
                rare.next.append(self.f.op(f"select {self.mask()} {lanes}, {self.kind} {full}, {self.kind} {name}"))
        return rare.carried

    def at(self, members: Sequence[int]) -> tuple[bool, Callable[[Function, str], str]]:
        """Return whether a loop reads vectors, and how it computes where they are."""
        layout = self.layout
        if self.code.phase[members[0]] == SAMPLE:
            return True, layout.index([layout.slot[i] for i in members], self.lanes)
        return False, layout.index([layout.scalar[i] for i in members])

    def read(self, place: tuple[bool, Callable[[Function, str], str]], k: str) -> str:
        """Return the k-th member of a list inside a loop."""
        is_vector, index = place
        pointer = self.f.at("%w" if is_vector else "%s", index(self.f, k))
        if is_vector:
            return self.f.load(self.kind, pointer, self.layout.align)
        return self.splat(self.f.load("double", pointer))

    def dots(self, task: Task) -> None:
        """Write a loop that computes one or several sums of products with the same right factors."""
        right, *lefts = task.lists
        if not self.sample and len(right) >= 4 * PARTS and len(lefts) == 1:
            self.in_parts(task)
            return
        places = [self.at(left) for left in lefts]
        shared, fused = self.at(right), self.fused(task.items[0])
        rest = [(self.layout.split(i)[1], *self.code.code[i][2:]) for i in task.items]

        def loop(firsts: list[str], add: Callable[[str, str, str], str]) -> list[str]:
            with self.f.loop(len(right), [(self.kind, first) for first in firsts]) as loop:
                x = self.read(shared, loop.index)
                for total, place in zip(loop.carried, places, strict=True):
                    loop.next.append(add(self.read(place, loop.index), x, total))
            return loop.next

        def fast() -> list[str]:
            zero = self.splat(literal(-0.0))  # which added to a number is this number
            firsts = [self.sum(fused, short, terms) if short or terms else zero for short, terms, *_ in rest]
            return loop(firsts, lambda a, b, total: self.fma(a, b, total, fused))

        self.add_up(task.items, fast, lambda: loop([self.scaled(*part) for part in rest], self.scaled_product))

    def scaled_product(self, a: str, b: str, total: str) -> str:
        """Return a product times SCALE added to a total."""
        product = self.f.op(f"fmul {self.kind} {a}, {b}")
        return self.f.op(
            f"fadd {self.kind} {total}, {self.f.op(f'fmul {self.kind} {product}, {self.splat(literal(SCALE))}')}"
        )

    def in_parts(self, task: Task) -> None:
        """Write a loop that computes a sum of products of scalars as several, which need not wait for each other."""
        [i], [right, left] = task.items, task.lists
        fused = self.fused(i)
        steps = len(right) // PARTS
        places = [
            (self.at(left[k : PARTS * steps : PARTS]), self.at(right[k : PARTS * steps : PARTS])) for k in range(PARTS)
        ]
        short = self.layout.split(i)[1] + list(zip(left[PARTS * steps :], right[PARTS * steps :], strict=True))
        terms, *twins = self.code.code[i][2:]

        def parts(add: Callable[[str, str, str], str]) -> str:
            with self.f.loop(steps, [("double", literal(-0.0))] * PARTS) as loop:
                for sum_, (a, b) in zip(loop.carried, places, strict=True):
                    loop.next.append(add(self.read(a, loop.index), self.read(b, loop.index), sum_))
            total = loop.next[0]
            for part in loop.next[1:]:
                total = self.f.op(f"fadd double {total}, {part}")
            return total

        self.add_up(
            [i],
            lambda: [self.sum(fused, short, terms, parts(lambda a, b, total: self.fma(a, b, total, fused)))],
            lambda: [self.scaled(short, terms, *twins, total=parts(self.scaled_product))],
        )

    def total(self, task: Task) -> None:
        """Add to one total."""
        [k] = task.items
        factors = [self.parts(self.value(i)) for i in self.layout.totals[k]]
        pointer = self.f.at("%a", k * self.layout.native)
        self.accumulate(pointer, list(zip(*factors, strict=True)))

    def accumulate(self, pointer: str, products: Sequence[Sequence[str]]) -> None:
        """Add native vectors, or products of two, to a total."""
        kind = vector(self.layout.native)
        sum_ = self.f.load(kind, pointer, self.layout.align)
        for factors in products:
            if len(factors) == 2:
                sum_ = fma(self.f, self.layout.native, factors[0], factors[1], sum_, self.layout.fused)
            else:
                sum_ = self.f.op(f"fadd {kind} {sum_}, {factors[0]}")
        self.f.store(kind, sum_, pointer, self.layout.align)

    def outer(self, task: Task) -> None:
        """Write a loop that adds the products of each factor with a list of others to their totals."""
        factors = [self.parts(self.value(i)) for i in task.items]
        indices = [self.layout.index(ks, self.layout.native) for ks in task.totals]
        others = self.at(task.lists[0])
        with self.f.loop(len(task.lists[0])) as loop:
            xs = self.parts(self.read(others, loop.index))
            for parts, index in zip(factors, indices, strict=True):
                pointer = self.f.at("%a", index(self.f, loop.index))
                self.accumulate(pointer, list(zip(parts, xs, strict=True)))

    def parts(self, name: str) -> list[str]:
        """Return a value's native vectors."""
        native = self.layout.native
        if self.lanes == native:
            return [name]
        return [
            self.f.op(
                f"shufflevector {self.kind} {name}, {self.kind} poison, "
                f"<{native} x i32> <{', '.join(f'i32 {start + k}' for k in range(native))}>"
            )
            for start in range(0, self.lanes, native)
        ]


def symbol(form: str, lanes: int) -> str:
    """Return the name of a machine form's function, of vectors unless `lanes` is 0.

    >>> symbol("llvm.sqrt", 4), symbol("exp", 4), symbol("exp", 0)
    ('llvm.sqrt.v4f64', 'vector_exp', 'exp')
    """
    if form.startswith("llvm."):
        return f"{form}.v{lanes}f64" if lanes else f"{form}.f64"
    return f"vector_{form}" if lanes else form


def fma(f: Function, lanes: int, a: str, b: str, c: str, fused: bool) -> str:
    """Return a * b + c, rounded once if `fused`; of scalars if `lanes` is 0."""
    kind = vector(lanes) if lanes else "double"
    if fused:
        return f.op(f"call {kind} @{symbol('llvm.fma', lanes)}({kind} {a}, {kind} {b}, {kind} {c})")
    return f.op(f"fadd {kind} {c}, {f.op(f'fmul {kind} {a}, {b}')}")


def declaration(name: str, kind: str, count: int) -> str:
    """Return the declaration of a function of `count` operands.

    >>> declaration("exp", "double", 1)
    'declare double @exp(double)'
    """
    return f"declare {kind} @{name}({', '.join([kind] * count)})"


def vector(lanes: int) -> str:
    """Return the type of a vector.

    >>> vector(4)
    '<4 x double>'
    """
    return f"<{lanes} x double>"


def splat(f: Function, x: str, lanes: int) -> str:
    """Return the vector with a double in every lane."""
    kind = vector(lanes)
    one = f.op(f"insertelement {kind} poison, double {x}, i32 0")
    return f.op(f"shufflevector {kind} {one}, {kind} poison, <{lanes} x i32> zeroinitializer")
