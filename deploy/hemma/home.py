"""The virtual home's process as the demo sees it: tell it to measure, hear what became of that."""

import asyncio
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from hemma.children import Child, start_child
from hemma.errors import ServerFailedError

READY_TIMEOUT_S: Final = 20.0


@dataclass(slots=True)
class Home:
    """One invented home. Run `listen` in a task of its own; everything else waits for it.

    `queued`, `stored` and `seen` hold the uids of values in the order in which the gateway said so.
    """

    child: Child
    queued: list[str] = field(default_factory=list)
    stored: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _delivered: dict[int, float | None] = field(default_factory=dict)
    _is_ready: bool = False
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @classmethod
    async def start(cls, environment: Mapping[str, str], log: Path) -> Self:
        """Start the process; it is ready when `ready` returns."""
        command = [sys.executable, "-m", "hemma.virtual_home"]
        child = await start_child(
            "The virtual home", command, environment=environment, log=log, talks=True
        )
        return cls(child)

    async def listen(self) -> None:
        """Take in what the process says until it ends; raises ServerFailedError then."""
        stream = self.child.process.stdout
        assert stream is not None, "the process was started to talk"
        while line := await stream.readline():
            async with self._changed:
                self._note(json.loads(line))
                self._changed.notify_all()
        await self.child.process.wait()
        raise self.child.died()

    async def ready(self) -> None:
        """Wait until the gateway runs and its devices are paired."""
        await self.until(lambda: self._is_ready, timeout_s=READY_TIMEOUT_S, what="home is ready")

    async def measure(
        self, device: str, values: Mapping[str, float], *, timeout_s: float = 60.0
    ) -> float:
        """Measure, and return when the device was told that its value arrived.

        The time is on the machine's monotonic clock, in seconds. Raises ServerFailedError when the
        gateway did not fetch the value.
        """
        number = await self.begin(device, values)
        await self.until(
            lambda: number in self._delivered, timeout_s=timeout_s, what=f"{device} delivered"
        )
        confirmed_s = self._delivered[number]
        if confirmed_s is None:
            raise ServerFailedError(f"The {device}'s value was not fetched", self.child.log_tail())
        return confirmed_s

    @property
    def delivered(self) -> int:
        """How many measurements a device was told to have arrived."""
        return sum(confirmed_s is not None for confirmed_s in self._delivered.values())

    async def begin(self, device: str, values: Mapping[str, float]) -> int:
        """Start a measurement without waiting for it; return its number."""
        number = next(self._numbers)
        command = {"do": "measure", "id": number, "device": device, "values": dict(values)}
        stream = self.child.process.stdin
        assert stream is not None, "the process was started to talk"
        stream.write(json.dumps(command).encode() + b"\n")
        await stream.drain()
        return number

    async def until(self, holds: Callable[[], bool], *, timeout_s: float, what: str) -> None:
        """Wait until `holds()`; raises ServerFailedError after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(holds)
        except TimeoutError as error:
            message = f"Waited {timeout_s:.0f} s in vain: {what}"
            raise ServerFailedError(message, self.child.log_tail()) from error

    def _note(self, told: Mapping[str, Any]) -> None:
        match told["event"]:
            case "ready":
                self._is_ready = True
            case "queued" if not told.get("duplicate"):
                self.queued.append(told["uid"])
            case "stored":
                self.stored.add(told["uid"])
            case "seen":
                self.seen.add(told["uid"])
            case "nacked":
                self.refused.append(told["uid"])
            case "indication":
                self._delivered[told["id"]] = told["confirmed_mono_s"]
