"""Compile the method `update` of an optimiser, whose formula is found by tracing it; see `tracing`.

So the formula of a training step is written only once, in the optimiser.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from operator import is_
from typing import Any

from ... import optim
from ...optim import SGD, Optimizer
from ...optim.by_optimizer import ByOptimizer
from ..instructions.code import BATCH, SAMPLE, Code
from ..instructions.formulas import Formula
from ..instructions.lowering import CodeBuilder
from ..llvm.machine import machine
from ..runtime.executable import Wanted, padded_count, shared_tiers
from ..surroundings.reach import Reach
from ..surroundings.reachable_code import ReachableCode
from ..surroundings.snapshot import Snapshot
from .tracing import LOOP_INSTEAD, trace_update

# The attributes in which optimisers with the same update may differ
UNCOMPILED_ATTRIBUTES = frozenset(["parameters", "lr", "steps", "_skipped", "lazy_state", "_owners", "_list"])
MAX_CACHED = 16  # this many compiled updates are kept: those that were used last
_cache: OrderedDict[Any, CompiledUpdate] = OrderedDict()
# The optimisers of this package. Their options determine their updates, so updates can be cached by the options.
OURS = tuple(kind for kind in vars(optim).values() if isinstance(kind, type) and issubclass(kind, Optimizer))
OPTIMIZER_METHODS = "step", "zero_grad", "update"  # these decide what a step of an optimiser does
OUR_METHODS = {getattr(kind, name) for kind in OURS for name in OPTIMIZER_METHODS}


class OptionsInUse:
    """The options and the methods of an optimiser of this package, which determine its update.

    Args:
        optimizer: the optimiser. No reference to it is kept.

    Attributes:
        text: a string that is equal for optimisers of one class whose options are equal; None if some of the options
            are neither numbers nor strings.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        kind, attributes = type(optimizer), vars(optimizer)
        self._kind, self._methods = kind, [getattr(kind, name) for name in OPTIMIZER_METHODS]
        self._attribute_count = len(attributes)
        options = {name: x for name, x in attributes.items() if name not in UNCOMPILED_ATTRIBUTES}
        self._names, self._options = [*options], [*options.values()]
        parts = [x for value in self._options for x in (value if isinstance(value, tuple) else [value])]
        self.text = repr(options) if all(isinstance(x, (float, int, str)) for x in parts) else None

    def are_those_of(self, optimizer: Optimizer) -> bool:
        """Return whether the optimiser has these options and methods, the very same objects."""
        attributes, kind = vars(optimizer), type(optimizer)
        return (
            len(attributes) == self._attribute_count
            and kind is self._kind
            and all(map(is_, map(attributes.get, self._names), self._options))
            and [kind.step, kind.zero_grad, kind.update] == self._methods
        )


class CompiledUpdate:
    """The compiled method `update` of an optimiser, for any count of parameters.

    This is an executable whose rows are the parameters of the optimiser. The inputs of a row are the parameter's data,
    its gradient and the numbers of its state, and the outputs are the parameter's new data and state. The executable's
    own parameters are two scalars: the learning rate and the number of steps.

    Args:
        optimizer: the optimiser whose method `update` is compiled.
        some_fixed: whether some of the parameters must not be changed. Each row then has a further input, which says
            whether its parameter is changed.
        counts_skipped: whether some earlier steps have skipped a parameter, because it was frozen. Each row then has
            a further input: the number of the steps that skipped its parameter.

    If the update of a user's class divides or takes a power, each row has a further input, and a further output,
    after the numbers of the state: a count of the steps in which Python's operators would have raised an error, as
    for a division by 0. (In a step, it may increase by more than 1.)

    Attributes:
        executable: the native code. A function of machine code that loops over all parameters calls it for one block of
            parameters after the other; a block has a parameter in each lane of a vector.
        counts_errors: whether there is such a count of errors.
        used_state_indices: the indices in the optimiser's `state_names` of the names whose numbers the update reads or
            changes.
        columns: how many inputs a row has.
        uses_count: whether the update depends on the count of steps.
        skips_zeros: whether the update is known to leave every parameter whose gradient is 0 as it is, to the last bit,
            if the learning rate is more than 0. SGD without momentum and weight decay does so, since it subtracts 0.
            With `maximize` it does not: it subtracts -0.0, which changes -0.0 to 0.0.
    """

    def __init__(self, optimizer: Optimizer, some_fixed: bool, counts_skipped: bool) -> None:
        code, outputs = lower_update(optimizer, some_fixed, counts_skipped, counts_errors=True)
        names = optimizer.state_names
        self.counts_errors = len(outputs) > 1 + len(names)
        self.used_state_indices = [k for k in used_state_indices(code, outputs) if k < len(names)]
        self.uses_count = _uses_count(code)
        self.skips_zeros = (
            type(optimizer) is SGD
            and update_key(optimizer, some_fixed, counts_skipped) is not None
            and not (optimizer.momentum or optimizer.weight_decay or optimizer.maximize)
        )
        self.columns = 2 + len(names) + self.counts_errors + counts_skipped + some_fixed
        wanted = Wanted("update", True, (*outputs,), (), self.columns, padded_count(2), omits_gates=False)
        self.executable = shared_tiers(code, [], wanted, machine()).get(native=True)


