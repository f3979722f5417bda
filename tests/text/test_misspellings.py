# ruff: noqa: RUF001 -- disguises are what this file is about
"""Misspelt words of abuse are read as what they mean; innocent neighbours of them are left alone."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chat_moderator.text.misspellings import meant, unmasked
from chat_moderator.text.reading import read

VOCABULARY = frozenset(
    """
    a all and are be bit duck face fool go great hate hell help hit hole holy i is it kill me moron nice of off
    on pen shirt shot so such sucks that the this town u what where who with word you your yourself represents
    stupid idiot fuck shit bitch whore
    """.split()  # noqa: SIM905 -- a list of words reads better as text
)


def known(word: str) -> bool:
    return word in VOCABULARY


def said(text: str) -> str:
    return " ".join(word.text for word in read(text, known))


@pytest.mark.parametrize(
    ("kind", "disguised", "meaning"),
    [
        ("a star", "what a b*tch", "what a bitch"),
        ("stars", "s**t", "shit"),
        ("stars at the end", "you b****", "you bitch"),
        ("stars of another number", "f*****g town", "fucking town"),
        ("another sign", "f#ck f-ck f.ck f_ck", "fuck fuck fuck fuck"),
        ("a digit", "b1tch", "bitch"),
        ("an x", "bxtch", "bitch"),
        ("no vowels", "stpd btch", "stupid bitch"),
        ("a swap", "fukc you", "fuck you"),
        ("a letter lost", "you idot", "you idiot"),
        ("a letter put in", "you whorje", "you whore"),
        ("a key beside it", "you bastarf", "you bastard"),
        ("a sound", "phuk you", "fuck you"),
        ("joined", "youidiot", "you idiot"),
        ("joined weaker ones", "killyourself", "kill yourself"),
        ("two in one", "stupididiot", "stupid idiot"),
        ("a tail", "fuckovich", "fuck"),
        ("a frame", "xxbitchxx", "bitch"),
        ("cut in two", "fu ck you", "fuck you"),
        ("cut in three", "mo ther fucker", "motherfucker"),
        ("cut, with a mark", "what a bi tch!", "what a bitch !"),
        ("spaced, after a word of one letter", "a f u c k i n g idiot", "a fucking idiot"),
        ("under another disguise", "ｆ*ｃｋ b*t\u200bch", "fuck bitch"),
    ],
)
def test_what_is_meant_is_read(kind: str, disguised: str, meaning: str) -> None:
    assert said(disguised) == meaning, kind


@pytest.mark.parametrize(
    "word",
    """
    scunthorpe penistone cockburn matsushita shiitake assassin classic cocktail therapist grape drape peacock
    oxymoron essex uranus phuket hancock dickens hitchcock woodcock fuchs kunst kunta beschluss beslut avsluta
    morgen morton retardant retardement apretado biche douce duchess assam agassi analysis canal document
    cucumber whorepresents duck shirt shot fsck cumsum basement brodie killian wanaka
    """.split(),  # noqa: SIM905
)
def test_innocent_words_stay_as_they_are(word: str) -> None:
    assert said(word) == word


@pytest.mark.parametrize(
    "text", ["the pen is", "who re you", "go on it", "*nice* word* 2*3 a**b", "I a m", "so s he is", "re: hi t"]
)
def test_innocent_neighbours_are_not_joined(text: str) -> None:
    assert not {"penis", "whore", "bitch", "shit", "hit"} & set(said(text).split())


def test_a_word_that_the_caller_knows_means_itself() -> None:
    assert meant("whole", lambda _: True) == ()
    assert said("shot duck shirt") == "shot duck shirt"


def test_a_small_vocabulary_can_go_without() -> None:
    assert [word.text for word in read("a cckk f*ck", known, fuzzy=False)][:2] == ["a", "cckk"]
    assert "fuck" not in [word.text for word in read("f*ck fu ck", known, fuzzy=False)]


def test_what_is_meant_stands_where_it_was_written() -> None:
    text = "oh youidiot, fu ck off"
    assert [(word.text, text[word.start : word.end]) for word in read(text, known) if word.speaks] == [
        ("oh", "oh"),
        ("you", "you"),
        ("idiot", "idiot"),
        ("fuck", "fu ck"),
        ("off", "off"),
    ]


@settings(deadline=None)
@given(st.text(st.sampled_from("fuckshitbanlydo*#-x1 "), max_size=40))
def test_places_lie_in_the_original(text: str) -> None:
    for word in read(text, known):
        assert 0 <= word.start < word.end <= len(text)


@settings(deadline=None)
@given(st.text(st.characters(), max_size=40))
@example("\ud800idiots")
def test_any_text_is_looked_up(text: str) -> None:
    if text:
        unmasked(text, known)
    for piece in meant(text, known):
        assert 0 <= piece.start < piece.end <= len(text)
