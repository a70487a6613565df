"""What the server is told from outside, read once (``HEMMA_…`` in the environment)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Outside the gateways' alphabet (contract.md 1): a gateway's access pattern can never meet it.
SERVER_USER = "_hemma-server"
# A month: restores, and homes that were away, ask for what is younger. Not below what gateways send
# again by themselves, and the week that an epoch lasts.
UID_DAYS, UID_DAYS_MIN, UID_DAYS_MAX = 30, 7, 3650


class SettingsError(ValueError):
    """A setting is missing or cannot be read; the text names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a role needs to start; passed down, never read again.

    ``mqtt_password_file`` None means that the broker asks for no password (tests only).
    ``metrics_port`` 0 means that no metrics are served. ``uid_days``: uids that were claimed longer
    ago are packed (``store/uid_runs.py``).
    """

    database_url: str
    mqtt_host: str = "127.0.0.1"
    mqtt_port: int = 1883
    mqtt_username: str = SERVER_USER
    mqtt_password_file: Path | None = None
    web_host: str = "127.0.0.1"
    web_port: int = 8000
    metrics_port: int = 0
    demo: bool = False
    uid_days: int = UID_DAYS
    base_url: str = "http://127.0.0.1:8000"

    def mqtt_password(self) -> str | None:
        """Return the broker's password, or None; read now, so that a changed file counts."""
        if self.mqtt_password_file is None:
            return None
        try:
            return self.mqtt_password_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(f"HEMMA_MQTT_PASSWORD_FILE cannot be read: {error}") from error


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings from ``environment``.

    Raises :class:`SettingsError` when the database's address is missing or a number is not one.
    """
    url = environment.get("HEMMA_DATABASE_URL", "")
    if not url:
        raise SettingsError(
            "HEMMA_DATABASE_URL is not set. Set it to postgresql://user@host/database, "
            "or start everything with: hemma demo"
        )
    port = _port(environment, "HEMMA_WEB_PORT", 8000)
    host = environment.get("HEMMA_WEB_HOST", "127.0.0.1")
    password = environment.get("HEMMA_MQTT_PASSWORD_FILE")
    return Settings(
        database_url=url,
        mqtt_host=environment.get("HEMMA_MQTT_HOST", "127.0.0.1"),
        mqtt_port=_port(environment, "HEMMA_MQTT_PORT", 1883),
        mqtt_username=environment.get("HEMMA_MQTT_USERNAME", SERVER_USER),
        mqtt_password_file=Path(password) if password else None,
        web_host=host,
        web_port=port,
        metrics_port=_port(environment, "HEMMA_METRICS_PORT", 0),
        demo=environment.get("HEMMA_DEMO", "0") == "1",
        uid_days=_days(environment, "HEMMA_UID_DAYS", UID_DAYS),
        base_url=environment.get("HEMMA_BASE_URL", f"http://{host}:{port}"),
    )


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or int(text) > 65_535:
        raise SettingsError(f"{name} is not a port number between 0 and 65535: {text!r}")
    return int(text)


def _days(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or not UID_DAYS_MIN <= int(text) <= UID_DAYS_MAX:
        raise SettingsError(
            f"{name} is not a number of days between {UID_DAYS_MIN} and {UID_DAYS_MAX}: {text!r}"
        )
    return int(text)
