"""Node-RED with a function node on ``pg``: got by npm once, kept outside the repository.

One INSERT a message, with as many rows as it has components, over a pool of ten connections; a
handler for lost connections is there, as pg's own documentation asks for.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from psycopg.conninfo import conninfo_to_dict

from hemma.broker import SERVER_USER, free_port
from tests.bench.ingest.broker import Broker

POOL: Final = 10
INSTALL_S: Final = 300
# Node-RED 5 wants Node 22.9 or later; 4 is the newest that Node 18 and 20 can run.
NEWEST_NEEDS: Final = (22, 9)
PG: Final = "pg@8"
# What has no place on the editor's canvas is taken for a configuration.
_PLACE: Final = {"x": 100, "y": 100}


def missing() -> str | None:
    """Get Node-RED if it is not here yet; return why it cannot run, or None."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "node or npm is not installed (apt-get install npm)"
    folder = _folder()
    if _program(folder).exists():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    line = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", _wanted(), PG]
    print("getting Node-RED by npm …", flush=True)
    made = subprocess.run(line, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    return None if made.returncode == 0 else f"npm failed: {made.stderr.strip()[-300:]}"


def version() -> str:
    """Return the versions of what was got."""
    told = []
    for package in ("node-red", "pg"):
        path = _folder() / "node_modules" / package / "package.json"
        told.append(f"{package} {json.loads(path.read_text())['version']}")
    return ", ".join(told)


def command(folder: Path, url: str, broker: Broker) -> list[str]:
    """Write a flow for this run into ``folder`` and return what starts it."""
    home = folder / "node-red"
    home.mkdir(exist_ok=True)
    address = conninfo_to_dict(url)
    pool = {"host": address["host"], "user": address["user"], "database": address["dbname"]}
    module = _folder() / "node_modules" / "pg"
    (home / "settings.js").write_text(
        _SETTINGS % (json.dumps(str(module)), json.dumps(pool | {"max": POOL}), free_port())
    )
    (home / "flows.json").write_text(json.dumps(_flow(broker.port)))
    (home / "flows_cred.json").write_text(
        json.dumps({"broker": {"user": SERVER_USER, "password": broker.password}})
    )
    node = shutil.which("node")
    assert node is not None
    return [node, str(_program(_folder())), "--userDir", str(home), str(home / "flows.json")]


def _flow(port: int) -> list[dict[str, Any]]:
    listens: list[dict[str, Any]] = [
        {
            "id": leaf, "type": "mqtt in", "z": "tab", "broker": "broker", "qos": "1",
            "topic": f"hemma/v1/+/{leaf}", "datatype": "utf8", "inputs": 0, "wires": [["insert"]],
            **_PLACE,
        }
        for leaf in ("measurements", "backlog")
    ]  # fmt: skip
    return [
        {"id": "tab", "type": "tab", "label": "bench"},
        {
            "id": "broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(port),
            "clientid": "node-red", "autoConnect": True, "usetls": False, "protocolVersion": "4",
            "keepalive": "60", "cleansession": False,
        },
        *listens,
        {
            "id": "insert", "type": "function", "z": "tab", "name": "insert", "func": _FUNCTION,
            "outputs": 0, "wires": [], **_PLACE,
        },
    ]  # fmt: skip


def _folder() -> Path:
    shared = Path("/var/cache/hemma")
    own = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "hemma")
    return (shared if os.geteuid() == 0 else own) / f"bench-{_wanted().replace('@', '-')}"


def _wanted() -> str:
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.match(r"v(\d+)\.(\d+)", told)
    assert found is not None
    return "node-red@latest" if (int(found[1]), int(found[2])) >= NEWEST_NEEDS else "node-red@4"


def _program(folder: Path) -> Path:
    return folder / "node_modules" / "node-red" / "red.js"


_SETTINGS: Final = """
const pool = new (require(%s).Pool)(%s);
pool.on('error', () => {});
module.exports = {
    uiPort: %d, uiHost: '127.0.0.1', httpAdminRoot: false, httpNodeRoot: false,
    credentialSecret: false, logging: { console: { level: 'warn' } },
    functionGlobalContext: { pool },
};
"""
_FUNCTION: Final = """
const rows = [], values = [];
for (const item of JSON.parse(msg.payload).items) {
    const device = parseInt(item.dev.slice(4), 16);
    for (const sample of item.samples) {
        const n = values.push(
            device % 100000, parseInt(sample.code), item.t, device, sample.value, item.uid);
        rows.push(`($${n - 5},$${n - 4},$${n - 3},$${n - 2},$${n - 1},$${n})`);
    }
}
global.get('pool').query(
    'INSERT INTO reading (patient_id, kind, ts, device_id, value, uid) VALUES ' + rows.join(',')
    + ' ON CONFLICT DO NOTHING', values).catch(error => node.error(error, msg));
return null;
"""
