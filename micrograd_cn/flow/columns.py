"""The numbers of many snapshots of one graph in little room: each number that differs from all others once, in 8 bytes.

Of a graph's numbers many are the same in every snapshot, and many the same as another one: a product's local derivative
is the other factor. A number's column is what it is in each snapshot. Columns that are equal to the bit are kept once;
those that never change are written as numbers, the others as one text of doubles, snapshot by snapshot.
"""

from __future__ import annotations

import base64
import math
import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Any


def packed(rows: Sequence[array[float]]) -> dict[str, Any]:
    """Return for JSON the numbers of snapshots, of which each is a row.

    The page finds the number `k` of a row in `columns[k]`: in `fixed`, where it is the same in all rows; else, counted
    on from there, in the row's part of `varying`, which is base64 of doubles whose least byte comes first.

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
    """Return numbers for JSON, which has no nan and inf.

    >>> encoded([1, float("inf")])
    [1.0, 'inf']
    """
    return [float(x) if math.isfinite(x) else str(float(x)) for x in xs]
