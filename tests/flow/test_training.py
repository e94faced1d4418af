"""The playground trains with the library's weights, losses, optimisers and steps, and its room shows them."""

import itertools
import json
import math
import random
import re

import pytest

from micrograd_cn import OPS, Value, losses, mean, playground
from micrograd_cn.flow.javascript import Rows
from micrograd_cn.flow.playground import (
    ACTIVATIONS,
    LOSSES,
    MOST_NEURONS,
    MOST_OPERANDS,
    OPTIMIZERS,
    Playground,
    _counts,
    _loss,
)
from micrograd_cn.flow.texts import MODEL, NETWORK, PAGE, PLAYGROUND
from micrograd_cn.init import NAMED
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD, Adam, AdamW, RMSprop

from .pages import DRAWN, same

KINDS = {
    "SGD": (SGD, {}),
    "momentum": (SGD, {"momentum": 0.9}),
    "nesterov": (SGD, {"momentum": 0.9, "nesterov": True}),
    "RMSprop": (RMSprop, {}),
    "Adam": (Adam, {}),
    "AdamW": (AdamW, {}),
}
GIVEN = {"layers": [4, 3], "activation": "tanh", "initialiser": "xavier_uniform", "batch": 8, "seed": 3}
TRAIN = """([given, steps]) => {
    const points = DATA[given.data](new Random(given.seed), 24), trainer = new Trainer(given, points), batches = [];
    const first = [...trainer.network.data];
    for (let i = 0; i < steps; i++) { trainer.step(); batches.push([...trainer.samples]); }
    return { points, first, batches, last: [...trainer.network.data], losses: trainer.history };
}"""


def assert_trains_alike(room, given, steps, tolerance=1e-8):
    run = room.evaluate(TRAIN, [given, steps])
    kind, options = KINDS[given["optimizer"]]
    loss, targets = getattr(losses, given["loss"]), (0, 1) if "entropy" in given["loss"] else (-1, 1)
    nin = len(run["points"][0]["inputs"])
    model = MLP(nin, [*given["layers"], 1], given["activation"], given["initialiser"], seed=given["seed"])
    parameters = model.parameters()
    assert run["first"] == pytest.approx([p.data for p in parameters], rel=1e-15, abs=1e-15)
    optimizer = kind(parameters, lr=given["rate"], **options)
    for batch, shown in zip(run["batches"], run["losses"], strict=True):
        outputs = [model(run["points"][i]["inputs"]) for i in batch]
        y = loss(outputs, [targets[run["points"][i]["label"]] for i in batch])
        assert y.data == pytest.approx(shown, rel=1e-6, abs=tolerance)
        optimizer.zero_grad()
        y.backward()
        optimizer.step()
    assert run["last"] == pytest.approx([p.data for p in parameters], rel=tolerance, abs=tolerance)


def test_every_optimiser_is_offered():
    assert OPTIMIZERS == KINDS


@pytest.mark.parametrize("optimizer", KINDS)
def test_two_hundred_steps_of_every_optimiser_are_the_library_s(room, optimizer):
    rate = 0.01 if "Adam" in optimizer else 0.05
    loss = "binary_cross_entropy_with_logits"
    assert_trains_alike(room, GIVEN | {"data": "moons", "optimizer": optimizer, "loss": loss, "rate": rate}, 200)


@pytest.mark.parametrize(("loss", "data"), [*[(loss, "xor") for loss in LOSSES], ("mse_loss", "bits")])
def test_every_loss_is_the_library_s(room, loss, data):
    assert_trains_alike(room, GIVEN | {"data": data, "optimizer": "momentum", "loss": loss, "rate": 0.02}, 25)


def test_the_page_knows_every_operation_for_every_count_of_operands_that_it_takes():
    for op in OPS.values():
        known = _counts(op, Rows(), MOST_OPERANDS)
        found = {op.arity: known} if isinstance(known, dict) else {n: facts for n, facts in enumerate(known) if facts}
        assert [*found] == [n for n in range(1, MOST_OPERANDS + 1) if n in op.arities]
        for n, facts in found.items():
            text = facts.get("written", facts["text"])  # with all operands
            assert {*re.findall(r"\{(\d+)\}", text)} == {str(slot) for slot in range(n)}


def test_a_page_writes_out_the_operands_that_its_data_have_in_short(room):
    found = room.evaluate("page.operations")
    assert found["dot"][11]["written"].startswith("dot([{0}, {1}, {2}, {3}, {4}], [{5}, {6}")
    for name, op in OPS.items():
        known = _counts(op, Rows(), len(found[name]) - 1 if isinstance(found[name], list) else 0)
        assert found[name] == json.loads(json.dumps(known)), name


def test_a_page_that_is_saved_has_the_text_of_the_playground(tmp_path):
    class Short(Playground):
        html = "<p>网络</p>\n"  # to make the whole page takes longer

    path = Short("en").save(tmp_path / "page.html")
    assert path == tmp_path / "page.html"
    assert path.read_bytes() == Short.html.encode()


def test_a_playground_is_no_picture(tmp_path):
    """The page was written into the file, which no viewer of pictures could show."""
    for ending in ("svg", "png", "gif"):
        with pytest.raises(ValueError, match=rf"ends in \.html, because it is a page, got .*a\.{ending}"):
            playground().save(tmp_path / f"a.{ending}")
    assert not list(tmp_path.iterdir())
    assert playground().save(tmp_path / "a.HTM").stat().st_size > 100_000


