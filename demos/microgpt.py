"""Train a GPT that invents names, in three stages of the same mathematics: `python demos/microgpt.py [--stage 1 2 3]`.

Model, data, hyper-parameters and the order of random numbers are those of Andrej Karpathy's microgpt (2026,
https://gist.github.com/karpathy/8627fe009c40f57531cb18360106ce95), so the weights are the same too. A name goes through
these functions:

    example   turns "emma" into six tokens of 27 kinds: its letters, and a token that begins and ends every name
    gpt       gives for each token the 27 logits of the token that follows, from this token and those before it
    loss      is the mean cross entropy of the tokens that really follow
    train     takes steps of Adam with the 4,192 weights; a step uses the gradient of one name or of a batch of names
    invent    draws new names, token by token, from the probabilities

The stages compute the same in different ways. Stage 1 uses only operators and functions of one number: + - * / **, exp,
log and relu. In stage 2 a sum of products, a softmax and a cross entropy are one operation each. Stage 3 records the
operations of stage 2 once, for the longest name, and compiles them; for a very long training it also compiles programs
for shorter names. If you name several stages, they are trained one after another and compared. demos/names.txt has the
names: 32,033 first names from the lists of the US Social Security Administration, as
https://github.com/karpathy/makemore has them (MIT licence).
"""

import argparse
import json
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations, cycle, islice, pairwise
from operator import getitem
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from micrograd_cn import Value, dot, relu, softmax, take
from micrograd_cn.losses import cross_entropy
from micrograd_cn.optim import Adam, linear_lr
from shared.extras import require
from shared.language import add_language_option, set_language_from_arguments, text

if TYPE_CHECKING:
    from micrograd_cn.compiler import CompiledFunction

NAMES = Path(__file__).parent / "names.txt"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
END = len(LETTERS)  # the token that begins and ends a name
TOKENS = END + 1

WIDTH = 16  # numbers that represent a token
BLOCK = 16  # the most tokens that the model sees
HEADS = [slice(start, start + 4) for start in range(0, WIDTH, 4)]  # four heads, each with four of the numbers

LEARNING_RATE, BETAS = 0.01, (0.85, 0.99)
PROGRAMS = 5  # programs of stage 3, each for names of one length, if the training has MANY names; otherwise one
MANY = 500_000  # with fewer names, making the programs for shorter names takes longer than they save
RECENT = 50  # losses of so many steps are averaged, since some names are harder than others
TEMPERATURE = 0.5  # below 1, likely tokens become even likelier

Weights = dict[str, list[list[Any]]]  # matrices by name, as rows of Values or of floats
Example = tuple[list[int], list[int], list[float]]  # tokens, targets, and the weights of their losses


class Stage(NamedTuple):
    """The functions that the model is made of; each stage has its own.

    Attributes:
        dot: the sum of products of two sequences.
        softmax: turns any numbers into positive numbers that sum to 1.
        cross_entropy: -log(softmax(logits)[target]).
        take: the element of a sequence that belongs to a token.
    """

    dot: Any
    softmax: Any
    cross_entropy: Any
    take: Any


def plain_dot(xs: Sequence[Any], ys: Sequence[Any]) -> Any:
    return sum(x * y for x, y in zip(xs, ys, strict=True))


def plain_softmax(xs: Sequence[Value]) -> list[Any]:
    highest = max(x.data for x in xs)  # subtracting it keeps exp from overflowing, and does not change the result
    exponentials = [(x - highest).exp() for x in xs]
    total = sum(exponentials)
    return [e / total for e in exponentials]


def plain_cross_entropy(logits: Sequence[Value], target: int) -> Any:
    return -plain_softmax(logits)[target].log()


PLAIN = Stage(plain_dot, plain_softmax, plain_cross_entropy, getitem)
FUSED = Stage(dot, softmax, cross_entropy, getitem)


# The model.


