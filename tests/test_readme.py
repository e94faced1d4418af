"""The code in the READMEs gives the results beside it, the tables fit the package, and both languages say the same."""

import ast
import doctest
import importlib
import io
import itertools
import re
import shlex
import tomllib
from contextlib import redirect_stdout
from copy import copy
from fractions import Fraction
from math import nan
from pathlib import Path
from types import SimpleNamespace
from typing import TypeAlias

import micrograd.engine
import micrograd.nn
import numpy as np
import pytest

import micrograd_cn
from micrograd_cn import OPS, Value, functional, losses, nn, optim, testing
from micrograd_cn.__main__ import main

from .demos.test_demos import PICTURES
from .test_dropin import trace

Table: TypeAlias = list[list[str]]

ROOT = Path(__file__).parents[1]
FILES = {
    "en": "README.md",
    "zh": "README.zh-CN.md",
    "demos.en": "demos/README.md",
    "demos.zh": "demos/README.zh-CN.md",
    "tour.en": "demos/TOUR.md",
    "tour.zh": "demos/TOUR.zh-CN.md",
}
TEXTS = {name: (ROOT / path).read_text("utf-8") for name, path in FILES.items()}
PAIRS = [("en", "zh"), ("demos.en", "demos.zh"), ("tour.en", "tour.zh")]
CHINESE = re.compile(r"[\u4e00-\u9fff]")
MICROGPT = {"en": ("about 1.5 s", "4 times"), "zh": ("约 1.5 秒", "4 倍")}
CHINESE_NAMES = {  # the names of contenders and tasks in the Chinese tables
    "micrograd.nn over micrograd_cn.Value": "micrograd.nn，用 micrograd_cn.Value",
    "PyTorch eager": "PyTorch 动态图",
    "micrograd_cn compiled": "micrograd_cn 编译后",
    "micrograd_cn compiled, backward() and SGD.step()": "micrograd_cn 编译后，backward() 与 SGD.step()",
    "micrograd_cn compiled, fit()": "micrograd_cn 编译后，fit()",
    "tuple Value": "元组 Value",
    "recurrent network, 64": "循环神经网络，64",
    "numpy": "手写的 numpy",
}
MODULES = [f"micrograd_cn.{name}" for name in (
    "functional", "nn", "init", "losses", "optim", "module", "testing", "compiler", "flow", "picture"
)]  # fmt: skip
EVERY_MODULE = ["micrograd_cn", *MODULES]

both = pytest.mark.parametrize("lang", ["en", "zh"])
each_pair = pytest.mark.parametrize(("english", "chinese"), PAIRS)


def blocks(text: str, kind: str) -> list[str]:
    """Return the code blocks of a kind, such as "python"."""
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def prose(text: str) -> str:
    """Return a text without its code blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def tables(text: str) -> list[Table]:
    """Return the cells of each table, the heading's included."""
    found = re.findall(r"(?:^\|.*\n)+", prose(text), re.MULTILINE)
    split = [[[c.strip() for c in line.strip("|").split("|")] for line in t.splitlines()] for t in found]
    return [[heading, *rows] for heading, _, *rows in split]


def table(text: str, *heading: str) -> Table:
    """Return the rows, without the heading, of the only table whose heading begins with these cells."""
    [rows] = [rows for first, *rows in tables(text) if tuple(first[: len(heading)]) == heading]
    return rows


def figures(lang: str) -> list[Table]:
    """Return the tables of measured times in the demos' README."""
    first = {"en": ("contender", "work, rows", "derivative"), "zh": ("对比项", "任务与样本数", "导数")}[lang]
    return [rows for rows in tables(TEXTS[f"demos.{lang}"]) if rows[0][0] in first]


