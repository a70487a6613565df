"""Where on the disk the demo keeps things."""

import os
from pathlib import Path


def kept_folder() -> Path:
    """Return where `hemma demo --keep` keeps its data when no folder is named."""
    data = os.environ.get("XDG_DATA_HOME")
    home = os.environ.get("HOME")
    if data and Path(data).is_absolute():
        return Path(data, "hemma", "demo")
    return Path(home or "/var/lib", ".local/share/hemma/demo" if home else "hemma/demo")
