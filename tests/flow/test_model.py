"""The playground's language model is the one of demos/microgpt.py, number for number."""

import random
import sys
from itertools import cycle, islice
from pathlib import Path

import pytest

import micrograd_cn
from micrograd_cn.flow.playground import BETAS, NAMES
from micrograd_cn.optim import Adam

DEMOS = Path(micrograd_cn.__file__).parents[1] / "demos"
GIVEN = {"width": 16, "heads": 4, "layers": 1, "block": 16, "seed": 42, "rate": 0.01, "batch": 1, "steps": 1000}
TRAIN = """([words, given, steps]) => {
    const learner = new Learner(words ?? page.names.split(" "), given), { sweeps, count } = learner;
    learner.step();
    const grads = [...sweeps.grad.subarray(0, count)];
    while (learner.done < steps) learner.step();
    return { grads, weights: [...sweeps.data.subarray(0, count)], losses: learner.losses };
}"""


@pytest.fixture(scope="module")
def demo():
    """Give demos/microgpt.py."""
    sys.path.insert(0, str(DEMOS))
    import microgpt

    yield microgpt
    sys.path.remove(str(DEMOS))


def trained(demo, names, given, steps):
    """Return the first step's gradients, the last weights and all losses of the demo's own training."""
    rng = random.Random(given["seed"])
    names = list(names)
    rng.shuffle(names)
    weights = demo.initial_weights(rng)
    parameters = demo.flat(weights)
    grads = []

    def backward(some):
        loss = demo.eager(weights, demo.FUSED)(some)
        grads.append([p.grad for p in parameters] if not grads else None)
        return loss

    optimizer, order, losses = Adam(parameters, given["rate"], demo.BETAS), cycle(names), []
    for step in range(steps):
        optimizer.zero_grad()
        losses.append(backward(list(islice(order, given["batch"]))))
        optimizer.lr = given["rate"] * (1 - step / given["steps"])
        optimizer.step()
    return {"grads": grads[0], "weights": [p.data for p in parameters], "losses": losses}


def apart(xs, ys):
    return max(abs(x - y) for x, y in zip(xs, ys, strict=True))


def test_the_words_are_the_demo_s_first_names(demo):
    assert BETAS == demo.BETAS
    assert NAMES.read_text("utf-8").split() == demo.NAMES.read_text("utf-8").split()[:4000]


@pytest.mark.browser
@pytest.mark.parametrize("batch", [1, 3])
def test_its_steps_are_the_demo_s(room, demo, batch):
    given = GIVEN | {"batch": batch}
    steps = 30 if batch == 1 else 10
    got = room.evaluate(TRAIN, [None, given, steps])
    expected = trained(demo, NAMES.read_text("utf-8").split(), given, steps)
    assert apart(got["grads"], expected["grads"]) < 1e-12
    assert apart(got["weights"], expected["weights"]) < 1e-9
    assert apart(got["losses"], expected["losses"]) < 1e-9


@pytest.mark.browser
@pytest.mark.slow
def test_the_original_s_thousand_steps_end_at_its_weights(room, demo):
    pytest.importorskip("llvmlite")  # with which the demo takes these steps in seconds
    names = demo.NAMES.read_text("utf-8").split()
    got = room.evaluate(TRAIN, [names, GIVEN, 1000])
    rng = random.Random(GIVEN["seed"])
    rng.shuffle(names)
    weights = demo.initial_weights(rng)
    demo.train_compiled(names, weights, 1000, 1)
    assert apart(got["weights"], [p.data for p in demo.flat(weights)]) < 1e-6