def spans(text: str) -> list[str]:
    """Return the texts between backticks, on one line each."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]


def code(cell: str) -> str:
    """Return the only text between backticks."""
    [span] = spans(cell)
    return span


# Code


def run(blocks: tuple[str, ...], names: dict[str, object]) -> int:
    """Run a code block that each language has, with other comments, and return how many results were compared.

    The result of an expression, or what it prints, must be the comment behind it, in each language.
    """
    lines, compared = [block.splitlines() for block in blocks], 0
    checker = doctest.OutputChecker()
    for nodes in zip(*(ast.parse(block).body for block in blocks), strict=True):
        node = nodes[0]
        source = ast.get_source_segment(blocks[0], node)
        assert source
        if not isinstance(node, ast.Expr):
            exec(compile(ast.Module([node], []), "<README>", "exec"), names)
            continue
        printed = io.StringIO()
        with redirect_stdout(printed):
            result = eval(compile(ast.Expression(node.value), "<README>", "eval"), names)
        got = printed.getvalue() if result is None else f"{result!r}\n"
        if got:  # otherwise the comment is a remark
            for each, of_block in zip(nodes, lines, strict=True):
                assert each.end_lineno
                [comment] = re.findall(r"  # (.*)$", of_block[each.end_lineno - 1]) or [""]
                assert checker.check_output(f"{comment}\n", got, 0), f"{source} gives {got}"
            compared += 1
    return compared


@pytest.mark.thorough
def test_the_code_runs_and_gives_what_its_comments_say_in_both_languages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    compared = 0
    for english, chinese in (("en", "zh"), ("tour.en", "tour.zh")):
        names: dict[str, object] = {}  # each page stands alone
        texts = zip(*(blocks(TEXTS[name], "python") for name in (english, chinese)), strict=True)
        compared += sum(run(each, names) for each in texts)
    assert compared >= 12
    assert {path.name for path in tmp_path.iterdir()} >= {"neuron.svg", "xor.json", "flow.html"}
    names["test_bump"]()  # type: ignore[operator]
    assert not any(blocks(TEXTS[f"demos.{lang}"], "python") for lang in ("en", "zh"))


@both
def test_the_code_of_pytorch_runs_where_it_is_installed(lang):
    """The block that checks a gradient of PyTorch's runs, if PyTorch is installed."""
    pytest.importorskip("torch")
    [block] = blocks(TEXTS[f"demos.{lang}"], "python no-run")
    names: dict[str, object] = {}
    exec(block, names)
    names["test_cube"]()  # type: ignore[operator]


@pytest.mark.parametrize("wrong", ["1 + 1  # 3\n", "1 + 1\n"])
@pytest.mark.parametrize("before", [(), ("1 + 1  # 2\n",)])
def test_a_result_that_is_wrong_or_missing_is_found(wrong, before):
    """`run` fails for a comment that is wrong or missing in any language, so the test above can fail."""
    with pytest.raises(AssertionError, match="gives 2"):
        run((*before, wrong), {})
    with pytest.raises(AssertionError, match="gives 2"):
        run(("print(2)  # 3\n",), {})


@each_pair
def test_both_languages_have_the_same_code_but_for_remarks(english, chinese):
    """The code and commands of both languages differ in remarks and in --lang alone; remarks are in the language."""
    en, zh = (blocks(TEXTS[name], "python(?: no-run)?") for name in (english, chinese))
    assert [ast.dump(ast.parse(block)) for block in en] == [ast.dump(ast.parse(block)) for block in zh]
    commands = [blocks(TEXTS[name], "sh") for name in (english, chinese)]
    remarks = r"  #.*"
    assert [re.sub(remarks, "", block) for block in commands[0]] == [
        re.sub(remarks, "", block).replace(" --lang zh", "") for block in commands[1]
    ]
    for block in itertools.chain(en, commands[0]):
        assert not CHINESE.search(block)
    for block in zh:
        for comment in re.findall(r"  # (.*)", block):  # a remark is Chinese; a result has few words
            assert CHINESE.search(comment) or len(re.findall(r"\b[a-z]{3,}\b", comment)) < 3, comment


