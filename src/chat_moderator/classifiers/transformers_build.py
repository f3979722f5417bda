"""Reads the safetensors of a model and builds its graph."""

from contextlib import ExitStack

import numpy as np
from safetensors import SafetensorError, safe_open

from chat_moderator.classifiers.transformers_folder import KEY, ModelFolder
from chat_moderator.classifiers.transformers_graph import Floats, build
from chat_moderator.classifiers.transformers_shape import EncoderShape
from chat_moderator.errors import ConfigError

_OLD_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}


def build_from(folder: ModelFolder, shape: EncoderShape, *, int8: bool) -> bytes:
    """The ONNX file of a model; a tensor is in memory only while it is needed.

    Raises:
        ConfigError: tensors are missing, damaged, or do not fit `config.json`.
    """
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(safe_open(path, framework="np")) for path in folder.tensors]
            where = {name: file for file in files for name in file.keys()}  # noqa: SIM118 -- it is no mapping

            def weights(name: str) -> Floats:
                for known, old in _OLD_NAMES.items():
                    if name not in where and name.endswith(known):
                        name = name.removesuffix(known) + old
                found: Floats = where[name].get_tensor(name).astype(np.float32)
                return found

            content: bytes = build(shape, weights, int8=int8).SerializeToString()
    except KeyError as problem:
        raise ConfigError(KEY, f"{folder.path} has no tensor {problem}") from problem
    except (SafetensorError, ValueError, TypeError, OSError) as problem:
        raise ConfigError(KEY, f"no graph can be built from {folder.path}: {problem}") from problem
    return content
