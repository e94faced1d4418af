"""The old path `micrograd_cn.operation`, to which a pickle of the class `Op` by version 0.2 refers."""

from micrograd_cn.ops.operation import Op as Op
