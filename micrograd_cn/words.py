"""The words of pictures and pages in English and Chinese, and which language to use."""

from __future__ import annotations

import os

__all__ = ["PAGE", "WORDS", "language"]

WORDS = {
    "en": {
        "data": "data",
        "grad": "grad",
        "nodes": "nodes",
        "legend_box": "thick: parameter   rounded: input   dashed: constant   double: output",
        "legend_edge": "edge: × local derivative → contribution to the operand's gradient",
        "legend_flow": "arrows: forward pass; the gradient flows against them",
        "legend_width": "width: |contribution|, largest {largest}",
        "legend_colour": "blue: +   orange: −   dashed grey: 0",
        "legend_fold": "grey box: a folded part (number of nodes, norm of its parameters' gradient)",
        "not_a_value": "draw_dot() takes a Value, got {kind}",
        "rankdir": 'rankdir must be "LR" or "TB", got {given!r}',
        "fold": 'fold must be "auto", "neuron", "layer", "scope" or None, got {given!r}',
        "too_large": "the picture would have {boxes} boxes, more than max_nodes={limit}; {hint}",
        "hint_fold": 'use fold="layer" or "scope", draw a smaller part of the graph, or raise max_nodes',
        "hint_part": "draw a smaller part of the graph (any Value in it can be the root), or raise max_nodes",
        "no_graphviz": "drawing needs the Python package graphviz: pip install graphviz",
        "no_renderer": "no renderer found to draw {format}: install Graphviz (its program `dot`) or "
        "`pip install 'micrograd-cn[viz]'`",
        "no_format": "graphviz-pure cannot draw {format}: install Graphviz (its program `dot`)",
        "no_glyphs": "graphviz-pure has no glyphs for {characters} in a {format}, which would show empty squares: draw "
        "an svg, or install Graphviz (its program `dot`) and a font that has them, such as Noto Sans CJK for Chinese",
        "no_font": "no Chinese font is installed, so a {format} would show empty squares: draw an svg, or install a "
        "Chinese font such as Noto Sans CJK (Debian: apt-get install fonts-noto-cjk)",
        "too_slow": "{name} was still drawing {format} after {seconds:g} s; draw a smaller graph",
        "failed": "{name} could not draw {format}: {message}",
        "page_not_a_value": "draw_flow() takes a Value or a Tape, got {kind}",
        "page_constant": "draw_flow() of the constant {root!r}: it was made from constants alone, detached, or inside "
        "no_grad(), so no gradient flows; give it a Value that depends on a leaf",
        "page_too_large": "the page would have {boxes} boxes, more than {limit}; give it a smaller part of the graph "
        "(any Value in it can be the root)",
        "page_empty": "the tape is empty: call snapshot(loss) in the training loop before saving the page",
        "narrate_edge": "{name}.grad: {before} + (local {local} × upstream {upstream}) = {after}",
        "did_you_mean": "; did you mean {name!r}?",
        "parse_operand": "expected a number, a name, a function or '(', got {found}",
        "parse_end": "the expression ends where a number, a name, a function or '(' should follow",
        "parse_operator": "expected an operator or the end, got {found}; a product needs its *",
        "parse_sign": "{found} has no meaning here; the operators are {operators}, all else is a function",
        "parse_meant": "{found} is no operator or bracket; write {meant}",
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
        "cli_wrote": "wrote {path}",
        "cli_forward": "Forward pass",
        "cli_forward_columns": "step|node|numbers put in|data",
        "cli_backward": "Backward pass: {root}.grad = 1, then one edge at a time",
        "cli_backward_columns": "step|from|to|local derivative|upstream gradient|contribution|gradient so far",
        "cli_gradients": "Gradients",
        "cli_misuse": "{message}\nTry: python -m micrograd_cn --help",
        "cli_help": """\
usage: python -m micrograd_cn EXPRESSION [NAME=NUMBER ...] [-o FILE ...] [--lang en|zh]

Compute an expression and explain its gradient step by step.

  EXPRESSION        such as "tanh(w*x + b)"; quote it for the shell
  NAME=NUMBER       the number of a variable, such as w=-3 or x=pi/2
  -o, --output FILE write the step-by-step page (.html) or the picture ({endings}); may be repeated
  --lang en|zh      the language; the locale's by default
  -h, --help        show this text

operators: {operators}
constants: {constants}
functions: {functions}
""",
    },
    "zh": {
        "data": "数值",
        "grad": "梯度",
        "nodes": "个节点",
        "legend_box": "粗边框：参数   圆角框：输入   虚线框：常量   双线框：输出",
        "legend_edge": "边：× 局部导数 → 对操作数梯度的贡献",
        "legend_flow": "箭头：前向传播；梯度沿箭头反方向传播",
        "legend_width": "线宽：|贡献|，最大为 {largest}",
        "legend_colour": "蓝：+   橙：−   灰色虚线：0",
        "legend_fold": "灰框：折叠的部分（节点数、参数梯度的范数）",
        "not_a_value": "draw_dot() 需要一个 Value，得到的是 {kind}",
        "rankdir": 'rankdir 必须是 "LR" 或 "TB"，得到的是 {given!r}',
        "fold": 'fold 必须是 "auto"、"neuron"、"layer"、"scope" 或 None，得到的是 {given!r}',
        "too_large": "这张图会有 {boxes} 个框，超过了 max_nodes={limit}；{hint}",
        "hint_fold": '可以用 fold="layer" 或 "scope" 折叠、只画计算图的一部分，或者调大 max_nodes',
        "no_graphviz": "画图需要 Python 包 graphviz：pip install graphviz",
        "no_renderer": "没有找到可以画 {format} 的渲染器：请安装 Graphviz（程序 `dot`），或者 "
        "`pip install 'micrograd-cn[viz]'`",
        "no_format": "graphviz-pure 画不了 {format}：请安装 Graphviz（程序 `dot`）",
        "no_glyphs": "graphviz-pure 画 {format} 时没有“{characters}”的字形，只会显示空方框：请改画 svg，或者安装 "
        "Graphviz（程序 `dot`）和含有这些字的字体，例如中文字体 Noto Sans CJK",
        "no_font": "没有安装中文字体，{format} 里只会显示空方框：请改画 svg，或者安装中文字体，例如 Noto Sans CJK"
        "（Debian：apt-get install fonts-noto-cjk）",
        "too_slow": "{seconds:g} 秒之后 {name} 还没有画完 {format}；请画小一些的计算图",
        "failed": "{name} 画不了 {format}：{message}",
        "page_not_a_value": "draw_flow() 需要一个 Value 或 Tape，得到的是 {kind}",
        "page_constant": "draw_flow() 得到的是常量 {root!r}：它只由常量算出、经过了 detach()，或者是在 no_grad() 里"
        "算出的，没有梯度可以传播；请给出一个依赖于叶节点的 Value",
        "page_too_large": "页面里会有 {boxes} 个框，超过了 {limit} 个；请只取计算图的一部分"
        "（其中任何一个 Value 都可以作为根节点）",
        "page_empty": "记录是空的：保存页面之前，请在训练循环里调用 snapshot(loss)",
        "hint_part": "可以只画计算图的一部分（其中任何一个 Value 都可以作为根节点），或者调大 max_nodes",
        "narrate_edge": "{name}.grad：{before} + (局部导数 {local} × 上游梯度 {upstream}) = {after}",
        "did_you_mean": "；是不是想写 {name!r}？",
        "parse_operand": "这里应当是数、变量名、函数或 '('，得到的是 {found}",
        "parse_end": "表达式不完整：后面还应当有数、变量名、函数或 '('",
        "parse_operator": "这里应当是运算符，或者表达式到此结束，得到的是 {found}；乘号 * 不能省略",
        "parse_sign": "{found} 在这里没有意义；运算符只有 {operators}，其他运算请用函数",
        "parse_meant": "{found} 不是这里的运算符或括号；请写成 {meant}",
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
        "cli_wrote": "已写入 {path}",
        "cli_forward": "前向传播",
        "cli_forward_columns": "步骤|节点|代入数值|数值",
        "cli_backward": "反向传播：{root}.grad = 1，然后逐边累加",
        "cli_backward_columns": "步骤|从|到|局部导数|上游梯度|贡献|累加后的梯度",
        "cli_gradients": "梯度",
        "cli_misuse": "{message}\n用法见：python -m micrograd_cn --help",
        "cli_help": """\
用法：python -m micrograd_cn 表达式 [名字=数 ...] [-o 文件 ...] [--lang en|zh]

计算一个表达式，并逐步解释它的梯度。

  表达式            例如 "tanh(w*x + b)"；在命令行里要加引号
  名字=数           变量的值，例如 w=-3 或 x=pi/2
  -o, --output 文件 写出逐步演示的网页（.html）或图片（{endings}）；可以重复使用
  --lang en|zh      语言；默认由系统区域设置决定
  -h, --help        显示本帮助

运算符：{operators}
常量：{constants}
函数：{functions}
""",
    },
}