@pytest.mark.parametrize("name", LOSSES)
def test_the_steps_of_every_loss_compute_the_library_s_loss(name):
    """The page follows these steps. Here, the operations of the library do."""
    written = _loss(LOSSES[name], Rows())
    for (target, steps), output in itertools.product(
        zip(written["targets"], written["steps"], strict=True), (-2.5, -0.3, 0.0, 0.5, 4.0)
    ):
        results = [output]
        for operation, operands in steps:
            results.append(OPS[operation].evaluate(*[results[x] if isinstance(x, int) else x[0] for x in operands]))
        assert results[-1] == pytest.approx(LOSSES[name].function(output, target), rel=1e-15, abs=1e-16)


QUICK = {"relu", "elu"}  # a row of one operand, and one of two


@pytest.mark.parametrize(
    "activation", [pytest.param(a, marks=[] if a in QUICK else pytest.mark.slow) for a in ACTIVATIONS]
)
def test_every_activation_is_the_library_s(room, activation):
    given = {"data": "circles", "optimizer": "Adam", "loss": "mse_loss", "rate": 0.01, "activation": activation}
    assert_trains_alike(room, GIVEN | given, 25)


@pytest.mark.parametrize("initialiser", NAMED)
@pytest.mark.parametrize("seed", [0, 1, 123456789])
def test_the_same_seed_gives_the_library_s_weights(room, initialiser, seed):
    script = "([init, seed]) => [...new Network([3, 5, 2], 'tanh', init, seed).data]"
    model = MLP(3, [5, 2], init=initialiser, seed=seed)
    expected = [p.data for p in model.parameters()]
    assert room.evaluate(script, [initialiser, seed]) == pytest.approx(expected, rel=1e-15, abs=1e-15)


def test_random_numbers_are_python_s(room):
    script = """seed => {
        const r = new Random(seed);
        return [r.random(), r.uniform(-1, 3), r.below(7), r.shuffle([...Array(30).keys()]), r.random()];
    }"""
    for seed in (0, 1, 42, 2**31 + 5):
        rng = random.Random(seed)
        order = list(range(30))
        expected = [rng.random(), rng.uniform(-1, 3), rng.randrange(7)]
        rng.shuffle(order)
        assert room.evaluate(script, seed) == [*expected, order, rng.random()]


@pytest.mark.parametrize("data", ["moons", "circles", "xor", "spiral", "bits"])
def test_data_have_two_classes_and_lie_in_the_plane(room, data):
    points = room.evaluate(f"DATA.{data}(new Random(0), 200)")
    assert {point["label"] for point in points} == {0, 1}
    assert len(points) == (16 if data == "bits" else 200)
    assert max(abs(x) for point in points for x in point["at"]) < room.evaluate("REACH")
    inputs = room.evaluate("([kind, points]) => points.map(({ at }) => inputsAt(kind)(...at))", [data, points])
    assert inputs == [point["inputs"] for point in points]


def test_bits_are_even_or_odd(room):
    points = room.evaluate("DATA.bits()")
    assert len({tuple(point["inputs"]) for point in points}) == 16
    assert all(point["inputs"].count(1) % 2 == point["label"] for point in points)


def test_the_widest_layer_trains_and_opens_in_the_stepper(room):
    given = {"data": "moons", "optimizer": "SGD", "loss": "mse_loss", "rate": 0.01, "layers": [MOST_NEURONS] * 2}
    assert_trains_alike(room, GIVEN | given, 2)
    script = "given => computationOf(new Trainer(given, DATA.moons(new Random(1), 24)), [0]).data.at(-1)"
    assert math.isfinite(room.evaluate(script, GIVEN | given))


@pytest.mark.parametrize("samples", [[0], [5], [0, 1, 2], list(range(20))])
def test_what_opens_in_the_stepper_is_the_step_s_own_computation(room, samples):
    script = """samples => {
        const kinds = { activation: "elu", initialiser: "xavier_normal", loss: "huber_loss", optimizer: "SGD" };
        const given = { layers: [4, 3], ...kinds, rate: 0.1, batch: 0, seed: 1 };
        const trainer = new Trainer(given, DATA.xor(new Random(1), 24));
        for (let i = 0; i < 3; i++) trainer.step();
        const loss = trainer.gradient(samples), made = computationOf(trainer, samples), { graph } = made;
        const moves = movesOf(graph, ["backward"]), state = replayed(graph, made, moves, moves.length);
        const leaves = graph.nodes.flatMap((node, i) => (node.parameter ? [i] : []));
        const grads = leaves.map(i => gradient(state, i));
        return { loss, root: made.data[graph.root], grads, expected: [...trainer.network.grad] };
    }"""
    got = room.evaluate(script, samples)
    assert got["root"] == pytest.approx(got["loss"], rel=1e-12)
    assert got["grads"] == pytest.approx(got["expected"], rel=1e-10, abs=1e-14)


# The room.


@pytest.fixture
def board(opened):
    page = opened(playground("en"))
    page.page.get_by_role("tab", name="Network").click()
    page.page.locator("#b_more summary").click()
    return page


def button(page, word):
    page.page.locator("#board").get_by_role(
        "button", name=NETWORK["en"].get(word, PAGE["en"].get(word)), exact=True
    ).click()


def inside(page, text):
    """Return the value of a JavaScript expression that may use the board's members by their names."""
    return page.page.evaluate(f"(() => {{ const {{ trainer, settings, point }} = session.board; return {text}; }})()")