def initial_weights(rng: random.Random) -> Weights:
    """Return matrices of small random numbers by name; a row of a matrix has the weights of one output."""
    shapes = {"wte": (TOKENS, WIDTH), "wpe": (BLOCK, WIDTH), "lm_head": (TOKENS, WIDTH)}
    shapes |= dict.fromkeys(("wq", "wk", "wv", "wo"), (WIDTH, WIDTH))
    shapes |= {"fc1": (4 * WIDTH, WIDTH), "fc2": (WIDTH, 4 * WIDTH)}
    return {
        name: [[Value(rng.gauss(0, 0.08)) for _ in range(inputs)] for _ in range(outputs)]
        for name, (outputs, inputs) in shapes.items()
    }


def flat(weights: Weights) -> list[Any]:
    return [p for rows in weights.values() for row in rows for p in row]


def gpt(tokens: Iterable[Any], weights: Weights, stage: Stage) -> Iterator[list[Any]]:
    """Yield for each token the logits of the token that follows; no token sees the tokens after it."""

    def linear(name: str, x: Sequence[Any]) -> list[Any]:
        return [stage.dot(row, x) for row in weights[name]]

    def rms_norm(x: Sequence[Any]) -> list[Any]:
        """Scale the numbers to a mean square of 1."""
        scale = (stage.dot(x, x) / len(x) + 1e-5) ** -0.5
        return [scale * a for a in x]

    keys: list[list[Any]] = []
    values: list[list[Any]] = []
    for token, position in zip(tokens, weights["wpe"], strict=False):
        embedding = [stage.take(column, token) for column in zip(*weights["wte"], strict=True)]
        x = rms_norm(add(embedding, position))

        # Attention: the token has a query, and each token so far has a key and a value. The token reads a weighted mean
        # of the values; the better a key fits the query, the larger is the share of its value.
        y = rms_norm(x)
        query = linear("wq", y)
        keys.append(linear("wk", y))
        values.append(linear("wv", y))
        read: list[Any] = []
        for head in HEADS:
            scores = [stage.dot(query[head], key[head]) / 2.0 for key in keys]  # a head's width is 4, and its root 2
            shares = stage.softmax(scores)
            read += [stage.dot(shares, column) for column in zip(*(value[head] for value in values), strict=True)]
        x = add(x, linear("wo", read))

        # Feed-forward: two linear maps with a relu between them process what the token has read.
        hidden = [relu(a) for a in linear("fc1", rms_norm(x))]
        x = add(x, linear("fc2", hidden))
        yield linear("lm_head", x)


def add(xs: Sequence[Any], ys: Sequence[Any]) -> list[Any]:
    return [x + y for x, y in zip(xs, ys, strict=True)]


def example(name: str) -> Example:
    """Return the tokens of a name, the tokens that follow them, and the weights of their losses, which sum to 1."""
    tokens = [END, *map(LETTERS.index, name), END][: BLOCK + 1]
    count = len(tokens) - 1
    return tokens[:-1], tokens[1:], [1 / count] * count


def loss(
    tokens: Sequence[Any], targets: Sequence[Any], loss_weights: Sequence[Any], weights: Weights, stage: Stage
) -> Any:
    """Return the mean cross entropy of the tokens that follow."""
    logits = gpt(tokens, weights, stage)
    return stage.dot(loss_weights, [stage.cross_entropy(*pair) for pair in zip(logits, targets, strict=True)])


# Training.

Backward = Callable[[Sequence[str]], float]  # returns the mean loss of names, and adds its gradient to the weights


def train(names: Sequence[str], weights: Weights, backward: Backward, steps: int, batch: int) -> list[float]:
    """Take steps of Adam with a learning rate that falls to 0; return the loss of each step."""
    optimizer = Adam(flat(weights), LEARNING_RATE, BETAS)
    order = cycle(names)
    losses: list[float] = []
    with progress_bar(steps) as show:
        for step in range(steps):
            optimizer.zero_grad()
            losses.append(backward(list(islice(order, batch))))
            optimizer.lr = LEARNING_RATE * (1 - step / steps)
            optimizer.step()
            show(losses[-1:])
    return losses


