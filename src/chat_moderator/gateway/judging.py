"""Judging for callers who wait: the quota of their key, the audit, and what a failing classifier is to them."""

import asyncio
import logging
from collections.abc import Sequence

from chat_moderator.errors import ChatModeratorError, TransientError
from chat_moderator.gateway import limits
from chat_moderator.gateway.auth import Caller
from chat_moderator.gateway.services import Services
from chat_moderator.types import Message, Record

log = logging.getLogger(__name__)


async def judged(
    services: Services, caller: Caller, messages: Sequence[Message], *, keep_text: bool = True
) -> list[Record]:
    """One committed record a message, in order.

    Args:
        services: of the gateway.
        caller: whose quota it is.
        messages: at least one.
        keep_text: whether the audit keeps the texts.

    Raises:
        ProblemError: 429, the key's quota is spent.
        TransientError: no verdict could be reached; nothing was recorded.
    """
    await services.usage.take(caller, len(messages))
    try:
        async with asyncio.timeout(limits.VERDICT_TIMEOUT):
            return await services.app.recorder.moderate(messages, keep_text=keep_text)
    except (ChatModeratorError, TimeoutError):
        raise
    except Exception as error:  # a classifier is a plugin: whatever it raises is no fault of the caller
        log.exception("messages could not be judged")
        raise TransientError("no verdict could be reached; nothing was recorded") from error
