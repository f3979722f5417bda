"""What `init irc` asks, and what it looks at: the server, the passwords, the channels, our rights there."""

from collections.abc import Mapping, Sequence
from typing import Final

from chat_moderator.errors import ConfigError, TransientError
from chat_moderator.sources.irc_client import IrcClient, IrcConfig
from chat_moderator.sources.setup import Question, Shortcoming

LIMIT: Final = 2.0
"""Lines a second that looking may send."""


class IrcSetup:
    """Implements `Setup`. It joins the channels, as the connection will, and leaves again."""

    questions = (
        Question("server", "Address of the server, such as ircs://irc.libera.chat (irc:// is without TLS)"),
        Question("nick", "Nick of the moderator"),
        Question("channels", "Names of the channels to moderate, with commas between, such as #general,#random"),
        Question("moderators_channel", "Name of the channel that gets the alerts", optional=True),
        Question("account", "Account of the services, where it is not the nick", optional=True),
        Question("password", "Password of the account, where it has one", secret=True, optional=True),
        Question("server_password", "Password of the server, where it wants one", secret=True, optional=True),
    )

    async def examine(self, answers: Mapping[str, str]) -> Sequence[Shortcoming]:
        """See `Setup.examine`."""
        keys = {question.key for question in self.questions} | {"certificate_authority"}
        try:
            config = IrcConfig(**{key: value for key, value in answers.items() if key in keys}, rate=LIMIT)  # type: ignore[arg-type]
            client = IrcClient(config)
        except ConfigError as problem:
            return [_shortcoming(str(problem))]
        try:
            await client.session()
            return _lacking(client)
        except TransientError:
            if client.refusal:
                return [_shortcoming(client.refusal)]
            raise
        finally:
            await client.aclose()


def _lacking(client: IrcClient) -> list[Shortcoming]:
    places = client.places
    lacking = [
        str(places.refused(name))
        for name in client.channels
        if places.is_in(name) and name != client.moderators and not places.is_operator(name)
    ]
    return [_shortcoming(problem) for problem in dict.fromkeys((*client.problems, *lacking))]


def _shortcoming(problem: str) -> Shortcoming:
    """A problem says what is wrong, a colon, and the cure last."""
    what, _, cure = problem.rpartition(": ")
    return Shortcoming(f"{what or problem}.", f"{cure[:1].upper()}{cure[1:]}.")
