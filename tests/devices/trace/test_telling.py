"""What is told of a trace: btmon's own, and ones in which each packet is known."""

from __future__ import annotations

import pytest

from devices.errors import TraceError
from devices.trace import btsnoop, text
from devices.trace.telling import Did, only_device, tell
from tests.devices.trace.fix_traces import (
    ADDRESS,
    BTMON,
    CUFF,
    EVENT,
    FOUND,
    HANDLE,
    IN,
    MEASURED,
    MONITOR,
    OUT,
    THERMOMETER,
    UART,
    UNWRAPPED,
    VALUE,
    advertised,
    connected,
    disconnected,
    encrypted,
    framed,
    ours,
    pieces,
    theirs,
    trace,
)

NIBP = "0aad7ea0-0d60-11e2-8e3c-0002a5d5c51b"


def told(*packets: tuple[int, bytes], kind: int = MONITOR) -> str:
    return "\n".join(text.lines(tell(trace(packets, kind))))


# btmon's --------------------------------------------------------------------------------------


def test_what_btmon_recorded() -> None:
    story = tell(BTMON.read_bytes())
    assert [device.address for device in story.devices] == [CUFF, THERMOMETER]
    assert (story.passed_over, story.others) == (0, 0)
    cuff, thermometer = story.devices
    assert (cuff.name, cuff.services) == ("A&D_UA-651BLE_V1", ("1810",))
    assert [len(cuff.links), len(thermometer.links)] == [3, 1]
    assert [service.uuid for service, _ in cuff.table.listed()] == [
        "1800",
        "1801",
        "1810",
        "180F",
        "180A",
    ]
    sent = [one.raw.hex() for link in cuff.links for one in link.happenings if one.did is Did.SENT]
    assert sent[0] == "1680004f005f00ea070b1611220542000000"
    assert [link.reason for link in cuff.links] == [0x13] * 3


def test_what_btmon_recorded_reads_like_a_conversation() -> None:
    lines = list(text.lines(tell(BTMON.read_bytes())))
    said = "\n".join(lines)
    for part in (
        f"Device {CUFF} (random address) “A&D_UA-651BLE_V1”",
        "talked with by profile a-and-d-blood-pressure",
        "0x0010 2A35 blood pressure: indicate",
        "we: asks to pair",
        "encrypted",
        "we subscribe to 2A35 blood pressure",
        "systolic 128 mm[Hg], diastolic 79 mm[Hg], mean 95 mm[Hg], pulse 66 /min, 2026-11-22",
        "– confirmed",
        "body temperature temperature 37.4 Cel",
        "the device hung up",
    ):
        assert part in said, part


def test_no_key_is_told() -> None:
    raw = BTMON.read_bytes()
    said = "\n".join(text.lines(tell(raw)))
    keys = [raw[at + 9 : at + 25] for at in range(len(raw) - 25) if raw[at : at + 3] == b"\x11\0\6"]
    assert keys, "the trace holds what the two sides exchanged"
    assert not any(key.hex(" ") in said or key.hex() in said for key in keys)


# Packet by packet -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [MONITOR, UNWRAPPED, UART])
@pytest.mark.parametrize("size", [1000, 27, 3])
def test_every_form_of_file_and_every_size_of_piece_tells_the_same(kind: int, size: int) -> None:
    value = pieces(IN, framed(bytes.fromhex(f"1D1200{VALUE}")), size)
    packets = [connected(), *FOUND, *ours("12 1300 0200"), *theirs("13"), *value, *ours("1E")]
    said = told(*packets, disconnected(), kind=kind)
    assert f"Device {ADDRESS} (random address)" in said
    assert "0x0012 2A35 blood pressure: indicate" in said
    assert f"0x0015 {NIBP} nonin oximetry: read, write" in said
    assert "we subscribe to 2A35 blood pressure" in said
    assert "systolic 128 mm[Hg], diastolic 82 mm[Hg]" in said
    assert "irregular_pulse, 2026-11-22 07:12:00 – confirmed" in said
    assert said.splitlines()[-1].endswith("the device hung up")


