"""No process outlives its test, whatever became of that."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.platforms import Moderated


@pytest.fixture(autouse=True)
def ends_processes() -> Iterator[None]:
    yield
    while Moderated.started:
        running = Moderated.started.pop()
        if running.process.poll() is None:
            running.kill()
