"""Measures classifiers on texts that they never learnt from: `python -m training.evaluate --data DIR`."""

import math
import platform
import random
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from chat_moderator.classifiers.encoder import EncoderClassifier
from chat_moderator.classifiers.lexicon import LexiconClassifier
from chat_moderator.classifiers.ngram import NgramClassifier
from chat_moderator.errors import ConfigError
from chat_moderator.protocols import Classifier
from chat_moderator.types import LABELS
from training.metrics import Flags, Floats, Interval, auroc, calibration_error, macro_f1, share, with_interval
from training.own_texts import ACTED_ON, BLOCK, HOLD, acted_on, fancy, split
from training.peers import PEERS, PeerClassifier
from training.rows import CORPUS, DIAGNOSTIC, EVALUATION_ONLY, TRAINABLE, Row, load, load_corpus
from training.unseen_disguises import FUZZY, UNDOABLE, put_on
from training.whole import CascadeClassifier

CLASSIFIERS: Final[dict[str, Callable[[], Classifier]]] = {
    "cascade": CascadeClassifier,
    "encoder": EncoderClassifier,
    "lexicon": LexiconClassifier,
    "ngram": NgramClassifier,
}
"""What can be measured, by name."""
EVERYBODY: Final[dict[str, Callable[[], Classifier]]] = {
    **CLASSIFIERS,
    **{name: partial(PeerClassifier, name) for name in PEERS},
}

ENGLISH: Final = ("davidson", "surge_toxicity", "convabuse", "paradetox")
_POSITIVE: Final = 0.5
_IDENTITY_ROWS: Final = 40
_TEMPLATE_WORDS: Final = frozenset({"a", "am", "are", "being", "i", "is", "you"})
_DISGUISED: Final = 500
_FEW: Final = 10

Section = dict[str, Any]
app = typer.Typer(add_completion=False)


class Scored:
    """Test rows with a classifier's scores."""

    def __init__(self, rows: list[Row], scores: Floats) -> None:
        self.rows = rows
        self.labels = np.array([row.labels for row in rows], np.float32).reshape(-1, len(LABELS))
        self.scores = scores

    def without(self, sources: Sequence[str]) -> "Scored":
        kept = self.where(lambda row: row.source not in sources)
        return Scored([row for row, keep in zip(self.rows, kept, strict=True) if keep], self.scores[kept])

    def column(self, label: str) -> Floats:
        return self.scores[:, LABELS.index(label)]

    def answers(self, label: str) -> bool:
        """Whether the classifier knows the label."""
        return not np.isnan(self.column(label)).any()

    def known(self, label: str) -> Floats:
        return self.labels[:, LABELS.index(label)]

    def where(self, wanted: Callable[[Row], bool]) -> Flags:
        return np.fromiter(map(wanted, self.rows), bool, len(self.rows))

    def having(self, field: str, value: object) -> Flags:
        return self.where(lambda row: bool(getattr(row, field) == value))

    def worst(self) -> Floats:
        """The highest score among the labels that count as acting."""
        highest: Floats = np.nanmax(self.scores[:, [LABELS.index(label) for label in ACTED_ON]], axis=1)
        return highest


def by_set(scored: Scored) -> Section:
    """AUROC by label and set, where both classes are known."""
    found: Section = {}
    for label in filter(scored.answers, LABELS):
        known = scored.known(label)
        for name in (*TRAINABLE, *EVALUATION_ONLY):
            here = scored.having("source", name) & ~scored.having("weak", True) & ~np.isnan(known)
            positive = known[here] >= _POSITIVE
            if min(positive.sum(), (~positive).sum()) >= _FEW:
                found[f"{label} / {name}"] = with_interval(auroc, scored.column(label)[here], positive)
    means = [found[f"toxicity / {name}"].value for name in ENGLISH if f"toxicity / {name}" in found]
    found[f"English toxicity, mean of {len(means)} sets"] = _mean(means)
    return found


def by_label(scored: Scored) -> Section:
    """Threat, insult, identity attack and swearing against texts without toxicity, and among toxic ones; spam; ECE."""
    found: Section = {}
    scored = scored.without(DIAGNOSTIC)
    toxic = scored.known("toxicity") >= _POSITIVE
    harmless = scored.known("toxicity") == 0
    for label in filter(scored.answers, LABELS[1:]):
        known = scored.known(label)
        positive = known >= _POSITIVE
        scores = scored.column(label)
        for name, here in (
            ("against toxicity 0", positive | harmless),
            ("within toxic", toxic & ~np.isnan(known)),
            ("wherever known", ~np.isnan(known)),
        ):
            if min(positive[here].sum(), (~positive[here]).sum()) >= _FEW:
                found[f"{label} {name}"] = with_interval(auroc, scores[here], positive[here])
    for label in filter(scored.answers, LABELS):
        known = scored.known(label)
        chat = scored.where(lambda row: row.source in {"irc_ubuntu", "goemotions", "corpus", "convabuse", "sms_spam"})
        here = chat & ~np.isnan(known)
        if here.any():
            found[f"{label} calibration error on chat"] = calibration_error(
                scored.column(label)[here], known[here] >= _POSITIVE
            )
    return found


