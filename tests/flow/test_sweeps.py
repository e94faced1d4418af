"""What trains computes as the stepper does, edge by edge, and both compute as the rows of the table of operations."""

import math

import pytest

from micrograd_cn import playground
from micrograd_cn.ops.registry import OPS

from ..chromium import chromium
from .pages import new_page, same

pytestmark = pytest.mark.browser

# Record the same random computation for a graph or for `Sweeps`: operations of the rows of one to three operands, sums
# of products, neurons, and logarithms of sums. Some numbers are infinite, and many operands are not selected.
COMPUTATION = """const computation = (to, seed) => {
    const rng = new Random(seed), numbers = [], leaves = [];
    const pick = some => some[rng.below(some.length)];
    for (let i = 0; i < 12; i++) {
        const x = seed % 3 === 0 && i % 6 === 5 ? Infinity : rng.uniform(-2, 2);
        numbers.push(x);
        leaves.push(to.leaf(`x${i}`, 3, x));
    }
    const known = [...leaves], { operations } = page;
    const names = Object.keys(operations).filter(name => !Array.isArray(operations[name]));
    const places = name => [...operations[name].text.matchAll(/[{](\\d)[}]/g)].map(([, i]) => Number(i));
    const arity = name => Math.max(...places(name)) + 1;
    const usual = ["relu", "relu", "relu", "maximum", "mul", "mul", "sub", "tanh", "where", "exp"];
    for (let k = 0; k < 25; k++) {
        const some = Array.from({ length: 3 }, () => pick(known)), more = Array.from({ length: 3 }, () => pick(known));
        if (k % 5 === 3) known.push(...to.alike(4, j => `part${k}.${j}`, [
            j => to.dot(leaves.slice(j, j + 3), some, null, leaves[j + 3]), (j, total) => to.apply("relu", [total]),
        ]));
        else if (k % 5 === 1) known.push(to.dot(some, more));
        else if (k % 10 === 2) known.push(to.logsumexp([...some, ...more]));
        else {
            const name = pick(k % 2 ? usual : names), operands = Array.from({ length: arity(name) }, () => pick(known));
            if (operands.length > 1 && k % 3 === 0) operands[operands.length - 1] = new Constant(rng.uniform(0.5, 2));
            known.push(to.apply(name, operands));
        }
    }
    return { leaves, numbers, root: to.dot(known.slice(-12), known.slice(-12).reverse()) };
};"""
COMPARED = (
    "seed => {"
    + COMPUTATION
    + """
    const trains = new Recorder([], true), one = computation(trains, seed), sweeps = new Sweeps(trains);
    sweeps.forward(0, sweeps.runs.length);
    sweeps.begin(one.root.i, 1, 0);
    sweeps.backward(0, sweeps.runs.length);
    const recorder = new Recorder(), other = computation(recorder, seed);
    const made = recorder.finish(other.root), { graph } = made;
    const moves = movesOf(graph, ["backward"]), state = replayed(graph, made, moves, moves.length);
    const place = name => graph.nodes.findIndex(node => node.name === name);
    const plain = one.leaves.map((_, i) => (place(`x${i}`) < 0 ? 0 : gradient(state, place(`x${i}`))));
    const quick = one.leaves.map(x => sweeps.grad[x.i]), sizes = made.partials.flat().concat(made.data).map(Math.abs);
    const texts = xs => xs.map(x => String(x));
    return { value: texts([sweeps.data[one.root.i], made.data[graph.root]]), plain: texts(plain), quick: texts(quick),
        idle: graph.order.some(i => !state.reached[i]), finite: sizes.every(Number.isFinite) };
}"""
)


def number(text):
    return float(text.replace("Infinity", "inf"))


def test_the_program_that_trains_has_the_gradients_of_the_stepper(room):
    finite = idle = 0
    for seed in range(150):
        got = room.evaluate(COMPARED, seed)
        finite += got["finite"]
        idle += got["idle"]
        plain, quick = [[number(x) for x in got[key]] for key in ("plain", "quick")]
        value = [number(x) for x in got["value"]]
        largest = max((abs(x) for x in [*plain, *value] if math.isfinite(x)), default=1.0)
        for a, b in [value, *zip(plain, quick, strict=True)]:
            assert same(a, b) or abs(a - b) <= 1e-9 * max(abs(a), 1e-6 * largest), (seed, a, b)
    assert finite > 40
    assert idle > 40  # a node that no gradient reaches


@pytest.mark.parametrize("biased", [False, True])
def test_what_is_not_reached_sends_nothing_in_the_program_either(room, biased):
    script = """biased => {
        const to = new Recorder([], true), [x, w, b] = [0, -1, -1].map(x => to.leaf(null, 1, x));
        const y = to.apply("sqrt", [x]); // its slope is infinite
        const root = to.apply("relu", [to.dot([y], [w], null, biased ? b : null)]); // it selects 0
        const sweeps = new Sweeps(to);
        sweeps.forward(0, sweeps.runs.length);
        sweeps.begin(root.i, 1, 0);
        sweeps.backward(0, sweeps.runs.length);
        return [x, w, b].map(({ i }) => sweeps.grad[i]);
    }"""
    assert room.evaluate(script, biased) == [0, 0, 0]