@both
def test_the_first_screen_says_what_this_is_for_whom_and_shows_a_picture_and_commands(lang):
    head, who, *_ = re.split(r"^## ", TEXTS[lang], maxsplit=2, flags=re.MULTILINE)
    assert re.findall(r"^!\[.*\]\((.*)\)$", head, re.MULTILINE) == [f"demos/pictures/neuron.{lang}.svg"]
    before, [code], (minute, _) = head.partition("```python")[0], blocks(head, "python"), blocks(head, "sh")
    assert "backward()" in code
    assert len(minute.splitlines()) == 3  # the text before them says that there are three
    title, _, what_it_is = before.strip().split("\n\n")  # a single paragraph before the code says what this is
    assert title == "# micrograd_cn"
    assert what_it_is.endswith((".", "。"))
    bullets = re.findall(r"^- (?:.|\n  )*", who, re.MULTILINE)
    assert len(bullets) == 5
    assert all(len(re.findall(r"\]\(", bullet)) == 1 for bullet in bullets), "each kind of reader gets one link"
    assert f"tutorial.{lang}.ipynb" in bullets[0]
    time, times = MICROGPT[lang]
    spoken = " --lang zh" if lang == "zh" else ""
    facts = (
        "4,192",
        time,
        f"`python demos/microgpt.py{spoken}`",
        times,
        f"`python demos/benchmark.py microgpt{spoken}`",
    )
    assert re.search(".*".join(map(re.escape, facts)), bullets[-1], re.DOTALL)


