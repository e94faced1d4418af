"""Find the names in a JavaScript module: those that it defines at its top, and those that it mentions."""

import re

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    |(?P<name>[\w$]+)
    |(?P<template>`)
    |(?P<sign>\.\.\.|=>|\?\.|.)""",
    re.VERBOSE | re.DOTALL,
)
_REGEX = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/\w*")
_PIECE = re.compile(r"((?:\\.|[^`\\$]|\$(?!\{))*)(`|\$\{)", re.DOTALL)
KEYWORDS = set(
    re.findall(
        r"\w+",
        "async await break case catch class const continue default delete do else export extends false finally for "
        "from function get if import in instanceof let new null of return set static super switch this throw true try "
        "typeof undefined void while yield",
    )
)


def tokens(text, texts=False):
    """Return the tokens without comments: names, signs, and "" for a string or a piece of a template.

    With `texts`, return strings, regular expressions and pieces of templates as they are.
    """
    found, at, holes = [], 0, []  # for each open template: how many brackets are open in its hole
    while at < len(text):
        comment = text.startswith(("//", "/*"), at)
        if text[at] == "/" and not comment and (regex := _REGEX.match(text, at)) and _begins_operand(found):
            found.append(regex[0] if texts else "")
            at = regex.end()
            continue
        token = _TOKEN.match(text, at)
        at = token.end()
        kind, value = token.lastgroup, token[0]
        closes_hole = value == "}" and holes and holes[-1] == 0
        if kind == "template" or closes_hole:
            if closes_hole:
                holes.pop()
                found.append(")")
            piece = _PIECE.match(text, at)
            at = piece.end()
            found.append(piece[0] if texts else "")
            if piece[2] == "${":
                found += ["+", "("]
                holes.append(0)
        elif kind != "space":
            if holes and value in "{}":
                holes[-1] += 1 if value == "{" else -1
            found.append("" if kind == "text" and not texts else value)
    return found


def _begins_operand(before):
    return not before or before[-1] in {*"(,=:[!&|?{};+-*<>~^%", "=>", "return", "typeof", "case"}


def names(text):
    """Return the names at the module's top, and all names that it mentions but for keys, members and methods."""
    all_tokens = tokens(text)
    top, used, depth = set(), set(), 0
    for i, token in enumerate(all_tokens):
        before, after = all_tokens[i - 1] if i else ";", all_tokens[i + 1] if i + 1 < len(all_tokens) else ";"
        depth += (token in ("(", "[", "{")) - (token in (")", "]", "}"))
        if not re.fullmatch(r"[A-Za-z_$][\w$]*", token) or token in KEYWORDS or before in (".", "?."):
            continue
        key = after == ":" and before in ("{", ",")
        if not key and not (after == "(" and _is_method(all_tokens, i)):
            used.add(token)
        if depth == 0 and before in ("const", "let", "class", "function"):
            top.add(token)
    return top, used


def _is_method(all_tokens, i):
    """Return whether the name at `i` is a method: parameters and a body follow, and no `function` precedes it."""
    if all_tokens[i - 1] == "function":
        return False
    depth = 0
    for k in range(i + 1, len(all_tokens)):
        depth += (all_tokens[k] == "(") - (all_tokens[k] == ")")
        if depth == 0:
            return k + 1 < len(all_tokens) and all_tokens[k + 1] == "{"
    return False
