"""A running guest: started, commanded, its words kept on this side, and ended with us.

QEMU emulates the processor. KVM is never asked for: where its file exists it may still not work,
and what then fails says nothing of why.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hemma.account import ends_with_us
from tests.ble.appliance.images import Image

PROGRAM: Final = "qemu-system-x86_64"
BOOT_TIMEOUT_S: Final = 90.0
"""Six seconds are usual; a machine with much else to do takes several times that."""
COMMAND_TIMEOUT_S: Final = 30.0
KERNEL_ARGUMENTS: Final = (
    "console=ttyS0 quiet mitigations=off nokaslr random.trust_cpu=on oops=continue"
)
LOG_TAIL_LINES: Final = 30
LINE_MAX_BYTES: Final = 1 << 20


class GuestFailed(Exception):
    """The guest did not start, died, or could not do what it was told."""


@dataclass(slots=True)
class Guest:
    """A guest and what it is reached by. ``hci`` is for Bumble, ``environment`` for the gateway.

    ``booted_s`` is how long it took until the guest could be commanded.
    """

    image: Image
    folder: Path
    port: int
    booted_s: float = 0.0
    _number: int = 0
    _reader: asyncio.StreamReader = field(init=False)
    _writer: asyncio.StreamWriter = field(init=False)
    _process: asyncio.subprocess.Process = field(init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def hci(self) -> str:
        """Bumble's word for the wire to the controller (:mod:`tests.ble.appliance.adapter`)."""
        return f"unix:{self.folder / 'hci'}"

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process needs in its environment to have this guest's BlueZ for its own."""
        return {
            "DBUS_SYSTEM_BUS_ADDRESS": f"tcp:host=127.0.0.1,port={self.port}",
            "BLEAK_DBUS_AUTH_UID": "0",
        }

    @property
    def trace(self) -> Path:
        """What ``btmon on`` records, in btsnoop's form; Wireshark and btmon read it."""
        return self.folder / "trace"

    @classmethod
    @asynccontextmanager
    async def boot(cls, image: Image, folder: Path) -> AsyncIterator[Guest]:
        """Start ``image`` and yield it when bluetoothd was started; without any adapter yet.

        ``folder`` is new and its path short: sockets lie there, and the guest's words. Raises
        GuestFailed.
        """
        guest = cls(image, folder, _free_port())
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(guest._end)
            began = asyncio.get_running_loop().time()
            await guest._start()
            guest.booted_s = asyncio.get_running_loop().time() - began
            yield guest

    async def command(self, words: str, *, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """Have the guest do something; returns what it said. Raises GuestFailed.

        ``bluetoothd start|stop|kill|restart|pause|continue|up|keep`` (keep: begun again where it
        ends by itself), ``btattach start|stop``,
        ``btmon on|off``, ``bus start|stop``, ``run SHELL COMMAND``; ``log`` and ``dmesg`` give what
        was said so far.
        """
        if words == "log":
            return self.log()
        async with self._turn:
            self._number += 1
            words = "run dmesg" if words == "dmesg" else words
            self._writer.write(f"{self._number} {words}\n".encode())
            try:
                async with asyncio.timeout(timeout_s):
                    code, said = await self._answer(self._number)
            except TimeoutError:
                raise GuestFailed(
                    f"{words}: no answer within {timeout_s} s.\n{self._tail()}"
                ) from None
        if code != 0:
            raise GuestFailed(f"{words}: exit code {code}\n{said}")
        return said

    def log(self) -> str:
        """What bluetoothd, the bus and the other programs of the guest have said."""
        return _text(self.folder / "log")

    def console(self) -> str:
        """What the kernel found important enough for its console, such as an oops."""
        return _text(self.folder / "console")

    async def _start(self) -> None:
        if shutil.which(PROGRAM) is None:
            raise GuestFailed(f"{PROGRAM} is not here: apt-get install qemu-system-x86")
        with (self.folder / "qemu").open("wb") as said:
            self._process = await asyncio.create_subprocess_exec(
                *ends_with_us(self._command_line(), signal_name="KILL"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                process_group=0,
            )
        try:
            async with asyncio.timeout(BOOT_TIMEOUT_S):
                await self._connect()
                await self._answer(0)
        except TimeoutError:
            raise GuestFailed(f"not up within {BOOT_TIMEOUT_S} s\n{self._tail()}") from None

    async def _connect(self) -> None:
        """Take the command port as soon as it is there; the guest must not find it empty."""
        while self._process.returncode is None:
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                self._reader, self._writer = await asyncio.open_unix_connection(
                    self.folder / "command", limit=LINE_MAX_BYTES
                )
                return
            await asyncio.sleep(0.02)
        raise GuestFailed(f"QEMU ended at once\n{self._tail()}")

    async def _answer(self, number: int) -> tuple[int, str]:
        """Read up to the answer of that number; returns its exit code and what was said."""
        said: list[str] = []
        while line := (await self._reader.readline()).decode(errors="replace"):
            if line.startswith(" "):
                said.append(line[1:])
            elif line.startswith("="):
                told, code = line[1:].split()
                if int(told) == number:
                    return int(code), "".join(said)
                said.clear()
        raise GuestFailed(f"the guest has ended\n{self._tail()}")

    async def _end(self) -> None:
        if not hasattr(self, "_process"):
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        if hasattr(self, "_writer"):
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()

    def _tail(self) -> str:
        lines = "\n".join(_text(self.folder / name) for name in ("qemu", "console", "log"))
        return "\n".join(lines.splitlines()[-LOG_TAIL_LINES:])

    def _command_line(self) -> list[str]:
        return [
            PROGRAM,
            *("-machine", "pc", "-accel", "tcg,thread=multi", "-cpu", "max"),
            *("-smp", "1", "-m", "256", "-nodefaults", "-no-user-config", "-no-reboot"),
            *("-display", "none", "-kernel", str(self.image.kernel)),
            *("-initrd", str(self.image.initrd), "-append", KERNEL_ARGUMENTS),
            *("-serial", f"file:{self.folder / 'console'}", "-device", "virtio-serial-pci"),
            *_socket_port("hci", self.folder, "virtconsole"),
            *_socket_port("command", self.folder, "virtserialport"),
            *_file_port("log", self.folder),
            *_file_port("trace", self.folder),
            # Nothing leaves the guest but through this one port of this machine's loopback.
            "-netdev",
            f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-10.0.2.15:5555",
            *("-device", "virtio-net-pci,netdev=net,romfile="),
        ]


def _socket_port(name: str, folder: Path, device: str) -> tuple[str, ...]:
    chardev = f"socket,id={name},path={folder / name},server=on,wait=off"
    named = f",name={name}" if device == "virtserialport" else ""
    return "-chardev", chardev, "-device", f"{device},chardev={name}{named}"


def _file_port(name: str, folder: Path) -> tuple[str, ...]:
    chardev = f"file,id={name},path={folder / name}"
    return "-chardev", chardev, "-device", f"virtserialport,chardev={name},name={name}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
