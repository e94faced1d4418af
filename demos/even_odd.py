"""Ask a network whether a number is even, the article's example, in three ways: `python demos/even_odd.py`.

The first network trains on the article's own data, the numbers 0 and 1, from which parity cannot be learned. Then one
neuron reads numbers as bits: it trains on half of the numbers 0 to 1023, and is right about the other half and about
larger numbers. At last a larger network gets each number as one scaled integer, and fails. The picture shows the
losses, the weights of the bits, and what the networks answer. With --compiled the neuron that reads bits is trained
once more as machine code.
"""

import random
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import trange

from micrograd_cn import Value, no_grad, sigmoid
from micrograd_cn.losses import binary_cross_entropy_with_logits
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD, Adam, Optimizer
from shared.figures import BLUE, GREEN, GREY, ORANGE, label, save
from shared.language import text
from shared.options import options
from shared.training import batches, print_comparison, recent_mean, running_means

STEPS = 600
BATCH = 32
BITS = 16
COUNT = 1024  # half of the numbers from 0 to COUNT - 1 are in the training set
LARGE = 2000  # how many of the numbers from COUNT to 2**BITS - 1 are tested
HIDDEN = 16
WINDOW = range(500, 533)  # the numbers whose answers the picture shows

Input = list[float]
Encoding = Callable[[float], Input]


def itself(n: float) -> Input:
    """Return the number itself as the input, as the article has it."""
    return [n]


def bits(n: float) -> Input:
    """Return the bits of the number, the lowest bit first."""
    return [float(int(n) >> i & 1) for i in range(BITS)]


def scaled(n: float) -> Input:
    """Return the number scaled to one input between -1 and 1."""
    return [2 * n / (COUNT - 1) - 1]


def is_even(n: int) -> bool:
    return n % 2 == 0


def train(
    model: MLP, encode: Encoding, optimizer: Optimizer, numbers: Sequence[int], steps: int, seed: int
) -> tuple[list[float], list[float]]:
    """Minimise the binary cross entropy; return the loss and the accuracy of every mini-batch."""
    inputs = [encode(n) for n in numbers]
    targets = [float(is_even(n)) for n in numbers]
    losses: list[float] = []
    accuracies: list[float] = []
    progress = trange(steps, desc=encode.__name__, unit=text("batch", "批"))
    for _, batch in zip(progress, batches(len(numbers), min(BATCH, len(numbers)), seed), strict=False):
        logits = [model(inputs[i]) for i in batch]
        expected = [targets[i] for i in batch]
        loss = binary_cross_entropy_with_logits(logits, expected)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.data)
        accuracies.append(sum((z > 0) == (t == 1) for z, t in zip(logits, expected, strict=True)) / len(batch))
        progress.set_postfix(loss=f"{recent_mean(losses):.3f}", refresh=False)
    return losses, accuracies


def train_compiled(
    model: MLP, encode: Encoding, optimizer: Optimizer, numbers: Sequence[int], steps: int, seed: int
) -> float:
    """Train as `train` does, with the compiled loss of one number; return the mean loss of the last 20 mini-batches."""
    from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name; needs llvmlite

    @compile
    def loss(number: Sequence[Value], even: Value) -> Any:
        return binary_cross_entropy_with_logits(model(number), even)

    chosen = [i for _, batch in zip(range(steps), batches(len(numbers), BATCH, seed), strict=False) for i in batch]
    samples = [(encode(numbers[i]), is_even(numbers[i])) for i in chosen]
    return recent_mean(loss.fit(samples, optimizer, 1, BATCH, each_step=True))


def logits(model: MLP, encode: Encoding, numbers: Sequence[float]) -> list[float]:
    """Return the logit of "even" for each number, without recording a graph."""
    with no_grad():
        return [model(encode(n)).data for n in numbers]


def score(model: MLP, encode: Encoding, numbers: Sequence[int]) -> str:
    """Return a text that says how many of the numbers are classified right."""
    found = logits(model, encode, numbers)
    right = sum((z > 0) == is_even(n) for z, n in zip(found, numbers, strict=True))
    share = f"{right / len(numbers):.1%}"
    return text(f"{share}, {right} of {len(numbers)} numbers", f"{share}，{len(numbers)} 个数中对了 {right} 个")


