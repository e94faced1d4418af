"""The old path `micrograd_cn.optimizer`, which optimisers pickled by version 0.2 refer to."""

from micrograd_cn.optim.optimizer import Optimizer as Optimizer
from micrograd_cn.optim.optimizer import copy_states as copied

__all__ = ["Optimizer", "copied"]
