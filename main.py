"""The Cerebrium app: `cerebrium deploy` makes `run` an HTTP endpoint."""

import os
from pathlib import Path
from typing import Any

from chat_moderator.functions.cerebrium import CerebriumFunction

_function = CerebriumFunction(Path(__file__).parent, os.environ)


def run(messages: object = None, **others: object) -> dict[str, Any]:
    """Judges messages: `{"messages": [{"id": "1", "text": "Hello!"}]}`, the keys of the JSON body.

    Returns:
        `results`, one a message in order, and `audited`; or `status_code`, `title`, `detail` and `field` of a problem.
    """
    return _function.run(messages=messages, **others)
