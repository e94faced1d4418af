"""Choose the variables of a function of `Value`s: the numbers to differentiate with respect to.

The function is then called with `Value`s in place of these numbers.

The function gets everything else as it is, such as the booleans, strings and masks by which it chooses what to compute.
A whole number may be either: a number like any other, or a count, an index or a flag. The function itself shows which
it is (see `choose_variables`).
"""

from __future__ import annotations

import contextlib
import enum
import functools
import math
import random
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, Literal, NamedTuple, TypeAlias

from ...derivatives.argument_binding import argument_array, differentiation_level
from ...engine import Value, traverse
from ...gradients import gradients
from ...graph.plain_numbers import Variables, variables
from ...ops.number import number
from ...parameters.tree import flatten, is_array
from ..numeric.thresholds import CALLS_TO_COMPARE, NEGLIGIBLE_DIFFERENCE, SAME_DERIVATIVE
from .subject import Subject

__tracebackhide__ = True

Kind: TypeAlias = Literal["real", "whole", "constant"]
# By the kind of a numpy dtype. Dates and texts hold no numbers, and booleans choose.
DTYPES: dict[str, Kind] = {"f": "real", **dict.fromkeys("iu", "whole"), **dict.fromkeys("bSUMm", "constant")}
CONSTANT_TYPES = (type(None), str, bytes, slice, range, type(...), random.Random, enum.Enum)

# For each output: its value, and its derivatives, keyed by the variables
Derivatives: TypeAlias = list[tuple[float, dict[Any, float]]]


@dataclass(frozen=True)
class Part:
    """One item of the arguments: a number, an array, or an object of another type.

    Attributes:
        path: where it is, such as "p['w']".
        argument: the name of the argument that it belongs to.
        given: the item as the user gave it.
        kind: "real" if derivatives are taken with respect to its numbers, and "constant" if not. If the numbers are
            whole, the kind is "whole"; whether derivatives are taken then depends on how f uses the numbers (see
            `choose_variables`).
    """

    path: str
    argument: str
    given: Any
    kind: Kind

    @property
    def make_static(self) -> str:
        """The end of an error message, which says what the user should write if the part is a constant."""
        if self.path == self.argument:
            return f"if {self.path} is a constant, write static=[{self.argument!r}]"
        return f"if {self.path} is a constant, make it an argument of its own, and write static=[...]"


class Variable(NamedTuple):
    """A number that a function is differentiated with respect to.

    Attributes:
        name: where it is, such as "p['w'][0]" or "parameters['w']".
        number: the number at the point that is checked.
        part: the index, in `Binding.parts`, of the item of the arguments that holds the number; None for a parameter of
            a `Module`.
        is_plain: whether the user gave a plain number, and not a `Value`.
    """

    name: str
    number: float
    part: int | None
    is_plain: bool


class AskedVariables(Variables):
    """The variables of a function, and a list of the nodes whose numbers decide what the function does.

    A node is listed if the function uses it as a condition, or compares it by `==` with a number that is equal to the
    node's data. `graph.plain_numbers` calls `include` for each such node.

    Attributes:
        asked: the nodes for which `include` was called, if they are computed from variables and constants alone.
        name_of: the name of the variable that each leaf stands for.
    """

    def __init__(self, name_of: dict[Value, str]) -> None:
        super().__init__(name_of)
        self.name_of = name_of
        self.asked: list[Value] = []

    def include(self, root: Any) -> bool:
        """Return whether `root` is computed from variables and constants alone; if so, append it to `asked`."""
        held = super().include(root)
        if held:
            self.asked.append(root)
        return held


@contextlib.contextmanager
def values_as_numbers() -> Iterator[None]:
    """Inside the `with` block, let `==` compare the data of a `Value` that stands for a plain number.

    A `Value` stands for a plain number if the function that is checked gets it in place of a number of the user, or if
    it is computed from such `Value`s and constants alone. `functional` lets `==` compare these, too (see
    `graph.plain_numbers`).
    """
    with differentiation_level():
        around = variables.get()
        try:
            yield
        finally:
            variables.set(around)


