"""Read and write the data and the gradients of many nodes in one call of machine code.

A node keeps its data and its gradient as Python floats. The machine code reads these objects where they are in memory.
To write a number, it changes the float in place if nothing but the node refers to it, and otherwise makes a new one.
The machine code holds the GIL while it runs, so no other thread sees half of a change, and Ctrl-C cannot interrupt it.
If a node is not as the machine code expects, for example because it is frozen, nothing is changed, and Python code does
the work instead.
"""

from __future__ import annotations

import ctypes
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from math import sqrt
from operator import attrgetter, call, is_
from typing import Any, NamedTuple, TypeVar

from ...engine import Value
from ...graph import context
from ...graph.interrupts import at_once
from ...graph.node import assign_data
from ..llvm.builtin import BUILTIN_SIGNATURE, builtin_function, operands_of, return_object
from ..llvm.machine import machine
from ..llvm.operands import Condition, Doubles, Integer, Vector, Words
from ..llvm.text import KERNEL_PREFIX, Function
from .arrays import FlatNumbers
from .kernels import SharedKernels

MIN_NODES = 32  # for fewer nodes, Python code takes no longer than a call of machine code
NODES_BEFORE_CODE = 300_000  # Python code takes about as long for this many nodes as it takes to make machine code
NODES_PER_CALL = 40  # `PreparedNodes` save as much time in a call as Python code takes for so many nodes
FLOATS_PER_NODE = 4  # Python code reads so many floats in the time that a node takes
TYPE, NUMBER = 8, 16  # offsets in bytes: of an object's type, and of a float's number
COUNT, ITEMS = 16, 24  # offsets in bytes: of the count of a list's items, and of the address of the items
_sample = Value(0.5)  # where a list has something else than a `Value`, machine code reads this node


@cache
def slot_offset(name: str) -> int:
    """Return where the slot `name` is in the memory of a `Value`, in bytes.

    Return 0 if objects do not have the layout in memory that the machine code expects.

    >>> slot_offset("_data") % 8
    0
    """
    if sys.implementation.name != "cpython" or sys.byteorder != "little" or float.__basicsize__ != NUMBER + 8:
        return 0

    def word(address: int) -> int:
        return ctypes.c_int64.from_address(address).value

    node, marker, items = Value(0.5), [0.5], [_sample, None, _sample]
    setattr(node, name, marker)
    places = [k for k in range(2 * TYPE, Value.__basicsize__, 8) if word(id(node) + k) == id(marker)]
    x = marker[0] * len(places)
    as_expected = (
        len(places) == 1
        and ctypes.c_double.from_address(id(x) + NUMBER).value == x
        and word(id(x) + TYPE) == id(float)
        and word(id(node) + TYPE) == id(Value)
        and word(id(items) + COUNT) == len(items)
        and [word(word(id(items) + ITEMS) + 8 * k) for k in range(len(items))] == [*map(id, items)]
        and ctypes.c_int32.from_address(id(marker)).value == sys.getrefcount(marker) - 1
    )
    return places[0] if as_expected else 0


class Slot(NamedTuple):
    """The operands of LLVM instructions that describe the object in a slot of a node.

    Attributes:
        content: the address of the object in the slot.
        is_float: whether the object is a float.
        unshared: whether nothing but the node refers to the object.
    """

    content: Words
    is_float: Condition
    unshared: Condition

    @property
    def number(self) -> Vector:
        """Write code that reads the number of the float in the slot. There must be a float."""
        return _number(self.content)[0]


