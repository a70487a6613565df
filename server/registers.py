"""``hemma bind | unit | user``: who is who, and whose is what (contract.md 3)."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from server.auth.passwords import hash_password
from server.auth.roles import Role
from server.console import Commands, JsonOption, NotDone, answer, device_name, gateway_name, inside
from server.store import bindings, people
from server.store.database import Transaction
from server.store.errors import NameTaken

PASSWORD_LENGTH_MIN = 12

bind_app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Which patient uses which device, and when."
)
unit_app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Care providers' units and their gateways."
)
user_app = typer.Typer(cls=Commands, no_args_is_help=True, help="Local accounts of staff.")

_FORMATS = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"]
Since = Annotated[datetime | None, typer.Option(help="UTC; default: now.", formats=_FORMATS)]
Until = Annotated[datetime | None, typer.Option(help="UTC; default: open.", formats=_FORMATS)]


@bind_app.command("add")
def bind_add(
    device: Annotated[
        str, typer.Argument(help="ble-… as the gateway names it.", callback=device_name)
    ],
    patient: Annotated[str, typer.Argument(help="system|value, e.g. urn:hemma:demo|DEMO-01.")],
    since: Since = None,
    until: Until = None,
    user: Annotated[
        int | None, typer.Option(min=0, max=255, help="One user of the device.")
    ] = None,
    gateway: Annotated[str | None, typer.Option(help="The gateway it stands by.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Bind a device, or one user of it, to a patient. Unassigned values of that time follow."""
    start, end = _utc(since) or datetime.now(UTC), _utc(until)
    if end is not None and end <= start:
        raise typer.BadParameter("it lies after --since", param_hint="--until")

    async def work(tx: Transaction) -> bindings.Bound:
        return await bindings.bind(
            tx,
            device_id=await bindings.register_device(tx, device),
            patient_id=await bindings.patient_by_identifier(tx, patient),
            since=start,
            until=end,
            user_index=user,
            gateway_id=await bindings.id_of(tx, "gateway", gateway) if gateway else None,
        )

    bound = inside(work)
    text = f"{device} is bound. {bound.placed} unassigned values found their patient."
    answer(asdict(bound), text, as_json=as_json)


@bind_app.command("end")
def bind_end(device: str, at: Since = None, as_json: JsonOption = False) -> None:
    """End what a device is bound to; fails when it is bound to nothing.

    With --at in the past the values since then are nobody's, until the device is bound again.
    """

    async def work(tx: Transaction) -> bindings.Ended:
        device_id = await bindings.id_of(tx, "device", device)
        return await bindings.unbind(tx, device_id, at=_utc(at) or datetime.now(UTC))

    ended = inside(work)
    if not ended.bindings:
        raise NotDone(f"{device} was not bound then")
    text = f"{ended.bindings} bindings of {device} ended. {ended.values} values are unassigned now."
    told = {"ended": ended.bindings, "values": ended.values}
    answer(told, text, as_json=as_json)


@bind_app.command("list")
def bind_list(as_json: JsonOption = False) -> None:
    """Show all bindings."""
    found = inside(bindings.listed)
    lines = [
        f"{one.device}  user {one.user_index if one.user_index is not None else 'any'}"
        f"  patient {one.patient_id}  {one.since:%Y-%m-%d %H:%M}Z – "
        f"{f'{one.until:%Y-%m-%d %H:%M}Z' if one.until else ''}"
        for one in found
    ]
    text = "\n".join(lines) or "Nothing is bound."
    answer([asdict(one) for one in found], text, as_json=as_json)


@unit_app.command("add")
def unit_add(
    provider: Annotated[str, typer.Argument(help="The care provider, e.g. the municipality.")],
    name: Annotated[str, typer.Argument(help="The unit.")],
    watch: Annotated[str, typer.Option(help="When it watches and who answers else.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Add a unit, and its care provider if that is new."""

    async def work(tx: Transaction) -> int:
        provider_id = await people.add_provider(tx, provider)
        return await people.add_unit(tx, provider_id=provider_id, name=name, watch_text=watch)

    answer({"id": inside(work)}, f"{name} is there.", as_json=as_json)


@unit_app.command("gateway")
def unit_gateway(
    unit: Annotated[str, typer.Argument(help="The unit.")],
    name: Annotated[
        str, typer.Argument(help="The gateway: a–z, 0–9 and -.", callback=gateway_name)
    ],
    placement: Annotated[str, typer.Option(help="Opaque; no name and no address.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Make a gateway known and give it to a unit."""

    async def work(tx: Transaction) -> int:
        unit_id = await bindings.id_of(tx, "unit", unit)
        return await bindings.register_gateway(tx, name, unit_id=unit_id, placement=placement)

    answer({"id": inside(work)}, f"{name} belongs to {unit}.", as_json=as_json)


@user_app.callback()
def user() -> None:
    """Local accounts of staff."""


@user_app.command("add")
def user_add(
    login: Annotated[str, typer.Argument(help="What the person types to log in.")],
    name: Annotated[str, typer.Option(help="The person's name, as others see it.")],
    unit: Annotated[str, typer.Option(help="The unit of the first assignment.")],
    role: Annotated[Role, typer.Option(help="What the person does there.")],
    as_json: JsonOption = False,
) -> None:
    """Add an account; its password is asked for, or read where standard input is no terminal."""
    password_hash = hash_password(_password())

    async def work(tx: Transaction) -> int:
        if await people.staff_by_login(tx, login) is not None:
            raise NameTaken(f"the login {login!r} is taken")
        unit_id = await bindings.id_of(tx, "unit", unit)
        staff = await people.add_staff(
            tx, login=login, display_name=name, password_hash=password_hash
        )
        await people.add_assignment(tx, staff_id=staff, unit_id=unit_id, role=role.value)
        return staff

    answer({"id": inside(work)}, f"{login} can log in.", as_json=as_json)


def _password() -> str:
    if sys.stdin.isatty():
        password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    if len(password) < PASSWORD_LENGTH_MIN:
        raise NotDone(f"a password has at least {PASSWORD_LENGTH_MIN} characters")
    return password


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else time.replace(tzinfo=UTC)