def steps(page):
    return inside(page, "trainer.steps")


def test_play_pause_one_step_and_one_sample(board):
    button(board, "one_step")
    assert steps(board) == 1
    assert inside(board, "trainer.samples.length") == 16
    button(board, "one_sample")
    assert (steps(board), inside(board, "trainer.samples.length")) == (2, 1)
    button(board, "play")
    board.wait_for("session.board.trainer.steps > 20")
    button(board, "pause")
    count = steps(board)
    board.page.wait_for_timeout(100)
    assert steps(board) == count
    assert f"step {count} ·" in board.page.locator("#state").inner_text()
    button(board, "reset")
    assert steps(board) == 0


def test_keys_play_and_step(board):
    board.page.locator("#wires").click(position={"x": 3, "y": 3})
    board.press("ArrowRight", "ArrowRight")
    assert steps(board) == 2
    board.press(" ")
    board.wait_for("session.board.trainer.steps > 5")
    board.press(" ")
    assert board.page.evaluate("session.board.running") is None


def test_it_learns_the_moons(board):
    board.page.evaluate("for (let i = 0; i < 600; i++) session.board.trainer.step()")
    assert inside(board, "trainer.measured(trainer.points).right") > 0.97


def test_a_click_on_a_neuron_opens_it_in_the_stepper_and_one_comes_back(board):
    button(board, "one_step")
    unit = board.page.locator(".unit[aria-label='neuron 3 of hidden layer 2']")
    unit.hover()
    assert board.page.evaluate("wiring.lens") == {"l": 1, "j": 2}
    weights = inside(board, "trainer.network.data.slice(trainer.network.layers[1].first + 2 * 9).slice(0, 9)")
    told = board.page.locator("#lens_text").inner_text()
    assert told.startswith("neuron 3 of hidden layer 2: tanh(")
    for weight in weights:
        assert f"{weight:.4g}" in told
    unit.click()
    board.page.mouse.move(5, 5)
    assert (unit.get_attribute("aria-pressed"), board.page.evaluate("wiring.lens.j")) == ("true", 2)
    board.page.locator("#open_neuron").click()
    assert board.page.locator(".scope.marked").get_attribute("data-name") == "layers.1.neurons.2"
    assert board.page.locator("#stepping").is_visible()
    assert "layers.1.neurons.2.w0" in board.nodes()
    board.click("end")
    grad = inside(board, "(trainer.gradient([point]), trainer.network.grad[trainer.network.layers[1].first + 2 * 9])")
    assert float(board.nodes()["layers.1.neurons.2.w0"]["grad"]) == pytest.approx(grad, rel=1e-10)
    board.page.locator("#return").click()
    assert board.page.locator("#board").is_visible()
    assert steps(board) == 1


def test_the_plane_shows_what_the_neuron_gives_and_its_boundary(board):
    field = "[...(wiring.lens ? wiring.fields[wiring.lens.l][wiring.lens.j] : views.output).values]"
    whole = board.page.evaluate(field)
    board.page.locator(".unit[aria-label='neuron 1 of hidden layer 1']").focus()
    assert board.page.evaluate(field) != whole
    assert board.page.locator("#plane_hint").inner_text() == NETWORK["en"]["plane_neuron"]
    assert NETWORK["en"]["plane_neuron"] in board.page.locator("#plane").get_attribute("aria-label")
    pieces = board.page.evaluate("levelLine(wiring.fields[0][0].values, GRID)")
    w1, w2, b = inside(board, "[...trainer.network.data.slice(0, 3)]")
    step = board.page.evaluate("2 * REACH / GRID")
    for end in (end for piece in pieces for end in piece):
        x, y = (-1.6 + (end[0] + 0.5) * step, 1.6 - (end[1] + 0.5) * step)
        assert abs(w1 * x + w2 * y + b) < 0.02
    assert len(pieces) > 10
    board.page.locator(".unit[aria-label='neuron 1 of hidden layer 1']").blur()
    assert board.page.locator("#plane_hint").inner_text() == NETWORK["en"]["plane_hint"]


def test_a_wire_tells_its_weight_and_gradient(board):
    box = board.page.locator("#wires").bounding_box()
    (x0, y0), (x1, y1) = board.page.evaluate("[wiring.places[0][0], wiring.places[1][0]]")
    board.page.mouse.move(box["x"] + (x0 + x1) / 2, box["y"] + (y0 + y1) / 2)
    assert board.page.evaluate("wiring.wire") == {"l": 0, "i": 0, "j": 0}
    numbers = "[trainer.network.data[0], trainer.network.grad[0]]"
    for told in ("wire_untrained", "wire_told"):
        weight, gradient = (board.page.evaluate("shown", x) for x in inside(board, numbers))
        text = NETWORK["en"][told].format(weight=weight, gradient=gradient)
        assert text in [each for each, _ in board.page.evaluate(f"({TEXTS_OF})(() => wiring.draw())")]
        before = inside(board, "(() => { trainer.gradient(trainer.peek()); return trainer.network.grad[0]; })()")
        inside(board, "trainer.step()")
        assert inside(board, "trainer.network.grad[0]") == before  # that of the weights before the step
    assert "last step" in text


