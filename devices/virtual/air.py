"""The air of an invented home: Bumble's link, and the controllers a foreign host may use on it.

Bumble 0.0.236 lets its own host get away with what a kernel does not bear. Here a link's data goes
by the address that the link was made with (a kernel changes its random address while it scans), a
cancelled connection is answered, a reset ends what was going on, a link to a device that has just
stopped advertising fails instead of standing for ever, and nobody's absence is an exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from bumble import core, hci, ll
from bumble.controller import Connection, Controller
from bumble.link import LocalLink

# With these the kernel uses the extended commands, but the virtual controller reports a connection
# by the legacy event, and the kernel waits for the other one until it gives up (google/bumble 841).
_NOT_FOR_A_KERNEL = hci.LeFeatureMask.LL_PRIVACY | hci.LeFeatureMask.LE_EXTENDED_ADVERTISING


class Air(LocalLink):
    """What controllers hear each other on."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: hci.Address,
        transport: core.PhysicalTransport,
        data: bytes,
    ) -> None:
        """Hand ``data`` over under the address that the sender's end of the link has."""
        link = sender_controller.le_connections.get(destination_address)
        receiver = self.find_le_controller(destination_address)
        if link is not None and receiver is not None:
            asyncio.get_running_loop().call_soon(
                receiver.on_link_acl_data, link.self_address, transport, data
            )

    def send_ll_control_pdu(
        self, sender_address: hci.Address, receiver_address: hci.Address, packet: ll.ControlPdu
    ) -> None:
        """Hand ``packet`` over; one for a device that is gone is lost, as on the air."""
        receiver = self.find_le_controller(receiver_address)
        if receiver is not None:
            asyncio.get_running_loop().call_soon(receiver.on_ll_control_pdu, sender_address, packet)


class AirController(Controller):
    """A controller that a real host can live with, too."""

    def on_le_connect_ind(self, packet: ll.ConnectInd) -> None:
        """Link up; where the advertising has just ended, say at once that there is no link."""
        super().on_le_connect_ind(packet)
        is_ours = packet.advertiser_address in (self.random_address, self.public_address)
        if is_ours and packet.initiator_address not in self.le_connections:
            self.link.send_ll_control_pdu(
                sender_address=packet.advertiser_address,
                receiver_address=packet.initiator_address,
                packet=ll.TerminateInd(hci.HCI_ErrorCode.CONNECTION_FAILED_TO_BE_ESTABLISHED_ERROR),
            )

    def on_hci_le_create_connection_cancel_command(
        self, _command: hci.HCI_LE_Create_Connection_Cancel_Command
    ) -> hci.HCI_StatusReturnParameters:
        """Give up the connection under way and say so, as Core 5.4, vol. 4, part E, 7.8.13 asks."""
        pending, self.pending_le_connection = self.pending_le_connection, None
        if pending is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        asyncio.get_running_loop().call_soon(self._tell_cancelled, pending.peer_address)
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)

    def _tell_cancelled(self, peer: hci.Address) -> None:
        self.send_hci_packet(
            hci.HCI_LE_Connection_Complete_Event(
                status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
                connection_handle=0,
                role=hci.Role.CENTRAL,
                peer_address_type=peer.address_type,
                peer_address=peer,
                connection_interval=0,
                peripheral_latency=0,
                supervision_timeout=0,
                central_clock_accuracy=0,
            )
        )

    def on_hci_reset_command(
        self, command: hci.HCI_Reset_Command
    ) -> hci.HCI_StatusReturnParameters:
        """Forget scan and links; the other ends notice the silence."""
        self.fall_silent()
        return super().on_hci_reset_command(command)

    def fall_silent(self) -> None:
        """Stop everything on the air, as a controller does that loses its power or its host."""
        self.pending_le_connection = None
        self.le_scan_enable = False
        self.le_legacy_advertiser.stop()
        for advertising_set in self.advertising_sets.values():
            advertising_set.stop()
        links: Iterable[Connection] = list(self.le_connections.values())
        self.le_connections.clear()
        for link in links:
            link.send_ll_control_pdu(ll.TerminateInd(hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR))


def controller_for_a_kernel(air: Air, name: str, address: str) -> AirController:
    """A controller with the public ``address`` whose host is somebody else's Bluetooth stack."""
    controller = AirController(
        name,
        link=air,
        public_address=hci.Address(address, hci.Address.PUBLIC_DEVICE_ADDRESS),
    )
    controller.le_features &= ~_NOT_FOR_A_KERNEL
    return controller