def test_long_values_are_put_together() -> None:
    read = [*ours("0A 1500"), *theirs("0B 0102"), *ours("0C 1500 0200"), *theirs("0D 0304")]
    written = [
        *ours("16 1500 0000 AABB"),
        *theirs("17 1500 0000 AABB"),
        *ours("16 1500 0200 CC"),
        *theirs("17 1500 0200 CC"),
        *ours("18 01"),
        *theirs("19"),
    ]
    given_up = [*ours("16 1500 0000 EE"), *theirs("17 1500 0000 EE"), *ours("18 00"), *theirs("19")]
    story = tell(trace([connected(), *FOUND, *read, *written, *given_up]))
    happened = story.devices[0].links[0].happenings
    assert [(one.did, one.raw.hex()) for one in happened] == [
        (Did.READ, "01020304"),
        (Did.WROTE, "aabbcc"),
    ]


def test_refusals_silence_and_doubts_are_said() -> None:
    said = told(
        connected(),
        *FOUND,
        *ours("0A 1500"),
        *theirs("01 0A 1500 0F"),
        *ours("12 1500 01"),
        *theirs("01 12 1500 80"),
        *ours("52 1500 02"),
        *ours("12 1300 0000"),
        *theirs("13"),
        *ours("0A 1700"),
        *theirs("0B 07"),
        *theirs("1D 1200 FF00"),
        *theirs("1B 1200"),
        *ours("12 1300 0200"),
        encrypted(0x05),
        *ours("02 F701"),
        *theirs("03 F701"),
        disconnected(0x08),
    )
    for part in (
        f"we read {NIBP} nonin oximetry: nothing – refused: only when encrypted (0x0F)",
        f"we write {NIBP} nonin oximetry: 01 (not read: bad_size) – refused: error (0x80)",
        f"we write {NIBP} nonin oximetry: 02 (not read: bad_size)\n",
        "we unsubscribe from 2A35 blood pressure\n",
        "we read handle 0x0017: 07\n",
        "device sends 2A35 blood pressure: ff 00 (not read: reserved_flags) – never confirmed",
        "device sends 2A35 blood pressure: nothing\n",
        "we subscribe to 2A35 blood pressure – never answered",
        "not encrypted, error 0x05",
        "device takes messages of 503 bytes",
        "lost: nothing heard any more",
    ):
        assert part in said, part


def test_a_trace_without_the_pairing_says_what_is_missing() -> None:
    said = told(connected(), *MEASURED)
    assert "its services were not asked for in this trace" in said
    assert f"device sends handle 0x0012: {bytes.fromhex(VALUE).hex(' ')} – confirmed" in said
    assert "the trace ends before the link" in said


def test_names_and_services_are_taken_from_several_packets() -> None:
    said = told(
        advertised("0201060303 1018"),
        advertised("09094265757265720041"),
        advertised("1107 1BC5D5A502003C8EE211600DA07EAD0A"),
        connected(),
    )
    assert "“Beurer·A”" in said, "what a terminal would obey is not printed"
    assert f"advertises 1810 blood pressure, {NIBP}" in said


def test_an_extended_report_is_heard_too() -> None:
    address = bytes.fromhex(ADDRESS.replace(":", ""))[::-1]
    data = bytes.fromhex("05 09 41424344".replace(" ", ""))
    report = b"\x13\0\1" + address + bytes(14) + bytes((len(data),)) + data
    body = b"\x0d\x01" + report
    assert "“ABCD”" in told((EVENT, bytes((0x3E, len(body))) + body), connected())


def test_links_that_others_made_are_counted_only() -> None:
    said = told(connected(role=1), encrypted(), *MEASURED, disconnected(), connected(status=0x3E))
    assert said.splitlines() == [
        "No link to a low-energy device is in this trace.",
        "1 links that others made to this side are left out.",
    ]


def test_what_cannot_be_read_is_counted_and_stops_nothing() -> None:
    broken = [
        (EVENT, b""),
        (EVENT, b"\x3e"),
        (EVENT, b"\x05\x04\0"),
        (IN, b"\x40\x20\xff"),
        (IN, b"\x40\x20\x09\0\x01"),
        *pieces(IN, framed(b"")),
        *pieces(IN, framed(bytes.fromhex("0900")), 1000),
        *pieces(IN, framed(bytes.fromhex("1100"))),
        *pieces(IN, framed(b"\x05", 6), 1000, handle=HANDLE + 1),
    ]
    story = tell(trace([connected(), *FOUND, *broken, *MEASURED]))
    assert story.passed_over == len(broken)
    (happened,) = (link.happenings for link in story.devices[0].links)
    assert [one.did for one in happened] == [Did.SUBSCRIBED, Did.SENT]


