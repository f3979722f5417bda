"""A chat server of its own that shows nothing before it was judged.

Start a moderator (`make run`), then `python examples/game_chat.py`, and connect with any WebSocket client to
ws://127.0.0.1:8090/NAME. Each frame is what NAME says; each frame that comes is what somebody said.
"""

import argparse
import asyncio
import uuid

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from chat_moderator.client import Client, Decision, MessageRefusedError
from chat_moderator.types import Author, Message, Verdict

PLATFORM = "my-game"


class Chat:
    """One room: who is there, and what waits for a moderator."""

    def __init__(self) -> None:
        self.there: set[ServerConnection] = set()
        self.held: dict[str, str] = {}

    async def join(self, player: ServerConnection, client: Client) -> None:
        """Listens to one player until they leave."""
        name = player.request.path.strip("/") if player.request else ""
        self.there.add(player)
        try:
            async for text in player:
                message = Message(
                    uuid.uuid4().hex, str(text), platform=PLATFORM, channel="lobby", author=Author(name, name)
                )
                await player.send(await self.say(message, client))
        except ConnectionClosed:
            pass
        finally:
            self.there.discard(player)

    async def say(self, message: Message, client: Client) -> str:
        """Shows a message to everybody, or to nobody; what its author is told."""
        line = f"{message.author.name}: {message.text}"
        self.held[message.id] = line
        try:
            decision = await client.moderate(message)
        except MessageRefusedError as refused:
            del self.held[message.id]
            return f"(not sent: {refused})"
        if decision.action is Verdict.HOLD:
            return "(a moderator looks at your message first)"
        return "(sent)" if decision.action is Verdict.ALLOW else f"(not sent: {decision.reply or decision.rule})"

    def decided(self, decision: Decision) -> None:
        """Shows what was let through: at once, late, or by a moderator."""
        if decision.action is Verdict.HOLD:
            return
        line = self.held.pop(decision.id, None)
        if line is not None and decision.action is Verdict.ALLOW:
            broadcast(self.there, line)


async def main(moderator: str, token: str, port: int) -> None:
    """Serves until interrupted."""
    chat = Chat()
    async with (
        Client(moderator, token=token, deadline=1.5, on_decision=chat.decided) as client,
        serve(lambda player: chat.join(player, client), "127.0.0.1", port) as server,
    ):
        print(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/NAME", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moderator", default="http://127.0.0.1:8080")
    parser.add_argument("--token", default="")
    parser.add_argument("--port", type=int, default=8090)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.moderator, arguments.token, arguments.port))
