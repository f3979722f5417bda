"""What an unknown word means that was misspelt so that no filter knows it: "fcuk", "btch", "sh*t", "youidiot".

Only words of abuse are looked for (`misspellings.toml`). Their likely misspellings are made once, so that one look-up
finds them (Norvig, 2007, turned round); what can be inserted is anything, so insertions are found by deleting
(Garbe's SymSpell, 2012). Two words in one are found by an automaton (Aho and Corasick, 1975).
"""

import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

LISTED: Final = Path(__file__).with_name("misspellings.toml")
HIDING: Final = "*#%&^~=?_.-/+'\"@$!|x0123456789"
"""What may stand for a letter within a word; stars may stand for any number of them."""

_SHORTEST: Final = 3
_LONGEST: Final = 32
_SMALL: Final = 3
"""Letters up to which being a word means being listed as one."""

_LETTER_ADDED_FROM: Final = (4, 7)
_SHOWN_FROM: Final = 4
_SOUNDED_FROM: Final = 4
_BARE_FROM: Final = 4
_STRETCH: Final = 2
_YOU: Final = frozenset({"u", "ur"})
_VOWELS: Final = frozenset("aeiou")
_MISTAKEN: Final[dict[str, set[str]]] = defaultdict(set)
for _group in ("aeiouy", "ckq", "sz", "vw", "gj", "dt", "bp", "mn", "fv", "rl"):
    for _letter in _group:
        _MISTAKEN[_letter] |= set(_group) - {_letter}
for _row in ("qwertyuiop", "asdfghjkl", "zxcvbnm"):
    for _letter, _next in pairwise(_row):
        _MISTAKEN[_letter].add(_next)
        _MISTAKEN[_next].add(_letter)
_SOUNDS: Final = tuple(
    (re.compile(spelt), sound)
    for spelt, sound in (
        (r"ph", "f"),
        (r"tch", "ch"),
        (r"sch", "sh"),
        (r"c(?![eihy])|ck|q", "k"),
        (r"z", "s"),
        (r"ee|y", "i"),
        (r"oo|ou", "u"),
        (r"(?:er|or|ah|uh|a)$", "a"),
        (r"in$", "ing"),
        (r"(.)\1+", r"\1"),
    )
)
_STARRED: Final = re.compile(r"([a-z]+)\*+([a-z]+)")
_CORRECTED: Final = re.compile(r"[^*]+\*")


class Piece(NamedTuple):
    """A word that was meant, and where it stands: characters `start` to `end` (exclusive) of what was looked at."""

    text: str
    start: int
    end: int


class _Listed:
    """The words and what may be meant by them, ready to be looked up."""

    def __init__(self, path: Path) -> None:
        table = tomllib.loads(path.read_text("utf-8"))
        other = {name: frozenset(words.split()) for name, words in table["other"].items()}
        self.small, self.joining, self.innocent = other["small"], other["joining"], other["innocent"]
        forms = {
            kind: [form for term, more in table[kind].items() for form in (term, *more.split())]
            for kind in ("anywhere", "joined", "whole")
        }
        self.anywhere = frozenset(forms["anywhere"])
        self.words = tuple(dict.fromkeys(form for kind in forms.values() for form in kind))
        bare = [(spelt, word) for word in forms["anywhere"] for spelt in _without_vowels(word)]
        self.usual = {spelt: word for spelt, word in reversed(bare) if len(spelt) >= _BARE_FROM}
        self.usual |= {spelt: term for term, more in table["spellings"].items() for spelt in more.split()}
        self.meanings = dict(zip(self.words, self.words, strict=True)) | self.usual
        self.sounds: dict[str, str] = {}
        for make, *shortest in _MISSPELT:
            for word in self.words:
                if len(word) >= shortest[word not in self.anywhere]:
                    for spelt in make(word):
                        self.meanings.setdefault(spelt, word)
        for word in forms["anywhere"]:
            self.sounds.setdefault(sound(word), word)
        self.listed = frozenset(self.words)
        self.longer = frozenset(
            word for word in self.words if len(word) >= _LETTER_ADDED_FROM[word not in self.anywhere]
        )
        self.hidden: dict[tuple[str, int], list[str]] = {}
        for word in self.words:
            self.hidden.setdefault((word[0], len(word)), []).append(word)
        self.beginnings = frozenset(word[:cut] for word in self.words for cut in range(1, len(word)))
        self.others = frozenset(
            word[begin:end]
            for word in self.words
            for begin in range(1, len(word))
            for end in range(begin + 1, len(word) + 1)
        )
        inside = [word for kind in ("anywhere", "joined") for word in forms[kind]]
        self.inside = AhoCorasick(
            inside, matchkind=MatchKind.LeftmostLongest, implementation=Implementation.ContiguousNFA
        )


