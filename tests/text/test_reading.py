# ruff: noqa: RUF001 -- disguises are what this file is about
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chat_moderator.text.folding import fold
from chat_moderator.text.mapped import Mapped
from chat_moderator.text.masks import LINK, NUMBER, USER
from chat_moderator.text.reading import read, rewrite
from chat_moderator.text.words import tokens

VOCABULARY = frozenset(
    [
        "awesome",
        "banana",
        "bandana",
        "cool",
        "friend",
        "hello",
        "hi",
        "no",
        "open",
        "shop",
        "the",
        "there",
        "two",
        "window",
        "wonderful",
        "yes",
        "you",
    ]
)

any_text = st.text(st.characters(), max_size=60)  # every code point, lone surrogates and NUL included
odd_text = st.text(
    st.sampled_from(
        "aAbo0 1!@$&%#;.x46\t\n\x00\u200b\u202e\u202c\u0301\u0336\ufe0f\u0430\u03bf\U0001f1e6\U0001d41aß你हि\ud800"
    ),
    max_size=60,
)


def known(word: str) -> bool:
    return word in VOCABULARY


def said(text: str) -> str:
    return " ".join(word.text for word in read(text, known))


@pytest.mark.parametrize(
    ("kind", "disguised"),
    [
        ("leetspeak", "w0nd3rful b4n4n4"),
        ("leetspeak with signs", "w0nderfu| b@n@na"),
        ("leetspeak before a word", "w0nderful 8anana"),
        ("Cyrillic look-alikes", "wоnderful bаnana"),
        ("Greek look-alikes", "wοnderful βanana"),
        ("zero-width characters", "won\u200bder\u2060ful ba\u00adna\u200dna"),
        (
            "combining marks",
            "w\u0336o\u0336n\u0301\u0336d\u0330e\u0336r\u0336f\u0336u\u0336l\u0336 b\u0337a\u0337n\u0337a\u0337na",
        ),
        ("accents", "wöndèrfúl bánana"),
        ("strokes", "wønderful ƀanana"),
        ("spaces", "w o n d e r f u l   b a n a n a"),
        ("spaces and dots", "w . o . n . d . e . r . f . u . l   b . a . n . a . n . a"),
        ("dots", "w.o.n.d.e.r.f.u.l b.a.n.a.n.a"),
        ("dashes", "w-o-n-d-e-r-f-u-l b-a-n-a-n-a"),
        ("underscores", "w_o_n_d_e_r_f_u_l b_a_n_a_n_a"),
        ("a dot in the middle", "won.derful ba.nana"),
        ("held letters", "wonderfuuuuul baaaanaaana"),
        ("every letter doubled", "wwoonnddeerrffuull bbaannaannaa"),
        ("full width", "ｗｏｎｄｅｒｆｕｌ ＢＡＮＡＮＡ"),
        ("mathematical script", "𝔀𝓸𝓷𝓭𝓮𝓻𝓯𝓾𝓵 𝔟𝔞𝔫𝔞𝔫𝔞"),
        ("circled", "ⓦⓞⓝⓓⓔⓡⓕⓤⓛ ⒷⒶⓃⒶⓃⒶ"),
        ("squared", "🅆🄾🄽🄳🄴🅁🄵🅄🄻 🅱🅰🅽🅰🅽🅰"),
        ("small capitals", "ᴡᴏɴᴅᴇʀꜰᴜʟ ʙᴀɴᴀɴᴀ"),
        ("superscripts", "ʷᵒⁿᵈᵉʳᶠᵘˡ ᵇᵃⁿᵃⁿᵃ"),
        ("regional indicators", "🇼🇴🇳🇩🇪🇷🇫🇺🇱 🇧🇦🇳🇦🇳🇦"),
        ("regional indicators apart", "🇼 🇴 🇳 🇩 🇪 🇷 🇫 🇺 🇱   🇧 🇦 🇳 🇦 🇳 🇦"),
        ("right-to-left override", "\u202eananab lufrednow\u202c"),
        ("HTML references", "w&#111;nd&#x65;rful b&aacute;nana"),
        ("HTML references of references", "w&amp;#111;nderful banana"),
        ("percent encoding", "%77%6f%6e%64%65%72%66%75%6c b%61nana"),
        ("upside down", "lnɟɹǝpuoʍ ɐuɐuɐq"),
        ("upper and lower", "WoNdErFuL BANANA"),
        ("two at once", "ｗ0ndеrfüüüül 🅱.a.n.а.n.a"),
    ],
)
def test_disguises_are_undone(kind: str, disguised: str) -> None:
    assert said(disguised) == "wonderful banana", kind


