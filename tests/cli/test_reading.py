import io
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chat_moderator.cli import reading
from chat_moderator.errors import ConfigError


class Trickle(io.BytesIO):
    """A pipe into which somebody writes piece by piece."""

    def __init__(self, pieces: list[bytes]) -> None:
        super().__init__()
        self._pieces = [piece for piece in pieces if piece]

    def read1(self, size: int | None = -1) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


lines = st.lists(st.text(st.characters(exclude_characters="\n\r\0\ufeff", exclude_categories=["Cs"])), max_size=20)


@given(lines, st.lists(st.integers(0, 200), max_size=8), st.booleans())
def test_texts_come_out_as_they_went_in_however_they_arrive(texts: list[str], cuts: list[int], ended: bool) -> None:
    raw = "\n".join(texts).encode() + (b"\n" if ended else b"")
    places = sorted({0, len(raw), *(min(cut, len(raw)) for cut in cuts)})
    pieces = [raw[start:end] for start, end in pairwise(places)]
    read = [message for batch in reading.batches(Trickle(pieces), reading.plain) for message in batch]
    expected = raw.decode().split("\n")
    if expected[-1] == "":
        expected.pop()
    assert [message.text for message in read] == expected
    assert [message.id for message in read] == [str(number) for number in range(1, len(expected) + 1)]


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_with_their_line(raw: bytes) -> None:
    for parse in (reading.plain, reading.jsonl):
        try:
            for batch in reading.batches(Trickle([raw]), parse):
                assert batch
        except ConfigError as problem:
            refused = problem.path
            assert refused.startswith("line ")


def test_a_line_that_has_begun_holds_back_those_before_it_but_not_for_ever() -> None:
    arrived = list(reading.batches(Trickle([b"a\nb", b"c\n", b"d\n"]), reading.plain))
    assert [[message.text for message in batch] for batch in arrived] == [["a", "bc"], ["d"]]
    line = b"x" * 1000 + b"\n"
    many = list(reading.batches(Trickle([line * 60 + b"y"] * 4), reading.plain))
    assert [len(batch) for batch in many] == [120, 120, 1]
