"""Compare `Value`s as plain numbers where they stand for plain numbers: in a function that `functional` differentiates.

Such a function was written for numbers. It may ask `if label == 1:` or `if flag:`, and has to take the branch that it
takes for numbers. So `==`, `!=`, `in` and truth go by data there, for each `Value` that is computed from the arguments
and from no `Value` of the user. For all other `Value`s they go by identity, except that functions of numpy, such as
`np.isclose` and `np.nansum`, compare numbers.
"""

from __future__ import annotations

from contextvars import ContextVar
from opcode import opmap
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = [
    "FOR_NUMPY",
    "Variables",
    "called_by_numpy",
    "is_call",
    "numpy_extremum",
    "numpy_order",
    "stands_for_number",
    *("CALLS", "variables"),
]

PACKAGE = str(Path(__file__).parents[1] / "_")[:-1]  # the folder of this package, with the separator at its end
# Files of this package from which numpy's functions compare elements
FOR_NUMPY = {str(Path(__file__).with_name(name)) for name in ("numpy_methods.py", "value_arrays.py")}

CALLS = {code for name, code in opmap.items() if "CALL" in name}  # CPython 3.11 may call a method at PRECALL
ORDERS = {"sort", "argsort", "partition", "argpartition", "lexsort", "searchsorted", "argmax", "argmin"}
EXTREMA = {
    **{"_amax": "max", "maximum": "max", "fmax": "fmax", "_amin": "min", "minimum": "min", "fmin": "fmin"},
    **{"_clip": "both", "clip": "both", "_ptp": "both"},
}


class Variables(set[Any]):
    """The variables of all derivatives that are being computed, one inside the other.

    Those that are leaves stand for plain numbers.

    Attributes:
        plain: nodes that are known to stand for plain numbers.
        others: nodes that are known not to.
    """

    plain: set[Any] | None = None  # made when the first node is compared, since most functions compare none
    others: set[Any] | None = None

    def include(self, root: Any) -> bool:
        """Return whether the node `root` stands for a plain number: it is computed from variables and constants alone.

        The function keeps what it finds out, so it visits a node once, however often the nodes above it are compared.
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


def stands_for_number(x: Any, caller: FrameType) -> bool:
    """Return whether the node `x` stands for a plain number, and `caller` is code outside this package.

    The code of this package tells nodes apart by identity. A function of numpy counts as code of the user who calls it.
    """
    around = variables.get()
    if around is None:
        return False
    path = caller.f_code.co_filename
    return (not path.startswith(PACKAGE) or path in FOR_NUMPY) and around.include(x)


def called_by_numpy(caller: FrameType) -> bool:
    """Return whether `==` in the frame `caller` is called by a function of numpy, and not by an operator of the user.

    Many functions of numpy are written in Python. `np.sign`, which is not, asks whether an element is 0.
    """
    if caller.f_globals.get("__name__", "").startswith("numpy."):
        return True
    return is_call(caller) and _called_function(caller) == "sign"


def numpy_extremum(caller: FrameType) -> str:
    """Return the kind of function of numpy that compares elements for their maximum or minimum; "" if none does.

    This is "max" or "min", "fmax" or "fmin" if the function ignores nan, or "both".

    numpy chooses a if a >= b for the maximum of a and b, or a <= b for the minimum. For floats it gives nan if one of
    them is nan; for objects, such as `Value`s, it relies on the comparison.
    """
    name = ""
    if caller.f_globals.get("__name__", "").startswith("numpy."):
        name = caller.f_code.co_name
        if name == "_wrapreduction":
            name = getattr(caller.f_locals.get("ufunc"), "__name__", "")
    elif is_call(caller):
        name = _called_function(caller)
    return EXTREMA.get(name, "")


def numpy_order(caller: FrameType) -> str:
    """Return the name of the function or method of numpy that compares elements to order them; "" if none does.

    For np.argmax(x), and x.argmax(), this is "argmax".

    Raises:
        ValueError: the function is np.median or a quantile.
    """
    frame: FrameType | None = caller
    if caller.f_code.co_filename in FOR_NUMPY:  # a method of `ValueArray`
        name = getattr(caller.f_locals.get("method"), "__name__", "")
    elif caller.f_globals.get("__name__", "").startswith("numpy."):
        name = caller.f_code.co_name
        if name == "_wrapfunc":
            name = caller.f_locals.get("method", "")
    else:
        from .conversion import called_function  # imported here, because correct programs rarely need it

        function = called_function(caller) if is_call(caller) else None
        is_method = any(kind.__module__ == "numpy" for kind in type(getattr(function, "__self__", None)).__mro__)
        name = getattr(function, "__name__", "") if is_method else ""
    while frame and (frame.f_code.co_filename in FOR_NUMPY or frame.f_globals.get("__name__", "").startswith("numpy.")):
        if frame.f_code.co_name in ("_median", "_quantile"):
            raise ValueError(
                "np.median() or a quantile of Values among which is nan: numpy would take it for the largest of them; "
                "write np.nanmedian or np.nanquantile to leave it out"
            )
        frame = frame.f_back
    return name if name in ORDERS else ""


def is_call(caller: FrameType) -> bool:
    """Return whether the frame is at the call of a function, rather than at an operator such as `==`."""
    return caller.f_code.co_code[caller.f_lasti] in CALLS


def _called_function(caller: FrameType) -> str:
    from .conversion import called_in  # imported here, because correct programs rarely need it

    return called_in(caller).rpartition(".")[2]
