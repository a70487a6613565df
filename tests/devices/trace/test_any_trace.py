"""Whatever stands in a file: it is told, or refused with a reason."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from devices.errors import TraceError
from devices.trace import recording, text
from devices.trace.telling import tell
from tests.devices.trace.fix_traces import (
    BTMON,
    COMMAND,
    EVENT,
    FOUND,
    IN,
    MEASURED,
    MONITOR,
    OUT,
    UART,
    UNWRAPPED,
    connected,
    disconnected,
    framed,
    pieces,
    trace,
)

KINDS = st.sampled_from([MONITOR, UNWRAPPED, UART])
WHOLE = BTMON.read_bytes()
SHORT = trace([connected(), *FOUND, *MEASURED, disconnected()])


def read(raw: bytes) -> None:
    with suppress(TraceError):
        story = tell(raw)
        assert list(text.lines(story))
        assert text.fields(story)
        for device in story.devices:
            made = recording.record(device)
            assert recording.decode(recording.encode(made)) == made


@given(st.binary(max_size=200))
def test_any_bytes(raw: bytes) -> None:
    read(raw)


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=6), st.booleans())
def test_traces_with_changed_bytes(changes: list[tuple[int, int]], is_whole: bool) -> None:
    raw = bytearray(WHOLE if is_whole else SHORT)
    for at, byte in changes:
        raw[at % len(raw)] = byte
    read(bytes(raw))


@given(
    KINDS,
    st.lists(st.tuples(st.sampled_from([COMMAND, EVENT, OUT, IN]), st.binary(max_size=40))),
)
def test_any_packets(kind: int, packets: list[tuple[int, bytes]]) -> None:
    read(trace([connected(), *FOUND, *packets, *MEASURED], kind))


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([4, 6]), st.binary(max_size=30))))
def test_any_messages(said: list[tuple[bool, int, bytes]]) -> None:
    packets = [
        one
        for is_ours, channel, raw in said
        for one in pieces(OUT if is_ours else IN, framed(raw, channel), 11)
    ]
    read(trace([connected(), *FOUND, *packets, *MEASURED, disconnected()]))
