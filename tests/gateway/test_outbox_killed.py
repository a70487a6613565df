"""The outbox killed at each step (kill -9): nothing journaled is lost or numbered twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from devices import wire
from tests.gateway.fix_home import KERNEL_BOOT, make_home

# Runs one step after another and dies without warning before or inside the step named last.
VICTIM = """
import os, signal, sys
from pathlib import Path
import gateway.outbox
from tests.gateway.fix_home import cuff_value, make_home

path, victim = Path(sys.argv[1]), sys.argv[2]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

home = make_home(path)
for systolic in (150, 151):
    home.journal.append(
        dev="ble-c0ffee000001", model="m", characteristic="2A35", raw=cuff_value(systolic)
    )
    print("journaled", flush=True)
if victim == "journaled":
    die()
if victim == "inside_settle":
    gateway.outbox.note_device = lambda *_: die()
home.intake.take_all()
if victim == "settled":
    die()
now_ms = home.clock.read().mono_ms
rows = home.outbox.fresh(now_ms=now_ms, limit=9)
home.outbox.mark_sent(rows, msg="m", now_ms=now_ms, next_try_ms=[now_ms] * len(rows))
if victim == "sent":
    die()
home.outbox.mark_left_home("m")
if victim == "left_home":
    die()
home.outbox.mark_stored(home.outbox.boot, [(1, 1)], at=home.clock.read().utc)
die()
"""


@pytest.mark.parametrize(
    ("victim", "stored"),
    [
        ("journaled", 0),
        ("inside_settle", 0),
        ("settled", 0),
        ("sent", 0),
        ("left_home", 0),
        ("stored", 1),
    ],
)
def test_killed_between_any_two_steps(tmp_path: Path, victim: str, stored: int) -> None:
    path = tmp_path / "outbox.sqlite3"
    ended = subprocess.run(
        [sys.executable, "-c", VICTIM, str(path), victim],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == -9, ended.stderr
    assert ended.stdout.splitlines().count("journaled") == 2
    home = make_home(path)
    home.intake.take_all()
    counts = home.outbox.counts()
    assert (counts.journal, counts.open, counts.stored) == (0, 2 - stored, stored)
    items = [
        wire.decode_item(bytes(row["item"]))
        for row in home.outbox.connection.execute("SELECT item FROM outbox ORDER BY seq")
    ]
    assert [item.seq for item in items] == [1, 2]
    assert [item.samples[0].value for item in items] == [150, 151]
    home.measure(152)
    assert home.told("queued")[-1] == 3
    home.outbox.close()


def test_same_boot_after_the_kill(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite3"
    boots = []
    for _ in range(2):
        home = make_home(path, KERNEL_BOOT)
        boots.append(home.outbox.boot)
        home.outbox.close()
    assert boots[0] == boots[1]
