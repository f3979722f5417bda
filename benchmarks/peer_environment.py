"""Runs the peers in an environment that the project's own does not share: torch and transformers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ENVIRONMENT = Path(".venv-peer")


def ask_peer(script: str, *arguments: str, lines: list[str]) -> dict[str, Any]:
    """What a peer, one of the scripts beside this one, says about the lines; its environment is made when missing."""
    folder = Path(__file__).parent
    python = environment(ENVIRONMENT, folder / "peer-requirements.txt")
    # -P: this folder has modules that are named as libraries are.
    command = [str(python), "-P", str(folder / script), *arguments]
    done = subprocess.run(command, input=json.dumps(lines), text=True, stdout=subprocess.PIPE, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def environment(place: Path, requirements: Path, *options: str) -> Path:
    """The interpreter of a virtual environment, made when missing; `options` go to pip."""
    python = place / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", *options, "--requirement", str(requirements)]
        subprocess.run(install, check=True)
    return python