def test_the_first_commands_write_a_page_and_print_the_chain_rule(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    minute, _ = blocks(TEXTS["zh"].partition("\n## ")[0], "sh")
    for line in minute.splitlines()[1:]:
        _, _, arguments = line.partition(" -m micrograd_cn ")
        assert main(shlex.split(arguments)) == 0
    assert "x.grad = 6.0" in capsys.readouterr().out
    assert (tmp_path / "playground.html").read_text("utf-8").startswith("<!doctype html>")


@both
def test_the_command_line_prints_what_is_shown(lang, capsys):
    [block] = blocks(TEXTS[f"tour.{lang}"], "console")
    command, _, output = block.partition("\n")
    found = re.fullmatch(r'\$ python -m micrograd_cn "(.*?)" (.*?)( --lang zh)?', command)
    assert found
    assert bool(found[3]) == (lang == "zh")
    assert main([found[1], *found[2].split(), "--lang", lang]) == 0
    assert capsys.readouterr().out == output


# Tables of code


def outcome(source: str, names: dict[str, object]) -> str:
    """Run statements and return the repr of the last expression, or the name of the exception that it raises."""
    *statements, last = source.split("; ")
    try:
        for statement in statements:
            exec(statement, names)
        return repr(eval(last, names))
    except Exception as error:
        return type(error).__name__


@both
def test_micrograd_and_this_package_give_what_the_table_says(lang):
    rows = table(TEXTS[f"demos.{lang}"], {"en": "code", "zh": "代码"}[lang], "micrograd 0.1.0", "micrograd_cn")
    packages = ((micrograd.engine, micrograd.nn), (micrograd_cn.engine, micrograd_cn.nn))
    for source, *expected in rows:
        for (engine, network), result in zip(packages, expected, strict=True):
            names = {"Value": engine.Value, "Neuron": network.Neuron, "trace": trace}
            names |= {"a": engine.Value(2), "b": engine.Value(3)}
            assert outcome(code(source), names) == code(result)
    assert len(rows) >= 20


@both
def test_special_values_are_what_the_table_says(lang):
    rows = table(TEXTS[f"demos.{lang}"], *{"en": ("code", "result"), "zh": ("代码", "结果")}[lang])
    public = {name: getattr(micrograd_cn, name) for name in micrograd_cn.__all__}
    for source, result in rows:
        assert outcome(code(source), public | {"nan": nan, "copy": copy, "Fraction": Fraction}) == code(result)
    assert len(rows) >= 8


@both
def test_what_pytorchs_names_become_exists(lang):
    """Each name in the table of PyTorch's names and ours can be used as the table shows."""
    modules = {"functional": functional, "losses": losses, "nn": nn, "optim": optim, "testing": testing}
    for _, ours in table(TEXTS[f"demos.{lang}"], "PyTorch"):
        for source in spans(ours):
            x = Value(3)
            model = SimpleNamespace(parameters=lambda x=x: [x])
            public = {name: getattr(micrograd_cn, name) for name in micrograd_cn.__all__}
            f = micrograd_cn.tanh
            eval(source, public | modules | {"x": x, "y": x * x, "f": f, "model": model})


@both
def test_changes_in_place_and_arrays_give_what_the_table_says(lang):
    heading = {"en": "code in place or of arrays", "zh": "原地修改或数组的代码"}[lang]
    public = {name: getattr(micrograd_cn, name) for name in micrograd_cn.__all__}
    rows = table(TEXTS[f"demos.{lang}"], heading)
    for source, _, result in rows:
        names = {"x": Value(2), "g": Value(0.5), "w": np.array([Value(2), Value(2)]), "np": np}
        assert outcome(code(source), public | names) == code(result)
    assert len(rows) >= 9


@both
@pytest.mark.parametrize("row", range(8))
def test_changes_in_place_give_in_pytorch_what_the_table_says(lang, row):
    torch = pytest.importorskip("torch")
    heading = {"en": "code in place or of arrays", "zh": "原地修改或数组的代码"}[lang]
    source, result, _ = table(TEXTS[f"demos.{lang}"], heading)[row]
    source = re.sub(r"w\[(.)\]\.grad", r"w.grad[\1].item()", code(source)).replace("x.grad", "x.grad.item()")
    source = source.replace("w[0].requires_grad", "w.requires_grad").replace("x.data", "x.data.item()")
    x, w = (torch.tensor(data, dtype=torch.float64, requires_grad=True) for data in (2.0, [2.0, 2.0]))

    def maximum(a, b):
        return torch.maximum(a, torch.tensor(b, dtype=torch.float64))

    names = {"x": x, "g": torch.tensor(0.5), "w": w, "no_grad": torch.no_grad, "maximum": maximum}
    assert outcome(source, {**names, "np": SimpleNamespace(maximum=maximum)}) == code(result)


def test_every_convention_stands_in_both_languages():
    rows = [[op.name, op.smoothness.convention] for op in OPS.values() if op.smoothness.convention]
    assert [[code(name), text] for name, text in table(TEXTS["demos.en"], "operation", "convention")] == rows
    chinese = table(TEXTS["demos.zh"], "运算", "约定")
    assert [code(name) for name, _ in chinese] == [name for name, _ in rows]
    for (_, text), (_, translated) in zip(rows, chinese, strict=True):
        formulas = [re.findall(r"\S+ = \w+|\d\.\d", t) for t in (text, translated)]
        assert formulas[0] == formulas[1]
        assert CHINESE.search(translated) or translated == text


@both
def test_what_operations_pass_to_operands_that_they_do_not_select(lang):
    """The table names each operation that selects an operand, and its example has the derivative beside it."""
    heading = {"en": ("operation", "nothing flows to"), "zh": ("运算", "没有梯度传给")}[lang]
    rows = table(TEXTS[f"demos.{lang}"], *heading)
    assert [code(name) for name, *_ in rows] == [op.name for op in OPS.values() if op.selects]
    public = {name: getattr(micrograd_cn, name) for name in micrograd_cn.__all__}
    for name, _, source, derivative in rows:
        assert code(name) in source
        assert outcome(code(source), public | {"grad": functional.grad}) == code(derivative)


@both
def test_the_number_of_operations_is_the_tables(lang):
    """The tour says how many operations `OPS` has."""
    assert f"{len(OPS)} {'operations' if lang == 'en' else '种运算'}" in TEXTS[f"tour.{lang}"]


def in_chinese(cell: str) -> str:
    """Return a cell of a table of figures as the Chinese table has it."""
    return CHINESE_NAMES.get(cell, cell)


def test_contenders_have_the_names_in_chinese_that_the_benchmark_prints(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "demos")
    chinese = importlib.import_module("benchmarks.words").chinese
    named = [name for first, *rows in figures("en") if first[0] == "contender" for name, *_ in rows]
    assert [chinese(name) for name in named] == [in_chinese(name) for name in named]


def test_speed_is_stated_for_every_contender_alike_in_both_languages():
    """The tables have a row for each contender in the benchmark's code, with the same figures in both languages."""
    scripts = "".join(path.read_text("utf-8") for path in sorted((ROOT / "demos").rglob("*.py")))
    contenders = re.findall(r'Contender\("([^"]+)"', scripts)
    assert contenders
    named = [name for first, *rows in figures("en") if first[0] == "contender" for name, *_ in rows]
    assert named == contenders
    for english, chinese in zip(figures("en"), figures("zh"), strict=True):
        translated = [[in_chinese(cell) for cell in row] for row in english[1:]]
        if english[0][0] == "derivative":  # the first column describes the row in the table's language
            translated, chinese = ([row[1:] for row in rows] for rows in (translated, chinese))
            chinese = [[], *chinese[1:]]
        assert chinese[1:] == translated


@both
def test_the_short_table_of_figures_is_taken_from_the_long_ones(lang):
    measured = [set(itertools.chain(*rows)) for rows in figures(lang)]
    rows = table(TEXTS[lang], {"en": "a step of", "zh": "训练步"}[lang], "micrograd_cn")
    assert len(rows) >= 5
    names = re.findall(r'^    "(\w+)": \(', (ROOT / "demos/benchmark.py").read_text("utf-8"), re.MULTILINE)
    for _, ours, _, theirs, times, name in rows:
        assert any({ours, theirs, times} <= cells for cells in measured)
        assert code(name) in names
    assert any(float(times) < 1 for *_, times, _ in rows)  # the table says where this library is slower
    [sparse] = re.findall(r"^- .*CasADi[^|]*?1,120 µs", TEXTS[f"tour.{lang}"], re.MULTILINE)
    assert any(set(re.findall(r"[\d.,]*\d µs", sparse)) <= cells for cells in measured)


# The interface


CHAPTER = ["ops/operation.py", "graph/operators.py", "graph/node.py", "engine.py", "gradients.py", "nn.py"]


@both
def test_the_map_shows_the_chapter_and_every_folder_of_the_package(lang):
    """The tour lists the six files to read in their order, and all folders of the package."""
    read = table(TEXTS[f"tour.{lang}"], *{"en": ("file", "what it shows"), "zh": ("文件", "讲什么")}[lang])
    assert [re.findall(r"\[([\w/]+\.py)\]", file) for file, _ in read] == [[name] for name in CHAPTER]
    rooms = table(TEXTS[f"tour.{lang}"], *{"en": ("folder", "what is in it"), "zh": ("文件夹", "内容")}[lang])
    named = [folder for folders, _ in rooms for folder in re.findall(r"\[(\w+)/\]", folders)]
    assert sorted(named) == sorted(path.parent.name for path in (ROOT / "micrograd_cn").glob("*/__init__.py"))


@both
def test_the_table_of_modules_is_the_package(lang):
    rows = table(TEXTS[f"demos.{lang}"], *{"en": ("module", "what is in it"), "zh": ("模块", "内容")}[lang])
    assert [code(module) for module, _ in rows] == EVERY_MODULE
    for module, names in rows:
        public = importlib.import_module(code(module)).__all__
        assert spans(names)
        assert set(spans(names)) <= set(public)


# Links, commands and demos


def headings(text: str) -> list[str]:
    """Return the anchors of the headings, in their order."""
    titles = re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)
    return [re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in titles]


