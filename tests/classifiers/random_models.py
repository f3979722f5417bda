"""Small models with random weights, saved as a Hugging Face folder is: BERT, DistilBERT, RoBERTa, XLM-R and ELECTRA.

The weights follow from the seed alone, so that what the library `transformers` answers could be written down once:
`record_transformers.py` does so.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

Tensors = dict[str, NDArray[np.float32]]

WIDTH, HEADS, LAYERS, INNER, POSITIONS = 32, 4, 3, 64, 66
WORDS = [
    "gg",
    "well",
    "played",
    "every",
    "one",
    "you",
    "are",
    "such",
    "a",
    "path",
    "loser",
    "un",
    "inst",
    "game",
    "hate",
]
DETOXIFY = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
KINDS = ("bert", "distilbert", "electra", "roberta", "xlm-roberta")
TEXTS = (
    "gg well played everyone",
    "you are such a pathetic loser, uninstall the game",
    "I HATE MONDAYS",
    "a",
    "schönes Spiel, danke!",
    "今日はいい天気ですね",
    "you " * 40,
)


def save(folder: Path, kind: str, *, labels: tuple[str, ...] = DETOXIFY, seed: int = 0, **more: Any) -> Path:
    """Writes a model that fits `kind`, by default one of several labels that may hold at once."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = word_pieces() if kind in {"bert", "distilbert", "electra"} else byte_pairs()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = config_of(kind, tokenizer.get_vocab_size(), labels) | more
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    save_file(weights_of(config, np.random.default_rng(seed)), folder / "model.safetensors", {"format": "pt"})
    return folder


def config_of(kind: str, words: int, labels: tuple[str, ...]) -> dict[str, Any]:
    config: dict[str, Any] = {
        "model_type": kind,
        "architectures": [{"xlm-roberta": "XLMRoberta"}.get(kind, _prefix_class(kind)) + "ForSequenceClassification"],
        "vocab_size": words,
        "max_position_embeddings": POSITIONS,
        "pad_token_id": 1 if "roberta" in kind else 0,
        "id2label": {str(index): name for index, name in enumerate(labels)},
        "label2id": {name: index for index, name in enumerate(labels)},
        "problem_type": "multi_label_classification",
    }
    if kind == "distilbert":
        return config | {"dim": WIDTH, "n_heads": HEADS, "n_layers": LAYERS, "hidden_dim": INNER, "activation": "gelu"}
    config |= {
        "hidden_size": WIDTH,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "intermediate_size": INNER,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "type_vocab_size": 1 if "roberta" in kind else 2,
    }
    return config | ({"embedding_size": 16} if kind == "electra" else {})


def weights_of(config: dict[str, Any], rng: np.random.Generator) -> Tensors:
    return {name: _tensor(name, shape, rng) for name, shape in _shapes(config)}


def word_pieces() -> Tokenizer:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    letters = [chr(code) for code in (*range(97, 123), *map(ord, "!,.?天気今日"))]
    vocabulary = dict.fromkeys([*special, *WORDS, *letters, *(f"##{piece}" for piece in (*WORDS, *letters))])
    tokenizer = Tokenizer(models.WordPiece({word: at for at, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def byte_pairs() -> Tokenizer:
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("g", "g"), ("y", "o"), ("yo", "u"), ("a", "r"), ("ar", "e"), ("Ġ", "you"), ("h", "a")]
    joined = ["".join(pair) for pair in merges]
    vocabulary = {word: at for at, word in enumerate([*special, *alphabet, *joined])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


def _prefix_class(kind: str) -> str:
    return {"bert": "Bert", "distilbert": "DistilBert", "electra": "Electra", "roberta": "Roberta"}.get(kind, "")


def _shapes(config: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    kind, outputs = config["model_type"], len(config["id2label"])
    prefix = "roberta" if "roberta" in kind else kind
    embedded = config.get("embedding_size", WIDTH)
    yield f"{prefix}.embeddings.word_embeddings.weight", (config["vocab_size"], embedded)
    yield f"{prefix}.embeddings.position_embeddings.weight", (POSITIONS, embedded)
    if kind != "distilbert":
        yield f"{prefix}.embeddings.token_type_embeddings.weight", (config["type_vocab_size"], embedded)
    yield f"{prefix}.embeddings.LayerNorm.weight", (embedded,)
    yield f"{prefix}.embeddings.LayerNorm.bias", (embedded,)
    if embedded != WIDTH:
        yield from _dense(f"{prefix}.embeddings_project", WIDTH, embedded)
    for layer in range(LAYERS):
        yield from _layer(f"{prefix}.{'transformer' if kind == 'distilbert' else 'encoder'}.layer.{layer}", kind)
    if kind == "bert":
        yield from _dense("bert.pooler.dense", WIDTH, WIDTH)
        yield from _dense("classifier", outputs, WIDTH)
    elif kind == "distilbert":
        yield from _dense("pre_classifier", WIDTH, WIDTH)
        yield from _dense("classifier", outputs, WIDTH)
    else:
        yield from _dense("classifier.dense", WIDTH, WIDTH)
        yield from _dense("classifier.out_proj", outputs, WIDTH)


def _layer(prefix: str, kind: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    if kind == "distilbert":
        for name in ("q_lin", "k_lin", "v_lin", "out_lin"):
            yield from _dense(f"{prefix}.attention.{name}", WIDTH, WIDTH)
        norms = ("sa_layer_norm", "output_layer_norm")
        inner, outer = "ffn.lin1", "ffn.lin2"
    else:
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            yield from _dense(f"{prefix}.attention.{name}", WIDTH, WIDTH)
        norms = ("attention.output.LayerNorm", "output.LayerNorm")
        inner, outer = "intermediate.dense", "output.dense"
    yield from _dense(f"{prefix}.{inner}", INNER, WIDTH)
    yield from _dense(f"{prefix}.{outer}", WIDTH, INNER)
    for norm in norms:
        yield f"{prefix}.{norm}.weight", (WIDTH,)
        yield f"{prefix}.{norm}.bias", (WIDTH,)


def _dense(name: str, outputs: int, inputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)


def _tensor(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    drawn = rng.standard_normal(shape)
    is_norm = "LayerNorm.weight" in name or "layer_norm.weight" in name
    scaled = 1 + 0.1 * drawn if is_norm else 0.3 * drawn
    return scaled.astype(np.float32)
