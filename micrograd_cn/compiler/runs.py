"""Like instructions on scalars, which are computed as vectors: side by side in memory, or gathered from anywhere."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import add, sub
from typing import Any, NamedTuple, TypeAlias

from .instructions import START, SUMS, Code, parted
from .places import Places
from .schedule import Gathered, Run, Stage, Step

SHORTEST = 3  # instructions that are a run
VECTORS = 2  # of a run, from which it is one of its own where the others are gathered
NEAR = 6  # instructions in order, among which the next one of a run is looked for
FAR = 1 << 32  # places between any two values that have none yet

Offsets: TypeAlias = tuple[int, ...]


class _Placed(NamedTuple):
    """An instruction, and where its operands are."""

    order: tuple[Any, ...]
    number: int
    places: Offsets


class Runs:
    """What finds the runs of a plan, and places their results.

    Args:
        places: where values lie, and the results will.
        wished: for values that a loop reads its number, and in which order they should lie there.
        gather: whether instructions are vectors too whose operands do not lie side by side.
    """

    def __init__(self, places: Places, wished: dict[int, tuple[int, int]], gather: bool) -> None:
        self._given, self._code, self._schedule = places, places.code, places.schedule
        self._wished, self._gather = wished, gather

    def order(self, i: int) -> tuple[Any, ...]:
        """Return what instructions are sorted by, so that they lie as loops read them, or as their operands do."""
        return self._placed(i, self._code.operands[i]).order

    def _placed(self, i: int, operands: Sequence[int]) -> _Placed:
        places = self._places(operands)
        if i in self._wished:
            return _Placed((False, *self._wished[i]), i, places)
        sum_ = self._code.instructions[i][0] in SUMS
        return _Placed((True, sum_, i) if sum_ and not self._gather else (True, sum_, *places), i, places)

    def _places(self, operands: Sequence[int]) -> Offsets:
        place = self._given.scalar
        return tuple([place[j] if j in place else -j * FAR - FAR for j in operands])

    def of(self, steps: Sequence[Step]) -> tuple[Sequence[Stage], Sequence[Step]]:
        """Return the runs among steps of which none needs another, and the other steps."""
        alike: dict[Any, list[int]] = {}
        if len(steps) >= SHORTEST:
            for step in steps:
                if kind := self._kind(step):
                    alike.setdefault(kind, []).append(step.number)
        if not alike or len(alike) == len(steps):
            for step in steps:
                self._given.keep(step.number)
            return [], steps
        stages: list[Stage] = [*self._started(alike.pop(START, []))]
        for kind, found in alike.items():
            if len(found) >= SHORTEST:
                stages += self._of_kind(kind, found)
        inside = {i for stage in stages for i in stage.numbers}  # type: ignore[union-attr]
        rest = [step for step in steps if step.number not in inside]
        for step in sorted(rest, key=lambda step: self.order(step.number)):
            self._given.keep(step.number)
        return stages, rest

    def _kind(self, step: Step) -> Any:
        """Return what is the same for instructions that may be a run, None if it is none."""
        form, *rest = self._code.instructions[step.number]
        if step.starts:
            return None if self._start(step.number) is None else START
        if form not in SUMS:
            return form
        pairs, terms, *twins = rest
        return (form, len(pairs), len(terms), len(twins)) if self._gather and form != "scaled" else None

    def _of_kind(self, kind: Any, numbers: Sequence[int]) -> Iterator[Stage]:
        """Yield the runs of like instructions, with their results placed."""
        operands = self._code.operands
        form, stage = (kind[0], self._gathered) if isinstance(kind, tuple) else (kind, self._run)
        self._place_constants(numbers)
        placed = sorted(self._placed(i, operands[i]) for i in numbers)
        if not self._gather:
            yield from self._long_enough(form, stage, _beside(placed), SHORTEST, [])
            return
        least, apart, rest = VECTORS * self._given.native, list[_Placed](), list[_Placed]()
        yield from self._long_enough(form, stage, _beside(placed), least, apart)
        wished, others = parted(apart, lambda one: one.number in self._wished)
        yield from self._long_enough(form, stage, _chains(others, least), least, rest)
        if len(wished) + len(rest) >= SHORTEST:
            yield self._gathered(form, [*wished, *rest])

    def _long_enough(
        self,
        form: str,
        stage: Callable[[str, Sequence[_Placed]], Stage],
        found: Iterable[Sequence[_Placed]],
        least: int,
        others: list[_Placed],
    ) -> Iterator[Stage]:
        """Yield the stages of those runs that are, and add the others' instructions to a list."""
        for run in found:
            if len(run) < least:
                others += run
            else:
                yield stage(form, run)

    def _run(self, form: str, placed: Sequence[_Placed]) -> Stage:
        steps = _steps(placed)
        if steps is None:
            return self._gathered(form, placed)
        numbers = [i for _, i, _ in placed]
        self._given.side_by_side(numbers, whole=True)
        return Run(form, numbers, self._code.operands[numbers[0]], steps)

    def _gathered(self, form: str, placed: Sequence[_Placed]) -> Gathered:
        numbers = [i for _, i, _ in placed]
        self._given.side_by_side(numbers, whole=True)
        return Gathered(form, numbers)

    def _start(self, i: int) -> int | None:
        """Return the number of the one value from which a long sum starts; None if it has several."""
        others, terms = self._schedule.long[i].others, self._code.instructions[i][2]
        if others or len(terms) > 1:
            return None
        return terms[0] if terms else self._code.constant(-0.0)

    def _started(self, numbers: Iterable[int]) -> Iterator[Run]:
        """Yield runs of what long sums start from, in whole vectors alone, since other sums may lie behind."""
        place = self._given.scalar
        starts = {i: (start,) for i in numbers if (start := self._start(i)) is not None}
        placed = sorted(_Placed((place[i],), i, (place[i], *self._places(start))) for i, start in starts.items())
        for run in _beside(placed):
            whole = len(run) // self._given.native * self._given.native
            if whole:
                _, *steps = _steps(run) or (True,)
                yield Run(START, [i for _, i, _ in run[:whole]], starts[run[0].number], tuple(steps))

    def _place_constants(self, numbers: Sequence[int]) -> None:
        """Let constants that like instructions have beside the same other operands lie side by side, for a run."""
        code, beside = self._code, dict[tuple[int | None, ...], list[int]]()
        known = code.constants.keys()
        for i in numbers:
            operands = code.operands[i]
            if known.isdisjoint(operands):
                continue
            constant = [j in known for j in operands]
            if constant.count(True) == 1 < len(operands):
                others = tuple([None if c else j for j, c in zip(operands, constant, strict=True)])
                beside.setdefault(others, []).append(operands[constant.index(True)])
        for constants in beside.values():
            if len(constants) >= SHORTEST:
                self._given.side_by_side(constants)


