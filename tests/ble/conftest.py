"""A guest for each BlueZ, with virtual devices on its air, for as long as the session lasts.

All tests here share one event loop: the link between Bumble and the guest lives as long as the
guest. With xdist each BlueZ has two guests, for half of the scenarios each: they mostly wait, so
that four guests on two cores take little longer than two.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
import structlog

from devices.virtual.device import Design, VirtualDevice
from devices.virtual.place import Place
from tests.ble.appliance import images
from tests.ble.appliance.adapter import Adapter
from tests.ble.appliance.guest import PROGRAM, Guest
from tests.ble.appliance.recipe import VARIANTS
from tests.ble.bluez import Bluez, until
from tests.ble.home import Home
from tests.fix_missing import missing

HERE: Final = Path(__file__).parent
USUAL: Final = ("5.82", "5.66")
PLACE_SEED: Final = 1
CRASHED: Final = "bluetoothd ended by itself"  # appliance/init.sh
ONE_HALF: Final = ("test_habits", "test_neighbours", "test_pairing", "test_process")
"""About as long as the rest of the scenarios together."""

Note = Callable[[str, str], None]


@pytest.hookimpl(tryfirst=True)  # before xdist looks for the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a guest, give it the session's loop, and say which share a guest."""
    for item in items:
        if HERE not in item.path.parents:
            continue
        item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
        if "guest_environment" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.ble)
            parameters = getattr(getattr(item, "callspec", None), "params", {})
            half = "one" if item.path.stem in ONE_HALF else "other"
            group = f"{parameters.get('guest', 'own')}-{half}"
            item.add_marker(pytest.mark.xdist_group(group))


def image_or_missing(variant: str) -> images.Image:
    """Return the image of a variant; skip or fail as tests.fix_missing says where there is none."""
    if shutil.which(PROGRAM) is None:
        missing("QEMU (qemu-system-x86) is not on this machine: the real BlueZ is not tried.")
    image = images.find(VARIANTS[variant])
    if image is None:
        missing(
            f"There is no image with BlueZ {variant}: the real BlueZ is not tried."
            " Make it with `python -m tests.ble.appliance build`."
        )
    return image


@pytest.fixture(scope="session")
def guest_folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets in it."""
    folder = Path(tempfile.mkdtemp(prefix="hemma-ble-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def place() -> AsyncIterator[Place]:
    """The air that the guests and the virtual devices share."""
    async with Place(seed=PLACE_SEED) as made:
        yield made


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=USUAL)
async def guest(
    request: pytest.FixtureRequest, guest_folder: Path, place: Place
) -> AsyncIterator[Guest]:
    """A running guest of each BlueZ; its adapter is not in yet."""
    image = image_or_missing(request.param)
    folder = guest_folder / request.param
    folder.mkdir()
    async with Guest.boot(image, folder) as booted:
        if request.param in USUAL:
            # Where it crashes by itself, as 5.82 now and then does when services vanish under it.
            await booted.command("bluetoothd keep")
        yield booted


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def adapter(guest: Guest, place: Place) -> AsyncIterator[Adapter]:
    """The guest's adapter, on the air of ``place`` while it is in."""
    made = Adapter(place, guest)
    await made.put_in()
    yield made
    await made.fall_silent()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def guest_environment(guest: Guest) -> AsyncIterator[None]:
    """This process's environment while the guest's BlueZ is its own."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in guest.environment.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Note a fact for the table, such as a count: ``note("note", "100 of 100")``."""
    return lambda name, value: request.node.user_properties.append((name, value))


@pytest.fixture
def noted(guest: Guest, request: pytest.FixtureRequest, note: Note) -> None:
    """Note for the table what is tried and on what: the docstrings' first lines are its words."""
    note("chapter", _first_line(request.module.__doc__))
    note("scenario", _first_line(request.function.__doc__))
    note("variant", guest.image.variant)
    note("bluez", guest.image.bluez)
    note("linux", guest.image.linux)
    note("booted_s", str(round(guest.booted_s, 1)))


def _first_line(docstring: str | None) -> str:
    return (docstring or "").split("\n\n")[0].replace("\n", " ").strip()


@pytest_asyncio.fixture(loop_scope="session")
async def bluez(
    guest: Guest, adapter: Adapter, guest_environment: None, noted: None
) -> AsyncIterator[Bluez]:
    """The guest's BlueZ, its adapter on whatever the test before did; forgets all afterwards."""
    for part in ("bus", "bluetoothd"):
        await guest.command(f"{part} start")
    await adapter.put_in()
    observer = Bluez()
    await observer.open()
    await until(observer.is_powered, "the adapter is on")
    yield observer
    await observer.close()
    # By a connection of its own: a test may have broken the first one.
    await guest.command("bus start")
    cleaner = Bluez()
    await cleaner.open()
    for path, interfaces in (await cleaner.objects()).items():
        if "org.bluez.Device1" in interfaces:
            await cleaner.remove(path.rsplit("dev_", 1)[1].replace("_", ":"))
    await cleaner.close()


@pytest_asyncio.fixture(loop_scope="session")
async def home(guest: Guest, bluez: Bluez, tmp_path: Path, note: Note) -> AsyncIterator[Home]:
    """A gateway that is not started yet, with nothing enrolled."""
    made = Home(tmp_path / "gateway", bluez)
    said = len(guest.log())
    yield made
    await made.stop()
    if CRASHED in guest.log()[said:]:
        note("note", "bluetoothd crashed by itself and was begun again")
    # pytest shows this where the test failed.
    print(*made.captured.entries, guest.log()[said:], sep="\n")  # noqa: T201
    structlog.reset_defaults()


@pytest_asyncio.fixture(loop_scope="session")
async def add(place: Place, note: Note) -> AsyncIterator[Callable[..., Awaitable[VirtualDevice]]]:
    """Bring virtual devices for one test: ``device = await add("cuff")``, as ``Place.add``."""
    brought: list[VirtualDevice] = []

    async def bring(design: Design | str, **how: Any) -> VirtualDevice:
        brought.append(await place.add(design, **how))
        return brought[-1]

    yield bring
    if brought:
        names = dict.fromkeys(device.model for device in brought)
        note("device", ", ".join(names))
    for device in brought:
        await place.remove(device)
