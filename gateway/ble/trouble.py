"""What can go wrong while a device is enrolled, each with its reason and its remedy in plain words.

The codes are for programs (`hemma gateway pair --json`); the words are for whoever stands there
with the device in hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from gateway.errors import GatewayError


class Trouble(StrEnum):
    """Why an enrolment ended without a device."""

    BUSY = "busy"
    NO_DOOR = "no_door"
    NO_BLUETOOTH = "no_bluetooth"
    NO_AGENT = "no_agent"
    NO_ADAPTER = "no_adapter"
    NO_SEARCH = "no_search"
    NOTHING_FOUND = "nothing_found"
    NOT_HEARD = "not_heard"
    NOT_CHOSEN = "not_chosen"
    UNKNOWN_PROFILE = "unknown_profile"
    UNKNOWN_FAMILY = "unknown_family"
    PAIRED_ALREADY = "paired_already"
    NOT_PAIRED = "not_paired"
    OUT_OF_REACH = "out_of_reach"
    WRONG_PASSKEY = "wrong_passkey"
    NO_ANSWER = "no_answer"
    GIVEN_UP = "given_up"
    REFUSED = "refused"
    HUNG_UP = "hung_up"
    NOT_BONDED = "not_bonded"
    SERVICES_INCOMPLETE = "services_incomplete"
    HIDDEN_ADDRESS = "hidden_address"
    BOND_STAYS = "bond_stays"
    NOT_UNDERSTOOD = "not_understood"


WORDS: Mapping[Trouble, tuple[str, str]] = MappingProxyType(
    {
        Trouble.BUSY: (
            "The gateway's radio is busy, or somebody else is pairing a device.",
            "Wait a minute and try again.",
        ),
        Trouble.NO_DOOR: (
            "The gateway runs, but takes no questions ({cause}).",
            "Run this as the gateway's user; if it stays so, restart the gateway.",
        ),
        Trouble.NO_BLUETOOTH: (
            "There is no Bluetooth service (bluetoothd) on this machine's system bus.",
            "Start it: `systemctl start bluetooth`; install the package bluez if it is missing.",
        ),
        Trouble.NO_AGENT: (
            "The Bluetooth service does not take this gateway as its pairing agent.",
            "Run this as the gateway's user; end other pairing programs (bluetoothctl).",
        ),
        Trouble.NO_ADAPTER: (
            "There is no Bluetooth radio that is switched on.",
            "Check `rfkill list` and `bluetoothctl list`; plug the adapter in.",
        ),
        Trouble.NO_SEARCH: (
            "The radio could not be made to search ({cause}).",
            "Try again; end other programs that use Bluetooth; restart the Bluetooth service.",
        ),
        Trouble.NOTHING_FOUND: (
            "No device in pairing mode was heard in {seconds} seconds.",
            "Hold it within two metres and put it in pairing mode{how}; then try again.",
        ),
        Trouble.NOT_HEARD: (
            "{address} was not heard in {seconds} seconds.",
            "Check the address; put the device in pairing mode{how}, within two metres.",
        ),
        Trouble.NOT_CHOSEN: (
            "No device was chosen in time.",
            "Start again; the gateway listens to the home's devices meanwhile.",
        ),
        Trouble.UNKNOWN_PROFILE: (
            "There is no profile named {profile!r}.",
            "`hemma gateway pair --families` lists them.",
        ),
        Trouble.UNKNOWN_FAMILY: (
            "{address} does not say which family of devices it belongs to.",
            "Say it with --profile; `hemma gateway pair --families` lists them.",
        ),
        Trouble.PAIRED_ALREADY: (
            "{address} is paired with this gateway already.",
            "Take a measurement; only if no values come: `hemma gateway pair --again {address}`.",
        ),
        Trouble.NOT_PAIRED: (
            "{address} is not paired with this gateway.",
            "`hemma gateway status` shows what is.",
        ),
        Trouble.OUT_OF_REACH: (
            "{address} did not answer ({cause}).",
            "Put it in pairing mode again, within two metres, and try again.",
        ),
        Trouble.WRONG_PASSKEY: (
            "{address} did not accept the six digits.",
            "Put it in pairing mode again and type the digits that it shows then.",
        ),
        Trouble.NO_ANSWER: (
            "The digits did not come in time; the device waits for half a minute only.",
            "Put it in pairing mode again and type the digits as soon as it shows them.",
        ),
        Trouble.GIVEN_UP: ("It was given up.", "Start again with the device at hand."),
        Trouble.REFUSED: (
            "{address} refused to pair ({cause}).",
            "Put it in pairing mode; if it is paired with a telephone, remove it there first.",
        ),
        Trouble.HUNG_UP: (
            "{address} hung up before the pairing was finished ({cause}).",
            "Put it in pairing mode again and try again; new batteries may help.",
        ),
        Trouble.NOT_BONDED: (
            "{address} paired, but kept no bond.",
            "Put it in pairing mode, not in measuring mode, and try again.",
        ),
        Trouble.SERVICES_INCOMPLETE: (
            "{address} is paired, but does not offer what {profile} needs ({missing}).",
            "Wake it and try again, the bond is kept; or choose another family with --profile.",
        ),
        Trouble.HIDDEN_ADDRESS: (
            "{address} changes its address and would not be known again.",
            "Choose a profile that bonds, or report the device.",
        ),
        Trouble.BOND_STAYS: (
            "{address} is no longer listened to, but its bond could not be removed ({cause}).",
            "Remove it with `bluetoothctl remove {address}` when Bluetooth works again.",
        ),
        Trouble.NOT_UNDERSTOOD: (
            "What was sent is not understood ({cause}).",
            "Use `hemma gateway pair` of the same version as the gateway.",
        ),
    }
)
"""Reason and remedy of each; the names in braces are facts given to :class:`PairingFailed`."""


class PairingFailed(GatewayError):
    """An enrolment ended without a device, or a device could not be taken out again."""

    def __init__(self, trouble: Trouble, **facts: object) -> None:
        reason, remedy = WORDS[trouble]
        super().__init__(reason.format_map(facts), remedy.format_map(facts))
        self.trouble = trouble
