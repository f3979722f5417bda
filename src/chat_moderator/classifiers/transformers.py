"""Any sequence-classification model of the Hugging Face hub, or of a folder of that form."""

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from chat_moderator.classifiers import occlusion
from chat_moderator.classifiers.transformers_labels import Activation, LabelMapping
from chat_moderator.classifiers.transformers_shape import KINDS, shape_of
from chat_moderator.errors import ConfigError, MissingExtraError
from chat_moderator.types import Span, Struct

try:
    from chat_moderator.classifiers.transformers_folder import ModelFolder, find
    from chat_moderator.classifiers.transformers_onnx import GRAPH_REVISION, Network, open_graph, write_whole
    from chat_moderator.classifiers.transformers_tokens import Tokens
except ModuleNotFoundError as problem:
    raise MissingExtraError("the classifier transformers", "transformers") from problem

if TYPE_CHECKING:
    from chat_moderator.classifiers.transformers_shape import EncoderShape

_KEY: Final = "classifiers.transformers"
_EXTRA_TORCH: Final = "torch"
_OVERLAP: Final = 4
"""A quarter of a window is shared with the next one."""
_MOST_TOKENS: Final = 2048
"""Read of one text; more than any chat takes in a message. Of a longer one, the beginning and the end."""
_WORDS_TRIED: Final = 16


class Config(Struct, frozen=True):
    """What to load and how to read it.

    Args:
        model: a name on the hub, such as "unitary/toxic-bert", or a folder.
        revision: branch, tag or commit on the hub.
        sha256: of the weights file, as the hub shows it; not checked where empty.
        labels: ours by the model's, "" for one that is not used; known names need no entry.
        activation: auto, sigmoid or softmax.
        device: auto takes a GPU where torch finds one; cpu or cuda.
        precision: int8 or float32, on the processor.
        threads: that one batch is worked on by.
        cache: folder of the graphs that were built.
    """

    model: str
    revision: str = "main"
    sha256: str = ""
    labels: dict[str, str] = {}
    activation: Activation = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["int8", "float32"] = "int8"
    threads: int = 1
    cache: str = "~/.cache/chat-moderator"


