"""The words that pictures, HTML pages and the command line share, in English and Chinese, and the choice of a language.

`WORDS` gives the words of a language by key. The texts that only the HTML pages have are in micrograd_cn/flow/texts/.
"""

from __future__ import annotations

import os
import sys

__all__ = ["WORDS", "instead_of", "language"]

WORDS = {
    "en": {
        "data": "data",
        "grad": "grad",
        "node_count": "nodes",
        "grad_norm": "|grad|",
        "edges": "{count} edges",
        "norm": "norm {norm}",
        "adds_up": "these edges: {total}",
        "legend_flow": "{arrow} gradient: upstream × local derivative = contribution",
        "legend_local": "{arrow} forward pass; × local derivative",
        "legend_positive": "positive",
        "legend_negative": "negative",
        "legend_width": "wide: large (at most {largest})",
        "legend_parameter": "filled: parameter",
        "legend_output": "bold frame: output",
        "legend_dashed": "dashed: 0, or a constant",
        "legend_fold": "grey: folded; |grad|: norm of its parameters' gradients",
        "legend_wrong": "yellow: this gradient is not (≠) the sum of the contributions",
        "legend_unknown": "dotted, × ?: the local derivative is not known",
        "not_a_value": "draw_dot() takes a Value, got {kind}",
        "needed": "; a node of your own class needs `data`, `grad`, `_prev` (its operands) and `_op` (such as '+')",
        "needed_model": "; write {call}({f}(x)) for the graph of what {f} computes from x",
        "needed_one": "; write {call}(xs[0]) for one of several, or {call}(sum(xs)) for the graph of all",
        "needed_graph": "; a number has no graph, so compute it from Values",
        "opaque_unknown": "unknown operation",
        "opaque_value": "but {shown}",
        "opaque_order": "order of operands unknown",
        "opaque_operands": "an operand is missing",
        "format_type": 'format must be a str, such as "svg", got a {kind}; write parameters=... for parameters to mark',
        "rankdir": 'rankdir must be "LR" or "TB", got {given!r}',
        "fold": 'fold must be "auto", "neuron", "layer", "scope" or None, got {given!r}',
        "parameters": "parameters must be a model, Values, or a dict or pairs with names of them, got the {kind} "
        "{given!r}; write parameters=model, or parameters=[w, b] for Values w and b",
        "fontname": 'fontname must be a str, such as "Helvetica,Arial", or None, got {given!r}',
        "step": "step must be a number of edges from 0 to {last}, got {given}",
        "step_type": "step must be an int, how many edges the backward pass has gone along, got {given!r}",
        "step_constant": "{call}: no gradient flows to the constant {root!r}, so there are no steps to draw; give a "
        "Value that depends on a leaf",
        "step_unknown": "{call}: the local derivative of {op} is not known, so there are no steps to draw; without "
        "step=, draw_dot shows the gradients that your class computed",
        "pass_title": "Backpropagation through {expression}",
        "pass_moves": "The forward pass computes the data, then the gradient flows back one edge at a time: upstream × "
        "local derivative = contribution. At the end: {gradients}.",
        "page_ending": "a file of playground() ends in .html, because it is a page, got {path}",
        "pass_ending": "a file of draw_flow() ends in .html (the page), .svg (an animation) or .gif, got {path}",
        "pass_tape": "{path}: an animation shows one backward pass, and the tape has {count} graphs; write "
        "draw_flow(y).save(...) for one of them, or .html for all",
        "pass_changed": "{path}: data has changed since draw_flow(y); write draw_flow(y).save(...) again",
        "pass_large": "{path}: a graph of {boxes} boxes and {edges} edges is too large for an animation; save a page "
        "(.html), or draw a smaller part of the graph",
        "no_pillow": "a GIF needs the package Pillow: python -m pip install pillow; an animated .svg does not",
        "too_large": "the picture would have {boxes} boxes, more than max_nodes={limit}; {hint}",
        "hint_fold": 'use fold="layer" or "scope", draw a smaller part of the graph, or raise max_nodes',
        "hint_part": "draw a smaller part of the graph (any Value in it can be the root), or raise max_nodes",
        "no_graphviz": "drawing needs the Python package graphviz: pip install graphviz",
        "no_renderer": "no renderer found to draw {format}: install Graphviz (its program `dot`) or "
        "`pip install graphviz-pure`",
        "no_format": "graphviz-pure cannot draw {format}: install Graphviz (its program `dot`)",
        "no_glyphs": "graphviz-pure has no glyphs for {characters} in a {format}, which would show empty squares: draw "
        "an svg, or install Graphviz (its program `dot`) and a font that has them, such as Noto Sans CJK for Chinese",
        "no_font": "no Chinese font is installed, so a {format} would show empty squares: draw an svg, or install a "
        "Chinese font such as Noto Sans CJK (Debian: apt-get install fonts-noto-cjk)",
        "too_slow": "{name} was still drawing {format} after {seconds:g} s; draw a smaller graph",
        "failed": "{name} could not draw {format}: {message}",
        "narrate_edge": "{name}.grad: {before} + (local {local} × upstream {upstream}) = {after}",
        "narrate_unselected": "{name}.grad stays {after}: nothing flows to {name}, because {op} did not select it",
        "narrate_unreached": "{name}.grad stays {after}: nothing flows to {name}, because no gradient reached {node}",
        "narrate_still": "{name}.grad stays {after}: the derivative of {op} with respect to {name} is 0 everywhere",
        "nothing": "nothing",
        "unselected": "not selected",
        "did_you_mean": "; did you mean {name!r}?",
        "parse_operand": "expected a number, a name, a function or '(', got {found}",
        "parse_end": "the expression ends where a number, a name, a function or '(' should follow",
        "parse_operator": "expected an operator or the end, got {found}; a product needs its *",
        "parse_sign": "{found} has no meaning here; the operators are {operators}, all else is a function, such "
        "as less(a, b) for a < b and equal(a, b) for a == b",
        "parse_meant": "{found} has no meaning here; write {meant}",
        "parse_dot": "no name in an expression has a dot; write {meant}",
        "parse_unclosed": "this bracket is never closed",
        "parse_closing": "{found} closes no bracket",
        "parse_comma": "a comma may only separate the arguments of a function, or the elements of a list",
        "parse_list": "a list may only be an argument of a function, as in sum([a, b])",
        "parse_reserved": "{found} is a reserved word of Python, not a name",
        "parse_unknown_function": "there is no function {found}",
        "parse_unknown_variable": "no number is given for {found}; write one after the expression, as in x=2",
        "parse_called_variable": "{found} is a variable, not a function; a product needs its *",
        "parse_uncalled_function": "{found} is a function and needs its arguments in parentheses",
        "parse_call": "{found} takes other arguments; write {usage}",
        "parse_lists": "{found} needs lists that are not empty and have one length; write {usage}",
        "cli_error": "column {column}: {message}",
        "cli_assignment": "expected name=number, as in x=2",
        "cli_twice": "{name!r} is given twice",
        "cli_unused": "{name!r} does not occur in the expression",
        "cli_ending": "cannot write {path}: the name must end in {endings}",
        "cli_unwritable": "cannot write {path}: {message}",
        "cli_constant": "cannot write {path}: the expression has no variable, so there is no gradient to step through",
        "cli_unknown": "there is no option {options}",
        "cli_no_file": "-o needs the name of a file, as in -o flow.html",
        "cli_lang": "--lang needs one of the languages en and zh",
        "cli_playground": "--playground needs a page's name and nothing else, as in --playground -o playground.html",
        "cli_wrote": "wrote {path}",
        "cli_forward": "Forward pass",
        "cli_forward_columns": "step|node|numbers put in|data",
        "cli_backward": "Backward pass: {root}.grad = 1, then one edge at a time",
        "cli_backward_columns": "step|from|to|local derivative|upstream gradient|contribution|gradient so far",
        "cli_gradients": "Gradients",
        "cli_misuse": "{message}\nTry: python -m micrograd_cn --help",
        "cli_help": """\
usage: python -m micrograd_cn EXPRESSION [NAME=NUMBER ...] [-o FILE ...] [--lang en|zh]
       python -m micrograd_cn --playground -o FILE.html [--lang en|zh]

Compute an expression and explain its gradient step by step.

  EXPRESSION        such as "tanh(w*x + b)"; quote it for the shell
  NAME=NUMBER       the number of a variable, such as w=-3 or x=pi/2
  -o, --output FILE write the step-by-step page (.html) or the picture ({endings}); may be repeated
  --playground      write a page in which you type expressions and train networks
  --lang en|zh      the language; by default that of the locale
  --version         show the version
  -h, --help        show this text

operators: {operators}
constants: {constants}
functions: {functions}
""",
    },
    "zh": {
        "data": "数值",
        "grad": "梯度",
        "node_count": "节点数",
        "grad_norm": "|梯度|",
        "edges": "{count} 条边",
        "norm": "范数 {norm}",
        "adds_up": "图中各边合计 {total}",
        "legend_flow": "{arrow} 梯度：上游梯度 × 局部导数 = 贡献",
        "legend_local": "{arrow} 前向传播；× 局部导数",
        "legend_positive": "正",
        "legend_negative": "负",
        "legend_width": "越粗，贡献越大（最大 {largest}）",
        "legend_parameter": "着色：参数",
        "legend_output": "粗框：输出",
        "legend_dashed": "虚线：0 或常量",
        "legend_fold": "灰框：折叠的部分；|梯度|：其中参数梯度的范数",
        "legend_wrong": "黄框：这里的梯度不等于（≠）各个贡献之和",
        "legend_unknown": "点线和 × ?：局部导数未知",
        "not_a_value": "draw_dot() 需要一个 Value，收到的是 {kind}",
        "needed": "；自己写的类的节点需要有 `data`、`grad`、`_prev`（操作数）和 `_op`（例如 '+'）",
        "needed_model": "；要画 {f} 由 x 算出的结果的图，请写 {call}({f}(x))",
        "needed_one": "；要画其中一个，请写 {call}(xs[0])；要画全部，请写 {call}(sum(xs))",
        "needed_graph": "；数没有计算图，请用 Value 来计算",
        "opaque_unknown": "未知的运算",
        "opaque_value": "但是 {shown}",
        "opaque_order": "操作数的顺序不明",
        "opaque_operands": "缺少一个操作数",
        "format_type": 'format 必须是 str，例如 "svg"，收到的是 {kind}；要标出参数，请写 parameters=...',
        "rankdir": 'rankdir 必须是 "LR" 或 "TB"，收到的是 {given!r}',
        "fold": 'fold 必须是 "auto"、"neuron"、"layer"、"scope" 或 None，收到的是 {given!r}',
        "parameters": "parameters 必须是模型、Value，或者含有它们的字典或（名称，Value）对，收到的是 {kind} {given!r}；"
        "请写 parameters=model，或者对 Value w 和 b 写 parameters=[w, b]",
        "fontname": 'fontname 必须是 str（例如 "Helvetica,Arial"）或 None，收到的是 {given!r}',
        "step": "step 是反向传播走过的边数，必须在 0 到 {last} 之间，收到的是 {given}",
        "step_type": "step 是反向传播走过的边数，必须是 int，收到的是 {given!r}",
        "step_constant": "{call}：没有梯度传给常量 {root!r}，没有步骤可画；请给出一个依赖于叶节点的 Value",
        "step_unknown": "{call}：{op} 的局部导数未知，没有步骤可画；不写 step= 时，draw_dot 画出你的类算出的梯度",
        "pass_title": "{expression} 的反向传播",
        "pass_moves": "先由前向传播算出数值，然后梯度一次沿一条边往回传："
        "上游梯度 × 局部导数 = 贡献。最后：{gradients}。",
        "page_ending": "playground() 写的文件是网页，以 .html 结尾，收到的是 {path}",
        "pass_ending": "draw_flow() 写的文件以 .html（网页）、.svg（动画）或 .gif 结尾，收到的是 {path}",
        "pass_tape": "{path}：动画演示一次反向传播，而记录里有 {count} 张计算图；要其中一张，请写 "
        "draw_flow(y).save(...)；要全部，请存成 .html",
        "pass_changed": "{path}：draw_flow(y) 之后数值变了；请重新写 draw_flow(y).save(...)",
        "pass_large": "{path}：{boxes} 个框、{edges} 条边的图太大，做不成动画；"
        "请存成网页（.html），或者只画计算图的一部分",
        "no_pillow": "GIF 需要 Python 包 Pillow：python -m pip install pillow；动画 .svg 不需要",
        "too_large": "这张图会有 {boxes} 个框，超过了 max_nodes={limit}；{hint}",
        "hint_fold": '可以用 fold="layer" 或 "scope" 折叠、只画计算图的一部分，或者调大 max_nodes',
        "no_graphviz": "画图需要 Python 包 graphviz：pip install graphviz",
        "no_renderer": "没有找到可以画 {format} 的渲染器：请安装 Graphviz（程序 `dot`），或者 "
        "`pip install graphviz-pure`",
        "no_format": "graphviz-pure 画不了 {format}：请安装 Graphviz（程序 `dot`）",
        "no_glyphs": "graphviz-pure 画 {format} 时没有“{characters}”的字形，只会显示空方框：请改画 svg，或者安装 "
        "Graphviz（程序 `dot`）和含有这些字的字体，例如中文字体 Noto Sans CJK",
        "no_font": "没有安装中文字体，{format} 里只会显示空方框：请改画 svg，或者安装中文字体，例如 Noto Sans CJK"
        "（Debian：apt-get install fonts-noto-cjk）",
        "too_slow": "{seconds:g} 秒之后 {name} 还没有画完 {format}；请画小一些的计算图",
        "failed": "{name} 画不了 {format}：{message}",
        "hint_part": "可以只画计算图的一部分（其中任何一个 Value 都可以作为根节点），或者调大 max_nodes",
        "narrate_edge": "{name}.grad：{before} + (局部导数 {local} × 上游梯度 {upstream}) = {after}",
        "narrate_unselected": "{name}.grad 仍为 {after}：{op} 没有选中 {name}，没有梯度传给它",
        "narrate_unreached": "{name}.grad 仍为 {after}：{node} 没有收到梯度，也没有梯度传给 {name}",
        "narrate_still": "{name}.grad 仍为 {after}：{op} 对 {name} 的导数处处为 0",
        "nothing": "不传梯度",
        "unselected": "未选中",
        "did_you_mean": "；是不是想写 {name!r}？",
        "parse_operand": "这里应当是数、变量名、函数或 '('，却是 {found}",
        "parse_end": "表达式不完整：后面还应当有数、变量名、函数或 '('",
        "parse_operator": "这里应当是运算符，或者表达式到此结束，却是 {found}；乘号 * 不能省略",
        "parse_sign": "{found} 在这里没有意义；运算符只有 {operators}，其他运算请用函数，"
        "例如 a < b 写成 less(a, b)，a == b 写成 equal(a, b)",
        "parse_meant": "{found} 在这里没有意义；请写成 {meant}",
        "parse_dot": "表达式里的名字不能带点；请写成 {meant}",
        "parse_unclosed": "这个括号没有闭合",
        "parse_closing": "{found} 没有对应的左括号",
        "parse_comma": "逗号只能分隔函数的参数或列表的元素",
        "parse_list": "列表只能作为函数的参数，例如 sum([a, b])",
        "parse_reserved": "{found} 是 Python 的保留字，不能用作名字",
        "parse_unknown_function": "没有名为 {found} 的函数",
        "parse_unknown_variable": "没有给出 {found} 的值；请写在表达式后面，例如 x=2",
        "parse_called_variable": "{found} 是变量，不是函数；乘号 * 不能省略",
        "parse_uncalled_function": "{found} 是函数，参数要写在括号里",
        "parse_call": "{found} 的参数不对；请写成 {usage}",
        "parse_lists": "{found} 的列表不能为空，长度必须相同；请写成 {usage}",
        "cli_error": "第 {column} 列：{message}",
        "cli_assignment": "这里应当是 名字=数，例如 x=2",
        "cli_twice": "重复给出了 {name!r} 的值",
        "cli_unused": "表达式里没有用到 {name!r}",
        "cli_ending": "无法写入 {path}：文件名必须以 {endings} 结尾",
        "cli_unwritable": "无法写入 {path}：{message}",
        "cli_constant": "无法写入 {path}：表达式里没有变量，没有梯度可以逐步演示",
        "cli_unknown": "没有选项 {options}",
        "cli_no_file": "-o 后面要写文件名，例如 -o flow.html",
        "cli_lang": "--lang 后面要写语言：en 或 zh",
        "cli_playground": "--playground 后面只需写网页的文件名，例如 --playground -o playground.html",
        "cli_wrote": "已写入 {path}",
        "cli_forward": "前向传播",
        "cli_forward_columns": "步骤|节点|代入数值|数值",
        "cli_backward": "反向传播：{root}.grad = 1，然后逐边累加",
        "cli_backward_columns": "步骤|从|到|局部导数|上游梯度|贡献|累加后的梯度",
        "cli_gradients": "梯度",
        "cli_misuse": "{message}\n用法见：python -m micrograd_cn --help",
        "cli_help": """\
用法：python -m micrograd_cn 表达式 [名字=数 ...] [-o 文件 ...] [--lang en|zh]
      python -m micrograd_cn --playground -o 文件.html [--lang en|zh]

计算一个表达式，并逐步解释它的梯度。

  表达式            例如 "tanh(w*x + b)"；在命令行里要加引号
  名字=数           变量的值，例如 w=-3 或 x=pi/2
  -o, --output 文件 写出逐步演示的网页（.html）或图片（{endings}）；可以重复使用
  --playground      写出演练场网页：输入表达式、训练神经网络
  --lang en|zh      语言；默认由系统区域设置决定
  --version         显示版本
  -h, --help        显示本帮助

运算符：{operators}
常量：{constants}
函数：{functions}
""",
    },
}


