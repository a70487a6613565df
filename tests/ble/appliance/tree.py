"""From a Debian suite to two folders: what runs in the guest, and a kernel with its modules.

``mmdebstrap`` only unpacks the packages; none of their programs is run, so neither root's powers
nor the guest's kind of processor are needed beyond what unpacking takes.
"""

from __future__ import annotations

import gzip
import lzma
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.ble.appliance import recipe
from tests.ble.appliance.elf import needs

LIBRARY_FOLDERS: Final = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
UNPACK_TIMEOUT_S: Final = 900
VERSION: Final = re.compile(r"\S+ \(([^)]+)\)")
# Wherever a package puts it, it is found in one place in the guest.
MERGED: Final = ("bin/", "sbin/", "lib/", "lib64/")


class RecipeFailed(Exception):
    """An image could not be made; the words say what was missing."""


def unpack(suite: str, packages: tuple[str, ...], folder: Path) -> None:
    """Unpack ``packages`` and all they depend on; raises RecipeFailed with mmdebstrap's words."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [
        "mmdebstrap",
        "--quiet",
        "--variant=extract",
        "--architectures=amd64",
        f"--include={','.join(packages)}",
        suite,
        str(folder),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=UNPACK_TIMEOUT_S, check=False
        )
    except FileNotFoundError as error:
        raise RecipeFailed("mmdebstrap is not here: apt-get install mmdebstrap") from error
    if done.returncode != 0:
        raise RecipeFailed(f"mmdebstrap could not unpack {suite}:\n{done.stderr[-2000:]}")


def package_versions(tree: Path, packages: tuple[str, ...]) -> Mapping[str, str]:
    """Read the versions of ``packages`` from their change logs."""
    versions = {}
    for package in packages:
        log = tree / "usr/share/doc" / package / "changelog.Debian.gz"
        if log.is_file():
            first = gzip.decompress(log.read_bytes()).decode(errors="replace").split("\n", 1)[0]
            found = VERSION.match(first)
            versions[package] = found.group(1) if found else first
    return versions


def collect_userland(tree: Path, out: Path) -> None:
    """Put into ``out`` the programs, their libraries and their configuration."""
    for name in recipe.FOLDERS:
        (out / name).mkdir(parents=True)
    for name in MERGED:
        (out / "usr" / name).mkdir(parents=True, exist_ok=True)
        (out / name.rstrip("/")).symlink_to(f"usr/{name}")
    for name in recipe.PROGRAMS:
        _copy_program(tree, name, out)
    busybox = next(name for name in recipe.BUSYBOX if (tree / name).is_file())
    shutil.copy(tree / busybox, out / "usr/bin/busybox")
    for name in recipe.CONFIGURATION:
        source = tree / name
        if source.is_dir():
            shutil.copytree(source, out / name, symlinks=True)
        elif source.is_file():
            _copy(source, out / name)
    for name, text in recipe.WRITTEN.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)
    shutil.copy(recipe.HERE / "init.sh", out / "init")
    (out / "init").chmod(0o755)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _in_tree(tree: Path, path: Path) -> Path:
    """Follow links as they are meant inside ``tree``; an absolute one would lead to this machine.

    Debian 12's loader is such a link: with this machine's in its place its programs die at once.
    """
    while path.is_symlink():
        link = path.readlink()
        path = tree / link.relative_to("/") if link.is_absolute() else path.parent / link
    return path


def _copy_program(tree: Path, name: str, out: Path) -> None:
    """Copy a program, or a library, and whatever it needs that is not there yet."""
    target = out / (name if name.startswith("usr/") else f"usr/{name}")
    if target.exists():
        return
    source = _in_tree(tree, tree / name)
    _copy(source, target)
    for needed in needs(source):
        if needed.startswith("/"):
            _copy_program(tree, needed[1:], out)
            continue
        places = [folder for folder in LIBRARY_FOLDERS if (tree / folder / needed).exists()]
        if not places:
            raise RecipeFailed(f"{name} needs {needed}, which no package brought.")
        _copy_program(tree, f"{places[0]}/{needed}", out)


def kernel_version(tree: Path) -> str:
    """Name the one kernel that was unpacked."""
    (image,) = (tree / "boot").glob("vmlinuz-*")
    return image.name.removeprefix("vmlinuz-")


def collect_kernel(tree: Path, out: Path) -> None:
    """Put into ``out`` the modules the guest needs, and the list of those to load at its start."""
    version = kernel_version(tree)
    # Debian 13 has moved it, and without the base system there is no link from the old place.
    above = tree / "usr" if (tree / "usr/lib/modules").is_dir() else tree
    base = above / "lib/modules" / version
    _depmod(above, version)
    order = [path for name in recipe.MODULES for path in _with_needs(above, version, name)]
    wanted = set(order)
    for folder in recipe.MODULE_FOLDERS:
        wanted.update((base / "kernel" / folder).rglob("*.ko*"))
    inside = out / "usr/lib/modules" / version
    for path in wanted:
        _copy_module(path, inside / path.relative_to(base))
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        shutil.copy(base / name, inside / name)
    _depmod(out / "usr", version)
    loaded = [str(path.relative_to(base)).removesuffix(".xz") for path in dict.fromkeys(order)]
    (out / "usr/lib/modules/loaded").write_text("".join(f"{version}/{name}\n" for name in loaded))


def _copy_module(path: Path, target: Path) -> None:
    """Copy it as it is, or unpacked: busybox loads nothing that is compressed."""
    raw = path.read_bytes()
    if path.suffix == ".xz":
        raw, target = lzma.decompress(raw), target.with_suffix("")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(raw)


def _depmod(base: Path, version: str) -> None:
    _kmod("depmod", "--basedir", str(base), version)


def _with_needs(above: Path, version: str, module: str) -> list[Path]:
    """List the files of a module and of what it needs, those first; none for a built-in one."""
    told = _kmod(
        "modprobe", "--dirname", str(above), "--set-version", version, "--show-depends", module
    )
    words = (line.split() for line in told.splitlines())
    return [Path(line[1]) for line in words if line[0] == "insmod"]


def _kmod(program: str, *arguments: str) -> str:
    """Run one of kmod's programs, which lie where only root looks."""
    found = shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if found is None:
        raise RecipeFailed(f"{program} is not here: apt-get install kmod")
    done = subprocess.run(
        [found, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise RecipeFailed(f"{program} {' '.join(arguments)}: {done.stderr}")
    return done.stdout