@pytest.mark.parametrize(
    ("targets", "logits", "output"),
    [([0, 1], True, math.log(3)), ([-1, 1], True, math.log(3)), ([0, 1], False, 0.75), ([-1, 1], False, 0.5)],
)
def test_an_output_is_a_logit_only_if_the_loss_says_so(room, targets, logits, output):
    verdict = "([loss, x]) => Trainer.prototype.verdict.call({ loss }, x)"
    assert room.evaluate(verdict, [{"targets": targets, "logits": logits}, output]) == pytest.approx(0.5)


def test_looking_changes_nothing(board):
    run = """looks => {
        renew();
        for (let i = 0; i < 10; i++) {
            if (looks && i % 3 === 1) { openBatch(); byId("return").click(); openSample(); byId("return").click(); }
            session.board.trainer.step();
        }
        return [...session.board.trainer.network.data];
    }"""
    assert board.page.evaluate(run, True) == board.page.evaluate(run, False)


@pytest.mark.parametrize(("lang", "word"), [("en", "sample"), ("zh", "样本")])
def test_the_parts_of_a_batch_are_samples_in_the_page_s_language(lang, word, opened):
    page = opened(playground(lang)).page
    page.locator("#tab_board").click()
    samples = sorted(page.evaluate("(openBatch(), session.board.trainer.peek())"))
    titles = page.locator(".node.filled .title").all_text_contents()
    assert {f"+ {word} {i + 1}" for i in samples} <= {*titles}
    told = page.evaluate(
        "i => partName(session.graph, session.graph.groups.findIndex(g => g.name === `samples.${i}`), session.words)",
        samples[0],
    )
    assert told == f"{word} {samples[0] + 1}"


@pytest.mark.parametrize(("data", "batch"), [("moons", 16), ("bits", 32)])  # there are 16 points of bits
def test_a_link_tells_the_steps_after_a_batch_was_opened(board, data, batch):
    board.page.locator("#b_data").select_option(data)
    board.page.locator("#b_batch").select_option(str(batch))
    board.page.evaluate("for (let i = 0; i < 12; i++) session.board.trainer.step()")  # fewer than a batch are left
    for _ in range(3):
        button(board, "open_loss")
        assert board.page.evaluate("origin_text.textContent") == "A batch of 16 samples after 12 training steps"
        board.page.locator("#return").click()
    button(board, "one_step")  # which writes the link, as a step of the trainer alone does not
    assert "trained=13" in board.link
    weights = inside(board, "[...trainer.network.data]")
    board.page.reload()
    assert inside(board, "[...trainer.network.data]") == weights


def test_the_loss_of_all_samples_and_of_those_held_out_are_said(board):
    button(board, "one_step")
    told = board.page.locator("#state").inner_text()
    all_samples, held = inside(board, "[trainer.points, trainer.held].map(of => trainer.measured(of))")
    assert f"loss {all_samples['loss']:.4g} · {round(100 * all_samples['right'])}% right" in told
    assert f"held out: loss {held['loss']:.4g}, {round(100 * held['right'])}% right" in told
    assert inside(board, "trainer.held.some(a => trainer.points.some(b => a.at[0] === b.at[0]))") is False


def test_one_can_watch_ten_steps_a_second(opened):
    board = opened(playground("en"))
    board.stop_clock()
    board.page.locator("#tab_board").click()
    button(board, "play")
    board.page.clock.run_for(1000)
    assert 8 <= steps(board) <= 11


def test_a_click_on_a_sample_and_on_the_loss_open_theirs(board):
    box = board.page.locator("#plane").bounding_box()
    x, y = inside(board, "trainer.points[7].at")
    reach = board.page.evaluate("REACH")
    size = min(box["width"], box["height"])
    left, top = box["x"] + (box["width"] - size) / 2, box["y"] + (box["height"] - size) / 2
    board.page.mouse.click(left + (x / reach + 1) / 2 * size, top + (1 - y / reach) / 2 * size)
    assert "Sample 8 after 0 training steps" in board.page.locator("#origin").inner_text()
    board.page.locator("#return").click()
    button(board, "open_loss")
    assert "A batch of 16 samples" in board.page.locator("#origin").inner_text()
    assert board.page.evaluate("session.shape.boxes.length") < 30
    # What is inside a closed part is called by the name of its box.
    name, told, caption, forward = board.page.evaluate(
        """() => {
            const { graph, shape, steps } = session;
            const to = step => shape.boxes[shape.boxOf[receiver(graph, step.moves[0])]];
            const sends = steps.find(step => step.kind === "send" && !shape.boxes[step.box].folded && to(step).folded);
            const adds = steps.find(step => step.kind === "forward" && step.node === sends.node);
            const told = [sends, adds].map(step => {
                session.choose({ done: step.end });
                return [byId("narration").innerText, byId("plot").nextElementSibling.textContent];
            });
            return [partName(graph, to(sends).group, session.words), ...told[0], told[1][0]];
        }"""
    )
    assert name.startswith("sample ")
    assert f"of {name}: 1 of 1 contributions have arrived" in told
    assert f"as {name} varies. At {name} = " in caption
    assert re.search(r"sum\(sample \d+, sample \d+, …, sample \d+\)", forward)


def test_a_link_keeps_the_settings(board):
    board.page.locator("#b_data").select_option("spiral")
    board.page.locator("#b_layers").fill("6-5-4")
    board.page.locator("#b_rate").fill("0.125")
    url = board.link
    board.load(url)
    assert board.page.locator("#board").is_visible()
    assert inside(board, "[settings.data, trainer.network.sizes.join(), trainer.rate]") == [
        "spiral",
        "2,6,5,4,1",
        0.125,
    ]