def instead_of(root: object, call: str, lang: str) -> str:
    """Return the end of an error message about `call(root)`, which says what to write instead; "" if that is not known.

    `call` is the name of a function that draws a graph, such as "draw_dot". It cannot draw `root`. `lang` is the
    language of the message.

    >>> instead_of([1.0], "draw_dot", "en")
    '; write draw_dot(xs[0]) for one of several, or draw_dot(sum(xs)) for the graph of all'
    """
    words = WORDS[lang]
    if callable(root) and not isinstance(root, type):
        return words["needed_model"].format(call=call, f="model" if hasattr(root, "parameters") else "f")
    if hasattr(root, "__len__") and not isinstance(root, str) and getattr(root, "shape", None) != ():
        return words["needed_one"].format(call=call)
    if hasattr(root, "__float__"):
        return words["needed_graph"]
    return words["needed"] if hasattr(root, "data") else ""


def language(lang: str | None) -> str:
    """Return `lang`. If it is None, return "zh" if the reader's language is Chinese, and "en" otherwise.

    The reader's language is that of the environment's locale. On Windows, where a locale is rarely set, the language of
    the menus decides.

    Raises:
        ValueError: there are no words in the language `lang`.
    """
    if lang is None:
        chosen = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), None)
        chinese = chosen.lower().startswith("zh") if chosen is not None else _windows_is_chinese()
        return "zh" if chinese else "en"
    if lang not in WORDS:
        known = ", ".join(map(repr, WORDS))
        raise ValueError(f"lang must be one of {known}, or None for the locale's language, got {lang!r}")
    return lang


def _windows_is_chinese() -> bool:
    """Return whether the menus of Windows are in Chinese."""
    if sys.platform != "win32":
        return False
    import ctypes

    # The lower 10 bits of a LANGID are the language, and the bits above them the region.
    return bool(ctypes.windll.kernel32.GetUserDefaultUILanguage() & 0x3FF == 0x04)
