"""The lock files cover pyproject.toml, agree with each other, and name no place."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "deploy" / "locks"
EXTRAS = ("gateway", "server", "demo", "test")


def pins(name: str) -> dict[str, set[Version]]:
    """Return the versions that a lock pins, by package; more than one where Pythons differ."""
    found: dict[str, set[Version]] = {}
    for line in (LOCKS / f"{name}.txt").read_text().splitlines():
        if pinned := re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", line):
            found.setdefault(canonicalize_name(pinned[1]), set()).add(Version(pinned[2]))
    return found


def wanted(extra: str) -> list[Requirement]:
    """Return what an extra asks for, extras that it includes and the core's needs among them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [Requirement(text) for text in project["dependencies"]]
    open_extras, seen = [extra], set[str]()
    while open_extras:
        name = open_extras.pop()
        if name in seen:
            continue
        seen.add(name)
        for text in project["optional-dependencies"][name]:
            requirement = Requirement(text)
            if requirement.name == "hemma":
                open_extras.extend(requirement.extras)
            else:
                asked.append(requirement)
    return asked


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_lock_covers_what_its_extra_asks_for(extra: str) -> None:
    pinned = pins(extra)
    for requirement in wanted(extra):
        versions = pinned.get(canonicalize_name(requirement.name), set())
        assert any(requirement.specifier.contains(one) for one in versions), (
            f"{requirement} is not in deploy/locks/{extra}.txt: see deploy/locks/README.md"
        )


def test_the_demo_finds_everything_in_the_environment_of_the_tests() -> None:
    demo, tests = pins("demo"), pins("test")
    assert demo == {name: tests.get(name) for name in demo}


@pytest.mark.parametrize("name", [*EXTRAS, "tools"])
def test_every_pin_has_a_hash_and_no_address_or_path_leaks(name: str) -> None:
    text = (LOCKS / f"{name}.txt").read_text()
    entries = re.split(r"\n(?=\S)(?!#)", text)
    assert all("--hash=sha256:" in entry for entry in entries if "==" in entry)
    for leak in ("://", "index-url", "find-links", "file:", "/home/", "/root", "/tmp/"):
        assert leak not in text
