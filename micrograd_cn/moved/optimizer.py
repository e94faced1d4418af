"""Pickled optimisers of version 0.2 name `micrograd_cn.optimizer`."""

from micrograd_cn.optim.optimizer import Optimizer as Optimizer
from micrograd_cn.optim.optimizer import copy_states as copied

__all__ = ["Optimizer", "copied"]