@contextmanager
def progress_bar(steps: int) -> Iterator[Callable[[Sequence[float]], None]]:
    """Show a progress bar inside the block, with the mean of recent losses; yield a function that adds losses to it."""
    from tqdm import tqdm

    latest = deque[float](maxlen=RECENT)
    with tqdm(total=steps, desc=text("training", "训练"), unit=text("step", "步")) as line:

        def show(losses: Sequence[float]) -> None:
            latest.extend(losses)
            line.set_postfix(loss=f"{fmean(latest):.3f}", refresh=False)
            line.update(len(losses))

        yield show


def eager(weights: Weights, stage: Stage) -> Backward:
    """Return a backward pass that records a new graph for each name, as long as the name is."""

    def backward(names: Sequence[str]) -> float:
        losses = []
        for name in names:
            of_name = loss(*example(name), weights, stage)
            of_name.backward(1 / len(names))
            losses.append(of_name.data)
        return fmean(losses)

    return backward


def train_compiled(names: Sequence[str], weights: Weights, steps: int, batch: int) -> list[float]:
    """Train as `train` does, with the compiled loss; return the loss of each step."""
    names = list(islice(cycle(names), steps * batch))
    samples = padded_examples(names, batch, padded_lengths(names, batch, PROGRAMS if len(names) >= MANY else 1))
    optimizer = Adam(flat(weights), LEARNING_RATE, BETAS)
    decay = linear_lr(LEARNING_RATE, steps)
    with progress_bar(steps) as show:
        return compiled_loss(weights).fit(samples, optimizer, 1, batch, schedule=decay, progress=show, each_step=True)


def compiled_loss(weights: Weights) -> "CompiledFunction":
    """Return the compiled loss of one name, which may be padded with tokens whose losses have the weight 0."""
    from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name; needs llvmlite

    @compile
    def of_name(tokens: Sequence[Value], targets: Sequence[Value], loss_weights: Sequence[Value]) -> Any:
        return loss(tokens, targets, loss_weights, weights, COMPILED)

    return of_name


def longest(names: Iterable[str]) -> int:
    """Return how many tokens the longest of the names has."""
    return max(len(example(name)[0]) for name in names)


def groups_by_length(names: Sequence[str], batch: int) -> Iterator[Sequence[str]]:
    """Yield groups of names, as many as a SIMD vector has lanes, so the names of a group are computed at once.

    A group has names of one batch and of similar lengths; the names of a batch are sorted by length.
    """
    from micrograd_cn.compiler.llvm.machine import machine

    lanes = machine().width
    for start in range(0, len(names), batch):
        some = sorted(names[start : start + batch], key=len)
        yield from (some[i : i + lanes] for i in range(0, len(some), lanes))


def padded_lengths(names: Sequence[str], batch: int, count: int) -> Sequence[int]:
    """Return at most `count` lengths to which names are padded, chosen so the fewest tokens are computed.

    They are in ascending order, so the last one is the length of the longest name.
    """
    found = Counter(map(longest, groups_by_length(names, batch)))
    *shorter, last = sorted(found)

    def tokens(chosen: Sequence[int]) -> int:
        return sum(n * next(length for length in chosen if length >= own) for own, n in found.items())

    return min(((*some, last) for some in combinations(shorter, min(count - 1, len(shorter)))), key=tokens)


def padded_examples(names: Sequence[str], batch: int, lengths: Sequence[int]) -> list[Example]:
    """Return the examples of names, each padded to the first of the lengths that is large enough.

    There is a program for each length. Names that share a SIMD vector are padded to the same length.
    """
    examples = []
    for group in groups_by_length(names, batch):
        length = next(length for length in lengths if length >= longest(group))
        examples += [padded_example(name, length) for name in group]
    return examples


