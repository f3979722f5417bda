"""The chat corpus keeps its own rules."""

from training.check_corpus import problems


def test_no_line_breaks_the_guide() -> None:
    assert list(problems()) == []
