"""A fault is planted in each stage of the compiler, and the comparison with the eager engine must notice it."""

import random
from dataclasses import replace

import llvmlite.binding as llvm
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import elementary, fusion, native, straight, takes, update
from micrograd_cn.compiler import machine as machines
from micrograd_cn.compiler.drivers import Drivers
from micrograd_cn.compiler.executable import Executable
from micrograd_cn.compiler.formulas import Operations
from micrograd_cn.compiler.instructions import SAMPLE
from micrograd_cn.compiler.lanes import Lanes
from micrograd_cn.compiler.lowering import Lowering
from micrograd_cn.compiler.machine import Machine, machine
from micrograd_cn.compiler.maps import Maps
from micrograd_cn.compiler.places import WORD, Places
from micrograd_cn.compiler.plan import Plan
from micrograd_cn.compiler.schedule import Map, Outer, Schedule
from micrograd_cn.compiler.text import FAST, OURS
from micrograd_cn.compiler.threaded import Threaded
from micrograd_cn.compiler.training import Training
from micrograd_cn.nn import MLP

from .common import OPTIMISERS, assert_like_eager, choose, everything, problem

COMPILER = "micrograd_cn.compiler"


# The comparisons, which the other tests make too


def of_a_network():
    model = MLP(10, [8, 2], activation="silu", seed=1)
    rng = random.Random(0)
    rows = [[rng.gauss(0, 1) for _ in range(11)] for _ in range(21)]

    def loss(*row):
        return (mc.logsumexp(model(row[:10])) - row[10]) ** 2

    assert_like_eager(loss, [Value(0.3) for _ in range(11)], model.parameters(), rows)


def of_sums():
    rng = random.Random(1)
    ws = [Value(rng.gauss(0, 1)) for _ in range(12)]

    def f(*xs):
        shuffled = [ws[k] for k in (5, 3, 9, 0, 1, 1, 8, 2, 4)]
        inner = mc.dot([x - 0.5 for x in xs], [mc.tanh(x) for x in xs], ws[3] * xs[1])
        mixed = mc.dot([*shuffled, xs[0]], [*xs, xs[1]], 0.25) - mc.dot(ws[:9], xs, ws[10])
        early = mc.sum([mc.exp(w) - 0.1 for w in ws]) * mc.dot(ws, ws[::-1])
        bent = mc.elu(ws[0] * xs[0], 0.5) + mc.elu(ws[0] * xs[1], 2.0)
        return (
            bent + inner * mixed + early / (2.0 + xs[2] * xs[2]) + mc.where(mc.less(xs[0], ws[0]), xs[3], ws[1] - xs[4])
        )

    rows = [[rng.gauss(0, 1) for _ in range(9)] for _ in range(19)]
    assert_like_eager(f, [Value(0.5) for _ in range(9)], ws, rows)


def of_takes():
    rng = random.Random(2)
    ws = [Value(rng.gauss(0, 1)) for _ in range(7)]

    def f(i, a):
        return mc.take(ws, i) * a + mc.take([a * k for k in range(7)], i) * mc.take(
            [*ws[3:], a, 2.0], i - 1.0 + 0.0 * a
        )

    rows = [[float(1 + k % 5), rng.gauss(0, 1)] for k in range(19)]
    assert_like_eager(f, [Value(0.5) for _ in range(2)], ws, rows)
    rows[3][0], rows[7][0], rows[11][0], rows[0][0] = 1.5, 7.0, -1.0, -0.5
    assert_like_eager(f, [Value(0.5) for _ in range(2)], ws, rows)


def of_training():
    (ours, program, rows, _), (theirs, _, _, model) = problem(), problem()
    mine, yours = OPTIMISERS["adam"](ours), OPTIMISERS["adam"](theirs)
    program.fit(rows, mine, 2, batch_size=20)
    other, others, _, _ = problem()
    again = OPTIMISERS["adam"](other)
    for _ in range(2):
        for start in (0, 20):
            batch = rows[start : start + 20]
            again.zero_grad()
            others.backward(batch)
            again.step()
            yours.zero_grad()
            fits = [(model([Value(x) for x in row[:3]]) - row[3]) ** 2 for row in batch]
            (mc.mean(fits) + 1e-3 * mc.sum([p * p for p in theirs])).backward()
            yours.step()
    assert everything(ours, mine) == everything(other, again)
    assert [p.data for p in ours] == pytest.approx([p.data for p in theirs], rel=1e-10)


def compare():
    """Compare with the engine; an AssertionError says that there is a difference."""
    for comparison in (of_a_network, of_sums, of_takes, of_training):
        comparison()


# The faults


