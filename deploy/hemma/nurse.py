"""A nurse's browser, as far as the check needs one: log in, watch the list live, take, close."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import httpx

from hemma.broker import LOOPBACK
from hemma.errors import HemmaError

TIMEOUT_S: Final = 15.0
ALERT: Final = re.compile(r'action="/larm/([0-9a-f-]{36})/ta"(.*?)</form>', re.DOTALL)
FIELD: Final = re.compile(r'name="(csrf|version)" value="([^"]*)"')


class PageError(HemmaError):
    """A page did not answer as a nurse needs it to."""


@dataclass(slots=True)
class Nurse:
    """One logged-in nurse. Run `watch` in a task of its own; it keeps `waiting` up to date.

    `waiting` maps the alerts that nobody has taken to the fields of their form; `shown_s` tells
    when each was first on the page, on the loop's monotonic clock.
    """

    client: httpx.AsyncClient
    waiting: dict[str, dict[str, str]] = field(default_factory=dict)
    shown_s: dict[str, float] = field(default_factory=dict)
    lists: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def watch(self) -> None:
        """Follow the live list until cancelled; connects again when the server was away."""
        while True:
            try:
                await self._follow()
            except httpx.TransportError:
                await asyncio.sleep(0.2)

    async def until_listed(self) -> None:
        """Wait until the list has come live for the first time."""
        await self._until(lambda: self.lists > 0)

    async def new_alert(self, known: set[str]) -> str:
        """Wait until the page shows an alert that is not in `known`; return its id."""
        await self._until(lambda: bool(self.shown_s.keys() - known))
        return min(self.shown_s.keys() - known, key=lambda one: self.shown_s[one])

    async def take(self, alert_id: str) -> None:
        """Press "Ta larmet"; raises PageError when the page refuses."""
        await self._post(f"/larm/{alert_id}/ta", self.waiting[alert_id])

    async def close(self, alert_id: str, outcome: str) -> None:
        """Close an alert that this nurse has taken, with what came of it."""
        page = await self.client.get(f"/larm/{alert_id}/avsluta")
        fields = dict(FIELD.findall(page.text))
        await self._post(f"/larm/{alert_id}/avsluta", {**fields, "outcome": outcome, "note": ""})

    async def _until(self, holds: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S), self._changed:
                await self._changed.wait_for(holds)
        except TimeoutError as error:
            raise PageError(f"The work list showed nothing new for {TIMEOUT_S:.0f} s.") from error

    async def _post(self, path: str, fields: dict[str, str]) -> None:
        answer = await self.client.post(path, data=fields)
        if answer.status_code != httpx.codes.SEE_OTHER:
            raise PageError(
                f"{path.rsplit('/', maxsplit=1)[-1]}: the page answered {answer.status_code}."
            )

    async def _follow(self) -> None:
        async with self.client.stream("GET", "/handelser", timeout=None) as stream:
            if stream.status_code != httpx.codes.OK:
                raise PageError(f"The live list answered {stream.status_code}.")
            event, data = "", list[str]()
            async for line in stream.aiter_lines():
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    data.append(line.removeprefix("data: "))
                elif not line:
                    if event == "worklist":
                        await self._show("\n".join(data))
                    event, data = "", []

    async def _show(self, html: str) -> None:
        now_s = asyncio.get_running_loop().time()
        async with self._changed:
            self.lists += 1
            self.waiting = {
                alert_id: dict(FIELD.findall(form)) for alert_id, form in ALERT.findall(html)
            }
            for alert_id in self.waiting:
                self.shown_s.setdefault(alert_id, now_s)
            self._changed.notify_all()


@asynccontextmanager
async def logged_in(base_url: str, login: str, password: str) -> AsyncIterator[Nurse]:
    """Log in on the page itself, as a person does; raises PageError when that is refused."""
    assert LOOPBACK in base_url, "invented passwords are for this machine only"
    async with httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=TIMEOUT_S) as client:
        await client.get("/logga-in")
        answer = await client.post("/logga-in", data={"login": login, "password": password})
        if answer.status_code != httpx.codes.SEE_OTHER:
            raise PageError(f"The login answered {answer.status_code}.")
        yield Nurse(client)
