"""What a gateway was given when it was enrolled, kept in its data folder.

Thin for now: the server's administrator reads out name, broker, password and configuration key, and
`hemma gateway enrol` writes them down. Certificates made on the gateway replace the password later.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from gateway.errors import SettingsInvalid

FILE = "enrolment.json"
PASSWORD_FILE = "mqtt-password"  # noqa: S105 - the name of a file
KEYS = (
    "HEMMA_GATEWAY_NAME",
    "HEMMA_MQTT_HOST",
    "HEMMA_MQTT_PORT",
    "HEMMA_MQTT_PASSWORD_FILE",
    "HEMMA_CONFIG_KEY",
)


def enrolled(data: Path) -> dict[str, str]:
    """Return the variables that enrolment wrote into ``data``; empty where there was none.

    Raises SettingsInvalid where the file is there but cannot be read.
    """
    path = data / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except PermissionError as error:
        raise SettingsInvalid(
            f"{path} may not be read by this user.", "Use the gateway's user, or sudo."
        ) from error
    except (OSError, ValueError) as error:
        raise SettingsInvalid(f"{path} cannot be read.", "Enrol the gateway again.") from error
    if not isinstance(content, dict):
        raise SettingsInvalid(f"{path} is not an enrolment.", "Enrol the gateway again.")
    return {key: str(content[key]) for key in KEYS if content.get(key)}


def enrol(data: Path, variables: Mapping[str, str], password: str) -> Path:
    """Write the enrolment and the password, both readable by their owner only.

    ``variables`` are named as in the environment. Returns the enrolment file's path; raises OSError
    where the folder cannot be written.
    """
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    password_path = data / PASSWORD_FILE
    _write_private(password_path, password + "\n")
    content = {**variables, "HEMMA_MQTT_PASSWORD_FILE": str(password_path)}
    path = data / FILE
    _write_private(path, json.dumps(content, indent=1) + "\n")
    return path


def _write_private(path: Path, text: str) -> None:
    # Written beside and renamed, so that a power cut leaves the old file or the new one.
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
