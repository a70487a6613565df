"""Vendored files are what their makers published, and the browser is told to trust nothing else."""

from __future__ import annotations

import gzip
import hashlib
import json
from importlib import resources

from server.web import static
from server.web.security import HEADERS, POLICY

VENDOR = resources.files("server.web") / "static/vendor"


def test_vendored_files_are_what_was_published() -> None:
    listed = json.loads((VENDOR / "vendor.json").read_text("utf-8"))
    assert {one["name"]: one["version"] for one in listed} == {
        "htmx.org": "2.0.11",
        "htmx-ext-sse": "2.2.4",
    }
    for one in listed:
        content = (VENDOR / one["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == one["sha256"], one["file"]
        assert (VENDOR / one["licence_file"]).read_text("utf-8").strip()


def test_names_hold_a_digest_of_the_content() -> None:
    files = static.load()
    for name in static.FILES:
        found = files.by_name[files.names[name]]
        assert hashlib.sha256(found.content).hexdigest()[:12] in files.url(name)
        assert gzip.decompress(found.gzipped) == found.content


def test_nothing_is_loaded_from_elsewhere() -> None:
    root = resources.files("server.web")
    texts = [(root / "static" / name).read_text("utf-8") for name in ("hemma.css", "hemma.js")]
    texts += [one.read_text("utf-8") for one in (root / "templates").iterdir()]
    for text in texts:
        assert "http://" not in text.replace("http://www.w3.org", "")
        assert "https://" not in text
        assert " style=" not in text
        assert " onclick" not in text


def test_the_policy_allows_nothing_unsafe() -> None:
    assert POLICY.startswith("default-src 'none'")
    assert "unsafe" not in POLICY
    assert "*" not in POLICY
    assert HEADERS["X-Content-Type-Options"] == "nosniff"
