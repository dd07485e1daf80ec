# SPDX-License-Identifier: GPL-2.0-only
"""What the host-side tests share: where things are, and how a command ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))


class Done:
    """How a command ended, and all that it printed."""

    def __init__(self, status, output):
        self.status, self.output = status, output


@pytest.fixture
def run():
    """Returns a function that runs a command; status is what it has to end with."""

    def run_command(*command, status=0, env=None, **more):
        done = subprocess.run(
            [str(word) for word in command],
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
            **more,
        )
        print(done.stdout)
        assert done.returncode == status, command
        return Done(done.returncode, done.stdout)

    return run_command
