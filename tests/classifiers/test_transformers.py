import hashlib
import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from chat_moderator.classifiers.transformers import Config, TransformersClassifier
from chat_moderator.errors import ConfigError
from tests.classifiers import random_models
from tests.classifiers.random_models import DETOXIFY, KINDS, TEXTS, WORDS

ANSWERS: dict[str, list[list[float]]] = json.loads(
    Path(__file__).with_name("transformers_answers.json").read_text("utf-8")
)
"""What the library `transformers` says, label by label in the order of `DETOXIFY`."""

OURS = ("toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack")
SENTENCES = st.lists(st.sampled_from([*WORDS, "!!!", "zqxv", "你好", "💩"]), max_size=90).map(" ".join)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for seed, kind in enumerate(KINDS):
        random_models.save(folder / kind, kind, seed=seed)
    return folder


def build(folder: Path, **more: Any) -> TransformersClassifier:
    return TransformersClassifier(Config(**({"model": str(folder), "cache": str(folder.parent / "cache")} | more)))


def bert(folder: Path, **more: Any) -> Path:
    return random_models.save(folder / "model", "bert", **more)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_the_library_transformers(models: Path, kind: str) -> None:
    scores = build(models / kind, precision="float32").score(TEXTS)
    assert np.abs(scores - np.array(ANSWERS[kind])).max() <= 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_int8_is_near_float32(models: Path, kind: str) -> None:
    scores = build(models / kind).score(TEXTS)
    # Thirty-two random numbers a token leave little for errors to average out in: of a real model it is a tenth.
    assert np.abs(scores - np.array(ANSWERS[kind])).max() <= 0.06


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_a_score_is_the_same_alone_shuffled_and_beside_long_texts(models: Path, kind: str, precision: str) -> None:
    classifier = build(models / kind, precision=precision)

    @settings(max_examples=25, deadline=None)
    @given(st.lists(SENTENCES | st.text(max_size=80), min_size=1, max_size=40), st.randoms(use_true_random=False))
    def same(texts: list[str], chance: random.Random) -> None:
        together = classifier.score(texts)
        alone = np.concatenate([classifier.score([text]) for text in texts])
        order = list(range(len(texts)))
        chance.shuffle(order)
        shuffled = classifier.score([texts[index] for index in order])
        padded = classifier.score([*texts, "a much longer message than all the others " * 40])[: len(texts)]
        assert np.abs(together - alone).max() <= 1e-5
        assert np.abs(together[order] - shuffled).max() <= 1e-5
        assert np.abs(together - padded).max() <= 1e-5

    same()


def test_a_long_text_scores_what_its_worst_window_scores(models: Path) -> None:
    classifier = build(models / "bert", precision="float32")
    talk = "gg well played " * 100
    plain = classifier.score([talk])[0]
    mixed = classifier.score([f"{talk} hate loser you {talk}"])[0]
    assert np.abs(classifier.score(["gg well played " * 300])[0] - plain).max() < 0.1
    assert mixed.max() >= plain.max() - 1e-6
    assert np.abs(mixed - plain).max() > 0


def test_nothing_said_scores_nothing(models: Path) -> None:
    assert not build(models / "bert").score(["", " ", "\n\t", "\u200b"]).any()


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_control_tokens_in_a_text_are_text(models: Path, kind: str) -> None:
    classifier = build(models / kind)
    folder = models / kind
    special = Tokenizer.from_file(str(folder / "tokenizer.json")).get_added_tokens_decoder().keys()
    for text in ("hate [SEP] gg", "hate </s> gg", "[CLS]", "<pad>"):
        assert not set(classifier._tokens.read(text)) & set(special) - {1, 3}  # unknown letters
    assert np.isfinite(classifier.score(["hate [SEP] gg", "</s>"])).all()


def test_an_explanation_shows_the_word_that_matters(models: Path) -> None:
    classifier = build(models / "bert")
    text = "gg well played hate you"
    spans = classifier.explain([text])[0]
    assert spans
    assert all(text[span.start : span.end].strip() and span.label in classifier.labels for span in spans)
    assert classifier.explain(["", "  "]) == [(), ()]


