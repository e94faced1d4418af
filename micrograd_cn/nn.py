"""Neurons, layers and multi-layer perceptrons, as in micrograd.

A neuron computes activation(w1 * x1 + ... + wn * xn + b), where the sum of products is a single node, made by `dot`. A
layer applies several neurons to the same inputs, and an MLP gives the outputs of each layer to the next one.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Never, NoReturn, TypeAlias, cast

from . import init, ops
from .engine import Number, Value, constant, traverse
from .graph import context
from .graph.callers import is_of_this_package
from .graph.groups import Group
from .graph.operators import method, method_call
from .graph.subclasses import OVERRIDING
from .init import Generator, Initialiser, generator, initialiser
from .module import Module, parameters_of
from .ops.number import numbers_in
from .ops.operation import Op
from .ops.options import refuse_options
from .ops.registry import OPS
from .parameters import changes
from .parameters.entries import leaves_of
from .parameters.listing import call_parameters
from .parameters.model import lists_its_parameters, names_its_parameters, overridable
from .parameters.tree import is_array
from .parameters.unheld import with_unheld_leaves
from .text.absent import Absent

__all__ = ["MLP", "Activation", "Layer", "Module", "Neuron", "init"]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        """Raise an error for a name that this module does not have. It says what to write."""
        from .text.public_names import missing_name

        raise missing_name(name, sys._getframe(1), __name__)


Activation: TypeAlias = str | Callable[[Value], Value]
Inputs: TypeAlias = Value | Iterable[Number]


_ENGINES_VALUE = Value
_FORWARD = "write super().__call__(x) in a subclass, and model(x) elsewhere; to replace it, define it in a subclass"
_NO_MODES = "leave it out, because a model has no modes and computes the same in training and afterwards"
_NO_DROPOUT = "multiply outputs of a layer by random factors 0 and 1 / (1 - p) in a Module of your own"
_ALL_NUMBERS = "or layer.load_state_dict for all weights and biases"
_ALL_OF_MLP = "write model.state_dict() for all {}, or model.layers[i].neurons[j].{} of a neuron"
_NONE = ("linear", "identity", "none", "None", "")  # names by which users ask for no activation function
_WITHOUT = "; for none, write nonlin=False in a Neuron or Layer, or activation=lambda x: x in an MLP"


def _activation_function(activation: Activation) -> Callable[[Value], Value]:
    """Return the function that `activation` names, or `activation` itself if it is a function.

    Raises:
        ValueError: no operation of one operand has the name.
        TypeError: `activation` is neither a name nor a function, or it is a function of the module `math`.
    """
    softmax: Any = ops.softmax
    if callable(activation) and activation is not softmax:
        if getattr(activation, "__module__", "") in ("math", "cmath"):
            name = getattr(activation, "__name__", "")
            write = f"write activation={name!r}" if name in OPS else "write a function of Values"
            raise TypeError(f"activation={name} of the module {activation.__module__} takes plain numbers; {write}")
        return activation
    if activation is softmax:
        activation = "softmax"
    if isinstance(activation, (list, tuple)):
        raise TypeError(
            f"activation must be a name or a function, got {activation!r}; for an activation of each layer, write for "
            "layer, name in zip(model.layers, names): for n in layer.neurons: n.nonlin, n.activation = True, name"
        )
    if not isinstance(activation, str):
        raise TypeError(f"activation must be a name or a function, got {activation!r}{_WITHOUT}")
    op = OPS.get(activation)
    if op is None or not op.unary:
        known = sorted(name for name, row in OPS.items() if row.unary)
        write = _WITHOUT if activation in _NONE else ""
        if activation.lower() in known:
            write = f"; write {activation.lower()!r}"
        elif activation.lower() in ("softmax", "log_softmax"):
            write = "; softmax needs all outputs of a layer, so write softmax(model(x))"
        raise ValueError(f"unknown activation {activation!r}{write}; known: {', '.join(known)}")
    own, built_in = getattr(Value, op.name, None), vars(ops).get(op.name) is op
    if built_in and callable(own):
        # If user code has assigned a subclass to `nn.Value`, take the method of this class, which the sum does not have
        return method_call(op.name) if Value is _ENGINES_VALUE else cast(Callable[[Value], Value], own)
    return cast(Callable[[Value], Value], method(op))


def _refuse_options(name: str, wrong: Iterable[str]) -> None:
    """Raise TypeError if `wrong`, which has the names of options that the class `name` does not have, is not empty."""
    if not wrong:
        return
    no_bias = "for none, write n.b.requires_grad = False for each neuron n, whose bias is 0"
    instead = dict.fromkeys(("bias", "use_bias"), no_bias)
    instead |= dict.fromkeys(
        ("nonlinearity", "activation_function", "act", "hidden_activation", "hidden_activations"),
        "write activation=...",
    )
    instead |= dict.fromkeys(("rng", "random_state", "key", "generator"), "write seed=...")
    instead |= dict.fromkeys(("kernel_initializer", "weight_init", "initializer"), "write init=...")
    instead |= dict.fromkeys(("lr", "learning_rate"), "write SGD(model.parameters(), lr=...)")
    instead |= {"dropout": _NO_DROPOUT}
    if name == "MLP":
        sizes = "write MLP(nin, [n1, n2, nout]), with the sizes of all layers"
        instead |= dict.fromkeys(("hidden_sizes", "hidden_dims", "hidden_layer_sizes", "layers", "layer_sizes"), sizes)
        last = "the last layer has none; apply it to the result, as in sigmoid(model(x))"
        instead |= dict.fromkeys(("output_activation", "out_activation", "final_activation", "last_activation"), last)
        instead |= {"activations": "write activation=..., which all hidden layers have"}
        instead |= {"nonlin": "for none, write activation=lambda x: x"}
    else:
        counts = "write Layer(nin, nout)" if name == "Layer" else "write Neuron(nin)"
        instead |= dict.fromkeys(("in_features", "out_features", "input_dim", "input_shape", "units"), counts)
        instead |= dict.fromkeys(("weight", "weights", "w"), "write neuron.w[i].data = ... afterwards")
        instead |= {"b": "write neuron.b.data = ... afterwards"}
    refuse_options(name, wrong, instead, ("activation", "init", "seed", *(["nonlin"] if name != "MLP" else [])))


class _Activations(Absent):
    """The attribute `activations`, to which users may assign what the model computes, but no activation functions."""

    def __set__(self, instance: object, x: object) -> None:
        names = x.values() if isinstance(x, Mapping) else x if isinstance(x, (list, tuple)) else [x]
        if names and all(isinstance(name, str) or (callable(name) and not isinstance(name, Module)) for name in names):
            super().__set__(instance, x)
        else:
            vars(instance)[self.name] = x


def _refuse_ignored_attributes(cls: type[Module], base: type[Module]) -> None:
    """Raise TypeError if the class `cls` sets `activation` or `nonlin`, which the methods of `base` would not read."""
    for name in ("activation", "nonlin"):
        if name in vars(cls) and cls.__init__ is base.__init__ and cls.__call__ is base.__call__:
            raise TypeError(
                f"class {cls.__name__} defines {name}, which {base.__name__} would not apply; write an __init__ that "
                f"calls super().__init__ and then sets n.{name} of each neuron n"
            )


def _checked_nonlin(nonlin: Any) -> bool:
    """Return `nonlin` as a bool.

    Raises:
        TypeError: `nonlin` is not a bool, for example because it is the name of an activation function.
    """
    if isinstance(nonlin, str) or callable(nonlin) or nonlin not in (False, True):
        name = repr(nonlin) if isinstance(nonlin, str) else getattr(nonlin, "__name__", "f")
        raise TypeError(f"nonlin must be a bool, got {nonlin!r}; write activation={name}")
    return bool(nonlin)


def _size(name: str, size: int) -> int:
    if isinstance(size, bool) or not hasattr(size, "__index__"):
        single = size[0] if isinstance(size, (list, tuple)) and len(size) == 1 else size
        whole = isinstance(single, int) or (isinstance(single, float) and single.is_integer())
        write = f"; write {int(single)}" if whole and not isinstance(single, bool) else ""
        raise TypeError(f"{name} must be an int, got {type(size).__name__} {size!r}{write}")
    if size < 1:
        raise ValueError(f"{name} must be at least 1, got {size}")
    return operator.index(size)


def _unusual_options(nonlin: bool, activation: Activation, init: str | Initialiser, rng: Generator) -> dict[str, Any]:
    """Return the options of a neuron or layer, by name, without those that have their default values."""
    options: dict[str, Any] = {} if nonlin is True else {"nonlin": nonlin}
    options |= {} if activation == "relu" else {"activation": activation}
    options |= {} if init == "uniform" else {"init": init}
    return options if rng is generator(None) else options | {"seed": rng}


class _CheckedInputs(tuple[Value, ...]):
    """Inputs that a layer has checked and passes to its neurons, which then need not check them."""


def _refuse_several(owner: Module, *inputs: Any) -> NoReturn:
    """Raise TypeError for a call of `owner`, a neuron, layer or network, with several `inputs` instead of one list."""
    names = [x.label or "x" if isinstance(x, Value) else repr(x) for x in inputs]
    is_recorded = any(isinstance(x, Value) and "[" in x.label for x in inputs)
    write = f"; write model([{', '.join(names)}])"
    if is_recorded or any(hasattr(x, "__len__") for x in inputs):  # a compiled function gives labels such as others[0]
        write = ""
    raise TypeError(f"{type(owner).__name__} takes one list of inputs, got {len(inputs)} arguments{write}")


def _checked_inputs(owner: Module, nin: int, x: Inputs) -> _CheckedInputs:
    """Return the inputs `x` of `owner`, a neuron, layer or network, as a tuple of `nin` `Value`s.

    A number becomes a constant node, which all neurons of a layer share. A single `Value` counts as one input.

    Raises:
        TypeError: `x` is a number, or an input is not a number, for example because `x` is a batch of samples.
        ValueError: there are not `nin` inputs.
    """
    if type(x) is _CheckedInputs and len(x) == nin:
        return x
    if not hasattr(x, "__iter__") and not isinstance(x, Value):
        found = f"the number {x!r}; write [{x!r}]" if hasattr(x, "__float__") else f"{type(x).__name__} {x!r}"
        raise TypeError(f"{type(owner).__name__} takes a list of inputs, got {found}")
    given = (x,) if isinstance(x, Value) else numbers_in(x)
    try:
        inputs = _CheckedInputs([x if isinstance(x, Value) else constant(x) for x in given])
    except TypeError as error:
        rows = [row for row in given if isinstance(row, (list, tuple)) or is_array(row)]
        if rows and len(rows) == len(given) == nin > 1 and all(len(row) == 1 for row in rows):
            write = "inputs.ravel()" if is_array(x) else "[x for [x] in inputs]"
            raise TypeError(
                f"{type(owner).__name__} takes a list of {nin} inputs, and was given a column; write {write}"
            ) from error
        if rows:
            raise TypeError(
                f"a model takes one sample at a time, and was given a batch of {len(given)}; write "
                "[model(row) for row in batch]"
            ) from error
        raise
    if len(inputs) != nin:
        raise ValueError(f"{type(owner).__name__} of {nin} inputs was given {len(inputs)}")
    return inputs


def _constant_output(x: Any) -> Value:
    """Return `x`, a number that a user's activation function has returned instead of a `Value`, as a constant.

    Raises:
        TypeError: `x` is not a number.
    """
    try:
        return constant(x)
    except TypeError as error:
        raise TypeError(f"an activation function must return a Value, got {type(x).__name__} {x!r}") from error


def _has_weights(neuron: object) -> bool:
    """Return whether `neuron` is a `Neuron` that has weights and a bias.

    A user's subclass may have an `__init__` that makes none, and a layer may have objects of other classes as neurons.
    """
    return isinstance(neuron, Neuron) and hasattr(getattr(neuron, "w", None), "__len__") and hasattr(neuron, "b")


def _check_parameters(neuron: Any, path: str = "") -> None:
    """Raise an error if the user has replaced a weight or the bias of `neuron` by a number.

    Raises:
        TypeError: a weight or the bias is not a `Value`. The message names it by `path` and then, for example, "w[0]".
    """
    if type(neuron.b) is Value and _ONLY_VALUES.issuperset(map(type, neuron.w)):  # for speed
        return
    for name, p in _named_weights(neuron):
        if not isinstance(p, Value):
            raise TypeError(_no_parameter(f"{path}{name}", p))


def _named_weights(neuron: Any) -> list[tuple[str, Any]]:
    """Return pairs (name, weight) for the weights and the bias of `neuron`, with names such as "w[0]" and "b"."""
    return [*((f"w[{i}]", p) for i, p in enumerate(neuron.w)), ("b", neuron.b)]


def _no_parameter(name: str, p: object) -> str:
    """Return the error message for a neuron whose weight or bias `name` was replaced by `p`, which is not a `Value`."""
    data = 0.0 if p is None else p
    return (
        f"{name} is {p!r}, which is no parameter; write {name}.data = {data!r}, or, for a constant that is not "
        f"trained, {name}.requires_grad = False too"
    )


_ONLY_VALUES = {Value}


def _with_others(module: Module, entries: dict[str, Any]) -> dict[str, Any]:
    """Return a dict of `entries`, followed by those parameters of `module` that are not in `entries`, by their paths.

    A user-defined subclass may have added such parameters.

    Raises:
        ValueError: a parameter that a subclass added has the name of an entry.
    """
    known = {id(x) for entry in entries.values() for x in leaves_of(entry)}
    parts = [(name, x) for name, x in vars(module).items() if isinstance(x, Module)]
    around = {name for name, x in parts if known.intersection(map(id, x.parameters()))}  # x refers back to `module`
    if not parts and known.issuperset(map(id, module.parameters())):
        return entries
    found = [(path, p) for path, p in module.named_parameters() if path.partition(".")[0] not in around]
    others = {path: p for path, p in found if id(p) not in known}
    if twice := entries.keys() & others.keys():
        raise ValueError(f"{type(module).__name__}: two entries of the state have the name {min(twice)!r}; rename one")
    return entries | others


def _in_micrograd(x: Any) -> list[Value]:
    """Return the leaves that `x.parameters()` lists in micrograd, for a neuron or layer x."""
    listed: list[Value] = call_parameters(x) if lists_its_parameters(x) else x._micrograds_parameters()
    return listed


def _name_of_part(x: Any) -> str:
    """Return the text by which a `summary` names `x`, which a user has put in place of a layer or neuron.

    It is the summary of `x` if `x` is a module, and otherwise its name, or the name of its class.
    """
    return x.summary() if isinstance(x, Module) else getattr(x, "__name__", None) or type(x).__name__


class Neuron(Module):
    """A neuron: it computes activation(w . x + b) of `nin` inputs, or w . x + b if `nonlin` is false.

    The sum of products is one node, made by `dot`. If a weight or an input is of a subclass of `Value` that overrides
    operators, the neuron calls these operators instead, as micrograd does. An operator that a user has replaced in
    `Value` itself is not called. An activation with a name, such as "relu", is a call of the method of this name, which
    a subclass of `Value` may override, or a user may replace in `Value`.

    The bias b is 0 at first. By default, the module `random` draws the weights w from uniform(-1, 1). After the same
    `random.seed`, micrograd draws the same weights.

    Args:
        nin: the number of inputs.
        nonlin: whether to apply the activation function.
        activation: a function of a `Value`, or the name of an operation of one operand ("relu", "tanh", "gelu", ...).
        init: an initialiser of `micrograd_cn.init` or its name ("xavier_uniform", "kaiming_normal", ...), or any
            function `(rng, nin, nout) -> weight`.
        seed: an int that starts a random generator, or a `random.Random`, or None for the module `random`.
        nout: the number of neurons in the layer of this neuron, which some initialisers need.

    Raises:
        TypeError: `nin` is not an int, or another argument has the wrong type.
        ValueError: `nin` is less than 1, or a name is unknown. When called: the number of inputs is not `nin`.

    >>> neuron = Neuron(2, activation="tanh")
    >>> neuron.w[0].data, neuron.w[1].data = 1.0, -1.0
    >>> neuron([0.5, 0.5])
    Value(data=0.0, grad=0.0)
    """

    expands_in_repr = False
    made_by_init = frozenset(("w", "b", "group", "nonlin", "activation", "_activation", "_apply"))
    if not TYPE_CHECKING:
        weight, weights = [Absent("the weights are the list w; write neuron.w[0].data = ...") for _ in range(2)]
        bias = Absent("the bias is b; write neuron.b.data = ..., and for none neuron.b.requires_grad = False too")
        nin = Absent("write len(neuron.w)")
        init, seed = [Absent(f"write Neuron(nin, {name}=...) for another neuron") for name in ("init", "seed")]
        activations = _Activations("read and set neuron.activation")
        act, activation_function, nonlinearity = [Absent("read and set neuron.activation") for _ in range(3)]
        forward = Absent(_FORWARD)
        training, dropout = Absent(_NO_MODES), Absent(_NO_DROPOUT)

    # Defaults for a subclass whose __init__ sets w and b itself and does not call this one, as in code for micrograd.
    nonlin: bool = True
    group: Group | None = None
    _activation: Activation = "relu"
    _apply: Callable[[Value], Value] = staticmethod(_activation_function(_activation))

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        call = cls.__call__
        calls_super = call is Neuron.__call__ or "super" in getattr(getattr(call, "__code__", None), "co_names", ())
        if "activation" in vars(cls) and calls_super:
            raise TypeError(
                f"class {cls.__name__} defines activation, which Neuron.__call__ would not apply; write "
                "super().__init__(nin, activation=f) in __init__, or define __call__(self, x)"
            )

    def __init__(
        self,
        nin: int,
        nonlin: bool = True,
        activation: Activation = "relu",
        init: str | Initialiser = "uniform",
        seed: int | Generator | None = None,
        nout: int = 1,
        **wrong: Never,
    ) -> None:
        _refuse_options("Neuron", wrong)
        _checked_nonlin(nonlin)
        weight, rng = initialiser(init), generator(seed)
        self.w = [Value(weight(rng, nin, nout), f"w{i}") for i in range(_size("nin", nin))]
        self.b = Value(0, "b")
        self.group = Group("neuron")
        for p in (*self.w, self.b):
            p.group = self.group
        self.nonlin = nonlin
        self._activation, self._apply = activation, _activation_function(activation)
        if not changes.is_noted:
            changes.note_change()

    @property
    def activation(self) -> Activation:
        """The activation function or its name. It is not applied if the neuron's attribute `nonlin` is false.

        If `nonlin` is false, the assignment of another activation raises a ValueError, because it would have no effect.
        Set `nonlin` first: `n.nonlin, n.activation = True, "tanh"`.
        """
        return self._activation

    @activation.setter
    def activation(self, activation: Activation) -> None:
        apply = _activation_function(activation)
        if not self.nonlin and activation != self._activation and type(self).__call__ is Neuron.__call__:
            name = repr(activation) if isinstance(activation, str) else getattr(activation, "__name__", "f")
            raise ValueError(
                "a neuron with nonlin=False applies no activation; to apply one, write n.nonlin, n.activation = True, "
                f"{name}, and to leave out linear neurons such as those of an MLP's last layer, write if n.nonlin"
            )
        self._apply, self._activation = apply, activation

    def __call__(self, x: Inputs, *others: Never) -> Value:
        """Return the neuron's output for `x`, the list of its inputs.

        If there are `others`, an error says to write a list.
        """
        if others:
            _refuse_several(self, x, *others)
        w = self.w
        inputs = x if type(x) is _CheckedInputs and len(x) == len(w) else _checked_inputs(self, len(w), x)
        group = self.group
        if context.active and (scope := context.here().scope):
            group = group.inside(scope) if group else scope
        if OVERRIDING and not OVERRIDING.isdisjoint(map(type, (*w, *inputs, self.b))):
            linear = sum([a * x for a, x in zip(w, inputs, strict=True)], self.b)  # as micrograd does
        else:
            try:
                linear = Value._record(ops.dot, (*w, *inputs, self.b))
            except TypeError:
                _check_parameters(self)  # the cause may be a weight or bias that is None
                raise
        linear.group = group
        nonlin = self.nonlin
        if nonlin is True or (nonlin and _checked_nonlin(nonlin)):
            linear = self._apply(linear)
            try:
                linear.group = group
            except AttributeError:  # lambda x: max(0, x), for example, returns 0
                linear = _constant_output(linear)
        return linear

    @overridable
    def parameters(self, **wrong: Never) -> list[Value]:
        """Return every parameter once, in the order of `named_parameters`.

        As in micrograd, the class `Neuron` defines this method. So an object of `class Net(Neuron, Base)` has this
        method, and not that of Base.
        """
        return parameters_of(self, Neuron, wrong)

    def _micrograds_parameters(self) -> list[Value]:
        return [*self.w, self.b]

    def _refuse_untrained(self, path: str, found: set[int], computed: bool) -> None:
        """Raise TypeError if a weight or the bias was probably meant to be a parameter, but is not one.

        This is assumed of three things: the constant result of an operation; a number, unless a subclass overrides
        `__call__`; and a result that is computed from leaves that nothing would train. Two kinds of leaves would not be
        trained: those to which only the graph refers, as after `n.w = [w * 0.5 for w in n.w]`, and former weights of
        this neuron that are no longer in the model. A weight that was computed from other leaves, such as the
        parameters of another model, is allowed.

        Args:
            path: the path of this neuron in the model, for the message; "" for the model itself.
            found: the ids of all objects in the model.
            computed: whether something in the model is computed. If not, only the types of the weights are looked at.
        """
        w, b = getattr(self, "w", None), getattr(self, "b", None)
        if not computed and type(w) is list and _ONLY_VALUES.issuperset(map(type, w)) and type(b) is Value:
            return
        if not _has_weights(self) or names_its_parameters(type(self)):
            return
        prefix = f"{path}." if path else ""
        made: list[tuple[str, Value]] = []
        for name, p in _named_weights(self):
            if isinstance(p, Value):
                if p._is_constant_result:
                    raise TypeError(
                        f"{prefix}{name} is a constant that an operation computed, so nothing trains it; change the "
                        "number of the weight, as in w.data *= 0.5, or write Value(x.data, requires_grad=False) for a "
                        "constant x"
                    )
                if p.op is not None and p.requires_grad:
                    made.append((f"{prefix}{name}", p))
            elif type(self).__call__ is Neuron.__call__:
                raise TypeError(_no_parameter(f"{prefix}{name}", p))
        leaves = traverse(*[p for _, p in made])[1]
        former = made if any(self._is_former(x, found) for x in leaves) else []
        former = [(name, p) for name, p in former if any(self._is_former(x, found) for x in traverse(p)[1])]
        del leaves  # the next function counts the references to them
        for name, p in [*former, *with_unheld_leaves(made)]:
            assert p.op
            raise TypeError(
                f"{name} is computed ({p.op.name}), so it is no parameter and would not be trained; change its number, "
                "as in w.data *= 0.5, or assign a new leaf, as in Value(w.data * 0.5)"
            )

    def _is_former(self, leaf: Value, found: set[int]) -> bool:
        """Return whether `leaf` was a weight of this neuron, and is not among the objects `found` in the model."""
        return self.group is not None and leaf.group is self.group and id(leaf) not in found

    def __getstate__(self) -> dict[str, Any]:
        return {name: held for name, held in vars(self).items() if name != "_apply"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _apply=_activation_function(state.get("_activation", self._activation)))
        if not changes.is_noted:
            changes.note_change()

    def entries(self) -> dict[str, Any]:
        """Return a dict with the weights and the bias by PyTorch's names, for `state_dict`.

        If the activation function is a module, its parameters follow.

        >>> list(Neuron(2).entries())
        ['weight', 'bias']
        """
        if not _has_weights(self):
            return super().entries()
        _check_parameters(self)
        return _with_others(self, {"weight": self.w, "bias": self.b, **self.activation_entries()})

    def activation_entries(self) -> dict[str, Any]:
        """Return a dict with the parameters of the activation function by name; {} unless the function is a module."""
        inside: dict[str, Any] = self.activation.entries() if isinstance(self.activation, Module) else {}
        return {f"activation.{name}": entry for name, entry in inside.items()}

    def activation_name(self) -> str:
        """Return the name of the activation function, or "own" if it has no name.

        If the neuron's attribute `nonlin` is false, no such function is applied, and the name is "linear".

        >>> Neuron(2, nonlin=False).activation_name()
        'linear'
        """
        if not self.nonlin:
            return "linear"
        if isinstance(self.activation, Op):
            return self.activation.name
        return self.activation if isinstance(self.activation, str) else getattr(self.activation, "__name__", "own")

    def summary(self) -> str:
        """Return a line that describes the neuron.

        >>> Neuron(2, activation="tanh").summary()
        'Neuron(2, tanh)'
        """
        return f"Neuron({len(self.w)}, {self.activation_name()})" if _has_weights(self) else super().summary()


class Layer(Module):
    """A layer: `nout` neurons that have the same `nin` inputs.

    Args:
        nin: the number of inputs.
        nout: the number of neurons.
        nonlin: whether to apply the activation function.
        activation: a function of a `Value`, or the name of an operation of one operand ("relu", "tanh", "gelu", ...).
        init: an initialiser of `micrograd_cn.init` or its name ("xavier_uniform", ...), or a function
            `(rng, nin, nout) -> weight`.
        seed: an int that starts a random generator, or a `random.Random`, or None for the module `random`.

    Raises:
        TypeError: `nin` or `nout` is not an int, or another argument has the wrong type.
        ValueError: `nin` or `nout` is less than 1, or a name is unknown. When called: the number of inputs is not
            `nin`.

    >>> len(Layer(2, 3)([1, 2])), Layer(2, 1, init="zeros")([1, 2])
    (3, Value(data=0.0, grad=0.0))
    """

    expands_in_repr = False
    made_by_init = frozenset(("neurons", "group"))
    if not TYPE_CHECKING:
        activation = Absent("each neuron has its own; write for n in layer.neurons: n.activation = ...")
        activations = _Activations("each neuron has its own; write for n in layer.neurons: n.activation = ...")
        nonlin = Absent("each neuron has its own; write for n in layer.neurons: n.nonlin = ...")
        weight, weights = [Absent(f"write layer.neurons[j].w[i].data = ..., {_ALL_NUMBERS}") for _ in range(2)]
        bias, biases = [Absent(f"write layer.neurons[j].b.data = ..., {_ALL_NUMBERS}") for _ in range(2)]
        nin, nout = Absent("write len(layer.neurons[0].w)"), Absent("write len(layer.neurons)")
        init, seed = [Absent(f"write Layer(nin, nout, {name}=...) for another layer") for name in ("init", "seed")]
        w = Absent("each neuron has its own; write layer.neurons[j].w[i].data = ...")
        b = Absent("each neuron has its own; write layer.neurons[j].b.data = ...")
        forward = Absent(_FORWARD)
        training, dropout = Absent(_NO_MODES), Absent(_NO_DROPOUT)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _refuse_ignored_attributes(cls, Layer)

    def __init__(
        self,
        nin: int,
        nout: int,
        nonlin: bool = True,
        activation: Activation = "relu",
        init: str | Initialiser = "uniform",
        seed: int | Generator | None = None,
        **wrong: Never,
    ) -> None:
        _refuse_options("Layer", wrong)
        rng = generator(seed)
        if is_of_this_package(Neuron):
            self.neurons = [Neuron(nin, nonlin, activation, init, rng, nout) for _ in range(_size("nout", nout))]
        else:  # a user has assigned another class, which may take micrograd's options alone
            options = _unusual_options(nonlin, activation, init, rng)
            options |= {"nout": nout} if "init" in options else {}
            self.neurons = [Neuron(nin, **options) for _ in range(_size("nout", nout))]
        self.group = Group("layer")
        for j, neuron in enumerate(self.neurons):
            if group := getattr(neuron, "group", None):  # a user's class of neurons may have none
                group.join(self.group, f"neurons.{j}")

    def __call__(self, x: Inputs, *others: Never) -> Any:
        """Return the list of the neurons' outputs, or the output itself if the layer has only one neuron.

        `x` is the list of inputs. If there are `others`, an error says to write a list. The type of the result depends
        on the number of neurons, so it is Any to a type checker. Python repeats a list in `layer(x) * 2`, and joins two
        lists in `f(x) + g(x)`: write `[a + b for a, b in zip(f(x), g(x))]` for a sum.
        """
        if others:
            _refuse_several(self, x, *others)
        weights = getattr(self.neurons[0], "w", None)  # a neuron of another class need not have a list of this name
        inputs = _checked_inputs(self, len(weights), x) if isinstance(weights, list) else x
        outputs = [neuron(inputs) for neuron in self.neurons]
        return outputs[0] if len(outputs) == 1 else outputs

    @overridable
    def parameters(self, **wrong: Never) -> list[Value]:
        """Return every parameter once, in the order of `named_parameters`.

        As in micrograd, the class `Layer` defines this method. So an object of `class Net(Layer, Base)` has this
        method, and not that of Base.
        """
        return parameters_of(self, Layer, wrong)

    def _micrograds_parameters(self) -> list[Value]:
        return [p for neuron in self.neurons for p in _in_micrograd(neuron)]

    def entries(self) -> dict[str, Any]:
        """Return a dict with the weights and biases by the names of PyTorch's Linear, for `state_dict`.

        Shapes are those of PyTorch too: "weight" has `nout` lists of `nin` weights, and "bias" has `nout` numbers. If
        the activation function is a module, its parameters follow.

        >>> [len(entry) for entry in Layer(2, 3).entries().values()]
        [3, 3]
        """
        if not self.neurons or not all(map(_has_weights, self.neurons)):
            return super().entries()
        for j, neuron in enumerate(self.neurons):
            _check_parameters(neuron, f"neurons[{j}].")
        weight, bias = [neuron.w for neuron in self.neurons], [neuron.b for neuron in self.neurons]
        return _with_others(self, {"weight": weight, "bias": bias, **self.neurons[0].activation_entries()})

    def summary(self) -> str:
        """Return a line that describes the layer.

        >>> Layer(2, 3, nonlin=False).summary()
        'Layer(2, 3, linear)'
        """
        if not self.neurons or not all(map(_has_weights, self.neurons)):
            kinds = ", ".join(dict.fromkeys(map(_name_of_part, self.neurons)))
            return f"Layer of {len(self.neurons)} neurons" + f": {kinds}" * bool(kinds)
        first = self.neurons[0]
        return f"Layer({len(first.w)}, {len(self.neurons)}, {first.activation_name()})"


class _Network(Module):
    """The base class of `MLP`. It raises a helpful error for `MLP([2, 3, 1])`, in which all sizes are in one list.

    Without this class, Python would only say that `nouts` is missing.
    """

    if not TYPE_CHECKING:

        def __new__(cls, *args: Any, **options: Any) -> Any:
            """Return a new object. Raise a helpful TypeError if the only argument is a list of sizes, as [2, 3, 1]."""
            is_list = len(args) == 1 and isinstance(args[0], (list, tuple)) and len(args[0]) > 1
            if is_list and "nouts" not in options and cls.__init__ is MLP.__init__:
                nin, *nouts = args[0]
                raise TypeError(f"MLP takes the number of inputs first; write MLP({nin!r}, {nouts!r})")
            return super().__new__(cls)


class MLP(_Network):
    """A multi-layer perceptron: layers of `nouts[0]`, `nouts[1]`, ... neurons, the last without activation function.

    Args:
        nin: the number of inputs.
        nouts: the number of neurons of each layer.
        activation: a function of a `Value`, or the name of an operation of one operand ("relu", "tanh", "gelu", ...).
        init: an initialiser of `micrograd_cn.init` or its name ("xavier_uniform", ...), or a function
            `(rng, nin, nout) -> weight`.
        seed: an int that starts a random generator, or a `random.Random`, or None for the module `random`.

    Raises:
        TypeError: `nin` or one of `nouts` is not an int, or another argument has the wrong type.
        ValueError: there are no layers, a size is less than 1, or a name is unknown. When called: the number of inputs
            is not `nin`.

    >>> model = MLP(3, [4, 2], activation="tanh", init="xavier_uniform", seed=0)
    >>> model
    MLP(3, [4, 2]), 26 parameters
      layers.0: Layer(3, 4, tanh)
      layers.1: Layer(4, 2, linear)
    >>> len(model([1, 2, 3]))
    2
    """

    made_by_init = frozenset(("layers",))
    if not TYPE_CHECKING:
        weight, weights = [Absent(_ALL_OF_MLP.format("weights", "w for those")) for _ in range(2)]
        bias, biases = [Absent(_ALL_OF_MLP.format("biases", "b for that")) for _ in range(2)]
        nin = Absent("write len(model.layers[0].neurons[0].w)")
        nouts = Absent("write [len(layer.neurons) for layer in model.layers]")
        init, seed = [Absent(f"write MLP(nin, nouts, {name}=...) for another model") for name in ("init", "seed")]
        activation = Absent(
            "each neuron has its own; write n.activation = ... for each n in layer.neurons of each layer, if n.nonlin"
        )
        activations = _Activations(
            "each neuron has its own; write n.activation = ... for each n in layer.neurons of each layer, if n.nonlin"
        )
        nonlin = Absent("each neuron has its own; write n.nonlin = ... for each n in layer.neurons of each layer")
        forward = Absent(_FORWARD)
        training, dropout = Absent(_NO_MODES), Absent(_NO_DROPOUT)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _refuse_ignored_attributes(cls, MLP)

    def __init__(
        self,
        nin: int,
        nouts: Sequence[int],
        activation: Activation = "relu",
        init: str | Initialiser = "uniform",
        seed: int | Generator | None = None,
        **wrong: Never,
    ) -> None:
        _refuse_options("MLP", wrong)
        if isinstance(activation, int) and type(nouts) is int:
            raise TypeError(f"MLP takes the sizes of the layers as a list; write MLP({nin}, [{nouts}, {activation}])")
        if not hasattr(nouts, "__iter__") or isinstance(nouts, (str, Mapping, set, frozenset)):
            write = f"; write [{nouts}]" if hasattr(nouts, "__index__") else ""
            write = f" {nouts}, which has no order" if isinstance(nouts, (set, frozenset)) else f" {nouts!r}{write}"
            raise TypeError(f"nouts must be a sequence with the size of each layer, got{write}")
        nouts = list(nouts)
        if not nouts:
            raise ValueError("an MLP needs at least one layer, got no nouts")
        sizes = [nin, *nouts]
        last = len(nouts) - 1
        rng = generator(seed)
        if is_of_this_package(Layer):
            self.layers = [Layer(sizes[i], sizes[i + 1], i != last, activation, init, rng) for i in range(len(nouts))]
        else:  # a user has assigned another class, which may take micrograd's options alone
            options = [_unusual_options(i != last, activation, init, rng) for i in range(len(nouts))]
            self.layers = [Layer(sizes[i], sizes[i + 1], **options[i]) for i in range(len(nouts))]
        for i, layer in enumerate(self.layers):
            if group := getattr(layer, "group", None):
                group.join(None, f"layers.{i}")

    def __call__(self, x: Inputs, *others: Never) -> Any:
        """Return the list of the last layer's outputs, or the output itself if that layer has only one neuron.

        `x` is the list of inputs. If there are `others`, an error says to write a list. The type of the result depends
        on the number of neurons, so it is Any to a type checker. Python repeats a list in `layer(x) * 2`, and joins two
        lists in `f(x) + g(x)`: write `[a + b for a, b in zip(f(x), g(x))]` for a sum.
        """
        if others:
            _refuse_several(self, x, *others)
        outputs: Any = x
        first: Any = self.layers[0]
        if type(first).__call__ is Layer.__call__ and isinstance(getattr(first.neurons[0], "w", None), list):
            outputs = _checked_inputs(self, len(first.neurons[0].w), x)
        for layer in self.layers:
            outputs = layer(outputs)
        return outputs

    @overridable
    def parameters(self, **wrong: Never) -> list[Value]:
        """Return every parameter once, in the order of `named_parameters`.

        As in micrograd, the class `MLP` defines this method. So an object of `class Net(MLP, Base)` has this method,
        and not that of Base.
        """
        return parameters_of(self, MLP, wrong)

    def _micrograds_parameters(self) -> list[Value]:
        return [p for layer in self.layers for p in _in_micrograd(layer)]

    def summary(self) -> str:
        """Return a line that describes the network.

        >>> MLP(2, [16, 1]).summary()
        'MLP(2, [16, 1])'
        """
        if not all(isinstance(x, Layer) and x.neurons and all(map(_has_weights, x.neurons)) for x in self.layers):
            return f"MLP of {', '.join(map(_name_of_part, self.layers))}"
        return f"MLP({len(self.layers[0].neurons[0].w)}, {[len(layer.neurons) for layer in self.layers]})"