def change_result(patch, kind, name, change):
    """Let a method return what `change` makes of its result and its operands."""
    method = getattr(kind, name)
    patch.setattr(kind, name, lambda *operands, **more: change(method(*operands, **more), *operands))


def other_partial(patch):
    change_result(patch, Operations, "partials", lambda found, _, op, *rest: found[::-1] if op is mc.mul else found)


def lost_contribution(patch):
    gradient = Lowering._gradient

    def of_one_less(self, node, received):
        pairs = received.pairs
        pairs[node] = pairs[node][: max(len(pairs[node]) - 1, 1)]
        return gradient(self, node, received)

    patch.setattr(Lowering, "_gradient", of_one_less)


def lost_product(patch):
    dot = Operations.dot

    def of_one_less(self, pairs, terms, form="dot"):
        pairs = list(pairs)
        return dot(self, pairs[len(pairs) > 3 :], terms, form)

    patch.setattr(Operations, "dot", of_one_less)


def stale_constant(patch):
    formula, first = Operations.formula, {}

    def of_the_first_constants(self, key, known, op):
        kinds = tuple([x is None for x in known])
        return first.setdefault((key, kinds), formula(self, key, known, op))

    patch.setattr(Operations, "formula", of_the_first_constants)


def exchanged_operands(patch):
    change_result(patch, Operations, "_form", lambda called, *_: called and called._replace(used=called.used[::-1]))


def lost_last_product(patch):
    def without(groups, *_):
        for group in groups:
            lefts, rights = ([side[:-1] for side in sides] for sides in (group.lefts, group.rights))
            yield replace(group, lefts=lefts, rights=rights)

    change_result(patch, Schedule, "_sums", without)


def lost_other_products(patch):
    change_result(patch, Schedule, "_long", lambda found, *_: found and found._replace(others=[]))


def no_order_of_layers(patch):
    layers = Schedule._layers

    def one_layer(self, phase):
        found = [*layers(self, phase)]
        numbers = sorted(i for layer in found for i in layer.numbers)
        return [found[0]._replace(numbers=numbers, levels={0: numbers})] if found else []

    patch.setattr(Schedule, "_layers", one_layer)


def gathered_from_the_next_place(patch):
    change_result(patch, Plan, "_padded", lambda found, *_: [*found[1:], found[0]])


def gathered_without_order(patch):
    change_result(patch, Maps, "_map", lambda found, *_: Map(found.form, found.numbers[::-1]))


def wrong_distance(patch):
    change_result(patch, Plan, "even", lambda found, *_: (found[0], found[1] + WORD))


def wrong_copies(patch):
    change_result(patch, Plan, "_pack", lambda place, *_: place - WORD)


def one_place_for_two(patch):
    take, count = Places.take, [0]

    def sometimes_the_last(self, n):
        count[0] += n == 1
        return self.scalars - 1 if n == 1 and count[0] % 7 == 0 else take(self, n)

    patch.setattr(Places, "take", sometimes_the_last)


def half_turned(patch):
    transposed = Outer.transposed
    change_result(patch, Outer, "transposed", lambda found, *_: replace(found, rights=found.rights[::-1]))
    assert transposed is not Outer.transposed


def no_scalars_in_lanes(patch):
    change_result(patch, Plan, "fill_entry", lambda *_: [])


def wrong_neighbour(patch):
    change_result(
        patch,
        takes,
        "_numbers",
        lambda found, lanes, x, count: [lanes.f.smaller(lanes.f.add(k, 1), count) for k in found],
    )


def rounded_index(patch):
    numbers = takes._numbers
    patch.setattr(takes, "_numbers", lambda lanes, x, count: numbers(lanes, lanes.apply("llvm.floor", [x]), count))


def index_of_another_lane(patch):
    change_result(patch, takes, "_numbers", lambda found, *_: found[::-1] if len(found) > 1 else found)


def no_nan_after_the_operands(patch):
    places = Plan._places_of
    patch.setattr(Plan, "_places_of", lambda self, xs, samples: places(self, (*xs, xs[-1]), samples))


def totals_of_one_lane(patch):
    change_result(patch, Lanes, "sums_of_lanes", lambda found, lanes, xs: xs[0])


def exchanged_in_a_difference(patch):
    compute = straight.compute

    def wrong(lanes, form, names, made=None):
        return compute(lanes, form, names[::-1] if form == "fsub" else names, made)

    for module in ("straight", "native", "threaded", "gathers"):  # which have it by name
        patch.setattr(f"{COMPILER}.{module}.compute", wrong)


def lost_term(patch):
    sum_ = straight.Straight.sum
    patch.setattr(straight.Straight, "sum", lambda self, i, pairs, terms: sum_(self, i, pairs, terms[1:]))


