"""Runs a manage.py command in the background while a test reads its output and signals it."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Self

from tests.support.deployment import ROOT, Stack


class Running(subprocess.Popen[str]):
    """A Python process in the project's root; the kernel kills it when this process ends."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str]) -> None:
        command = ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, *arguments]
        pipe = subprocess.PIPE
        super().__init__(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.kill()
        self.wait()

    def line(self) -> str:
        """Wait for the next line of its stdout."""
        assert self.stdout is not None
        return self.stdout.readline()

    def tell(self, text: str) -> None:
        """Write a line to its stdin."""
        assert self.stdin is not None
        self.stdin.write(f"{text}\n")
        self.stdin.flush()

    def end(self, signum: signal.Signals = signal.SIGTERM) -> tuple[str, str]:
        """Send the signal and return the result of `finished`."""
        self.send_signal(signum)
        return self.finished()

    def finished(self, seconds: float = 120) -> tuple[str, str]:
        """Wait for the end and check that the exit code is 0; returns the rest of stdout and stderr."""
        assert self.stdout is not None
        assert self.stderr is not None
        status = self.wait(seconds)
        out, err = self.stdout.read(), self.stderr.read()
        assert status == 0, out + err
        return out, err


def start(stack: Stack, *arguments: str, **variables: str) -> Running:
    """Start a manage.py command on the servers of the stack."""
    return Running(["manage.py", *arguments], stack.environment | variables)
