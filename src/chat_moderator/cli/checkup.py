"""What `doctor` looks at."""

import asyncio
import contextlib
import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import apsw

from chat_moderator import config
from chat_moderator.app import build_cascade, build_policy
from chat_moderator.cli.stores import open_store, owner, shared_by
from chat_moderator.config import Settings
from chat_moderator.errors import ChatModeratorError, ConfigError
from chat_moderator.gateway.auth import is_loopback
from chat_moderator.gateway.server import bind
from chat_moderator.store.database import FILE, MINIMUM_SQLITE, Store
from chat_moderator.store.intake import AskDepth
from chat_moderator.store.keys import AnyKey
from chat_moderator.store.outbox import OutboxDepth
from chat_moderator.store.retention import CheckIntegrity
from chat_moderator.store.socket import RemoteStore
from chat_moderator.types import Struct

LIBRARIES: Final = ("apsw", "litestar", "msgspec", "numpy", "uvicorn")
SLOW: Final = 60.0
"""Seconds that the oldest message may wait while a server runs."""

PATIENCE: Final = 5.0
"""Seconds that the serving process may take to say how full its queue is."""


class Finding(Struct, frozen=True):
    """One thing looked at: `problem` and `cure` are empty when it is well."""

    name: str
    value: str
    problem: str = ""
    cure: str = ""


def check(directory: Path, path: Path | None) -> list[Finding]:
    """All findings about the installation, the settings in `path` and the data in `directory`, which is not made."""
    findings = list(_versions())
    try:
        settings = config.read(path)
    except ConfigError as problem:
        findings.append(Finding("settings", str(path or "environment"), str(problem), "correct it there"))
        settings = Settings()
    else:
        findings += [Finding("settings", str(path or "built-in")), *_judging(settings)]
    return findings + asyncio.run(_data(directory, path, settings))


def _versions() -> Iterator[Finding]:
    yield Finding("chat-moderator", version("chat-moderator"))
    yield Finding("python", f"{platform.python_version()} on {sys.platform} {platform.machine()}")
    found, needed = apsw.sqlitelibversion(), ".".join(map(str, MINIMUM_SQLITE))
    if tuple(int(part) for part in found.split(".")) < MINIMUM_SQLITE:
        yield Finding("sqlite", found, "can corrupt a database", f"pip install --upgrade 'apsw>={needed}'")
    else:
        yield Finding("sqlite", found)
    for name in LIBRARIES:
        try:
            yield Finding(name, version(name))
        except PackageNotFoundError:
            yield Finding(name, "missing", "is not installed", f"pip install {name}")


def _judging(settings: Settings) -> Iterator[Finding]:
    try:
        yield Finding("model", build_cascade(settings).version)
    except ChatModeratorError as problem:
        yield Finding("model", "none", str(problem), "correct cascade or classifiers in the settings")
    try:
        yield Finding("policy", build_policy(settings).version)
    except ChatModeratorError as problem:
        yield Finding("policy", "none", str(problem), "correct it in the settings")
    if config.threshold_from_environment():
        yield Finding("threshold", f"{settings.policy.threshold} from {config.THRESHOLD}, whatever the settings say")


async def _data(directory: Path, path: Path | None, settings: Settings) -> list[Finding]:
    if not (directory / FILE).exists():
        return [_unborn(directory), _address(settings, keys=False)]
    try:
        async with open_store(directory, shared=shared_by(path)) as store:
            served = isinstance(store, RemoteStore)
            stored = await _stored(store, directory, served=served)
            keys = await store.ask(AnyKey())
    except TimeoutError:
        stuck = f"process {owner(directory)} has it and does not answer"
        return [Finding("data", str(directory), stuck, "restart that process")]
    except ChatModeratorError as problem:
        cure = "see the message; a damaged database is replaced by `chat-moderator restore BACKUP`"
        return [Finding("data", str(directory), str(problem), cure), _address(settings, keys=True)]
    return stored if served else [*stored, _address(settings, keys=keys)]


async def _stored(store: Store, directory: Path, *, served: bool) -> list[Finding]:
    depth = await asyncio.wait_for(store.ask(AskDepth()), PATIENCE)
    holder = f"process {owner(directory)} serves it" if served else "no process serves it"
    integrity, outbox = await store.ask(CheckIntegrity()), await store.ask(OutboxDepth())
    age = depth.oldest.total_seconds()
    late, broken = served and age > SLOW, integrity != "ok"
    return [
        Finding("data", f"{directory}; {holder}"),
        Finding(
            "integrity",
            "broken" if broken else "ok",
            integrity if broken else "",
            "stop the server, then `chat-moderator restore BACKUP`" if broken else "",
        ),
        Finding(
            "queue",
            f"{depth.waiting:,} waiting, {depth.leased:,} in work, {depth.delayed:,} delayed",
            f"the oldest message waits for {age:,.0f} s" if late else "",
            "start `chat-moderator work` beside the server" if late else "",
        ),
        Finding("outbox", f"{outbox:,} actions to do"),
        Finding(
            "dead letters",
            f"{depth.dead:,}",
            "messages could not be processed" if depth.dead else "",
            "`chat-moderator dead-letters list` says why; then retry or drop" if depth.dead else "",
        ),
    ]


def _unborn(directory: Path) -> Finding:
    place = directory.absolute()
    if not place.exists():
        place = place.parent
    if not place.is_dir():
        return Finding("data", str(directory), f"{place} is not a directory", "create it, or give --data-dir another")
    if not os.access(place, os.W_OK | os.X_OK):
        return Finding("data", str(directory), f"{place} cannot be written", "give --data-dir another")
    return Finding("data", f"{directory}, empty until `chat-moderator serve` runs")


def _address(settings: Settings, *, keys: bool) -> Finding:
    """Whether `serve` could listen where the settings say."""
    host, port = settings.server.host, settings.server.port
    address = f"{host}:{port}"
    try:
        with contextlib.closing(bind(host, port)) as listener:
            reachable = not is_loopback(listener.getsockname()[0])
    except ConfigError as problem:
        return Finding("address", address, problem.problem, f"correct {problem.path}, or give serve another")
    if reachable and not keys:
        cure = "`chat-moderator keys create NAME --role admin`, or server.host 127.0.0.1"
        return Finding("address", address, "without a key only this machine may be served", cure)
    return Finding("address", address)