def test_a_link_keeps_the_neuron_that_is_selected(board):
    board.page.locator(".unit[aria-label='neuron 3 of hidden layer 2']").click()
    link = board.link
    assert "&neuron=2.3&" in link
    for rubbish in ("9.1", "1.99", "x", "1", "0.0", "-1.1"):
        board.load(link.replace("=2.3&", f"={rubbish}&"))
        assert board.page.evaluate("wiring.pinned") is None, rubbish
    board.load(link)
    unit = board.page.locator(".unit[aria-label='neuron 3 of hidden layer 2']")
    assert unit.get_attribute("aria-pressed") == "true"
    unit.focus()
    board.press("Escape")
    assert "&neuron=" not in board.link


def test_a_wrong_setting_is_marked_and_changes_nothing(board):
    before = inside(board, "[trainer.network.data.length, trainer.rate]")
    mistakes = {"layers": ["17", "0-2", ""], "rate": ["-1", "x"], "seed": ["-3"]}
    for field, wrong in [(field, wrong) for field, each in mistakes.items() for wrong in each]:
        kept = board.page.evaluate(f"session.board.settings.{field}")
        board.page.locator(f"#b_{field}").fill(wrong)
        assert board.page.locator(f"#b_{field}").get_attribute("aria-invalid") == "true"
        told = NETWORK["en"][f"wrong_{field}"].format(layers=6, neurons=MOST_NEURONS)
        assert board.page.locator("#warning").inner_text() == told
        assert inside(board, "[trainer.network.data.length, trainer.rate]") == before
        board.page.evaluate("drawBoard(true)")  # as when it trains
        assert board.page.locator("#warning").inner_text() == told
        board.page.locator(f"#b_{field}").fill(kept)
        assert board.page.locator("#warning").inner_text() == ""


def test_a_sample_is_chosen_and_opened_by_keys(board):
    board.page.locator("#plane").focus()
    board.press("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowDown")
    assert inside(board, "point") == 2
    assert "sample 3 of 200" in board.page.locator("#plane").get_attribute("aria-label")
    assert steps(board) == 0
    board.press("Enter")
    assert "Sample 3 after" in board.page.locator("#origin").inner_text()


TEXTS_OF = """draw => {
    const told = [], { fillText } = CanvasRenderingContext2D.prototype;
    CanvasRenderingContext2D.prototype.fillText = function (text) { told.push([text, parseFloat(this.font)]); };
    draw();
    CanvasRenderingContext2D.prototype.fillText = fillText;
    return told;
}"""


@pytest.mark.parametrize(
    ("draws", "least", "losses"),
    [
        ("drawLosses(byId('losses'), session.board.trainer, session.words)", "0.25", [0.5, 0.75, 0.25]),
        ("drawModelLosses(byId('m_curve'), [0.5, 0.75, 0.25], session.words)", "0.25", None),
    ],
)
def test_the_axis_of_the_losses_has_its_two_ends_as_numbers(draws, least, losses, board):
    if losses:
        board.page.evaluate(f"Object.assign(session.board.trainer, {{ history: {losses}, curve: [] }})")
    told = board.page.evaluate(f"({TEXTS_OF})(() => {draws})")
    assert {least, "0.75"} <= {text for text, _ in told}
    assert min(size for _, size in told) >= 12


@pytest.mark.parametrize("room", ["board", "model"])
def test_on_a_phone_a_finger_meets_each_neuron_and_every_choice_can_be_read(room, opened):
    page = opened(playground("en"), viewport={"width": 360, "height": 800}).page
    page.evaluate(f"showRoom('{room}')")
    page.locator("main:not([hidden]) .opens_sheet").click()
    page.locator(".sheet.open summary").click()
    cut = """[...document.querySelectorAll("main:not([hidden]) form select")].filter(select => {
        const context = document.createElement("canvas").getContext("2d"), style = getComputedStyle(select);
        context.font = style.font;
        const room = select.clientWidth - 2 * parseFloat(style.paddingLeft) - 20; // its arrow
        return [...select.options].some(({ text }) => context.measureText(text).width > room);
    }).map(select => select.id)"""
    small = """[...document.querySelectorAll("main:not([hidden]) button.unit")]
        .map(unit => unit.getBoundingClientRect()).filter(({ width, height }) => Math.min(width, height) < 40).length"""
    for lang in ("en", "zh"):
        page.evaluate("lang => session.choose({ lang })", lang)
        assert page.evaluate(cut) == [], lang
        assert page.evaluate(small) == 0, lang


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_moves_when_something_is_wrong(width, opened):
    page = opened(playground("en"), viewport={"width": width, "height": 800})
    page.page.locator("#tab_board").click()
    page.page.locator("#b_more summary").evaluate("each => each.click()")
    rooms = "[...document.querySelectorAll('#wires, #plane')]"
    place = f"JSON.stringify({rooms}.map(e => [e.getBoundingClientRect().top + scrollY, e.offsetHeight]))"
    before = page.page.evaluate(place)
    if width == 390:
        page.page.locator("#b_sheet").click()
    page.page.locator("#b_layers").fill("17")
    assert page.page.locator("#warning").inner_text()
    assert page.page.evaluate(place) == before
    page.page.locator("#b_layers").fill("8-8")
    page.page.evaluate("for (let i = 0; i < 20000; i++) session.board.trainer.history.push(1e-5); refresh()")
    assert page.page.evaluate(place) == before


