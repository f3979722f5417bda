"""Every registered classifier keeps the contract."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from chat_moderator import registry
from chat_moderator.classifiers import llm, remote, transformers
from chat_moderator.classifiers.encoder import EncoderClassifier
from chat_moderator.classifiers.lexicon import LexiconClassifier
from chat_moderator.classifiers.llm import LlmClassifier
from chat_moderator.classifiers.ngram import NgramClassifier
from chat_moderator.classifiers.remote import RemoteClassifier
from chat_moderator.classifiers.transformers import TransformersClassifier
from chat_moderator.functions.cerebrium import CerebriumFunction
from chat_moderator.protocols import Classifier
from chat_moderator.testing.classifiers import CHECKS, Check
from tests.classifiers import random_models
from tests.servers import cerebrium, chat_completions

Open = Callable[[Path], AbstractContextManager[Classifier]]


def plain(kind: Callable[[], Classifier]) -> Open:
    @contextmanager
    def opened(_: Path) -> Iterator[Classifier]:
        yield kind()

    return opened


@contextmanager
def open_llm(_: Path) -> Iterator[Classifier]:
    def say(asked: chat_completions.Asked) -> chat_completions.Asked:
        insults = 3 if "loser" in chat_completions.text_of(asked) else 0
        return chat_completions.completion(asked, chat_completions.calm(insult=insults))

    with chat_completions.serving() as server:
        server.say = say
        classifier = LlmClassifier(llm.Config(url=server.url, model="guard", timeout=30.0))
        yield classifier
        classifier.close()


@contextmanager
def open_remote(folder: Path) -> Iterator[Classifier]:
    with cerebrium.deployed(CerebriumFunction(folder, {}).run) as platform:
        classifier = RemoteClassifier(remote.Config(url=platform.url, token=cerebrium.TOKEN))
        yield classifier
        classifier.close()


@contextmanager
def open_transformers(folder: Path) -> Iterator[Classifier]:
    random_models.save(folder / "model", "bert")
    config = transformers.Config(model=str(folder / "model"), cache=str(folder / "cache"), device="cpu")
    yield TransformersClassifier(config)


CASES: dict[str, Open] = {
    "encoder": plain(EncoderClassifier),
    "lexicon": plain(LexiconClassifier),
    "llm": open_llm,
    "ngram": plain(NgramClassifier),
    "remote": open_remote,
    "transformers": open_transformers,
}


def test_every_registered_classifier_has_a_case() -> None:
    assert sorted(CASES) == registry.names("classifier")


@pytest.fixture(scope="module", params=sorted(CASES))
def classifier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classifier]:
    with CASES[request.param](tmp_path_factory.mktemp(request.param)) as built:
        yield built


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_classifier(check: Check, classifier: Classifier) -> None:
    check(classifier)