def padded_example(name: str, length: int) -> Example:
    """Return the example of a name, padded to a length with tokens whose losses have the weight 0."""
    tokens, targets, loss_weights = example(name)
    padding = [0] * (length - len(tokens))
    return tokens + padding, targets + padding, loss_weights + [0.0] * len(padding)


COMPILED = FUSED._replace(take=take)


def recent_mean(losses: Sequence[float]) -> float:
    return fmean(losses[-RECENT:])


# What the model has learned.


def floats(weights: Weights) -> Weights:
    return {name: [[p.data for p in row] for row in rows] for name, rows in weights.items()}


def invent(weights: Weights, rng: random.Random) -> str:
    """Return a new name. The weights are floats, so no graph is recorded.

    The functions of the model are those of stage 2. Only the sum of products is that of stage 1, since Python's
    operators are faster for floats.
    """
    tokens = [END]
    for logits in gpt(tokens, weights, FUSED._replace(dot=plain_dot)):  # gpt reads the list while it grows
        [token] = rng.choices(range(TOKENS), softmax([logit / TEMPERATURE for logit in logits]))
        if token == END:
            break
        tokens.append(token)
    return "".join(LETTERS[token] for token in tokens[1:])


def attention(name: str, weights: Weights) -> list[list[list[float]]]:
    """Return for each head and each token of a name the attention that it pays to the tokens so far; it sums to 1."""
    seen: list[list[float]] = []

    def recorded_softmax(scores: Sequence[float]) -> list[float]:
        seen.append(softmax(scores))
        return seen[-1]

    for _ in gpt(example(name)[0], weights, FUSED._replace(softmax=recorded_softmax)):
        pass
    return [seen[head :: len(HEADS)] for head in range(len(HEADS))]


def draw(losses: Sequence[float], name: str, head: Sequence[Sequence[float]], out: Path) -> None:
    """Draw the loss of every step, and the attention of one head in a name."""
    from matplotlib.figure import Figure  # imported here, since the import takes as long as the training

    from shared.figures import BLUE, GREY, label, save, use_chinese_font

    use_chinese_font()
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    steps = range(1, len(losses) + 1)
    left.plot(steps, losses, color=GREY, alpha=0.5, linewidth=0.8, label=label("one step", "一步"))
    means = [recent_mean(losses[max(n - RECENT, 0) : n]) for n in steps]
    name_of_mean = label(f"mean of the last {RECENT}", f"最近 {RECENT} 步的平均")
    left.plot(steps, means, color=BLUE, linewidth=2, label=name_of_mean)
    title = label("Learning to spell names", "学习拼写名字")
    left.set(title=title, xlabel=label("step", "步"), ylabel=label("cross entropy", "交叉熵"))
    left.legend(loc="upper right")

    places = range(len(head))
    letters = "•" + name  # the token that begins every name
    right.imshow([[*row, *[float("nan")] * (len(head) - len(row))] for row in head], cmap="Blues", vmin=0, vmax=1)
    for at, row in enumerate(head):
        for seen, share in enumerate(row):
            colour = "white" if share > 0.5 else "black"
            right.text(seen, at, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=9)
    right.grid(False)
    right.spines[:].set_visible(False)
    right.tick_params(length=0, labelsize=13)
    right.set(xticks=places, xticklabels=letters[: len(head)], yticks=places, yticklabels=letters[: len(head)])
    right.set_title(label("What one head reads, in %", "一个注意力头在看什么（%）"))
    right.set(xlabel=label("of this token", "看的字符"), ylabel=label("at this token", "所在的字符"))
    save(figure, out / "microgpt.png")