def compiled_update(optimizer: Optimizer, some_fixed: bool, counts_skipped: bool) -> CompiledUpdate:
    """Return the compiled update of an optimiser. Optimisers that differ only in learning rate and state share one.

    `some_fixed` says whether some of the parameters must not be changed, and `counts_skipped` whether some earlier
    steps have skipped a parameter. The last `MAX_CACHED` updates are kept. If all updates were kept, a user who tries
    thousands of options would fill the memory with machine code.
    """
    key = update_key(optimizer, some_fixed, counts_skipped)
    if key is None:
        return CompiledUpdate(optimizer, some_fixed, counts_skipped)
    found = _cache.pop(key, None) or CompiledUpdate(optimizer, some_fixed, counts_skipped)
    _cache[key] = found  # at the end of the dict, where the updates are that were used last
    while len(_cache) > MAX_CACHED:
        with suppress(KeyError):  # another thread may have taken the last one
            _cache.popitem(last=False)
    return found


def is_compiled(key: Any) -> bool:
    """Return whether the update with this key, which `update_key` has returned, is compiled and kept."""
    return key in _cache


def lower_update(
    optimizer: Optimizer, some_fixed: bool, counts_skipped: bool = False, counts_errors: bool = False
) -> tuple[Code, list[int]]:
    """Return the update of one parameter as instructions, and the instruction numbers of its new data and state.

    The inputs are, in this order: the data, the gradient, the numbers of the state, the number of errors, which is an
    output, too (only if `counts_errors` is set, and the update may raise an error; see `CompiledUpdate`), the number of
    steps that have skipped the parameter (only if `counts_skipped` is set), and a number that is 0 if the parameter
    must not be changed (only if `some_fixed` is set). The program's parameters are the learning rate and the number of
    steps, including the step that is being taken.

    Raises:
        TypeError: as for `tracing.trace_update`; or the class has its own `step` or `zero_grad`.
    """
    name = type(optimizer).__name__
    key = update_key(optimizer, some_fixed, counts_skipped)  # None for a class of the user's
    own = [name for name in ("step", "zero_grad") if name in vars(optimizer) or _overridden(type(optimizer), name)]
    if own:
        raise TypeError(f"only the update() of {name} can be compiled, and it has its own {own[0]}(); {LOOP_INSTEAD}")
    formula = trace_update(optimizer, is_users=key is None)
    code = CodeBuilder()
    numbers = [code.append(("parameter", i), BATCH) for i in range(2)]
    numbers += [code.append(("input", i), SAMPLE) for i in range(2 + len(optimizer.state_names))]
    column = 2 + len(optimizer.state_names)
    old_numbers = [numbers[2], *numbers[4:]]
    may_raise = len(formula.results) > len(old_numbers)
    if may_raise and counts_errors:
        old_numbers.append(code.append(("input", column), SAMPLE))
        column += 1
    if counts_skipped:
        skipped = code.append(("input", column), SAMPLE)
        numbers[1] = code.emit("fsub", numbers[1], skipped)
        column += 1
    if optimizer.maximize:  # as in `Optimizer.step`, the update descends along the opposite gradient
        numbers[3] = code.emit("fneg", numbers[3])
    if may_raise and not counts_errors:
        formula = formula._replace(results=formula.results[:-1])
    results = code.instantiate(Formula(formula), numbers)
    if may_raise and counts_errors:
        results[-1] = code.emit("fadd", old_numbers[-1], results[-1])
    if some_fixed:
        changed_at_all = code.append(("input", column), SAMPLE)
        results = [
            result if result == old else code.emit("select", changed_at_all, result, old)
            for result, old in zip(results, old_numbers, strict=True)
        ]
    return code, results


