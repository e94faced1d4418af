"""Train a GPT that invents names, in three stages of the same mathematics: `python demos/microgpt.py [--stage 1 2 3]`.

Model, data, hyper-parameters and the order of random numbers are those of Andrej Karpathy's microgpt (2026,
https://gist.github.com/karpathy/8627fe009c40f57531cb18360106ce95), so that the weights are too. The way of a name:

    emma      becomes six tokens, of 27 kinds: its letters, and one that begins and ends it
    gpt       gives 27 logits for each token: of the token that follows, from what it and those before it say
    loss      is the mean cross entropy of the tokens that do follow
    Adam      takes the 4,192 weights down its gradient, a name or a batch of names a step
    invent    draws new names, token by token, from the probabilities

The stages differ in what computes. In stage 1 it is operators and functions of one number alone, + - * / ** exp log
relu; in stage 2 a sum of products, a softmax and a cross entropy are one operation each; stage 3 records that once, for
the longest of the names (of very many names also for shorter ones), and compiles it. Several stages are trained one
after another and compared. The names are demos/names.txt: 32,033 first names of the US Social Security Administration's
lists, as https://github.com/karpathy/makemore has them (MIT licence).
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

WIDTH = 16  # numbers that stand for a token
BLOCK = 16  # tokens that the model sees at most
HEADS = [slice(start, start + 4) for start in range(0, WIDTH, 4)]  # four, each with its own four numbers

LEARNING_RATE, BETAS = 0.01, (0.85, 0.99)
PROGRAMS = 5  # compiled for names of as many lengths, where names are many; otherwise one, for the longest
MANY = 500_000  # names that it takes until the shorter programs have saved more time than it took to make them
RECENT = 50  # steps of which losses are averaged, since one name is harder than another
TEMPERATURE = 0.5  # below 1 the likely becomes likelier

Weights = dict[str, list[list[Any]]]  # name to rows, of Values or of plain numbers


class Stage(NamedTuple):
    """What a stage computes with; the model is made of it."""

    dot: Any  # the sum of products of two sequences
    softmax: Any  # positive numbers that sum to 1, of any numbers
    cross_entropy: Any  # -log(softmax(logits)[target])
    take: Any  # the element of a sequence for a token


def plain_dot(xs: Sequence[Any], ys: Sequence[Any]) -> Any:
    return sum(x * y for x, y in zip(xs, ys, strict=True))


def plain_softmax(xs: Sequence[Value]) -> list[Any]:
    highest = max(x.data for x in xs)  # subtracted, it keeps exp from overflowing, and changes nothing
    exponentials = [(x - highest).exp() for x in xs]
    total = sum(exponentials)
    return [e / total for e in exponentials]


def plain_cross_entropy(logits: Sequence[Value], target: int) -> Any:
    return -plain_softmax(logits)[target].log()


PLAIN = Stage(plain_dot, plain_softmax, plain_cross_entropy, getitem)
FUSED = Stage(dot, softmax, cross_entropy, getitem)


# The model.


def initial_weights(rng: random.Random) -> Weights:
    """Return small random numbers, a row for each output of a matrix."""
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
    """Yield for each token the logits of the one that follows; no token sees what comes after it."""

    def linear(name: str, x: Sequence[Any]) -> list[Any]:
        return [stage.dot(row, x) for row in weights[name]]

    def normal(x: Sequence[Any]) -> list[Any]:
        """Scale to a mean square of 1."""
        scale = (stage.dot(x, x) / len(x) + 1e-5) ** -0.5
        return [scale * a for a in x]

    keys: list[list[Any]] = []
    values: list[list[Any]] = []
    for token, position in zip(tokens, weights["wpe"], strict=False):
        embedding = [stage.take(column, token) for column in zip(*weights["wte"], strict=True)]
        x = normal(add(embedding, position))

        # Attention: the token asks, each token up to it has a key, and those whose keys fit give of their values.
        y = normal(x)
        query = linear("wq", y)
        keys.append(linear("wk", y))
        values.append(linear("wv", y))
        read: list[Any] = []
        for head in HEADS:
            scores = [stage.dot(query[head], key[head]) / 2.0 for key in keys]  # 2 is the root of a head's width
            shares = stage.softmax(scores)
            read += [stage.dot(shares, column) for column in zip(*(value[head] for value in values), strict=True)]
        x = add(x, linear("wo", read))

        # Then each token thinks about what it has read.
        hidden = [relu(a) for a in linear("fc1", normal(x))]
        x = add(x, linear("fc2", hidden))
        yield linear("lm_head", x)


def add(xs: Sequence[Any], ys: Sequence[Any]) -> list[Any]:
    return [x + y for x, y in zip(xs, ys, strict=True)]


def lesson(name: str) -> tuple[list[int], list[int], list[float]]:
    """Return a name's tokens, the token that follows each, and how much each counts: together 1."""
    tokens = [END, *map(LETTERS.index, name), END][: BLOCK + 1]
    count = len(tokens) - 1
    return tokens[:-1], tokens[1:], [1 / count] * count