def options() -> argparse.Namespace:
    """Return the options of the command line.

    This function is used instead of `shared.options`, which imports matplotlib: that takes as long as the training.
    """
    set_language_from_arguments()
    parser = argparse.ArgumentParser(
        description=text(str(__doc__).partition("\n\n")[0], "训练一个会起名字的 GPT，分三个阶段，数学完全相同"),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )

    def option(name: str, english: str, chinese: str, **more: Any) -> None:
        parser.add_argument(name, help=text(english, chinese), **more)

    out, stages = Path(__file__).parent / "out", {"nargs": "+", "choices": (1, 2, 3), "default": [3]}
    option("--stage", "what computes; several are compared", "用哪个阶段来算；几个就互相比较", type=int, **stages)
    option("--steps", "training steps", "训练步数", type=int, default=1000)
    option("--batch", "names a step", "每步几个名字", type=int, default=1)
    option("--samples", "names to invent", "起几个名字", type=int, default=20)
    option("--weights", "write the last stage's weights there", "把最后的权重写到这个文件", type=Path, metavar="FILE")
    option("--seed", "decides names' order, weights, samples", "决定名字的顺序、初始权重和抽样", type=int, default=42)
    option("--out", "directory for the picture", "存放图片的目录", type=Path, default=out)
    add_language_option(parser)
    chosen = parser.parse_args()
    if chosen.steps < 1 or chosen.batch < 1 or chosen.samples < 0:
        least = "--steps and --batch must be at least 1, --samples at least 0"
        parser.error(text(least, "--steps 和 --batch 至少为 1，--samples 至少为 0"))
    if chosen.weights and (chosen.weights.is_dir() or not chosen.weights.parent.is_dir()):  # before it is trained
        parser.error(text(f"--weights: {chosen.weights} cannot be written", f"--weights：无法写入 {chosen.weights}"))
    if 3 in chosen.stage:
        require("llvmlite", "native")
    chosen.out.mkdir(parents=True, exist_ok=True)
    return chosen


def main() -> None:
    chosen = options()
    learned: dict[int, Weights] = {}
    for stage in dict.fromkeys(chosen.stage):
        rng = random.Random(chosen.seed)
        names = NAMES.read_text("utf-8").split()
        rng.shuffle(names)
        weights = initial_weights(rng)
        start = time.perf_counter()
        if stage == 3:
            losses = train_compiled(names, weights, chosen.steps, chosen.batch)
        else:
            backward = eager(weights, PLAIN if stage == 1 else FUSED)
            losses = train(names, weights, backward, chosen.steps, chosen.batch)
        seconds = time.perf_counter() - start
        print(f"{text('stage: ', '阶段：')}{stage}")
        print(f"{text('first loss: ', '最初的损失：')}{losses[0]:.6f}")
        count = min(RECENT, len(losses))
        recently = text(f", mean of the last {count} steps", f"（最近 {count} 步的平均）")
        print(f"{text('final loss: ', '最后的损失：')}{recent_mean(losses):.6f}{recently}")
        included = text(", recording and compiling included", "，含记录和编译") * (stage == 3)
        taken = text(f"{chosen.steps:,} steps in {seconds:.2f} s", f"{chosen.steps:,} 步用时 {seconds:.2f} 秒")
        print(taken + included)
        learned[stage] = floats(weights)
    for one, other in pairwise(learned):
        apart = max(abs(a - b) for a, b in zip(flat(learned[one]), flat(learned[other]), strict=True))
        differ = f"weights of stages {one} and {other} differ by at most {apart:.1e}"
        print(text(differ, f"阶段 {one} 与 {other} 的权重最多相差 {apart:.1e}"))

    samples = [invent(learned[stage], rng) for _ in range(chosen.samples)]
    count = len(samples)
    heading = text(f"{count} new name{'s' * (count != 1)}:", f"{count} 个新名字：")
    print(f"\n{heading}", *samples, sep="\n", flush=True)
    if chosen.weights:
        chosen.weights.write_text(json.dumps(learned[stage]), "utf-8")
        print(f"{text('wrote', '已写入')} {chosen.weights}")
    name = max([*samples, ""], key=len) or names[0]
    draw(losses, name, attention(name, learned[stage])[-1], chosen.out)


if __name__ == "__main__":
    main()