# The same lines record what trains and the graph that a reader opens, which the stepper computes by the
# table's rows. Both give the same gradients for all settings, alphabets and lengths of words.
OPENED = """([words, given, word]) => {
    const learner = new Learner(words, { ...given, rate: 0.01, batch: 1, steps: 10 }), { sweeps, count } = learner;
    for (let i = 0; i < 3; i++) learner.step();
    sweeps.grad.fill(0, 0, count);
    const loss = learner.gradient(word, 1);
    const made = lossGraph(learner, word), { graph } = made, moves = movesOf(graph, ["backward"]);
    const state = replayed(graph, made, moves, moves.length), shown = {};
    graph.nodes.forEach((node, i) => node.parameter && (shown[node.name] = gradient(state, i)));
    const own = {};
    for (const [matrix, rows] of Object.entries(learner.weights)) rows.forEach((row, j) => row.forEach((place, i) => {
        const name = matrix === "wte" || matrix === "lm_head" ? learner.letters[j] : j;
        own[`${matrix}.${name}.${i}`] = sweeps.grad[place];
    }));
    return { loss, root: made.data[graph.root], shown, own };
}"""


@pytest.mark.browser
@pytest.mark.parametrize(
    ("width", "heads", "layers", "block", "word"),
    [(8, 1, 1, 8, "emma"), (16, 4, 2, 16, "elizabethmarianne"), (32, 2, 1, 8, "你好"), (8, 4, 2, 8, "a")],
)
def test_the_graph_that_opens_has_the_gradients_that_train(room, width, heads, layers, block, word):
    given = {"width": width, "heads": heads, "layers": layers, "block": block, "seed": 3}
    words = ["emma", "elizabethmarianne", "你好", "世界", "a", "🙂é"]
    got = room.evaluate(OPENED, [words, given, word])
    assert abs(got["root"] - got["loss"]) < 1e-12
    assert len(got["shown"]) > 500
    for name, gradient in got["own"].items():
        assert abs(got["shown"].get(name, 0.0) - gradient) < 1e-12, name


CHANCES = """([words, given]) => {
    const learner = new Learner(words, given), tokens = learner.tokensOf("emm").slice(0, 4);
    for (let i = 0; i < 20; i++) learner.step();
    const { chances, attention } = learner.look(tokens);
    const value = ({ graph, data }) => data[graph.root];
    const opened = chances.map((_, i) => value(chanceGraph(learner, tokens, i)));
    const seen = attention.at(-1).map((head, h) => head.map((_, s) => value(attentionGraph(learner, tokens, h, s))));
    return { chances, opened, attention: attention.at(-1), seen };
}"""


@pytest.mark.browser
def test_a_chance_and_an_attention_weight_open_as_they_are_shown(room):
    got = room.evaluate(CHANCES, [["emma", "eve", "ame"], GIVEN | {"layers": 2, "heads": 2}])
    assert got["opened"] == pytest.approx(got["chances"], rel=1e-12)
    assert sum(got["chances"]) == pytest.approx(1)
    assert len(got["attention"]) == 4
    for shown, opened in zip(got["attention"], got["seen"], strict=True):
        assert opened == pytest.approx(shown, rel=1e-12)
        assert sum(shown) == pytest.approx(1)


INVENTED = """([words, given]) => {
    const learner = new Learner(words, given);
    for (let i = 0; i < 10; i++) learner.step();
    const one = new Random(5), other = new Random(5), invented = [], expected = [];
    for (let i = 0; i < 20; i++) {
        invented.push(learner.invent(one, 0.7));
        const tokens = [learner.end];
        while (tokens.length <= learner.block) {
            let left = other.random(), next = 0;
            const { chances } = learner.look(tokens, 0.7);
            while (next < chances.length - 1 && (left -= chances[next]) >= 0) next++;
            if (next === learner.end) break;
            tokens.push(next);
        }
        expected.push(tokens.slice(1).map(token => learner.characters[token]).join(""));
    }
    return { invented, expected };
}"""


@pytest.mark.browser
def test_new_words_are_drawn_from_the_chances_that_are_shown(room):
    got = room.evaluate(INVENTED, [["emma", "olivia", "ava", "isabella"], GIVEN | {"block": 8}])
    assert got["invented"] == got["expected"]
    assert len(set(got["invented"])) > 5
