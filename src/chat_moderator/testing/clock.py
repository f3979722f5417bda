"""A clock that stands still until it is moved."""

from datetime import UTC, datetime, timedelta


class FakeClock:
    """Call it for the time; `advance` moves it."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._at = start

    def __call__(self) -> datetime:
        """The time, in UTC."""
        return self._at

    def advance(self, seconds: float) -> None:
        """Moves the time on."""
        self._at += timedelta(seconds=seconds)
