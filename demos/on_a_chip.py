"""Put a network that reads digits on a chip: `python demos/on_a_chip.py`.

The network of `digits.py` is trained as machine code. Then its forward pass is written as one C file in single
precision, weights included. The file fits into a microcontroller with 16 kB of flash: it needs no operating system,
allocates no memory and uses only `math.h`. If this machine has a C compiler, `cc`, the file is compiled and reads all
test images, and its answers are compared with those of the Python engine. The script prints how many bytes the code,
the constants, the memory and the stack take, and the time of an image on this machine.
"""

import ctypes
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from digits import BATCH, STEPS, Image, load, train_compiled
from micrograd_cn import Value, no_grad
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.nn import MLP
from shared.language import text
from shared.options import options
from shared.training import argmax, recent_mean

COMPILER = ["cc", "-std=c99", "-Wall", "-Wextra", "-pedantic"]
REPEATED = 20  # the time is the median of reading all test images this often
MANY = """
void digits_of_all(const float *rows, long n, float *outputs, float *work)
{
    for (long i = 0; i < n; i++)
        digits_forward(rows + DIGITS_INPUTS * i, outputs + DIGITS_OUTPUTS * i, work);
}
"""


class Sizes(NamedTuple):
    """Bytes that the compiled file takes."""

    code: int
    constants: int
    stack: int


def source(model: MLP) -> str:
    """Return the C file that computes the ten logits of an image."""
    pixels = [Value(0.5) for _ in range(64)]
    return compile(model(pixels), pixels).source("c", name="digits", precision="float", weights="embedded")


def sizes(file: Path, directory: Path) -> Sizes | None:
    """Return the bytes that the file takes when it is compiled for size, or None if the tools here do not tell.

    The bytes of stack are the sum over all functions of the file.
    """
    compiled = directory / "small.o"
    small = [*COMPILER, "-Os", "-fstack-usage", "-c", str(file), "-o", str(compiled)]
    if not shutil.which("size") or subprocess.run(small, capture_output=True).returncode:
        return None
    sections = subprocess.run(["size", "-A", str(compiled)], capture_output=True, text=True).stdout
    found = re.findall(r"^\.(text|rodata)\S*\s+(\d+)", sections, re.MULTILINE)
    frames = re.findall(r"\t(\d+)\t", compiled.with_suffix(".su").read_text("utf-8"))
    if not found or not frames:
        return None
    code, constants = (sum(int(n) for name, n in found if name == kind) for kind in ("text", "rodata"))
    return Sizes(code, constants, sum(map(int, frames)))


def read_all(text: str, images: Sequence[Image], directory: Path) -> tuple[list[list[float]], float]:
    """Return the logits of all images, as the compiled C computes them, and the seconds that an image takes."""
    file, compiled = directory / "many.c", directory / "many.so"
    file.write_text(text + MANY, "utf-8")
    subprocess.run([*COMPILER, "-O2", "-shared", "-fPIC", str(file), "-o", str(compiled), "-lm"], check=True)
    f = ctypes.CDLL(str(compiled)).digits_of_all
    size = dict(re.findall(r"#define DIGITS_(\w+) (\d+)", text))
    rows = (ctypes.c_float * (64 * len(images)))(*[x for image in images for x in image])
    outputs, work = (ctypes.c_float * (10 * len(images)))(), (ctypes.c_float * int(size["WORK"]))()
    seconds = []
    for _ in range(REPEATED):
        start = time.perf_counter()
        f(rows, ctypes.c_long(len(images)), outputs, work)
        seconds.append((time.perf_counter() - start) / len(images))
    return [list(outputs[10 * i : 10 * i + 10]) for i in range(len(images))], median(seconds)


def main() -> None:
    chosen = options(str(__doc__), "把识别数字的网络写成一个 C 文件，放到芯片上", STEPS)
    train_images, test_images, train_targets, test_targets = load(chosen.seed)
    model = MLP(64, [32, 10], init="kaiming_uniform", seed=chosen.seed)
    losses = train_compiled(model, train_images, train_targets, chosen.steps, chosen.seed)
    print(text("first loss: ", "最初的损失：") + f"{losses[0]:.6f}")
    print(
        text("final loss: ", "最后的损失：")
        + f"{recent_mean(losses):.6f}"
        + text(
            f", after {chosen.steps} mini-batches of {BATCH} images",
            f"，经过 {chosen.steps} 个小批量，每批 {BATCH} 张图片",
        )
    )

    written, file = source(model), chosen.out / "digits.c"
    file.write_text(written, "utf-8")
    print(text("wrote", "已写入"), file)
    if not shutil.which("cc"):
        print(text("there is no C compiler, cc, here: the file is not compiled", "这里没有 C 编译器 cc：文件没有编译"))
        return

    with no_grad():
        expected = [[z.data for z in model(image)] for image in test_images]
    with TemporaryDirectory() as directory:
        logits, seconds = read_all(written, test_images, Path(directory))
        taken = sizes(file, Path(directory))
    apart = max(
        abs(a - b) for row, others in zip(logits, expected, strict=True) for a, b in zip(row, others, strict=True)
    )
    alike = sum(argmax(a) == argmax(b) for a, b in zip(logits, expected, strict=True))
    correct = sum(argmax(z) == target for z, target in zip(logits, test_targets, strict=True))
    n, weights, share = len(logits), len(model.parameters()), f"{correct / len(logits):.1%}"
    work = 4 * sum(int(n) for n in re.findall(r"#define DIGITS_(?:WORK|INPUTS|OUTPUTS) (\d+)", written))
    us = f"{seconds * 1e6:.2f} us"
    lines = [
        (f"test accuracy: {share}, {correct} of {n} images", f"测试集准确率：{share}，{n} 张图片中的 {correct} 张"),
        (
            f"answers like the engine's: {alike} of {n}; logits differ by at most {apart:.1e}",
            f"与引擎的回答相同：{n} 张中的 {alike} 张；logits 相差不超过 {apart:.1e}",
        ),
        (
            f"memory: {work:,} bytes, the image and the logits among them",
            f"内存：{work:,} 字节，包括图片和 logits",
        ),
        (f"time: {us} an image, compiled with -O2, on this machine", f"时间：每张图片 {us}，用 -O2 编译，在本机上"),
    ]
    if taken:
        lines[2:2] = [
            (
                f"code: {taken.code:,} bytes, compiled with -Os; without what it uses of math.h",
                f"代码：{taken.code:,} 字节，用 -Os 编译，不含 math.h 的函数",
            ),
            (
                f"constants: {taken.constants:,} bytes, {weights:,} weights among them",
                f"常量：{taken.constants:,} 字节，其中有 {weights:,} 个权重",
            ),
            (f"stack: {taken.stack:,} bytes at most", f"栈：至多 {taken.stack:,} 字节"),
        ]
    for english, chinese in lines:
        print(text(english, chinese))


if __name__ == "__main__":
    main()
