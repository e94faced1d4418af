"""Read the options that most scripts have: --steps, --seed, --out and --lang, and for some --compiled."""

import argparse
from pathlib import Path

from shared.extras import require
from shared.figures import use_chinese_font
from shared.language import add_language_option, set_language_from_arguments, text


def options(description: str, chinese: str, steps: int, compiled: bool = False) -> argparse.Namespace:
    """Return the options of the command line, set the language that they name, and make the directory --out.

    Args:
        description: the script's docstring; its first paragraph is the help text in English.
        chinese: the help text in Chinese.
        steps: the default of --steps.
        compiled: whether the script has the option --compiled.
    """
    set_language_from_arguments()
    use_chinese_font()
    parser = argparse.ArgumentParser(
        description=text(description.partition("\n\n")[0], chinese),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add, out = parser.add_argument, Path(__file__).parents[1] / "out"
    meaning = text("decides the data, their order and the initial weights", "决定数据、数据的顺序和初始权重")
    add(
        "--steps",
        type=positive_integer,
        default=steps,
        help=text("training steps (mini-batches)", "训练步数（小批量数）"),
    )
    add("--seed", type=int, default=0, help=meaning)
    add("--out", type=Path, default=out, help=text("directory for the pictures", "存放图片的目录"))
    add_language_option(parser)
    if compiled:
        meaning = text("train once more, compiled, and compare", "编译后再训练一次，并作比较")
        add("--compiled", action="store_true", help=meaning)
    chosen = parser.parse_args()
    if compiled and chosen.compiled:
        require("llvmlite", "native")
    chosen.out.mkdir(parents=True, exist_ok=True)
    return chosen


def positive_integer(argument: str) -> int:
    """Return the integer that an argument of the command line stands for.

    If it is less than 1, an error is raised, which argparse reports to the user.
    """
    number = int(argument)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {number}")
    return number
