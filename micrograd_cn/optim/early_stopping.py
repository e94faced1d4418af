"""`EarlyStopping`: stop when a validation loss no longer improves, and go back to the best parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Never

from ..engine import Value
from ..graph.node import assign_data
from ..ops.number import flag, number
from ..ops.options import refuse_options
from ..text.absent import Absent
from .optimizer import list_of_parameters

__all__ = ["EarlyStopping"]

# What to write instead of a Keras option
INSTEAD = {
    "min_delta": "leave it out, because any smaller loss is an improvement",
    "mode": "write maximize=True if a larger number is better",
    "restore_best_weights": "call restore() at the end",
}


class EarlyStopping:
    """Say when a loss has not improved for some epochs, and keep the parameters with which the loss was best.

    The method `fit` of a compiled function uses this class if you pass `validation` and `patience`. In a loop of your
    own, call `step` with the validation loss after each epoch, and `restore` at the end. A loss is an improvement if it
    is smaller than all losses before it, or larger than all of them if `maximize` is true. nan is never an improvement.

    Args:
        parameters: the `Value`s whose data is kept and restored, such as `model.parameters()`.
        patience: how many epochs without an improvement end training, at least 1.
        maximize: whether a larger number is better, as for an accuracy.

    Attributes:
        best: the best loss that `step` has been called with. Before the first, it is inf, or -inf if `maximize` is
            true.
        best_epoch: the index of the epoch with the best loss, counted from 0; None until there is one.

    Raises:
        ValueError: `patience` is not an int of at least 1, there are no parameters, or one of them is a computed node.
        TypeError: `parameters` is not a sequence of `Value`s, or `maximize` is not True or False.

    >>> w = Value(0.0)
    >>> stopping = EarlyStopping([w], patience=2)
    >>> for loss in [3.0, 2.0, 2.5, 2.25, 1.0]:
    ...     w.data += 1.0
    ...     if stopping.step(loss):
    ...         break
    >>> stopping.restore()
    >>> loss, stopping.best, stopping.best_epoch, w.data
    (2.25, 2.0, 1, 2.0)
    """

    def __init__(self, parameters: Iterable[Value], patience: int, maximize: bool = False, **wrong: Never) -> None:
        refuse_options("EarlyStopping", wrong, INSTEAD, ("patience", "maximize"))
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
            raise ValueError(f"EarlyStopping: patience must be an int of at least 1, got {patience!r}")
        self.parameters = list_of_parameters("EarlyStopping", parameters)
        self.patience, self.maximize = patience, flag("EarlyStopping: maximize", maximize)
        self.best = -math.inf if maximize else math.inf
        self.best_epoch: int | None = None
        self._epochs = self._waited = 0
        self._data: list[float] = []

    if not TYPE_CHECKING:
        stop, should_stop, early_stop, stopped, stop_training = [
            Absent("write if stopping.step(loss): break after each epoch") for _ in range(5)
        ]
        update, on_epoch_end, check, record = [Absent("write stopping.step(loss)") for _ in range(4)]
        best_loss, best_score, best_value = [Absent("read stopping.best") for _ in range(3)]
        counter, wait, num_bad_epochs = [Absent("count in your loop, with stopping.best_epoch") for _ in range(3)]
        load_checkpoint, restore_best_weights, best_state = [Absent("write stopping.restore()") for _ in range(3)]

    def step(self, loss: float) -> bool:
        """Record `loss`, the validation loss after the epoch that has just ended, and return whether to stop training.

        Raises:
            TypeError: `loss` is not a number.
        """
        loss = number(loss)
        if self.improves(loss):
            data = [p.data for p in self.parameters]  # before the rest, which has no calls, so Ctrl-C leaves it whole
            self.best, self.best_epoch = loss, self._epochs
            self._data, self._waited = data, 0
        else:
            self._waited += 1
        self._epochs += 1
        return self._waited >= self.patience

    def improves(self, loss: float) -> bool:
        """Return whether `loss` is better than all losses that `step` has been called with."""
        return loss > self.best if self.maximize else loss < self.best

    def restore(self) -> None:
        """Give the parameters the data that they had after the best epoch. If no loss was recorded, change nothing."""
        assign_data(self.parameters[: len(self._data)], self._data)  # others may have come since
