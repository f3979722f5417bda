import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_moderator.text.language import detect, primary


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("hey what are you doing tonight", "en"),
        ("gg wp everyone that was close", "en"),
        ("was machst du denn heute Abend noch", "de"),
        ("qu'est-ce que tu fais ce soir", "fr"),
        ("qué vas a hacer esta noche amigo", "es"),
        ("o que você vai fazer hoje à noite", "pt"),
        ("che cosa fai stasera con i tuoi amici", "it"),
        ("bu akşam eve gidecek misin", "tr"),
        ("что ты делаешь сегодня вечером", "ru"),
        ("що ти робиш сьогодні ввечері", "uk"),
        ("ماذا تفعل هذا المساء", "ar"),
        ("आज शाम क्या कर रहे हो", "hi"),
        ("aaj sham ko kya kar rahe ho bhai", "hi-Latn"),
        ("今晚你在做什么", "zh"),
        ("今夜は何をしていますか", "ja"),
        ("오늘 밤에 뭐 해", "ko"),
        ("สวัสดีครับ", "th"),
        ("τι κάνεις απόψε", "el"),
    ],
)
def test_short_chat_is_told_by_its_language(text: str, language: str) -> None:
    assert detect(text)[0] == language


def test_what_has_no_words_has_no_language() -> None:
    for text in ("", "123 + 4", "😀😀", "https://example.org/deutsche-sprache", "@user #tag", "\n\t", "!?"):
        assert detect(text) == ()


def test_a_text_in_two_scripts_has_two_languages_the_larger_first() -> None:
    assert detect("что ты делаешь сегодня вечером, my friend")[:2] == ("ru", "en")


def test_the_language_of_a_tag_is_its_first_part() -> None:
    assert [primary(tag) for tag in ("pt-BR", "zh_Hant", "EN", "hi-Latn", "")] == ["pt", "zh", "en", "hi", ""]


@given(st.text())
def test_any_text_has_a_few_languages_or_none(text: str) -> None:
    found = detect(text)
    assert len(found) == len(set(found)) <= 6
    assert found == detect(text)