@dataclass(frozen=True)
class Binding:
    """A function with its arguments, and the choice of the parts of the arguments that are variables.

    The function is differentiated with respect to the numbers in these parts. The other parts are constants. The
    methods of a binding are called inside `values_as_numbers()`.

    Attributes:
        subject: the function and its arguments.
        parts: the items of the arguments, apart from those that are static.
        rebuild: takes a list of items in place of those in `parts`, and returns the list of the arguments that are
            built from these items. Static arguments are left out.
        parameters: the parameters of a `Module` that are variables, too, keyed by name.
        chosen: the indices of the parts that are variables.
        hint: the end of an error message, which says what the user should write if the function fails; "" if that is
            not known.
        compared: the names of the variables that the function compares with an equal number by `==`, or uses as a
            condition, so a change of these numbers may take another branch. It may also do so with a number that is
            computed from the variable.
        doubtful: other bindings. In each of them, one more part is a variable, which holds whole numbers. If the
            function gets these numbers as `Value`s, its outputs stay the same, but its derivatives with respect to the
            other variables change, and may be wrong.
    """

    subject: Subject
    parts: Sequence[Part]
    rebuild: Callable[[list[Any]], list[Any]]
    parameters: Mapping[str, Value]
    chosen: frozenset[int]
    hint: str = ""
    compared: frozenset[str] = frozenset()
    doubtful: tuple[Binding, ...] = ()

    def without(self, others: Iterable[int]) -> Binding:
        """Return a binding in which the parts with the indices `others` are constants, too."""
        return replace(self, chosen=self.chosen.difference(others))

    def without_whole_numbers(self) -> Binding:
        """Return a binding in which parts that hold whole numbers are constants."""
        return self.without(i for i, part in enumerate(self.parts) if part.kind == "whole")

    def without_flags(self) -> Binding:
        """Return a binding in which a part that holds whole numbers is a constant if one of these numbers is a flag.

        A flag is a number that the function compares by `==`, or uses as a condition (see `compared`).
        """
        asked = {v.part for v in self.variables if v.name in self.compared}
        return self.without(i for i in asked if i is not None and self.parts[i].kind == "whole")

    def variable_parts(self) -> list[Part]:
        """Return the parts that are variables."""
        return [self.parts[i] for i in sorted(self.chosen)]

    @property
    def has_variables(self) -> bool:
        """Whether there is any variable to differentiate with respect to."""
        return bool(self.chosen or self.parameters)

    @functools.cached_property
    def variables(self) -> list[Variable]:
        """The variables; the parameters of a `Module` come last."""
        found = []
        for i in sorted(self.chosen):
            part = self.parts[i]
            for path, x in flatten(part.given, part.path)[0]:
                is_value = isinstance(x, Value)
                found.append(Variable(path, x.data if is_value else _number(x, part), i, not is_value))
        own = [Variable(f"parameters[{name!r}]", p.data, None, False) for name, p in self.parameters.items()]
        return found + own

    @functools.cached_property
    def _places(self) -> tuple[list[tuple[int, int]], list[tuple[int, slice, Callable[..., Any]]]]:
        """Two lists that say where the numbers of each variable part are in the list of all variables.

        A part is an item of the arguments. The first list is for parts that are single numbers: it has pairs of
        the index of the part and the index of its variable. The second list is for parts that are arrays: an item has
        the index of the part, the slice of its variables, and a function that builds the array from a list of numbers.
        """
        numbers, arrays, start = [], [], 0
        for i in sorted(self.chosen):
            leaves, unflatten = flatten(self.parts[i].given)
            if is_array(self.parts[i].given):
                arrays.append((i, slice(start, start + len(leaves)), unflatten))
            else:
                numbers.append((i, start))
            start += len(leaves)
        return numbers, arrays

    @functools.cached_property
    def _plain(self) -> list[tuple[int, str]]:
        """The index and the name of each variable that the user gave as a plain number, and not as a `Value`."""
        return [(k, v.name) for k, v in enumerate(self.variables) if v.is_plain and v.part is not None]

    @functools.cached_property
    def _parts_are_arguments(self) -> bool:
        """Whether each part is a whole argument. Then `parts` is the list of arguments, and needs no `rebuild`."""
        varying = [name for name in self.subject.names if name not in self.subject.static]
        return [part.path for part in self.parts] == varying

    def call(self, xs: Sequence[float] | None = None) -> tuple[Any, list[Value]]:
        """Call the function; return its result, and the `Value`s that were its variables.

        Args:
            xs: a number for each variable; by default, the numbers in the arguments. The parameters of a `Module` are
                set to their numbers, and keep these after the call.
        """
        xs = [v.number for v in self.variables] if xs is None else xs
        own = [*self.parameters.values()]
        count = len(xs) - len(own)
        for p, x in zip(own, xs[count:], strict=True):
            p.data = x
        fresh = [Value(x) for x in xs[:count]]
        variables.set(AskedVariables({fresh[k]: name for k, name in self._plain}))
        args = [part.given for part in self.parts]
        numbers, arrays = self._places
        for i, k in numbers:
            args[i] = fresh[k]
        for i, place, unflatten in arrays:
            args[i] = unflatten(fresh[place], argument_array())
        if not self._parts_are_arguments:
            args = self.rebuild(args)
        subject = self.subject
        if subject.static:
            rebuilt, pairs = iter(args), zip(subject.names, subject.args, strict=True)
            args = [x if name in subject.static else next(rebuilt) for name, x in pairs]
        return subject.f(*args), fresh + own

    def asked(self) -> set[str]:
        """Return the names of the variables that decided what the last call did.

        The call compared such a variable, or a number that is computed from it, with an equal number by `==`, or used
        it as a condition.
        """
        found = variables.get()
        if not isinstance(found, AskedVariables) or not found.asked:
            return set()
        leaves = traverse(*found.asked)[1]
        return {name for x, name in found.name_of.items() if x in leaves}

    def is_asked_everywhere(self, i: int) -> bool:
        """Return whether the function compares each number of part `i` by `==`, or uses it as a condition."""
        return all(v.name in self.compared for v in self.variables if v.part == i)

    def advice(self, k: int) -> str:
        """Return advice for a message about a wrong derivative with respect to the variable with the index `k`.

        The text says what the user should write if this variable is meant to be a constant. It is "" if the variable
        belongs to no part of the arguments, or if it is probably no constant: f does not ask whether it is a certain
        number (see `compared`), and it is no count.
        """
        i, asked = self.variables[k].part, self.variables[k].name in self.compared
        if i is None or not (asked or self.is_count(k)):
            return ""
        asks = "f asks whether it is this number; " if asked else ""
        return f"{asks}{self.parts[i].make_static}"

    def is_count(self, k: int) -> bool:
        """Return whether the variable with the index `k` is a whole number that may be a constant, such as a count.

        It may be a constant only if other items of the arguments, or the parameters of a `Module`, are variables.
        """
        i = self.variables[k].part
        return i is not None and self.parts[i].kind == "whole" and self.without([i]).has_variables

    def is_flag(self, k: int) -> bool:
        """Return whether the variable with the index `k` is a flag among other whole numbers of an array.

        A flag is a number that the function compares by `==`, or uses as a condition. At least one other number of the
        array must not be a flag. Then `gradcheck` treats the flag as a constant, and the numbers that are not flags as
        variables.
        """
        i = self.variables[k].part
        return self.is_count(k) and self.variables[k].name in self.compared and not self.is_asked_everywhere(i or 0)

    def constants(self) -> list[str]:
        """Return the paths of the whole numbers that are constants, for messages."""
        return [part.path for i, part in enumerate(self.parts) if part.kind == "whole" and i not in self.chosen]

    def derivatives(self) -> Derivatives:
        """Return the value of each output of the function, with its derivatives with respect to all variables."""
        result, inputs = self.call()
        keys = [(v.part, v.name) for v in self.variables]
        return [
            (y.data, dict(zip(keys, gradients(y, inputs), strict=True)))
            if isinstance(y, Value)
            else (number(y), dict.fromkeys(keys, 0.0))
            for _, y in flatten(result)[0]
        ]