class NodeLoop:
    """Write machine code that reads and writes the nodes in a list.

    The code tests each object before it reads further, and ends the function if the object is not as expected. Such a
    test takes less time than one that chooses another object to read.

    Args:
        f: the function that is written. It ends with `failed` if it can do nothing.
        nodes: the address of the list `%list`, if it is not an operand of the function.
        count: the count `%n` of the nodes in the list, if it is not an operand of the function.
        failed: the text of the result, with its type, if the function can do nothing.
    """

    def __init__(
        self, f: Function, nodes: Words | None = None, count: Integer | None = None, failed: str = "i64 1"
    ) -> None:
        self.f = f
        nodes, self.count = nodes or Words(f, "%list"), count or Integer(f, "%n")
        self._failed = failed
        self.end_unless(nodes.bytes(COUNT)[0] == self.count)
        self._items = nodes.bytes(ITEMS).words(0)

    def node(self, index: Integer) -> Words:
        """Write code that loads the address of the node at `index` in the list `%list`.

        The code ends the function unless the object there belongs to `Value` itself, and not to a subclass.
        """
        found = self.address(index)
        self.end_unless(self._has_type(found, Value))
        return found

    def address(self, index: Integer) -> Words:
        """Write code that loads the address of the object at `index` in the list `%list`."""
        return self._items.words(index)

    def float(self, index: Integer) -> Vector:
        """Write code that reads the number of the object at `index` in the list `%list`.

        The code ends the function unless the object's class is float itself.
        """
        found = self.address(index)
        self.end_unless(self._has_type(found, float))
        return _number(found)[0]

    def end_unless(self, condition: Condition) -> None:
        """Write code that ends the function, which then returns `failed`, unless the condition holds."""
        self.f.end_unless(condition, self._failed)

    def is_at(self, index: Integer, x: Words) -> Condition:
        """Write code that tells whether the object at `index` in the list `%list` is the one at the address `x`."""
        return Condition(self.f, self.f.op(f"icmp eq ptr {self.address(index)}, {x}"))

    def slot(self, node: Words, offset: Integer | int) -> Slot:
        """Write code that looks at the object in the slot at an offset of a node.

        The code ends the function if the slot is empty.
        """
        f = self.f
        content = node.bytes(offset).words(0)
        self.end_unless(Condition(f, f.op(f"icmp ne ptr {content}, null")))
        references = f.op(f"load i32, ptr {content}")  # the low half of the count
        unshared = Condition(f, f.op(f"icmp eq i32 {references}, 1"))
        return Slot(content, self._has_type(content, float), unshared)

    def float_slot(self, node: Words, offset: Integer | int) -> Slot:
        """Write code that finds the float in the slot at an offset of a node, and return it as a `Slot`.

        The code ends the function if the slot holds something other than a float.
        """
        slot = self.slot(node, offset)
        self.end_unless(slot.is_float)
        return slot

    def has_requires_grad(self, node: Words, requires_grad: bool) -> Condition:
        """Write code that tells whether the attribute `requires_grad` of a node is the argument `requires_grad`."""
        return self.is_same(node.bytes(slot_offset("requires_grad")).words(0), requires_grad)

    def is_same(self, x: Words, other: object) -> Condition:
        """Write code that tells whether the object at the address `x` is `other`."""
        return Condition(self.f, self.f.op(f"icmp eq ptr {x}, {address_of(other)}"))

    def assign_all(
        self, offset: Integer | int, unshared: Condition, number: Callable[[Integer, Vector], Vector]
    ) -> None:
        """Write code that assigns a number to a slot of each node. There must be a float or None in the slot.

        Args:
            offset: the offset of the slot.
            unshared: a condition: whether every slot has a float to which nothing but the node refers. If it holds, the
                code changes the floats in place, without a test for each of them.
            number: a function that writes code for the new number. It takes the index of a node and the old number,
                which is 0 if there is None.
        """
        with self.f.when(unshared):
            self.change_all(offset, number)
        with self.f.when(~unshared):
            self.replace_all(offset, number)

    def change_all(self, offset: Integer | int, number: Callable[[Integer, Vector], Vector]) -> None:
        """Write code that changes the float in a slot of each node in place.

        No other object may refer to these floats, since it would get the new numbers, too. The arguments are those of
        `assign_all`.
        """
        with self.f.repeat(self.count) as loop:
            place = _number(self.address(loop.index).bytes(offset).words(0))
            place[0] = number(loop.index, place[0])

    def replace_all(self, offset: Integer | int, number: Callable[[Integer, Vector], Vector]) -> None:
        """Write code that assigns a number to a slot of each node, after a look at the object in each slot.

        If the object is a float to which nothing else refers, it is changed in place. Otherwise a new float takes its
        place. There must be a float or None in each slot. The arguments are those of `assign_all`.
        """
        f = self.f
        with f.repeat(self.count) as loop:
            node = self.address(loop.index)
            slot = self.slot(node, offset)
            # None, which has 16 bytes, has no number
            read = Slot(slot.is_float.select(slot.content, Words(f, address_of(_sample._data))), *slot[1:])
            new = number(loop.index, slot.is_float.select(read.number, 0.0))
            unshared = slot.is_float & slot.unshared
            with f.when(unshared):
                _number(slot.content)[0] = new
            with f.when(~unshared):
                made = f.call("ptr", "PyFloat_FromDouble", new)
                with f.when(f.op(f"icmp ne ptr {made}, null")):  # if it is null, Python raises MemoryError
                    f.do(f"store ptr {made}, ptr {node.bytes(offset)}")
                    f.call("void", "Py_DecRef", slot.content)

    def _has_type(self, x: Words, kind: type) -> Condition:
        return self.is_same(x.bytes(TYPE).words(0), kind)


