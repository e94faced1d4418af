"""An optimiser's update: what of it is compiled, when it is compiled anew, and how others are refused."""

from itertools import cycle

import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import drivers
from micrograd_cn.compiler.machine import machine
from micrograd_cn.compiler.places import WORD
from micrograd_cn.compiler.update import KEPT, Update, _made, compiled, lower_update, update_key
from micrograd_cn.optim import SGD, Adam, AdamW, Optimizer

from .common import OPTIMISERS


def optimiser(**methods):
    """Return an optimiser of a class with such methods."""
    return type("Own", (Optimizer,), {"slots": ("kept",), **methods})([Value(1.0)], lr=0.1)


def changed(change):
    """Return an update that does something else beside."""

    def update(self, p, state):
        p.data -= self.lr * p.grad
        change(self, p, state)

    made = optimiser(update=update)
    made.option = 2.0
    return made


def count(self, p, state):
    self.times = getattr(self, "times", 0) + 1


def alternate(sign):
    signs = cycle([sign, -sign])
    return lambda self, p, state: setattr(p, "data", p.data * next(signs))


def to(x):
    return lambda self, p, state: setattr(self, "option", x)


REFUSED = {
    "step": (
        optimiser(step=lambda self: None),
        r"compiled is the update\(\) of Own alone, not its own step\(\); use",
    ),
    "zero_grad": (optimiser(zero_grad=lambda self: None), r"not its own zero_grad\(\); use backward\(rows\) and"),
    "an attribute": (changed(count), "Own, which changes self.times; use backward"),
    "an option": (changed(lambda self, p, state: setattr(self, "lr", self.lr * 0.5)), "which changes self.lr;"),
    "a label": (changed(lambda self, p, state: setattr(p, "label", "w")), "which changes p.label;"),
    "a gradient": (changed(lambda self, p, state: setattr(p, "grad", 0.0)), "which changes p.grad;"),
    "whether": (changed(lambda self, p, state: setattr(p, "requires_grad", False)), "changes p.requires_grad;"),
    "a number for it": (changed(lambda self, p, state: setattr(p, "requires_grad", 1)), "changes p.requires_grad;"),
    "not the same": (changed(alternate(1.0)), "Own, which is not the same each time; use backward"),
    "nor the same": (changed(alternate(-1.0)), "Own, which is not the same each time; use backward"),
    "greater": (changed(to(3.0)), "which changes self.option;"),
    "smaller": (changed(to(1.0)), "which changes self.option;"),
    "a branch": (changed(lambda self, p, state: p.grad > 0.0 or None), "cannot compile the update of Own: "),
    "its state": (
        changed(lambda self, p, state: self.state[0]),
        "not written in the table's operations on p.data, p.g",
    ),
}


@pytest.mark.parametrize(("optimizer", "message"), REFUSED.values(), ids=REFUSED)
def test_an_update_that_cannot_be_compiled_is_refused_with_the_reason(optimizer, message):
    with pytest.raises(TypeError, match=message):
        lower_update(optimizer, masked=False)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)
def test_a_record_has_the_blocks_columns_and_where_new_values_go(make, masked):
    """The gradient, the second column, stays; a mask, the last one, does too."""
    optimizer = make([Value(1.0)])
    update = Update(optimizer, masked)
    tables = {table.buffer_info()[0]: list(table) for table in update.plan.tables}
    fields = dict(zip(drivers.FIELDS, tables[update.record], strict=True))
    assert fields["block"] == WORD * update.block
    assert update.block % machine().width == 0
    assert update.block >= update.columns * update.width
    assert fields["outputs"] == update.outputs
    to = tables[fields["output_table"]][2::3]
    assert to == [WORD * update.width * column for column in (0, *range(2, 2 + len(optimizer.slots)))]
    assert {fields[name] for name in ("panel", "count", "gradients", "columns", "totals", "after")} == {0}


def test_scalars_are_the_learning_rate_the_steps_and_then_all_others():
    update = Update(Adam([Value(1.0)]), masked=False)
    places = {update.plan.code.instructions[i]: place for i, place in update.plan.scalar.items()}
    assert [places.pop(("parameter", k)) for k in range(2)] == [0, 1]
    assert min(places.values()) == 2


def test_a_key_is_the_class_the_mask_and_the_options():
    ws = [Value(1.0), Value(2.0)]
    same = [update_key(Adam(ws[:n], lr=lr), False) for n, lr in ((1, 0.1), (2, 0.1), (2, 0.5))]
    assert same[0] == same[1] == same[2]
    others = [Adam(ws, betas=(0.8, 0.9)), Adam(ws, eps=1e-3), AdamW(ws), SGD(ws), SGD(ws, momentum=0.5)]
    keys = {update_key(optimizer, masked) for optimizer in others for masked in (False, True)}
    assert len({*keys, *same}) == 11


@pytest.mark.parametrize("option", [[0.5], (0.5, None), None, Value(0.5)], ids=str)
def test_options_that_are_no_plain_numbers_or_words_are_no_key(option):
    optimizer = SGD([Value(1.0)], lr=0.1)
    for plain in (0.5, 1, "word", (0.5, "word", 2)):
        optimizer.option = plain
        assert repr(plain) in update_key(optimizer, False)[2]
    optimizer.option = option
    assert update_key(optimizer, False) is None
    assert compiled(optimizer, False) is not compiled(optimizer, False)


def test_the_update_of_a_class_that_is_not_the_librarys_has_no_key():
    assert update_key(type("SGD", (SGD,), {})([Value(1.0)]), False) is None
    assert update_key(optimiser(update=mc.relu), False) is None


def test_tracing_leaves_the_optimiser_as_it_was():
    optimizer = Adam([Value(1.0)], lr=0.25)
    before = {name: repr(x) for name, x in vars(optimizer).items()}
    lower_update(optimizer, masked=True)
    assert {name: repr(x) for name, x in vars(optimizer).items()} == before


def test_updates_of_the_options_that_were_used_last_are_kept():
    def of(momentum):
        return compiled(SGD([Value(1.0)], lr=0.1, momentum=momentum), masked=False)

    first = of(0.123)
    assert of(0.123) is first
    for k in range(KEPT - 1):
        of(0.2 + k / 1000)
        assert of(0.123) is first
    for k in range(KEPT):
        of(0.3 + k / 1000)
    assert len(_made) == KEPT
    assert of(0.123) is not first
