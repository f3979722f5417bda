"""Resolves the names in a rule's expression: what it may ask, and as which plain variables that is handed to CEL.

A field such as `scores.spam` becomes one variable `scores__spam`, as handing CEL a map costs several times as much.
`matches` becomes `matches__`, which runs on RE2: CEL's own compiles its pattern anew for every message.
"""

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import cel
import re2  # type: ignore[import-untyped]  # it has no stubs

from chat_moderator.policy.facts import FACTS, MAPS, OPTIONAL, Fact

MATCHES: Final = "matches__"
MACROS: Final = ("all", "exists", "exists_one", "filter", "map")
METHODS: Final = ("contains", "endsWith", "matches", "size", "startsWith", *MACROS)
FUNCTIONS: Final = ("double", "has", "int", "size", "string", "uint")

MAX_PATTERN_LENGTH: Final = 1000
MAX_PATTERN_SIZE: Final = 3000
"""Steps of a compiled regular expression. Time is linear in the text, at worst some microseconds a character."""

_TOKEN: Final = re.compile(
    r"""
    (?P<space>   \s+ | //[^\n]* )
  | (?P<string>  [rR][bB]? (?: \"{3}.*?\"{3} | '{3}.*?'{3} | "[^"\n]*" | '[^'\n]*' )
               | [bB][rR]  (?: \"{3}.*?\"{3} | '{3}.*?'{3} | "[^"\n]*" | '[^'\n]*' )
               | [bB]? (?: \"{3}(?:\\.|[^\\])*?\"{3} | '{3}(?:\\.|[^\\])*?'{3} )
               | [bB]? (?: "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' ) )
  | (?P<number>  (?: 0[xX][0-9a-fA-F]+ | (?: \d+\.\d+ | \.\d+ | \d+ ) (?: [eE][+-]?\d+ )? ) [uU]? )
  | (?P<name>    [A-Za-z_]\w* )
  | (?P<sign>    && | \|\| | [<>=!]=? | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_LITERALS: Final = ("true", "false", "null", "in")
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.never_capture = True


class InvalidExpressionError(ValueError):
    """What is wrong with an expression, and what is allowed; whoever knows the key's path says where."""


class Names(NamedTuple):
    """An expression's tokens with plain variables for what it names, and what these stand for.

    `spans` are the places in the source that the tokens stand for.
    """

    tokens: list[str]
    spans: list[tuple[int, int]]
    facts: dict[str, Fact]
    patterns: dict[str, Any]
    optional: frozenset[str]  # variables that may be unknown
    guards: frozenset[str]  # tokens that ask whether one of those is known


def resolve(source: str) -> Names:
    """Resolves the names of an expression that CEL can parse.

    Raises:
        InvalidExpressionError: a name, field, function or regular expression is not allowed.
    """
    return _Resolver(source).resolve()


def known(*names: str) -> str:
    """Names as an error lists them."""
    return ", ".join(sorted(names))


class _Resolver:
    def __init__(self, source: str) -> None:
        found = [match for match in _TOKEN.finditer(source) if match.lastgroup != "space"]
        self._kinds = [match.lastgroup or "" for match in found]
        self._tokens = [match.group() for match in found]
        self._spans = [match.span() for match in found]
        self._bound = self._loop_variables()
        self._facts: dict[str, Fact] = {}
        self._patterns: dict[str, Any] = {}
        self._optional: set[str] = set()
        self._guards: set[str] = set()

    def resolve(self) -> Names:
        tokens: list[str] = []
        spans: list[tuple[int, int]] = []
        index = 0
        while index < len(self._tokens):
            replacement, after = self._step(index)
            tokens.append(replacement)
            spans.append((self._spans[index][0], self._spans[after - 1][1]))
            index = after
        return Names(tokens, spans, self._facts, self._patterns, frozenset(self._optional), frozenset(self._guards))

    def _step(self, index: int) -> tuple[str, int]:
        """What stands for the token at `index`, and where to go on."""
        token = self._tokens[index]
        if self._kinds[index] != "name" or token in _LITERALS:
            return token, index + 1
        if index and self._tokens[index - 1] == ".":
            return self._method(index), index + 1
        if self._next(index, 1) == "(":
            return self._call(index)
        if token in FACTS:
            return self._fact(index)
        if token not in self._bound:
            raise InvalidExpressionError(f"unknown name {token!r}; known are {known(*FACTS)}")
        return token, index + 1

    def _next(self, index: int, ahead: int) -> str:
        return self._tokens[index + ahead] if index + ahead < len(self._tokens) else ""

    def _loop_variables(self) -> frozenset[str]:
        """The names that macros bind: the `role` of `author.roles.exists(role, …)`."""
        bound = set()
        for index, token in enumerate(self._tokens):
            if token in MACROS and self._tokens[index - 1] == "." and self._next(index, 1) == "(":
                name = self._next(index, 2)
                if name in FACTS or "__" in name:
                    raise InvalidExpressionError(
                        f"{name!r} has a meaning of its own; call the variable of {token}() something else"
                    )
                bound.add(name)
        return frozenset(bound)

    def _fact(self, index: int) -> tuple[str, int]:
        """`root.field`, `root['field']`, or the whole of a root that is a map."""
        root = self._tokens[index]
        field, after = self._field(index)
        if field:
            return self._variable(root, field), after
        if root not in MAPS:
            raise InvalidExpressionError(f"{root!r} is asked by field; known are {_fields(root)}")
        self._facts[root] = MAPS[root]
        return root, index + 1

    def _field(self, index: int) -> tuple[str, int]:
        sign = self._next(index, 1)
        if sign == "." and self._next(index, 3) != "(":
            return self._next(index, 2), index + 3
        if sign == "[" and self._next(index, 3) == "]" and self._kinds[index + 2] == "string":
            return str(cel.evaluate(self._tokens[index + 2])), index + 4
        return "", index + 1

    def _variable(self, root: str, field: str) -> str:
        if field not in FACTS[root]:
            raise InvalidExpressionError(f"unknown name '{root}.{field}'; known are {_fields(root)}")
        variable = f"{root}__{field}"
        self._facts[variable] = FACTS[root][field]
        if (root, field) in OPTIONAL:
            self._optional.add(variable)
        return variable

    def _has(self, index: int) -> tuple[str, int]:
        root = self._next(index, 2)
        field, after = self._field(index + 2) if root in FACTS else ("", 0)
        if (root, field) not in OPTIONAL or self._next(after, 0) != ")":
            optional = known(*(".".join(pair) for pair in OPTIONAL))
            raise InvalidExpressionError(
                f"has() asks only for what may be unknown: {optional}; all else always has a value"
            )
        guard = f"({self._variable(root, field)} != null)"
        self._guards.add(guard)
        return guard, after + 1

    def _call(self, index: int) -> tuple[str, int]:
        name = self._tokens[index]
        if name == "has":
            return self._has(index)
        if name not in FUNCTIONS:
            raise InvalidExpressionError(
                f"unknown function {name}(); known are {known(*FUNCTIONS)}, and on a value {known(*METHODS)}"
            )
        return name, index + 1

    def _method(self, index: int) -> str:
        name = self._tokens[index]
        if self._next(index, 1) != "(":
            raise InvalidExpressionError(
                f"'.{name}' asks for a field of something that has none; fields have {known(*FACTS)}"
            )
        if name not in METHODS:
            raise InvalidExpressionError(f"unknown function .{name}(); known on a value are {known(*METHODS)}")
        if name != "matches":
            return name
        if self._next(index, 3) != ")" or self._kinds[index + 2] != "string":
            raise InvalidExpressionError("matches() takes one regular expression in quotes, nothing computed")
        pattern = str(cel.evaluate(self._tokens[index + 2]))
        self._patterns[pattern] = compiled_pattern(pattern)
        return MATCHES


def compiled_pattern(pattern: str) -> Any:
    """A regular expression in RE2's syntax (https://github.com/google/re2/wiki/Syntax), bounded in size.

    Raises:
        InvalidExpressionError: RE2 does not know the syntax, or the pattern is too large.
    """
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise InvalidExpressionError(
            f"a regular expression of {len(pattern)} characters; allowed are {MAX_PATTERN_LENGTH}"
        )
    try:
        compiled = re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else error
        raise InvalidExpressionError(f"{pattern!r} is no regular expression of RE2: {reason}") from error
    if compiled.programsize > MAX_PATTERN_SIZE:
        raise InvalidExpressionError(
            f"{pattern!r} is too large: {compiled.programsize} steps, allowed are {MAX_PATTERN_SIZE}; repeat less"
        )
    return compiled


def searcher(patterns: dict[str, Any]) -> Callable[[str, str], bool]:
    """The function that stands for `matches`: whether a pattern is found anywhere in a text."""
    return lambda text, pattern: patterns[pattern].search(text) is not None


def _fields(root: str) -> str:
    return known(*(f"{root}.{field}" for field in FACTS[root]))
