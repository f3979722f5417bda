"""`chat-moderator` and `python -m chat_moderator`."""

from chat_moderator.cli.output import prepare
from chat_moderator.cli.program import app


def main() -> None:
    """Runs the command line."""
    prepare()
    app(prog_name="chat-moderator")


if __name__ == "__main__":
    main()
