"""Sort rows by the program that computes them, gather their numbers, and put results in the order of the rows.

If there are many rows, machine code does this.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from itertools import chain, compress
from math import isnan
from operator import not_
from typing import Any

from ..llvm.builtin import BUILTIN_SIGNATURE, builtin_function, operands_of, return_object
from ..llvm.lanes import Lanes
from ..llvm.machine import machine
from ..llvm.operands import Condition, Doubles, Integer, Words
from ..llvm.text import KERNEL_PREFIX, Function
from .arrays import FlatNumbers
from .columns import address
from .kernels import SharedKernels
from .nodes import address_of

FEW_NUMBERS = 64  # for fewer numbers, Python code takes no longer than a call of machine code
MANY_NUMBERS = 500  # among this many numbers or more, numpy finds a nan in less time than Python code
NUMBERS_BEFORE_CODE = 200_000  # Python code takes about as long for this many numbers as it takes to make machine code
VECTORS = 8  # this many vectors are compared with nan at a time


def _write_partition() -> Function:
    """Write the function that sorts the `%n` integers at `%rows` by their labels, and copies them to `%to`.

    `%labels` has the label of each of them, a double from 0 to `%count` - 1. Those with the same label keep their
    order. `%ends` is an array of `%count` zeros. Afterwards it has, for each label, the position in `%to` at which the
    integers with this label end. If all of them have the same label, the function copies nothing and returns 1.
    """
    f = Function(f"{KERNEL_PREFIX}partition", "ptr %rows, ptr %labels, i64 %n, ptr %to, ptr %ends, i64 %count", "i64")

    rows, labels, n = Words(f, "%rows"), Doubles(f, "%labels"), Integer(f, "%n")
    to, ends, zero = Words(f, "%to"), Words(f, "%ends"), Integer(f, "0")

    def end_of(index: Integer) -> Words:
        return ends + Integer(f, f.op(f"fptosi double {labels[index]} to i64"))

    with f.repeat(n) as loop:
        end = end_of(loop.index)
        end[0] = end[0] + 1
    with f.repeat("%count", [zero, zero]) as loop:
        begin, largest = loop.carried
        count = ends[loop.index]
        ends[loop.index] = begin  # advances to the end while integers are copied
        loop.next = [begin + count, largest.maximum(count)]
    alike = loop.next[1] == n
    with f.when(~alike), f.repeat(n) as loop:
        end = end_of(loop.index)
        position = end[0]
        to[position] = rows[loop.index]
        end[0] = position + 1
    f.do(f"ret i64 {alike.to_integer()}")
    return f


def _write_split() -> Function:
    """Write the function that copies the `%n` integers at `%rows`, in order, to one of two addresses.

    `%outcomes` has `%width` numbers for each integer. If these are equal to the numbers at `%expected`, the integer is
    copied to `%holding`, and otherwise to `%others`. At each address there is room for `%n` integers. The function
    returns how many it has copied to `%holding`.
    """
    operands = "ptr %rows, ptr %outcomes, i64 %n, ptr %expected, i64 %width, ptr %holding, ptr %others"
    f = Function(f"{KERNEL_PREFIX}split", operands, "i64")
    rows, outcomes, expected = Words(f, "%rows"), Doubles(f, "%outcomes"), Doubles(f, "%expected")
    width, holding, others, zero = Integer(f, "%width"), Words(f, "%holding"), Words(f, "%others"), Integer(f, "0")
    with f.repeat("%n", [zero, zero]) as loop:
        kept, left = loop.carried
        row = rows[loop.index]
        holding[kept] = row  # to both, which takes less time than a branch
        others[left] = row
        found = outcomes + loop.index * width
        with f.loop(width, [Condition(f, "true")]) as one:
            equal = found[one.index] == expected[one.index]
            one.next = [one.carried[0] & equal]
        holds = one.next[0].to_integer()
        loop.next = [kept + holds, left + Integer(f, f.op(f"xor i64 {holds}, 1"))]
    f.do(f"ret i64 {loop.next[0]}")
    return f


def _write_copy_rows(name: str, scatter: bool) -> Function:
    """Write the function that copies `%n` rows of `%width` numbers from the address `%from` to the address `%to`.

    `%rows` has an index for each row. If `scatter` is set, these are the places of the rows at `%to`, and otherwise
    those at `%from`. At the other address, the rows follow one another.
    """
    f = Function(KERNEL_PREFIX + name, "ptr %to, ptr %from, ptr %rows, i64 %n, i64 %width")
    rows, width = Words(f, "%rows"), Integer(f, "%width")
    with f.repeat("%n") as row:
        near, far = row.index * width, rows[row.index] * width
        to, source = Doubles(f, "%to") + (far if scatter else near), Doubles(f, "%from") + (near if scatter else far)
        with f.repeat(width) as one:
            to[one.index] = source[one.index]
    f.do("ret void")
    return f


def _any_nan(f: Function, numbers: Doubles, n: Integer, stride: Integer) -> Condition:
    """Write code that tells whether one of `n` numbers, each `stride` doubles after the one before, is nan."""
    lanes = Lanes(f, machine().simd)
    count = lanes.count
    whole = (stride == 1).select(n // (VECTORS * count), 0)
    with f.repeat(whole, [Condition(f, "zeroinitializer", count)]) as loop:
        [found] = loop.carried
        begin = numbers + loop.index * (VECTORS * count)
        xs = [lanes.load(begin + k * count) for k in range(VECTORS)]
        for a, b in zip(xs[::2], xs[1::2], strict=True):  # uno holds if either operand is nan
            found = found | a.compare("uno", b)
        loop.next = [found]
    [found] = loop.next
    found = found.any()
    first = whole * (VECTORS * count)
    with f.repeat(n - first, [found]) as loop:
        x = numbers[(first + loop.index) * stride]
        loop.next = [loop.carried[0] | x.is_nan()]
    result: Condition = loop.next[0]
    return result


def _write_has_nan() -> Function:
    """Write the function that returns 1 if one of `%n` numbers at `%x` is nan, and otherwise 0.

    Each number is `%stride` doubles after the one before.
    """
    f = Function(f"{KERNEL_PREFIX}has_nan", "ptr %x, i64 %n, i64 %stride", "i64")
    found = _any_nan(f, Doubles(f, "%x"), Integer(f, "%n"), Integer(f, "%stride"))
    f.do(f"ret i64 {found.to_integer()}")
    return f


def _write_finds_nan() -> Function:
    """Write the code of a built-in Python function that returns whether some number is nan; see `llvm.builtin`.

    `%self` is a tuple. Its first item is a `bytes` with the operands of the kernel `has_nan`. The second item, which
    other such functions return, is not used.
    """
    f = Function(f"{KERNEL_PREFIX}finds_nan", *BUILTIN_SIGNATURE)
    held = operands_of(f)
    found = _any_nan(f, held.doubles(0), held[1], held[2])
    return_object(f, f.op(f"select i1 {found}, ptr {address_of(True)}, ptr {address_of(False)}"))
    return f


def _write_shuffle() -> Function:
    """Write the function that shuffles the integers at `%rows` by exchanging each, from index `%last` down, at random.

    `%draws` has `%count` random integers of 32 bits. Let `last` be `%last` at first. For each draw, an index is made of
    its highest bits, as many as the integer `last` + 1 has. If the index is at most `last`, the integers at the index
    and at `last` are exchanged, and `last` is decreased by 1. Otherwise the draw is skipped. The function returns
    `last`. `%count` must be at most `%last`.
    """
    f = Function(f"{KERNEL_PREFIX}shuffle", "ptr %rows, i64 %last, ptr %draws, i64 %count", "i64")
    rows, last = Words(f, "%rows"), Integer(f, "%last")
    unused = Integer(f, f.op(f"call i64 @llvm.ctlz.i64(i64 {last + 1}, i1 true)"))
    # While the last index is at least `least`, it has `shift` bits fewer than 32 after 1 is added
    least = Integer(f, f.op(f"lshr i64 {Integer(f, str(2**63 - 1))}, {unused}"))
    with f.repeat("%count", [last, unused - 32, least]) as loop:
        last, shift, least = loop.carried
        drawn = f.op(f"load i32, ptr {f.op(f'getelementptr i32, ptr %draws, i64 {loop.index}')}")
        index = Integer(f, f.op(f"lshr i64 {f.op(f'zext i32 {drawn} to i64')}, {shift}"))
        is_taken = index < last + 1
        other = is_taken.select(index, last)
        rows[last], rows[other] = rows[other], rows[last]
        last = last - is_taken.to_integer()
        is_shorter = (last < least).to_integer()
        loop.next = [last, shift + is_shorter, Integer(f, f.op(f"lshr i64 {least}, {is_shorter}"))]
    f.do(f"ret i64 {loop.next[0]}")
    return f


_kernels = SharedKernels(
    {
        "shuffle": _write_shuffle,
        "has_nan": _write_has_nan,
        "finds_nan": _write_finds_nan,
        "split": _write_split,
        "partition": _write_partition,
        "gather_rows": lambda: _write_copy_rows("gather_rows", False),
        "scatter_rows": lambda: _write_copy_rows("scatter_rows", True),
    }
)


def compile_kernels() -> None:
    """Compile the kernels, the machine code that the functions of this module call."""
    _kernels.compile()


def machine_code_is_ready(numbers: int) -> bool:
    """Return whether machine code is worthwhile for this many numbers, and exists.

    The machine code is compiled in the background once Python code has processed many numbers.
    """
    if numbers < FEW_NUMBERS or not numbers:
        return False
    return _kernels.are_compiled or _kernels.are_ready(numbers, NUMBERS_BEFORE_CODE)


def shuffle_by_machine_code(rows: array[int], getrandbits: Callable[[int], int]) -> None:
    """Shuffle an array as `random.Random.shuffle` does. `getrandbits` is the method of the `random.Random` to use.

    Python exchanges each item, from the last one down to the second, with a random one at the same or a smaller index
    (the algorithm of Fisher and Yates). If the random index is too large, Python draws another one. An index consists
    of the highest bits of a random integer of 32 bits. This function draws one integer for each item at once, the least
    that Python would draw. If some of them are too large, it draws one for each item that is left, and so on.
    `machine_code_is_ready` must be true.
    """
    last = len(rows) - 1
    while last > 0:
        draws = array("I", getrandbits(32 * last).to_bytes(4 * last, sys.byteorder))
        if sys.byteorder == "big":
            draws.reverse()  # the first draw has the lowest bits
        last = _kernels["shuffle"](address(rows), last, address(draws), last)


def split_by_outcome(rows: array[int], outcomes: array[float], expected: array[float]) -> tuple[array[int], array[int]]:
    """Return those rows whose outcomes are as expected, and the other rows, both in order.

    `outcomes` has as many numbers for each row as `expected` has.

    >>> split_by_outcome(array("q", [7, 5, 3]), array("d", [1, 0, 1]), array("d", [0]))
    (array('q', [5]), array('q', [7, 3]))
    """
    n, width = len(rows), len(expected)
    if not machine_code_is_ready(n * width):
        holds = [outcomes[k : k + width] == expected for k in range(0, n * width, width)]
        return array("q", compress(rows, holds)), array("q", compress(rows, map(not_, holds)))
    holding, others = array("q", bytes(8 * n)), array("q", bytes(8 * n))
    count = _kernels["split"](
        address(rows), address(outcomes), n, address(expected), width, address(holding), address(others)
    )
    if count == n:
        return rows, array("q")
    del holding[count:], others[n - count :]
    return holding, others


def rows_by_label(rows: array[int], labels: array[float], count: int) -> list[array[int]]:
    """Sort rows by their labels, which are 0.0, 1.0, ... and less than `count`. Return an array of rows for each label.

    Rows with the same label keep their order. If all rows have the same label, `rows` itself may be returned for this
    label.

    >>> rows_by_label(array("q", [7, 5, 3]), array("d", [1, 0, 1]), 3)
    [array('q', [5]), array('q', [7, 3]), array('q')]
    """
    n = len(rows)
    if not machine_code_is_ready(n):
        few = [array("q") for _ in range(count)]
        for row, label in zip(rows, labels, strict=True):
            few[int(label)].append(row)
        return few
    ends, to = array("q", bytes(8 * count)), array("q", bytes(8 * n))
    if _kernels["partition"](address(rows), address(labels), n, address(to), address(ends), count):
        return [rows if label == labels[0] else array("q") for label in range(count)]
    return [to[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def gather_rows(numbers: FlatNumbers, rows: array[int], width: int) -> array[float]:
    """Return the numbers of some rows, one row after the other. Each row has `width` numbers.

    >>> gather_rows(array("d", [1, 2, 3, 4, 5, 6]), array("q", [2, 0]), 2)
    array('d', [5.0, 6.0, 1.0, 2.0])
    """
    n = len(rows)
    if not machine_code_is_ready(n * width):
        if width == 1:
            return array("d", map(numbers.__getitem__, rows))
        return array("d", chain.from_iterable([numbers[i * width : (i + 1) * width] for i in rows]))
    to = array("d", bytes(8 * n * width))
    _kernels["gather_rows"](address(to), address(numbers), address(rows), n, width)
    return to


def scatter_rows(out: Any, numbers: Any, rows: array[int], width: int) -> None:
    """Copy rows of `width` numbers to their places among the rows in the buffer `out`.

    `numbers` is a buffer with the rows, one after the other, and `rows` has the place of each of them.

    >>> out = array("d", [0, 0, 0, 0])
    >>> scatter_rows(out, array("d", [1, 2]), array("q", [1]), 2); out
    array('d', [0.0, 0.0, 1.0, 2.0])
    """
    n = len(rows)
    if not n * width:
        return
    to, source = memoryview(out).cast("B"), memoryview(numbers).cast("B")
    if machine_code_is_ready(n * width):
        _kernels["scatter_rows"](address(to), address(source), address(rows), n, width)
        return
    if width == 1:
        words = to.cast("q")
        for row, word in zip(rows, source.cast("q"), strict=True):
            words[row] = word
        return
    size = 8 * width
    for k, row in enumerate(rows):
        to[row * size : (row + 1) * size] = source[k * size : (k + 1) * size]


def has_nan(numbers: FlatNumbers, width: int = 1) -> bool:
    """Return whether the first number of at least one row is nan. Each row has `width` numbers.

    >>> nan = float("nan")
    >>> [has_nan(array("d", [1.0, 2.0, 3.0, nan]), width) for width in (1, 2)]
    [True, False]
    """
    if not machine_code_is_ready(len(numbers) // width):
        first = numbers if width == 1 else numbers[::width]
        if len(first) >= MANY_NUMBERS and (numpy := sys.modules.get("numpy")):
            return bool(numpy.isnan(numpy.asarray(first)).any())
        return isnan(sum(first)) and any(map(isnan, first))  # the sum is nan, too, if inf and -inf are in it
    return bool(_kernels["has_nan"](address(numbers), len(numbers) // width, width))


def nan_finder_is_ready() -> bool:
    """Return whether the machine code for `nan_finder` is compiled. If it is not, compile it in the background."""
    return _kernels.is_ready("finds_nan")


def nan_finder(numbers: array[float], width: int) -> Callable[[], bool]:
    """Return a function that takes no arguments, and tells whether the first number of at least one row is nan.

    The function is machine code, which is compiled if it is not yet. It reads the array `numbers`, with `width` numbers
    for each row, at each call. It may not be called after the array was freed.

    >>> numbers = array("d", [1.0, 2.0])
    >>> finds_nan = nan_finder(numbers, 1)
    >>> finds_nan()
    False
    >>> numbers[1] = float("nan")
    >>> finds_nan()
    True
    """
    return builtin_function(_kernels.address("finds_nan"), [address(numbers), len(numbers) // width, width], True)


def at_indices(integers: Sequence[int], index: array[int]) -> array[int]:
    """Return the items of `integers` at the indices in `index`.

    >>> at_indices([4, 6, 8], array("q", [2, 0])), at_indices(range(9), array("q", [2, 0]))
    (array('q', [8, 4]), array('q', [2, 0]))
    """
    if integers == range(len(integers)):
        return index
    return array("q", map(integers.__getitem__, index))