def _number(x: Words) -> Doubles:
    """Return the address of the number of the Python float at the address `x`."""
    return Doubles(x.f, x.name).bytes(NUMBER)


def address_of(x: object) -> str:
    """Return LLVM text for the address of a Python object, which must live as long as the code."""
    return f"inttoptr (i64 {id(x)} to ptr)"


def _write_read() -> Function:
    """Write the function that copies a slot, such as `_data`, of each node in `%list` to the address `%to`.

    `%slot` is the offset of the slot in the memory of a `Value`, in bytes. The function returns 0, or 1 if it cannot
    read a node.
    """
    f = Function(f"{KERNEL_PREFIX}read_nodes", "ptr %list, i64 %n, i64 %slot, ptr %to", "i64")
    _read(NodeLoop(f), Integer(f, "%slot"), Doubles(f, "%to"))
    f.do("ret i64 0")
    return f


def _read(nodes: NodeLoop, offset: Integer | int, to: Doubles) -> None:
    """Write code that copies the numbers in a slot of `nodes` to the array `to`.

    The code ends the function at a node that has no float in the slot. `offset` says where the slot is, in bytes.
    """
    with nodes.f.repeat(nodes.count) as loop:
        to[loop.index] = nodes.float_slot(nodes.node(loop.index), offset).number


def _write_write() -> Function:
    """Write the function that assigns the numbers at `%from` to a slot, such as `_data`, of the nodes in `%list`.

    `%slot` is the offset of the slot in the memory of a `Value`, in bytes. The function returns 0. If it cannot write
    to a slot, it changes nothing and returns 1.
    """
    f = Function(f"{KERNEL_PREFIX}write_nodes", "ptr %list, i64 %n, i64 %slot, ptr %from", "i64")
    numbers = Doubles(f, "%from")
    _assign_if_good(NodeLoop(f), Integer(f, "%slot"), lambda index: numbers[index])
    f.do("ret i64 0")
    return f


def _assign_if_good(nodes: NodeLoop, offset: Integer | int, number: Callable[[Integer], Vector]) -> None:
    """Write code that assigns a number to a slot of each node, if the slots of all nodes can be written to.

    A slot can be written to if it has a float or None, and its node is a `Value` itself. If one of them cannot, the
    code ends the function before anything is changed. `number` takes the index of a node, and writes code for the
    number that the node gets.
    """
    with nodes.f.repeat(nodes.count, [Condition(nodes.f, "true")]) as loop:
        slot = nodes.slot(nodes.node(loop.index), offset)
        nodes.end_unless(slot.is_float | nodes.is_same(slot.content, None))
        loop.next = [loop.carried[0] & slot.is_float & slot.unshared]
    nodes.assign_all(offset, loop.next[0], lambda index, _: number(index))