def test_one_draws_points_of_both_classes(board):
    board.page.locator("#b_data").select_option("own")
    assert "draw points" in board.page.locator("#warning").inner_text()
    for label, places in ((0, [(40, 40), (60, 90)]), (1, [(200, 200), (220, 160)])):
        board.page.locator(f"#class{label}").click()
        for x, y in places:
            board.page.locator("#plane").click(position={"x": x, "y": y})
    assert inside(board, "trainer.points.map(p => p.label)") == [0, 0, 1, 1]
    button(board, "one_step")
    assert math.isfinite(inside(board, "trainer.history[0]"))
    url = board.link
    board.load(url)
    assert inside(board, "trainer.points.map(p => p.label)") == [0, 0, 1, 1]


def test_dead_neurons_vanishing_gradients_and_too_large_a_rate_are_named(board):
    board.page.locator("#b_activation").select_option("relu")
    before = board.page.locator(".unit.dead").count()
    inside(board, "trainer.network.data[2] = -50, refresh()")  # the bias of layer 0's first neuron
    count = board.page.locator(".unit.dead").count()
    assert count == before + 1
    assert f"dead neurons: {count}" in board.page.locator("#warning").inner_text()
    board.page.locator("#b_activation").select_option("sigmoid")
    board.page.locator("#b_layers").fill("8-8-8-8-8-8")
    assert board.page.locator(".layer p.low").count() == 0
    inside(board, "trainer.network.data.forEach((x, i, all) => (all[i] = 0.2 * x)), refresh()")
    assert board.page.locator(".layer p.low").count() >= 1
    board.page.locator("#b_layers").fill("8")
    board.page.locator("#b_activation").select_option("relu")
    board.page.locator("#b_loss").select_option("mse_loss")
    board.page.locator("#b_optimizer").select_option("SGD")
    board.page.locator("#b_rate").fill("50")
    board.page.evaluate("(() => { for (let i = 0; i < 60; i++) session.board.trainer.step(); refresh(); })()")
    assert "learning rate is too large" in board.page.locator("#warning").inner_text()


FRAMES = """() => new Promise(done => {
    const times = [];
    let last = performance.now(), count = 0;
    const each = now => {
        times.push(now - last);
        last = now;
        if (++count < 120) requestAnimationFrame(each);
        else done(times.slice(10));
    };
    requestAnimationFrame(each);
})"""


