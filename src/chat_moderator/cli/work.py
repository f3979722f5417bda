"""`work`: a further process that judges what waits in the queue of a serving one."""

from chat_moderator.cli.options import DATA, ConfigOption, DataOption, settings_file


def work(data_dir: DataOption = DATA, config: ConfigOption = None) -> None:
    """Help a server to judge its queue.

    Runs beside a `serve` on the same data directory, until SIGTERM or Ctrl-C; the queue is the embedded one or a
    broker's. While nobody serves the directory it waits, and tries again with growing pauses. With a broker and the
    store postgres it needs no directory and runs on any machine.
    """
    import asyncio  # noqa: PLC0415

    from chat_moderator import interpreter, log  # noqa: PLC0415

    interpreter.one_core_for_arithmetic()
    from chat_moderator import config as configuration  # noqa: PLC0415
    from chat_moderator.cli.worker import WorkerProcess  # noqa: PLC0415

    path = settings_file(config)
    settings = configuration.read(path)
    log.configure(settings.log.format, settings.log.level)
    asyncio.run(WorkerProcess(settings, data_dir, path).run())
