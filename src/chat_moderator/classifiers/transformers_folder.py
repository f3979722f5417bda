"""Where a Hugging Face model is, and whether it may be loaded: weights only, no code, no pickles."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import huggingface_hub
import msgspec
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from chat_moderator.errors import ConfigError
from chat_moderator.types import Struct

KEY: Final = "classifiers.transformers.model"
_TEXTS: Final = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt")
_INDEX: Final = "model.safetensors.index.json"
_ONNX: Final = ("model.onnx", "onnx/model.onnx")
_UNSAFE: Final = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")


class ModelFolder(Struct, frozen=True):
    """A folder with a model: its `config.json` and weights, either safetensors or one ONNX file.

    `digest` changes with every file that a score depends on.
    """

    path: Path
    config: dict[str, Any]
    tensors: tuple[Path, ...]
    onnx: Path | None
    digest: str

    @property
    def kind(self) -> str:
        """The architecture, as `model_type` names it."""
        return str(self.config.get("model_type", ""))


def find(model: str, *, revision: str = "main", sha256: str = "") -> ModelFolder:
    """The folder of a model, downloaded where it is the name of one on the hub.

    Args:
        model: a folder, or a name such as `unitary/toxic-bert`.
        revision: a branch, tag or commit on the hub; a folder has none.
        sha256: of the weights; of several files, of all in the order of their names; not checked where empty.

    Raises:
        ConfigError: it cannot be had, or must not be loaded.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        folder = _downloaded(model, revision)
    config = _config(folder)
    tensors = _tensors(folder)
    onnx = next((folder / name for name in _ONNX if (folder / name).is_file()), None)
    if not tensors and onnx is None:
        raise ConfigError(KEY, _without_weights(folder))
    weights = _sha256(tensors or [path for path in (onnx,) if path])
    if sha256 and weights != sha256.lower():
        raise ConfigError("classifiers.transformers.sha256", f"the weights in {folder} have {weights}, not {sha256}")
    others = sorted(path for path in folder.iterdir() if path.name in _TEXTS)
    digest = hashlib.sha256(f"{weights} {_sha256(others)}".encode()).hexdigest()
    return ModelFolder(folder, config, tuple(tensors), onnx, digest)


def _downloaded(model: str, revision: str) -> Path:
    """The model's files from the hub; kept in the hub's own cache, which answers without a network afterwards."""
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise ConfigError(KEY, f"there is no folder {model}")
    try:
        found = _snapshot(model, revision, [*_TEXTS, "*.safetensors", _INDEX], ignored=["*/*"])
        if not list(found.glob("*.safetensors")):
            found = _snapshot(model, revision, [*_TEXTS, *_ONNX], ignored=[])
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as problem:
        reason = str(problem).strip().split("\n")[0]
        raise ConfigError(KEY, f"{model!r} is no folder and cannot be had from the hub: {reason}") from problem
    return found


def _snapshot(model: str, revision: str, wanted: list[str], *, ignored: list[str]) -> Path:
    return Path(
        huggingface_hub.snapshot_download(model, revision=revision, allow_patterns=wanted, ignore_patterns=ignored)
    )


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = msgspec.json.decode((folder / "config.json").read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as problem:
        raise ConfigError(KEY, f"{folder} has no config.json that can be read: {problem}") from problem
    if "auto_map" in config:
        raise ConfigError(KEY, f"{folder} needs Python code of its own (auto_map), which is never run")
    return config


def _tensors(folder: Path) -> list[Path]:
    """The safetensors files that hold the model; others in the folder, such as an adapter's, do not count."""
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    if not (folder / _INDEX).is_file():
        return []
    try:
        names = sorted(set(json.loads((folder / _INDEX).read_text("utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as problem:
        raise ConfigError(KEY, f"{folder / _INDEX} cannot be read: {problem}") from problem
    paths = [folder / name for name in names]
    if missing := [path.name for path in paths if not path.is_file() or path.parent != folder]:
        raise ConfigError(KEY, f"{folder} lacks {', '.join(missing)}, which {_INDEX} names")
    return paths


def _without_weights(folder: Path) -> str:
    unsafe = sorted(path.name for pattern in _UNSAFE for path in folder.glob(pattern))
    if not unsafe:
        return f"{folder} holds no weights; model.safetensors or model.onnx is needed"
    return (
        f"{folder} holds its weights only as {', '.join(unsafe)}, which may run code when loaded; where you trust it, "
        "write safetensors with the library transformers: "
        "AutoModelForSequenceClassification.from_pretrained(MODEL).save_pretrained(FOLDER)"
    )


def _sha256(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for block in _blocks(paths):
        digest.update(block)
    return digest.hexdigest()


def _blocks(paths: list[Path]) -> Iterator[bytes]:
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                yield block
