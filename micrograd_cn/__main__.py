"""The command line: it computes an expression, explains the gradient step by step, and writes a page or a picture."""

from __future__ import annotations

import itertools
import os
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Collection, Iterable, Iterator, Sequence
from keyword import iskeyword
from pathlib import Path
from typing import NoReturn

from . import __version__
from .engine import Value, graph_nodes, topological_order
from .picture import RenderError, draw_dot
from .picture.steps import BackwardPass
from .picture.text import columns, drawn
from .text.expression import CONSTANTS, ParseError, functions, is_name, normal, operators, parse
from .text.words import WORDS, language

PICTURES = (".svg", ".png", ".pdf", ".dot")
# Everything else that begins with a minus is an expression: "-o*2" is one, "-oz.html" is not.
OPTION = re.compile(rf"--|-[ho]$|-o.*(?i:{'|'.join(map(re.escape, ('.html', *PICTURES)))})$")


class Failure(Exception):
    """An error for which the command line prints a message and stops.

    Attributes:
        status: the exit status of the command.
        lines: lines that the command prints before the message.
    """

    def __init__(self, message: str, status: int, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.lines = lines


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Failure(message, 2)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (by default, that of the process), and return the exit status.

    The status is 0 for success, 2 if the command, the expression or a number cannot be understood, and 1 if a file
    cannot be written.

    >>> main(["x * x", "x=3", "--lang=en"])
    x * x = 9.0
    <BLANKLINE>
    Forward pass
    step  node        numbers put in  data
    1     v1 = x * x  3 * 3           9
    <BLANKLINE>
    Backward pass: v1.grad = 1, then one edge at a time
    step  from  to  local derivative  upstream gradient  contribution  gradient so far
    1     v1    x   3                 1                  3             x.grad: 0 + (local 3 × upstream 1) = 3
    2     v1    x   3                 1                  3             x.grad: 3 + (local 3 × upstream 1) = 6
    <BLANKLINE>
    Gradients
    x.grad = 6.0
    0
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("texts", nargs="*")
    parser.add_argument("-o", "--output", nargs="?", action="append", default=[], type=Path)  # None without a file
    parser.add_argument("--lang", nargs="?", const="")
    parser.add_argument("--playground", action="store_true")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("-h", "--help", action="store_true")
    options = Namespace(lang=None)  # filled while parsing: an error message needs the language
    arguments = sys.argv[1:] if argv is None else argv
    # argparse takes "-x**2" for an option, unless a space is before it.
    shielded = [f" {a}" if a.startswith("-") and not OPTION.match(a) else a for a in arguments]
    try:
        _, unknown = parser.parse_known_intermixed_args(shielded, options)
        _check(options, unknown)
    except Failure as error:
        print(_words(options)["cli_misuse"].format(message=error), file=sys.stderr)
        return error.status
    if options.version:
        print(f"micrograd_cn {__version__}")
        return 0
    words = _words(options)
    if options.help or not (options.texts or options.playground):
        print(_help(words), end="", file=sys.stdout if options.help else sys.stderr)
        return 0 if options.help else 2
    texts = [text[1:] if text.startswith(" -") else text for text in options.texts]
    try:
        if options.playground:
            lines = _playground(texts, options.output, options.lang)
        else:
            lines = _run(texts[0], texts[1:], options.output, language(options.lang))
    except Failure as error:
        for line in error.lines:
            print(line, flush=True)
        print(error, file=sys.stderr)
        return error.status
    print("\n".join(lines), flush=True)
    return 0


def _words(options: Namespace) -> dict[str, str]:
    return WORDS[options.lang if options.lang in WORDS else language(None)]


def _check(options: Namespace, unknown: Sequence[str]) -> None:
    """Raise Failure if an option is unknown, the language is unknown, or the option -o has no file after it.

    `unknown` has the options that the command does not have.
    """
    words = _words(options)
    if options.lang is not None and options.lang not in WORDS:
        raise Failure(words["cli_lang"], 2)
    if unknown:
        raise Failure(words["cli_unknown"].format(options=" ".join(unknown)), 2)
    if None in options.output:
        raise Failure(words["cli_no_file"], 2)


def _help(words: dict[str, str]) -> str:
    return words["cli_help"].format(
        endings=" ".join(PICTURES),
        operators=" ".join(operators(2)),
        constants=" ".join(CONSTANTS),
        functions=" ".join(sorted(functions())),
    )


def _run(text: str, assignments: Sequence[str], outputs: Sequence[Path], lang: str) -> list[str]:
    """Compute the expression `text` and write the files `outputs`; return the lines to print.

    `assignments` are texts such as "x=3", and `lang` is the language of messages, tables and pictures.

    Raises:
        Failure: the expression, an assignment or the ending of a file cannot be understood, the expression does not
            use a variable, or a file cannot be written.
    """
    words = WORDS[lang]
    for path in outputs:
        if path.suffix.lower() not in (".html", *PICTURES):
            endings = ", ".join((".html", *PICTURES))
            raise Failure(words["cli_ending"].format(path=path, endings=endings), 2)
    variables: dict[str, Value] = {}
    for assignment in assignments:
        try:
            name, number = _assignment(assignment, lang)
            if name in variables:
                raise ParseError(words["cli_twice"].format(name=name), 0)
        except ParseError as error:
            raise _located(error, assignment, words) from None
        variables[name] = Value(number, name)
    try:
        root = parse(text, variables, lang)
    except ParseError as error:
        raise _located(error, text, words) from None
    order = topological_order(root)
    used = set(graph_nodes(root))
    for (name, variable), assignment in zip(variables.items(), assignments, strict=True):
        if variable not in used:
            raise _located(ParseError(words["cli_unused"].format(name=name), 0), assignment, words)

    _name_steps(root, variables)
    value = f"{_one_line(text)} = {root.data!r}"
    if root.requires_grad:
        root.backward()
    for path in outputs:
        if not root.requires_grad and path.suffix.lower() == ".html":
            raise Failure(words["cli_constant"].format(path=path), 1, [value])
    for path in outputs:
        try:
            _write(root, path, lang)
        except (ImportError, OSError, RenderError, ValueError) as error:  # ValueError: too large a graph
            message = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            raise Failure(words["cli_unwritable"].format(path=path, message=message), 1) from error

    lines = [value]
    if order:
        lines += ["", *_tables(root, words)]
    if variables:
        gradients = [f"{name}.grad = {variable.grad!r}" for name, variable in variables.items()]
        lines += ["", words["cli_gradients"], *gradients]
    if outputs:
        lines += ["", *(words["cli_wrote"].format(path=path) for path in outputs)]
    return lines


def _playground(texts: Sequence[str], outputs: Sequence[Path], lang: str | None) -> list[str]:
    """Write the playground to the files `outputs`; return the lines to print.

    `lang` is the language of messages and of the page; None takes the reader's language for messages, and lets the page
    start in the browser's.

    Raises:
        Failure: `texts` has an expression, which the playground does not take; `outputs` is empty; or the name of a
            file does not end in .html, or the file cannot be written.
    """
    from . import playground

    words = WORDS[language(lang)]
    if texts or not outputs or any(path.suffix.lower() != ".html" for path in outputs):
        raise Failure(words["cli_playground"], 2)
    for path in outputs:
        try:
            playground(lang).save(path)
        except OSError as error:
            raise Failure(words["cli_unwritable"].format(path=path, message=error.strerror or str(error)), 1) from error
    return [words["cli_wrote"].format(path=path) for path in outputs]


def _assignment(text: str, lang: str) -> tuple[str, float]:
    """Return the name and the number in a text such as "w=-3". Error messages are in the language `lang`.

    Raises:
        ParseError: the text is not an assignment, or its right side is not a number.
    """
    left, equals, right = text.partition("=")
    typed = left.strip()
    name = normal(typed)
    # "x₁" is not an identifier, though its normal form "x1" is one.
    if equals and iskeyword(name):
        raise ParseError(WORDS[lang]["parse_reserved"].format(found=repr(typed)), 0)
    if not (typed.isidentifier() and is_name(name) and equals and right.strip()):
        raise ParseError(WORDS[lang]["cli_assignment"], 0)
    return name, parse(" " * len(left + equals) + right, {}, lang).data


def _located(error: ParseError, text: str, words: dict[str, str]) -> Failure:
    """Return a `Failure` with a message of three lines: what `error` says, `text`, and a caret under the mistake.

    `words` has the texts of one language, such as `WORDS["en"]`.
    """
    shown = _one_line(text)
    caret = " " * columns(shown[: error.column]) + "^"
    message = words["cli_error"].format(column=error.column + 1, message=error)
    return Failure(f"{message}\n  {shown}\n  {caret}", 2)


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _write(root: Value, path: Path, lang: str) -> None:
    ending = path.suffix.lower()
    if ending == ".html":
        from . import draw_flow

        draw_flow(root, lang=lang).save(path)
        return
    picture = draw_dot(root, lang=lang)
    path.write_bytes(picture.source.encode() if ending == ".dot" else picture.pipe(ending[1:]))


def _name_steps(root: Value, variables: Collection[str]) -> None:
    """Label the computed nodes below `root` v1, v2, ... in the order of computation, except nodes that have a label.

    A name such as v2 is left out if it is in `variables`, the names that the user's expression contains. The printed
    tables, the page and the pictures all show these labels.
    """
    free = filter(lambda name: name not in variables, map("v{}".format, itertools.count(1)))
    for node, name in zip(_as_written(root), free, strict=False):
        node.label = node.label or name


def _tables(root: Value, words: dict[str, str]) -> Iterator[str]:
    """Yield the lines of two tables about the graph of `root`: its forward pass by nodes, its backward pass by edges.

    `words` has the texts of one language, such as `WORDS["en"]`.
    """

    def name(node: Value) -> str:
        return node.label or _number(node.data)

    forward = []
    for i, node in enumerate(_as_written(root), 1):
        numbers = _text(node, [_number(parent.data) for parent in node.parents])
        forward.append([str(i), f"{name(node)} = {_text(node, map(name, node.parents))}", numbers, _number(node.data)])
    yield words["cli_forward"]
    yield from _aligned([words["cli_forward_columns"].split("|"), *forward])

    backward: list[list[str]] = []
    for i, step in enumerate(BackwardPass(root).steps, 1):
        node, operand = step.node, step.operand
        assert node.op is not None
        local = words["unselected"] if step.narration == "narrate_unselected" else _number(step.partial)
        upstream = "-" if step.upstream is None else _number(step.upstream)
        narration = words[step.narration].format(
            name=name(operand),
            node=name(node),
            op=drawn(node.op.notation.symbol),
            before=_number(step.before),
            local=local,
            upstream=upstream,
            after=_number(step.after),
        )
        contribution = _number(step.contribution or 0.0)
        backward.append([str(i), name(node), name(operand), local, upstream, contribution, narration])
    yield ""
    yield words["cli_backward"].format(root=name(root))
    yield from _aligned([words["cli_backward_columns"].split("|"), *backward])


def _as_written(root: Value) -> list[Value]:
    """Return the computed nodes below `root` in the order in which a person computes them by hand.

    Operands come before the nodes that use them, and the operands of a node are in order from left to right.
    """
    done: dict[Value, None] = {}
    stack = [(root, False)]
    while stack:
        node, operands_done = stack.pop()
        if operands_done:
            done[node] = None
        elif node.op and node not in done:
            stack.append((node, True))
            stack += [(parent, False) for parent in reversed(node.parents)]
    return list(done)


def _text(node: Value, operands: Iterable[str]) -> str:
    """Return the text of the operation that made `node`, such as "2 * (-3)", where `operands` has the operands' texts.

    A negative operand of an operator is put in parentheses.
    """
    assert node.op is not None
    texts = list(operands)
    if node.op.notation.precedence:
        texts = [f"({text})" if text.startswith("-") else text for text in texts]
    return node.op.text(*texts)


def _number(x: float) -> str:
    return f"{x + 0.0:.6g}"  # + 0.0 turns -0 into 0


def _aligned(rows: list[list[str]]) -> Iterator[str]:
    """Yield an aligned line for each list of cells in `rows`. A Chinese character is as wide as two Latin letters."""
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell + " " * (width - columns(cell)) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()


if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):  # a program may have replaced it by a StringIO
        sys.stdout.reconfigure(errors="replace")  # a terminal that has no × shows ?
    try:
        sys.exit(main())
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
