"""Where images lie, outside the repository, and making one that is not there.

An image's folder is named by variant and recipe and holds what it was made from in ``image.json``.
A folder appears whole or not at all: it is made beside its place, under a lock, and moved.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tests.ble.appliance import recipe, tree
from tests.ble.appliance.archive import write_archive
from tests.ble.appliance.recipe import Variant

CACHE_DEFAULT: Final = Path("/var/cache/hemma/appliance")
AGE_MAX: Final = timedelta(days=30)
"""Debian mends its kernels; an image older than this is made anew by ``build``."""


@dataclass(frozen=True, slots=True)
class Image:
    """A guest that can be started: kernel, initial file system, and what they were made from."""

    folder: Path
    variant: str
    bluez: str
    linux: str
    packages: Mapping[str, str]
    made: str
    build_s: float

    @property
    def kernel(self) -> Path:
        """The kernel's own image."""
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """All files of the guest."""
        return self.folder / "initrd"

    @property
    def age(self) -> timedelta:
        """How long ago it was made."""
        return datetime.now(UTC) - datetime.fromisoformat(self.made)


def cache() -> Path:
    """Return the folder of all images: HEMMA_APPLIANCE_CACHE, or one beside the other trees."""
    return Path(os.environ.get("HEMMA_APPLIANCE_CACHE") or CACHE_DEFAULT)


def find(variant: Variant) -> Image | None:
    """Return the newest image of the recipe as it is now; None where none was made."""
    made = [_read(path) for path in cache().glob(f"{_prefix(variant)}-*/image.json")]
    return max(made, key=lambda image: image.made, default=None)


def is_recent(variant: Variant) -> bool:
    """Whether there is an image that need not be made anew."""
    known = find(variant)
    return known is not None and known.age < AGE_MAX


def build(variant: Variant, *, fresh: bool = False) -> Image:
    """Return an image of ``variant``, made now where there is none, it is old, or ``fresh``.

    Needs mmdebstrap, kmod, Debian's archive, and the right to write to the cache. Raises
    RecipeFailed.
    """
    cache().mkdir(parents=True, exist_ok=True)
    with _lock():
        known = find(variant)
        if known is not None and not fresh and is_recent(variant):
            return known
        _forget_old(variant)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=cache()) as scratch:
            return _make(variant, Path(scratch))


def _forget_old(variant: Variant) -> None:
    """Remove the images that other recipes made long ago; another checkout may use newer ones."""
    for path in cache().glob(f"{variant.name}-*/image.json"):
        if _read(path).age >= AGE_MAX:
            shutil.rmtree(path.parent, ignore_errors=True)


def _prefix(variant: Variant) -> str:
    return f"{variant.name}-{recipe.recipe_hash()}"


def _read(path: Path) -> Image:
    told = json.loads(path.read_text())
    return Image(folder=path.parent, **told)


@contextmanager
def _lock() -> Iterator[None]:
    """Let one process make images at a time; the others then find what it made."""
    with (cache() / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(variant: Variant, scratch: Path) -> Image:
    began = time.monotonic()
    unpacked, out = scratch / "unpacked", scratch / "out"
    suites = {variant.userland: list(recipe.USERLAND_PACKAGES)}
    suites.setdefault(variant.kernel, []).append(recipe.KERNEL_PACKAGE)
    for suite, packages in suites.items():
        tree.unpack(suite, tuple(packages), unpacked / suite)
    userland, kernel = unpacked / variant.userland, unpacked / variant.kernel
    tree.collect_userland(userland, scratch / "userland")
    tree.collect_kernel(kernel, scratch / "kernel")
    version = tree.kernel_version(kernel)
    versions = tree.package_versions(userland, recipe.USERLAND_PACKAGES)
    out.mkdir()
    shutil.copy(kernel / "boot" / f"vmlinuz-{version}", out / "vmlinuz")
    with (out / "initrd").open("wb") as file:
        write_archive(scratch / "userland", file)
        write_archive(scratch / "kernel", file)
    name = f"{_prefix(variant)}-{versions['bluez']}-{version}"
    image = Image(
        folder=cache() / name,
        variant=variant.name,
        bluez=versions["bluez"],
        linux=version,
        packages=versions,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        build_s=round(time.monotonic() - began, 1),
    )
    told = asdict(image)
    del told["folder"]
    (out / "image.json").write_text(json.dumps(told, indent=1))
    for path in out.iterdir():
        path.chmod(0o644)
    out.chmod(0o755)
    shutil.rmtree(image.folder, ignore_errors=True)
    out.rename(image.folder)
    return image