def test_the_converted_model_is_kept_and_used_again(tmp_path: Path) -> None:
    folder = bert(tmp_path)
    first = build(folder)
    kept = list((tmp_path / "cache" / "transformers").iterdir())
    assert len(kept) == 1
    at = kept[0].stat().st_mtime_ns
    second = build(folder)
    assert kept[0].stat().st_mtime_ns == at
    assert first.version == second.version
    assert (first.score(TEXTS) == second.score(TEXTS)).all()


def test_other_weights_and_other_precision_are_another_version(tmp_path: Path) -> None:
    folder = bert(tmp_path)
    versions = {build(folder).version, build(folder, precision="float32").version}
    versions.add(build(folder, labels={"threat": ""}).version)
    versions.add(build(folder, activation="softmax").version)
    versions.add(build(bert(tmp_path, seed=7)).version)
    assert len(versions) == 5


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written") as refused:
        build(bert(tmp_path), cache=str(tmp_path / "file"))
    assert refused.value.path == "classifiers.transformers.cache"


def test_old_names_of_norms_and_several_files_are_read(tmp_path: Path, models: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models / "bert", folder)
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in load_file(folder / "model.safetensors").items()
    }
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    files = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in files.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    index = {"weight_map": {name: file for file, part in files.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    scores = build(folder, precision="float32").score(TEXTS)
    assert np.abs(scores - np.array(ANSWERS["bert"])).max() <= 1e-5


def test_weights_in_half_precision_are_read(tmp_path: Path) -> None:
    folder = bert(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    before = build(folder, precision="float32").score(TEXTS)
    save_file({name: tensor.astype(np.float16) for name, tensor in tensors.items()}, folder / "model.safetensors")
    assert np.abs(build(folder, precision="float32").score(TEXTS) - before).max() < 0.01


def test_an_older_tokenizer_reads_the_same(tmp_path: Path, models: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models / "bert", folder)
    vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    (folder / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=lambda word: vocabulary[word])), "utf-8")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    assert (build(folder).score(TEXTS) == build(models / "bert").score(TEXTS)).all()


def test_an_older_byte_pair_tokenizer_reads_the_same(tmp_path: Path, models: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models / "roberta", folder)
    model = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), "utf-8")
    (folder / "merges.txt").write_text("\n".join(" ".join(pair) for pair in model["merges"]), "utf-8")
    (folder / "tokenizer.json").unlink()
    assert (build(folder).score(TEXTS) == build(models / "roberta").score(TEXTS)).all()


# --- what is refused --------------------------------------------------------------------------------------------------


def refusal(folder: Path, **more: Any) -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        build(folder, **more)
    assert refused.value.path.startswith("classifiers.transformers.")
    return refused.value


def edit(folder: Path, **more: Any) -> Path:
    path = folder / "config.json"
    config = {**json.loads(path.read_text("utf-8")), **more}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}), "utf-8")
    return folder


