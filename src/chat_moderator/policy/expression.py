"""Compiles a rule's expression, and checks it by a trial of each part, also of those a whole trial would not reach.

The language is CEL (https://github.com/google/cel-spec).
"""

import operator
import re
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, Final, NamedTuple

import cel

from chat_moderator.policy.facts import SAMPLES, Fact
from chat_moderator.policy.names import (
    FUNCTIONS,
    MACROS,
    MATCHES,
    METHODS,
    InvalidExpressionError,
    Names,
    known,
    resolve,
    searcher,
)

MAX_LENGTH: Final = 2000
MAX_LOOPS: Final = 2

_TOO_DEEP: Final = "is nested too deep; split it into several rules"

_POSITION: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?([^\n]*)")
_UNDEFINED: Final = re.compile(r"Undefined variable or function: '(\w+)'")
_OPENING: Final = frozenset("([{")
_CLOSING: Final = frozenset(")]}")
_ENDS: Final = _CLOSING | {"&&", "||", "?", ":", ",", ""}

Outcomes = frozenset[bool | None]
"""What an operand may come to while the optional facts are unknown: true, false, None for an error."""

_CHOICES: Final = frozenset({"||", "?"})
_JOINTS: Final = _CHOICES | {"&&"}
_COMPARISONS: Final = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_NUMBER: Final = re.compile(r"\d{1,15}(?:\.\d+)?")
_EITHER: Final[Outcomes] = frozenset({True, False})


class Condition(NamedTuple):
    """A comparison without which an expression is false, whatever the rest of it comes to, errors included."""

    fact: Fact
    compare: Callable[[float, float], bool]
    limit: float


class Expression(NamedTuple):
    """A checked expression: its program, the facts it needs by variable, and its regular expressions.

    `conditions` are all necessary; they tell for most messages that the program need not run.
    """

    program: cel.Program
    facts: dict[str, Fact]
    patterns: dict[str, Any]
    conditions: tuple[Condition, ...]


def compiled(source: str) -> Expression:
    """Compiles `source`, at most 2,000 characters of CEL that come to a bool.

    Raises:
        InvalidExpressionError: syntax (with the position), an unknown name or function, a wrong type, an optional fact
            without `has()`.
    """
    if not source.strip():
        raise InvalidExpressionError("is empty; write a condition such as 'scores.spam > 0.5'")
    if len(source) > MAX_LENGTH:
        raise InvalidExpressionError(f"has {len(source)} characters; allowed are {MAX_LENGTH}")
    _check_syntax(source)
    names = resolve(source)
    try:
        _Trial(source, names).run()
    except RecursionError as error:
        raise InvalidExpressionError(_TOO_DEEP) from error
    program = cel.compile(" ".join(names.tokens))
    return Expression(program, names.facts, names.patterns, tuple(_conditions(names)))


def _check_syntax(source: str) -> None:
    try:
        cel.compile(source)
    except ValueError as error:
        if "Recursion limit" in str(error):
            raise InvalidExpressionError(_TOO_DEEP) from error
        found = _POSITION.search(str(error))
        if not found:
            raise InvalidExpressionError(f"syntax error: {error}") from error
        line, column, problem = found.groups()
        problem = problem.split(" expecting ")[0]
        raise InvalidExpressionError(f"syntax error at line {line}, column {column}: {problem}") from error


def _conditions(names: Names) -> Iterator[Condition]:
    """The operands of the outermost `&&` that compare a number that is always known with a literal."""
    depth = 0
    operands: list[list[str]] = [[]]
    for token in names.tokens:
        depth += (token in _OPENING) - (token in _CLOSING)
        if depth or token not in _JOINTS:
            operands[-1].append(token)
        elif token in _CHOICES:
            return
        else:
            operands.append([])
    for name, sign, limit in (operand for operand in operands if len(operand) == len(Condition._fields)):
        fact = names.facts.get(name)
        if fact is None or name in names.optional or sign not in _COMPARISONS or not _NUMBER.fullmatch(limit):
            continue
        if _kind(fact(SAMPLES[0])) == "a number":
            yield Condition(fact, _COMPARISONS[sign], float(limit))


