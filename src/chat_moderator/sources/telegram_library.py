"""The client library for Telegram, imported in one place: as it is, it warns about itself and logs the token."""

import logging
import os

from chat_moderator.errors import MissingExtraError

os.environ.setdefault("PTB_TIMEDELTA", "true")  # the library's own switch to its coming types; it warns without

try:
    import telegram
    from telegram import error
    from telegram.request import HTTPXRequest
except ImportError as problem:
    raise MissingExtraError("source 'telegram'", "telegram") from problem

for _name in ("telegram", "httpx"):  # below, they log addresses, and the token is a part of them
    logging.getLogger(_name).setLevel(logging.WARNING)

__all__ = ["HTTPXRequest", "error", "telegram"]
