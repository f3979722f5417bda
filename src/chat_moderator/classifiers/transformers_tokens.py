"""Texts to token ids, by the tokenizer that a model comes with."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, WordPiece

from chat_moderator.errors import ConfigError

_KEY: Final = "classifiers.transformers.model"
_PROBE: Final = "a"


class Tokens:
    """Reads texts with the tokenizer of a folder: `tokenizer.json`, or BERT's or RoBERTa's files.

    What looks like a special token in a text is text.

    Attributes:
        before: ids that stand before every text.
        after: ids that stand behind it.

    Raises:
        ConfigError: there is no tokenizer that can be read.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        try:
            self._tokenizer = _load(folder, kind)
        except ConfigError:
            raise
        except Exception as problem:  # the library raises plain Exception
            raise ConfigError(_KEY, f"the tokenizer in {folder} cannot be read: {problem}") from problem
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True
        whole, bare = self._tokenizer.encode(_PROBE).ids, self._tokenizer.encode(_PROBE, add_special_tokens=False).ids
        size = len(bare)
        start = next((at for at in range(len(whole) - size + 1) if whole[at : at + size] == bare), 0)
        self.before: list[int] = whole[:start]
        self.after: list[int] = whole[start + size :]

    def read(self, text: str) -> Sequence[int]:
        """The ids of a text without those that stand around it."""
        encodable = text.encode("utf-8", "replace").decode()
        ids: list[int] = self._tokenizer.encode(encodable, add_special_tokens=False).ids
        return ids

    def save(self, path: Path) -> None:
        """Writes it as a `tokenizer.json`."""
        self._tokenizer.encode_special_tokens = False
        self._tokenizer.save(str(path))
        self._tokenizer.encode_special_tokens = True


def _load(folder: Path, kind: str) -> Tokenizer:
    if (folder / "tokenizer.json").is_file():
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    if (folder / "vocab.txt").is_file():
        return _word_pieces(folder)
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file() and kind == "roberta":
        return _byte_pairs(folder)
    raise ConfigError(
        _KEY,
        f"{folder} has no tokenizer.json; write one with the library transformers: "
        f"AutoTokenizer.from_pretrained(MODEL).save_pretrained(FOLDER)",
    )


def _word_pieces(folder: Path) -> Tokenizer:
    said = _settings(folder)
    lower = bool(said.get("do_lower_case", True))
    tokenizer = Tokenizer(WordPiece.from_file(str(folder / "vocab.txt"), unk_token="[UNK]"))  # noqa: S106 -- no secret
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=bool(said.get("tokenize_chinese_chars", True)),
        strip_accents=said.get("strip_accents"),
        lowercase=lower,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    sep, cls = ("[SEP]", _id(tokenizer, "[SEP]")), ("[CLS]", _id(tokenizer, "[CLS]"))
    tokenizer.post_processor = processors.BertProcessing(sep, cls)
    return tokenizer


def _byte_pairs(folder: Path) -> Tokenizer:
    space = bool(_settings(folder).get("add_prefix_space", False))
    tokenizer = Tokenizer(BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
    tokenizer.decoder = decoders.ByteLevel()
    sep, cls = ("</s>", _id(tokenizer, "</s>")), ("<s>", _id(tokenizer, "<s>"))
    tokenizer.post_processor = processors.RobertaProcessing(sep, cls, add_prefix_space=space)
    return tokenizer


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return found


def _id(tokenizer: Tokenizer, token: str) -> int:
    number = tokenizer.token_to_id(token)
    if number is None:
        raise ConfigError(_KEY, f"the vocabulary has no {token}")
    return int(number)
