"""Pickles of version 0.2 name `micrograd_cn.traits`, and its classes by the names that they had then."""

from micrograd_cn.ops.traits import Lowerings as Forms
from micrograd_cn.ops.traits import Notation as Looks
from micrograd_cn.ops.traits import Smoothness as Smooth

__all__ = ["Forms", "Looks", "Smooth"]
