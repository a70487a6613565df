"""The pairing agent on a real message bus: one device is accepted, everything else refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, Variant
from structlog.testing import capture_logs

from gateway.ble.agent import AGENT_PATH, Agent, How, Refusal, address_of
from gateway.ble.bus import SystemBus
from tests.gateway.ble.fix_bus import Daemon, StandIn, message_bus, stand_in
from tests.gateway.ble.fix_home import until

CUFF = "/org/bluez/hci0/dev_C0_FF_EE_00_00_01"
STRANGER = "/org/bluez/hci0/dev_BA_DB_AD_00_00_02"
REJECTED = "org.bluez.Error.Rejected"


@dataclass
class Person:
    """An operator who answers as told; with ``thinks`` set never."""

    types: int | None = 123_456
    says_same: bool = True
    thinks: bool = False
    seen: list[int] = field(default_factory=list)

    async def passkey(self) -> int | None:
        if self.thinks:
            await asyncio.Event().wait()
        return self.types

    async def show(self, passkey: int) -> None:
        self.seen.append(passkey)

    async def confirm(self, passkey: int) -> bool:
        self.seen.append(passkey)
        return self.says_same


@dataclass
class Room:
    """An agent, the bus it is on, and what stands in for BlueZ there."""

    agent: Agent
    bus: SystemBus
    bluez: StandIn
    daemon: Daemon

    async def ask(self, member: str, signature: str = "", *body: object) -> Any:
        """Call the agent as BlueZ does; returns its answer or the error's name."""
        assert self.bluez._bus is not None
        assert self.bus._bus is not None
        reply = await self.bluez._bus.call(
            Message(
                destination=self.bus._bus.unique_name,
                path=AGENT_PATH,
                interface="org.bluez.Agent1",
                member=member,
                signature=signature,
                body=list(body),
            )
        )
        assert reply is not None
        if reply.error_name is not None:
            return reply.error_name
        return reply.body[0] if reply.body else None


@asynccontextmanager
async def room(
    folder: Path, monkeypatch: pytest.MonkeyPatch, answer_max_s: float = 28.0
) -> AsyncIterator[Room]:
    async with message_bus(folder, monkeypatch) as daemon, stand_in(daemon) as bluez:
        bus = SystemBus(retry_first_s=0.02, retry_max_s=0.05)
        agent = Agent(bus, answer_max_s=answer_max_s)
        running = asyncio.create_task(bus.run())
        try:
            async with asyncio.timeout(10):
                await agent.registered.wait()
            yield Room(agent, bus, bluez, daemon)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def test_it_registers_as_the_default_agent_each_time_bluez_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with room(tmp_path, monkeypatch) as here:
        assert ("/org/bluez", "RegisterAgent", [AGENT_PATH, "KeyboardDisplay"]) in here.bluez.calls
        assert here.bluez.called("RequestDefaultAgent") == ["/org/bluez"]
        await here.bluez.vanish()
        await until(lambda: not here.agent.registered.is_set())
        # The bus stayed, so an agent of before may be known.
        here.bluez.answers["RegisterAgent"] = "org.bluez.Error.AlreadyExists"
        await here.bluez.appear()
        await until(here.agent.registered.is_set)
        assert await here.ask("Release") is None
        assert not here.agent.registered.is_set()


async def test_an_agent_that_bluez_does_not_take_is_not_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with room(tmp_path, monkeypatch) as here:
        here.bluez.answers["RegisterAgent"] = "org.bluez.Error.InvalidArguments"
        await here.bluez.vanish()
        with capture_logs() as logs:
            await here.bluez.appear()
            await until(lambda: any(line["event"] == "bus_callback_failed" for line in logs))
        assert not here.agent.registered.is_set()


async def test_a_stranger_is_refused_also_while_another_device_is_enrolled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions: list[tuple[Any, ...]] = [
        ("RequestAuthorization", "o", STRANGER),
        ("RequestPasskey", "o", STRANGER),
        ("DisplayPasskey", "ouq", STRANGER, 1, 0),
        ("RequestConfirmation", "ou", STRANGER, 1),
    ]
    person = Person()
    async with room(tmp_path, monkeypatch) as here:
        with capture_logs() as logs:
            assert [await here.ask(*question) for question in questions] == [REJECTED] * 4
            with here.agent.enrolling("C0:FF:EE:00:00:01", person) as enrolment:
                assert [await here.ask(*question) for question in questions] == [REJECTED] * 4
        assert (person.seen, enrolment.refusal) == ([], None)
        assert here.agent.refused == {Refusal.STRANGER: 8}
        refused = [line for line in logs if line["event"] == "pairing_refused"]
        assert {line["address"] for line in refused} == {"BA:DB:AD:00:00:02"}
        assert len(refused) == 8


