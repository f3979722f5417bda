"""`doctor`: what is installed, how things stand, and how to mend what is wrong."""

import contextlib
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from chat_moderator.cli.options import DATA, ConfigOption, DataOption, JsonOption, settings_file
from chat_moderator.cli.output import show, table, write_lines
from chat_moderator.errors import ChatModeratorError, ConfigError
from chat_moderator.printable import printable
from chat_moderator.types import Struct

if TYPE_CHECKING:
    from chat_moderator.config import Settings
    from chat_moderator.store.database import Store

LIBRARIES: Final = ("apsw", "litestar", "msgspec", "numpy", "uvicorn")
SLOW: Final = 60.0
"""Seconds that the oldest message may wait while a server runs."""

PATIENCE: Final = 5.0
"""Seconds that the serving process may take to say how full its queue is."""

TO_FIX: Final = 1


class Finding(Struct, frozen=True):
    """One thing looked at: `problem` and `cure` are empty when it is well."""

    name: str
    value: str
    problem: str = ""
    cure: str = ""


def doctor(data_dir: DataOption = DATA, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Say how things stand and how to mend them.

    Shows versions, settings, model, queue and whose the data is, and beside each problem what to do.
    Exits with 0 when all is well, 1 when there is something to fix.
    """
    import asyncio  # noqa: PLC0415

    from chat_moderator import config as configuration  # noqa: PLC0415

    findings = list(_versions())
    settings: Settings | None = None
    path = settings_file(config)
    try:
        settings = configuration.read(path)
        findings.append(Finding("settings", str(path or "built-in")))
    except ConfigError as problem:
        findings.append(Finding("settings", str(path or "environment"), str(problem), "correct it there"))
    if settings is not None:
        findings += _judging(settings)
    findings += asyncio.run(_data(data_dir, settings or configuration.Settings()))
    ailing = any(finding.problem for finding in findings)
    if json:
        write_lines(findings)
    else:
        _show(findings)
    raise typer.Exit(TO_FIX if ailing else 0)


def _versions() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    import apsw  # noqa: PLC0415

    from chat_moderator.store.database import MINIMUM_SQLITE  # noqa: PLC0415

    yield Finding("chat-moderator", version("chat-moderator"))
    yield Finding("python", f"{platform.python_version()} on {sys.platform} {platform.machine()}")
    found = apsw.sqlitelibversion()
    if tuple(int(part) for part in found.split(".")) < MINIMUM_SQLITE:
        needed = ".".join(map(str, MINIMUM_SQLITE))
        yield Finding("sqlite", found, "can corrupt a database", f"pip install --upgrade 'apsw>={needed}'")
    else:
        yield Finding("sqlite", found)
    for name in LIBRARIES:
        try:
            yield Finding(name, version(name))
        except PackageNotFoundError:
            yield Finding(name, "missing", "is not installed", f"pip install {name}")


def _judging(settings: "Settings") -> Iterator[Finding]:
    from chat_moderator.app import build_cascade, build_policy  # noqa: PLC0415
    from chat_moderator.config import THRESHOLD, threshold_from_environment  # noqa: PLC0415

    try:
        yield Finding("model", build_cascade(settings).version)
    except ChatModeratorError as problem:
        yield Finding("model", "none", str(problem), "correct cascade or classifiers in the settings")
    try:
        yield Finding("policy", build_policy(settings).version)
    except ChatModeratorError as problem:
        yield Finding("policy", "none", str(problem), "correct it in the settings")
    if threshold_from_environment():
        yield Finding("threshold", f"{settings.policy.threshold} from {THRESHOLD}, whatever the settings say")


async def _data(directory: Path, settings: "Settings") -> list[Finding]:
    from chat_moderator.cli.stores import open_store, owner  # noqa: PLC0415
    from chat_moderator.store.database import FILE  # noqa: PLC0415
    from chat_moderator.store.socket import RemoteStore  # noqa: PLC0415

    file = directory / FILE
    if not file.exists():
        return [_unborn(directory), _address(settings, served=False, keys=False)]
    findings = []
    try:
        async with open_store(directory) as store:
            served = isinstance(store, RemoteStore)
            holder = f"process {owner(directory)} serves it" if served else "no process serves it"
            findings.append(Finding("data", f"{directory}, {file.stat().st_size:,} bytes; {holder}"))
            findings += await _stored(store, served=served)
            keys = await _any_key(store)
        return [*findings, _address(settings, served=served, keys=keys)]
    except TimeoutError:
        stuck = f"process {owner(directory)} has it and does not answer"
        findings.append(Finding("data", str(directory), stuck, "restart that process"))
        return [*findings[:-2], findings[-1], _address(settings, served=True, keys=True)]
    except ChatModeratorError as problem:
        cure = "see the message; a damaged database is replaced by `chat-moderator restore BACKUP`"
        damaged = Finding("data", str(directory), str(problem), cure)
        return [*findings, damaged, _address(settings, served=False, keys=True)]


async def _any_key(store: "Store") -> bool:
    from chat_moderator.store.keys import AnyKey  # noqa: PLC0415

    return await store.ask(AnyKey())


async def _stored(store: "Store", *, served: bool) -> list[Finding]:
    import asyncio  # noqa: PLC0415

    from chat_moderator.store.intake import AskDepth  # noqa: PLC0415
    from chat_moderator.store.outbox import OutboxDepth  # noqa: PLC0415
    from chat_moderator.store.retention import CheckIntegrity  # noqa: PLC0415

    depth = await asyncio.wait_for(store.ask(AskDepth()), PATIENCE)
    integrity = await store.ask(CheckIntegrity())
    broken = integrity != "ok"
    outbox = await store.ask(OutboxDepth())
    age = depth.oldest.total_seconds()
    late = served and age > SLOW
    return [
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
    place = directory
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return Finding("data", str(directory), f"{place} cannot be written", "name another with --data-dir")
    return Finding("data", f"{directory}, empty until `chat-moderator serve` runs")


def _address(settings: "Settings", *, served: bool, keys: bool) -> Finding:
    from chat_moderator.gateway.auth import is_loopback  # noqa: PLC0415
    from chat_moderator.gateway.server import bind  # noqa: PLC0415

    host, port = settings.server.host, settings.server.port
    address = f"{host}:{port}"
    if served:
        return Finding("address", address)
    try:
        with contextlib.closing(bind(host, port)) as listener:
            reachable = not is_loopback(listener.getsockname()[0])
    except ConfigError as problem:
        return Finding("address", address, problem.problem, f"correct {problem.path}, or give serve another")
    if reachable and not keys:
        cure = "`chat-moderator keys create NAME --role admin`, or server.host 127.0.0.1"
        return Finding("address", address, "without a key only this machine may be served", cure)
    return Finding("address", address)


def _show(findings: list[Finding]) -> None:
    made = table("", "", "what to do")
    made.show_header = any(finding.cure for finding in findings)
    for finding in findings:
        value = f"{finding.value}: {finding.problem}" if finding.problem else finding.value
        made.add_row(finding.name, printable(value), printable(finding.cure), style="yellow" if finding.problem else "")
    count = sum(bool(finding.problem) for finding in findings)
    show(made, f"{count} to fix" if count else "all is well")
