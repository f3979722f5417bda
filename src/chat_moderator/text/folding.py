"""The transformers that need no vocabulary, in their order: what they undo is a disguise in any language."""

from typing import Final

from chat_moderator.text.alphabets import fold_alphabets
from chat_moderator.text.confusables import fold_confusables, turn_around
from chat_moderator.text.entities import decode_entities
from chat_moderator.text.mapped import Mapped
from chat_moderator.text.marks import compose_marks

_LAYERS: Final = 4


def fold(token: Mapped) -> Mapped:
    """One token in plain, lower-case letters of its own script; what cannot be seen is gone. Linear in its length.

    A disguise under another one is undone as well, up to four deep.
    """
    for _ in range(_LAYERS):
        folded = _once(token)
        if folded.text == token.text:
            break
        token = folded
    return token


def _once(token: Mapped) -> Mapped:
    mapped = compose_marks(fold_alphabets(decode_entities(token)))
    text = fold_confusables(mapped.text)
    turned = turn_around(text)
    if turned != text:
        return Mapped(turned, mapped.starts[::-1], mapped.ends[::-1])
    return mapped._replace(text=text)