def bind(subject: Subject, parameters: Mapping[str, Value]) -> Binding:
    """Return a binding of a function's arguments in which all numbers are variables.

    Args:
        subject: the function and its arguments.
        parameters: the parameters of a `Module` that are variables, too, keyed by name.

    Raises:
        TypeError: no argument holds a number to differentiate with respect to; all are constants, such as text or
            booleans.
    """
    varying = [i for i, name in enumerate(subject.names) if name not in subject.static]
    items, rebuild = flatten([subject.args[i] for i in varying], "args", arrays=False)
    parts = []
    for path, x in items:
        place = re.match(r"args\[(\d+)\]", path)
        assert place
        name = subject.names[varying[int(place[1])]]
        parts.append(Part(name + path[place.end() :], name, x, _kind(x)))
    chosen = frozenset(i for i, part in enumerate(parts) if part.kind != "constant")
    found = Binding(subject, parts, rebuild, parameters, chosen)
    if parts and not found.has_variables:
        for part in parts:
            for _, x in flatten(part.given)[0]:
                _number(x, part)
        raise TypeError(
            f"gradcheck: {parts[0].path} contains bools alone, which are not differentiated; write float(x), or "
            "1.0 * x for an array"
        )
    return found


def choose_variables(found: Binding) -> Binding:
    """Return a binding in which parts that hold whole numbers are variables or constants, as the function uses them.

    A whole number is a constant in three cases: the function compares it with an equal number by `==`, uses it as a
    condition, or fails or computes something else if it gets a `Value` in place of the number. For example, it fails if
    it passes the number to `range`, and may fail if it looks the number up in a dict. In the first two cases, an array
    of whole numbers is a constant only if the case holds for each of its numbers. If all other numbers are constants, a
    whole number stays a variable.

    Raises:
        TypeError: the function computes something else for a float than for a `Value` with the same number.
        NameError: the function uses a name that it has not defined.
    """
    if len(found.chosen) + len(found.parameters) < 2:  # nothing else would be left to differentiate by
        return found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the calls that are compared give these warnings, too
        while True:
            found, expected = _without_asked(found)
            if expected is not None:
                break
            other = _without_failing(found)
            if other.chosen == found.chosen:
                return other
            found = other
        again = _derivatives_or_none(found)
        if again is None or _differ(expected, again, values=True):
            return found  # the function is not deterministic, which the caller finds out
        for i in sorted(found.chosen):
            part, other = found.parts[i], found.without([i])
            is_whole = part.kind == "whole"
            if not other.has_variables or not (is_whole or _is_one_float(part.given)):
                continue
            derivatives = _derivatives_or_none(other)
            if derivatives is None or not _differ(expected, derivatives, values=is_whole):
                continue
            if is_whole:
                if _same_outputs(expected, derivatives):
                    other = replace(other, doubtful=(*other.doubtful, found))
                return choose_variables(other)
            if _is_random(found, expected) or _is_random(other, derivatives):
                return found  # two calls that agree may do so by chance, as those of a function with dropout
            raise TypeError(
                f"gradcheck: f computes something else if {part.path} is a Value than if it is {part.given!r}, so it "
                f"looks at its type, its text or its hash; {part.make_static}"
            )
    return found


