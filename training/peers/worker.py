"""Runs one peer in its own environment: a JSON list of texts a line in, scores and processor seconds a line out.

No package of the project is imported here but `lstm`, which stands beside this file.
"""

# ruff: noqa: PLC0415 -- each peer needs only its own package
import json
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import files
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

Score = Callable[[Sequence[str]], list[list[float]]]

_RESCALED = (  # tox_block.config: the lowest and the highest probability of each label
    (0.002116, 0.999858),
    (0.000011, 0.648682),
    (0.000347, 0.997533),
    (0.000040, 0.918887),
    (0.000373, 0.986303),
    (0.000074, 0.901117),
)


def alt_profanity_check() -> Score:
    """A linear model on words."""
    from profanity_check import predict_prob

    return lambda texts: [[float(score)] for score in predict_prob(list(texts))]


def better_profanity() -> Score:
    """A word list with spelling variants."""
    from better_profanity import profanity

    profanity.load_censor_words()
    return lambda texts: [[float(profanity.contains_profanity(text))] for text in texts]


def glin_profanity() -> Score:
    """Word lists of all its languages, disguises undone."""
    from glin_profanity import Filter

    listed = Filter({"all_languages": True, "detect_leetspeak": True, "normalize_unicode": True})
    return lambda texts: [[float(listed.is_profane(text))] for text in texts]


def tox_block() -> Score:
    """A bidirectional LSTM trained on Jigsaw's comments, its probabilities rescaled as the package does."""
    import h5py

    lstm = _beside("lstm")
    tokenizer = lstm.Tokenizer(_installed("tox-block", "encoder_0.1.2.pkl"))
    with h5py.File(_installed("tox-block", "lstm_model_0.1.2.h5")) as file:
        weights = file["model_weights"]

        def layer(name: str, *parts: str) -> list[Any]:
            group = weights[name][name]
            return [group[f"{part}:0"][()] for part in parts]

        cells = [
            lstm.Cell(
                *layer("bidirectional", *(f"{way}_lstm/{part}" for part in ("kernel", "recurrent_kernel", "bias")))
            )
            for way in ("forward", "backward")
        ]
        network = lstm.BiLstm(
            *layer("embedding", "embeddings"),
            *cells,
            tuple(layer("dense", "kernel", "bias")),
            tuple(layer("dense_1", "kernel", "bias")),
            lstm.hard_sigmoid,
        )

    def score(texts: Sequence[str]) -> list[list[float]]:
        found = network.score([tokenizer.read(text) for text in texts]).tolist()
        return [
            [min(abs((value - low) / (high - low)), 1.0) for value, (low, high) in zip(row, _RESCALED, strict=True)]
            for row in found
        ]

    return score


def toxic_comment_classifier() -> Score:
    """A bidirectional LSTM trained on Jigsaw's comments."""
    import h5py

    lstm = _beside("lstm")
    tokenizer = lstm.Tokenizer(_installed("toxic-comment-classifier", "tokenizer.pickle"))
    with h5py.File(_installed("toxic-comment-classifier", "model.weights.h5")) as file:

        def layer(name: str, count: int) -> list[Any]:
            return [file["layers"][f"{name}/vars/{number}"][()] for number in range(count)]

        network = lstm.BiLstm(
            *layer("embedding", 1),
            *(lstm.Cell(*layer(f"bidirectional/{way}_layer/cell", 3)) for way in ("forward", "backward")),
            tuple(layer("dense", 2)),
            tuple(layer("dense_1", 2)),
            lstm.sigmoid,
        )
    return lambda texts: network.score([tokenizer.read(text) for text in texts]).tolist()


PEERS = {
    "alt-profanity-check": alt_profanity_check,
    "better-profanity": better_profanity,
    "glin-profanity": glin_profanity,
    "tox-block": tox_block,
    "toxic-comment-classifier": toxic_comment_classifier,
}


def _installed(package: str, name: str) -> Path:
    found = next(file for file in files(package) or () if file.name == name)
    return Path(str(found.locate()))


def _beside(name: str) -> Any:
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None  # noqa: PT018, S101 -- it stands beside this file
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Answers until the input ends."""
    score = PEERS[sys.argv[1]]()
    for line in sys.stdin:
        texts = json.loads(line)
        begin = time.process_time()
        scores = score(texts)
        print(json.dumps({"scores": scores, "seconds": time.process_time() - begin}), flush=True)


if __name__ == "__main__":
    main()
