"""Writes down what the library `transformers` answers on the small models, for the tests to compare with.

Runs in an environment that has torch and transformers, such as the benchmarks' peer's:
`.venv-peer/bin/python -m tests.classifiers.record_transformers`.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from tests.classifiers import random_models
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

ANSWERS = Path(__file__).with_name("transformers_answers.json")


def answers(folder: Path) -> list[list[float]]:
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    found = []
    with torch.inference_mode():
        for text in random_models.TEXTS:
            logits = model(**tokenizer(text, return_tensors="pt", return_token_type_ids=False)).logits[0]
            found.append([round(value, 6) for value in torch.sigmoid(logits).tolist()])
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        written = {
            kind: answers(random_models.save(Path(directory) / kind, kind, seed=seed))
            for seed, kind in enumerate(random_models.KINDS)
        }
    ANSWERS.write_text(json.dumps(written, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
