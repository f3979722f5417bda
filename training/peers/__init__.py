"""Other classifiers, scored on the same texts in an environment of their own."""

import contextlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
from benchmarks.peer_environment import environment
from numpy.typing import NDArray

from chat_moderator.types import LABELS, Span

ENVIRONMENT: Final = Path(".venv-peer-classifiers")
_HERE: Final = Path(__file__).parent
_JIGSAW: Final = ("toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack")
_SLICES: Final = ("paradetox", "toxic_spans", "wiki_cat")


class Peer(NamedTuple):
    """A package. `trained_on` names sets whose texts it learnt from, or may have: a comparison there is unfair."""

    package: str
    version: str
    labels: tuple[str, ...]
    trained_on: tuple[str, ...] = ()


PEERS: Final[Mapping[str, Peer]] = MappingProxyType(
    {
        "alt-profanity-check": Peer("alt-profanity-check", "1.9.1", ("toxicity",), ("davidson",)),
        "better-profanity": Peer("better-profanity", "0.7.0", ("toxicity",)),
        "glin-profanity": Peer("glin-profanity", "4.1.0", ("toxicity",)),
        "tox-block": Peer("tox-block", "0.1.2", _JIGSAW, _SLICES),
        "toxic-comment-classifier": Peer("toxic-comment-classifier", "0.3.0", _JIGSAW, _SLICES),
    }
)
"""By name. hatesonar, too, learnt from davidson."""


class PeerClassifier:
    """A peer as a `Classifier`: labels that it does not know are NaN. Its process runs until `close`.

    Args:
        name: of PEERS.
        command: what to run instead of the worker in the peers' environment, which is made when missing.
    """

    labels: tuple[str, ...] = LABELS

    def __init__(self, name: str, command: Sequence[str] = ()) -> None:
        self.peer = PEERS[name]
        self.version = f"{self.peer.package} {self.peer.version}"
        if not command:
            python = environment(ENVIRONMENT, _HERE / "requirements.txt", "--no-deps")
            # -P: no folder of this project may stand before the environment's packages.
            command = [str(python), "-P", str(_HERE / "worker.py"), name]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
        self._seconds = 0.0

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(len(texts), len(LABELS)).

        Raises:
            RuntimeError: the peer's process ended.
        """
        scores = np.full((len(texts), len(LABELS)), np.nan, np.float32)
        if not texts:
            return scores
        line = self._ask(json.dumps(list(texts)))
        if not line:
            self.close()
            raise RuntimeError(f"{self.version} ended with {self._process.returncode}")
        answer = json.loads(line)
        self._seconds += answer["seconds"]
        columns = [LABELS.index(label) for label in self.peer.labels]
        scores[:, columns] = np.array(answer["scores"], np.float32).reshape(len(texts), len(columns))
        return scores

    def explain(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """Nothing: peers do not say."""
        return [() for _ in texts]

    def processor_seconds(self) -> float:
        """What scoring has taken so far."""
        return self._seconds

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None  # noqa: S101 -- both are pipes
        assert self._process.stdout is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _ask(self, line: str) -> str:
        """The answer, empty from a process that ended."""
        assert self._process.stdin is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        return self._process.stdout.readline()