def _write_add() -> Function:
    """Write the function that adds the numbers at `%from`, times `%weight`, to the gradients of the nodes in `%list`.

    Nodes that require no gradient are left alone.
    """
    f = Function(f"{KERNEL_PREFIX}add_to_nodes", "ptr %list, i64 %n, ptr %from, double %weight", "i64")
    _add(NodeLoop(f), Doubles(f, "%from"), Vector(f, "%weight"))
    f.do("ret i64 0")
    return f


def _add(nodes: NodeLoop, numbers: Doubles, weight: Vector | float) -> None:
    """Write code that adds numbers, times `weight`, to the gradients of nodes. Frozen nodes keep their gradients.

    The code ends the function before anything is changed if the gradient of a frozen node is not a float.
    """
    f, grad, true = nodes.f, slot_offset("_grad"), Condition(nodes.f, "true")
    with f.repeat(nodes.count, [true]) as loop:
        node = nodes.node(loop.index)
        slot = nodes.slot(node, grad)
        unfrozen, frozen = (nodes.has_requires_grad(node, requires) for requires in (True, False))
        nodes.end_unless(unfrozen | frozen)
        nodes.end_unless(slot.is_float | (unfrozen & nodes.is_same(slot.content, None)))
        loop.next = [loop.carried[0] & unfrozen & slot.is_float & slot.unshared]

    def added(index: Integer, old: Vector) -> Vector:
        return old + 0.0 + numbers[index] * weight  # as `(grad or 0.0) + ...` in Python, which makes 0.0 of -0.0

    def added_unless_frozen(index: Integer, old: Vector) -> Vector:
        return nodes.has_requires_grad(nodes.address(index), True).select(added(index, old), old)

    with f.when(loop.next[0]):
        nodes.change_all(grad, added)
    with f.when(~loop.next[0]):
        nodes.replace_all(grad, added_unless_frozen)


class _PreparedWords(NamedTuple):
    """The integers that the machine code of `PreparedNodes.read` or `PreparedNodes.add` reads."""

    nodes: int  # the address of a list
    nodes_count: int  # how many nodes are in it
    numbers: int  # the address of numbers, one for each node


def _write_prepared(name: str, write: Callable[[NodeLoop, Doubles], None]) -> Function:
    """Write the code of a built-in function of Python without arguments; see `llvm.builtin`.

    Its operands are `_PreparedWords`. It returns True, or False if machine code cannot do the work. `write` writes the
    code that reads or writes the nodes in a list, and the numbers at an address.
    """
    f = Function(f"{KERNEL_PREFIX}{name}", *BUILTIN_SIGNATURE)
    words = operands_of(f)
    listed, count, numbers = words.words(0), words[1], words.doubles(2)
    f.call("void", "Py_IncRef", _FAILED)  # whoever gets a result owns a reference to it
    write(NodeLoop(f, listed, count, _FAILED), numbers)
    f.call("void", "Py_DecRef", _FAILED)
    return_object(f, address_of(True))
    return f


_FAILED = f"ptr {address_of(False)}"


def _write_prepared_read() -> Function:
    def write(nodes: NodeLoop, numbers: Doubles) -> None:
        _read(nodes, slot_offset("_data"), numbers)

    return _write_prepared("prepared_read", write)


def _write_prepared_add() -> Function:
    return _write_prepared("prepared_add", lambda nodes, numbers: _add(nodes, numbers, 1.0))


def _write_clear() -> Function:
    """Write the function that sets the gradients of the nodes in `%list` to 0."""
    f = Function(f"{KERNEL_PREFIX}clear_gradients", "ptr %list, i64 %n", "i64")
    _assign_if_good(NodeLoop(f), slot_offset("_grad"), lambda _: Vector(f, "0.0"))
    f.do("ret i64 0")
    return f