def draw_losses(ax: Axes, losses: dict[str, list[float]]) -> None:
    for (name, curve), colour in zip(losses.items(), (GREEN, BLUE, ORANGE), strict=True):
        ax.plot(range(1, len(curve) + 1), running_means(curve), color=colour, linewidth=2, label=name)
    title = label("Loss, mean of the last 20 mini-batches", "损失，最近 20 个小批量的平均")
    ax.set(title=title, xlabel=label("mini-batch", "小批量"), ylabel=label("cross entropy", "交叉熵"), yscale="log")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.legend(loc="lower left")


def draw_weights(ax: Axes, model: MLP) -> None:
    (neuron,) = model.layers[0].neurons
    unseen = COUNT.bit_length() - 1  # the first bit that no number in training has
    ax.bar(range(BITS), [w.data for w in neuron.w], color=BLUE)
    ax.bar([-1], [neuron.b.data], color=GREY)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.axvspan(unseen - 0.5, BITS - 0.5, color=GREY, alpha=0.15, linewidth=0)
    ax.text(
        (unseen + BITS - 1) / 2,
        0.5,
        label("0 in training:\nthe weights\nstay 0", "训练时是 0，\n权重也\n始终是 0"),
        ha="center",
        va="center",
        transform=ax.get_xaxis_transform(),
    )
    ax.set_xticks(range(-1, BITS), [label("bias", "偏置"), *map(str, range(BITS))], fontsize=9)
    ax.tick_params(axis="x", length=0)
    ax.grid(axis="x", visible=False)
    ax.set_axisbelow(True)
    title = label("The neuron that reads bits", "看二进制位的神经元")
    ax.set(title=title, xlabel=label("bit", "第几位"), ylabel=label("weight", "权重"))


def draw_answers(ax: Axes, on_bits: MLP, on_scaled: MLP) -> None:
    fine = [WINDOW[0] + i / 10 for i in range(10 * (len(WINDOW) - 1) + 1)]
    truth = label("right answer", "正确答案")
    ax.scatter(WINDOW, [is_even(n) for n in WINDOW], s=70, facecolors="none", edgecolors=GREY, label=truth)
    answers = [sigmoid(z) for z in logits(on_bits, bits, WINDOW)]
    ax.scatter(WINDOW, answers, s=18, color=BLUE, label=label("one neuron, bits", "一个神经元，二进制位"))
    answers = [sigmoid(z) for z in logits(on_scaled, scaled, fine)]
    ax.plot(fine, answers, color=ORANGE, linewidth=2, label=label("MLP, scaled integer", "MLP，缩放后的整数"))
    ax.set(title=label("Answers", "回答"), xlabel=label("number", "数"), ylim=(-0.08, 1.08))
    ax.set_ylabel(label("probability of “even”", "“偶数”的概率"))
    ax.legend(loc="center", bbox_to_anchor=(0.5, 0.76), frameon=True, framealpha=1, edgecolor="none")


