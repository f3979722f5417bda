"""What Lambda loads; the function's settings are in moderator.toml beside it."""

import os
from pathlib import Path

from chat_moderator.functions.aws_lambda import LambdaFunction

handler = LambdaFunction(Path(__file__).parent, os.environ)
