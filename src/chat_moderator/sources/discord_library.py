"""The client library for Discord, imported in one place: its voice part warns about the standard library."""

import warnings

from chat_moderator.errors import MissingExtraError

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import discord
        from discord.gateway import DiscordWebSocket
        from discord.http import MultipartParameters, Route
    from nacl.exceptions import BadSignatureError
    from nacl.signing import VerifyKey
except ImportError as problem:
    raise MissingExtraError("source 'discord'", "discord") from problem

__all__ = ["BadSignatureError", "DiscordWebSocket", "MultipartParameters", "Route", "VerifyKey", "discord"]
