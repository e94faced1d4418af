"""Train a small network to read handwritten digits, on the scalar engine alone: `python demos/digits.py [--compiled]`.

The 1,797 images of scikit-learn's `load_digits` have 8 x 8 pixels. Four fifths of them train an MLP of 64 inputs, 32
hidden neurons and 10 logits in about a quarter of a minute. The other images test how well it reads. The script writes
three pictures: the training curves, some test images with the digits that the network reads, and the gradient flow
through one neuron. With --compiled the same training runs once more as machine code.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import trange

from micrograd_cn import Value, no_grad, softmax
from micrograd_cn.losses import cross_entropy
from micrograd_cn.nn import MLP, Neuron
from micrograd_cn.optim import SGD, linear_lr
from micrograd_cn.picture import draw_dot
from shared.figures import BLUE, GREEN, GREY, ORANGE, label, save
from shared.language import text
from shared.options import options
from shared.training import argmax, batches, print_comparison, recent_mean, running_means

STEPS = 360  # of 32 images: eight times through the training set
BATCH = 32
LEARNING_RATE = 0.2
MOMENTUM = 0.9

Image = list[float]


def load(seed: int) -> tuple[list[Image], list[Image], list[int], list[int]]:
    """Return the training and the test images, pixels from 0 to 1, and their targets in the same order."""
    digits = load_digits()
    parts = train_test_split(digits.data / 16, digits.target, test_size=0.2, stratify=digits.target, random_state=seed)
    train_images, test_images, train_targets, test_targets = (part.tolist() for part in parts)
    return train_images, test_images, train_targets, test_targets


def train(
    model: MLP, images: Sequence[Image], targets: Sequence[int], steps: int, seed: int
) -> tuple[list[float], list[float]]:
    """Run mini-batch gradient descent with momentum; return the loss and the accuracy of every mini-batch."""
    optimizer = SGD(model.parameters(), LEARNING_RATE, momentum=MOMENTUM)
    decay = linear_lr(LEARNING_RATE, steps)
    losses: list[float] = []
    accuracies: list[float] = []
    progress = trange(steps, desc=text("training", "训练"), unit=text("batch", "批"))
    for step, batch in zip(progress, batches(len(images), BATCH, seed), strict=False):
        logits = [model(images[i]) for i in batch]
        expected = [targets[i] for i in batch]
        loss = cross_entropy(logits, expected)
        optimizer.zero_grad()
        loss.backward()
        optimizer.lr = decay(step)
        optimizer.step()

        losses.append(loss.data)
        accuracies.append(sum(argmax(z) == t for z, t in zip(logits, expected, strict=True)) / BATCH)
        progress.set_postfix(
            loss=f"{recent_mean(losses):.3f}", accuracy=f"{recent_mean(accuracies):.1%}", refresh=False
        )
    return losses, accuracies


def train_compiled(model: MLP, images: Sequence[Image], targets: Sequence[int], steps: int, seed: int) -> list[float]:
    """Train as `train` does, with the compiled loss of one image; return the loss of every mini-batch."""
    from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name; needs llvmlite

    @compile
    def loss(image: Sequence[Value], target: Value) -> Any:
        return cross_entropy(model(image), target)

    chosen = [i for _, batch in zip(range(steps), batches(len(images), BATCH, seed), strict=False) for i in batch]
    optimizer = SGD(model.parameters(), LEARNING_RATE, momentum=MOMENTUM)
    decay = linear_lr(LEARNING_RATE, steps)
    samples = [(images[i], targets[i]) for i in chosen]
    return loss.fit(samples, optimizer, 1, BATCH, schedule=decay, each_step=True)


def draw_training(losses: Sequence[float], accuracies: Sequence[float], test_accuracy: float) -> Figure:
    """Draw the loss and the accuracy of every mini-batch, their running means, and the accuracy on the test images."""
    figure = Figure(figsize=(7.5, 6), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True)
    steps = range(1, len(losses) + 1)
    upper.plot(steps, losses, color=GREY, alpha=0.5, linewidth=0.8, label=label("one mini-batch", "一个小批量"))
    upper.plot(
        steps, running_means(losses), color=BLUE, linewidth=2, label=label("mean of the last 20", "最近 20 个的平均")
    )
    title = label("Training on handwritten digits", "用手写数字训练")
    upper.set(title=title, ylabel=label("cross entropy", "交叉熵"), yscale="log")
    upper.yaxis.set_major_formatter("{x:g}")
    upper.legend()
    lower.plot(steps, accuracies, color=GREY, alpha=0.5, linewidth=0.8)
    lower.plot(steps, running_means(accuracies), color=BLUE, linewidth=2)
    tested = f"{label('test images', '测试图片')}: {test_accuracy:.1%}"
    lower.axhline(test_accuracy, color=ORANGE, linewidth=1.5, linestyle="--", label=tested)
    lower.set(xlabel=label("mini-batch", "小批量"), ylabel=label("accuracy", "准确率"), ylim=(0, 1.04))
    lower.yaxis.set_major_formatter("{x:.0%}")
    lower.legend(loc="lower right")
    figure.align_ylabels()
    return figure


def draw_images(images: Sequence[Image], targets: Sequence[int], probabilities: Sequence[list[Value]]) -> Figure:
    """Draw test images with the digits that the network reads, first some right ones, then some wrong ones."""
    read = [argmax(p) for p in probabilities]
    right = [i for i, target in enumerate(targets) if read[i] == target]
    wrong = [i for i, target in enumerate(targets) if read[i] != target]
    figure = Figure(figsize=(8, 5.4), layout="constrained")
    title = "Test images, the digit that was read, and its probability"
    figure.suptitle(label(title, "测试图片、读出的数字及其概率"))
    axes = list(figure.subplots(3, 6).flat)
    for ax in axes:
        ax.set_axis_off()
    for ax, i in zip(axes, right[:12] + wrong[:6], strict=False):
        correct = read[i] == targets[i]
        colour = GREEN if correct else ORANGE
        ax.imshow([images[i][row : row + 8] for row in range(0, 64, 8)], cmap="gray_r", vmin=0, vmax=1)
        ax.set_axis_on()
        ax.grid(False)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set(visible=True, color=colour, linewidth=1 if correct else 3)
        ax.set_title(f"{read[i]} {'✓' if correct else '✗'} {probabilities[i][read[i]].data:.0%}", color=colour)
        if not correct:
            ax.set_xlabel(label(f"is a {targets[i]}", f"其实是 {targets[i]}"))
    return figure


def draw_neuron(path: Path) -> None:
    """Draw how the gradient of a squared error flows back through one tanh neuron."""
    neuron = Neuron(3, activation="tanh")
    inputs = [Value(data, f"x{i}") for i, data in enumerate((1.0, -2.0, 0.5), 1)]
    for i, (w, data) in enumerate(zip(neuron.w, (0.8, 0.3, 0.6), strict=True), 1):
        w.data, w.label = data, f"w{i}"
    neuron.b.data, neuron.b.label = -0.1, "b"
    output = neuron(inputs)
    output.label = "output"
    loss = (output - 1.0) ** 2
    loss.label = "loss"
    loss.backward()
    draw_dot(loss, format="svg", lang=text("en", "zh")).render(outfile=path)
    print(f"{text('wrote', '已写入')} {path}")


def main() -> None:
    chosen = options(str(__doc__), "训练一个网络识别手写数字", STEPS, compiled=True)
    train_images, test_images, train_targets, test_targets = load(chosen.seed)
    # Weights from uniform(-1, 1), micrograd's, would make the sums of 64 inputs so large that the softmax is saturated.
    model, other = (MLP(64, [32, 10], init="kaiming_uniform", seed=chosen.seed) for _ in range(2))

    start = time.perf_counter()
    losses, accuracies = train(model, train_images, train_targets, chosen.steps, chosen.seed)
    training = time.perf_counter() - start
    with no_grad():
        probabilities = [softmax(model(image)) for image in test_images]
    seconds = time.perf_counter() - start

    correct = sum(argmax(p) == target for p, target in zip(probabilities, test_targets, strict=True))
    print(f"{text('first loss: ', '最初的损失：')}{losses[0]:.6f}")
    recently = text(", mean of the last 20 mini-batches", "（最近 20 个小批量的平均）")
    print(f"{text('final loss: ', '最后的损失：')}{recent_mean(losses):.6f}{recently}")
    share, total = f"{correct / len(test_targets):.1%}", len(test_targets)
    print(
        text(
            f"test accuracy: {share}, {correct} of {total} images",
            f"测试集准确率：{share}，{total} 张图片中对了 {correct} 张",
        )
    )
    print(text(f"time: {seconds:.1f} s, training and test", f"用时：{seconds:.1f} 秒，含训练和测试"))
    if chosen.compiled:
        start = time.perf_counter()
        compiled_losses = train_compiled(other, train_images, train_targets, chosen.steps, chosen.seed)
        print_comparison(training, time.perf_counter() - start, (losses[-1], compiled_losses[-1]), (model, other))
    save(draw_training(losses, accuracies, correct / len(test_targets)), chosen.out / "digits_training.png")
    save(draw_images(test_images, test_targets, probabilities), chosen.out / "digits_images.png")
    draw_neuron(chosen.out / "neuron.svg")


if __name__ == "__main__":
    main()
