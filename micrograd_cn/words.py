"""The words of pictures and pages in English and Chinese, and which language to use."""

from __future__ import annotations

import os

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
        "fold": 'fold must be "auto", "neuron", "layer" or None, got {given!r}',
        "too_large": "the picture would have {boxes} boxes, more than max_nodes={limit}; {hint}",
        "hint_fold": 'use fold="layer", draw a smaller part of the graph, or raise max_nodes',
        "hint_part": "draw a smaller part of the graph (any Value in it can be the root), or raise max_nodes",
        "no_renderer": "no renderer found to draw {format}: install Graphviz (its program `dot`) or "
        "`pip install 'micrograd-cn[viz]'`",
        "no_format": "graphviz-pure cannot draw {format}: install Graphviz (its program `dot`)",
        "no_glyphs": "graphviz-pure has no glyphs for {characters} in a {format}, which would show empty squares: draw "
        "an svg, or install Graphviz (its program `dot`) and a font that has them, such as Noto Sans CJK for Chinese",
        "no_font": "no Chinese font is installed, so a {format} would show empty squares: draw an svg, or install a "
        "Chinese font such as Noto Sans CJK (Debian: apt-get install fonts-noto-cjk)",
        "too_slow": "{name} was still drawing {format} after {seconds:g} s; draw a smaller graph",
        "failed": "{name} could not draw {format}: {message}",
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
        "fold": 'fold 必须是 "auto"、"neuron"、"layer" 或 None，得到的是 {given!r}',
        "too_large": "这张图会有 {boxes} 个框，超过了 max_nodes={limit}；{hint}",
        "hint_fold": '可以用 fold="layer" 折叠、只画计算图的一部分，或者调大 max_nodes',
        "no_renderer": "没有找到可以画 {format} 的渲染器：请安装 Graphviz（程序 `dot`），或者 "
        "`pip install 'micrograd-cn[viz]'`",
        "no_format": "graphviz-pure 画不了 {format}：请安装 Graphviz（程序 `dot`）",
        "no_glyphs": "graphviz-pure 画 {format} 时没有“{characters}”的字形，只会显示空方框：请改画 svg，或者安装 "
        "Graphviz（程序 `dot`）和含有这些字的字体，例如中文字体 Noto Sans CJK",
        "no_font": "没有安装中文字体，{format} 里只会显示空方框：请改画 svg，或者安装中文字体，例如 Noto Sans CJK"
        "（Debian：apt-get install fonts-noto-cjk）",
        "too_slow": "{seconds:g} 秒之后 {name} 还没有画完 {format}；请画小一些的计算图",
        "failed": "{name} 画不了 {format}：{message}",
        "hint_part": "可以只画计算图的一部分（其中任何一个 Value 都可以作为根节点），或者调大 max_nodes",
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
