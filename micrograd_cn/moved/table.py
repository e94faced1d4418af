"""The old path `micrograd_cn.table`, which operations pickled by version 0.2 refer to."""

from micrograd_cn.ops.registry import _row as _row