def benign_chat(scored: Scored) -> Section:
    """How much fine chat would be blocked (0.8) or held (0.5), by any label that counts and by toxicity alone."""
    found: Section = {}
    worst, toxicity = scored.worst(), scored.column("toxicity")
    for name, here in (
        ("irc_ubuntu", scored.having("source", "irc_ubuntu")),
        ("goemotions (positive)", scored.where(lambda row: row.source == "goemotions" and row.weak)),
        ("wiki_cat (not toxic)", scored.where(lambda row: row.source == "wiki_cat" and row.labels[0] == 0)),
    ):
        for scores, what in ((toxicity, "toxicity"), (worst, "any label")):
            for threshold in (BLOCK, HOLD):
                found[f"{name}: {what} >= {threshold}"] = with_interval(share, scores[here], scores[here] >= threshold)
    return found


def written(scored: Scored) -> Section:
    """The held-out writers' lines: abuse caught, fine lines removed and held; by language, then by phenomenon."""
    found: Section = {}
    corpus = scored.having("source", "corpus")
    worst = scored.worst()
    groups: dict[str, Flags] = {}
    for language in sorted({row.language for row in scored.rows if row.source == "corpus"}):
        groups[language] = scored.having("language", language)
    for phenomenon in sorted({row.functionality for row in scored.rows if row.source == "corpus"}):
        groups[phenomenon] = scored.having("functionality", phenomenon)
    for name, group in groups.items():
        bad = corpus & group & scored.having("verdict", "bad")
        fine = corpus & group & scored.having("verdict", "ok")
        if not bad.any() or not fine.any():
            continue
        both = bad | fine
        found[f"{name}: AUROC"] = with_interval(auroc, worst[both], bad[both])
        found[f"{name}: abuse held or blocked"] = with_interval(share, worst[bad], worst[bad] >= HOLD)
        found[f"{name}: fine lines blocked"] = with_interval(share, worst[fine], worst[fine] >= BLOCK)
        found[f"{name}: fine lines held"] = with_interval(
            share, worst[fine], (worst[fine] >= HOLD) & (worst[fine] < BLOCK)
        )
    return found


def hate_check(scored: Scored) -> Section:
    """HateCheck and its translations at 0.5: accuracy and macro-F1 by language; by functionality in English."""
    found: Section = {}
    flagged = np.fmax(scored.column("toxicity"), scored.column("identity_attack")) >= HOLD
    hateful = scored.known("identity_attack") >= _POSITIVE
    right = flagged == hateful
    none = np.zeros(len(right), np.float32)
    for name in ("hatecheck_dev", "mhc_dev"):
        here = scored.having("source", name)
        for language in sorted({row.language for row in scored.rows if row.source == name}):
            there = here & scored.having("language", language)
            found[f"{name} {language}: accuracy"] = with_interval(share, none[there], right[there])
            found[f"{name} {language}: macro-F1"] = macro_f1(flagged[there], hateful[there])
            found[f"{name} {language}: non-hateful right"] = with_interval(
                share, none[there & ~hateful], right[there & ~hateful]
            )
    here = scored.having("source", "hatecheck_dev")
    for functionality in sorted({row.functionality for row in scored.rows if row.source == "hatecheck_dev"}):
        there = here & scored.having("functionality", functionality)
        found[f"functionality {functionality}"] = with_interval(share, none[there], right[there])
    return found


