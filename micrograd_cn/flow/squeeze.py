"""Take comments, indentation and most spaces, which browsers do not need, out of a script and a style sheet.

Names and line breaks stay as they are, so the message of an error in a browser still says where it happened.
"""

from __future__ import annotations

import re
from functools import cache

_STRING = r""""(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'"""
_COMMENT = r"//[^\n]*|/\*.*?\*/"
# What is no plain code: a string, a comment, the start of a template, a regular expression or a division.
_OTHER = re.compile(rf"(?P<string>{_STRING})|(?P<comment>{_COMMENT})|`|/", re.DOTALL)
_REGEX = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/\w*")
_TEMPLATE = re.compile(rf"(?P<string>{_STRING})|(?P<comment>{_COMMENT})|\\.|\$\{{|[`{{}}]", re.DOTALL)
# An operand may follow these, so a "/" after them begins a regular expression.
_BEFORE_OPERAND = re.compile(r"(?:[(,=:\[!&|?{};+\-*<>~^%]|\b(?:return|typeof|case)|^)\s*$")
# Spaces beside a sign are not needed, but those between + and + are, because + + is not ++. So are those of - and -.
_SPACES = re.compile(r" +(?=[^\w$+\-])|(?<=[^\w$+\-]) +|(?<![+\-]) +(?=[+\-])|(?<=[+\-]) +(?![+\-])")
_MARK = "\0"  # in the place of what stays as it is; no script has this character


@cache
def squeezed(script: str) -> str:
    """Return a script without comments, indentation and empty lines, and without the spaces beside signs.

    A space between + and + stays, because `a + +b` is not `a ++b`. Strings, templates and regular expressions stay as
    they are.

    >>> squeezed("const a = `b c` + 1 + +x; // d\\n\\n  return  /x y/ ;\\n")
    'const a=`b c`+1+ +x;\\nreturn/x y/;\\n'
    """
    kept: list[str] = []  # strings, templates and regular expressions
    code: list[str] = []  # what is between them, with a mark in the place of each
    at = 0
    while found := _OTHER.search(script, at):
        start, end = found.span()
        code.append(script[at:start])
        at = end
        if found["comment"]:
            continue
        if found["string"]:
            kept.append(found[0])
        elif found[0] == "`":
            at = _end_of_template(script, start)
            kept.append(script[start:at])
        elif (regex := _REGEX.match(script, start)) and _BEFORE_OPERAND.search("".join(code[-3:])):
            at = regex.end()
            kept.append(regex[0])
        else:
            code.append("/")
            continue
        code.append(_MARK)
    code.append(script[at:])
    close = _SPACES.sub("", "".join(code))
    first, *rest = re.sub(r"\n{2,}", "\n", close).lstrip("\n").split(_MARK)
    return first + "".join([text for pair in zip(kept, rest, strict=True) for text in pair])


def _end_of_template(script: str, start: int) -> int:
    """Return the index of the first character of `script` after the template that begins at the index `start`.

    A template is a text in backquotes. Its holes, which are written ${...}, hold code that may have further templates.
    """
    open_: list[str] = ["`"]  # templates, holes and brackets in holes
    at = start + 1
    while open_:
        found = _TEMPLATE.search(script, at)
        assert found, "a template has no end"
        sign = found[0]
        inside = open_[-1] == "`"  # in the text of a template, and not in a hole
        at = found.start() + 1 if inside and (found["string"] or found["comment"]) else found.end()
        if sign == "`":
            if inside:
                open_.pop()
            else:
                open_.append("`")
        elif inside:
            if sign == "${":
                open_.append("{")
        elif sign == "{":
            open_.append("{")
        elif sign == "}":
            open_.pop()
    return at


def squeezed_style(style: str) -> str:
    """Return a style sheet without comments, and without spaces and line breaks beside brackets, commas and semicolons.

    >>> squeezed_style("a, b { /* c */ margin: 0 1px; }\\n")
    'a,b{margin:0 1px}'
    """
    text = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
    parts = re.split(r'("[^"\n]*")', text)
    parts[::2] = [_squeezed_rules(part) for part in parts[::2]]
    return "".join(parts).strip()


def _squeezed_rules(text: str) -> str:
    text = re.sub(r"\s*([{};,])\s*", r"\1", text)
    text = re.sub(r"(?<=[\w)]): +", ":", text)  # but not in a selector, where a space before the colon is an element
    return text.replace(";}", "}")
