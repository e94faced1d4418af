"""The old path `micrograd_cn.traits`, and the old names of its classes, which pickles of version 0.2 refer to."""

from micrograd_cn.ops.traits import Lowerings as Forms
from micrograd_cn.ops.traits import Notation as Looks
from micrograd_cn.ops.traits import Smoothness as Smooth

__all__ = ["Forms", "Looks", "Smooth"]