def families(code: Code, numbers: Iterable[int], least: int) -> Iterator[list[int]]:
    """Yield inputs that `least` like instructions or more read, on like operands, at even distances but not beside.

    >>> code, sample = Code(), 2
    >>> x = [code.leaf(("input", k), sample) for k in range(6)]
    >>> sines = [code.machine("sin", i) for i in x[::2]]
    >>> list(families(code, range(9), 3))
    [[0, 2, 4]]
    """
    column = {i: code.instructions[i][1] for i in numbers if code.instructions[i][0] == "input"}
    if len(column) < least:
        return
    inputs, read = column.keys(), dict[tuple[str, ...], set[int]]()
    for i in numbers:
        form, operands = code.instructions[i][0], code.operands[i]
        if not inputs.isdisjoint(operands) and form not in SUMS:
            kinds = sorted([code.instructions[j][0] for j in operands])
            read.setdefault((form, *kinds), set()).update(inputs & operands)
    for found in read.values():
        for chain in _chains([_Placed((), i, (column[i],)) for i in sorted(found, key=column.__getitem__)], least):
            if len(chain) >= least and _steps(chain) is None:
                yield [one.number for one in chain]


def _beside(placed: Sequence[_Placed]) -> Iterator[Sequence[_Placed]]:
    """Yield the longest parts in which each operand lies beside that of the instruction before, or is the same one.

    >>> [len(part) for part in _beside([_Placed((), k, (place, 7)) for k, place in enumerate([0, 1, 2, 4, 5])])]
    [3, 2]
    """
    start = 0
    while start < len(placed):
        end, steps = start + 1, None
        while end < len(placed):
            step = tuple(map(sub, placed[end].places, placed[end - 1].places))
            if steps is None and {0, 1}.issuperset(step):
                steps = step
            if step != steps:
                break
            end += 1
        yield placed[start:end]
        start = end


def _chains(placed: Sequence[_Placed], least: int) -> Iterator[Sequence[_Placed]]:
    """Yield sorted instructions at even distances, between which there may be others; alone if they are not `least`.

    >>> places = [(1, 1), (1, 7), (2, 3), (2, 7), (3, 5), (3, 9)]
    >>> [[k for _, k, _ in chain] for chain in _chains([_Placed((), k, place) for k, place in enumerate(places)], 3)]
    [[0, 2, 4], [1], [3], [5]]
    """
    waiting = {one.places: one for one in placed}
    places = [*waiting]
    for k, one in enumerate(placed):
        if one.places not in waiting:
            continue
        longest = [one]
        first, *others = one.places
        beside = bisect_left(places, (first + 1, *others))  # the next one has this first operand, or the same one
        for step in {tuple(map(sub, x, one.places)) for j in (k + 1, beside) for x in places[j : j + NEAR]}:
            chain, following = [one], tuple(map(add, one.places, step))
            while following in waiting and any(step):
                chain.append(waiting[following])
                following = tuple(map(add, following, step))
            longest = max(longest, chain, key=len)
        chosen = longest if len(longest) >= least else [one]
        for link in chosen:
            del waiting[link.places]
        yield chosen


def _steps(run: Sequence[_Placed]) -> tuple[bool, ...] | None:
    """Return for each operand whether those of the next instructions lie beside it; None if they lie farther away."""
    distances = [b - a for a, b in zip(run[0].places, run[1].places, strict=True)] if len(run) > 1 else []
    return tuple([x != 0 for x in distances]) if {0, 1}.issuperset(distances) else None