def _write_scale() -> Function:
    """Write the function that multiplies the gradients of the nodes in `%list` by `%factor`.

    It does nothing if one of the nodes has no gradient. A node that occurs twice is multiplied twice.
    """
    f = Function(f"{KERNEL_PREFIX}scale_gradients", "ptr %list, i64 %n, double %factor", "i64")
    nodes, grad, factor = NodeLoop(f), slot_offset("_grad"), Vector(f, "%factor")
    with f.repeat("%n", [Condition(f, "true")]) as loop:
        loop.next = [loop.carried[0] & nodes.float_slot(nodes.node(loop.index), grad).unshared]
    nodes.assign_all(grad, loop.next[0], lambda _, old: old * factor)
    f.do("ret i64 0")
    return f


def _write_sum_of_squares() -> Function:
    """Write the function that adds up the squared gradients of the nodes in `%list`.

    It stores the sum and what rounding has lost of it at the address `%to`; together, they have twice the precision.
    The function returns 1 if one of the nodes has no gradient, and otherwise 0.
    """
    f = Function(f"{KERNEL_PREFIX}sum_of_squares", "ptr %list, i64 %n, ptr %to", "i64")
    nodes, grad, zero = NodeLoop(f), slot_offset("_grad"), Vector(f, "0.0")
    with f.repeat("%n", [zero, zero]) as loop:
        total, lost = loop.carried
        square, of_square = _square(nodes.float_slot(nodes.node(loop.index), grad).number)
        larger = total + square
        added = larger - total
        of_sum = (total - (larger - added)) + (square - added)  # Knuth's sum with its rounding error
        loop.next = [larger, lost + (of_sum + of_square)]
    to = Doubles(f, "%to")
    to[0], to[1] = loop.next
    f.do("ret i64 0")
    return f


T = TypeVar("T", float, Vector)


def _square(x: T) -> tuple[T, T]:
    """Return x * x and the rounding error of this product, by Dekker's method, which needs no FMA.

    >>> from fractions import Fraction
    >>> _square(0.1) == (0.1 * 0.1, float(Fraction(0.1) ** 2 - Fraction(0.1 * 0.1)))
    True
    """
    scaled = x * 134217729.0  # 2**27 + 1, which splits 53 bits in halves
    high = scaled - (scaled - x)
    low, square = x - high, x * x
    return square, ((high * high - square) + (high + high) * low) + low * low


def _write_all_have(name: str, requires_grad: bool) -> Function:
    """Write the function that returns 0 if all nodes in `%list` have this `requires_grad`, and otherwise 1.

    It also returns 1 if a node belongs to a subclass of `Value`, since machine code cannot read such a node. `name` is
    the name of the function.
    """
    f = Function(f"{KERNEL_PREFIX}{name}", "ptr %list, i64 %n", "i64")
    nodes = NodeLoop(f)
    with f.repeat("%n") as loop:
        nodes.end_unless(nodes.has_requires_grad(nodes.node(loop.index), requires_grad))
    f.do("ret i64 0")
    return f


def _write_steps_are_possible() -> Function:
    """Write the function that returns 0 if an optimiser's step is possible for all nodes in `%list`, and otherwise 1.

    It is possible for a node that is not frozen, whose data and gradient are floats; see `Drivers.step`.
    """
    f = Function(f"{KERNEL_PREFIX}steps_are_possible", "ptr %list, i64 %n", "i64")
    nodes = NodeLoop(f)
    with f.repeat("%n") as loop:
        node = nodes.node(loop.index)
        nodes.end_unless(nodes.has_requires_grad(node, True))
        for name in ("_data", "_grad"):
            nodes.float_slot(node, slot_offset(name))
    f.do("ret i64 0")
    return f


