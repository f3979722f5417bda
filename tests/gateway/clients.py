"""Clients that other people wrote, in processes or threads of their own."""

import asyncio
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(__file__).parent / "node"


async def node(script: str, environment: Mapping[str, str]) -> list[Any]:
    """What a script of `tests/gateway/node` printed, a JSON object a line; the packages are installed on first use."""
    await asyncio.to_thread(subprocess.run, [ROOT / "scripts/node"], check=True, stdout=subprocess.DEVNULL)
    process = await asyncio.create_subprocess_exec(
        "node",
        str(SCRIPTS / script),
        env=os.environ | {"NODE_PATH": str(ROOT / ".venv/node/node_modules")} | dict(environment),
        stdout=subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    return [json.loads(line) for line in output.splitlines()]
