"""Optimisers with PyTorch's names, defaults and updates; schedules; gradient clipping; early stopping.

Backward puts a gradient into each parameter, `clipping` may scale all of them, and an optimiser then changes the
parameters. `optimizer` is the base class: it holds the parameters and their state, and saves and loads the state.
`sgd`, `rmsprop` and `adam` say how one step changes one parameter. `schedules` gives the learning rate of each step,
and `early_stopping` says after which epoch to stop.
"""

import sys
from typing import TYPE_CHECKING, NoReturn

from .adam import Adam, AdamW
from .clipping import clip_grad_norm
from .early_stopping import EarlyStopping
from .optimizer import Optimizer
from .rmsprop import RMSprop
from .schedules import cosine_lr, linear_lr, step_lr, warmup
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop"]
__all__ += ["EarlyStopping", "clip_grad_norm", "cosine_lr", "linear_lr", "step_lr", "warmup"]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        """Raise an error for a name that this module does not have. It says what to write."""
        from ..text.public_names import missing_name

        raise missing_name(name, sys._getframe(1), __name__)
