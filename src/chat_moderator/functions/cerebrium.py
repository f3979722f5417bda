"""Cerebrium's function form: the keys of the JSON body are keyword arguments, a dictionary is the answer.

The platform wraps it as `{"run_id", "run_time_ms", "result"}` and takes the HTTP status from `status_code`.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from chat_moderator.errors import ConfigError
from chat_moderator.functions.function import Function, Loop, read_settings

FILE: Final = "cerebrium.toml"
TABLE: Final = "cerebrium.environment"


class CerebriumFunction:
    """Answers the platform's calls, also from several threads at once.

    Args:
        folder: with moderator.toml, where there is one, and cerebrium.toml.
        environment: of the process; it wins over `[cerebrium.environment]`.

    Raises:
        ConfigError: one of the files is wrong; the deployment does not start.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._function = Function(read_settings(folder, {**defaults(folder / FILE), **environment}))
        self._loop = Loop()

    def run(self, **body: object) -> dict[str, Any]:
        """Judges `messages`; see `Function.answer`."""
        answered: dict[str, Any] = msgspec.to_builtins(self._loop.run(self._function.answer(body)))
        return answered


def defaults(path: Path) -> dict[str, str]:
    """What `[cerebrium.environment]` says, which the platform itself passes over.

    Raises:
        ConfigError: the file is not TOML, or a value is neither a text nor a number.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigError(str(path), f"cannot be read: {problem}") from problem
    own = table.get("cerebrium", {}).get("environment", {})
    for name, value in own.items():
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise ConfigError(f"{TABLE}.{name}", "a text or a number is needed")
    return {name: str(value) for name, value in own.items()}