def _write_read_floats() -> Function:
    """Write the function that copies the numbers of the floats in `%list` to the address `%to`.

    It returns 1 if the list has an object that is not a float, or whose class is a subclass of float, and otherwise 0.
    """
    f = Function(f"{KERNEL_PREFIX}read_floats", "ptr %list, i64 %n, ptr %to", "i64")
    items, to = NodeLoop(f), Doubles(f, "%to")
    with f.repeat("%n") as loop:
        to[loop.index] = items.float(loop.index)
    f.do("ret i64 0")
    return f


def _write_all_leaves() -> Function:
    """Write the function that returns 0 if all nodes in `%list` are leaves, and otherwise 1.

    It also returns 1 if a node belongs to a subclass of `Value`, or is a constant that an operation has computed.
    """
    f = Function(f"{KERNEL_PREFIX}all_leaves", "ptr %list, i64 %n", "i64")
    nodes = NodeLoop(f)
    with f.repeat("%n") as loop:
        node = nodes.node(loop.index)
        for name in ("op", "_da"):
            nodes.end_unless(nodes.is_same(node.bytes(slot_offset(name)).words(0), None))
    f.do("ret i64 0")
    return f


def _write_same() -> Function:
    """Write the function that returns 0 if the objects in `%list` are those in `%other_list`, and otherwise 1."""
    f = Function(f"{KERNEL_PREFIX}same_objects", "ptr %list, i64 %n, ptr %other_list", "i64")
    nodes, items = NodeLoop(f), Words(f, "%other_list").bytes(ITEMS).words(0)
    with f.repeat("%n") as loop:
        nodes.end_unless(nodes.is_at(loop.index, items.words(loop.index)))
    f.do("ret i64 0")
    return f


_kernels = SharedKernels(
    {
        "read_nodes": _write_read,
        "write_nodes": _write_write,
        "add_to_nodes": _write_add,
        "sum_of_squares": _write_sum_of_squares,
        "all_unfrozen": partial(_write_all_have, "all_unfrozen", True),
        "all_frozen": partial(_write_all_have, "all_frozen", False),
        "scale_gradients": _write_scale,
        "steps_are_possible": _write_steps_are_possible,
        "all_leaves": _write_all_leaves,
        "read_floats": _write_read_floats,
        "same_objects": _write_same,
        "prepared_read": _write_prepared_read,
        "prepared_add": _write_prepared_add,
        "clear_gradients": _write_clear,
    },
    holds_gil=True,
)


def uses_machine_code(nodes: Sequence[Value]) -> bool:
    """Return whether to read or write the nodes by machine code.

    It must be compiled already, and the nodes must be a list that is long enough. The machine code is compiled in the
    background once Python code has read or written many nodes.
    """
    if len(nodes) < MIN_NODES or type(nodes) is not list:
        return False
    return _kernels.are_compiled or (slot_offset("_data") > 0 and _kernels.are_ready(len(nodes), NODES_BEFORE_CODE))


def data_of(nodes: Sequence[Value]) -> array[float]:
    """Return the data of some nodes. Hooks are not called.

    >>> data_of([Value(1), Value(2)])
    array('d', [1.0, 2.0])
    """
    if uses_machine_code(nodes):
        found = array("d", bytes(8 * len(nodes)))
        if not _kernels["read_nodes"](nodes, len(nodes), slot_offset("_data"), found.buffer_info()[0]):
            return found
    return array("d", [node._data for node in nodes])