def _is_random(found: Binding, expected: Derivatives) -> bool:
    """Return whether several more calls of the function with this binding give results other than `expected`."""
    more = (_derivatives_or_none(found) for _ in range(CALLS_TO_COMPARE))
    return any(again is None or _differ(expected, again, values=True) for again in more)


def _without_asked(found: Binding) -> tuple[Binding, Derivatives | None]:
    """Return a binding in which whole numbers that decide which branch the function takes are constants.

    These are the numbers that the function compares by `==`, or uses as conditions. An array of whole numbers is a
    constant only if this is so for each of its numbers. The second item of the pair that is returned has the outputs of
    the function and their derivatives; it is None if the function fails.
    """
    while True:
        derivatives = _derivatives_or_none(found)
        found = replace(found, compared=frozenset(found.asked()))
        whole = [i for i in found.chosen if found.parts[i].kind == "whole"]
        other = found.without(i for i in whole if found.is_asked_everywhere(i))
        if other.chosen == found.chosen or not other.has_variables:
            return found, derivatives
        found = other


def _without_failing(found: Binding) -> Binding:
    """Return a binding in which whole numbers are constants if the function fails when they are `Value`s.

    If the function still fails when all whole numbers are constants, the returned binding has the same variables as
    `found`. Then each part of the arguments, such as a float, is tried as the only constant. If the function works with
    one of them, the attribute `hint` of the returned binding says how to make this part static.
    """
    whole = [i for i in sorted(found.chosen) if found.parts[i].kind == "whole"]
    for others in [*([i] for i in whole), whole]:
        other = found.without(others)
        if others and other.has_variables and _derivatives_or_none(other) is not None:
            for i in others if len(others) > 1 else ():
                more = replace(other, chosen=other.chosen | {i})
                other = other if _derivatives_or_none(more) is None else more
            return other
    for i in sorted(found.chosen):
        other = found.without([i])
        if other.has_variables and _derivatives_or_none(other) is not None:
            return replace(found, hint=found.parts[i].make_static)
    return found


