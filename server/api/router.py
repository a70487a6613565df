"""The routes of ``/api/v1``: session, work list, alerts, patients, observations, values by hand.

Every route goes through the same gate as the pages: same rights, same unit filter, same log.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from alerts.lifecycle import Outcome
from devices.kinds import Kind
from server.api.shapes import (
    Alert,
    Command,
    Device,
    KeptValue,
    Listed,
    Login,
    NewValue,
    Observation,
    Person,
    Problem,
    Session,
)
from server.auth import acts, csrf, login, sessions
from server.auth.acts import Act, Done
from server.auth.errors import AlreadyKept, NotVisible, Unfit
from server.auth.gate import Gate, Visit
from server.auth.passwords import Passwords
from server.auth.roles import Right
from server.auth.routes import GatedRoute, asks
from server.store import bound_devices, manual, patients, people, series, worklist
from server.store.access_log import Action
from server.store.manual import Fault, ManualValue
from server.store.patients import Patient
from server.store.series import Wanted

PREFIX = "/api/v1"
LIMIT_MAX = 500
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "content": {"application/problem+json": {}}}
    for status in (401, 403, 404, 409, 422, 429, 503)
}
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]


def build(gate: Gate, passwords: Passwords) -> APIRouter:
    """Return the routes behind that gate."""
    router = APIRouter(prefix=PREFIX, responses=PROBLEMS, route_class=GatedRoute)
    _session_routes(router, gate, passwords)
    _alert_routes(router, gate)
    _patient_routes(router, gate)
    return router


def _session_routes(router: APIRouter, gate: Gate, passwords: Passwords) -> None:
    @router.post("/session", status_code=201, tags=["session"])
    async def log_in(request: Request, response: Response, body: Login) -> Session:
        """Log in; the cookie of the answer is the session."""
        token, who = await _log_in(gate, passwords, request, body)
        response.set_cookie(
            gate.cookie, token, path="/", secure=gate.is_secure, httponly=True, samesite="lax"
        )
        return Session.of(who)

    @router.get("/session", tags=["session"])
    async def show_session(request: Request) -> Session:
        """Say who is logged in."""
        async with gate.watch(request, action=Action.READ) as seen, gate.transaction() as tx:
            token = request.cookies.get(gate.cookie)
            return Session.of(await sessions.resume(tx, token, at=seen.circumstances.at))

    @router.delete("/session", status_code=204, tags=["session"])
    @asks(None)
    async def log_out(request: Request) -> None:
        """Log out."""
        async with gate.watch(request, action=Action.LOGOUT) as seen, gate.transaction() as tx:
            token = request.cookies.get(gate.cookie)
            who = await sessions.resume(tx, token, at=seen.circumstances.at)
            gate.check_origin(request)
            csrf.check_token(who.csrf, request.headers.get(csrf.HEADER))
            await people.end_session(tx, who.token_hash, at=seen.circumstances.at)
            await gate.log(tx, seen, Action.LOGOUT, identity=who)


async def _log_in(
    gate: Gate, passwords: Passwords, request: Request, body: Login
) -> tuple[str, sessions.Identity]:
    async with gate.watch(request, action=Action.LOGIN) as seen:
        gate.check_origin(request)
        attempt = login.Try(body.login, body.password, seen.circumstances.address)
        staff, attempt_id = await login.log_in(
            gate.transaction, attempt, passwords=passwords, clock=gate.clock
        )
        async with gate.transaction() as tx:
            at = seen.circumstances.at
            opened = await login.open_session(tx, staff, attempt_id, at=at)
            own = await people.assignments_of(tx, staff.id)
            if opened.session.assignment is None and body.assignment in {one.id for one in own}:
                token_hash = sessions.hash_token(opened.session.token)
                await people.choose_assignment(tx, token_hash, int(body.assignment or 0))
            who = await sessions.resume(tx, opened.session.token, at=at)
            await gate.log_login(tx, seen, staff, who.assignment)
            return opened.session.token, who


def _alert_routes(router: APIRouter, gate: Gate) -> None:
    @router.get("/worklist", tags=["alerts"])
    async def list_worklist(
        request: Request, limit: Limit = 100, offset: Offset = 0
    ) -> Listed[Alert]:
        """List open alerts: worst first, then the oldest."""
        async with gate.visit(request, Right.SEE_WORKLIST) as visit:
            rows = await worklist.open_alerts(visit.tx, visit.reach, limit=limit, offset=offset)
            total = await worklist.count_open(visit.tx, visit.reach)
            await visit.log(Action.LIST)
            ids = [row.id for row in rows]
            evidence = await worklist.evidence_of(visit.tx, visit.reach, ids)
            items = [Alert.of(row, evidence[row.id]) for row in rows]
            return Listed(items=items, total=total, limit=limit, offset=offset)

    @router.get("/alerts/{alert_id}", tags=["alerts"])
    async def show_alert(request: Request, alert_id: UUID) -> Alert:
        """Show one alert with the samples it cites."""
        async with gate.visit(request, Right.SEE_WORKLIST) as visit:
            row = await acts.find_alert(visit, alert_id)
            evidence = await worklist.evidence_of(visit.tx, visit.reach, [row.id])
            await visit.log(Action.READ, patient_id=row.patient_id)
            return Alert.of(row, evidence[row.id])

    @router.post("/alerts/{alert_id}/{act}", tags=["alerts"])
    @asks(Right.HANDLE_ALERTS)
    async def act_on_alert(request: Request, alert_id: UUID, act: Act, body: Command) -> Alert:
        """Take, release, note or close; 409 names who was first."""
        wanted = Done(act, body.version, note=body.note.strip(), outcome=body.outcome)
        async with gate.visit(request, Right.HANDLE_ALERTS) as visit:
            if act is Act.CLOSE and body.outcome not in set(Outcome):
                raise Unfit(f"outcome: one of {', '.join(Outcome)}")
            if act is Act.NOTE and not wanted.note:
                raise Unfit("note: empty")
            row = await acts.perform(visit, alert_id, wanted)
            evidence = await worklist.evidence_of(visit.tx, visit.reach, [row.id])
            return Alert.of(row, evidence[row.id])


def _patient_routes(router: APIRouter, gate: Gate) -> None:
    @router.get("/patients", tags=["patients"])
    async def list_patients(
        request: Request, limit: Limit = 100, offset: Offset = 0
    ) -> Listed[Person]:
        """List the unit's patients."""
        async with gate.visit(request, Right.LIST_PATIENTS) as visit:
            rows = await patients.page(visit.tx, visit.reach, limit=limit, offset=offset)
            total = await patients.count(visit.tx, visit.reach)
            await visit.log(Action.LIST)
            items = [Person.of(row) for row in rows]
            return Listed(items=items, total=total, limit=limit, offset=offset)

    @router.get("/patients/{public_id}", tags=["patients"])
    async def show_patient(request: Request, public_id: UUID) -> Person:
        """Show one patient."""
        async with gate.visit(request, Right.SEE_PATIENT) as visit:
            patient = await _find(visit, public_id)
            await visit.log(
                Action.READ_PROTECTED if patient.protected else Action.READ, patient_id=patient.id
            )
            return Person.of(patient)

    @router.get("/patients/{public_id}/devices", tags=["patients"])
    async def list_devices(request: Request, public_id: UUID) -> Listed[Device]:
        """List the devices that are the patient's now, with their batteries."""
        async with gate.visit(request, Right.SEE_PATIENT) as visit:
            patient = await _find(visit, public_id)
            await visit.log(Action.READ, patient_id=patient.id)
            rows = await bound_devices.bound_to(visit.tx, visit.reach, patient.id, at=visit.at)
            items = [Device.of(row) for row in rows]
            return Listed(items=items, total=len(items), limit=len(items), offset=0)

    @router.get("/patients/{public_id}/observations", tags=["patients"])
    async def list_observations(
        request: Request,
        public_id: UUID,
        since: datetime | None = None,
        equipment: bool = False,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Listed[Observation]:
        """List a patient's values, newest first; by default of the last 90 days.

        What devices say of themselves (battery) is left out unless ``equipment`` asks for it.
        """
        if since is not None and since.tzinfo is None:
            raise HTTPException(422, "since: without time zone")
        async with gate.visit(request, Right.SEE_PATIENT) as visit:
            patient = await _find(visit, public_id)
            await visit.log(Action.READ, patient_id=patient.id)
            wanted = Wanted(patient.id, since or visit.at - timedelta(days=90), equipment)
            return await _observations(visit, wanted, limit=limit, offset=offset)

    @router.post("/patients/{public_id}/values", status_code=201, tags=["patients"])
    @asks(Right.ENTER_VALUE)
    async def enter_value(request: Request, public_id: UUID, body: NewValue) -> KeptValue:
        """Keep a value by hand; the same token twice is kept once, with other values it is 409.

        A number outside the catalogue's range is 422 `urn:hemma:problem:implausible` until it is
        sent with `confirm_implausible`; one that nobody can have is 422 whatever is confirmed.
        """
        async with gate.visit(request, Right.ENTER_VALUE) as visit:
            patient = await _find(visit, public_id)
            await visit.log(Action.WRITE, patient_id=patient.id)
            return await _enter(visit, patient, body)


async def _find(visit: Visit, public_id: UUID) -> Patient:
    found = await patients.find(visit.tx, visit.reach, public_id)
    if found is None:
        raise NotVisible
    return found


async def _observations(
    visit: Visit, wanted: Wanted, *, limit: int, offset: int
) -> Listed[Observation]:
    tx, reach = visit.tx, visit.reach
    rows = await series.values_page(tx, reach, wanted, limit=limit, offset=offset)
    total = await series.count_values(tx, reach, wanted)
    await acts.see(visit, rows)
    items = [Observation.of(row) for row in rows]
    return Listed(items=items, total=total, limit=limit, offset=offset)


async def _enter(visit: Visit, patient: Patient, body: NewValue) -> KeptValue:
    kept = await manual.keep_manual(
        visit.tx,
        _examined(body, now=visit.at),
        token=body.token,
        patient_id=patient.id,
        entered_by=visit.identity.staff_id,
        at=visit.at,
    )
    if kept.outcome is manual.Outcome.OTHER_VALUES:
        raise AlreadyKept(patient_id=patient.id)
    return KeptValue(uid=kept.uid, outcome=kept.outcome)


def _examined(body: NewValue, *, now: datetime) -> ManualValue:
    kind = manual.kind_named(body.kind)
    if kind is None:
        raise Unfit(f"kind: one of {', '.join(manual.MANUAL_KINDS)}")
    if body.measured_at.tzinfo is None:
        raise Unfit("measured_at: without time zone")
    unknown = set(body.values) - {one.name for one in manual.fields_of(kind)}
    if unknown:
        raise Unfit(f"values: not of {kind.name}: {', '.join(sorted(unknown))}")
    typed = {name: f"{value:f}" for name, value in body.values.items()}
    numbers, faults = manual.examine(kind, typed, body.measured_at, now=now)
    unusual = sorted(name for name, fault in faults.items() if fault is Fault.IMPLAUSIBLE)
    wrong = {name: fault for name, fault in sorted(faults.items()) if name not in unusual}
    if wrong:
        raise Unfit(", ".join(f"{name}: {fault}" for name, fault in wrong.items()))
    if unusual and not body.confirm_implausible:
        said = ", ".join(_usual(kind, name) for name in unusual)
        how = "check, then send it again with confirm_implausible: true"
        raise Unfit(f"{said}; {how}", problem="implausible")
    return ManualValue(kind, numbers, body.measured_at, body.note.strip())


def _usual(kind: Kind, name: str) -> str:
    low, high = kind.named(name).plausible
    return f"{name}: implausible, usually {low:g} to {high:g}"