@pytest.mark.parametrize(
    "text",
    [
        "рост сосна моя",
        "τι κάνεις",
        "これは日本語です",
        "你好吗",
        "안녕하세요",
        "मैं ठीक हूँ",
        "مرحبا بكم",
        "año",
        "straße",
        "été",
    ],
)
def test_other_scripts_and_languages_stay_as_they_are(text: str) -> None:
    assert said(text) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hi!", "hi !"),
        ("'hello', there", "' hello ', there"),
        ("1v1 cs2 mp4", "1v1 cs2 mp4"),
        ("yes/no", "yes / no"),
        ("hello.there", "hello . there"),
        ("🇩🇪 is a flag", "🇩 🇪 is a flag"),
        ("I a m", "iam"),
        ("no a b you", "no a b you"),
        ("coool", "cool"),
        ("don’t", "don't"),
        ("", ""),
        (" \u200b\u2060 ", ""),
    ],
)
def test_ordinary_text_is_read_as_it_stands(text: str, words: str) -> None:
    assert said(text) == words


def test_names_links_and_numbers_are_masked() -> None:
    assert said("@somebody https://shop.example/x?y=1 me@mail.example 0123456789") == (
        f"{USER} {LINK} shop example {LINK} mail example {NUMBER}"
    )


def test_a_sign_for_a_letter_is_not_taken_for_a_user_name() -> None:
    assert said("@wesome") == "awesome"


@settings(deadline=None)
@given(any_text | odd_text)
@example("\ud800\x00")
@example("&#0;&#1114112;&#xd800;%00%ff")
def test_places_lie_in_the_original_and_in_order_of_their_ends(text: str) -> None:
    for word in read(text, known):
        assert word.text
        assert 0 <= word.start < word.end <= len(text)


@settings(deadline=None)
@given(any_text | odd_text)
def test_rewriting_keeps_a_place_for_every_character(text: str) -> None:
    mapped = rewrite(text, known)
    assert len(mapped.text) == len(mapped.starts) == len(mapped.ends)
    assert all(0 <= start <= end <= len(text) for start, end in zip(mapped.starts, mapped.ends, strict=True))


@settings(deadline=None)
@given(any_text | odd_text)
def test_what_is_folded_stays_folded(text: str) -> None:
    for token, _ in tokens(text):
        folded = fold(Mapped.of(token)).text
        assert fold(Mapped.of(folded)).text == folded


@settings(deadline=None)
@given(st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz '"), max_size=60))
def test_plain_words_have_the_places_where_they_stand(text: str) -> None:
    for word in read(text, lambda _: True):
        stands = text[word.start : word.end].lower()
        assert word.text in stands or stands.replace(" ", "") == word.text


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "a ",
        "a.",
        "!@",
        "&amp;",
        "&#102;",
        "%66",
        "\u0301",
        "e\u0301\u0336",
        "\u202ea",
        "🇦",
        "ж",
        "你",
        "0a",
        "\u200b",
        "_",
        "((",
        "aab",
        "ＡＢ ",
    ],
)
def test_any_text_of_the_greatest_length_is_read_in_time(unit: str) -> None:
    text = (unit * 20_000)[:20_000]
    begin = time.process_time()
    read(text, known)
    assert time.process_time() - begin < 2  # some 0.1 s on an idle core; quadratic work would take minutes