def test_the_devices_own_questions_are_not_told() -> None:
    packets = [connected(), *FOUND, *theirs("0A 0300"), *ours("0B 48656D6D61"), *theirs("1E")]
    assert tell(trace(packets)).devices[0].links[0].happenings == []


def test_two_adapters_are_kept_apart() -> None:
    first = trace([connected(), *FOUND, *MEASURED])
    # The same on another adapter: its number stands in the upper half of the flags.
    packets = first[16:]
    other, at = bytearray(packets), 0
    while at < len(other):
        size = int.from_bytes(other[at + 4 : at + 8])
        other[at + 9] = 1
        at += 24 + size
    story = tell(first + bytes(other))
    assert len(story.devices[0].links) == 2
    assert story.passed_over == 0


def test_what_one_file_found_holds_in_the_next() -> None:
    first, next_day = trace([connected(), *FOUND]), trace([connected(), *MEASURED, disconnected()])
    story = tell(first, next_day)
    links = story.devices[0].links
    assert [[one.did for one in link.happenings] for link in links] == [
        [],
        [Did.SUBSCRIBED, Did.SENT],
    ]
    # A link of the first file does not go on in the second.
    assert tell(first, trace(MEASURED)).passed_over == len(MEASURED)


def test_too_many_records_are_no_trace_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(btsnoop, "RECORDS_MAX", 3)
    with pytest.raises(TraceError, match="too_long"):
        tell(trace([connected(), *FOUND]))


def test_what_a_device_asks_or_answers_out_of_turn_changes_nothing() -> None:
    odd = [
        *theirs("0B 0102"),
        *theirs("13"),
        *theirs("01 0A 1500 0F"),
        *ours("1E"),
        *ours("1D 1200 00"),
        *ours("02 F701"),
        encrypted(),
        *pieces(IN, framed(b"\x06", 6)),
        *pieces(IN, framed(b"\x00", 7)),
        disconnected(),
        disconnected(),
        encrypted(),
        (EVENT, bytes((0x05, 4, 0x01, HANDLE, 0, 0x13))),
        (EVENT, bytes((0x13, 0))),
    ]
    (link,) = tell(trace([connected(), *FOUND, *odd])).devices[0].links
    assert [one.did for one in link.happenings] == [Did.ENCRYPTED]


def test_a_declaration_that_cannot_be_is_passed_over() -> None:
    packets = [connected(), *ours("08 0100 FFFF 0328"), *theirs("09 06 1100 20 1200 35")]
    assert tell(trace(packets)).passed_over == 1


def test_only_device() -> None:
    story = tell(BTMON.read_bytes())
    assert only_device(story, CUFF.lower()).address == CUFF
    with pytest.raises(TraceError, match="many_devices"):
        only_device(story)
    with pytest.raises(TraceError, match="no_device"):
        only_device(story, ADDRESS)


# Files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "truncated"),
        (b"btsnoop\0", "truncated"),
        (b"pcap" * 8, "no_btsnoop"),
        (b"btsnoop\0" + bytes((0, 0, 0, 2, 0, 0, 7, 0xD1)), "unknown_format"),
        (b"btsnoop\0" + bytes((0, 0, 0, 1, 0, 0, 0, 1)), "unknown_format"),
        (trace([])[:16] + b"\xff" * 24, "damaged"),
        (trace([(OUT, b"\0")])[:-1].replace(b"\0\0\0\1\0\0\0\1", b"\0\0\0\0\0\0\0\1"), "damaged"),
    ],
)
def test_what_is_no_trace(raw: bytes, reason: str) -> None:
    with pytest.raises(TraceError) as error:
        tell(raw)
    assert error.value.reason == reason


def test_a_time_that_cannot_be() -> None:
    raw = bytearray(trace([connected()]))
    raw[32:40] = b"\x7f" + b"\xff" * 7
    with pytest.raises(TraceError, match="damaged"):
        tell(bytes(raw))


def test_a_file_that_ends_in_the_middle_gives_what_is_whole() -> None:
    whole = trace([connected(), *FOUND, *MEASURED])
    for end in range(17, len(whole), 7):
        story = tell(whole[:end])
        assert story.passed_over == 0
    assert tell(whole[:-1]).devices[0].links[0].happenings[-1].confirmed_at is None
