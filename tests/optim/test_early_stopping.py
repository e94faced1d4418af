"""`EarlyStopping` counts the epochs without an improvement, and brings the best parameters back."""

import math

import pytest

from micrograd_cn import Value
from micrograd_cn.optim import EarlyStopping


def stopped(losses, patience, maximize=False):
    """Return after how many losses to stop, the data that is restored, and the best loss with its epoch."""
    w = Value(-1.0)
    stopping, count = EarlyStopping([w], patience, maximize), 0
    for count, loss in enumerate(losses, 1):
        w.data = float(count - 1)
        if stopping.step(loss):
            break
    stopping.restore()
    return count, w.data, stopping.best, stopping.best_epoch


@pytest.mark.parametrize(
    ("losses", "patience", "expected"),
    [
        ([3, 2, 1], 1, (3, 2, 1, 2)),
        ([3, 1, 2, 0], 1, (3, 1, 1, 1)),
        ([3, 1, 2, 0], 2, (4, 3, 0, 3)),
        ([3, 1, 2, 2, 0], 2, (4, 1, 1, 1)),
        ([1, 1, 1], 2, (3, 0, 1, 0)),  # the same is no improvement
        ([1, math.nan, 0.5], 2, (3, 2, 0.5, 2)),
        ([math.nan, math.nan, 1], 2, (2, 1, math.inf, None)),  # nothing to go back to
    ],
)
def test_training_stops_after_so_many_epochs_without_an_improvement(losses, patience, expected):
    assert stopped(losses, patience) == expected


def test_larger_is_better_when_maximizing():
    assert stopped([1, 3, 2, 2, 5], 2, maximize=True) == (4, 1, 3, 1)


@pytest.mark.parametrize("patience", [0, -1, 1.0, True, None])
def test_a_wrong_patience_is_refused(patience):
    with pytest.raises(ValueError, match="patience must be an int of at least 1, got"):
        EarlyStopping([Value(1.0)], patience)


def test_the_loss_must_be_a_number():
    stopping = EarlyStopping([Value(1)], patience=2)
    with pytest.raises(TypeError, match=r"got Value; write x\.data for the number"):
        stopping.step(Value(0.5))
    with pytest.raises(TypeError, match="got the str 'a'"):
        stopping.step("a")
    assert stopping.best_epoch is None


@pytest.mark.parametrize("maximize", ["min", None, 2, [True]])
def test_maximize_is_true_or_false(maximize):
    """A text would count as true."""
    with pytest.raises(TypeError, match=r"EarlyStopping: maximize must be True or False, got"):
        EarlyStopping([Value(1.0)], 2, maximize)


@pytest.mark.parametrize(
    ("option", "write"),
    [
        ("min_delta", "leave it out, because any smaller loss is an improvement"),
        ("mode", "write maximize=True if a larger number is better"),
        ("restore_best_weights", r"call restore\(\) at the end"),
        ("patiense", r"write patience=\.\.\."),
    ],
)
def test_options_of_other_libraries_are_answered_with_what_to_write(option, write):
    with pytest.raises(TypeError, match=f"^EarlyStopping has no option {option}; {write}$"):
        EarlyStopping([Value(1.0)], 2, **{option: 1})


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("stop", r"if stopping\.step\(loss\): break"),
        ("early_stop", r"if stopping\.step\(loss\): break"),
        ("update", r"stopping\.step\(loss\)$"),
        ("best_loss", r"read stopping\.best$"),
        ("load_checkpoint", r"stopping\.restore\(\)$"),
    ],
)
def test_attributes_of_other_libraries_say_what_to_write(name, write):
    with pytest.raises(AttributeError, match=f"^EarlyStopping has no {name}; .*{write}"):
        getattr(EarlyStopping([Value(1.0)], patience=2), name)