@pytest.mark.parametrize("count", [2, 3, 8, 17])
def test_slopes_of_sequences_are_those_of_the_rows(room, count):
    script = """count => {
        const rng = new Random(count), xs = Array.from({ length: count }, () => rng.uniform(-3, 3));
        const { operations } = page, dot = operations.dot[count], y = forward[dot.row](...xs);
        const { row } = operations.logsumexp[count], z = forward[row](...xs);
        return { dot: [slopesOf.dot(y, ...xs), partials[dot.row](y, ...xs)],
            logsumexp: [slopesOf.logsumexp(z, ...xs), partials[row](z, ...xs)] };
    }"""
    got = room.evaluate(script, count)
    assert got["dot"][0] == got["dot"][1]
    assert got["logsumexp"][0] == pytest.approx(got["logsumexp"][1], rel=1e-14)


@pytest.mark.parametrize(
    ("name", "count", "text"),
    [
        ("dot", 40, "dot([{0}, …, {19}], [{20}, …, {39}])"),
        ("dot", 41, "dot([{0}, …, {19}], [{20}, …, {39}], {40})"),
        ("logsumexp", 18, "logsumexp([{0}, …, {17}])"),
    ],
)
def test_operations_of_more_operands_than_the_page_has_rows_for_are_those_of_the_table(room, name, count, text):
    script = """([name, count]) => {
        const recorder = new Recorder(), n = count >> 1;
        const xs = Array.from({ length: count }, (_, i) => recorder.leaf(`x${i}`, 1, i % 5));
        const root = name === "dot"
            ? recorder.dot(xs.slice(0, n), xs.slice(n, 2 * n), null, xs[2 * n] ?? null) : recorder.logsumexp(xs);
        const { graph, data, partials } = recorder.finish(root), { text, written } = graph.nodes[graph.root];
        const narrow = count in page.operations[name];
        return { text, written, narrow, value: data[graph.root], slopes: partials[graph.root] };
    }"""
    got = room.evaluate(script, [name, count])
    op, xs = OPS[name], [float(i % 5) for i in range(count)]
    assert not got["narrow"]
    assert got["text"] == text
    assert got["written"] == op.text(*[f"{{{i}}}" for i in range(count)])
    assert got["value"] == pytest.approx(y := op.evaluate(*xs), rel=1e-15)
    assert got["slopes"] == pytest.approx(op.local_derivatives(y, *xs), rel=1e-14)


@pytest.mark.parametrize("count", [3, 8, 16])
def test_values_of_sequences_are_those_of_the_rows_up_to_the_rounding_of_a_sum(room, count):
    script = """count => {
        const rng = new Random(count), to = new Recorder([], true);
        const numbers = Array.from({ length: 2 * count + 1 }, () => rng.uniform(-3, 3));
        const places = numbers.map(x => to.leaf(null, 1, x)), at = to.leaf(null, 1, 2);
        const xs = places.slice(0, count), ys = places.slice(count, 2 * count), few = xs.slice(0, count >> 1);
        const some = ys.slice(0, few.length), biases = [null, places.at(-1)];
        const dots = biases.map(bias => to.dot(few, some, null, bias));
        const all = [...dots, to.logsumexp(xs), to.take(at, xs)], sweeps = new Sweeps(to);
        sweeps.forward(0, sweeps.runs.length);
        const data = operands => operands.map(({ i }) => sweeps.data[i]), pairs = [...few, ...some];
        const row = (name, operands) => forward[page.operations[name][operands.length].row](...data(operands));
        return [data(all),
            [row("dot", pairs), row("dot", [...pairs, places.at(-1)]), row("logsumexp", xs), row("take", [at, ...xs])]];
    }"""
    quick, rows = room.evaluate(script, count)
    assert quick == pytest.approx(rows, rel=1e-14, abs=1e-14)
    assert quick[3] == rows[3]


def test_the_rows_find_each_other_without_a_hash_table(browser, tmp_path):
    """V8 would keep them in one, and a step of the largest network would take 1.2 to 1.6 times as long."""
    path = playground("en").save(tmp_path / "playground.html")
    with browser.browser_type.launch(
        executable_path=chromium(),
        args=["--no-sandbox", "--js-flags=--allow-natives-syntax"],
    ) as told:
        page = new_page(told)
        page.goto(path.as_uri())
        count, fast = page.evaluate("""() => {
            new Learner(["emma", "olivia"], { ...MODEL_DEFAULTS, steps: 5 }).step();
            return [Object.keys(forward).length, %HasFastProperties(forward)];
        }""")
    assert count > 128  # with fewer, V8 would not need to be told
    assert fast