async def test_a_device_of_the_home_that_wants_a_new_bond_is_refused_and_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with room(tmp_path, monkeypatch) as here:
        here.bluez.objects[CUFF] = {
            "org.bluez.Device1": {
                "Address": Variant("s", "C0:FF:EE:00:00:01"),
                "Paired": Variant("b", True),
                "Bonded": Variant("b", True),
            }
        }
        assert await here.ask("RequestAuthorization", "o", CUFF) == REJECTED
        assert here.agent.refused == {Refusal.BONDED_BEFORE: 1}
        await here.bluez.remove(CUFF)
        assert await here.ask("RequestAuthorization", "o", CUFF) == REJECTED
        assert here.agent.refused[Refusal.STRANGER] == 1


async def test_the_enrolled_device_is_accepted_as_the_operator_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person(types=42)
    async with room(tmp_path, monkeypatch) as here:
        with here.agent.enrolling("c0:ff:ee:00:00:01", person) as enrolment:
            assert await here.ask("RequestAuthorization", "o", CUFF) is None
            how = [enrolment.how]
            assert await here.ask("RequestPasskey", "o", CUFF) == 42
            how.append(enrolment.how)
            for entered in range(3):
                assert await here.ask("DisplayPasskey", "ouq", CUFF, 7, entered) is None
            how.append(enrolment.how)
            assert await here.ask("RequestConfirmation", "ou", CUFF, 8) is None
            assert person.seen == [7, 8]
        assert [How.NOT_TOLD, *how, enrolment.how] == list(How)
        assert await here.ask("RequestPasskey", "o", CUFF) == REJECTED


async def test_what_is_not_low_energy_is_refused_to_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with room(tmp_path, monkeypatch) as here:
        with here.agent.enrolling("C0:FF:EE:00:00:01", Person()):
            assert await here.ask("RequestPinCode", "o", CUFF) == REJECTED
            assert await here.ask("DisplayPinCode", "os", CUFF, "1234") == REJECTED
            assert await here.ask("AuthorizeService", "os", CUFF, "1810") == REJECTED
        assert here.agent.refused == {Refusal.NOT_LOW_ENERGY: 2, Refusal.NOT_A_SERVICE: 1}


@pytest.mark.parametrize("typed", [None, -1, 1_000_000])
async def test_an_operator_who_gives_up_or_says_no_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: int | None
) -> None:
    async with room(tmp_path, monkeypatch) as here:
        with here.agent.enrolling("C0:FF:EE:00:00:01", Person(typed, says_same=False)) as enrolment:
            assert await here.ask("RequestPasskey", "o", CUFF) == REJECTED
            assert await here.ask("RequestConfirmation", "ou", CUFF, 8) == REJECTED
        assert enrolment.refusal is Refusal.OPERATOR_SAID_NO


async def test_an_operator_who_never_answers_refuses_after_a_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with room(tmp_path, monkeypatch, answer_max_s=0.05) as here:
        with here.agent.enrolling("C0:FF:EE:00:00:01", Person(thinks=True)) as enrolment:
            assert await here.ask("RequestPasskey", "o", CUFF) == REJECTED
        assert enrolment.refusal is Refusal.NO_ANSWER


@pytest.mark.parametrize("end", ["device", "enrolment", "bluez"])
async def test_a_question_ends_with_what_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    async with room(tmp_path, monkeypatch) as here, asyncio.TaskGroup() as group:
        with here.agent.enrolling("C0:FF:EE:00:00:01", Person(thinks=True)):
            asking = group.create_task(here.ask("RequestPasskey", "o", CUFF))
            await until(lambda: here.agent._asking is not None)
            if end == "device":
                await here.ask("Cancel")
            elif end == "bluez":
                await here.agent._on_bluez(is_here=False)
        assert await asking == "org.bluez.Error.Canceled"
        await here.ask("Cancel")


def test_a_path_that_names_no_device_has_no_address() -> None:
    assert address_of(CUFF) == "C0:FF:EE:00:00:01"
    assert address_of(CUFF + "/service000a") == "C0:FF:EE:00:00:01"
    assert address_of("/org/bluez/hci0") == ""