def identities(scored: Scored) -> Section:
    """Identity templates: AUROC overall and by identity, and false positives on neutral statements."""
    found: Section = {}
    score = np.fmax(scored.column("toxicity"), scored.column("identity_attack"))
    toxic = scored.known("toxicity") >= _POSITIVE
    madlibs = scored.having("source", "identity_madlibs")
    for language in sorted({row.language for row in scored.rows if row.source == "identity_madlibs"}):
        here = madlibs & scored.having("language", language)
        found[f"{language}: AUROC"] = with_interval(auroc, score[here], toxic[here])
        neutral = here & ~toxic
        found[f"{language}: harmless held"] = with_interval(share, score[neutral], score[neutral] >= HOLD)
        found[f"{language}: harmless blocked"] = with_interval(share, score[neutral], score[neutral] >= BLOCK)
    english = madlibs & scored.where(lambda row: row.language == "en" and row.group != "you_occupation")
    rows_of: dict[str, list[int]] = {}
    for index in np.flatnonzero(english):
        for word in set(scored.rows[index].text.lower().split()) - _TEMPLATE_WORDS:
            rows_of.setdefault(word, []).append(int(index))
    overall = auroc(score[english], toxic[english])
    for word, rows in sorted(rows_of.items()):
        positives = toxic[rows].mean()
        if len(rows) >= _IDENTITY_ROWS and 0.3 <= positives <= 0.7:
            found[f"en {word}: AUROC, less the overall {overall:.3f}"] = auroc(score[rows], toxic[rows]) - overall
    return found


def disguises(scored: Scored, classifier: Classifier) -> Section:
    """Of toxic texts caught as they are (0.5), the share still caught in disguises that no training text wore.

    Undoable ones are put on every word, fuzzy ones on the listed terms only, as people do.
    """
    toxic = scored.where(
        lambda row: row.source in {"paradetox", "convabuse", "davidson"} and row.labels[0] >= _POSITIVE
    )
    caught = np.flatnonzero(toxic & (scored.column("toxicity") >= HOLD))
    chosen = random.Random(3).sample(caught.tolist(), min(_DISGUISED, len(caught)))
    texts = [scored.rows[index].text for index in chosen]
    terms = [[(span.start, span.end) for span in spans] for spans in LexiconClassifier().explain(texts)]
    listed = [(text, stretches) for text, stretches in zip(texts, terms, strict=True) if stretches]
    benign = [row.text for row in scored.rows if row.source == "goemotions" and row.weak][:_DISGUISED]
    found: Section = {}
    for name in UNDOABLE:
        found[f"undoable {name}"] = _kept(classifier, [put_on(name, text) for text in texts])
    for name in FUZZY:
        found[f"fuzzy {name}"] = _kept(classifier, [put_on(name, text, stretches) for text, stretches in listed])
    for kind in ("undoable", "fuzzy"):
        values = [value.value for name, value in found.items() if name.startswith(kind)]
        found[f"{kind}: mean"] = _mean(values)
    worn = np.concatenate([classifier.score([put_on(name, text) for text in benign])[:, 0] for name in UNDOABLE])
    found["benign texts in undoable disguises blocked"] = with_interval(share, worn, worn >= BLOCK)
    return found


def own_texts(scored: Scored, classifier: Classifier) -> Section:
    """Texts written for this alone: look-alikes, contexts, fancy alphabets, positive profanity; and split messages."""
    toxic = scored.where(
        lambda row: row.source in {"paradetox", "convabuse", "davidson"} and row.labels[0] >= _POSITIVE
    )
    texts = [scored.rows[index].text for index in np.flatnonzero(toxic)[: 4 * _DISGUISED]]
    terms = [[(span.start, span.end) for span in spans] for spans in LexiconClassifier().explain(texts)]
    benign = [row.text for row in scored.rows if row.source == "goemotions" and row.weak]
    found: Section = {}
    for name in ("look-alikes", "contexts", "positive-profanity"):
        found |= acted_on(classifier, name)
    return found | fancy(classifier) | split(classifier, list(zip(texts, terms, strict=True)), benign)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _kept(classifier: Classifier, texts: list[str]) -> Interval:
    scores = classifier.score(texts)[:, LABELS.index("toxicity")]
    return with_interval(share, scores, scores >= HOLD)


def speed(scored: Scored, classifier: Classifier) -> Section:
    """Messages a CPU-second of one core: ten words each from a Zipf vocabulary, warm; and chat that it never saw."""
    chance = random.Random(5)
    vocabulary = sorted({word for row in scored.rows[:20_000] for word in row.text.lower().split() if word.isalpha()})
    chance.shuffle(vocabulary)
    weights = [1 / rank for rank in range(1, len(vocabulary) + 1)]
    texts = [" ".join(chance.choices(vocabulary, weights, k=10)) for _ in range(20_480)]
    found: Section = {"machine": f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}"}
    with threadpool_limits(1):  # as `serve` and `work` do
        classifier.score(texts)
        for batch in (1, 32, 1024):
            some = texts[: min(len(texts), batch * 2000)]
            found[f"warm, batch {batch}"] = _rate(classifier, some, batch)
        chat = [row.text for row in scored.rows if row.source in {"irc_ubuntu", "goemotions", "corpus", "convabuse"}]
        chance.shuffle(chat)
        half = len(chat) // 2
        classifier.score(chat[:half])
        found["never seen before, batch 1024"] = _rate(classifier, chat[half:], 1024)
    return found