@pytest.mark.slow
def test_sixty_frames_a_second_while_a_network_trains(board):
    button(board, "play")
    times = sorted(board.page.evaluate(FRAMES))
    assert inside(board, "[trainer.points.length, trainer.network.sizes.join('-')]") == [200, "2-8-8-1"]
    assert times[len(times) // 2] < 17.5
    assert times[len(times) * 8 // 10] < 25


WORK = """() => new Promise(done => {
    const spent = [];
    const request = requestAnimationFrame;
    globalThis.requestAnimationFrame = each =>
        request(now => {
            const began = performance.now();
            each(now);
            if (spent.push(performance.now() - began) === 40) done(spent);
        });
    byId("run").click();
})"""


@pytest.mark.slow
def test_a_frame_s_work_fits_into_a_sixtieth_of_a_second(board):
    board.page.locator("#b_speed").select_option("full")
    spent = board.page.evaluate(WORK)
    board.page.evaluate("stopTraining()")
    assert inside(board, "trainer.steps") >= 40  # each frame has trained
    assert sorted(spent)[20] < 16


# What is drawn in each frame of a training: curves of the network, dots of the plane, histograms, and the losses.
DRAWINGS = """frames => new Promise(done => {
    const each = [], proto = CanvasRenderingContext2D.prototype;
    const { bezierCurveTo, arc, clearRect } = proto;
    const count = name => each.length && (each.at(-1)[name] = (each.at(-1)[name] ?? 0) + 1);
    proto.bezierCurveTo = function (...place) { count("curves"); bezierCurveTo.apply(this, place); };
    proto.arc = function (...place) { count("dots"); arc.apply(this, place); };
    proto.clearRect = function (...place) {
        count(this.canvas.closest(".layer") ? "histograms" : this.canvas.id || "others");
        clearRect.apply(this, place);
    };
    const frame = () => {
        if (each.push({}) <= frames) return requestAnimationFrame(frame);
        Object.assign(proto, { bezierCurveTo, arc, clearRect });
        done(each.slice(0, frames));
    };
    requestAnimationFrame(frame);
    byId("run").click();
})"""


@pytest.mark.parametrize("speed", ["60", "full"])
def test_what_is_slow_to_draw_is_spread_over_the_frames(speed, board):
    board.page.locator("#b_layers").fill("16-16-16-16-16-16")
    board.page.locator("#b_batch").select_option("0")
    board.page.locator("#b_speed").select_option(speed)
    frames = board.page.evaluate(DRAWINGS, 48)
    board.page.evaluate("stopTraining()")
    total = {name: sum(frame.get(name, 0) for frame in frames) for name in ("curves", "dots", "histograms", "plane")}
    assert max(frame.get("curves", 0) for frame in frames) <= 2 * 16 + 16 * 16
    assert total["curves"] >= 4 * 1300  # 1,328 weights, but for those that are almost 0
    assert max(frame.get("histograms", 0) for frame in frames) == 2
    assert total["histograms"] >= 4 * 14
    assert total["dots"] == 0  # the samples do not change
    assert total["plane"] >= 2
    assert 7 <= sum("losses" in frame for frame in frames) <= 9
    assert not any("losses" in frame and "curves" in frame for frame in frames)
    assert inside(board, "trainer.steps") >= 40


def test_a_network_that_is_drawn_in_parts_looks_the_same(board):
    board.page.locator("#b_layers").fill("16-3-12")
    pictures = set()
    for looks in ("", "wiring.pinned = { l: 2, j: 3 };", "wiring.wire = { l: 1, i: 7, j: 1 };"):
        board.page.evaluate(f"{{ {looks} wiring.draw(); }}")
        whole = board.page.evaluate("wiring.canvas.toDataURL()")
        parts, left = board.page.evaluate(
            """() => {
                const { canvas } = wiring;
                canvas.getContext("2d").fillRect(0, 0, canvas.width, canvas.height);
                const left = canvas.toDataURL();
                let parts = 1;
                while (!wiring.drawNext(20)) parts++;
                return [parts, left];
            }"""
        )
        assert parts == 4, looks
        assert left != whole == board.page.evaluate("wiring.canvas.toDataURL()"), looks
        pictures.add(whole)
    assert len(pictures) == 3


def test_samples_that_are_drawn_while_a_network_trains_are_seen(board):
    board.page.locator("#b_data").select_option("own")
    board.page.evaluate("setTraining('speed', 'full')")
    box = board.page.locator("#plane").bounding_box()
    for x, y in [(0.2, 0.2), (0.8, 0.8), (0.2, 0.8)]:
        board.page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    button(board, "play")
    board.wait_for("session.board.trainer.steps > 10")
    x, y = box["x"] + 0.8 * box["width"], box["y"] + 0.2 * box["height"]
    board.page.mouse.click(x, y)
    steps = inside(board, "trainer.steps")
    board.wait_for(f"session.board.trainer.steps > {steps + 100}")
    seen = board.page.evaluate(
        """([x, y]) => {
            const plane = byId("plane"), { left, top } = plane.getBoundingClientRect();
            return [...plane.getContext("2d").getImageData(x - left, y - top, 1, 1).data];
        }""",
        [x, y],
    )
    colour = board.page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--minus')")
    assert seen[:3] == [int(colour.strip()[i : i + 2], 16) for i in (1, 3, 5)]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_playground_speaks_both_languages(lang, opened):
    page = opened(playground(lang))
    page.page.locator("#tab_board").click()
    english = page.page.locator("#board").inner_text()
    assert {word for word in ("b_rate", "reset") if NETWORK[lang][word] in english} == {"b_rate", "reset"}
    page.click("other_language", lang)
    other = {"en": "zh", "zh": "en"}[lang]
    assert NETWORK[other]["b_rate"] in page.page.locator("#board").inner_text()
    assert page.page.title() == PLAYGROUND[other]["title"]


@pytest.mark.parametrize("width", [390, *[pytest.param(width, marks=pytest.mark.slow) for width in (1280, 1920)]])
def test_nothing_is_wider_than_the_window(width, opened):
    page = opened(playground("en"), viewport={"width": width, "height": 844})
    for name in ("typing", "board", "model"):
        page.page.locator(f"#tab_{name}").click()
        assert page.page.evaluate("document.documentElement.scrollWidth") <= width, name


def test_the_library_computes_a_single_step_alike(room):
    given = GIVEN | {"data": "xor", "optimizer": "SGD", "loss": "hinge_loss", "rate": 0.5}
    run = room.evaluate(TRAIN, [given, 1])
    model = MLP(2, [4, 3, 1], "tanh", "xavier_uniform", seed=3)
    terms = [
        losses.hinge_loss(model(run["points"][i]["inputs"]), 2 * run["points"][i]["label"] - 1)
        for i in run["batches"][0]
    ]
    y = mean(terms)
    assert isinstance(y, Value)
    assert same(y.data, run["losses"][0], 1e-12)


def test_a_run_of_hours_goes_on_and_stays_small(board):
    """A hundred and thirty thousand steps, each drawn, as in 36 minutes of 60 steps a second."""
    run = """(() => {
        const { trainer } = session.board;
        trainer.measured = () => ({ loss: 1 / (1 + trainer.steps), right: 1 }); // the time is that of the drawing
        trainer.gradient = () => 1 / (1 + trainer.steps);
        for (let i = 0; i < 130000; i++) {
            trainer.step([0]);
            trainer.take();
        }
        drawBoard(true);
        const { steps, history, curve } = trainer;
        return [steps, history.length, curve.length, curve[0].step, curve.at(-1).step];
    })()"""
    count, losses, points, first, last = board.page.evaluate(run)
    assert (count, last) == (130_000, 130_000)
    assert losses < 40_000
    assert points <= 1_001
    assert first < 1_000
    assert inside(board, "trainer.history.length * trainer.each") > 120_000
    steps_of = inside(board, "trainer.curve.map(each => each.step)")
    gaps = [b - a for a, b in itertools.pairwise(steps_of)]
    assert max(gaps) < 1_000  # the curve has points everywhere


def test_the_mean_of_thinned_losses_is_that_of_all(room):
    script = """() => {
        const given = { layers: [2], activation: "tanh", initialiser: "zeros", loss: "mse_loss", optimizer: "SGD" };
        const trainer = new Trainer({ ...given, rate: 0, batch: 1, seed: 0 }, DATA.xor(new Random(0), 4));
        const count = 1 << 17;
        for (let i = 0; i < count; i++) trainer.remember(i);
        const { history, each } = trainer, mean = history.reduce((a, b) => a + b, 0) / history.length;
        return [mean, (count - 1) / 2, history.length * each];
    }"""
    mean_of_means, expected, count = room.evaluate(script)
    assert mean_of_means == expected
    assert count == 1 << 17


def test_lists_of_any_length_have_their_largest_member_and_their_norm(room):
    script = """() => {
        const many = new Array(400000).fill(0);
        many[7] = 3;
        many[399999] = -4;
        return [largestOf(many), smallestOf(many), norm(many), norm([3, -4]), largestOf([], 0)];
    }"""
    assert room.evaluate(script) == [3, -4, 5, 5, 0]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_button_for_drawing_points_can_be_clicked(lang, opened):
    page = opened(playground(lang), viewport={"width": 1280, "height": 800}).page
    page.locator("#tab_board").click()
    page.locator("#b_data").select_option("own")
    page.locator("#plane").click(position={"x": 50, "y": 50})
    page.locator("#class1").click()
    page.locator("#plane").click(position={"x": 90, "y": 90})
    assert page.evaluate("session.board.own.length") == 2
    page.locator("#unpaint").click()
    assert page.evaluate("session.board.own.length") == 1
    page.locator("#clear").click()
    assert page.evaluate("session.board.own.length") == 0


def test_what_changes_many_times_a_second_is_not_read_aloud(board):
    live = "['state', 'm_state'].map(id => byId(id).closest('output, [aria-live], [role=status]'))"
    assert board.page.evaluate(live) == [None, None]


@pytest.mark.parametrize(
    ("draws", "values", "marks"),
    [
        (
            "drawLosses(byId('losses'), session.board.trainer, session.words)",
            [100, 10, 0.05],
            {"0.05", "100", "1"},
        ),
        ("drawModelLosses(byId('m_curve'), [100, 10, 0.002], session.words)", None, {"0.002", "100", "1"}),
    ],
)
def test_losses_have_a_logarithmic_axis(draws, values, marks, board):
    if values:
        board.page.evaluate(f"Object.assign(session.board.trainer, {{ history: {values}, curve: [] }})")
    else:
        board.page.locator("#tab_model").click()
    told = {text for text, _ in board.page.evaluate(f"({TEXTS_OF})(() => {draws})")}
    assert marks <= told


def test_losses_of_one_size_have_a_plain_axis_so_that_their_curve_bends(board):
    draws = "drawModelLosses(byId('m_curve'), [1, 0.64, 0.4096, 0.262144], session.words)"
    board.page.locator("#tab_model").click()
    points, _ = board.page.evaluate(f"({DRAWN})(byId('m_curve'), () => {draws})")["lines"]
    falls = [b[1] - a[1] for a, b in itertools.pairwise(points)]
    assert falls[1] == pytest.approx(0.64 * falls[0])


AXES = """lows => {
    const canvas = byId("losses"), own = canvas.getContext("2d");
    let bases = [];
    own.fillText = (text, x, y) => own.textAlign === "right" && bases.push(y);
    const found = lows.map(low => {
        bases = [];
        drawModelLosses(canvas, [2, low], session.words);
        bases.sort((a, b) => a - b);
        return Math.min(...bases.slice(1).map((y, i) => y - bases[i]));
    });
    delete own.fillText;
    return [found, parseFloat(getComputedStyle(canvas).fontSize)];
}"""


def test_no_number_of_the_axis_of_the_losses_is_on_another(board):
    found, size = board.page.evaluate(AXES, [0.06391, *(n / 1000 for n in range(8, 100))])
    assert min(found) > size


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_an_empty_chart_says_what_it_will_show(lang, opened):
    page = opened(playground(lang)).page
    page.locator("#tab_board").click()

    def told(draws):
        return "".join(text for text, _ in page.evaluate(f"({TEXTS_OF})(() => {draws})")).replace(" ", "")

    losses = "drawLosses(byId('losses'), session.board.trainer, session.words)"
    assert NETWORK[lang]["losses_later"].replace(" ", "") in told(losses)
    page.locator("#b_data").select_option("own")  # Play cannot be pressed before there are points
    assert NETWORK[lang]["draw_points"].replace(" ", "") in told(losses)
    page.locator("#tab_model").click()
    losses = "drawModelLosses(byId('m_curve'), model.learner.losses, session.words)"
    assert NETWORK[lang]["losses_later"].replace(" ", "") in told(losses)


def test_what_was_opened_is_said_in_the_chosen_language(opened):
    page = opened(playground("en"), reduced_motion="reduce")
    page.page.evaluate("showRoom('board')")
    button(page, "open_loss")
    for lang in ("zh", "en"):
        page.press("l")
        assert page.page.locator("#origin_text").inner_text() == NETWORK[lang]["origin_batch"].format(count=16, step=0)
    page.page.evaluate("(() => { showRoom('model'); openAttention(0, 1); })()")
    first = page.page.locator("#origin_text").inner_text()
    page.press("l")
    assert page.page.locator("#origin_text").inner_text() == MODEL["zh"]["m_origin"].format(
        told=MODEL["zh"]["m_origin_attention"].format(
            head=MODEL["zh"]["m_head"].format(head=1), at="m", seen="e", text="•em"
        ),
        step=0,
    )
    page.press("l")
    assert page.page.locator("#origin_text").inner_text() == first
