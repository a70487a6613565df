"""What a conversation wants remembered of a device: across restarts, and without filling up."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from devices import wire
from devices.conversation import Consent
from gateway.consents import write_consent
from gateway.device_notes import DeviceNotes
from gateway.outbox import Outbox
from gateway.paired import PairedDevice, pair
from gateway.storage import MIGRATIONS
from tests.gateway.fix_home import CUFF, KERNEL_BOOT, Home, make_home, written_items

OTHER = "ble-c0ffee000002"


def notes_of(home: Home) -> DeviceNotes:
    return DeviceNotes(outbox=home.outbox, clock=home.clock.read, uplink_bell=home.bell)


def test_how_far_records_are_kept_outlives_a_restart(tmp_path: Path, home: Home) -> None:
    notes = notes_of(home)
    assert notes.last_sequence(CUFF, "2A18") is None
    assert notes.proof(CUFF, "2A18") is None
    notes.sequence(CUFF, "2A18", 7, b"seven")
    notes.sequence(CUFF, "2AA7", 3)
    notes.sequence(CUFF, "2A18", 9, b"nine")
    home.outbox.close()
    again = notes_of(make_home(tmp_path / "outbox.sqlite3"))
    assert (again.last_sequence(CUFF, "2A18"), again.proof(CUFF, "2A18")) == (9, b"nine")
    assert (again.last_sequence(CUFF, "2AA7"), again.proof(CUFF, "2AA7")) == (3, None)
    assert again.last_sequence(OTHER, "2A18") is None
    again.sequence(CUFF, "2A18", None)
    assert again.last_sequence(CUFF, "2A18") is None
    assert again.last_sequence(CUFF, "2AA7") == 3


def test_an_event_travels_with_the_devices_name(home: Home) -> None:
    pair(home.outbox.connection, PairedDevice("C0:FF:EE:00:00:01", "UA-651BLE", "sig-weight"))
    notes_of(home).event(CUFF, "records_missing", "3 of 12 records")
    (item,) = written_items(home)
    assert (item.type, item.event, item.dev, item.model) == (
        "event",
        "records_missing",
        CUFF,
        "UA-651BLE",
    )
    assert item.ctx == {"detail": "3 of 12 records"}
    assert wire.fault_of(item) is None
    assert home.bell.is_set()


def test_the_same_fact_within_the_hour_is_counted_and_the_next_one_says_so(home: Home) -> None:
    notes = notes_of(home)
    for _ in range(4):
        notes.event(CUFF, "unknown_user", "user 255")
    notes.event(OTHER, "unknown_user", "user 255")
    notes.event(CUFF, "records_missing", "1 of 2 records")
    assert [(item.dev, item.event) for item in written_items(home)] == [
        (CUFF, "unknown_user"),
        (OTHER, "unknown_user"),
        (CUFF, "records_missing"),
    ]
    home.clock.push(3600)
    notes.event(CUFF, "unknown_user", "user 255")
    assert written_items(home)[-1].ctx == {"detail": "user 255", "also_times": 3}


def test_another_detail_is_another_fact(home: Home) -> None:
    notes = notes_of(home)
    notes.event(CUFF, "records_missing", "1 of 2 records")
    notes.event(CUFF, "records_missing", "2 of 2 records")
    assert len(written_items(home)) == 2


def test_who_the_person_is_to_a_device_can_be_said_and_unsaid(home: Home) -> None:
    notes = notes_of(home)
    assert notes.consent(CUFF) is None
    write_consent(home.outbox.connection, CUFF, Consent(2, 1234))
    assert notes.consent(CUFF) == Consent(2, 1234)
    write_consent(home.outbox.connection, CUFF, None)
    assert notes.consent(CUFF) is None


def test_a_full_outbox_costs_notes_but_raises_nothing(tmp_path: Path) -> None:
    home = make_home(tmp_path / "small.sqlite3", quota_bytes=256 * 1024)
    notes = notes_of(home)
    for number in range(2000):
        notes.event(CUFF, "records_missing", f"{number} " + "x" * 190)
    assert home.outbox.refused > 0
    notes.sequence(CUFF, "2A18", 1)
    assert notes.last_sequence(CUFF, "2A18") == 1
    home.outbox.close()


def test_a_full_disk_costs_a_note_but_raises_nothing(tmp_path: Path) -> None:
    home = make_home(tmp_path / "small.sqlite3", quota_bytes=256 * 1024)
    notes = notes_of(home)
    for number in range(5000):
        notes.sequence(f"{CUFF}-{number}", "2A18", number, b"x" * 500)
    assert notes.last_sequence(f"{CUFF}-0", "2A18") == 0
    assert notes.last_sequence(f"{CUFF}-4999", "2A18") is None
    home.outbox.close()


def test_a_long_detail_is_cut_to_what_may_travel(home: Home) -> None:
    notes_of(home).event(CUFF, "consent_refused", "x" * 500)
    (item,) = written_items(home)
    assert item.ctx == {"detail": "x" * 200}


def test_file_of_version_2_is_brought_up_with_its_devices(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    old = sqlite3.connect(path, isolation_level=None)
    for version, statements in enumerate(MIGRATIONS[:2], start=1):
        old.executescript(f"BEGIN; {statements} PRAGMA user_version={version}; COMMIT;")
    old.execute(
        "INSERT INTO device (dev, battery, last_seen) VALUES (?, 80, '2026-01-01T00:00:00.000Z')",
        (CUFF,),
    )
    old.close()
    outbox = Outbox(path, KERNEL_BOOT)
    assert outbox.connection.execute("SELECT battery FROM device").fetchone()[0] == 80
    assert outbox.connection.execute("SELECT count(*) FROM records_kept").fetchone()[0] == 0
    assert outbox.connection.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
    outbox.close()
