"""Optimisers with PyTorch's names, defaults and order of updates; learning-rate schedules; gradient clipping.

`optimizer` is what all of them share: the parameters, the state of each, and saving and loading. `sgd`, `rmsprop` and
`adam` each say how one step changes a parameter. `schedules` are functions from the number of a step to a learning rate.
"""

from .adam import Adam, AdamW
from .clipping import clip_grad_norm
from .optimizer import Optimizer
from .rmsprop import RMSprop
from .schedules import cosine_lr, linear_lr, step_lr, warmup
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop"]
__all__ += ["clip_grad_norm", "cosine_lr", "linear_lr", "step_lr", "warmup"]
