"""The READMEs: their code gives what it says, their tables are the package's, and both languages say the same."""

import ast
import doctest
import importlib
import io
import itertools
import re
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
import pytest

import micrograd_cn
from micrograd_cn import OPS, Value, functional, losses, nn, optim, testing
from micrograd_cn.__main__ import main

from .test_demos import PICTURES
from .test_dropin import trace

Table: TypeAlias = list[list[str]]

ROOT = Path(__file__).parents[1]
FILES = {"en": "README.md", "zh": "README.zh-CN.md", "demos": "demos/README.md"}
TEXTS = {name: (ROOT / path).read_text("utf-8") for name, path in FILES.items()}
EN, ZH, DEMOS = TEXTS.values()
CHINESE = re.compile(r"[\u4e00-\u9fff]")
TOUR = 60  # lines of Python
FIRST_SCREEN = 40
MODULES = [f"micrograd_cn.{name}" for name in (
    "functional", "nn", "init", "losses", "optim", "module", "testing", "compiler", "flow", "picture"
)]  # fmt: skip
EVERY_MODULE = ["micrograd_cn", *MODULES]

both = pytest.mark.parametrize("lang", ["en", "zh"])


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def prose(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def tables(text: str) -> list[Table]:
    """Return the cells of every table, its heading among them."""
    found = re.findall(r"(?:^\|.*\n)+", prose(text), re.MULTILINE)
    split = [[[c.strip() for c in line.strip("|").split("|")] for line in t.splitlines()] for t in found]
    return [[heading, *rows] for heading, _, *rows in split]


def table(text: str, *heading: str) -> Table:
    """Return the rows of the one table whose heading begins so."""
    [rows] = [rows for first, *rows in tables(text) if tuple(first[: len(heading)]) == heading]
    return rows


def spans(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def code(cell: str) -> str:
    [span] = spans(cell)
    return span


# Code


def run(block: str, names: dict[str, object]) -> int:
    """Run the block, compare what comments say with what expressions before them give or print; return how many."""
    lines, compared = block.splitlines(), 0
    checker = doctest.OutputChecker()
    for node in ast.parse(block).body:
        source = ast.get_source_segment(block, node)
        assert source
        if not isinstance(node, ast.Expr):
            exec(compile(ast.Module([node], []), "<README>", "exec"), names)
            continue
        printed = io.StringIO()
        with redirect_stdout(printed):
            result = eval(compile(ast.Expression(node.value), "<README>", "eval"), names)
        got = printed.getvalue() if result is None else f"{result!r}\n"
        if got:  # else a comment is a remark
            assert node.end_lineno
            [comment] = re.findall(r"  # (.*)$", lines[node.end_lineno - 1]) or [""]
            assert checker.check_output(f"{comment}\n", got, 0), f"{source} gives {got}"
            compared += 1
    return compared


@both
def test_the_code_runs_and_gives_what_its_comments_say(lang, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    compared = sum(run(block, names) for block in blocks(TEXTS[lang], "python"))
    assert compared >= 10
    assert {path.name for path in tmp_path.iterdir()} >= {"neuron.svg", "xor.json", "flow.html", "training.html"}
    names["test_bump"]()  # type: ignore[operator]


@both
def test_the_code_of_pytorch_runs_where_it_is_installed(lang):
    pytest.importorskip("torch")
    [block] = blocks(TEXTS[lang], "python no-run")
    names: dict[str, object] = {}
    exec(block, names)
    names["test_cube"]()  # type: ignore[operator]


@pytest.mark.parametrize("block", ["1 + 1  # 3\n", "print(2)  # 3\n", "1 + 1\n"])
def test_a_result_that_is_wrong_or_missing_is_found(block):
    with pytest.raises(AssertionError, match="gives 2"):
        run(block, {})


def test_both_languages_have_the_same_code_but_for_remarks():
    en, zh = (blocks(text, "python(?: no-run)?") for text in (EN, ZH))
    assert [ast.dump(ast.parse(block)) for block in en] == [ast.dump(ast.parse(block)) for block in zh]
    commands = [[re.sub(r"  #.*| --lang zh", "", block) for block in blocks(text, "sh")] for text in (EN, ZH)]
    assert commands[0] == commands[1]
    for block in itertools.chain(en, blocks(EN, "sh")):
        assert not CHINESE.search(block)


@both
def test_the_tour_and_the_first_screen_are_short(lang):
    lines = [line for block in blocks(TEXTS[lang], "python") for line in block.splitlines() if line.strip()]
    assert len(lines) <= TOUR
    head, *_ = re.split(r"^## ", TEXTS[lang], maxsplit=1, flags=re.MULTILINE)
    assert len(head.splitlines()) <= FIRST_SCREEN
    assert "```python" in head
    assert "![" in head


@both
def test_the_command_line_prints_what_is_shown(lang, capsys):
    [block] = blocks(TEXTS[lang], "console")
    command, _, output = block.partition("\n")
    found = re.fullmatch(r'\$ python -m micrograd_cn "(.*?)" (.*?)( --lang zh)?', command)
    assert found
    assert bool(found[3]) == (lang == "zh")
    assert main([found[1], *found[2].split(), "--lang", lang]) == 0
    assert capsys.readouterr().out == output


# Tables of code


def outcome(source: str, names: dict[str, object]) -> str:
    """Return the repr of the last expression after the statements before it, or the exception's name."""
    *statements, last = source.split("; ")
    try:
        for statement in statements:
            exec(statement, names)
        return repr(eval(last, names))
    except Exception as error:
        return type(error).__name__


@both
def test_micrograd_and_this_package_give_what_the_table_says(lang):
    rows = table(TEXTS[lang], {"en": "code", "zh": "代码"}[lang], "micrograd 0.1.0", "micrograd_cn")
    packages = ((micrograd.engine, micrograd.nn), (micrograd_cn.engine, micrograd_cn.nn))
    for source, *expected in rows:
        for (engine, network), result in zip(packages, expected, strict=True):
            names = {"Value": engine.Value, "Neuron": network.Neuron, "trace": trace}
            names |= {"a": engine.Value(2), "b": engine.Value(3)}
            assert outcome(code(source), names) == code(result)
    assert len(rows) >= 20


@both
def test_special_values_are_what_the_table_says(lang):
    rows = table(TEXTS[lang], *{"en": ("code", "result"), "zh": ("代码", "结果")}[lang])
    public = {name: getattr(micrograd_cn, name) for name in micrograd_cn.__all__}
    for source, result in rows:
        assert outcome(code(source), public | {"nan": nan, "copy": copy, "Fraction": Fraction}) == code(result)
    assert len(rows) >= 8


@both
def test_what_pytorchs_names_become_exists(lang):
    modules = {"functional": functional, "losses": losses, "nn": nn, "optim": optim, "testing": testing}
    for _, ours in table(TEXTS[lang], "PyTorch"):
        for source in spans(ours):
            x = Value(3)
            model = SimpleNamespace(parameters=lambda x=x: [x])
            public = {name: getattr(micrograd_cn, name) for name in micrograd_cn.__all__}
            f = micrograd_cn.tanh
            eval(source, public | modules | {"x": x, "y": x * x, "f": f, "model": model})


def test_every_convention_stands_in_both_languages():
    rows = [[op.name, op.convention] for op in OPS.values() if op.convention]
    assert [[code(name), text] for name, text in table(EN, "operation", "convention")] == rows
    chinese = table(ZH, "运算", "约定")
    assert [code(name) for name, _ in chinese] == [name for name, _ in rows]
    for (_, text), (_, translated) in zip(rows, chinese, strict=True):
        formulas = [re.findall(r"\S+ = \w+|\d\.\d", t) for t in (text, translated)]
        assert formulas[0] == formulas[1]
        assert CHINESE.search(translated) or translated == text


@both
def test_the_number_of_operations_is_the_tables(lang):
    assert f"{len(OPS)} {'operations' if lang == 'en' else '种运算'}" in TEXTS[lang]


def test_speed_is_stated_for_every_contender_alike_in_both_languages():
    scripts = "".join(path.read_text("utf-8") for path in sorted((ROOT / "demos").glob("*.py")))
    contenders = re.findall(r'Contender\("([^"]+)"', scripts)
    assert contenders
    stated = {}
    for lang, heading in (("en", "contender"), ("zh", "对比项")):
        rows = [rows for first, *rows in tables(TEXTS[lang]) if first[0] == heading]
        stated[lang] = list(itertools.chain(*rows))
        assert [name for name, *_ in stated[lang]] == contenders
    assert stated["en"] == stated["zh"]


# The interface


@both
def test_the_engine_is_read_in_the_order_of_its_rooms_and_has_so_many_lines(lang):
    rows = table(TEXTS[lang], *{"en": ("file", "lines", "what it shows"), "zh": ("文件", "行数", "讲什么")}[lang])
    read = []
    for files, count, _ in rows:
        names = re.findall(r"\[(\w+\.py)\]\(micrograd_cn/\1\)", files)
        read += names
        lines = sum(len((ROOT / "micrograd_cn" / name).read_text("utf-8").splitlines()) for name in names)
        assert int(count) == round(lines, -1), names
    core = [
        "operation.py",
        "ops.py",
        "ieee.py",
        "rounding.py",
        "operators.py",
        "modes.py",
        "branches.py",
        "node.py",
        "engine.py",
    ]
    assert read == [*core, "gradients.py", "nn.py", "module.py"]


@both
def test_the_table_of_names_is_the_package(lang):
    rows = table(TEXTS[lang], *{"en": ("module", "names"), "zh": ("模块", "名字")}[lang])
    stated = {code(module): spans(names) for module, names in rows}
    assert stated == {name: list(importlib.import_module(name).__all__) for name in EVERY_MODULE}


# Links, commands and demos


@pytest.mark.parametrize("name", FILES)
def test_every_relative_link_and_picture_exists(name):
    text = prose(TEXTS[name])
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    relative = [target for target in targets if not target.startswith(("https://", "#"))]
    assert relative
    for target in relative:
        assert (ROOT / FILES[name]).parent.joinpath(target).exists(), target
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    headings = {re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in titles}
    assert {target[1:] for target in targets if target.startswith("#")} <= headings


def test_the_two_languages_link_to_each_other_and_to_the_same_things():
    assert "(README.zh-CN.md)" in EN.partition("## ")[0]
    assert "(README.md)" in ZH.partition("## ")[0]
    links = [
        [
            link.replace(".zh.", ".en.") if link.startswith("demos/pictures/") else link
            for link in re.findall(r"\]\(([^)#][^)]*)\)", prose(text))[1:]
        ]
        for text in (EN, ZH)
    ]
    assert sorted(links[0]) == sorted(links[1])


def test_both_languages_name_the_same_things_in_the_same_shape():
    for pattern in (r"^#{1,2} ", r"^### ", r"^- ", r"TODO"):
        assert len(re.findall(pattern, EN, re.MULTILINE)) == len(re.findall(pattern, ZH, re.MULTILINE))
    assert [len(rows) for rows in tables(EN)] == [len(rows) for rows in tables(ZH)]
    assert sorted(spans(prose(EN))) == sorted(span.removesuffix(" --lang zh") for span in spans(prose(ZH)))


@pytest.mark.parametrize("name", FILES)
def test_every_command_names_a_file_that_exists(name):
    files = re.findall(r"\b(?:demos|tests)/\w+[\w.]*\.(?:py|ipynb)\b", TEXTS[name])
    assert files
    for file in files:
        assert (ROOT / file).is_file(), file


@pytest.mark.parametrize("name", FILES)
def test_every_extra_that_is_installed_exists(name):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = re.findall(r"'\.\[([\w,]+)\]'", TEXTS[name])
    assert named
    assert {extra for group in named for extra in group.split(",")} <= extras.keys()


@both
def test_both_commands_stand_alone_on_their_lines(lang):
    for end in ("demos/digits.py" + " --lang zh" * (lang == "zh"), "pytest"):
        found = re.findall(rf"^python -m venv \.venv && .*{re.escape(end)}$", TEXTS[lang], re.MULTILINE)
        assert len(found) == 1


def test_every_demo_is_listed_with_its_pictures():
    rows = table(DEMOS, "command · 命令")
    commands = [code(command) for command, *_ in rows]
    runnable = [path for path in (ROOT / "demos").glob("*.py") if '__name__ == "__main__"' in path.read_text("utf-8")]
    scripts = {f"python demos/{path.name}" for path in runnable}
    notebooks = {f"jupyter lab demos/{path.name}" for path in (ROOT / "demos").glob("*.ipynb")}
    assert len(commands) == len(scripts | notebooks)
    assert set(commands) == scripts | notebooks
    for command, shows, _, pictures in rows:
        assert shows.count("<br>") == 1
        assert CHINESE.search(shows)
        name = Path(command.strip("`").split()[-1]).stem
        if not command.endswith("ipynb`"):
            assert set(spans(pictures)) == PICTURES.get(name, set())