def places(name: str) -> list[tuple[str, int]]:
    """Return the targets of a README's links, in a form that is the same for both languages.

    A target is an address, or a file of this repository by its English path, with the number of the heading.
    """
    found = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(TEXTS[name])):
        if target.startswith("https://"):
            found.append((target, 0))
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / FILES[name]).parent.joinpath(file) if file else ROOT / FILES[name]
        assert path.exists(), target
        number = 0
        if anchor:
            anchors = headings(path.read_text("utf-8"))
            assert anchors.count(anchor) == 1, target
            number = anchors.index(anchor)
        found.append((re.sub(r"\.(?:zh-CN|zh|en)(?=\.)", "", str(path.resolve().relative_to(ROOT))), number))
    return found


@pytest.mark.parametrize("name", FILES)
def test_every_relative_link_and_picture_exists(name):
    assert len(places(name)) >= 10


@each_pair
def test_the_two_languages_link_to_each_other_and_to_the_same_things(english, chinese):
    for name, other in ((english, chinese), (chinese, english)):
        assert f"({Path(FILES[other]).name})" in TEXTS[name].partition("\n## ")[0]
    assert sorted(places(english)) == sorted(places(chinese))


@pytest.mark.parametrize("name", FILES)
def test_what_there_is_in_both_languages_is_linked_in_the_readers_own(name):
    """A README links pages in the other language only beside those in its own, and shows pictures in its own."""
    mine, other = ("zh", "en") if name.endswith("zh") else ("en", "zh")
    pages = re.findall(rf"\(((?:demos/)?pictures/[^)]*)\.{other}\.\w+\)", TEXTS[name])
    assert all(f"{page}.{mine}." in TEXTS[name] for page in pages)
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", TEXTS[name])
    assert pictures
    assert all(f".{mine}." in picture for picture in pictures)
    assert ("README.zh-CN.md#" in TEXTS[name]) == (name in ("zh", "tour.zh"))


