"""What the author is told, in their language."""

import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from string import Formatter
from types import MappingProxyType
from typing import Final, TypeVar

from chat_moderator.errors import ConfigError
from chat_moderator.types import Verdict

MAX_TEXT_LENGTH: Final = 2000
T = TypeVar("T")

_FIELDS: Final = frozenset({"label", "rule"})
_TAG: Final = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8}){0,3}")

_LANGUAGES: Final = tomllib.loads(files(__package__).joinpath("replies.toml").read_text("utf-8"))

REPLIES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {key: {language: texts[key] for language, texts in _LANGUAGES.items()} for key in ("block", "hold")}
)
"""The presets' texts by verdict and language; English stands as `default`."""

LABEL_NAMES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {language: texts["labels"] for language, texts in _LANGUAGES.items()}
)
"""What {label} becomes, by language."""


def in_language(by_language: Mapping[str, T], language: str | None) -> T:
    """What is there for a language tag, for the tag shortened part by part (`pt-BR`, `pt`), or `default`."""
    tag = (language or "").lower().replace("_", "-")
    while tag:
        if tag in by_language:
            return by_language[tag]
        tag = tag.rpartition("-")[0]
    return by_language["default"]


def texts_of(verdict: Verdict, own: Mapping[str, str]) -> dict[str, str]:
    """The operator's texts with lower-case tags; the preset's beside them as long as the operator has no `default`."""
    own = {tag.lower(): text for tag, text in own.items()}
    return own if "default" in own else dict(REPLIES[verdict]) | own


def check_replies(texts: Mapping[str, str], path: str) -> None:
    """Refuses what is no language tag and texts with fields other than {label} and {rule}.

    Raises:
        ConfigError: at the text's path.
    """
    for tag, text in texts.items():
        if tag != "default" and not _TAG.fullmatch(tag.lower()):
            raise ConfigError(
                f"{path}.{tag}", "no language tag; allowed are tags such as 'de' or 'pt-BR', and 'default'"
            )
        if not text.strip() or len(text) > MAX_TEXT_LENGTH:
            raise ConfigError(f"{path}.{tag}", f"must be a text of 1 to {MAX_TEXT_LENGTH} characters")
        try:
            fields = list(Formatter().parse(text))
        except ValueError as error:
            raise ConfigError(f"{path}.{tag}", f"{error}; write {{{{ and }}}} for braces") from error
        for _, name, specification, conversion in fields:
            if name is not None and (name not in _FIELDS or specification or conversion):
                raise ConfigError(f"{path}.{tag}", f"unknown field {{{name}}}; allowed are {{label}} and {{rule}}")