@lru_cache(1)
def _listed() -> _Listed:
    return _Listed(LISTED)


def sound(word: str) -> str:
    """What the word sounds like, roughly; words that sound alike are equal."""
    for spelt, heard in _SOUNDS:
        word = spelt.sub(heard, word)
    return word


def meant(word: str, known: Callable[[str], bool]) -> tuple[Piece, ...]:
    """The words of abuse, and those between them, that a lower-case word stands for; none if it is innocent or known.

    Only of spellings that are usual it does not matter whether they are known. Constant work for words of up to 32
    letters; longer ones mean nothing.
    """
    return () if known(word) and not is_usual(word) else meant_unknown(word, known)


def is_usual(word: str) -> bool:
    """Whether the word is a usual spelling of one of abuse, which counts even where it is known."""
    return word in _listed().usual


def meant_unknown(word: str, known: Callable[[str], bool]) -> tuple[Piece, ...]:
    """Like `meant`, of a word that is not known, or usual all the same."""
    listed = _listed()
    size = len(word)
    if word in listed.usual:
        return (Piece(listed.usual[word], 0, size),)
    if not _SHORTEST <= size <= _LONGEST or word in listed.innocent:
        return ()
    if meaning := listed.meanings.get(word) or _longer(word, listed) or ("x" in word and unmasked(word, known)):
        return (Piece(meaning, 0, size),)
    return _joined(word, known, listed)


def unmasked(token: str, known: Callable[[str], bool]) -> str:
    """The word of abuse of which signs hide some letters, as in "sh*t" and "f#ck"; empty if it is none.

    Stars and hashes may hide any letters, other signs, digits and an x one vowel only, since they stand in honest words
    too; one star at the end marks a correction, unless what is before it is no word.
    """
    if not _SHORTEST <= len(token) <= _LONGEST or (_CORRECTED.fullmatch(token) and known(token[:-1])):
        return ""
    listed = _listed()
    exact = (word for word in listed.hidden.get((token[0], len(token)), ()) if _shows(token, word))
    return next(exact, "") or ("*" in token and _starred(token, listed)) or ""


class Fragment(NamedTuple):
    """What a token may be of a word of abuse that was cut: its beginning, a later part; and whether it is no word."""

    begins: bool
    follows: bool
    wordless: bool


def fragment(word: str, known: Callable[[str], bool]) -> Fragment:
    """What a lower-case token may be of a word that was cut."""
    listed = _listed()
    begins, follows = word in listed.beginnings, word in listed.others
    return Fragment(begins, follows, (begins or follows) and not _is_word(word, known, listed))


def is_cut(parts: Sequence[str], known: Callable[[str], bool]) -> bool:
    """Whether neighbours, of which one at least is no word, are a listed word that was cut."""
    listed = _listed()
    return "".join(parts) in listed.listed and not all(_is_word(part, known, listed) for part in parts)


def _is_word(word: str, known: Callable[[str], bool], listed: _Listed) -> bool:
    if len(word) <= _SMALL:
        return word in listed.small
    return known(word) and word[0] != word[1] and not _VOWELS.isdisjoint(word)


