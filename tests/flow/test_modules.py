"""The scripts of the page are modules: what each uses it has, or imports from one that exports it; no circles."""

import re

import pytest

from micrograd_cn import Value, draw_flow, playground
from micrograd_cn.flow.bundle import bundle
from micrograd_cn.flow.javascript import Rows
from micrograd_cn.flow.sheet import HERE, scripts
from micrograd_cn.flow.squeeze import squeezed
from micrograd_cn.ops.registry import OPS

from .scripts import names, tokens

GENERATED = {
    "rows.js": {"forward", "partials"},
    "playground/updates.js": {"updates"},
    "model/update.js": {"updateModel"},
}
IMPORT = re.compile(r'^import (?:\{([\w\s,]*)\} from )?"[^"]*";\n', re.MULTILINE)


def imported(text):
    return set(re.findall(r"\w+", " ".join(listed for listed in IMPORT.findall(text))))


def foreign(modules):
    """Return (module, name, its owner) where a module uses a name of another without importing it."""
    tops, used = GENERATED.copy(), {}
    for module, text in modules.items():
        tops[module], used[module] = names(IMPORT.sub("", text))
    owners = {name: module for module, top in tops.items() for name in top}
    return [
        (module, name, owners[name])
        for module, mentioned in used.items()
        for name in sorted(mentioned - imported(modules[module]) - tops[module])
        if name in owners
    ]


def test_every_script_imports_what_it_uses_of_others():
    assert len(scripts()) > 40
    assert foreign(scripts()) == []


def test_every_import_is_used():
    for module, text in scripts().items():
        assert imported(text) <= names(IMPORT.sub("", text))[1], module


def test_every_export_is_imported():
    modules = scripts()
    wanted = {name for text in modules.values() for name in imported(text)}
    rows = Rows()  # operations, and those that compute their derivatives, call functions of stepper/ieee.js
    for op in OPS.values():
        rows.add(op, op.arity or 2)
    wanted |= imported(rows.module())
    for module, text in modules.items():
        exported = re.findall(r"^export (?:async )?(?:const|function|class) (\w+)", text, re.MULTILINE)
        assert set(exported) <= wanted, module


def test_the_stepper_does_not_know_the_rooms():
    for module, text in scripts().items():
        if module.startswith("stepper/"):
            paths = set(re.findall(r'^(?:import|\}).* "([^"]*)";$', text, re.MULTILINE))
            assert {path for path in paths if not path.startswith("./")} <= {"../rows.js"}, module


def test_a_forgotten_import_is_found():
    text = scripts()["stepper/view.js"]
    line = next(line for line in text.splitlines() if "hasGradient" in line and "import" in line)
    found = foreign({**scripts(), "stepper/view.js": text.replace(line + "\n", "")})
    assert ("stepper/view.js", "hasGradient", "stepper/engine.js") in found


def test_only_the_pages_that_need_a_script_have_it():
    flow, play = draw_flow(Value(2.0) * 3.0).html, playground().html
    assert all(name in flow for name in ("function makeShape(", "class Viewport{"))
    assert all(name in play and name not in flow for name in ("class Network{", "function readExpression("))
    assert not re.search(r"^(import|export) ", play, re.MULTILINE)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({"a.js": 'import { y } from "./b.js";\n', "b.js": "const y = 1;\n"}, "a.js: b.js does not export y"),
        ({"a.js": 'import { y } from "./c.js";\n', "b.js": ""}, "there is no module c.js"),
        (
            {"a.js": 'import "./b.js";\n', "b.js": 'import "./a.js";\n'},
            r"circular imports: ([ab])\.js <- [ab]\.js <- \1\.js$",
        ),
        (
            {"a.js": 'import { x } from "./b.js";\nfunction y() {}\n', "b.js": "export const x = 1;\nclass y {}\n"},
            "a.js: the name y is already declared in b.js",
        ),
        (
            {"a.js": 'import { x as y } from "./b.js";\n', "b.js": "export const x = 1;\n"},
            "does not support the statement",
        ),
        ({"a.js": 'import * as b from "./b.js";\n', "b.js": ""}, "does not support the statement"),
        ({"a.js": "export default 1;\n"}, "does not support the statement"),
        ({"a.js": "export let x = 1;\n"}, "does not support the statement"),  # other modules would not see it change
        ({"a.js": "const { x, y } = {};\n"}, "does not support the statement"),
    ],
)
def test_what_cannot_be_joined_is_refused(modules, message):
    with pytest.raises(ValueError, match=message):
        bundle("a.js", modules)


def test_modules_stand_behind_those_that_they_import():
    modules = {
        "end/a.js": 'import { b } from "../b.js";\nimport {\n  c,\n  d,\n} from "./c.js";\nexport const a = [b, c];\n',
        "end/c.js": 'import { b } from "../b.js";\n\nexport const c = b;\nexport function d() {}\n',
        "b.js": "export const b = 1;\n",
        "none.js": "broken",
    }
    joined = bundle("end/a.js", modules)
    assert re.sub(r"\n+", " ", joined).strip() == (
        '"use strict"; (() => { const b = 1; const c = b; function d() {} const a = [b, c]; })();'
    )


def test_every_name_at_the_top_is_declared_by_itself():
    for module, text in scripts().items():
        depth = 0
        for token in tokens(text):
            depth += (token in ("(", "[", "{")) - (token in (")", "]", "}"))
            assert depth or token != ",", module  # of `const a = 1, b = 2` the bundle would know `a` alone


def test_a_script_is_squeezed_without_a_change_of_what_it_says():
    for module, text in scripts().items():
        short = squeezed(text)
        assert tokens(short, texts=True) == tokens(text, texts=True), module
        assert squeezed(short) == short
        assert not re.search(r"/\*\*|^//", short, re.MULTILINE), module


def test_the_types_have_every_element_of_the_page():
    tags = {
        "svg": "SVGSVGElement",
        "ul": "HTMLUListElement",
        "p": "HTMLParagraphElement",
        "output": "HTMLOutputElement",
    }
    listed = dict(re.findall(r"^  (\w+): (\w+);$", (HERE / "elements.d.ts").read_text(), re.MULTILINE))
    found = {}
    for file in HERE.glob("*/*.html"):
        found |= {name: tag for tag, name in re.findall(r'<(\w+)(?=\s)[^>]*? id="(\w+)"', file.read_text("utf-8"))}
    assert listed.keys() == found.keys()
    for name, tag in found.items():
        known = tags.get(tag, f"HTML{tag}Element").lower()
        assert listed[name].lower() in (known, "htmlelement"), name


def test_names_are_told_from_keys_members_methods_and_texts():
    top, used = names(
        "const a = { b: c, d, e() { return f.g?.h; } }; // i\n"
        "class J { k(l) { return /m'n/.test(`o ${p + `q${r}`} s`); } }"
    )
    assert top == {"a", "J"}
    assert used == {"a", "J", "c", "d", "f", "l", "p", "r"}
    assert tokens("x = y / z / 2") == ["x", "=", "y", "/", "z", "/", "2"]