def loss(tokens: Sequence[Any], targets: Sequence[Any], shares: Sequence[Any], weights: Weights, stage: Stage) -> Any:
    """Return the mean cross entropy of the tokens that follow."""
    logits = gpt(tokens, weights, stage)
    return stage.dot(shares, [stage.cross_entropy(*pair) for pair in zip(logits, targets, strict=True)])


# Training.

Backward = Callable[[Sequence[str]], float]  # adds the gradient of some names' mean loss to the weights; returns it


def train(names: Sequence[str], weights: Weights, backward: Backward, steps: int, batch: int) -> list[float]:
    """Take steps of Adam with a learning rate that falls to 0; return the loss of each."""
    optimizer = Adam(flat(weights), LEARNING_RATE, BETAS)
    order = cycle(names)
    losses: list[float] = []
    with bar(steps) as show:
        for step in range(steps):
            optimizer.zero_grad()
            losses.append(backward(list(islice(order, batch))))
            optimizer.lr = LEARNING_RATE * (1 - step / steps)
            optimizer.step()
            show(losses[-1:])
    return losses


@contextmanager
def bar(steps: int) -> Iterator[Callable[[Sequence[float]], None]]:
    """Show a progress bar inside the block, with the mean of recent losses; give what takes more of them."""
    from tqdm import tqdm

    latest = deque[float](maxlen=RECENT)
    with tqdm(total=steps, desc=text("training", "训练"), unit=text("step", "步")) as line:

        def show(losses: Sequence[float]) -> None:
            latest.extend(losses)
            line.set_postfix(loss=f"{fmean(latest):.3f}", refresh=False)
            line.update(len(losses))

        yield show


def eager(weights: Weights, stage: Stage) -> Backward:
    """Return what records every name anew, as long as it is."""

    def backward(names: Sequence[str]) -> float:
        losses = []
        for name in names:
            of_name = loss(*lesson(name), weights, stage)
            of_name.backward(1 / len(names))
            losses.append(of_name.data)
        return fmean(losses)

    return backward


def train_compiled(names: Sequence[str], weights: Weights, steps: int, batch: int) -> list[float]:
    """Do the same by the compiled loss."""
    names = list(islice(cycle(names), steps * batch))
    samples = filled(names, batch, lengths(names, batch, PROGRAMS if len(names) >= MANY else 1))
    optimizer = Adam(flat(weights), LEARNING_RATE, BETAS)
    decay = linear_lr(LEARNING_RATE, steps)
    with bar(steps) as show:
        return compiled(weights).fit(samples, optimizer, 1, batch, schedule=decay, progress=show, each_step=True)


