"""What people say a text's scores should have been: labels, for the next training."""

from datetime import UTC, datetime
from typing import Any, ClassVar

import msgspec

from chat_moderator.store.database import Command, Context, Query, encode
from chat_moderator.types import Struct


class Label(Struct, frozen=True):
    """A text and the scores that somebody suggests for it, by label of ours, each 0 to 1.

    `token` is the client's own name for the text; `language` a tag, empty where unknown; `id` is 0 until stored.
    """

    text: str
    scores: dict[str, float]
    client: str
    community: str = ""
    token: str = ""
    language: str = ""
    id: int = 0
    at: datetime | None = None


class SuggestLabel(Command[int], frozen=True):
    """Keeps a label; a later one under the same client, community and token takes its place. Returns its id."""

    result: ClassVar[Any] = int
    label: Label

    def apply(self, context: Context) -> int:
        label = self.label
        if label.token:
            context.run(
                "DELETE FROM labels WHERE client = ? AND community = ? AND token = ?",
                (label.client, label.community, label.token),
            )
        context.run(
            "INSERT INTO labels (at, client, community, token, language, text, scores) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                context.at,
                label.client,
                label.community,
                label.token,
                label.language,
                label.text,
                encode(label.scores),
            ),
        )
        return int(context.connection.last_insert_rowid())


class ListLabels(Query[list[Label]], frozen=True):
    """Labels after an id, oldest first, at most `limit`."""

    result: ClassVar[Any] = list[Label]
    after: int = 0
    limit: int = 1000

    def answer(self, context: Context) -> list[Label]:
        rows = context.connection.execute(
            "SELECT id, at, client, community, token, language, text, scores FROM labels "
            "WHERE id > ? ORDER BY id LIMIT ?",
            (self.after, self.limit),
        )
        return [
            Label(
                text,
                msgspec.json.decode(scores, type=dict[str, float]),
                client,
                community,
                token,
                language,
                identifier,
                datetime.fromtimestamp(at, UTC),
            )
            for identifier, at, client, community, token, language, text, scores in rows
        ]


class DropLabels(Command[int], frozen=True):
    """Deletes labels up to an id, that one included; returns how many."""

    result: ClassVar[Any] = int
    through: int

    def apply(self, context: Context) -> int:
        context.run("DELETE FROM labels WHERE id <= ?", (self.through,))
        return int(context.connection.changes())