class TransformersClassifier:
    """Scores by a pretrained transformer (`Classifier`).

    A text longer than the model reads is read in windows that share a quarter; it scores what the worst window scores.

    Raises:
        ConfigError: the model cannot be had, must not be loaded, or its labels are not known.
        MissingExtraError: it needs torch, which is not installed.
    """

    def __init__(self, config: Config) -> None:
        if config.threads < 1:
            raise ConfigError(f"{_KEY}.threads", "1 or more is needed")
        folder = find(config.model, revision=config.revision, sha256=config.sha256)
        self._mapping = LabelMapping(folder.config, config.labels, config.activation)
        self._tokens = Tokens(folder.path, folder.kind)
        shape = _shape(folder)
        self._network, runtime = _network(folder, shape, config)
        longest = shape.longest if shape is not None else _longest(folder)
        self._window = longest - len(self._tokens.before) - len(self._tokens.after)
        self.labels: tuple[str, ...] = self._mapping.labels
        described = f"{folder.digest} {runtime} {self._mapping.description}"
        self.version = f"transformers-{hashlib.sha256(described.encode()).hexdigest()[:12]}"
        self._check()

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(len(texts), len(labels)), each 0 to 1; a row never depends on its neighbours. Without a token it is 0."""
        scores = np.zeros((len(texts), len(self.labels)), np.float32)
        windows: list[list[int]] = []
        owners: list[int] = []
        for index, text in enumerate(texts):
            for ids in self._windows(text):
                windows.append([*self._tokens.before, *ids, *self._tokens.after])
                owners.append(index)
        if windows:
            np.maximum.at(scores, owners, self._mapping.scores(self._network.logits(windows)))
        return scores

    def explain(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """See `occlusion.explain`; 16 words, or stretches of words, of a text are tried."""
        return [occlusion.explain(text, self.score, self.labels, tries=_WORDS_TRIED) for text in texts]

    def _windows(self, text: str) -> list[Sequence[int]]:
        ids = self._tokens.read(text)
        if len(ids) <= self._window:
            return [ids] if ids else []
        if len(ids) > _MOST_TOKENS:
            half = _MOST_TOKENS // 2
            ids = [*ids[:half], *ids[-half:]]
        step = max(1, self._window - self._window // _OVERLAP)
        return [ids[at : at + self._window] for at in range(0, len(ids) - self._window + step, step)]

    def _check(self) -> None:
        """One text through all of it, so that a damaged model is found now."""
        try:
            found = self._network.logits([[*self._tokens.before, *self._tokens.read("a"), *self._tokens.after]])
        except Exception as problem:  # whatever a damaged graph raises
            raise ConfigError(f"{_KEY}.model", f"it cannot be run: {problem}") from problem
        if found.shape != (1, self._mapping.size) or not np.isfinite(found).all():
            raise ConfigError(f"{_KEY}.model", f"it answers {found.shape[1:]}, not {self._mapping.size} finite logits")


def build_graph(folder: ModelFolder, *, int8: bool) -> bytes:
    """The ONNX file of a model of which safetensors are there.

    Raises:
        ConfigError: the weights do not fit `config.json`, or the architecture is not one of BERT's kin.
        MissingExtraError: the library that writes ONNX is not installed.
    """
    shape = _shape(folder)
    if shape is None or not folder.tensors:
        kinds = ", ".join(KINDS)
        raise ConfigError(
            f"{_KEY}.model", f"of {folder.kind!r} no graph can be built; of {kinds} it can, from safetensors"
        )
    try:
        from chat_moderator.classifiers.transformers_build import build_from  # noqa: PLC0415 -- only needed once
    except ModuleNotFoundError as problem:
        raise MissingExtraError("building a graph", "transformers") from problem
    return build_from(folder, shape, int8=int8)


def _shape(folder: ModelFolder) -> "EncoderShape | None":
    try:
        return shape_of(folder.config)
    except (KeyError, TypeError) as problem:
        raise ConfigError(f"{_KEY}.model", f"config.json of {folder.path} lacks {problem}") from problem


def _network(folder: ModelFolder, shape: "EncoderShape | None", config: Config) -> tuple[Network, str]:
    """What runs the model, and its name."""
    buildable = shape is not None and folder.tensors
    if config.device == "cuda" or (config.device == "auto" and folder.tensors and _has_gpu()):
        return _torch(folder, "cuda", config), "cuda"
    if buildable:
        path = _built(folder, config)
    elif folder.onnx is not None:
        path = folder.onnx
    else:
        return _torch(folder, "cpu", config), "torch"
    return open_graph(path, threads=config.threads, offset=shape.offset if shape is not None else 0), path.stem


def _built(folder: ModelFolder, config: Config) -> Path:
    """The graph's file in the cache, built where it is missing."""
    name = f"{folder.digest[:32]}-{config.precision}-{GRAPH_REVISION}.onnx"
    path = Path(config.cache).expanduser() / "transformers" / name
    if not path.is_file():
        write_whole(path, build_graph(folder, int8=config.precision == "int8"))
    return path


def _torch(folder: ModelFolder, device: str, config: Config) -> Network:
    try:
        from chat_moderator.classifiers.transformers_torch import TorchNetwork  # noqa: PLC0415 -- takes seconds
    except ModuleNotFoundError as problem:
        raise MissingExtraError(f"a model of type {folder.kind!r} on {device}", _EXTRA_TORCH) from problem
    if not folder.tensors:
        raise ConfigError(f"{_KEY}.device", f"{folder.path} holds only ONNX, which runs on cpu")
    padding = folder.config.get("pad_token_id") or 0
    return TorchNetwork(folder.path, device=device, threads=config.threads, padding=padding)


def _has_gpu() -> bool:
    if find_spec(_EXTRA_TORCH) is None or find_spec("transformers") is None:
        return False
    import torch  # noqa: PLC0415 -- takes seconds

    return bool(torch.cuda.is_available())


def _longest(folder: ModelFolder) -> int:
    """Tokens that a model of unknown kind reads at once; positions of RoBERTa's kin start at 2."""
    positions = folder.config.get("max_position_embeddings", 512)
    return min(int(positions) - 2, 512) if positions > 2 else 512  # noqa: PLR2004 -- as above
