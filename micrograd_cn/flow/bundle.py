"""Join JavaScript modules into one script.

The script is a function that is called at once. It has the texts of the modules, each after those that it imports,
without the words `import` and `export`. All modules then share one scope, so two modules must not declare the same name
at the top, and modules must not import each other in a cycle. But nothing outside the function sees these names. Only
those forms of import and export are supported that the scripts in the folders of flow/ use.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter

_IMPORT = re.compile(r'^import (?:\{((?:\s*\w+,)*\s*\w*\s*)\} from )?"(\.[^"]*)";\n', re.MULTILINE)
_DECLARED = re.compile(r"^(export )?(?:async )?(?:const|let|class|function) (\w+)", re.MULTILINE)
_OTHER = re.compile(
    r"^(?:import\b|export (?!(?:async )?(?:const|class|function) \w|const \w)|const [{[]|var ).*", re.MULTILINE
)


def bundle(entry: str, modules: Mapping[str, str], squeeze: Callable[[str], str] = str) -> str:
    """Return the module `entry`, with all modules that it imports, as a function that is called at once.

    `modules` has the text of each module by its path, and `squeeze` is applied to each text.

    Raises:
        ValueError: the modules cannot be joined, for example because one of them is missing.

    >>> modules = {"a/two.js": 'import { one } from "../one.js";\\nexport const two = one + one;\\n'}
    >>> print(bundle("a/two.js", modules | {"one.js": "export const one = 1;\\n"}))
    "use strict";
    (() => {
    const one = 1;
    const two = one + one;
    })();
    <BLANKLINE>
    """
    return f'"use strict";\n(() => {{\n{joined(entry, modules, squeeze)}}})();\n'


def joined(entry: str, modules: Mapping[str, str], squeeze: Callable[[str], str] = str) -> str:
    """Return the texts of the module `entry` and of all modules that it needs. A module comes after those it imports.

    Args:
        entry: the name of a module.
        modules: the text of each module by its name, which is a path. Modules that nothing imports are left out.
        squeeze: a function that is applied to the text of each module, for example to take out comments.

    Raises:
        ValueError: a module is missing, a module imports a name that is not exported, two modules declare the same name
            at the top, modules import each other in a cycle, or a form of import, export or declaration is not
            supported.

    >>> print(joined("two.js", {"two.js": 'import "./one.js";\\nexport const two = 2;\\n', "one.js": "let one;\\n"}))
    let one;
    const two = 2;
    <BLANKLINE>
    """
    imports: dict[str, dict[str, list[str]]] = {}
    waiting = [entry]
    while waiting:
        if (name := waiting.pop()) not in imports:
            imports[name] = _imports(name, modules)
            waiting += imports[name]
    try:
        order = list(TopologicalSorter(imports).static_order())
    except CycleError as error:
        raise ValueError(f"circular imports: {' <- '.join(error.args[1])}") from None
    declared: dict[str, str] = {}
    exports: dict[str, set[str]] = {}
    for name in order:
        for each, names in imports[name].items():
            if missing := [x for x in names if x not in exports[each]]:
                raise ValueError(f"{name}: {each} does not export {', '.join(missing)}")
        found = _DECLARED.findall(modules[name])
        exports[name] = {each for exported, each in found if exported}
        for _, each in found:
            if each in declared:
                raise ValueError(f"{name}: the name {each} is already declared in {declared[each]}")
            declared[each] = name
    return "".join([squeeze(_stripped(modules[name])) for name in order])


def _imports(name: str, modules: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the names that the module `name` imports: a dict from each module that it imports to a list of names.

    `modules` has the text of each module by its name.

    Raises:
        ValueError: there is no such module, or it has a statement that `bundle` does not support.
    """
    if name not in modules:
        raise ValueError(f"there is no module {name}")
    text = modules[name]
    found: dict[str, list[str]] = {}
    for names, path in _IMPORT.findall(text):
        source = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
        found.setdefault(source, []).extend(re.findall(r"\w+", names))
    if other := _OTHER.search(_IMPORT.sub("", text)):
        raise ValueError(f"{name}: the bundler does not support the statement {other[0]!r}")
    return found


def _stripped(text: str) -> str:
    return re.sub(r"^export ", "", _IMPORT.sub("", text), flags=re.MULTILINE)
