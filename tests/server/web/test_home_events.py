"""A failed measurement is an event, not silence: a nurse reads what happened and what to do."""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

import devices
import gateway
from devices.conversation import EVENTS
from devices.wire import Item
from gateway.glucose_context import EVENT as GLUCOSE_CONTEXT
from server.store.items import ReceivedItem, keep
from server.web import words
from server.web.nurse import home_events
from server.web.words import Language
from tests.server.fix_ward import BOOT, CUFF, GATEWAY, NOW, Ward

PACKAGES = (Path(devices.__file__).parent, Path(gateway.__file__).parent)
HOURS = timedelta(hours=1)
SV = words.load()[Language.SV]


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Give every call in the packages of the home, with the name of what is called."""
    for file in (file for package in PACKAGES for file in sorted(package.rglob("*.py"))):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                called = node.func
                name = called.attr if isinstance(called, ast.Attribute) else ""
                yield (called.id if isinstance(called, ast.Name) else name), node


def texts(node: ast.AST) -> set[str]:
    """Return the texts written out in an expression, without those it is compared with."""
    return {
        one.value
        for one in ast.walk(node)
        if isinstance(one, ast.Constant) and type(one.value) is str
    }


def sent() -> set[str]:
    """Return every name of an event that is written out where one is made."""
    found = set(EVENTS) | {GLUCOSE_CONTEXT}
    for name, call in calls():
        if name == "NoteEvent":
            found |= texts(call.args[0])
        elif name == "event" and len(call.args) == 3:
            found |= texts(call.args[1])
        elif name == "Item":
            found |= {t for key in call.keywords if key.arg == "event" for t in texts(key.value)}
    return found


def test_every_event_that_a_home_can_send_is_said() -> None:
    # So that the test cannot pass by seeing nothing.
    assert sent() >= {"value_may_be_lost", "measurement_failed", "resend", "glucose_context"}
    assert sent() == set(home_events.SAYINGS)


def test_everything_told_beside_an_event_is_said() -> None:
    told = set()
    for name, call in calls():
        details = call.args[1:] if name == "NoteEvent" else call.args[2:]
        if name in ("NoteEvent", "event") and len(details) == 1:
            told.add(_example(details[0]))
    told -= {None}
    assert len(told) > 12
    assert "the meter measured while it was read" in told
    for detail in told:
        assert detail is not None
        assert home_events.detail_of(detail, SV) != detail


def _example(node: ast.expr) -> str | None:
    """Return a text as written, with 7 for each thing filled in; None where it is a variable."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if not isinstance(node, ast.JoinedStr):
        return None
    parts = (str(one.value) if isinstance(one, ast.Constant) else "7" for one in node.values)
    return "".join(parts)


def test_what_has_no_words_is_shown_as_it_came() -> None:
    assert home_events.what("new_thing_2027", SV) == "Okänd händelse: new thing 2027"
    assert home_events.detail_of("all of it", SV) == "all of it"


async def happen(ward: Ward, what: str, at: datetime, **changes: Any) -> None:
    ward.seq[0] += 1
    item = Item(
        seq=ward.seq[0],
        uid=f"{ward.seq[0]:032x}",
        type="event",
        event=what,
        dev=CUFF,
        model="UA-651BLE",
        t=at,
        tq="gateway",
        gw_t=at,
        gw_q="ntp",
    )
    item = msgspec.structs.replace(item, **changes)
    async with ward.database.transaction() as tx:
        await keep(tx, [ReceivedItem(item, ward.gateway_id, GATEWAY, BOOT)], stored_at=at)


def section(page: str) -> str:
    """Return the list as text, as it is read."""
    found = re.findall(r'<section [^>]*aria-labelledby="handelser">.*?</section>', page, re.DOTALL)
    assert len(found) == 1
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", found[0]))).strip()


@pytest.mark.integration
async def test_a_nurse_reads_what_happened_and_what_to_do(ward: Ward) -> None:
    lost = {"detail": "the first link after Bluetooth was started anew"}
    await happen(ward, "value_may_be_lost", NOW - 3 * HOURS, ctx=lost)
    failed: dict[str, Any] = {"kind": "blood_pressure", "tq": "estimated"}
    for ago in (2, 26):
        await happen(
            ward, "measurement_failed", NOW - ago * HOURS,
            flags=("measurement_failed", "cuff_loose"), ctx={"also_times": 1}, **failed,
        )  # fmt: skip
    anna = await ward.logged_in("anna")
    answer = await anna.get(f"/patient/{ward.patient.public_id}")
    assert section(answer.text) == (
        "Händelser från hemmet De senaste 14 dagarna, nyast först. Lika händelser står på en rad."
        " i dag 08:42 uppskattad tid · UA-651BLE …4455 · blodtryck Mätningen misslyckades i"
        " mätaren. Be om en ny mätning om inget värde har kommit sedan dess. 4 gånger, första"
        " gången i går 08:42 . Senast: manschetten satt löst"
        " i dag 07:42 · UA-651BLE …4455 Ett värde kan ha gått förlorat när mätaren lästes av."
        " Be om en ny mätning. Första kontakten efter att Bluetooth startats om"
    )
    # Something is to be done: it stands before what is only to be read.
    assert answer.text.index('id="handelser"') < answer.text.index('id="kurvor"')
    assert (await ward.log())[0].action == "read"


@pytest.mark.integration
async def test_what_asks_for_nothing_stands_below(ward: Ward) -> None:
    anna = await ward.logged_in("anna")
    path = f"/patient/{ward.patient.public_id}"
    assert "Inga händelser de senaste 14 dagarna." in section((await anna.get(path)).text)
    await happen(ward, "numbering_restarted", NOW - HOURS)
    await happen(ward, "<b>new</b>", NOW - HOURS, ctx={"detail": "<i>x</i>"})
    page = (await anna.get(path)).text
    assert "Mätarens minne eller numrering har börjat om." in section(page)
    assert "Okänd händelse: <b>new</b>" in section(page)
    assert "<b>new" not in page
    assert page.index('id="varden"') < page.index('id="handelser"') < page.index('id="apparater"')


@pytest.mark.integration
async def test_a_list_that_is_cut_says_so(ward: Ward) -> None:
    for number in range(home_events.ROWS_MAX + 1):
        await happen(ward, f"thing_{number}", NOW - number * HOURS)
    anna = await ward.logged_in("anna")
    said = section((await anna.get(f"/patient/{ward.patient.public_id}")).text)
    assert said.count("Okänd händelse") == home_events.ROWS_MAX
    assert said.endswith("Det finns fler händelser än de som visas.")


@pytest.mark.integration
async def test_an_event_without_a_person_is_the_administrators(ward: Ward) -> None:
    await happen(ward, "value_may_be_lost", NOW - HOURS, dev="ble-0000000000ff")
    dag = await ward.logged_in("dag")
    page = (await dag.get("/administration")).text
    assert '<h2 id="okopplade">Värden och händelser utan person</h2>' in page
    assert "Ett värde kan ha gått förlorat när mätaren lästes av." in page
    anna = await ward.logged_in("anna")
    said = section((await anna.get(f"/patient/{ward.patient.public_id}")).text)
    assert "Inga händelser" in said
