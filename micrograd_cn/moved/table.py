"""Pickled operations of version 0.2 name `micrograd_cn.table`."""

from micrograd_cn.ops.registry import _row as _row