def main() -> None:
    chosen = options(str(__doc__), "让网络判断一个数是不是偶数，用三种办法", STEPS, compiled=True)
    rng = random.Random(chosen.seed)
    shuffled = rng.sample(range(COUNT), COUNT)
    half, others = shuffled[: COUNT // 2], shuffled[COUNT // 2 :]
    large = rng.sample(range(COUNT, 2**BITS), LARGE)

    # The article repeats 0 and 1 hundreds of times, which only makes a step slower.
    first = MLP(1, [1], seed=chosen.seed)
    optimizer: Optimizer = SGD(first.parameters(), lr=1.0)
    losses_itself, accuracies = train(first, itself, optimizer, [0, 1], chosen.steps, chosen.seed)
    # In training each bit above the tenth is 0. So is the gradient of its weight, upstream times 0: the weight keeps
    # its initial value. That value must be 0, or a larger number would add random numbers to the logit. One neuron may
    # start with zeros; several neurons in a layer would get the same gradients and stay alike.
    second = MLP(BITS, [1], init="zeros")
    optimizer = SGD(second.parameters(), lr=0.5)
    start = time.perf_counter()
    losses_bits, _ = train(second, bits, optimizer, half, chosen.steps, chosen.seed)
    seconds = time.perf_counter() - start
    third = MLP(1, [HIDDEN, HIDDEN, 1], init="kaiming_uniform", seed=chosen.seed)
    optimizer = Adam(third.parameters(), lr=0.01)
    losses_scaled, _ = train(third, scaled, optimizer, half, chosen.steps, chosen.seed)

    last_error = max((step for step, accuracy in enumerate(accuracies, 1) if accuracy < 1), default=0)
    print(
        text(
            f"The article's data, 0 and 1: one neuron, wrong about 0 or 1 for the last time at step {last_error}.",
            f"文章的数据，只有 0 和 1：一个神经元，最后一次答错 0 或 1 是在第 {last_error} 步。",
        )
    )
    asked = text(f"  asked about 0 to {COUNT - 1}: ", f"  问它 0 到 {COUNT - 1}：")
    print(asked + score(first, itself, range(COUNT)))
    print(
        text(
            "  It has learned to tell 0 from 1, not even from odd: a straight line changes its sign once.",
            "  它学会的是区分 0 和 1，不是区分偶数和奇数：一条直线只变号一次。",
        )
    )

    print(
        text(
            f"Bits: one neuron, trained on half of the numbers 0 to {COUNT - 1}.",
            f"二进制位：一个神经元，用 0 到 {COUNT - 1} 中的一半来训练。",
        )
    )
    accuracy = text("  test accuracy: ", "  测试集准确率：")
    print(accuracy + score(second, bits, others) + text(", the other half", "（另一半）"))
    print(
        accuracy + score(second, bits, large) + text(f", of {COUNT} to {2**BITS - 1}", f"（{COUNT} 到 {2**BITS - 1}）")
    )
    print(f"{text('first loss: ', '最初的损失：')}{losses_bits[0]:.6f}")
    recently = text(", mean of the last 20 mini-batches", "（最近 20 个小批量的平均）")
    print(f"{text('final loss: ', '最后的损失：')}{recent_mean(losses_bits):.6f}{recently}")

    if chosen.compiled:
        other, start = MLP(BITS, [1], init="zeros"), time.perf_counter()
        loss = train_compiled(other, bits, SGD(other.parameters(), lr=0.5), half, chosen.steps, chosen.seed)
        print_comparison(seconds, time.perf_counter() - start, (recent_mean(losses_bits), loss), (second, other))

    changes = sum((a > 0) != (b > 0) for a, b in pairwise(logits(third, scaled, range(COUNT))))
    pieces = (HIDDEN + 1) ** 2
    most = (COUNT + pieces + 1) // 2  # at most (n + 1) / 2 of n equal answers in a row are right
    print(
        text(
            f"One scaled integer: {len(third.parameters())} parameters, trained on the same half.",
            f"一个缩放后的整数：{len(third.parameters())} 个参数，用同样的一半来训练。",
        )
    )
    print(text("  train accuracy: ", "  训练集准确率：") + score(third, scaled, half))
    print(accuracy + score(third, scaled, others) + text(", the other half", "（另一半）"))
    last, ones = COUNT - 1, HIDDEN + 1
    print(
        text(
            "  It learns where the training half holds more even numbers, by chance; there the other half holds fewer.",
            "  它学到的是：训练的那一半里，哪一段碰巧偶数多些；而另一半在那里正好偶数少些。",
        )
    )
    print(
        text(
            f"  From 0 to {last} parity changes at every integer, {last} times; its answer does {changes} times.",
            f"  从 0 到 {last}，奇偶每一步都变，共变 {last} 次；它的回答只变了 {changes} 次。",
        )
    )
    print(
        text(
            f"  Its logit is piecewise linear in the number: {HIDDEN} relus cut the line into at most {ones} pieces,\n"
            f"  {HIDDEN} more cut each into {ones}, and each of the {pieces} changes its sign at most once.\n"
            f"  So with no weights can more than {most / COUNT:.1%} of the answers be right.",
            f"  它的 logit 是这个数的分段线性函数：{HIDDEN} 个 relu 把直线最多切成 {ones} 段，\n"
            f"  再来 {HIDDEN} 个，把每段最多切成 {ones} 段，一共 {pieces} 段，每段最多变号一次。\n"
            f"  所以无论权重是多少，答对的最多 {most / COUNT:.1%}。",
        )
    )

    figure = Figure(figsize=(15, 4.8), layout="constrained")
    figure.suptitle(label("Is the number even?", "这个数是偶数吗？"), fontsize=15)
    left, middle, right = figure.subplots(1, 3)
    names = label("0 and 1", "0 和 1"), label("bits", "二进制位"), label("scaled integer", "缩放后的整数")
    draw_losses(left, dict(zip(names, (losses_itself, losses_bits, losses_scaled), strict=True)))
    draw_weights(middle, second)
    draw_answers(right, second, third)
    save(figure, chosen.out / "even_odd.png")


if __name__ == "__main__":
    main()
