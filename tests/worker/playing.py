"""Runs `checkpointing` in a process of its own: what a checkpoint has ruined may end whoever reads it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def play(folder: Path, column: str, steps: Sequence[str], *, guarded: bool = True) -> tuple[int, list[Any]]:
    """The exit status, and after each checkpoint the rows or what was raised."""
    done = _run(folder=str(folder), column=column, steps=list(steps), guarded=guarded)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def is_kept(folder: Path, column: str, seed: int, *, guarded: bool) -> tuple[bool, str]:
    """Whether random writes and checkpoints agree with a model, and what was said if not."""
    done = _run(folder=str(folder), column=column, seed=seed, rounds=12, guarded=guarded)
    return done.returncode == 0, done.stdout + done.stderr


def _run(**order: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.worker.checkpointing", json.dumps(order)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
