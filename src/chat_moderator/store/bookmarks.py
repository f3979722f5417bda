"""How far each source has read, for after a restart."""

from typing import Any, ClassVar

from chat_moderator.store.database import Command, Context, Query


class Bookmark(Query[str], frozen=True):
    """The place that a source kept under a name; empty where there is none."""

    result: ClassVar[Any] = str
    source: str
    name: str

    def answer(self, context: Context) -> str:
        return (
            context.value("SELECT place FROM bookmarks WHERE source = ? AND name = ?", (self.source, self.name)) or ""
        )


class KeepBookmark(Command[None], frozen=True):
    """Keeps a place under a name; a power failure may take it back, and then some messages are read twice."""

    durable: ClassVar[bool] = False
    source: str
    name: str
    place: str

    def apply(self, context: Context) -> None:
        context.run(
            "INSERT OR REPLACE INTO bookmarks (source, name, place) VALUES (?, ?, ?)",
            (self.source, self.name, self.place),
        )