class _Trial:
    """Walks the operands of an expression as CEL's grammar nests them.

    Each is evaluated on a sample message. What it may come to without the optional facts is followed upwards: an error
    may only stand where `has()` keeps it from counting.
    """

    def __init__(self, source: str, names: Names) -> None:
        self._source = source
        self._names = names
        self._tokens = names.tokens
        self._at = 0
        self._loops = 0
        functions = {MATCHES: searcher(names.patterns)}
        self._complete, self._sparse = (
            cel.Context({name: fact(sample) for name, fact in names.facts.items()}, functions) for sample in SAMPLES
        )

    def run(self) -> None:
        outcomes = self._choice()
        if self._at != len(self._tokens):
            raise InvalidExpressionError(f"cannot be read from {self._shown(self._at, len(self._tokens))!r} on")
        if None in outcomes:
            names = known(*(name.replace("__", ".") for name in self._names.optional))
            raise InvalidExpressionError(f"{names} may be unknown; ask has({names}) && … before it")
        for context in (self._complete, self._sparse):
            self._evaluated(0, len(self._tokens), context, must_be_bool=True)

    def _choice(self) -> Outcomes:
        start = self._at
        condition = self._joined("||", self._conjunction, decisive=True)
        if self._peek() != "?":
            return condition
        self._try(start, must_be_bool=True)
        outcomes: Outcomes = condition & {None}
        for value in (True, False):
            self._at += 1
            start = self._at
            branch = self._choice()
            self._try(start)
            outcomes |= branch if value in condition else frozenset()
        return outcomes

    def _conjunction(self) -> Outcomes:
        return self._joined("&&", self._operand, decisive=False)

    def _joined(self, sign: str, operand: Callable[[], Outcomes], *, decisive: bool) -> Outcomes:
        """Operands joined by `sign`; one that comes to `decisive` decides, even beside an error: both signs commute."""
        start = self._at
        outcomes = operand()
        if self._peek() == sign:
            self._try(start, must_be_bool=True)
        while self._peek() == sign:
            self._at += 1
            start = self._at
            pairs = [{left, right} for left, right in product(outcomes, operand())]
            self._try(start, must_be_bool=True)
            outcomes = frozenset(
                decisive if decisive in pair else None if None in pair else not decisive for pair in pairs
            )
        return outcomes

    def _operand(self) -> Outcomes:
        start = self._at
        while self._peek() == "!":
            self._at += 1
        negated = (self._at - start) % 2 == 1
        first = self._at
        outcomes = self._group() if self._peek() == "(" else frozenset()
        if first == self._at or self._peek() not in _ENDS:
            outcomes = self._relation(start, first, outcomes)
        return frozenset(None if outcome is None else outcome != negated for outcome in outcomes)

    def _relation(self, start: int, first: int, outcomes: Outcomes) -> Outcomes:
        """Values, calls and comparisons up to the next operand; `outcomes` are those of a bracket read before."""
        direct = set()
        while (token := self._peek()) not in _ENDS:
            if token in _OPENING:
                outcomes |= self._group()
            else:
                direct.add(token)
                self._at += 1
        self._check_equality(start)
        if self._names.optional & direct:
            return frozenset({None})
        if self._names.guards & direct and self._at - first == 1:
            return frozenset({False})
        return _EITHER | outcomes

    def _group(self) -> Outcomes:
        """What stands in brackets: one expression, or several as arguments, entries or a loop's body."""
        loop = self._at > 1 and self._tokens[self._at - 2] == "." and self._tokens[self._at - 1] in MACROS
        self._loops += loop
        if self._loops > MAX_LOOPS:
            raise InvalidExpressionError(f"has loops nested more than {MAX_LOOPS} deep; split it into several rules")
        self._at += 1
        outcomes: Outcomes = frozenset()
        while self._peek() and self._peek() not in _CLOSING:
            outcomes |= self._choice()
            if self._peek() in {",", ":"}:
                self._at += 1
        self._at += 1
        self._loops -= loop
        return outcomes

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _try(self, start: int, *, must_be_bool: bool = False) -> None:
        """Evaluates what was read since `start`, unless it stands in a loop, whose variable has no value out here."""
        if not self._loops:
            self._evaluated(start, self._at, self._complete, must_be_bool=must_be_bool, lenient=True)

    def _check_equality(self, start: int) -> None:
        """Refuses `==` between types that are never equal; CEL would answer false without a word."""
        tokens = self._tokens[start : self._at]
        signs = [start + index for index, token in enumerate(tokens) if token in {"==", "!="}]
        if self._loops or len(signs) != 1:
            return
        left = _kind(self._evaluated(start, signs[0], self._complete, lenient=True))
        right = _kind(self._evaluated(signs[0] + 1, self._at, self._complete, lenient=True))
        if left and right and left != right:
            shown = self._shown(start, self._at)
            raise InvalidExpressionError(f"{shown!r} compares {left} with {right}, which are never equal")

    def _evaluated(
        self, start: int, end: int, context: cel.Context, *, must_be_bool: bool = False, lenient: bool = False
    ) -> Any:
        """The value of some tokens; `lenient` lets pass what is a matter of values, as 1 / 0 is."""
        shown = self._shown(start, end)
        try:
            value = cel.compile(" ".join(self._tokens[start:end])).execute(context)
        except (ArithmeticError, LookupError, ValueError) as error:
            if lenient:
                return None
            raise InvalidExpressionError(
                f"{shown!r} fails on a sample message{self._which(context)}: {error}"
            ) from error
        except Exception as error:
            raise InvalidExpressionError(
                f"{shown!r} fails on a sample message{self._which(context)}: {_reason(error)}"
            ) from error
        if must_be_bool and not isinstance(value, bool):
            raise InvalidExpressionError(f"{shown!r} comes to {value!r}; needed is a condition, true or false")
        return value

    def _which(self, context: cel.Context) -> str:
        return " that has no text, author, language or scores" if context is self._sparse else ""

    def _shown(self, start: int, end: int) -> str:
        return self._source[self._names.spans[start][0] : self._names.spans[end - 1][1]]


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, int | float):
        return "a number"
    return "a text" if isinstance(value, str) else ""


def _reason(error: Exception) -> str:
    """What the library means: it also calls a function undefined when it does not take the types that it is given."""
    undefined = _UNDEFINED.match(str(error))
    if undefined and undefined[1].removesuffix("__") in (*FUNCTIONS, *METHODS):
        return f"{undefined[1].removesuffix('__')}() does not take values of these types"
    if undefined:
        return f"unknown name {undefined[1]!r}"
    if str(error).startswith("No such overload"):
        return "these types do not go together; int(), double() and string() convert"
    return str(error).partition(". ")[0]
