"""The trouble that every platform's local server can be told to make."""


class Trouble:
    """`failures` are the next answers (status, seconds to wait); `permitted` and `revoked` tell of the token."""

    def __init__(self) -> None:
        self.failures: list[tuple[int, float | None]] = []
        self.permitted = True
        self.revoked = False

    def fail(self, status: int, *, retry_after: float | None = None) -> None:
        self.failures.append((status, retry_after))

    def forbid(self) -> None:
        self.permitted = False

    def revoke(self) -> None:
        self.revoked = True
