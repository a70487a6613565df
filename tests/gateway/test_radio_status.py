"""What the status tells of the radio, and that an older server or gateway minds nothing of it."""

from pathlib import Path

import msgspec

from devices import wire
from gateway.ble.health import BOND_REFUSALS, RadioHealth
from gateway.ble.kernel import kernel_release
from gateway.clock import SystemClock
from gateway.health import Health, has_changed
from gateway.outbox import Outbox
from gateway.running import RadioShown

DEV = "ble-001122aabbcc"


def test_steps_restarts_and_lost_bonds_are_in_the_status(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite3", "6f9619ff-8b86-4d01-b42d-00cf4fc964ff")
    counts: dict[str, int] = {}
    radio = RadioHealth(counts=lambda: counts)
    health = Health(outbox=outbox, clock=SystemClock().read, radio=radio, data=tmp_path)
    before = health.status("online", None)
    counts.update(recovery_power=2, bluetoothd_restarts=1, early_values=7, blind_links=1)
    radio.no_links["bond_refused"] += BOND_REFUSALS
    for _ in range(BOND_REFUSALS):
        radio.bond_told(DEV, is_refused=True, is_good=False)
    now = health.status("online", None)
    assert now.radio == wire.Radio(
        state="absent",
        last_adv_s=None,
        resets=0,
        kernel=kernel_release(),
        recovery=wire.Recovery(power=2),
        bluetoothd_restarts=1,
        no_links={"bond_refused": BOND_REFUSALS},
        bond_lost=(DEV,),
        early_values=7,
        blind_links=1,
    )
    assert has_changed(before, now)
    assert not has_changed(now, health.status("online", None))
    told = msgspec.json.decode(msgspec.json.encode(now), type=wire.Status)
    assert told.radio == now.radio
    outbox.close()


def test_a_radio_of_before_is_still_read() -> None:
    told = b'{"state":"ok","last_adv_s":4,"resets":0}'
    radio = msgspec.json.decode(told, type=wire.Radio)
    assert radio == wire.Radio(state="ok", last_adv_s=4, resets=0)
    assert msgspec.json.encode(radio) == told, "what never happened is not sent"
    shown = RadioShown("ok", 0)
    assert msgspec.to_builtins(shown) == {"state": "ok", "resets": 0}