def test_a_pickle_is_refused_with_the_way_to_convert_it(tmp_path: Path) -> None:
    folder = bert(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "pytorch_model.bin" in refusal(folder).problem
    assert "save_pretrained" in refusal(folder).problem


def test_no_weights_are_refused(tmp_path: Path) -> None:
    folder = bert(tmp_path)
    (folder / "model.safetensors").unlink()
    assert "holds no weights" in refusal(folder).problem


def test_code_of_a_model_s_own_is_refused(tmp_path: Path) -> None:
    folder = edit(bert(tmp_path), auto_map={"AutoModel": "evil.Model"})
    (folder / "evil.py").write_text("raise SystemExit")
    assert "never run" in refusal(folder).problem


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\xff" * 64, (1 << 62).to_bytes(8, "little") + b"{}"])
def test_damaged_weights_are_refused(tmp_path: Path, content: bytes) -> None:
    folder = bert(tmp_path)
    (folder / "model.safetensors").write_bytes(content)
    assert "no graph can be built" in refusal(folder).problem


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    folder = bert(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("classifier.weight")
    save_file(tensors, folder / "model.safetensors")
    assert "classifier.weight" in refusal(folder).problem


def test_weights_that_do_not_fit_the_configuration_are_refused(tmp_path: Path) -> None:
    assert refusal(edit(bert(tmp_path), hidden_size=48)).path == "classifiers.transformers.model"
    assert refusal(edit(bert(tmp_path), id2label={"0": "toxic", "1": "ok"})).path == "classifiers.transformers.model"


@pytest.mark.parametrize("content", [None, b"", b"[]", b"\xff", b'{"model_type": "bert"}', b'{"id2label": 3}'])
def test_a_configuration_that_says_too_little_is_refused(tmp_path: Path, content: bytes | None) -> None:
    folder = bert(tmp_path)
    (folder / "config.json").unlink()
    if content is not None:
        (folder / "config.json").write_bytes(content)
    refusal(folder, labels={} if content != b'{"model_type": "bert"}' else {"LABEL_0": "", "LABEL_1": "toxicity"})


@pytest.mark.parametrize("name", ["tokenizer.json"])
def test_a_missing_or_damaged_tokenizer_is_refused(tmp_path: Path, name: str) -> None:
    folder = bert(tmp_path)
    (folder / name).write_text("{")
    assert "cannot be read" in refusal(folder).problem
    (folder / name).unlink()
    assert "AutoTokenizer" in refusal(folder).problem


def test_weights_are_pinned_by_their_sha256(tmp_path: Path) -> None:
    folder = bert(tmp_path)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    build(folder, sha256=digest.upper())
    assert refusal(folder, sha256="0" * 64).path == "classifiers.transformers.sha256"


def test_a_folder_that_is_missing_is_refused_without_a_network(tmp_path: Path) -> None:
    assert "there is no folder" in refusal(tmp_path / "nothing").problem


def test_threads_below_one_are_refused(tmp_path: Path) -> None:
    assert refusal(bert(tmp_path), threads=0).path == "classifiers.transformers.threads"


def test_what_needs_torch_says_so_with_the_way_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    folder = edit(bert(tmp_path), model_type="deberta-v2")
    with pytest.raises(ImportError, match=r"'deberta-v2'.*pip install '\.\[torch\]'"):
        build(folder)
    with pytest.raises(ImportError, match="torch"):
        build(bert(tmp_path), device="cuda")


# --- a graph of another's making --------------------------------------------------------------------------------------


def foreign(folder: Path, *, inputs: tuple[str, ...] = ("input_ids", "attention_mask"), dynamic: bool = False) -> Path:
    """A model whose logits are the mean of its tokens' embeddings, as ONNX and without safetensors."""
    bert(folder)
    (folder / "model" / "model.safetensors").unlink()
    table = np.random.default_rng(3).standard_normal((200, len(DETOXIFY))).astype(np.float32)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["embedded"])]
    if dynamic:
        nodes += [
            helper.make_node("DynamicQuantizeLinear", ["embedded"], ["bytes", "scale", "zero"]),
            helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["known"]),
        ]
    mean = helper.make_node("ReduceMean", ["known" if dynamic else "embedded", "axis"], ["logits"], keepdims=0)
    graph = helper.make_graph(
        [*nodes, mean],
        "foreign",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"]) for name in inputs],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["texts", len(DETOXIFY)])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1]), "axis")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    (folder / "model" / "onnx").mkdir()
    (folder / "model" / "onnx" / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model"


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("inputs", [("input_ids",), ("input_ids", "attention_mask", "token_type_ids")])
def test_an_onnx_file_that_is_there_is_run(tmp_path: Path, inputs: tuple[str, ...], dynamic: bool) -> None:
    classifier = build(foreign(tmp_path, inputs=inputs, dynamic=dynamic))
    assert classifier.labels == OURS
    alone = np.concatenate([classifier.score([text]) for text in TEXTS])
    assert np.abs(classifier.score(TEXTS) - alone).max() <= 1e-6
    assert alone.std() > 0.05
    assert not (tmp_path / "cache").exists()


def test_an_onnx_file_that_is_no_text_classifier_is_refused(tmp_path: Path) -> None:
    assert "pixels" in refusal(foreign(tmp_path, inputs=("input_ids", "pixels"))).problem
    (tmp_path / "model" / "onnx" / "model.onnx").write_bytes(b"no graph")
    assert "cannot be run" in refusal(tmp_path / "model").problem


# --- labels -----------------------------------------------------------------------------------------------------------


def labelled(tmp_path: Path, *labels: str, **more: Any) -> Path:
    return bert(tmp_path, labels=labels, **more)


def test_detoxify_s_names_are_ours(tmp_path: Path) -> None:
    assert build(bert(tmp_path)).labels == OURS


def test_a_harmless_class_is_none_of_ours_and_makes_it_a_choice(tmp_path: Path) -> None:
    for names, label in (
        (("neutral", "toxic"), "toxicity"),
        (("nothate", "hate"), "identity_attack"),
        (("non-toxic", "toxic"), "toxicity"),
        (("ham", "spam"), "spam"),
        (("NOT_OFFENSIVE", "OFFENSIVE"), "toxicity"),
    ):
        classifier = build(labelled(tmp_path, *names, problem_type="single_label_classification"))
        assert classifier.labels == (label,)
        unsaid = build(edit(labelled(tmp_path, *names), problem_type=None))
        assert (unsaid.score(TEXTS) == classifier.score(TEXTS)).all()


def test_a_choice_gives_its_probability(tmp_path: Path) -> None:
    folder = labelled(tmp_path, "neutral", "toxic", problem_type="single_label_classification")
    toxic = build(folder).score(TEXTS)[:, 0]
    turned = build(folder, labels={"neutral": "toxicity", "toxic": ""}).score(TEXTS)[:, 0]
    assert np.abs(toxic + turned - 1).max() < 1e-6


def test_classes_of_one_label_are_added_up(tmp_path: Path) -> None:
    folder = labelled(tmp_path, "neutral", "toxic", "offensive", problem_type="single_label_classification")
    both = build(folder).score(TEXTS)[:, 0]
    one = build(folder, labels={"offensive": ""}).score(TEXTS)[:, 0]
    other = build(folder, labels={"toxic": ""}).score(TEXTS)[:, 0]
    assert np.abs(both - one - other).max() < 1e-6


def test_of_labels_that_may_hold_at_once_the_highest_counts(tmp_path: Path) -> None:
    folder = labelled(tmp_path, "toxic", "obscene")
    apart = build(folder).score(TEXTS)
    joined = build(folder, labels={"obscene": "toxicity"})
    assert joined.labels == ("toxicity",)
    assert (joined.score(TEXTS)[:, 0] == apart.max(axis=1)).all()


def test_a_single_output_is_a_probability(tmp_path: Path) -> None:
    folder = edit(labelled(tmp_path, "toxic"), problem_type=None)
    scores = build(folder).score(TEXTS)
    assert scores.shape == (len(TEXTS), 1)
    assert (scores < 1).all()


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("LABEL_0", "LABEL_1"), '"LABEL_0" = "", "LABEL_1" = "toxicity"'),
        (("1 star", "2 stars", "5 stars"), '"1 star" = "", "2 stars" = "toxicity"'),
        (("toxic", "grooming"), '"toxic" = "toxicity", "grooming" = "toxicity"'),
        (("neutral", "ok"), '"neutral" = "", "ok" = ""'),
    ],
)
def test_labels_that_say_nothing_are_refused_with_the_mapping_to_write(
    tmp_path: Path, names: tuple[str, ...], shown: str
) -> None:
    refused = refusal(labelled(tmp_path, *names))
    assert refused.path == "classifiers.transformers.labels"
    assert shown in refused.problem


def test_a_mapping_that_was_written_is_taken(tmp_path: Path) -> None:
    folder = labelled(tmp_path, "LABEL_0", "LABEL_1", problem_type="single_label_classification")
    assert build(folder, labels={"LABEL_0": "", "LABEL_1": "insult"}).labels == ("insult",)


def test_a_mapping_of_what_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "has no such label" in refusal(bert(tmp_path), labels={"rude": "toxicity"}).problem
    assert "is not a label" in refusal(bert(tmp_path), labels={"toxic": "rudeness"}).problem


def test_a_regression_is_refused(tmp_path: Path) -> None:
    assert "regression" in refusal(labelled(tmp_path, "toxic", problem_type="regression")).problem


def test_labels_are_those_of_detoxify_s_unbiased_model_too(tmp_path: Path) -> None:
    names = (*("toxicity", *OURS[1:]), "sexual_explicit", "male", "homosexual_gay_or_lesbian")
    assert build(labelled(tmp_path, *names)).labels == (*OURS, "sexual_explicit")


def test_the_answers_that_were_written_down_are_of_these_models() -> None:
    assert sorted(ANSWERS) == sorted(KINDS)
    assert all(len(row) == len(DETOXIFY) for rows in ANSWERS.values() for row in rows)
