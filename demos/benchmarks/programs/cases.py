"""What a program is: a function of parameters and of one sample, its data, and what is computed of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# A function of a namespace with the elementary functions, of the parameters by their names, and of one sample.
Formula = Callable[..., Any]


@dataclass
class Case:
    """A program.

    Attributes:
        name: what the program does, in a few words.
        formula: the function: it takes a namespace with the functions that it calls (those of `micrograd_cn`, or jax's
            under the same names), the parameters, and the numbers of one sample.
        parameters: the parameters' start values.
        data: for each argument of a sample, an array with a row for each sample.
        kind: what is computed: "gradient" for the mean and its gradient with respect to the parameters, "each" for the
            value and the gradient with respect to the sample, for every sample, "each by parameters" for those with
            respect to the parameters, "results" for several results of every sample, "jacobian" for their derivatives
            with respect to the sample, and "fit" for a step of Adam.
        by_hand: a function that computes the value and the gradient in numpy; None if nobody has written one.
    """

    name: str
    formula: Formula
    parameters: Mapping[str, Any]
    data: tuple[Any, ...]
    kind: str = "gradient"
    by_hand: Callable[[Mapping[str, Any], tuple[Any, ...]], tuple[Any, Any]] | None = field(default=None)


def generator() -> np.random.Generator:
    """Return a generator of random numbers that is the same in each run."""
    return np.random.default_rng(2026)


def weights(*shape: int) -> Any:
    """Return a matrix of small random numbers."""
    return generator().normal(0.0, 1.0 / np.sqrt(shape[0]), shape)
