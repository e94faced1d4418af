"""Compare `Value`s as plain numbers where they stand for plain numbers: in a function that `functional` differentiates.

Such a function was written for numbers. It may ask `if label == 1:` or `if flag:`, and has to take the branch that it
takes for numbers. So in such a function `==`, `!=`, `in` and truth depend on the data of a `Value`, if it is computed
from the function's arguments and from no `Value` that the user made elsewhere. All other `Value`s are compared by
identity, and are true, except that numpy functions, such as `np.isclose` and `np.nansum`, compare their data.

Any `Value` whose data is nan is not equal to itself, like a float. So `x != x` asks for a missing number in every
function, and gives the same result whether the function is called, differentiated or compiled.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextvars import ContextVar
from types import FrameType
from typing import Any

from .callers import PACKAGE, asked_by, is_numpys_code

__all__ = [
    "FOR_NUMPY",
    "Variables",
    "called_by_numpy",
    "ignores_equality",
    "is_users_code",
    "stands_for_number",
    "variables",
]

# Files of this package from which numpy's functions compare elements
FOR_NUMPY = {os.path.join(os.path.dirname(__file__), name) for name in ("numpy_methods.py", "value_arrays.py")}


class Variables(set[Any]):
    """The set of variables of all derivatives that are being computed, one inside the other.

    A variable is a leaf if the function that is differentiated gets it in place of a number. Such a variable stands
    for a plain number: it is compared as this number would be. So does a node that is computed from such variables and
    constants alone. If a `Value` that requires a gradient is passed to the function, the variable in its place is a
    node that is computed from this `Value`. It stands for a plain number only if the `Value` does.

    Attributes:
        plain: nodes that are known to stand for plain numbers.
        others: nodes that are known not to stand for plain numbers.
        given: the leaves in the arguments with respect to which the outermost derivative is computed.
        passed: the other arguments of the outermost derivative.
    """

    plain: set[Any] | None = None  # made when the first node is compared, since most functions compare none
    others: set[Any] | None = None
    given: Sequence[Any] = ()
    passed: Sequence[Any] = ()

    def include(self, root: Any) -> bool:
        """Return whether the node `root` depends on variables and constants alone, so it stands for a plain number.

        If `root` is itself a leaf, it stands for a plain number if it is a variable, or a constant that an operation
        has computed, but not if it is a constant that the user has made. The result for each node is kept, so a node is
        visited once, however often nodes that depend on it are compared.
        """
        if root.op is None:
            return root in self or bool(root._is_constant_result)
        if self.plain is None or self.others is None:
            self.plain, self.others = set(), set()
        stack, seen = [root], set()
        while stack:
            node = stack.pop()
            if node in self.plain or node in seen:
                continue
            if node in self.others or (node.op is None and node.requires_grad and node not in self):
                self.others.add(root)
                return False
            if node.op is not None:
                seen.add(node)
                stack += [x for x in node.operands if type(x) is not float]
        self.plain |= seen
        return True


# None outside of all derivatives
variables: ContextVar[Variables | None] = ContextVar("micrograd_cn_variables", default=None)


def is_users_code(caller: FrameType) -> bool:
    """Return whether the frame `caller` runs code outside this package, which may be that of a numpy function.

    The code of this package tells nodes apart by identity. A numpy function counts as code of the user who calls it.
    """
    path = caller.f_code.co_filename
    return not path.startswith(PACKAGE) or path in FOR_NUMPY


def stands_for_number(x: Any, caller: FrameType) -> bool:
    """Return whether the code that the frame `caller` runs must treat the node x as the plain number that it holds.

    It must if it is a user's code, and x is computed from the arguments of a function that `functional` differentiates,
    and from constants alone: the function was written for numbers. In code of this package, no node stands for a plain
    number.
    """
    around = variables.get()
    return around is not None and is_users_code(caller) and around.include(x)


def ignores_equality(caller: FrameType) -> bool:
    """Return whether code in the frame `caller` does the same whatever `==` returns.

    `np.linspace` asks whether the step is 0, and computes the same numbers in either case.
    """
    return caller.f_code.co_name == "linspace" and is_numpys_code(caller)


def called_by_numpy(caller: FrameType) -> bool:
    """Return whether `==` in the frame `caller` is called by a numpy function, and not by an operator of the user.

    Many numpy functions are written in Python, so `caller` is their frame. `np.sign` is written in C, so `caller` is
    the frame of the user's code. The result is True for `np.sign`, too, which calls `==` to find out whether an element
    is 0.
    """
    return is_numpys_code(caller) or asked_by(caller).name == "sign"
