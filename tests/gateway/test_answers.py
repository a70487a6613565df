"""What the server asks and tells: which of it counts, and which does not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest

from devices import wire
from gateway.answers import Answer, Answers
from gateway.instructions import open_requests
from tests.gateway.fix_home import Home, make_home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = make_home(tmp_path / "outbox.sqlite3")
    yield home
    home.outbox.close()


@pytest.fixture
def answers(home: Home) -> Answers:
    return Answers(
        outbox=home.outbox, gateway="gw-1", key=None, clock=home.clock.read, jitter=lambda: 0.0
    )


def request(
    home: Home, ask: Literal["repeat", "missing", "resend"], *, expires_in_s: float
) -> bytes:
    expires = home.clock.read().utc + timedelta(seconds=expires_in_s)
    return wire.encode(
        wire.Request(v=1, id="r1", kind=None, ask=ask, text={}, since=None, expires=expires)
    )


def test_a_topic_of_a_later_version_is_let_be(answers: Answers) -> None:
    assert answers.take("songs", b"whatever") == Answer()


def test_an_expired_request_is_dropped_only_by_a_clock_that_knows(
    home: Home, answers: Answers
) -> None:
    late = request(home, "repeat", expires_in_s=-1)
    long_ago = home.clock.read().utc - timedelta(days=1)
    answers.take("requests", late)
    assert open_requests(home.outbox.connection, long_ago) == ()
    home.clock.quality = "none"
    answers.take("requests", late)
    assert [asked.id for asked in open_requests(home.outbox.connection, long_ago)] == ["r1"]


@pytest.mark.parametrize("ask", ["repeat", "missing", "resend"])
def test_what_the_patient_is_asked_sends_nothing_again(
    home: Home, answers: Answers, ask: Literal["repeat", "missing", "resend"]
) -> None:
    """A resend without a time is asked for nothing in particular, so nothing goes."""
    assert answers.take("requests", request(home, ask, expires_in_s=60)) == Answer()
    assert home.outbox.counts().open == 0


def test_a_nack_for_a_row_that_is_not_here_changes_nothing(home: Home, answers: Answers) -> None:
    for retry in ("never", "later"):
        ack = wire.Ack(
            v=1, msg="m", boot=home.outbox.boot, stored=(),
            nack=(wire.Nack(99, "overloaded", retry),),
        )  # fmt: skip
        assert answers.take("ack", wire.encode(ack)).events == (("stored", ()), ("nacked", ()))
