"""The faults, and a plan of them that follows from a seed alone.

A fault is begun, lasts a while, and is ended: what was killed is started again. Two faults of
different parts may overlap. The plan says which, when and for how long; between which two
instructions a fault strikes is for the machine to say, so the same seed makes the same plan, not
the same run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.chaos.stage import Stage

LASTS_MIN_S: Final = 0.05
LASTS_MAX_S: Final = 1.5
# Values flow this long after everything works again, before the next fault.
FLOWS_MIN_S: Final = 0.1
FLOWS_MAX_S: Final = 1.2
PAIR_SHARE: Final = 0.3
ENGINE: Final = "engine"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault; ``part`` is what it strikes. The number chooses one of several."""

    name: str
    part: str
    begin: Callable[[Stage, int], None]
    end: Callable[[Stage, int], None]


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault of the plan: it begins ``after_s``, ends ``lasts_s`` later."""

    kind: str
    choice: int
    after_s: float
    lasts_s: float


@dataclass(frozen=True, slots=True)
class Blow:
    """What strikes at once: one fault, or two that overlap (the second begins within the first)."""

    flows_s: float
    strikes: tuple[Strike, ...]


def plan(seed: str, count: int, *, with_engine: bool) -> list[Blow]:
    """Return ``count`` faults: each kind as often as any other, in an order and at moments drawn.

    A pair counts as two. Only ``with_engine`` there is one to strike.
    """
    names = sorted(name for name, kind in KINDS.items() if with_engine or kind.part != ENGINE)
    dice = random.Random(seed)
    # Each kind as often, give or take one, whatever is paired with what.
    bag: list[str] = []
    blows: list[Blow] = []
    left = count
    while left:
        first = _draw(bag, names, dice, beside=None)
        strikes = [Strike(first, dice.randrange(100), 0.0, _lasts(dice))]
        if left > 1 and dice.random() < PAIR_SHARE:
            second = _draw(bag, names, dice, beside=KINDS[first].part)
            after_s = dice.uniform(0, strikes[0].lasts_s)
            strikes.append(Strike(second, dice.randrange(100), after_s, _lasts(dice)))
        left -= len(strikes)
        blows.append(Blow(dice.uniform(FLOWS_MIN_S, FLOWS_MAX_S), tuple(strikes)))
    return blows


def _lasts(dice: random.Random) -> float:
    return dice.uniform(LASTS_MIN_S, LASTS_MAX_S)


def _draw(bag: list[str], names: Sequence[str], dice: random.Random, *, beside: str | None) -> str:
    """Take a kind out of the bag, not of the part ``beside``; fill the bag where there is none."""
    if not any(KINDS[name].part != beside for name in bag):
        bag += dice.sample(names, len(names))
    position = next(i for i, name in enumerate(bag) if KINDS[name].part != beside)
    return bag.pop(position)


def _one(stage: Stage, choice: int) -> int:
    return choice % len(stage.ingest)


def _kill_one(stage: Stage, choice: int) -> None:
    stage.ingest[_one(stage, choice)].kill()


def _start_one(stage: Stage, choice: int) -> None:
    stage.ingest[_one(stage, choice)].start()


def _kill_all(stage: Stage, _choice: int) -> None:
    for worker in stage.ingest:
        worker.kill()


def _start_all(stage: Stage, _choice: int) -> None:
    for worker in stage.ingest:
        worker.start()


def _freeze(stage: Stage, choice: int) -> None:
    stage.ingest[_one(stage, choice)].freeze()


def _thaw(stage: Stage, choice: int) -> None:
    stage.ingest[_one(stage, choice)].thaw()


def _broker_saved(stage: Stage, _choice: int) -> None:
    stage.broker.save()
    stage.broker.kill()


def _broker_stale(stage: Stage, _choice: int) -> None:
    stage.broker.kill()


def _broker_lost(stage: Stage, _choice: int) -> None:
    stage.broker.kill()
    stage.broker.forget()


def _start_broker(stage: Stage, _choice: int) -> None:
    stage.broker.start()


def _stop_database(stage: Stage, _choice: int) -> None:
    stage.database.stop_at_once()


def _database_power(stage: Stage, _choice: int) -> None:
    stage.database.kill()


def _start_database(stage: Stage, _choice: int) -> None:
    stage.database.start()


def _kill_backend(stage: Stage, choice: int) -> None:
    stage.database.kill_backend(choice)


def _await_database(stage: Stage, _choice: int) -> None:
    stage.database.await_answer()


def _cut_backends(stage: Stage, _choice: int) -> None:
    stage.database.cut_backends()


def _cut_homes(stage: Stage, _choice: int) -> None:
    stage.to_homes.cut()


def _cut_server(stage: Stage, _choice: int) -> None:
    stage.to_server.cut()


def _hold_homes(stage: Stage, _choice: int) -> None:
    stage.to_homes.hold()


def _release_homes(stage: Stage, choice: int) -> None:
    # Held bytes arrive late, or never.
    if choice % 2:
        stage.to_homes.cut()
    stage.to_homes.release()


def _hold_server(stage: Stage, _choice: int) -> None:
    stage.to_server.hold()


def _release_server(stage: Stage, choice: int) -> None:
    if choice % 2:
        stage.to_server.cut()
    stage.to_server.release()


def _kill_home(stage: Stage, choice: int) -> None:
    stage.houses[choice % len(stage.houses)].kill()


def _home_power(stage: Stage, choice: int) -> None:
    stage.houses[choice % len(stage.houses)].lose_power()


def _start_home(stage: Stage, choice: int) -> None:
    stage.houses[choice % len(stage.houses)].start()


def _kill_engine(stage: Stage, _choice: int) -> None:
    assert stage.engine is not None
    stage.engine.kill()


def _start_engine(stage: Stage, _choice: int) -> None:
    assert stage.engine is not None
    stage.engine.start()


def _nothing(_stage: Stage, _choice: int) -> None:
    return


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("one ingest worker killed", "ingest", _kill_one, _start_one),
        Kind("all ingest workers killed", "ingest", _kill_all, _start_all),
        Kind("ingest worker frozen", "ingest", _freeze, _thaw),
        Kind("broker killed, just saved", "broker", _broker_saved, _start_broker),
        Kind("broker killed, old memory", "broker", _broker_stale, _start_broker),
        Kind("broker killed, no memory", "broker", _broker_lost, _start_broker),
        Kind("database stopped at once", "database", _stop_database, _start_database),
        Kind("database killed", "database", _database_power, _start_database),
        Kind("database backend killed", "database", _kill_backend, _await_database),
        Kind("database connections ended", "database", _cut_backends, _nothing),
        Kind("homes' line cut", "line of homes", _cut_homes, _nothing),
        Kind("homes' line held", "line of homes", _hold_homes, _release_homes),
        Kind("server's line cut", "line of server", _cut_server, _nothing),
        Kind("server's line held", "line of server", _hold_server, _release_server),
        Kind("home's program killed", "home", _kill_home, _start_home),
        Kind("home without power", "home", _home_power, _start_home),
        Kind("engine killed", ENGINE, _kill_engine, _start_engine),
    )
}
