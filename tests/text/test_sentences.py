from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chat_moderator.text.sentences import LONGEST_LIST, sentences, utf16_length


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


def test_sentences_end_with_their_marks_or_lines() -> None:
    assert cut("Hello there. How are you?  Fine!") == ["Hello there.", "How are you?", "Fine!"]
    assert cut("one\ntwo\r\n\nthree") == ["one", "two", "three"]
    assert cut("你好。你是谁。") == ["你好。", "你是谁。"]
    assert cut("Version 1.5 is out at example.org today") == ["Version 1.5 is out at example.org today"]
    assert cut('He said "go." Then left...') == ['He said "go."', "Then left..."]
    assert cut("Hi. 👍") == ["Hi. 👍"]
    assert cut("???") == ["???"]
    assert cut(" \n ") == []


@given(st.text(alphabet=st.sampled_from("aB.?! \n😀。'\"")))
def test_sentences_are_in_order_and_leave_out_only_white_space(text: str) -> None:
    found = sentences(text)
    rest = text
    for start, end in reversed(found):
        assert 0 <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        rest = rest[:start] + rest[end:]
    assert not rest.strip()
    assert all(first[1] <= second[0] for first, second in pairwise(found))


def test_what_comes_after_the_last_sentence_that_is_told_apart_belongs_to_it() -> None:
    text = "a. " * 1000
    assert len(sentences(text)) == LONGEST_LIST
    assert sentences(text)[-1][1] == len(text) - 1


@given(st.text())
def test_utf16_lengths_are_those_of_the_encoding(text: str) -> None:
    assert utf16_length(text) == len(text.encode("utf-16-le", "surrogatepass")) // 2
