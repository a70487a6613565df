"""``hemma gateway user``: which of a device's users the person is, and that user's code.

Scales and cuffs for several people give a user's values to who knows the code that the device
shows for that user. The running gateway looks it up at its next link with the device.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import Annotated

import typer

from devices.conversation import Consent
from devices.gatt.user_control_point import CONSENT_CODE_MAX
from gateway.ble.trouble import PairingFailed, Trouble
from gateway.consents import write_consent
from gateway.console import Json, failing, show
from gateway.errors import DeviceRefused
from gateway.paired import PairedDevice, paired
from gateway.settings import Settings, from_environment
from gateway.storage import explained, open_for_reading, open_storage

# 255 means "nobody is known" (User Data Service).
USER_MAX = 254


def device_user(
    address: str,
    user: Annotated[
        int | None, typer.Argument(help="The user's number as the device counts: P1 may be 0 or 1.")
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Forget user and code.")] = False,
    json_: Json = False,
) -> None:
    """Say which user of a device the person is; the code is asked for and not shown."""
    with failing(as_json=json_):
        settings = from_environment(os.environ)
        device = known_device(settings, address)
        consent = None if forget else _consent(user)
        path = settings.database
        with (
            explained(path),
            closing(open_storage(path, quota_bytes=settings.quota_bytes)) as connection,
        ):
            write_consent(connection, device.dev, consent)
        told = None if consent is None else consent.user_index
        show({"device": device.address, "dev": device.dev, "user": told}, as_json=json_)


def _consent(user: int | None) -> Consent:
    if user is None or not 0 <= user <= USER_MAX:
        raise DeviceRefused(
            f"A device's users have numbers from 0 to {USER_MAX}.", "Give USER, or --forget."
        )
    code: str = typer.prompt("Code", hide_input=True, err=True)
    if not (code.isascii() and code.isdecimal()) or int(code) > CONSENT_CODE_MAX:
        raise DeviceRefused(
            f"A code is a number from 0 to {CONSENT_CODE_MAX}.", "Read it off the device."
        )
    return Consent(user, int(code))


def known_device(settings: Settings, address: str) -> PairedDevice:
    """Return the paired device at ``address``; PairingFailed where there is none."""
    path = settings.database
    with explained(path), closing(open_for_reading(path)) as connection:
        for device in paired(connection):
            if device.address == address.upper():
                return device
    raise PairingFailed(Trouble.NOT_PAIRED, address=address)
