"""The gateway's settings: read once from the environment into a frozen object."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.enrolment import enrolled
from gateway.errors import SettingsInvalid

NAME = re.compile(r"[a-z0-9-]{1,40}")
PORT_MAX = 65_535
CONFIG_KEY_BYTES = 32
RESTART_BLUETOOTH = "systemctl restart bluetooth.service"
QUOTA_BYTES = 256 * 1024 * 1024
QUOTA_MIN_BYTES = 256 * 1024
TIMEZONE = "Europe/Stockholm"


@dataclass(frozen=True, slots=True)
class Settings:
    """What one gateway is told at its start.

    ``name`` is also its MQTT client id and user name. ``config_key`` is the pinned Ed25519 public
    key (32 raw bytes), None before enrolment: then every configuration is refused. ``timezone`` is
    the home's: devices tell local time. ``quota_bytes`` bounds the outbox file.
    ``restart_bluetooth`` and ``reboot`` are commands for a radio that is stuck, split as a shell
    would; an empty one is not run, and said to be due instead.
    """

    name: str
    data: Path
    mqtt_host: str = "127.0.0.1"
    mqtt_port: int = 1883
    password_file: Path | None = None
    config_key: bytes | None = None
    timezone: str = TIMEZONE
    quota_bytes: int = QUOTA_BYTES
    restart_bluetooth: str = ""
    reboot: str = ""

    def __post_init__(self) -> None:
        """Raise SettingsInvalid for a value that cannot work."""
        if not NAME.fullmatch(self.name):
            raise SettingsInvalid(
                "The gateway's name is not 1-40 of a-z, 0-9 and -.", "Set HEMMA_GATEWAY_NAME."
            )
        if not 0 < self.mqtt_port <= PORT_MAX:
            raise SettingsInvalid("The broker's port is outside 1-65535.", "Set HEMMA_MQTT_PORT.")
        if self.quota_bytes < QUOTA_MIN_BYTES:
            raise SettingsInvalid("The quota is below 256 KiB.", "Raise HEMMA_GATEWAY_QUOTA_BYTES.")
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise SettingsInvalid(
                f"The time zone {self.timezone!r} is unknown here.", "Install tzdata."
            ) from error

    @property
    def database(self) -> Path:
        """The outbox file."""
        return self.data / "outbox.sqlite3"


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Build the settings from ``HEMMA_…`` variables; raises SettingsInvalid naming the variable.

    Variables that are not set are looked for in ``enrolment.json`` in the data folder, which
    ``hemma gateway enrol`` writes.
    """
    data = Path(environment.get("HEMMA_GATEWAY_DATA", "/var/lib/hemma-gateway"))
    values = {**enrolled(data), **environment}
    name = values.get("HEMMA_GATEWAY_NAME")
    if not name:
        raise SettingsInvalid("HEMMA_GATEWAY_NAME is not set.", "Run `hemma gateway enrol`.")
    password = values.get("HEMMA_MQTT_PASSWORD_FILE")
    return Settings(
        name=name,
        data=data,
        mqtt_host=values.get("HEMMA_MQTT_HOST", "127.0.0.1"),
        mqtt_port=_number(values, "HEMMA_MQTT_PORT", 1883),
        password_file=Path(password) if password else None,
        config_key=config_key_of(values.get("HEMMA_CONFIG_KEY")),
        timezone=values.get("HEMMA_TIMEZONE", TIMEZONE),
        quota_bytes=_number(values, "HEMMA_GATEWAY_QUOTA_BYTES", QUOTA_BYTES),
        restart_bluetooth=values.get("HEMMA_GATEWAY_RESTART_BLUETOOTH", RESTART_BLUETOOTH),
        reboot=values.get("HEMMA_GATEWAY_REBOOT", ""),
    )


def config_key_of(text: str | None) -> bytes | None:
    """Return the 32 bytes of a base64url public key, None for none; raises SettingsInvalid."""
    if not text:
        return None
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != CONFIG_KEY_BYTES:
        raise SettingsInvalid(
            "HEMMA_CONFIG_KEY is not an Ed25519 public key in base64url.", "Enrol again."
        )
    return key


def _number(values: Mapping[str, str], name: str, default: int) -> int:
    text = values.get(name)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError as error:
        raise SettingsInvalid(f"{name} is not a number.", f"Correct {name}.") from error