def floats_of(numbers: Sequence[Any]) -> array[float] | None:
    """Return floats as an array; None if machine code is not used, or if one of `numbers` is not a float.

    Python reads a float in a fraction of the time that a node takes. So it has to read `FLOATS_PER_NODE` times as many
    floats as nodes before the machine code is compiled.
    """
    if len(numbers) < MIN_NODES or not (
        _kernels.are_compiled
        or (slot_offset("_data") and _kernels.are_ready(len(numbers) // FLOATS_PER_NODE, NODES_BEFORE_CODE))
    ):
        return None
    listed, found = numbers if type(numbers) is list else [*numbers], array("d", bytes(8 * len(numbers)))
    return None if _kernels["read_floats"](listed, len(listed), found.buffer_info()[0]) else found


class PreparedNodes:
    """Two functions: one copies the data of some nodes to memory, the other adds numbers in memory to their gradients.

    For few nodes, a call takes as long as a call of `len`. Both are built-in functions of Python (see `llvm.builtin`)
    without arguments: the addresses of the nodes and of the memory are built in.

    Args:
        nodes: the nodes, in a list that is never changed.
        data: the address to which `read` copies the data of the nodes.
        gradients: the address of the numbers that `add` adds to the gradients of the nodes.

    Attributes:
        read: a function that copies the data of the nodes, and returns whether it could. If not, some may be copied.
        add: a function that adds the numbers to the gradients, and returns whether it could. If it could not, for
            example because a node is frozen, it has changed nothing.
    """

    def __init__(self, nodes: list[Value], data: int, gradients: int) -> None:
        self.read: Callable[[], bool]
        self.add: Callable[[], bool]
        # The machine is kept, since the machine code is freed with it
        self.read, self.add = [
            builtin_function(_kernels.address(name), _PreparedWords(id(nodes), len(nodes), to), True, nodes, machine())
            for name, to in (("prepared_read", data), ("prepared_add", gradients))
        ]


def prepared_nodes(nodes: Sequence[Value], data: int, gradients: int) -> PreparedNodes | None:
    """Return `PreparedNodes`, or None if machine code cannot access the nodes or is not compiled yet.

    After some calls, a background thread compiles it.
    """
    if type(nodes) is not list or not nodes or not slot_offset("_data"):
        return None
    saved = NODES_PER_CALL + len(nodes)
    return PreparedNodes(nodes, data, gradients) if _kernels.are_ready(saved, NODES_BEFORE_CODE) else None


def norm_of_gradients(nodes: Sequence[Value]) -> float | None:
    """Return the Euclidean norm of the gradients of nodes, rounded as `math.hypot` rounds it in nearly all cases.

    Return None if machine code cannot compute it: if one of the gradients is None, or if the sum of their squares
    overflows or is so small that the squares have lost bits.
    """
    if not uses_machine_code(nodes):
        return None
    found = array("d", [0.0, 0.0])
    if _kernels["sum_of_squares"](nodes, len(nodes), found.buffer_info()[0]):
        return None
    total, lost = found
    if not 1e-260 < total < 1e280:
        return None
    norm = sqrt(total)
    square, of_square = _square(norm)
    return norm + ((total - square) + (lost - of_square)) / (2.0 * norm)  # a step of Newton's method


def set_data(nodes: Sequence[Value], numbers: FlatNumbers) -> None:
    """Assign numbers to the data of nodes, in their order. Hooks are called.

    >>> x, y = Value(1), Value(2)
    >>> set_data([x, y], array("d", [3, 4])); x.data, y.data
    (3.0, 4.0)
    """
    if not (context.active and context.here().hooks) and uses_machine_code(nodes) and len(nodes) == len(numbers):
        numbers = array("d", memoryview(numbers).tobytes())
        write: Callable[[], object] = partial(
            _kernels["write_nodes"], nodes, len(nodes), slot_offset("_data"), numbers.buffer_info()[0]
        )
        if at_once(map(call, [write, context.note_change])):  # otherwise machine code cannot write to these nodes
            return
    assign_data(nodes, numbers)


def write_by_machine_code(nodes: Sequence[Value], slot: str, numbers: array[float]) -> Iterator[object]:
    """Return an iterator that assigns numbers to a slot, such as "_grad", of nodes. No hook is called.

    Pass it to `at_once` of `micrograd_cn.graph`. `uses_machine_code(nodes)` must be true. `at_once` returns False if
    machine code cannot write to these nodes. In this case, none of the nodes is changed.
    """
    return map(_kernels["write_nodes"], [nodes], [len(nodes)], [slot_offset(slot)], [numbers.buffer_info()[0]])


def add_to_gradients(nodes: Sequence[Value], numbers: array[float], weight: float) -> bool:
    """Add numbers, times `weight`, to the gradients of nodes that are not frozen, and return True.

    If machine code cannot do so, for example because a frozen node has no gradient, change nothing and return False.
    """
    return (
        uses_machine_code(nodes)
        and len(nodes) == len(numbers)
        and not _kernels["add_to_nodes"](nodes, len(nodes), numbers.buffer_info()[0], weight)
    )


def scale_gradients(nodes: Sequence[Value], factor: float) -> bool:
    """Multiply the gradients of nodes by a factor, and return True.

    If machine code cannot do so, for example because a node has no gradient, change nothing and return False.
    """
    return uses_machine_code(nodes) and not _kernels["scale_gradients"](nodes, len(nodes), factor)


def clear_gradients(nodes: Sequence[Value]) -> bool:
    """Set the gradients of nodes to 0, and return True. If machine code cannot, change nothing and return False."""
    return uses_machine_code(nodes) and not _kernels["clear_gradients"](nodes, len(nodes))


_requires_grad = attrgetter("requires_grad")


def some_frozen(nodes: Sequence[Value]) -> bool:
    """Return whether one of the nodes requires no gradient.

    >>> some_frozen([Value(1)]), some_frozen([Value(1), Value(2, requires_grad=False)])
    (False, True)
    """
    if len(nodes) >= MIN_NODES and _machine_code_finds("all_unfrozen", nodes):
        return False
    return not all(map(_requires_grad, nodes))


def first_unfrozen(nodes: Sequence[Value]) -> Value | None:
    """Return the first of the nodes that requires a gradient; None if none of them does.

    >>> x = Value(2)
    >>> first_unfrozen([Value(1, requires_grad=False), x]) is x, first_unfrozen([Value(1, requires_grad=False)])
    (True, None)
    """
    if len(nodes) >= MIN_NODES and _machine_code_finds("all_frozen", nodes):
        return None
    for node in nodes:
        if node.requires_grad:
            return node
    return None


def finds_leaves(nodes: Sequence[Value]) -> bool:
    """Return True if machine code finds that all nodes are leaves of the class `Value` itself.

    Return False if some are not, if there are few nodes, or if there is no machine code for this.
    """
    return len(nodes) >= MIN_NODES and _machine_code_finds("all_leaves", nodes)


def finds_trained(nodes: Sequence[Value]) -> bool:
    """Return whether machine code finds that the `requires_grad` of all nodes is True."""
    return len(nodes) >= MIN_NODES and _machine_code_finds("all_unfrozen", nodes)


def steps_are_possible(nodes: list[Value]) -> Callable[[], int] | None:
    """Return a function, for `at_once`, that returns 0 if an optimiser's step is possible for all nodes.

    It is possible for a node that is not frozen, whose data and gradient are floats. Return None if machine code is not
    used for these nodes.
    """
    return partial(_kernels["steps_are_possible"], nodes, len(nodes)) if uses_machine_code(nodes) else None


def are_same(xs: Sequence[object], nodes: Sequence[Value]) -> bool:
    """Return whether two lists have the same objects in the same order. No method of the objects is called.

    >>> x, y = Value(1), Value(1)
    >>> are_same([x, y], [x, y]), are_same([x, y], [y, x]), are_same([x], [x, y])
    (True, False, False)
    """
    if len(xs) != len(nodes):
        return False
    if type(xs) is list and uses_machine_code(nodes):
        return not _kernels["same_objects"](nodes, len(nodes), xs)
    return all(map(is_, xs, nodes))


def _machine_code_finds(kernel: str, nodes: Sequence[Value]) -> bool:
    """Return whether machine code finds that all `nodes` have a property.

    The name of the property is that of a kernel: "all_frozen", "all_unfrozen" or "all_leaves". Return False if machine
    code is not used for these nodes.
    """
    return uses_machine_code(nodes) and not _kernels[kernel](nodes, len(nodes))
