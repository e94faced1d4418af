"""Pickled classes of version 0.2 name `micrograd_cn.operation`."""

from micrograd_cn.ops.operation import Op as Op
