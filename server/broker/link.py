"""What paho takes for its socket: one read and one write of the real one for many packets.

paho asks its socket two or three times for each packet, and writes each by itself. Here it is
served from memory, and gets only the packets that are its own; PUBLISH and PUBACK go to the caller
of :meth:`Link.receive`. What is sent is collected until :meth:`Link.flush`.

Plain TCP: the settings know no other way to the broker, which is on the server's own net.
"""

from __future__ import annotations

import socket
from typing import Any

from paho.mqtt import client as mqtt

from server.broker.packets import KIND_MASK, PUBACK, PUBLISH, Frame, MalformedPacketError, split

# Of one read: some hundred single values, after which others have their turn.
READ_MAX_BYTES = 64 * 1024


class Link:
    """One connection; made where paho would make its socket (:class:`LinkedClient`)."""

    def __init__(self, opened: socket.socket) -> None:
        # Small packets at once: an acknowledgement is the lamp in somebody's home.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = opened
        self._begun = b""
        self._for_paho = bytearray()
        self._unsent = bytearray()
        self._failure: OSError | None = None

    def recv(self, size: int) -> bytes:
        """Give paho what is its own; raises what ended the connection when all that is read."""
        if not self._for_paho:
            raise self._failure or BlockingIOError
        given = bytes(self._for_paho[:size])
        del self._for_paho[:size]
        return given

    def send(self, data: bytes | bytearray) -> int:
        """Take all of ``data``, to be sent by :meth:`flush`."""
        self._unsent += data
        return len(data)

    def pending(self) -> bool:
        """Return whether there is something for paho to read, be it the end."""
        return bool(self._for_paho) or self._failure is not None

    def close(self) -> None:
        """Close, after what the network takes at once of what is still to be sent."""
        self.flush()
        self._socket.close()

    def fileno(self) -> int:
        """Return the real socket's number, for the event loop."""
        return self._socket.fileno()

    def setblocking(self, flag: bool) -> None:
        """Do as the real socket does."""
        self._socket.setblocking(flag)

    def receive(self) -> tuple[bytes, list[Frame]]:
        """Read once; return the data with where its PUBLISH and PUBACK packets are.

        What ends the connection is kept for paho to find.
        """
        try:
            read = self._socket.recv(READ_MAX_BYTES)
        except BlockingIOError:
            return b"", []
        except OSError as error:
            self.fail(error)
            return b"", []
        if not read:
            self.fail(ConnectionResetError("the broker closed the connection"))
        data = self._begun + read
        try:
            frames, used = split(data)
        except MalformedPacketError as error:
            self.fail(error)
            return b"", []
        self._begun = data[used:]
        return data, [frame for frame in frames if not self._is_pahos(data, frame)]

    def _is_pahos(self, data: bytes, frame: Frame) -> bool:
        first, start, _, end = frame
        if first & KIND_MASK in (PUBLISH, PUBACK):
            return False
        self._for_paho += data[start:end]
        return True

    def flush(self) -> bool:
        """Send what the network takes now; return whether that is all."""
        if self._failure is not None:
            self._unsent.clear()
        if not self._unsent:
            return True
        try:
            del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            return False
        except OSError as error:
            self.fail(error)
        return not self._unsent

    def fail(self, error: OSError) -> None:
        """Let paho find ``error`` when it reads next; the first one counts."""
        self._failure = self._failure or error


class LinkedClient(mqtt.Client):
    """paho's client on a :class:`Link`.

    paho has no public way to give it a socket. ``_create_socket`` is where it makes one of its own
    kinds; should it go by another name one day, no connection is made and the tests say so.
    """

    def _create_socket(self) -> Any:
        opened = super()._create_socket()
        assert isinstance(opened, socket.socket), "neither websockets nor a proxy are asked for"
        return Link(opened)
