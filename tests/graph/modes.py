"""The two modes, each with a function that says whether the mode holds where it is called."""

import pytest

from micrograd_cn import Value, detect_anomaly, no_grad

MODES = [
    (no_grad, lambda: not (Value(1) * Value(1)).requires_grad),
    (detect_anomaly, lambda: raises_anomaly()),
]


def raises_anomaly():
    try:
        Value(0).log()
    except FloatingPointError:
        return True
    return False


both_modes = pytest.mark.parametrize(("mode", "holds"), MODES, ids=["no_grad", "detect_anomaly"])
