"""Refuse what a method cannot compute for a function, such as the gradient of several results.

In all functions of this module, the argument `method` is the name of the method, and `name` is the name of the compiled
function. Both are for messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...engine import Value
from ...graph.callers import warn_at_user
from ..program import Program
from .recording import Recording


def check_single(method: str, name: str, recording: Recording) -> None:
    """Raise ValueError if the function called `name` returned several numbers, which `method` cannot differentiate."""
    if not recording.single:
        labels = [x.label for x in recording.program.inputs]
        columns = [x[:-3] for x in labels if x[-3:] == "[0]" and f"{x[:-3]}[1]" not in labels]
        write = f"; if {columns[0]} is an array of shape (n, 1), pass {columns[0]}.ravel()" if columns else ""
        raise ValueError(f"{method}() needs a function that returns one Value; {name} returns several{write}")


def check_pair(name: str, recording: Recording) -> None:
    """Raise TypeError unless the function `name` returned a pair of a number and something else."""
    example = recording.rebuild([0.0] * len(recording.program.outputs))
    if recording.single or not isinstance(example, (tuple, list)) or len(example) != 2 or type(example[0]) is not float:
        raise TypeError(
            f"value_and_grad(): with has_aux, {name} returns a pair: the number to differentiate, and auxiliary results"
        )


def check_has_gradient(method: str, name: str, programs: Iterable[Program]) -> None:
    """Raise RuntimeError if the result of every program is a constant, so `method` has nothing to differentiate.

    `name` is the name of the function.
    """
    if not any(program.has_gradient for program in programs):
        raise RuntimeError(f"{method}() of {name}, which is a constant for these samples: it has no gradient")


def warn_of_no_slope(name: str, loss: float, parameters: Sequence[Value]) -> None:
    """Warn if the last gradient of all `parameters` is 0.

    This is called if the mean losses of the first and of the last epoch are equal, and `loss` is this mean loss. `name`
    is the name of the function that computes the loss.
    """
    trained = [p for p in parameters if p.requires_grad]
    if trained and not any(p.grad for p in trained):
        warn_at_user(
            f"fit() of {name} has trained nothing: each parameter has the gradient 0, and the loss stays {loss}; "
            "comparisons, floor() and step() have the derivative 0, so train with a loss that has a slope, such as "
            "hinge_loss or binary_cross_entropy; or relu is 0 for all samples, or the loss is a constant"
        )


def check_has_parameters(method: str, name: str, parameters: Sequence[Value], programs: Iterable[Program]) -> None:
    """Raise an error if the function has no `parameters`, or the results depend on none that requires a gradient.

    Raises:
        RuntimeError: there are no such parameters.
        ValueError: there are no parameters, and a constant of a program requires a gradient now.
    """
    if not parameters:
        for program in programs:
            program.check_frozen(method)
        raise RuntimeError(
            f"{method}() of {name}, which has no parameters to give a gradient to; write gradient() for the "
            "derivatives with respect to the arguments, or forward() for the results"
        )
    check_has_trainable(method, name, programs)


def check_has_trainable(method: str, name: str, programs: Iterable[Program]) -> None:
    """Raise RuntimeError if no program's result depends on a parameter that requires a gradient.

    `method` and `name` are the names of the method and of the function, for the message.
    """
    if not any(program.has_trainable for program in programs):
        raise RuntimeError(
            f"{method}() of {name}, whose result depends on no parameter that requires a gradient: there is "
            "none, or all are frozen, detached or used inside no_grad()"
        )
