"""Word pieces: the most probable split, as the definition has it; and the same from several threads."""

import itertools
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_moderator.classifiers.encoder_pieces import START, UNKNOWN, Pieces

PIECES = ("<unk>", START, "a", "b", "ab", "ba", "aba", f"{START}a", f"{START}ab", "é", "éb", "cc")
SCORES = (0.0, -2.0, -3.1, -3.3, -4.2, -4.3, -5.5, -3.7, -4.9, -6.0, -7.1, -5.0)
COVERED = {piece: SCORES[number] for number, piece in enumerate(PIECES) if number != UNKNOWN}
WORST = min(SCORES) - 10


def pieces(remembered: int = 1000) -> Pieces:
    return Pieces(PIECES, SCORES, {"idiot", "you", "stupid"}.__contains__, remembered=remembered)


def probability(parts: tuple[str, ...]) -> float:
    """The log-probability of a split; a character that no piece covers counts as the worst there is."""
    return sum(COVERED.get(part, WORST if len(part) == 1 else -1e9) for part in parts)


def splits(word: str) -> list[tuple[str, ...]]:
    return [
        tuple(word[begin:end] for begin, end in itertools.pairwise((0, *cuts, len(word))))
        for size in range(len(word))
        for cuts in itertools.combinations(range(1, len(word)), size)
    ]


@given(st.text(f"abcé{START}\ud800😀", min_size=1, max_size=8))
def test_a_word_is_split_as_is_most_probable(word: str) -> None:
    found = pieces().split(word)
    highest = max(map(probability, splits(word)))
    known = sum(SCORES[number] for number in found if number != UNKNOWN)
    # "c|cc" may be as probable as "cc|c": any of the best will do.
    assert any(
        found.count(UNKNOWN) == sum(not covered for covered, _ in itertools.groupby(part in COVERED for part in split))
        and known + sum(part not in COVERED for part in split) * WORST == pytest.approx(highest)
        for split in splits(word)
        if probability(split) == pytest.approx(highest)
    )


@given(st.lists(st.sampled_from(["ab", "aba", "st", "stu", "pid", "idi", "ot", "a", "b", "c", "!", "é" * 60])))
def test_the_places_belong_to_the_pieces_and_neither_depends_on_what_is_remembered(found: list[str]) -> None:
    text = " ".join(found)
    reader, forgetful = pieces(), pieces(remembered=1)
    ids, places = reader.placed(text)
    assert ids == reader.read(text) == forgetful.read(text) == reader.read(text)
    assert len(ids) == len(places)
    assert all(0 <= begin < end <= len(text) for begin, end in places)


def test_what_is_cut_or_spaced_out_is_read_as_one_word() -> None:
    reader = pieces()
    assert reader.read("stu pid") == reader.read("stupid")
    assert reader.read("i d i o t") == reader.read("idiot")
    assert reader.read("a b , you") != reader.read("ab, you")


def test_several_threads_read_alike() -> None:
    chance = random.Random(1)
    texts = [" ".join(chance.choices(["ab", "aba", "ccab", "stu", "pid", "a", "b", "é"], k=6)) for _ in range(400)]
    shared = pieces(remembered=3)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(shared.read, texts)) == [pieces().read(text) for text in texts]
