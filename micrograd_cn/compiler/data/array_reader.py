"""Copy the numbers of numpy arrays to fixed places in one call of machine code.

The machine code reads the array objects where they are in memory. It copies nothing that is not exactly as expected,
such as an array of another shape; Python code then reads the arguments instead.
"""

from __future__ import annotations

import ctypes
import sys
from array import array
from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any, NamedTuple

from ..llvm.builtin import BUILTIN_SIGNATURE, METH_O, builtin_function, operands_of, return_object
from ..llvm.machine import machine
from ..llvm.operands import Condition, Doubles, Integer, Vector, Words
from ..llvm.text import KERNEL_PREFIX, Function
from .columns import address
from .kernels import SharedKernels
from .nodes import COUNT, NUMBER, TYPE, address_of, slot_offset

CALLS_BEFORE_CODE = 5000  # Python code takes about as long for so many calls as it takes to make machine code
ITEMS = tuple.__basicsize__  # where the items of a tuple are in it, in bytes
# Offsets in bytes in an array object: of the address of its numbers, of the count of its axes, of the addresses of
# their lengths and strides, and of its dtype
DATA, AXES, LENGTHS, STRIDES, DTYPE = 16, 24, 32, 40, 56


class Argument(NamedTuple):
    """An argument that an `array_reader` reads: its type, its shape, and the place for its numbers.

    Attributes:
        shape: the shape of an array, or None for a float.
        place: the address to which the numbers are copied, as doubles. For REFERENCED, nothing is copied, and the
            address of the numbers is written to this place.
        kind: FLOAT for a float, REFERENCED for an array of doubles that is read where it is, DOUBLES for an array of
            doubles, or CONVERTED for an array of doubles, float32 or int64. COLUMN is like CONVERTED, for an array with
            one axis; if a float is passed instead of the array, it is copied to every element.
    """

    shape: tuple[int, ...] | None
    place: int
    kind: int


class _ArgumentWords(NamedTuple):
    """The integers, 64 bits each, by which the machine code of `array_reader` knows an `Argument`."""

    kind: int
    place: int
    size: int  # the count of the numbers
    axes: int  # the count of axes
    lengths: int  # the address of the lengths of the axes, and then of the strides, in numbers


FLOAT, REFERENCED, DOUBLES, CONVERTED, COLUMN = range(5)


class _ReaderWords(NamedTuple):
    """The integers, 64 bits each, from which the machine code of `array_reader` knows what to read.

    The last five are addresses of Python objects: the class `ndarray`, numpy's class of double scalars, and numpy's
    dtypes of doubles, of float32 and of int64.
    """

    argument_count: int
    arguments: int  # the address of `_ArgumentWords` for each argument
    array_type: int
    double_type: int
    double: int  # of the dtypes
    single: int
    integer: int


@cache
def _is_layout_known() -> bool:
    """Return whether numpy's arrays, and tuples, have the layout in memory that the machine code expects."""
    if not slot_offset("_data"):
        return False
    numpy = sys.modules["numpy"]

    def words(start: int, count: int) -> list[int]:
        return [ctypes.c_int64.from_address(start + 8 * k).value for k in range(count)]

    items = 1.5, "text", None
    if words(id(items) + COUNT, 1) != [3] or words(id(items) + ITEMS, 3) != [*map(id, items)]:
        return False
    x = numpy.float64(1.5)
    if words(id(x) + TYPE, 1) != [id(numpy.float64)] or ctypes.c_double.from_address(id(x) + NUMBER).value != 1.5:
        return False
    whole = numpy.zeros((3, 2, 4))
    return all(
        words(id(x) + TYPE, 1) == [id(numpy.ndarray)]
        and words(id(x) + DATA, 1) == [x.ctypes.data]
        and ctypes.c_int32.from_address(id(x) + AXES).value == x.ndim
        and words(words(id(x) + LENGTHS, 1)[0], x.ndim) == [*x.shape]
        and words(words(id(x) + STRIDES, 1)[0], x.ndim) == [*x.strides]
        and words(id(x) + DTYPE, 1) == [id(x.dtype)]
        for x in (whole, whole[1:, ::-1], whole[0].T, whole.astype(numpy.float32), whole.astype(int), whole[0, 0])
    )