def _same_outputs(a: Derivatives, b: Derivatives) -> bool:
    """Return whether the values of the outputs differ by no more than rounding."""
    return len(a) == len(b) and not any(_is_off(y, z, math.fabs(y), True) for (y, _), (z, _) in zip(a, b, strict=True))


def _derivatives_or_none(found: Binding) -> Derivatives | None:
    """Return the outputs of the function and their derivatives; None if the function fails or returns no numbers.

    Raises:
        NameError: the function uses a name that it has not defined. This is a mistake in the function, and does not
            show which arguments it takes.
    """
    try:
        return found.derivatives()
    except NameError as error:
        for part in found.variable_parts():
            if part.kind == "whole":
                error.add_note(f"gradcheck gave f a Value as {part.path}; {part.make_static}")
        raise
    except Exception:  # the user's function is tried with more or fewer Values, and may raise anything
        return None


def _differ(a: Derivatives, b: Derivatives, values: bool) -> bool:
    """Return whether derivatives in `a` and `b` with respect to the same variable differ by more than rounding.

    If `values` is true, the values of the outputs are compared, too. Two numbers that are not both finite differ then
    unless they are equal, or both are nan. If `values` is false, only derivatives are compared, and two of them that
    are not both finite do not count as different.
    """
    if len(a) != len(b):
        return True
    for (y, dy), (z, dz) in zip(a, b, strict=True):
        pairs = [(dy[key], dz[key]) for key in dy.keys() & dz.keys()]
        size = max([math.fabs(g) for pair in pairs for g in pair if math.isfinite(g)], default=0.0)
        if any(_is_off(g, h, size, values) for g, h in pairs) or (values and _is_off(y, z, math.fabs(y), True)):
            return True
    return False


def _is_off(a: float, b: float, size: float, not_finite: bool) -> bool:
    """Return whether two numbers differ by more than rounding of numbers as large as `size`.

    If one of them is not finite, the result is True only if `not_finite` is true and they differ at all.
    """
    if math.isfinite(a) and math.isfinite(b):
        return math.fabs(a - b) > max(SAME_DERIVATIVE * size, NEGLIGIBLE_DIFFERENCE)
    return not_finite and a != b and not (math.isnan(a) and math.isnan(b))


def _kind(x: Any) -> Kind:
    """Return the kind of an item of the arguments: "constant", "whole" for whole numbers, or "real" (see `Part`)."""
    kind = DTYPES.get(str(getattr(getattr(x, "dtype", None), "kind", "")))
    if kind:
        return kind
    if is_array(x):
        kinds = {_kind(item) for _, item in flatten(x)[0]}
        return "constant" if kinds == {"constant"} else "whole" if kinds == {"whole"} else "real"
    if isinstance(x, (bool, *CONSTANT_TYPES)) or (callable(x) and not hasattr(x, "parameters")):
        return "constant"
    if isinstance(x, (float, Value)):
        return "real"
    # What is neither a number nor surely a constant is refused when its number is read
    return "whole" if _is_whole(x) else "real"


def _is_whole(x: Any) -> bool:
    """Return whether a number of another type than float, such as a `Fraction` or a `Decimal`, is a whole number."""
    if isinstance(x, Integral):
        return True
    return bool(hasattr(x, "__float__") and math.isfinite(x) and x == int(x))


def _is_one_float(x: Any) -> bool:
    """Return whether `x` is a single number: neither a `Value` nor an array. The caller knows that it is not whole."""
    return not (isinstance(x, Value) or is_array(x))


def _number(x: Any, part: Part) -> float:
    """Return `x`, a number in a part of the arguments, as a float.

    Raises:
        TypeError: `x` is not a real number. The message says what to write if it is a constant.
    """
    try:
        return number(x)
    except TypeError as error:
        raise TypeError(f"gradcheck: {part.path}: {error}; {part.make_static}") from None