def _swapped(word: str) -> Iterator[str]:
    for at in range(len(word) - 1):
        yield word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _without_vowels(word: str) -> Iterator[str]:
    bare = word[0] + "".join(letter for letter in word[1:] if letter not in _VOWELS)
    for spelt in (bare, re.sub(r"(.)\1+", r"\1", bare)):
        if len(spelt) >= _SHORTEST + (word[-1] == "s"):
            yield spelt


def _one_lost(word: str) -> Iterator[str]:
    for at in range(1, len(word)):
        yield word[:at] + word[at + 1 :]


def _one_changed(word: str) -> Iterator[str]:
    for at in range(1, len(word)):
        for letter in _MISTAKEN[word[at]]:
            yield word[:at] + letter + word[at + 1 :]


_MISSPELT: Final = ((_swapped, 4, 5), (_without_vowels, 5, 7), (_one_lost, 5, 7), (_one_changed, 4, 8))
"""How a word is misspelt, and from how many letters on; the likelier first.

The weaker words, which are not read out of others, must be longer: they have more innocent neighbours.
"""


def _longer(word: str, listed: _Listed) -> str:
    """The word by its sound, or with one letter too many."""
    size = len(word)
    if size >= _SOUNDED_FROM and (found := listed.sounds.get(sound(word))):
        return found
    for at in range(1, size):
        if (shorter := word[:at] + word[at + 1 :]) in listed.longer:
            return shorter
    return ""


def _joined(word: str, known: Callable[[str], bool], listed: _Listed) -> tuple[Piece, ...]:
    if not word.isprintable():  # half a surrogate pair has no place in the automaton
        return ()
    matches = [(start, end) for _, start, end in listed.inside.find_matches_as_indexes(word)]
    if not matches or any(_splits(word, start, end, known) for start, end in matches):
        return ()
    found: list[Piece] = []
    at = 0
    rest: list[str] = []
    for start, end in [*matches, (len(word), len(word))]:
        if at < start:
            rest.append(word[at:start])
            found.append(Piece(rest[-1], at, start))
        if start < end:
            found.append(Piece(word[start:end], start, end))
        at = end
    addressed = found[0].text in _YOU or not listed.joining.isdisjoint(rest)
    if not rest or (addressed and all(part in listed.joining or part in listed.small for part in rest)):
        return tuple(found)
    if not any(piece.text in listed.anywhere for piece in found):
        return ()
    told = tuple(
        piece
        for piece in found
        if piece.text not in rest or piece.text in listed.joining or _is_word(piece.text, known, listed)
    )
    return told if len(told) > 1 else (Piece(told[0].text, 0, len(word)),)


def _splits(word: str, start: int, end: int, known: Callable[[str], bool]) -> bool:
    """Whether the word is two known ones that meet within what was found, as in "whorepresents"."""
    return any(
        known(word[:cut]) and known(word[cut:])
        for cut in range(max(start + 1, _SMALL), min(end, len(word) - _SMALL + 1))
    )


def _shows(token: str, word: str) -> bool:
    """Whether the letters that are shown are the word's, and what hides the others may do so."""
    hidden = 0
    for shown, letter in zip(token, word, strict=True):
        if shown == letter:
            continue
        if shown not in HIDING or (shown not in "*#" and (letter not in _VOWELS or hidden)):
            return False
        hidden += 1
    return bool(hidden) and ("*" in token or len(word) >= _SHOWN_FROM)


def _starred(token: str, listed: _Listed) -> str:
    """The shortest word that begins and ends as the token does, if it is not far longer or shorter."""
    if shown := _STARRED.fullmatch(token):
        first, last = shown.groups()
        for size in range(max(len(token) - _STRETCH, len(first + last) + 1), len(token) + _STRETCH + 1):
            for word in listed.hidden.get((token[0], size), ()):
                if word.startswith(first) and word.endswith(last):
                    return word
    return ""
