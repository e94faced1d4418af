"""The old path `micrograd_cn.operation`, which the class `Op` pickled by version 0.2 refers to."""

from micrograd_cn.ops.operation import Op as Op
