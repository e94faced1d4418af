"""The thresholds of gradient checks stand in one table, each with a unit and a reason."""

import ast
import re
from pathlib import Path

from micrograd_cn.testing.numeric import thresholds

PATH = Path(thresholds.__file__)
ROOM = PATH.parents[1]
PATHS = {path.parent.name if path.stem == "__init__" else path.stem: path for path in sorted(ROOM.rglob("*.py"))}
TREES = {module: ast.parse(path.read_text("utf-8")) for module, path in PATHS.items()}
NAMES = {name: value for name, value in vars(thresholds).items() if name.isupper()}
FACTORS = {0.0, 0.5, 1.0, 2.0}  # halves and doubles are written where they are used
# Other numbers in modules that use thresholds, and why they are none.
NO_THRESHOLDS = {
    ("sampling", "STEP_SIZES"): "sizes that are drawn",
    ("contract", "COTANGENT_VALUES"): "weights that are drawn",
    ("excuses", "UNEVEN_POINTS"): "points of a sample",
    ("causes", "KNOWN_RATIOS"): "ratios that have a name",
    ("tied_kinks", 10.0): "the base of decimal digits",
    ("numerical", 4.0): "of the formula for independent errors in differences",
    ("problem", 8.0): "the largest power of 2 by which outputs are weighed",
    ("staircases", 4.0): "the largest power of 2 of the steps in which jumps are looked for",
    ("check_op", "FIXED_INDICES"): "operands of a gather",
    ("check_op", "SEED"): "a seed",
    ("op_selection", "UPSTREAM_GRADIENTS"): "upstream gradients that are tried",
    ("report", "NEGLIGIBLE_ERROR"): "what a message shows",
    ("report", "MAX_LINES"): "what a message shows",
    ("report", 1e-16): "what a message shows",
    ("result_hooks", "MOST_NAMES"): "what `repr` shows",
}


def imported(tree):
    """Return the names that a module imports from the table."""
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    froms = [node for node in froms if (node.module or "").rpartition(".")[2] == "thresholds"]
    return {alias.name for node in froms for alias in node.names}


def numbers(tree):
    """Yield the constants of a module that hold numbers, by name, and floats inside its functions."""
    inside = set()
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            found = [x for x in ast.walk(node.value) if isinstance(x, ast.Constant) and type(x.value) in (int, float)]
            inside |= set(found)
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (x.id for target in targets for x in ast.walk(target) if isinstance(x, ast.Name) and found)
    floats = [x for x in ast.walk(tree) if isinstance(x, ast.Constant) and type(x.value) is float and x not in inside]
    yield from {x.value for x in floats} - FACTORS


def test_each_threshold_has_a_unit_and_a_reason_and_is_used():
    text = re.compile(r'^(\w+) = [^"]*\n"""((?:[^".:]|\.\w)+)[.:] ([^"]+)\."""$', re.MULTILINE)
    found = {name: (unit, reason) for name, unit, reason in text.findall(PATH.read_text("utf-8"))}
    assert found.keys() == NAMES.keys()
    assert [name for name, (unit, reason) in found.items() if not unit or len(reason.split()) < 4] == []
    assert NAMES.keys() - set().union(*map(imported, TREES.values())) == set()


def test_modules_that_use_the_table_have_no_other_thresholds():
    users = {module: tree for module, tree in TREES.items() if imported(tree)}
    assert {"compare", "numerical", "directional_stages", "array_check"} <= users.keys()
    found = {(module, number) for module, tree in users.items() for number in numbers(tree)}
    assert found == NO_THRESHOLDS.keys()
