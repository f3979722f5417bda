"""The trouble that every platform's local server can be told to make."""


class Trouble:
    """`failures` are the next answers (status, seconds to wait); `permitted` and `revoked` tell of the token.

    `barred` are names of channels in which the connection's account may do nothing; `deletions` are ids of messages,
    one each time that one was to be deleted.
    """

    def __init__(self) -> None:
        self.failures: list[tuple[int, float | None]] = []
        self.permitted = True
        self.revoked = False
        self.barred: set[str] = set()
        self.deletions: list[str] = []

    def fail(self, status: int, *, retry_after: float | None = None) -> None:
        self.failures.append((status, retry_after))

    def forbid(self, channel: str = "") -> None:
        if channel:
            self.barred.add(channel)
        else:
            self.permitted = False

    def revoke(self) -> None:
        self.revoked = True
