"""The peer: a `transformers` text-classification pipeline of BERT-base's shape with random weights.

Runs in an environment of its own: reads texts as JSON from standard input, prints messages a second. No package of the
project is imported here.
"""

import json
import sys
import time

BATCH = 32


def main() -> None:
    """Measures one pass over the texts, after one batch of warming up."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, pipeline

    texts = json.load(sys.stdin)
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=30_522, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(num_labels=6, problem_type="multi_label_classification")).eval()
    classify = pipeline("text-classification", model=model, tokenizer=wrapped, top_k=None, batch_size=BATCH)
    classify(texts[:BATCH])
    started = time.perf_counter()
    answers = classify(texts)
    seconds = time.perf_counter() - started
    print(json.dumps({"messages": len(answers), "per_second": len(answers) / seconds}))


if __name__ == "__main__":
    main()
