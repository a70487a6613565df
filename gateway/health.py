"""How the gateway is: the retained ``status`` and the will."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from devices import wire
from gateway.ble.health import RadioHealth
from gateway.ble.kernel import kernel_release
from gateway.clock import ClockReading, moment_of
from gateway.outbox import Outbox

TEMPERATURE_PATH = Path("/sys/class/thermal/thermal_zone0/temp")
MILLIDEGREES = 1000
RADIO_COUNTS = (
    "bluetoothd_restarts",
    "adapter_lost",
    "early_values",
    "unkept_values",
    "blind_links",
)
"""Counted where the radio is wired (:mod:`gateway.radio_side`), and sent by the same names."""


class Health:
    """Gathers the status. ``radio`` is None where this gateway runs without a radio."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        clock: Callable[[], ClockReading],
        radio: RadioHealth | None,
        data: Path,
        temperature_path: Path = TEMPERATURE_PATH,
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._radio = radio
        self._data = data
        self._temperature_path = temperature_path
        self._software = software()
        self._kernel = kernel_release()

    def status(
        self,
        state: Literal["online", "offline"],
        reason: Literal["will", "shutdown", "update", "power"] | None,
    ) -> wire.Status:
        """Return the status now; ``reason`` says why we are offline."""
        reading, counts = self._clock(), self._outbox.counts()
        return wire.Status(
            v=wire.VERSION,
            t=reading.utc,
            state=state,
            reason=reason,
            boot=self._outbox.boot,
            sw=self._software,
            outbox=counts.open,
            oldest=counts.oldest,
            quarantine=counts.rejected,
            radio=self._radio_state(reading.mono_ms / 1000),
            clock=reading.quality,
            disk_free=shutil.disk_usage(self._data).free,
            temp_c=temperature_c(self._temperature_path),
            # The supply's state needs the firmware's interface; until that is read it is not known.
            power="unknown",
            devices=self._devices(),
        )

    def _radio_state(self, now_s: float) -> wire.Radio:
        if self._radio is None:
            return wire.Radio(state="absent", last_adv_s=None, resets=0)
        radio, counts = self._radio, self._radio.counts()
        return wire.Radio(
            state=radio.state(),
            last_adv_s=radio.last_adv_s(now_s),
            resets=radio.resets,
            kernel=self._kernel,
            recovery=wire.Recovery(
                scan=radio.resets,
                power=counts.get("recovery_power", 0),
                bluetoothd=counts.get("recovery_bluetoothd", 0),
                reboot=counts.get("recovery_reboot", 0),
            ),
            links=dict(radio.endings),
            no_links=dict(radio.no_links),
            bond_lost=radio.bond_lost(),
            **{name: counts.get(name, 0) for name in RADIO_COUNTS},
        )

    def _devices(self) -> tuple[wire.DeviceStatus, ...]:
        rows = self._outbox.connection.execute(
            "SELECT dev, battery, last_seen FROM device ORDER BY dev"
        )
        return tuple(
            wire.DeviceStatus(dev=dev, battery=battery, last_seen=moment_of(seen))
            for dev, battery, seen in rows
        )


def has_changed(before: wire.Status, now: wire.Status) -> bool:
    """Tell whether what a person would act on has changed; figures that creep do not count."""

    def essence(status: wire.Status) -> tuple[object, ...]:
        batteries = tuple((device.dev, device.battery) for device in status.devices)
        return (
            status.state,
            status.quarantine,
            status.radio.state,
            status.radio.recovery,
            status.radio.bluetoothd_restarts,
            status.radio.adapter_lost,
            status.radio.bond_lost,
            status.radio.unkept_values,
            status.radio.blind_links,
            status.clock,
            status.power,
            batteries,
        )

    return essence(before) != essence(now)


def software() -> str:
    """Return the name and version of what runs here."""
    try:
        return f"hemma {version('hemma')}"
    except PackageNotFoundError:
        return "hemma (not installed)"


def temperature_c(path: Path) -> float | None:
    """Return the processor's temperature in °C, None where the machine does not tell."""
    try:
        return int(path.read_text(encoding="ascii")) / MILLIDEGREES
    except (OSError, ValueError):
        return None
