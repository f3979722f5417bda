"""What can go wrong, by what the caller should do about it.

::

    ChatModeratorError
      ├─ ConfigError          fix the file or the setting: carries the key's path and what is allowed there
      ├─ MissingExtraError    install the extra (also an ImportError)
      ├─ TransientError       try again later; may carry `retry_after`
      │    ├─ OverloadedError     the intake is full: the sender slows down
      │    ├─ StaleLeaseError     another worker holds the messages now: drop the result
      │    └─ UnauthorizedError   a platform refuses the connection's token: the operator gives another
      └─ PermanentError       do not try again: dead-letter with the reason
           ├─ ConflictError       the same key was used for another text
           ├─ ForbiddenError      a platform's account lacks a right: the operator gives it
           ├─ RefusedError        a webhook call that the platform did not sign
           ├─ SkippedError        not done on purpose: recorded as skipped, with the reason
           ├─ TooLargeError       the queue takes no message of this size
           └─ NotFoundError      there is no such object (for this caller)
"""

from datetime import timedelta


class ChatModeratorError(Exception):
    """The root of every error that this package raises on purpose."""


class ConfigError(ChatModeratorError):
    """A setting is wrong; raised when configuration, rules or models are loaded.

    Args:
        path: where, as the operator wrote it, for example `policy.rules[0].when`.
        problem: what is wrong and what is allowed, in one sentence.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem


class MissingExtraError(ChatModeratorError, ImportError):
    """An adapter's library is not installed; the text names the command that installs it."""

    def __init__(self, name: str, extra: str) -> None:
        super().__init__(f"{name} needs an extra that is not installed: pip install '.[{extra}]'")
        self.extra = extra


class TransientError(ChatModeratorError):
    """Worth another try, at the earliest after `retry_after` where it is given."""

    def __init__(self, problem: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(problem)
        self.retry_after = retry_after


class OverloadedError(TransientError):
    """The intake is full or the store cannot write; nothing of the call was kept."""


class StaleLeaseError(TransientError):
    """The lease ran out and its lanes may be another worker's; nothing was settled."""


class UnauthorizedError(TransientError):
    """A platform refuses the connection's token; the text says where to get another."""


class PermanentError(ChatModeratorError):
    """Another try cannot help."""


class ConflictError(PermanentError):
    """A message key came again with another text; nothing of the batch was kept.

    Args:
        index: position of the first such message in the batch, from 0.
        message_id: its id.
    """

    def __init__(self, index: int, message_id: str) -> None:
        super().__init__(f"messages[{index}]: id {message_id!r} was accepted before with another text")
        self.index = index
        self.message_id = message_id


class TooLargeError(PermanentError):
    """A message is larger than the queue takes; nothing of the batch was kept.

    Args:
        message_id: its id.
        size: in bytes, as it would be sent.
        largest: the queue's limit in bytes.
    """

    def __init__(self, message_id: str, *, size: int, largest: int) -> None:
        super().__init__(f"message {message_id!r} takes {size} bytes, the queue takes {largest}")
        self.message_id = message_id


class ForbiddenError(PermanentError):
    """A connection's account lacks a right on its platform; the text says which, where, and who gives it."""


class RefusedError(PermanentError):
    """A webhook call whose signature or time is not as the platform makes them; nothing of it was looked at."""


class SkippedError(PermanentError):
    """An action was left undone on purpose, as in a dry run; its outcome is `skipped`, with this text as the reason."""


class NotFoundError(PermanentError):
    """There is no such object, or it is not this caller's to see."""
