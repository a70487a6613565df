"""Processes that the demo starts: their log, their end, and what is left to say when they die."""

import asyncio
import contextlib
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hemma.account import ends_with_us
from hemma.errors import ServerFailedError

STOP_TIMEOUT_S: Final = 12.0  # a role stops within 10 s; then it is killed
LOG_TAIL_LINES: Final = 25
LINE_MAX_BYTES: Final = 1_048_576


@dataclass(slots=True)
class Child:
    """One process of ours. Standard output is ours to read when it `talks`, else in the log."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    def log_tail(self) -> str:
        """Return the last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])

    def died(self) -> ServerFailedError:
        """Return the error that says that it ended by itself, with the end of its log."""
        code = self.process.returncode
        return ServerFailedError(f"{self.name} ended by itself (code {code})", self.log_tail())

    async def watch(self) -> None:
        """Wait for its end and raise ServerFailedError; cancel this before stopping it."""
        await self.process.wait()
        raise self.died()

    async def stop(self) -> None:
        """Ask it to end, wait, and kill it when it does not."""
        if self.process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()


async def start_child(
    name: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    talks: bool = False,
) -> Child:
    """Start a process that a Ctrl-C on our terminal does not reach, and that ends when we die."""
    pipe = asyncio.subprocess.PIPE if talks else None
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *ends_with_us(command),
            env=environment,
            stdin=pipe or asyncio.subprocess.DEVNULL,
            stdout=pipe or file,
            stderr=file,
            process_group=0,
            limit=LINE_MAX_BYTES,
        )
    return Child(name, process, log)
