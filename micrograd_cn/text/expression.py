"""Read an expression that someone typed, and record it as a graph.

An expression consists of numbers, names, and this package's operations. No part of it is ever run as Python.

The parser is a shunting yard (Dijkstra 1961): it applies an operation as soon as its operands are known. It keeps the
open brackets in a list and does not call itself, so brackets may be nested to any depth.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from inspect import Signature, signature
from keyword import iskeyword
from typing import Any, NamedTuple, NoReturn

from ..engine import Value, constant
from ..ops import mean
from ..ops.operation import Op, Selection
from ..ops.registry import OPS
from .words import WORDS

__all__ = [
    "ALIASES",
    "CONSTANTS",
    "LIBRARIES",
    "MEANT",
    "NUMBER",
    "PRODUCTS",
    "ParseError",
    "call_signature",
    "functions",
    "is_name",
    "lists",
    "normal",
    "operators",
    "parse",
    "usage",
]

CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf, "nan": math.nan, "π": math.pi}
# Signs and words that people type by mistake, and what an error message suggests for each. Before they are looked up,
# full-width signs become plain ones.
MEANT = {
    "//": "floor(a / b)",
    **{"^": "**", "÷": "/", "∕": "/", "⁄": "/", **dict.fromkeys("×·∙⋅•∗✕✖⨯", "*"), **dict.fromkeys("−–—‐", "-")},
    **{sign: f"(...)**{n}" for n, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    **{"⁻": "(...)**-1", "√": "sqrt(...)", "∛": "(...)**(1/3)", "|": "abs(...)", "∞": "inf"},
    **{"½": "(1/2)", "⅓": "(1/3)", "¼": "(1/4)", "¾": "(3/4)"},
    **{"≤": "less_equal(a, b)", "≥": "less_equal(b, a)", "≠": "1 - equal(a, b)"},
    **{"if": "where(condition, a, b)", "and": "a * b", "or": "maximum(a, b)", "not": "1 - a"},
    "softmax": "exp(a) / (exp(a) + exp(b))",
    **{"log2": "log(a)/log(2)", "log10": "log(a)/log(10)", "square": "a**2"},
    **{"sign": "less(0, a) - less(a, 0)", "cot": "1/tan(a)"},
    **{"ceil": "-floor(-a)", "round": "floor(a + 0.5)", "mod": "a % b"},
    **{"{": "(", "}": ")", "【": "(", "】": ")", "〔": "(", "〕": ")", "、": ","},
}
# The dots that people write for a product: the middle dot, and the Greek one that looks the same. Unicode counts both
# as letters of a name.
PRODUCTS = "\u00b7\u0387"
# Names by which other libraries are known, as in np.tanh(x).
LIBRARIES = ("math", "np", "numpy", "torch", "F", "jnp", "jax", "tf", "micrograd_cn")
# Names from other libraries, and the function that an error message suggests for each.
ALIASES = {
    **{"max": "maximum", "min": "minimum", "avg": "mean", "lse": "logsumexp"},
    **{"ln": "log", "power": "pow", "heaviside": "step"},
    **{"arctan": "atan", "arctan2": "atan2", "arcsin": "asin", "arccos": "acos"},
    **{"logistic": "sigmoid", "swish": "silu"},
}
# The playground page uses this pattern as well, so it is written to mean the same in JavaScript.
NUMBER = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


class ParseError(ValueError):
    """An error for a text that is not a valid expression.

    Attributes:
        column: the position of the mistake, counted in characters from 0. If the text ends too early, it is the length
            of the text.

    >>> try:
    ...     parse("2 *", {})
    ... except ParseError as error:
    ...     error.column
    3
    """

    def __init__(self, message: str, column: int) -> None:
        super().__init__(message)
        self.column = column


def parse(text: str, variables: Mapping[str, Value], lang: str = "en") -> Value:
    """Return the value of the expression `text`, recorded as a graph. `variables` gives the leaves by their names.

    Operators have Python's precedence, and a·b is a product. The functions are this package's operations
    (`micrograd_cn.ops`) and `mean`. The names pi, π, e, inf and nan are numbers, unless a variable has the same name.
    Numbers, and results that were computed from numbers alone, are constants.

    Raises:
        ParseError: the text is not a valid expression. The message is in the language `lang`.

    >>> w, x = Value(-3), Value(2)
    >>> parse("tanh(w*x + 2*3)", {"w": w, "x": x}).data
    0.0
    >>> parse("w * __import__('os')", {"w": w})
    Traceback (most recent call last):
    micrograd_cn.text.expression.ParseError: there is no function '__import__'
    """
    return _Reader(text, variables, WORDS[lang]).read()


def is_name(text: str) -> bool:
    """Return whether `text` can be the name of a variable.

    >>> is_name("学习率"), is_name("2x"), is_name("lambda")
    (True, False, False)
    """
    return text.isidentifier() and not iskeyword(text)


def normal(name: str) -> str:
    """Return the name in Unicode's normal form NFKC. Python compares names in this form too.

    Full-width letters, which Chinese input methods may type, become plain ones.

    >>> normal("ｘ")
    'x'
    """
    return unicodedata.normalize("NFKC", name)


def functions() -> dict[str, Callable[..., Any]]:
    """Return a dict from the names of the functions that an expression may call to these functions.

    >>> sorted(set(functions()) - set(OPS))
    ['mean']
    """
    return {**OPS, "mean": mean}


def operators(arity: int) -> dict[str, Op]:
    """Return a dict from signs to the operators with `arity` operands: prefix operators for 1, infix operators for 2.

    >>> list(operators(1)), list(operators(2))
    (['-'], ['+', '-', '*', '/', '**', '%'])
    """
    return {op.notation.symbol: op for op in OPS.values() if op.notation.precedence and op.arity == arity}


class _Token(NamedTuple):
    kind: str  # "number", "name", "sign" or "end"
    text: str
    column: int


def _tokens(text: str, signs: Iterable[str]) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        end = at + 1
        if number := NUMBER.match(text, at):
            end = number.end()
            yield _Token("number", text[at:end], at)
        elif text[at].isidentifier():
            while end < len(text) and f"_{text[end]}".isidentifier() and text[end] not in PRODUCTS:
                end += 1
            yield _Token("name", normal(text[at:end]), at)
        elif text[at] in PRODUCTS:
            yield _Token("sign", "*", at)
        elif not text[at].isspace():
            # The longest sign wins, so ** is not read as two *.
            end = max([end, *(at + len(sign) for sign in signs if text.startswith(sign, at))])
            yield _Token("sign", text[at:end], at)
        at = end
    yield _Token("end", "", len(text))


class _Argument(NamedTuple):
    keyword: str
    value: Any


@dataclass
class _Bracket:
    """An open bracket of an expression, and what the reader has found inside it until now.

    A bracket encloses a part of an expression, as in 2 * (x + 1), or a function's arguments, or a list. The whole
    expression is treated as if it were in brackets.
    """

    opening: _Token
    function: _Token | None = None
    keyword: str = ""  # the name of the argument that is being read, if it was given by name
    arguments: list[_Argument] = field(default_factory=list)
    operands: list[Any] = field(default_factory=list)
    operators: list[tuple[int, Op]] = field(default_factory=list)

    @property
    def several(self) -> bool:
        """Whether commas may separate items inside the bracket, because it encloses arguments or a list."""
        return self.function is not None or self.opening.text == "["

    @property
    def untouched(self) -> bool:
        """Whether nothing of the next argument or list item has been read yet.

        This is right only where an operand is expected.
        """
        return not (self.keyword or self.operators)

    def reduce(self, precedence: int) -> None:
        """Apply the last operators to the last operands, as long as an operator's precedence is at least `precedence`.

        Each result takes the place of its operands in the list `operands`.
        """
        while self.operators and self.operators[-1][0] >= precedence:
            _, op = self.operators.pop()
            operands = self.operands[-op.arity :]  # type: ignore[operator]  # an operator's arity is 1 or 2
            self.operands[-op.arity :] = [op(*operands)]  # type: ignore[operator]

    def end_argument(self) -> None:
        self.reduce(0)
        self.arguments.append(_Argument(self.keyword, self.operands.pop()))
        self.keyword = ""


class _Reader:
    def __init__(self, text: str, variables: Mapping[str, Value], words: dict[str, str]) -> None:
        self.next = 0
        self.variables = variables
        self.words = words
        self.functions = functions()
        self.infix = operators(2)
        self.prefix = operators(1)
        self.tokens = list(_tokens(text, (*self.infix, *self.prefix, "//")))
        self.open = [_Bracket(_Token("sign", "", 0))]

    def read(self) -> Value:
        wants_operand = True
        while True:
            token = self.take()
            if wants_operand:
                wants_operand = self.operand(token)
            elif token.kind != "end":
                wants_operand = self.operator(token)
            elif len(self.open) > 1:
                self.fail("parse_unclosed", self.open[-1].opening)
            else:
                break
        [bracket] = self.open
        bracket.end_argument()
        [(_, result)] = bracket.arguments
        return result if isinstance(result, Value) else constant(result)

    def take(self) -> _Token:
        self.next += 1
        return self.tokens[self.next - 1]

    def operand(self, token: _Token) -> bool:
        """Read `token` where an operand must begin. Return whether an operand must still follow, as after a minus."""
        bracket = self.open[-1]
        if token.kind == "number":
            bracket.operands.append(float(token.text))
        elif token.kind == "name":
            return self.name(token)
        elif token.text == "+":
            return True
        elif token.text in self.prefix:
            bracket.operators.append((self.prefix[token.text].notation.precedence, self.prefix[token.text]))
            return True
        elif token.text == "(":
            self.open.append(_Bracket(token))
            return True
        elif token.text == "[":
            if not bracket.function or bracket.operators:
                self.fail("parse_list", token)
            self.open.append(_Bracket(token))
            return True
        elif token.text in (")", "]") and bracket.several and bracket.untouched and not bracket.arguments:
            self.close(token)
        elif token.kind == "end":
            self.fail("parse_end", token)
        else:
            self.check_sign(token)
            self.fail("parse_operand", token)
        return False

    def name(self, token: _Token) -> bool:
        """Read `token`, which is a variable, the beginning of a call, or the keyword of an argument.

        Return whether an operand must follow, as after the bracket of a call.
        """
        name, following, bracket = token.text, self.tokens[self.next], self.open[-1]
        if "·" in name:  # the normal form of a letter such as "ŀ" has this sign
            self.fail("parse_meant", _Token("sign", "·", token.column + name.index("·")), meant=MEANT["·"])
        if iskeyword(name):
            self.check_sign(token)
            self.fail("parse_reserved", token)
        self.check_dots(token)
        if following.text == "(":
            if name in self.variables and name not in self.functions:
                self.fail("parse_called_variable", token)
            if name not in self.functions:
                self.check_sign(token)
                self.fail("parse_unknown_function", token, self.suggestion(name, self.functions))
            self.open.append(_Bracket(self.take(), function=token))
            return True
        if following.text == "=" and bracket.function and bracket.untouched:
            self.take()
            bracket.keyword = name
            return True
        if name in self.variables:
            bracket.operands.append(self.variables[name])
        elif name in CONSTANTS:
            bracket.operands.append(CONSTANTS[name])
        elif name in self.functions:
            self.check_sign(following)  # it may be a full-width bracket, which has a better message
            self.fail("parse_uncalled_function", token)
        else:
            plain = name.lower()
            known = [plain] if plain in CONSTANTS else [ALIASES[plain]] if plain in ALIASES else self.variables
            self.fail("parse_unknown_variable", token, self.suggestion(name, known))
        return False

    def operator(self, token: _Token) -> bool:
        """Read `token` after an operand: an operator, a comma or a closing bracket.

        Return whether an operand must follow.
        """
        bracket = self.open[-1]
        if token.text in self.infix:
            if isinstance(bracket.operands[-1], list):
                self.fail("parse_list", token)
            op = self.infix[token.text]
            bracket.reduce(op.notation.precedence + op.notation.right_associative)
            bracket.operators.append((op.notation.precedence, op))
            return True
        if token.text == ",":
            if not bracket.several:
                self.fail("parse_comma", token)
            bracket.end_argument()
            return True
        if token.text in (")", "]"):
            bracket.end_argument()
            self.close(token)
            return False
        self.check_sign(token)
        self.fail("parse_operator", token)

    def close(self, token: _Token) -> None:
        """Close the innermost bracket, whose closing sign is `token`.

        The value of the bracket becomes an operand of the bracket that encloses it.
        """
        bracket = self.open.pop()
        if bracket.opening.text + token.text not in ("()", "[]"):
            self.fail("parse_closing", token)
        if bracket.function:
            result = self.call(bracket.function, bracket.arguments)
        elif bracket.several:
            result = [x for _, x in bracket.arguments]
        else:
            [(_, result)] = bracket.arguments
        self.open[-1].operands.append(result)

    def call(self, token: _Token, arguments: list[_Argument]) -> Any:
        function = self.functions[token.text]
        positional = [x for keyword, x in arguments if not keyword]
        by_name = {keyword: x for keyword, x in arguments if keyword}
        try:
            named = [bool(keyword) for keyword, _ in arguments]
            if named != sorted(named) or len(by_name) != sum(named):
                raise TypeError("a positional argument follows one with a name, or a name is given twice")
            return function(*positional, **by_name)
        except TypeError:  # too many arguments or too few, a list for a number or a number for a list
            self.fail("parse_call", token, usage=usage(token.text, function))
        except ValueError:  # a list is empty, or lists differ in length
            self.fail("parse_lists", token, usage=usage(token.text, function))

    def check_sign(self, token: _Token) -> None:
        """Raise ParseError if `token` is a sign or a word that no expression contains, and suggest what was meant.

        For any other token, such as a name that is not known, do nothing.
        """
        if token.kind not in ("sign", "name") or self.is_read(token.text):
            return
        plain = normal(token.text)
        meant = MEANT.get(token.text) or MEANT.get(plain) or plain
        if meant != token.text and (meant != plain or self.is_read(plain) or (plain.isascii() and plain.isdigit())):
            self.fail("parse_meant", token, meant=meant)
        if token.kind == "sign":
            self.fail("parse_sign", token, operators=" ".join(self.infix))

    def is_read(self, sign: str) -> bool:
        return sign in self.infix or sign in "()[],"

    def check_dots(self, token: _Token) -> None:
        """Raise ParseError if `token` begins a dotted name such as np.tanh, np.foo or x.tanh; suggest tanh for np.tanh.

        Nothing is raised for a name such as x.foo, where x is no library and foo no function.
        """
        at, last = self.next, token
        while self.tokens[at].text == "." and self.tokens[at + 1].kind == "name":
            at, last = at + 2, self.tokens[at + 1]
        if last is token:
            return
        if token.text in LIBRARIES and token.text not in self.variables:
            if last.text not in self.functions and last.text not in CONSTANTS:
                self.check_sign(last)
                self.fail("parse_unknown_function", last, self.suggestion(last.text, self.functions))
            self.fail("parse_dot", token, meant=f"{last.text}(...)" if last.text in self.functions else last.text)
        if last.text in self.functions and at == self.next + 2:
            self.fail("parse_dot", token, meant=f"{last.text}({token.text})")

    def suggestion(self, name: str, known: Collection[str]) -> str:
        plain = name.lower()
        alias = ALIASES.get(plain, plain)
        close = [alias] if alias in known else get_close_matches(name, known, 1)
        return self.words["did_you_mean"].format(name=close[0]) if close else ""

    def fail(self, key: str, token: _Token, more: str = "", **details: str) -> NoReturn:
        raise ParseError(self.words[key].format(found=repr(token.text), **details) + more, token.column)


def call_signature(function: Callable[..., Any]) -> Signature:
    """Return the signature of `function`, which is an operation or another function that an expression may call.

    The arguments of an operation are its operands, unless its attribute `signature` says otherwise. The operands have
    the names that they have in one of the operation's partial derivatives. Parameters such as `*args` of another
    function, which only serve to raise errors, are left out.

    >>> from micrograd_cn import elu, where
    >>> list(call_signature(elu).parameters), list(call_signature(where).parameters)
    (['x', 'alpha'], ['c', 'a', 'b'])
    """
    if not isinstance(function, Op):
        found = signature(function)  # without those parameters that only refuse what is passed
        named = [p for p in found.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        return found.replace(parameters=named)
    if function.signature:
        return signature(function.signature)
    for partial in function.partials if isinstance(function.partials, tuple) else (function.partials,):
        if partial:
            of = partial.contribution if isinstance(partial, Selection) else partial
            _, *operands = signature(of).parameters.values()
            return Signature(operands)
    return signature(function.forward)


def lists(function: Callable[..., Any]) -> list[str]:
    """Return the names of those parameters of `function` for which a call passes a list of operands.

    >>> from micrograd_cn import dot, take
    >>> lists(dot), lists(take), lists(mean)
    (['xs', 'ys'], ['xs'], ['xs'])
    """
    names = [p.name for p in call_signature(function).parameters.values() if p.kind is not p.VAR_POSITIONAL]
    if not isinstance(function, Op):
        return names
    if function.arity is not None or not function.signature:
        return []
    # The attribute `signature` of an operation is a function that returns its operands. If an argument is a list, this
    # function returns the list's elements one by one. It returns any other argument as it was given.
    operands = function.signature(**{name: [name] for name in names})
    return [name for name in names if name in operands]


def usage(name: str, function: Callable[..., Any]) -> str:
    """Return a text for an error message, which shows a call of `function`: `name`, and the parameters in parentheses.

    >>> from micrograd_cn import dot, elu, take
    >>> usage("elu", elu), usage("dot", dot), usage("take", take)
    ('elu(x, alpha=1.0)', 'dot([...], [...], bias)', 'take([...], index)')
    """
    listed = lists(function)
    texts = [
        "[...]" if p.name in listed else p.name if p.default is None else str(p.replace(annotation=p.empty))
        for p in call_signature(function).parameters.values()
    ]
    return f"{name}({', '.join(texts)})"