# Of the gradient-flow page, which is given both languages. {…} are filled in by the page.
PAGE = {
    "en": {
        "title": "Gradient flow",
        "noscript": "This page needs JavaScript, which is part of it: nothing is loaded from anywhere.",
        "other_language": "中文",
        "help": "Help",
        "close": "Close",
        "graph": "The computation graph of {root}; the tables below say the same in text",
        "start": "Start",
        "node_back": "Node back",
        "back": "Back",
        "play": "Play",
        "pause": "Pause",
        "step": "Step",
        "node_step": "Next node",
        "end": "End",
        "progress": "step {position} of {count}",
        "again": "backward() again",
        "zero": "zero_grad()",
        "predict": "Predict",
        "tape": "Training step",
        "tape_text": "step {step} of {count}, {root} = {value}",
        "curve": "The curve of {root}",
        "leaf": "Leaf",
        "value": "Value",
        "nudge": "Nudge",
        "undo": "Undo edits",
        "not_editable": "Leaves cannot be edited here: the operation {op} is not written in the table's operations, so "
        "the page cannot compute it.",
        "not_a_number": "Not a number: write one such as 0.5, -2e-3, inf or nan.",
        "nudged": "Nudge {name} by ±{step}: {root} becomes {below} and {above}, a slope of {slope}. The gradient by "
        "backward() is {grad}: {verdict}.",
        "agree": "they agree",
        "differ": "they differ, as at a kink",
        "unclear": "differences cannot tell at such numbers",
        "question": "What is the number at the question mark? Two digits are enough.",
        "check": "Check",
        "reveal": "Show it",
        "wrong": "Not yet. Work it out again, or let it be shown.",
        "arrived": "{count} of {total} arrived",
        "constant": "constant",
        "waiting": "waiting",
        "partial": "partial",
        "complete": "complete",
        "standing": "{state}: {arrived}",
        "at_start": "The leaves have their values. Step forward: each node is computed from its operands.",
        "at_forward": "Forward: {formula} = {value}",
        "at_forward_folded": "Forward: {box} is computed, nodes: {count}.",
        "at_seed": "{name}.grad = {value}: backward starts at the root, whose derivative with respect to itself is 1.",
        "at_seed_again": "{name}.grad = {value}: backward starts again without zero_grad(). Interior gradients start "
        "at 0, leaf gradients keep what they have.",
        "at_send_folded": "Inside {box}, nodes that are complete send {count} contributions, {inside} of them to nodes "
        "of {box} itself.",
        "at_send_on": "{box} goes on: nodes in it that are complete send {count} contributions, {inside} of them to "
        "nodes of {box} itself.",
        "at_zero": "zero_grad(): every gradient is 0 again, and the next backward() starts afresh.",
        "is_waiting": "{name}: {count} of {total} arrived; it cannot send before all have.",
        "is_complete": "{name}: {count} of {total} arrived, complete: now it can send.",
        "leaf_complete": "{name}: {count} of {total} arrived, complete.",
        "is_done": "Every gradient is complete.",
        "is_done_again": "Leaf gradients have added up over {count} backward passes, which is why zero_grad() stands "
        "between training steps.",
        "name": "node",
        "operation": "operation",
        "terms": "terms",
        "state": "state",
        "from": "operand",
        "to": "result",
        "slot": "slot",
        "local": "local derivative",
        "upstream": "upstream gradient",
        "contribution": "contribution",
        "node_table": "Nodes",
        "edge_table": "Edges",
        "help_intro": "The arrows are the forward pass. Backward, each edge carries the local derivative × the "
        "upstream gradient to its operand, which adds it to its own gradient (+=) and sends only when all its terms "
        "have arrived: hence the topological order. Click a leaf to edit its value.",
        "key_step": "one step forward or back",
        "key_node": "a whole node forward or back",
        "key_start": "the start, with a single backward()",
        "key_end": "the end",
        "key_play": "play or pause",
        "key_language": "中文 or English",
        "key_help": "this help",
    },
    "zh": {
        "title": "梯度的流动",
        "noscript": "本页面需要 JavaScript；脚本就在页面里，不会从任何地方加载内容。",
        "other_language": "English",
        "help": "帮助",
        "close": "关闭",
        "graph": "{root} 的计算图；下方的表格用文字给出同样的内容",
        "start": "开头",
        "node_back": "上一节点",
        "back": "后退",
        "play": "播放",
        "pause": "暂停",
        "step": "前进",
        "node_step": "下一节点",
        "end": "结尾",
        "progress": "第 {position} 步，共 {count} 步",
        "again": "再次 backward()",
        "zero": "zero_grad()",
        "predict": "预测",
        "tape": "训练步",
        "tape_text": "第 {step} 步，共 {count} 步，{root} = {value}",
        "curve": "{root} 的变化曲线",
        "leaf": "叶节点",
        "value": "数值",
        "nudge": "扰动检验",
        "undo": "撤销修改",
        "not_editable": "这里不能修改叶节点：运算 {op} 不是用运算表中的运算写成的，页面无法计算它。",
        "not_a_number": "这不是数字：请输入 0.5、-2e-3、inf 或 nan 这样的数。",
        "nudged": "把 {name} 扰动 ±{step}：{root} 变为 {below} 和 {above}，斜率为 {slope}。backward() 得到的梯度是 "
        "{grad}：{verdict}。",
        "agree": "两者一致",
        "differ": "两者不一致，可能遇到了不可导点",
        "unclear": "在这样的数上，差分说明不了问题",
        "question": "问号处的数是多少？答对两位有效数字即可。",
        "check": "检查",
        "reveal": "显示答案",
        "wrong": "还不对。再算一次，或者显示答案。",
        "arrived": "已到 {count} 项，共 {total} 项",
        "constant": "常量",
        "waiting": "等待",
        "partial": "未到齐",
        "complete": "完成",
        "standing": "{state}：{arrived}",
        "at_start": "叶节点已有数值。向前一步：每个节点由它的操作数算出。",
        "at_forward": "前向传播：{formula} = {value}",
        "at_forward_folded": "前向传播：算出 {box}，共 {count} 个节点。",
        "at_seed": "{name}.grad = {value}：反向传播从根节点开始，它对自身的导数是 1。",
        "at_seed_again": "{name}.grad = {value}：没有调用 zero_grad() 就再次反向传播。内部节点的梯度从 0 开始，"
        "叶节点保留原有的梯度。",
        "at_send_folded": "{box} 内部各项已到齐的节点送出 {count} 项贡献，其中 {inside} 项送给 {box} 自己的节点。",
        "at_send_on": "{box} 继续：内部各项已到齐的节点又送出 {count} 项贡献，其中 {inside} 项送给 {box} 自己的节点。",
        "at_zero": "zero_grad()：所有梯度归零，下一次 backward() 重新开始。",
        "is_waiting": "{name}：已到 {count} 项，共 {total} 项；到齐之前不能继续传播。",
        "is_complete": "{name}：已到 {count} 项，共 {total} 项，完成：可以继续传播。",
        "leaf_complete": "{name}：已到 {count} 项，共 {total} 项，完成。",
        "is_done": "所有梯度都已完成。",
        "is_done_again": "叶节点的梯度累加了 {count} 次反向传播的结果，所以两个训练步之间要调用 zero_grad()。",
        "name": "节点",
        "operation": "运算",
        "terms": "各项",
        "state": "状态",
        "from": "操作数",
        "to": "结果",
        "slot": "序号",
        "local": "局部导数",
        "upstream": "上游梯度",
        "contribution": "贡献",
        "node_table": "节点",
        "edge_table": "边",
        "help_intro": "箭头是前向传播的方向。反向传播时，每条边把“局部导数 × 上游梯度”送给操作数，操作数把它加到自己的"
        "梯度上（+=），各项到齐之后才继续传播：这就是需要拓扑顺序的原因。点击叶节点可以修改它的数值。",
        "key_step": "前进或后退一步",
        "key_node": "前进或后退一个节点",
        "key_start": "回到开头，只保留一次 backward()",
        "key_end": "到结尾",
        "key_play": "播放或暂停",
        "key_language": "English 或中文",
        "key_help": "显示帮助",
    },
}


def language(lang: str | None) -> str:
    """Return `lang`, or the locale's language for None: "zh" if it is Chinese, else "en".

    Raises:
        ValueError: there are no words in this language.

    >>> language("zh")
    'zh'
    """
    if lang is None:
        chosen = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
        return "zh" if chosen.lower().startswith("zh") else "en"
    if lang not in WORDS:
        raise ValueError(f"lang must be one of {', '.join(map(repr, WORDS))}, or None for the locale's, got {lang!r}")
    return lang