def compiled(weights: Weights) -> "CompiledFunction":
    """Return the loss of a name as long as the longest; others are filled up with tokens that count nothing."""
    from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name; needs llvmlite

    @compile
    def of_name(tokens: Sequence[Value], targets: Sequence[Value], shares: Sequence[Value]) -> Any:
        return loss(tokens, targets, shares, weights, COMPILED)

    return of_name


def longest(names: Iterable[str]) -> int:
    """Return how many tokens the longest name has."""
    return max(len(lesson(name)[0]) for name in names)


def vectors(names: Sequence[str], batch: int) -> Iterator[Sequence[str]]:
    """Yield the names of each batch by their length, as many at a time as are computed side by side."""
    from micrograd_cn.compiler.llvm.machine import machine

    side_by_side = machine().width
    for start in range(0, len(names), batch):
        some = sorted(names[start : start + batch], key=len)
        yield from (some[i : i + side_by_side] for i in range(0, len(some), side_by_side))


def lengths(names: Sequence[str], batch: int, count: int) -> Sequence[int]:
    """Return the lengths to which names are filled up, so many that the fewest tokens are; the longest is one."""
    found = Counter(map(longest, vectors(names, batch)))
    *shorter, last = sorted(found)

    def tokens(chosen: Sequence[int]) -> int:
        return sum(n * next(length for length in chosen if length >= own) for own, n in found.items())

    return min(((*some, last) for some in combinations(shorter, min(count - 1, len(shorter)))), key=tokens)


def filled(names: Sequence[str], batch: int, lengths: Sequence[int]) -> list[tuple[list[int], list[int], list[float]]]:
    """Return the lessons of names, filled up to the first of some lengths, for each of which there is a program.

    Those that are computed side by side are filled up to the same one.
    """
    lessons = []
    for vector in vectors(names, batch):
        length = next(length for length in lengths if length >= longest(vector))
        lessons += [padded(name, length) for name in vector]
    return lessons


def padded(name: str, length: int) -> tuple[list[int], list[int], list[float]]:
    """Return the lesson of a name, filled up with tokens that count nothing."""
    tokens, targets, shares = lesson(name)
    padding = [0] * (length - len(tokens))
    return tokens + padding, targets + padding, shares + [0.0] * len(padding)


COMPILED = FUSED._replace(take=take)


def recent_mean(losses: Sequence[float]) -> float:
    return fmean(losses[-RECENT:])


# What it has learned.


def plain_numbers(weights: Weights) -> Weights:
    return {name: [[p.data for p in row] for row in rows] for name, rows in weights.items()}


def invent(weights: Weights, rng: random.Random) -> str:
    """Return a new name; the weights are plain numbers, which the functions of stage 2 take as well.

    Of plain numbers, operators make a sum of products the soonest.
    """
    tokens = [END]
    for logits in gpt(tokens, weights, FUSED._replace(dot=plain_dot)):  # which reads them while they grow in number
        [token] = rng.choices(range(TOKENS), softmax([logit / TEMPERATURE for logit in logits]))
        if token == END:
            break
        tokens.append(token)
    return "".join(LETTERS[token] for token in tokens[1:])


def attention(name: str, weights: Weights) -> list[list[list[float]]]:
    """Return for each head, for each token of a name, the shares of the tokens up to it."""
    seen: list[list[float]] = []

    def watched(scores: Sequence[float]) -> list[float]:
        seen.append(softmax(scores))
        return seen[-1]

    for _ in gpt(lesson(name)[0], weights, FUSED._replace(softmax=watched)):
        pass
    return [seen[head :: len(HEADS)] for head in range(len(HEADS))]


def draw(losses: Sequence[float], name: str, head: Sequence[Sequence[float]], out: Path) -> None:
    """Draw the loss, and how one head shares its attention in a name."""
    from matplotlib.figure import Figure  # here, since to import it takes as long as to train

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
    letters = "•" + name  # the name begins with a token of its own
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
    """Return the command line's options; those of the other demos come with matplotlib, whose import takes as long."""
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
        learned[stage] = plain_numbers(weights)
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
