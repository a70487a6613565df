"""The radio's side of the gateway, wired: on BlueZ with all that BlueZ needs, else on bleak alone.

On BlueZ one long-lived bus connection carries the agent, the subscriptions and the watch; whoever
must hear first that BlueZ is there is made first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from zoneinfo import ZoneInfo

import structlog

from gateway.ble.agent import Agent
from gateway.ble.bluez_bonding import BluezBonding
from gateway.ble.bonding import BleakBonding, Bonding
from gateway.ble.bus import SystemBus
from gateway.ble.health import RadioHealth
from gateway.ble.journal import Journal
from gateway.ble.kernel import is_too_old, kernel_release
from gateway.ble.link import Notes
from gateway.ble.listen import OnBluez, listen
from gateway.ble.pairing import Pairing
from gateway.ble.radio import Radio
from gateway.ble.recovery import Recovery, Step
from gateway.ble.subscriptions import Subscriptions
from gateway.ble.turn import Turn
from gateway.ble.watch import Watch
from gateway.clock import ClockReading
from gateway.control import Control
from gateway.outbox import Outbox
from gateway.paired import paired
from gateway.settings import Settings

log = structlog.get_logger("gateway.radio_side")


@dataclass(frozen=True, slots=True)
class RadioSide:
    """What runs: ``listening`` hangs up when it is cancelled; ``beside`` is cancelled after it.

    ``awaits_clock`` tells whether a device's clock may be read at any moment.
    """

    listening: asyncio.Task[None]
    beside: tuple[asyncio.Task[None], ...]
    awaits_clock: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class _Bluez:
    bus: SystemBus
    on: OnBluez
    bonding: Bonding


def start_radio_side(
    group: asyncio.TaskGroup,
    *,
    settings: Settings,
    outbox: Outbox,
    radio: Radio | None,
    journal: Journal,
    notes: Notes | None,
    clock: Callable[[], ClockReading],
    health: RadioHealth,
) -> RadioSide:
    """Start what listens and what enrols; ``radio`` is None for BlueZ."""
    turn = Turn()
    bluez = _bluez(settings, outbox, journal, health) if radio is None else None
    radio = radio or Radio()
    pairing = Pairing(
        radio=radio,
        bonding=BleakBonding(radio) if bluez is None else bluez.bonding,
        turn=turn,
        connection=outbox.connection,
        database=settings.database,
        hold=None if bluez is None else bluez.on.subscriptions.hold,
    )
    listening = listen(
        radio=radio,
        paired=lambda: paired(outbox.connection),
        journal=journal,
        clock=clock,
        health=health,
        zone=ZoneInfo(settings.timezone),
        turn=turn,
        bluez=None if bluez is None else bluez.on,
        notes=notes,
        has_room=outbox.has_room,
    )
    beside = [group.create_task(Control(settings.data, pairing).run(), name="control")]
    if bluez is not None:
        beside += [
            group.create_task(bluez.on.watch.run(), name="watch"),
            group.create_task(bluez.on.subscriptions.run(), name="subscriptions"),
            group.create_task(bluez.bus.run(), name="bus"),
        ]
    return RadioSide(
        listening=group.create_task(listening, name="listen"),
        beside=tuple(beside),
        awaits_clock=(
            (lambda _dev: False) if bluez is None else bluez.on.subscriptions.awaits_clock
        ),
    )


def _counts(on: OnBluez, agent: Agent) -> dict[str, int]:
    subscriptions, recovery = on.subscriptions.counts, on.recovery.counts
    return {
        **{f"recovery_{step.value}": recovery[step] for step in Step if step is not Step.SCAN},
        "bluetoothd_restarts": on.watch.counts["bluetoothd_restarts"],
        "adapter_lost": on.watch.counts["adapter_lost"],
        "early_values": subscriptions.early,
        "unkept_values": subscriptions.unkept,
        "blind_links": subscriptions.blind_links,
        "pairings_refused": agent.refused.total(),
    }


def _bluez(settings: Settings, outbox: Outbox, journal: Journal, health: RadioHealth) -> _Bluez:
    release = kernel_release()
    if is_too_old(release):
        log.error("kernel_too_old", release=release, remedy="Run Linux 6.6 or newer.")
    bus = SystemBus()
    # The order in which each hears that BlueZ is there: first who must answer it.
    agent = Agent(bus)
    subscriptions = Subscriptions(bus, paired=lambda: paired(outbox.connection), journal=journal)
    watch = Watch(bus)
    recovery = Recovery(watch, restart_bluetooth=settings.restart_bluetooth, reboot=settings.reboot)
    on = OnBluez(subscriptions, watch, recovery)
    health.counts = partial(_counts, on, agent)
    return _Bluez(bus, on, BluezBonding(bus, agent))
