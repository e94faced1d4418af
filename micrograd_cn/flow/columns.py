"""Pack the numbers of many snapshots of one graph into little space.

Many numbers of a graph never change from one snapshot to the next. Many others are always equal to another number of
the graph: the local derivative of a product, for example, is the other factor. The column of a number is the list of
its values in all snapshots. Columns that are equal to the last bit are stored once. A column that never changes is
stored as one number, and the other columns are stored together as 8-byte doubles.
"""

from __future__ import annotations

import base64
import math
import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Any


def packed(rows: Sequence[array[float]]) -> dict[str, Any]:
    """Return the numbers of snapshots as a dict for JSON. Each of `rows` has the numbers of one snapshot.

    The numbers at the index `k` of all rows are the values of one quantity, such as the data of a node. They are a
    column, which is stored only once if several columns are equal. In the result, `columns[k]` is the index of the
    stored column for `k`. The first stored columns have the same number in all snapshots, and `fixed` has this number
    for each of them. `varying` has the numbers of the other stored columns, snapshot by snapshot, as little-endian
    doubles in base64.

    >>> packed([array("d", [1, 2, 2, 7]), array("d", [1, 3, 3, 7])])
    {'columns': [0, 2, 2, 1], 'fixed': [1.0, 7.0], 'varying': 'AAAAAAAAAEAAAAAAAAAIQA=='}
    """
    bits = [array("Q", row.tobytes()) for row in rows]
    kinds = list(zip(*bits, strict=True))
    same = {kind: None for kind in kinds if len(set(kind)) == 1}
    differ = {kind: None for kind in kinds if kind not in same}
    place = {kind: k for k, kind in enumerate([*same, *differ])}
    first = {kind: k for k, kind in reversed(list(enumerate(kinds)))}
    order = [first[kind] for kind in differ]
    varying = array("d", [row[k] for row in rows for k in order])
    if sys.byteorder == "big":
        varying.byteswap()
    return {
        "columns": [place[kind] for kind in kinds],
        "fixed": encoded(rows[0][first[kind]] for kind in same),
        "varying": base64.b64encode(varying.tobytes()).decode(),
    }


def encoded(xs: Iterable[float]) -> list[float | str]:
    """Return the numbers `xs` as a list for JSON, which has no nan and inf: these become texts.

    >>> encoded([1, float("inf")])
    [1.0, 'inf']
    """
    return [float(x) if math.isfinite(x) else str(float(x)) for x in xs]
