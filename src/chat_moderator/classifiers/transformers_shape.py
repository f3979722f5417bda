"""The encoders whose graph can be built from `config.json` and their weights: BERT and its kin."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from chat_moderator.types import Struct


class Head(Struct, frozen=True):
    """What turns the first token into logits: two dense layers and the ONNX operator between them."""

    dense: str
    activation: str
    out: str


class EncoderShape(Struct, frozen=True):
    """Sizes, and the names of the tensors by what they do; those of a layer have `{}` for its number.

    `offset` is the position of the first token. `longest` counts tokens, the special ones included.
    """

    width: int
    heads: int
    layers: int
    epsilon: float
    activation: str
    offset: int
    longest: int
    head: Head
    names: Mapping[str, str]


ACTIVATIONS: Final = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")

_BERT: Final = MappingProxyType(
    {
        "words": "embeddings.word_embeddings.weight",
        "positions": "embeddings.position_embeddings.weight",
        "types": "embeddings.token_type_embeddings.weight",
        "norm": "embeddings.LayerNorm",
        "project": "",
        "query": "encoder.layer.{}.attention.self.query",
        "key": "encoder.layer.{}.attention.self.key",
        "value": "encoder.layer.{}.attention.self.value",
        "joined": "encoder.layer.{}.attention.output.dense",
        "joined_norm": "encoder.layer.{}.attention.output.LayerNorm",
        "up": "encoder.layer.{}.intermediate.dense",
        "down": "encoder.layer.{}.output.dense",
        "down_norm": "encoder.layer.{}.output.LayerNorm",
    }
)
_DISTILBERT: Final = MappingProxyType(
    {
        "words": "embeddings.word_embeddings.weight",
        "positions": "embeddings.position_embeddings.weight",
        "types": "",
        "norm": "embeddings.LayerNorm",
        "project": "",
        "query": "transformer.layer.{}.attention.q_lin",
        "key": "transformer.layer.{}.attention.k_lin",
        "value": "transformer.layer.{}.attention.v_lin",
        "joined": "transformer.layer.{}.attention.out_lin",
        "joined_norm": "transformer.layer.{}.sa_layer_norm",
        "up": "transformer.layer.{}.ffn.lin1",
        "down": "transformer.layer.{}.ffn.lin2",
        "down_norm": "transformer.layer.{}.output_layer_norm",
    }
)
_ROBERTA_HEAD: Final = Head("classifier.dense", "Tanh", "classifier.out_proj")
_HEADS: Final = {
    "bert": ("bert", Head("bert.pooler.dense", "Tanh", "classifier")),
    "camembert": ("roberta", _ROBERTA_HEAD),
    "distilbert": ("distilbert", Head("pre_classifier", "Relu", "classifier")),
    "electra": ("electra", Head("classifier.dense", "Gelu", "classifier.out_proj")),
    "roberta": ("roberta", _ROBERTA_HEAD),
    "xlm-roberta": ("roberta", _ROBERTA_HEAD),
}
KINDS: Final = tuple(_HEADS)
"""Values of `model_type` that can be built."""

_SHIFTED: Final = ("camembert", "roberta", "xlm-roberta")
_DISTILBERT_EPSILON: Final = 1e-12


def shape_of(config: Mapping[str, Any]) -> EncoderShape | None:
    """The shape that a `config.json` describes; None where it is of another kind than can be built.

    Raises:
        KeyError: a size is missing.
    """
    kind = config.get("model_type", "")
    if (
        kind not in _HEADS
        or config.get("position_embedding_type", "absolute") != "absolute"
        or config.get("is_decoder", False)
    ):
        return None
    prefix, head = _HEADS[kind]
    distilled = kind == "distilbert"
    width = config["dim" if distilled else "hidden_size"]
    offset = config.get("pad_token_id", 1) + 1 if kind in _SHIFTED else 0
    activation = config.get("activation" if distilled else "hidden_act", "gelu")
    if activation not in ACTIVATIONS:
        return None
    names = {role: name and f"{prefix}.{name}" for role, name in (_DISTILBERT if distilled else _BERT).items()}
    if config.get("embedding_size", width) != width:
        names["project"] = f"{prefix}.embeddings_project"
    return EncoderShape(
        width=width,
        heads=config["n_heads" if distilled else "num_attention_heads"],
        layers=config["n_layers" if distilled else "num_hidden_layers"],
        epsilon=_DISTILBERT_EPSILON if distilled else config.get("layer_norm_eps", 1e-12),
        activation=activation,
        offset=offset,
        longest=config["max_position_embeddings"] - offset,
        head=head,
        names=MappingProxyType(names),
    )
