"""Protected identity: in no list, shown on the person's own page only, and that is logged."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.server.fix_ward import NOW, Ward

pytestmark = pytest.mark.integration

HIDDEN = ("Maj-Britt", "Påhittsson", "1938", "DEMO-01")


async def test_lists_and_forms_say_a_handle(ward: Ward) -> None:
    handle = await ward.protect()
    link = f"/patient/{ward.patient.public_id}"
    alert = await ward.alert_id()
    anna = await ward.logged_in("anna")
    for path in (
        "/arbetslista",
        "/patienter",
        f"{link}/varde",
        f"/larm/{alert}/avsluta",
        f"/larm/{alert}/anteckna",
    ):
        page = (await anna.get(path)).text
        assert f"Skyddad identitet {handle}" in page, path
        assert not [word for word in HIDDEN if word in page], path


async def test_the_interface_lists_a_handle(ward: Ward) -> None:
    handle = await ward.protect()
    anna = await ward.logged_in("anna")
    for path in ("worklist", "patients", f"alerts/{await ward.alert_id()}"):
        answer = await anna.get(f"/api/v1/{path}")
        assert handle in answer.text, path
        assert not [word for word in (*HIDDEN, "sova hemma") if word in answer.text], path
    shown = (await anna.get(f"/api/v1/patients/{ward.patient.public_id}")).json()
    assert (shown["family_name"], shown["protected"]) == ("Påhittsson", True)
    assert (await ward.log(1))[0].action == "read_protected"


async def test_the_own_page_shows_and_logs(ward: Ward) -> None:
    handle = await ward.protect()
    anna = await ward.logged_in("anna")
    page = (await anna.get(f"/patient/{ward.patient.public_id}")).text
    for said in ("Maj-Britt Påhittsson", "DEMO-01", "skyddade personuppgifter", handle):
        assert said in page, said
    # The title goes to the browser's history and to the taskbar.
    assert f"<title>Skyddad identitet {handle} – Hemma</title>" in page
    newest = (await ward.log(1))[0]
    assert (newest.action, newest.patient_id) == ("read_protected", ward.patient.id)


async def test_a_silent_home_does_not_name_who_lives_there(ward: Ward) -> None:
    handle = await ward.protect()
    async with ward.database.transaction() as tx:
        await tx.execute(
            "INSERT INTO alert (id, gateway_id, unit_id, rule, rule_version, severity, opened_at,"
            " measured_at, text_sv, text_en, why, inputs) VALUES (gen_random_uuid(), %s, %s,"
            " 'tech.gateway', 'x', 'yellow', %s, %s, 'Tyst.', 'Silent.', 'x', '{}')",
            (ward.gateway_id, ward.units["nord"], NOW, NOW - timedelta(days=1)),
        )
    page = (await (await ward.logged_in("anna")).get("/arbetslista")).text
    assert f"Mottagare gw-nord-1 – Skyddad identitet {handle}" in page
    assert "Påhittsson" not in page