@each_pair
def test_both_languages_name_the_same_things_in_the_same_shape(english, chinese):
    """Both languages have as many headings, bullets and rows of tables, and the same texts between backticks."""
    texts = TEXTS[english], TEXTS[chinese]
    for pattern in (r"^#{1,2} ", r"^### ", r"^- ", r"TODO"):
        en, zh = (re.findall(pattern, text, re.MULTILINE) for text in texts)
        assert len(en) == len(zh)
    assert [len(rows) for rows in tables(texts[0])] == [len(rows) for rows in tables(texts[1])]
    en, zh = ([span.removesuffix(" --lang zh") for span in spans(prose(text))] for text in texts)
    assert sorted(en) == sorted(zh)


def test_a_command_of_the_chinese_texts_that_has_a_language_speaks_chinese():
    for name in ("zh", "demos.zh", "tour.zh"):
        commands = re.findall(r"`((?:\S* && )?python (?:demos/\w+\.py|-m micrograd_cn)[^`]*)`", TEXTS[name])
        commands += [line.split("  #")[0] for block in blocks(TEXTS[name], "sh") for line in block.splitlines()]
        commands = [command for command in commands if re.search(r"demos/\w+\.py|-m micrograd_cn ", command)]
        assert len(commands) > 3
        for command in commands:
            assert command.endswith(" --lang zh"), command


@pytest.mark.parametrize("path", [*FILES.values(), ".github/CONTRIBUTING.md", ".ci/run"])
def test_every_command_names_a_file_or_folder_that_exists(path):
    named = set(re.findall(r"(?<![\w/.{])(?:demos|tests)/[\w./-]*\w", (ROOT / path).read_text("utf-8")))
    assert named
    written_by_demos = {"demos/out"}
    assert [name for name in named - written_by_demos if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("name", FILES)
def test_every_extra_that_is_installed_exists(name):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = re.findall(r"'\.\[([\w,]+)\]'", TEXTS[name])
    assert named
    assert {extra for group in named for extra in group.split(",")} <= extras.keys()


@both
def test_the_commands_stand_alone_on_their_lines(lang):
    for end in ("-e .", "demos/digits.py" + " --lang zh" * (lang == "zh"), "pytest"):
        found = re.findall(rf"^python -m venv \.venv && .*{re.escape(end)}$", TEXTS[lang], re.MULTILINE)
        assert len(found) == 1


@both
def test_the_first_page_is_short(lang):
    """A reader sees the whole README in a few minutes; the rest is in the tour and in the demos' README."""
    assert len(TEXTS[lang].splitlines()) <= 160


@both
def test_every_demo_is_listed_with_its_pictures(lang):
    rows = table(TEXTS[f"demos.{lang}"], {"en": "command", "zh": "命令"}[lang])
    commands = [code(command).removesuffix(" --lang zh" if lang == "zh" else "") for command, *_ in rows]
    scripts = {f"python demos/{path.name}" for path in (ROOT / "demos").glob("*.py")}
    notebooks = {f"jupyter lab demos/{path.name}" for path in (ROOT / "demos").glob("*.ipynb")}
    assert len(commands) == len(scripts | notebooks)
    assert set(commands) == scripts | notebooks
    for command, (_, shows, _, pictures) in zip(commands, rows, strict=True):
        assert bool(CHINESE.search(shows)) == (lang == "zh")
        name = Path(command.split()[-1]).stem
        if not command.endswith("ipynb"):
            assert set(spans(pictures)) == PICTURES.get(name, set())
