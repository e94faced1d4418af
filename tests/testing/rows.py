"""Facts of a row by their own names, put into the groups in which `Op` takes them."""

from typing import Any

from micrograd_cn.ops.traits import Lowerings, Notation, Smoothness


def grouped(**facts: Any) -> dict[str, Any]:
    """Return arguments for `Op`: what is no field of a group stays as it is."""
    arguments = dict(facts)
    for name, group in (("notation", Notation), ("smoothness", Smoothness), ("lowerings", Lowerings)):
        found = {field: arguments.pop(field) for field in group._fields if field in arguments}
        if found:
            arguments[name] = group(**found)
    return arguments