def array_reader(arguments: Sequence[Argument], *held: Any) -> Callable[[object], bool] | None:
    """Return a function that takes a tuple of arguments, and copies their numbers to the places in `arguments`.

    Return None while the machine code is not compiled, or if numpy is not imported, or if its arrays have a layout in
    memory that the machine code does not expect.

    The function returns whether the tuple's items are as `arguments` says. An array must be of exactly the class
    `ndarray`, and contiguous. At least one item must be something else than a float in place of a COLUMN. If the result
    is False, the function may have copied some of the arguments. `held` are the objects to whose memory the function
    writes. The function keeps them alive.
    """
    numpy = sys.modules.get("numpy")
    if not (numpy and _kernels.are_ready(1, CALLS_BEFORE_CODE) and _is_layout_known()):
        return None
    described = array("q")
    for shape, place, kind in arguments:
        if shape is None:
            described.extend(_ArgumentWords(FLOAT, place, 1, 0, 0))
            continue
        axes = array("q", [*shape, *[prod(shape[k + 1 :]) for k in range(len(shape))]])
        held = *held, axes
        described.extend(_ArgumentWords(kind, place, prod(shape), len(shape), address(axes)))
    dtypes = [id(numpy.dtype(kind)) for kind in (numpy.float64, numpy.float32, numpy.int64)]
    types = id(numpy.ndarray), id(numpy.float64), *dtypes
    words = _ReaderWords(len(arguments), address(described), *types)
    # The machine is kept, since the machine code is freed with it
    code = _kernels.address("read_arrays")
    return builtin_function(code, words, True, described, numpy, machine(), *held, flag=METH_O)


def _write_read_arrays() -> Function:
    """Write the code of a built-in function of Python that copies the numbers of the arguments in a tuple.

    The function takes the tuple as its argument, and its operands are the integers in `_ReaderWords`. It returns True,
    or False if an item of the tuple is not the kind of array or number that these integers describe.
    """
    f = Function(f"{KERNEL_PREFIX}read_arrays", *BUILTIN_SIGNATURE)
    failed = f"ptr {address_of(False)}"
    given, words = Words(f, "%argument"), operands_of(f)
    count, described = words[0], words.words(1)
    array_type, double_type, double, single, integer = (words[k] for k in range(2, 7))
    f.call("void", "Py_IncRef", failed)  # whoever gets a result owns a reference to it

    def expect(condition: Condition) -> None:
        f.end_unless(condition, failed)

    expect(_type(given) == Integer(f, _integer_address(tuple)))
    expect(given.bytes(COUNT)[0] == count)
    with f.repeat(count, [Condition(f, "false")]) as loop:
        x = given.bytes(ITEMS).words(loop.index)
        argument = described + loop.index * len(_ArgumentWords._fields)
        kind, size, axes = (argument[k] for k in (0, 2, 3))
        own = _type(x)
        is_float = (own == Integer(f, _integer_address(float))) | (own == double_type)
        is_broadcast = (kind == COLUMN) & is_float
        has_number = is_broadcast | (kind == FLOAT)
        loop.next = [loop.carried[0] | ~is_broadcast]
        with f.when(has_number):
            expect(is_float)
            own_number, place = Doubles(f, x.name).bytes(NUMBER)[0], argument.doubles(1)
            with f.repeat(size) as each:
                place[each.index] = own_number
        with f.when(~has_number):
            expect(own == array_type)
            own_axes = f.op(f"load i32, ptr {x.bytes(AXES)}")
            expect(Integer(f, f.op(f"zext i32 {own_axes} to i64")) == axes)
            dtype, is_converted = x.bytes(DTYPE)[0], (kind == CONVERTED) | (kind == COLUMN)
            is_double, is_single, is_integer = dtype == double, dtype == single, dtype == integer
            expect(is_double | (is_converted & (is_single | is_integer)))
            width = is_single.select(Integer(f, "4"), Integer(f, "8"))
            lengths, strides, expected = x.bytes(LENGTHS).words(0), x.bytes(STRIDES).words(0), argument.words(4)
            with f.repeat(axes) as axis:
                k = axis.index
                is_contiguous = (strides[k] == expected[k + axes] * width) | (expected[k] == 1)
                expect((lengths[k] == expected[k]) & is_contiguous)
            expect(x.bytes(DATA)[0] % width == 0)
            numbers, place = x.bytes(DATA).pointer(0), argument.doubles(1)
            with f.when(kind == REFERENCED):
                argument.words(1)[0] = x.bytes(DATA)[0]
            with f.when(is_double & (kind != REFERENCED)):
                f.copy(place, numbers, size)
            for converts, text, type_ in ((is_single, "fpext", "float"), (is_integer, "sitofp", "i64")):
                with f.when(converts), f.repeat(size) as each:
                    number = f.op(f"load {type_}, ptr {numbers.bytes(each.index * width)}")
                    place[each.index] = Vector(f, f.op(f"{text} {type_} {number} to double"))
    expect(loop.next[0])
    f.call("void", "Py_DecRef", failed)
    return_object(f, address_of(True))
    return f


def _type(x: Words) -> Integer:
    """Return the address of the type of the object at the address `x`."""
    return x.bytes(TYPE)[0]


def _integer_address(x: object) -> str:
    """Return LLVM text for the address of a Python object, as an integer. The object must live as long as the code."""
    return str(id(x))


_kernels = SharedKernels({"read_arrays": _write_read_arrays}, holds_gil=True)
