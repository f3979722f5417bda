"""From a whole text to its words: every transformer in its place."""

from chat_moderator.text.bidi import undo_override
from chat_moderator.text.mapped import Mapped
from chat_moderator.text.readings import Known
from chat_moderator.text.spacing import join_cut, join_letters
from chat_moderator.text.words import Word, read_token, tokens


def rewrite(text: str, known: Known, *, fuzzy: bool = True) -> Mapped:
    """The text with overrides undone and lone letters and cut words joined; what needs more than one token to be seen.

    `fuzzy` as for `read_token`.
    """
    mapped = join_letters(undo_override(Mapped.of(text)), known)
    return join_cut(mapped, known) if fuzzy else mapped


def read(text: str, known: Known, *, fuzzy: bool = True) -> list[Word]:
    """Every word of the text as it reads once disguises are undone, in order, with its place in the text as given."""
    mapped = rewrite(text, known, fuzzy=fuzzy)
    return [
        Word(word.text, *mapped.span(word.start, word.end))
        for token, offset in tokens(mapped.text)
        for word in read_token(token, known, offset, fuzzy=fuzzy)
    ]