def used_state_indices(code: Code, results: Sequence[int]) -> list[int]:
    """Return the indices of the state names whose numbers an update reads or changes.

    `code` and `results` are the two results of `lower_update`. SGD without momentum, for example, does not use its
    momentum buffer.
    """
    leaves = [i for i, instruction in enumerate(code.instructions) if instruction[0] == "input"][2 : 1 + len(results)]
    read = [j for used in code.operands for j in used]
    return [
        k
        for k, (i, new) in enumerate(zip(leaves, results[1:], strict=True))
        if i != new or i in read or results.count(i) > 1
    ]


def _uses_count(code: Code) -> bool:
    """Return whether an update depends on the count of steps. `code` is the first result of `lower_update`."""
    count = code.instructions.index(("parameter", 1))
    return any(count in used for used in code.operands)


def names_of_options(optimizer: Optimizer) -> tuple[str, ...]:
    """Return the names of those attributes of an optimiser that its update may read."""
    kind = type(optimizer)
    if kind in OURS:
        return optimizer.options
    own = chain(vars(optimizer), *map(vars, kind.__mro__[: kind.__mro__.index(Optimizer)]))
    read = ReachableCode([kind.update, optimizer]).names.intersection(own)
    return tuple(sorted({*optimizer.options, *read}.difference(UNCOMPILED_ATTRIBUTES) | {"lr", "maximize"}))


def snapshot_of_options(optimizer: Optimizer) -> Snapshot | None:
    """Return a snapshot of the variables and collections that the `update` of a user's optimiser can read.

    The snapshot tells later whether one of them has changed. Return None for an optimiser of this package, or if
    something that the update can read cannot be compared.
    """
    update = vars(optimizer).get("update", type(optimizer).update)
    if type(optimizer) in OURS and "update" not in vars(optimizer):
        return None
    held = [getattr(optimizer, name, None) for name in names_of_options(optimizer)]
    roots = [update, *[getattr(x, "__func__", x) for x in held]]  # a bound method would lead to what training changes
    found = Reach(roots).surroundings.snapshot()
    return found if found.complete else None


def _overridden(kind: type[Optimizer], method: str) -> bool:
    return getattr(kind, method) not in OUR_METHODS


# For each optimiser, the result of the last call of `options_in_use`
_in_use: ByOptimizer[OptionsInUse] = ByOptimizer()


def options_in_use(optimizer: Optimizer) -> OptionsInUse | None:
    """Return the options of an optimiser if they determine its update; otherwise None.

    They do if its class is one of this package, and its methods have not been replaced.
    """
    kind = type(optimizer)
    if kind not in OURS:
        return None
    found = _in_use.get(optimizer)
    if found and found.are_those_of(optimizer):  # with the same methods, too
        return found
    if not OUR_METHODS.issuperset((kind.step, kind.zero_grad, kind.update)):
        return None
    found = _in_use[optimizer] = OptionsInUse(optimizer)
    return found


def update_key(optimizer: Optimizer, some_fixed: bool, counts_skipped: bool) -> Any:
    """Return a key that is equal for optimisers with the same update, even if their learning rates and states differ.

    The key is None if the options of the optimiser do not determine the update: the update of a user's class may depend
    on anything. `some_fixed` says whether some of the parameters must not be changed, and `counts_skipped` whether some
    earlier steps have skipped a parameter.
    """
    found = options_in_use(optimizer)
    return (type(optimizer), some_fixed, counts_skipped, found.text) if found and found.text is not None else None
