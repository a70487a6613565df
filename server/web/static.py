"""Files the browser may keep for ever, because their name holds a digest of what is in them."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
FILES = (
    "hemma.css",
    "hemma.js",
    "icon.svg",
    "vendor/htmx-2.0.11.min.js",
    "vendor/htmx-ext-sse-2.2.4.min.js",
)


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file in both the forms a browser may ask for."""

    content: bytes
    gzipped: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class StaticFiles:
    """All files by the name with the digest, and those names by the plain ones."""

    by_name: Mapping[str, StaticFile]
    names: Mapping[str, str]

    def url(self, name: str) -> str:
        """Return where a file is; KeyError for one that is not served."""
        return f"/static/{self.names[name]}"


def load() -> StaticFiles:
    """Read the files that came with the package."""
    root = resources.files("server.web") / "static"
    by_name, names = {}, {}
    for name in FILES:
        content = (root / name).read_bytes()
        stem, suffix = name.rsplit("/", 1)[-1].rsplit(".", 1)
        hashed = f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{suffix}"
        by_name[hashed] = StaticFile(content, gzip.compress(content, mtime=0), TYPES[suffix])
        names[name] = hashed
    return StaticFiles(by_name, names)
