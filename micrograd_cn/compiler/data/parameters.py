"""Read the data of parameters if they may have changed, and add gradients to the parameters' `grad`."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from sys import getrefcount
from threading import Lock
from typing import NamedTuple

from ...engine import Value, traverse
from ...graph import context
from .captured import CapturedValue

_lock = Lock()
_version = 0


class CachedData:
    """A function that returns the data of some nodes as one array, which is kept from call to call.

    The nodes are read again only if the `data` of any node at all has been assigned since the last call. Otherwise the
    same array object is returned.

    >>> x = Value(1)
    >>> data = CachedData([x])
    >>> before = data()
    >>> data() is before
    True
    >>> x.data = 2
    >>> before, data()
    (array('d', [1.0]), array('d', [2.0]))
    """

    def __init__(self, nodes: Sequence[Value]) -> None:
        self._nodes = nodes
        self._constants: list[Value] = []
        self._kept = b""
        self._cached = -1, array("d")  # the version when the data were read, and the data

    def __call__(self) -> array[float]:
        """Return the data of the nodes as an array, in the order of the nodes."""
        version, numbers = self._cached
        if version != (now := _data_version()):
            if context.active and (hooks := context.here().hooks):
                for p in self._nodes:
                    hooks.read(p, "what a compiled program reads")
            self.check_constants()
            numbers = array("d", [p._data for p in self._nodes])
            self._cached = now, numbers
        return numbers

    def watch(self, constants: Mapping[Value, float]) -> None:
        """Watch a program's constants: it is an error if one of them has other data when the nodes are read again.

        `constants` is a dict from the constants to the data that the program keeps. Constants to which only a graph
        refers are not watched, since nobody can change them.
        """
        self._constants = _held_elsewhere(constants)
        self._kept = array("d", [constants[x] for x in self._constants]).tobytes()

    def check_constants(self) -> None:
        """Raise ValueError if a constant that is watched has other data now than those that the program keeps.

        >>> c, w = Value(1.0, "c", requires_grad=False), Value(2.0)
        >>> y, data = c * w, CachedData([w])
        >>> data.watch({c: c.data})
        >>> c.data = 2
        >>> data()
        Traceback (most recent call last):
        ValueError: c is a constant of the program, since it required no gradient when the program was made, and was \
1.0 then; now it is 2.0, so compile anew
        """
        if self._constants and array("d", [x._data for x in self._constants]).tobytes() != self._kept:
            for x, number in zip(self._constants, array("d", self._kept), strict=True):
                if repr(x._data) != repr(number):
                    raise ValueError(
                        f"{x.label or 'a Value'} is a constant of the program, since it required no gradient when the "
                        f"program was made, and was {number} then; now it is {x._data}, so compile anew"
                    )


def _held_elsewhere(constants: Mapping[Value, float]) -> list[Value]:
    """Return those constants to which something refers besides `constants` and one operand of a graph."""
    operand = Value(0.0)
    graph = ((operand,), {operand: 0.0})
    del operand
    [fewest] = [getrefcount(x) for x in graph[1]]
    return [x for x in constants if getrefcount(x) > fewest]


def _data_version() -> int:
    """Return an integer. It differs from that of the last call if the `data` of any node have been assigned since.

    This also holds if only a node that no program uses has been assigned, and while a function is recorded.
    """
    global _version
    if context.data_changed:
        with _lock:
            _version += 1
            # The last line, so that data written before it belong to the new version
            context.data_changed = context.is_watched()
    return _version


class Gradients(NamedTuple):
    """The derivatives of a program's mean output with respect to its parameters.

    Attributes:
        parameters: the parameters.
        numbers: the derivative with respect to each parameter.
        weight: a factor by which the derivatives are multiplied before they are added to the parameters' `grad`.
        captured: whether there are captured values among the parameters.
    """

    parameters: Sequence[Value]
    numbers: Sequence[float]
    weight: float = 1.0
    captured: bool = True


def add_gradients(found: Iterable[Gradients]) -> None:
    """Add gradients to the `grad` of their parameters. If Ctrl-C interrupts this, no `grad` is changed.

    A `CapturedValue` stands for a value that was computed before the compiled function was called. Its gradient starts
    the `backward()` of that value, and so reaches the leaves from which the value was computed. Parameters that require
    no gradient are left alone.

    >>> w = Value(2)
    >>> add_gradients([Gradients([w, CapturedValue(w * 3)], [1.0, 10.0])]); w.grad
    31.0
    """
    changed: list[tuple[Iterable[Value], list[float]]] = []  # nodes, with the gradients that they had before
    try:
        for parameters, gradients, weight, captured in found:
            if weight != 1.0:
                gradients = [weight * gradient for gradient in gradients]
            before = [p._grad for p in parameters]
            changed.append((parameters, before))
            for p, grad, gradient in zip(parameters, before, gradients, strict=True):
                if p.requires_grad:  # it may have been frozen since the program was made
                    p._grad = (grad or 0.0) + gradient
            for p, grad, gradient in zip(parameters, before, gradients, strict=True) if captured else ():
                if type(p) is CapturedValue:
                    p._grad = grad
                    if p.original.requires_grad:
                        leaves = [*traverse(p.original)[1]]
                        changed.append((leaves, [leaf._grad for leaf in leaves]))
                        p.original.backward(gradient)
    except BaseException:
        for nodes, grads in reversed(changed):
            any(map(setattr, nodes, repeat("_grad"), grads))  # one call into C; each `setattr` returns None
        raise
