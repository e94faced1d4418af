"""Neurons, layers and multi-layer perceptrons: micrograd's, with one `dot` node a neuron."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from . import ops
from .engine import Number, Value, method, record, values
from .operation import OPS

Activation: TypeAlias = str | Callable[[Value], Value]


def _activation(activation: Activation) -> Callable[[Value], Value]:
    """Return the function that `activation` is or names.

    Raises:
        ValueError: it names no operation of one operand.
        TypeError: it is neither a name nor a function.
    """
    if callable(activation):
        return activation
    if not isinstance(activation, str):
        raise TypeError(f"activation must be a name or a function, got {activation!r}")
    op = OPS.get(activation)
    if op is None or not op.unary:
        known = ", ".join(sorted(name for name, row in OPS.items() if row.unary))
        raise ValueError(f"unknown activation {activation!r}; known: {known}")
    return method(op)


def _size(name: str, size: int) -> int:
    if not isinstance(size, int):
        raise TypeError(f"{name} must be an int, got {type(size).__name__} {size!r}")
    if size < 1:
        raise ValueError(f"{name} must be at least 1, got {size}")
    return size


def _inputs(owner: Module, nin: int, x: Iterable[Number]) -> tuple[Value, ...]:
    """Return the inputs as `Value`s: one node an input, however many neurons share it."""
    inputs = values(x)
    if len(inputs) != nin:
        raise ValueError(f"{type(owner).__name__} of {nin} inputs was given {len(inputs)}")
    return inputs


class Module:
    """Hold parameters: the leaf `Value`s found in attributes, and in modules, lists, tuples and dicts of them.

    >>> class Line(Module):
    ...     def __init__(self):
    ...         self.slope, self.offset = Value(2), Value(1)
    >>> [name for name, _ in Line().named_parameters()]
    ['slope', 'offset']
    """

    def named_parameters(self) -> Iterator[tuple[str, Value]]:
        """Yield every parameter once, with the path to it.

        >>> [name for name, _ in Layer(2, 1).named_parameters()]
        ['neurons.0.w.0', 'neurons.0.w.1', 'neurons.0.b']
        """
        seen: set[int] = set()
        waiting: list[tuple[str, object]] = [("", self)]
        while waiting:
            path, held = waiting.pop()
            if id(held) in seen:
                continue
            if isinstance(held, Value):
                seen.add(id(held))
                if held.op is None:
                    yield path, held
                continue
            inside: Iterable[tuple[Any, object]]
            if isinstance(held, Module):
                inside = vars(held).items()
            elif isinstance(held, dict):
                inside = held.items()
            elif isinstance(held, (list, tuple)):
                inside = enumerate(held)
            else:
                continue
            seen.add(id(held))
            waiting += [(f"{path}.{name}" if path else str(name), item) for name, item in inside][::-1]

    def parameters(self) -> list[Value]:
        """Return every parameter once, in the order of `named_parameters`.

        >>> len(MLP(2, [3, 1]).parameters())
        13
        """
        return [parameter for _, parameter in self.named_parameters()]

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0.

        >>> layer = Layer(1, 1); layer.parameters()[0].grad = 5.0
        >>> layer.zero_grad(); layer.parameters()[0].grad
        0.0
        """
        for parameter in self.parameters():
            parameter.grad = 0.0


class Neuron(Module):
    """Compute activation(w . x + b) of `nin` inputs, one `dot` node; without the activation if `nonlin` is false.

    Weights are drawn from uniform(-1, 1) by `random`, the bias is 0: micrograd's numbers for the same `random.seed`.

    Args:
        nin: the number of inputs.
        nonlin: whether the activation function is applied.
        activation: a function of a `Value`, or the name of an operation ("relu", "tanh", "gelu", ...).

    Raises:
        TypeError: `nin` is not an int, or `activation` is neither a name nor a function.
        ValueError: `nin` is less than 1, or the activation is unknown; when called, the number of inputs is not `nin`.

    >>> neuron = Neuron(2, activation="tanh")
    >>> neuron.w[0].data, neuron.w[1].data = 1.0, -1.0
    >>> neuron([0.5, 0.5])
    Value(data=0.0, grad=0.0)
    """

    def __init__(self, nin: int, nonlin: bool = True, activation: Activation = "relu") -> None:
        self.w = [Value(random.uniform(-1, 1)) for _ in range(_size("nin", nin))]
        self.b = Value(0)
        self.nonlin = nonlin
        self.activation = activation
        self._apply = _activation(activation)

    def __call__(self, x: Iterable[Number]) -> Value:
        """Return the neuron's output for the inputs `x`."""
        linear = record(ops.dot, (*self.w, *_inputs(self, len(self.w), x), self.b))
        return self._apply(linear) if self.nonlin else linear

    def __repr__(self) -> str:
        return f"Neuron({len(self.w)}, {self.activation if self.nonlin else 'linear'})"


class Layer(Module):
    """Apply `nout` neurons to the same `nin` inputs.

    Args:
        nin: the number of inputs.
        nout: the number of neurons.
        nonlin: as for `Neuron`.
        activation: as for `Neuron`.

    Raises:
        TypeError: as for `Neuron`.
        ValueError: as for `Neuron`, or `nout` is less than 1.

    >>> len(Layer(2, 3)([1, 2])), len(Layer(2, 1)([1, 2]))
    (3, 1)
    """

    def __init__(self, nin: int, nout: int, nonlin: bool = True, activation: Activation = "relu") -> None:
        self.neurons = [Neuron(nin, nonlin, activation) for _ in range(_size("nout", nout))]

    def __call__(self, x: Iterable[Number]) -> list[Value]:
        """Return the outputs of all neurons, a list even of one."""
        inputs = _inputs(self, len(self.neurons[0].w), x)
        return [neuron(inputs) for neuron in self.neurons]

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(map(repr, self.neurons))}]"


class MLP(Module):
    """Chain layers of `nouts[0]`, `nouts[1]`, ... neurons; the last has no activation function.

    Args:
        nin: the number of inputs.
        nouts: the number of neurons of each layer.
        activation: as for `Neuron`.

    Raises:
        TypeError: `nin` or one of `nouts` is not an int, or `activation` is neither a name nor a function.
        ValueError: there are no layers, a size is less than 1, or the activation is unknown; when called, the number
            of inputs is not `nin`.

    >>> MLP(3, [4, 2])([1, 2, 3])[1].op
    <operation dot>
    """

    def __init__(self, nin: int, nouts: Sequence[int], activation: Activation = "relu") -> None:
        if isinstance(nouts, int):
            raise TypeError(f"nouts must be a sequence with the size of each layer, got {nouts}; write [{nouts}]")
        if not nouts:
            raise ValueError("an MLP needs at least one layer, got no nouts")
        sizes = [nin, *nouts]
        last = len(nouts) - 1
        self.layers = [Layer(sizes[i], sizes[i + 1], i != last, activation) for i in range(len(nouts))]

    def __call__(self, x: Iterable[Number]) -> Any:
        """Return the last layer's outputs as a list; of a last layer of one neuron, the bare `Value`."""
        first, *rest = self.layers
        outputs = first(x)
        for layer in rest:
            outputs = layer(outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(map(repr, self.layers))}]"
