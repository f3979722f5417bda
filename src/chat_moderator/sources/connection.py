"""What every connection to a platform may be told: its name, whether it acts, and whom it passes over."""

from collections.abc import Iterable

from chat_moderator.types import Struct


class ConnectionConfig(Struct, frozen=True, kw_only=True):
    """The settings that all platforms share; roles, channels and authors are named by their ids or names.

    `name`: of the connection, its type where empty; `enforce`: false only records and alerts; `moderators_channel`:
    where alerts go; `exempt_roles`, `exempt_channels`, `exempt_authors`: are not judged; `ignore_bots`: nor are bots
    (the connection's own never are).
    """

    name: str = ""
    enforce: bool = False
    moderators_channel: str = ""
    exempt_roles: tuple[str, ...] = ()
    exempt_channels: tuple[str, ...] = ()
    exempt_authors: tuple[str, ...] = ()
    ignore_bots: bool = True

    def exempts(
        self, *, authors: Iterable[str] = (), channels: Iterable[str] = (), roles: Iterable[str] = (), bot: bool = False
    ) -> bool:
        """Whether a message is passed over, given all ids and names of its author, channel and the author's roles."""
        return (
            (bot and self.ignore_bots)
            or not {self.moderators_channel, *self.exempt_channels}.isdisjoint(filter(None, channels))
            or not set(self.exempt_authors).isdisjoint(authors)
            or not set(self.exempt_roles).isdisjoint(roles)
        )
