"""The peer of `benchmarks.transformers`: a pipeline with a model of BERT-base's shape and random weights.

Runs in an environment of its own: `transformers_peer.py FOLDER THREADS`, texts as JSON on standard input. Saves the
model in FOLDER and prints times and scores as JSON. No package of the project is imported here.
"""

import json
import sys
import time
from pathlib import Path

BATCH = 32
LABELS = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")


def main() -> None:
    """Measures one pass over the texts, after one batch of warming up."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, pipeline

    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    texts = json.load(sys.stdin)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=30_522, special_tokens=special))
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    names = dict(enumerate(LABELS))
    model = BertForSequenceClassification(BertConfig(problem_type="multi_label_classification", id2label=names)).eval()
    model.save_pretrained(folder)
    wrapped.save_pretrained(folder)
    classify = pipeline("text-classification", model=model, tokenizer=wrapped, top_k=None, batch_size=BATCH)
    classify(texts[:BATCH])
    started, processor = time.perf_counter(), time.process_time()
    answers = classify(texts)
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    scores = [[{each["label"]: each["score"] for each in answer}[name] for name in LABELS] for answer in answers]
    tokens = sum(len(wrapped(text)["input_ids"]) for text in texts) / len(texts)
    print(json.dumps({"seconds": seconds, "processor": processor, "scores": scores, "tokens": tokens}))


if __name__ == "__main__":
    main()
