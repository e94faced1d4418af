"""Optimisers with PyTorch's names, defaults and order of updates; learning-rate schedules; gradient clipping."""

from .optimizer import Optimizer
from .optimizers import SGD, Adam, AdamW, RMSprop, clip_grad_norm
from .schedules import cosine_lr, linear_lr, step_lr, warmup

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop"]
__all__ += ["clip_grad_norm", "cosine_lr", "linear_lr", "step_lr", "warmup"]