def _rate(classifier: Classifier, texts: list[str], batch: int) -> float:
    begin = time.process_time()
    for start in range(0, len(texts), batch):
        classifier.score(texts[start : start + batch])
    return len(texts) / (time.process_time() - begin)


def peer_speed(peer: PeerClassifier, texts: int) -> Section:
    """Messages a CPU-second of a peer, over all that it was asked to score so far."""
    return {"as measured, batch 1024": texts / max(peer.processor_seconds(), 1e-9)}


def about(name: str, classifier: Classifier) -> Section:
    """What was measured, and the sets on which it has an unfair advantage."""
    trained_on = PEERS[name].trained_on if name in PEERS else ()
    return {"version": classifier.version, "trained on": ", ".join(trained_on)}


def show(title: str, section: Section, console: Console) -> None:
    table = Table("", "value [95% interval]", "texts", "positive", title=title, title_justify="left")
    for name, value in section.items():
        if isinstance(value, Interval):
            table.add_row(name, str(value), f"{value.texts:,}", f"{value.positives:,}")
        else:
            table.add_row(
                name, value if isinstance(value, str) else f"{value:,.3f}" if abs(value) < 1000 else f"{value:,.0f}"
            )
    console.print(table)


def evaluate(rows: list[Row], name: str, classifier: Classifier) -> dict[str, Section]:
    """Every measure of one classifier."""
    texts = [row.text for row in rows]
    scored = Scored(
        rows, np.concatenate([classifier.score(texts[at : at + 1024]) for at in range(0, len(texts), 1024)])
    )
    rate = peer_speed(classifier, len(texts)) if isinstance(classifier, PeerClassifier) else speed(scored, classifier)
    return {
        "About": about(name, classifier),
        "AUROC by set": by_set(scored),
        "Labels": by_label(scored),
        "Benign chat": benign_chat(scored),
        "Held-out writers": written(scored),
        "HateCheck": hate_check(scored),
        "Identities": identities(scored),
        "Disguises": disguises(scored, classifier),
        "Own texts": own_texts(scored, classifier),
        "Speed": rate,
    }


def gather(data: Path, corpus: Path) -> list[Row]:
    """All test rows of all sets and of the corpus.

    Raises:
        ConfigError: a set is missing or malformed.
    """
    names = (*TRAINABLE, *EVALUATION_ONLY, *DIAGNOSTIC)
    rows: Iterable[Row] = (row for name in track(names, "reading", transient=True) for row in load(name, data))
    return [row for row in [*rows, *load_corpus(corpus)] if row.part == "test"]


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return {key: _plain(part) for key, part in value._asdict().items()}
    return None if isinstance(value, float) and math.isnan(value) else value


@app.command()
def main(
    data: Annotated[Path, typer.Option(help="Folder with the labelled sets (*.jsonl.gz).")],
    corpus: Annotated[
        Path, typer.Option(help="Folder with the written lines (LANGUAGE/WRITER-PHENOMENON.tsv).")
    ] = CORPUS,
    json: Annotated[Path | None, typer.Option(help="Also write the results here.")] = None,
    classifier: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(EVERYBODY)}; may be given again.")
    ] = None,
    *,
    peers: Annotated[
        bool, typer.Option("--peers", help="Also other packages, in an environment of their own.")
    ] = False,
) -> None:
    """Measures on the sets' own test splits, on held-out tenths, on diagnostics and on the held-out writers' lines."""
    console = Console()
    names = list(dict.fromkeys([*(classifier or ["ngram"]), *(PEERS if peers else ())]))
    if unknown := [name for name in names if name not in EVERYBODY]:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(EVERYBODY)}")
    try:
        rows = gather(data, corpus)
    except ConfigError as error:
        console.print(f"[red]{error}")
        raise typer.Exit(2) from error
    results = {}
    for name in names:
        made: Classifier = EVERYBODY[name]()
        console.rule(f"{name} ({made.version})")
        results[name] = evaluate(rows, name, made)
        if isinstance(made, PeerClassifier):
            made.close()
        for title, section in results[name].items():
            show(title, section, console)
    if json:
        plain = {
            name: {title: {key: _plain(value) for key, value in section.items()} for title, section in sections.items()}
            for name, sections in results.items()
        }
        json.write_bytes(msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n")


if __name__ == "__main__":
    app()
