"""What setting up a platform takes: questions, and a look whether the answers are enough."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from chat_moderator.types import Struct


class Question(Struct, frozen=True):
    """One thing that the operator has to know.

    `key`: of the connection's settings; `text`: what is asked, and where the answer is found; `secret`: is read without
    being shown, and stands in the settings as an environment variable; `optional`: may be left empty.
    """

    key: str
    text: str
    secret: bool = False
    optional: bool = False


class Shortcoming(Struct, frozen=True):
    """Something that the platform does not allow yet, and where to click."""

    problem: str
    cure: str


class Setup(Protocol):
    """Helps an operator to connect a platform; one a platform, registered under its name."""

    @property
    def questions(self) -> Sequence[Question]:
        """In the order in which they are asked."""

    async def examine(self, answers: Mapping[str, str]) -> Sequence[Shortcoming]:
        """What is missing, asked of the platform itself: token, scopes, intents, permissions.

        Raises:
            TransientError: the platform cannot be reached.
        """
