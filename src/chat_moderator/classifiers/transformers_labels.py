"""What a model's outputs mean: which of them speak for which of our labels, and how logits become scores."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from chat_moderator.errors import ConfigError
from chat_moderator.types import LABELS

Floats = NDArray[np.float32]
Activation = Literal["auto", "sigmoid", "softmax"]

KEY: Final = "classifiers.transformers.labels"
_IGNORED: Final = ""
_LARGEST_LOGIT: Final = 30.0

_MEANINGS: Final = {
    "toxicity": ("abusive", "offensive", "toxic"),
    "severe_toxicity": ("severe toxic", "very toxic"),
    "obscene": ("obscenity", "profanity"),
    "threat": ("threatening",),
    "insult": ("insulting",),
    "identity_attack": ("hate", "hate speech", "hateful", "hatespeech", "identity hate"),
    "sexual_explicit": ("nsfw", "sexual"),
    "self_harm": ("self harm", "suicide"),
    "spam": (),
}
_NEUTRAL: Final = (
    *("benign", "clean", "ham", "harmless", "neither", "neutral", "none", "normal", "ok", "other", "safe", "sfw"),
    *("not", "non", "no"),
)
_NEGATIONS: Final = ("no ", "non ", "not ", "nothate", "nontoxic", "nonhate")
# Detoxify's unbiased model also says whom a text mentions, which is no reason to act.
_MENTIONS: Final = (
    *("asian", "black", "christian", "female", "homosexual gay or lesbian", "jewish", "male", "muslim"),
    *("psychiatric or mental illness", "white"),
)


class LabelMapping:
    """Turns the logits of a model into scores of `labels`.

    Args:
        config: the model's `config.json`.
        chosen: by the model's own label, ours, or "" for one that is not used; known names need no entry.
        activation: sigmoid where several labels may hold at once, softmax where exactly one does; "auto" looks at
            `problem_type`, and without it takes sigmoid for one label, and for several of which none is harmless.

    Raises:
        ConfigError: a label is not known, or the model is not a classifier.
    """

    def __init__(self, config: Mapping[str, Any], chosen: Mapping[str, str], activation: Activation = "auto") -> None:
        self._names = _names_of(config)
        targets = self._targets(chosen)
        self.labels = tuple(label for label in LABELS if label in targets)
        self.sigmoid = _is_sigmoid(config, targets, activation)
        self._columns = [[at for at, target in enumerate(targets) if target == label] for label in self.labels]

    @property
    def size(self) -> int:
        """How many logits the model has."""
        return len(self._names)

    @property
    def description(self) -> str:
        """All that decides about scores besides the logits."""
        return f"{self.labels} {self._columns} {self.sigmoid}"

    def scores(self, logits: Floats) -> Floats:
        """(texts, labels), each 0 to 1, from (texts, logits).

        Outputs of one label count by the highest where several may hold at once, else by their sum.
        """
        if self.sigmoid:
            likely = 1 / (1 + np.exp(-np.clip(logits, -_LARGEST_LOGIT, _LARGEST_LOGIT)))
        else:
            raised = np.exp(logits - logits.max(axis=1, keepdims=True))
            likely = raised / raised.sum(axis=1, keepdims=True)
        joined = np.max if self.sigmoid else np.sum
        found = np.empty((len(logits), len(self.labels)), np.float32)
        for column, sources in enumerate(self._columns):
            found[:, column] = joined(likely[:, sources], axis=1)
        return np.minimum(found, np.float32(1), out=found)

    def _targets(self, chosen: Mapping[str, str]) -> list[str]:
        for name, label in chosen.items():
            if name not in self._names:
                raise ConfigError(f"{KEY}.{name}", f"the model has no such label; it has {', '.join(self._names)}")
            if label not in (*LABELS, _IGNORED):
                allowed = f'{", ".join(LABELS)} and "" for one that is not used'
                raise ConfigError(f"{KEY}.{name}", f"{label!r} is not a label; allowed are {allowed}")
        known = [chosen.get(name, _meaning(name)) for name in self._names]
        targets = [target for target in known if target is not None]
        if len(targets) < len(known) or not any(targets):
            raise ConfigError(KEY, f"what the model's labels mean is not known; say it: {self._suggested(known)}")
        return targets

    def _suggested(self, known: Sequence[str | None]) -> str:
        guesses = ["toxicity" if target is None else target for target in known]
        if None in known and len(known) > 1 and known[0] is None and not any(known):
            guesses[0] = _IGNORED
        pairs = (f'"{name}" = "{guess}"' for name, guess in zip(self._names, guesses, strict=True))
        return f'labels = {{ {", ".join(pairs)} }} (ours are {", ".join(LABELS)}; "" is for one that is not used)'


def _names_of(config: Mapping[str, Any]) -> list[str]:
    """The model's labels in the order of its logits; without any there are two, as the library has it."""
    named = config.get("id2label")
    if named is None:
        return [f"LABEL_{index}" for index in range(int(config.get("num_labels", 2)))]
    try:
        ordered = sorted((int(index), str(name)) for index, name in named.items())
    except (AttributeError, ValueError, TypeError) as problem:
        raise ConfigError(
            "classifiers.transformers.model", "id2label of config.json is no table of labels"
        ) from problem
    if [index for index, _ in ordered] != list(range(len(ordered))) or not ordered:
        raise ConfigError("classifiers.transformers.model", "id2label of config.json does not count from 0")
    return [name for _, name in ordered]


def _meaning(name: str) -> str | None:
    """Our label for a model's, "" for one that accuses of nothing, None where it says nothing by its name."""
    plain = " ".join(name.lower().replace("_", " ").replace("-", " ").split())
    if plain in (*_NEUTRAL, *_MENTIONS) or plain.startswith(_NEGATIONS):
        return _IGNORED
    for label, others in _MEANINGS.items():
        if plain == label.replace("_", " ") or plain in others:
            return label
    return None


def _is_sigmoid(config: Mapping[str, Any], targets: Sequence[str], activation: Activation) -> bool:
    if activation != "auto":
        return activation == "sigmoid"
    problem = config.get("problem_type")
    if problem == "regression":
        raise ConfigError(
            "classifiers.transformers.model", "it predicts quantities (regression) and classifies nothing"
        )
    if problem is not None:
        return bool(problem == "multi_label_classification")
    return len(targets) == 1 or all(targets)
