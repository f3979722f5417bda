"""Every registered classifier keeps the contract."""

import pytest

from chat_moderator import registry
from chat_moderator.protocols import Classifier
from chat_moderator.testing.classifiers import CHECKS, Check


@pytest.fixture(scope="module", params=registry.names("classifier"))
def classifier(request: pytest.FixtureRequest) -> Classifier:
    built: Classifier = registry.load("classifier", request.param, path="")()
    return built


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_classifier(check: Check, classifier: Classifier) -> None:
    check(classifier)