def lost_value(patch):
    parts_of = native.parts_of

    def without_one(plan, outputs):
        found = parts_of(plan)  # where outputs wait in blocks
        for part in found[SAMPLE]:
            part.kept.discard(max(part.kept & plan.slot.keys(), default=None))
        return found

    patch.setattr(f"{COMPILER}.executable.parts_of", without_one)


def other_slot(patch):
    change_result(patch, Threaded, "_fill", lambda slot, *_: slot - 1)


def wrong_coefficient(patch):
    first, *rest = elementary.EXP
    patch.setattr(elementary, "EXP", (first + 1e-9, *rest))


def lost_lane(patch):
    def without_last(found, drivers, f, lanes, x, number, lane):
        return x if lane == drivers.count - 1 > 0 else found

    change_result(patch, Drivers, "_with", without_last)


def lost_tail(patch):
    patch.setattr(Drivers, "_blocks", lambda self, f, n: f.larger(f.quotient(n, self.count), 1))


def gradients_of_no_rows(patch):
    panel = Drivers._panel
    patch.setattr(
        Drivers, "_panel", lambda self, f, start, n, each, _, *rest: panel(self, f, start, n, each, each, *rest)
    )


def one_block_of_a_panel(patch):
    panel = Drivers._panel
    patch.setattr(Drivers, "_panel", lambda self, f, *rest: panel(self, f, *rest[:4], "1", *rest[5:]))


def unscaled_means(patch):
    means = Drivers._means
    patch.setattr(Drivers, "_means", lambda self, f, scale: means(self, f, f.op(f"fmul double {scale}, 2.0")))


def stale_parameters(patch):
    memory, first = Executable.memory, {}
    patch.setattr(Executable, "memory", lambda self, xs: memory(self, first.setdefault(self, list(xs))))


def no_constants(patch):
    change_result(patch, Executable, "__init__", lambda found, self, *_: setattr(self, "constants", {}))


def state_as_data(patch):
    change_result(patch, update, "lower_update", lambda found, *_: (found[0], [found[1][1], *found[1][1:]]))


def other_learning_rate(patch):
    change_result(patch, Training, "__init__", lambda found, self, *_: self.scalars.data.__setitem__(0, 0.5))


def exchanged_parts(patch):
    def exchanged(instruction, number):
        return renumbered(instruction, dict(zip(number, [*number.values()][::-1], strict=True)))

    renumbered = fusion.renumbered
    patch.setattr(fusion, "renumbered", exchanged)


def one_form_for_others(patch):
    change_result(patch, fusion._Trees, "key", lambda found, *_: len(found))


BOTH = [exchanged_in_a_difference, lost_product, no_constants, wrong_neighbour]
OF_NATIVE_CODE = [lost_term, lost_value]
OF_THREADED_CODE = [
    *(other_partial, lost_contribution, stale_constant, exchanged_operands),
    *(lost_last_product, lost_other_products, no_order_of_layers),
    *(wrong_distance, wrong_copies, one_place_for_two, half_turned, no_scalars_in_lanes),
    *(rounded_index, index_of_another_lane, no_nan_after_the_operands),
    *(totals_of_one_lane, other_slot, wrong_coefficient),
    *(lost_lane, lost_tail, gradients_of_no_rows, one_block_of_a_panel, unscaled_means),
    *(stale_parameters, state_as_data, other_learning_rate),
]
OF_GATHERED_CODE = [gathered_from_the_next_place, gathered_without_order]
OF_FUSED_CODE = [exchanged_parts, one_form_for_others]
FAULTS = [
    *((fault, "native") for fault in (*BOTH, *OF_NATIVE_CODE)),
    *((fault, "threaded") for fault in (*BOTH, *OF_THREADED_CODE)),
    *((fault, "gathered") for fault in OF_GATHERED_CODE),
    *((fault, "fused") for fault in OF_FUSED_CODE),
]


@pytest.fixture(autouse=True)
def apart(monkeypatch):
    """Compile shared functions anew, with whatever fault, and afterwards have those of other tests again."""
    real, fresh = machine(), Machine()
    monkeypatch.setattr(machines, "_machine", lambda: fresh)
    monkeypatch.setattr(update, "_made", {})
    yield
    for prefix, addresses in zip((OURS, FAST), real.addresses, strict=True):
        for name, address in addresses.items():
            llvm.add_symbol(name.replace(OURS, prefix), address)


def test_without_a_fault_there_is_no_difference(code):
    compare()


@pytest.mark.parametrize(("fault", "kind"), FAULTS, ids=[f"{fault.__name__}-{kind}" for fault, kind in FAULTS])
def test_a_planted_fault_is_noticed(fault, kind, monkeypatch):
    choose(monkeypatch, kind)
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        compare()
