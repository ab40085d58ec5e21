"""Golden files: what was written once and read by a person; rewritten only with ZHURNAL_UPDATE_GOLDEN=1."""

import os
from pathlib import Path

FILES = Path(__file__).parent / "golden" / "files"


def check_golden(name: str, text: str) -> None:
    """Fail where `text` is not what the golden file holds."""
    path = FILES / name
    if os.environ.get("ZHURNAL_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    assert path.is_file(), f"{path} does not exist: make it with ZHURNAL_UPDATE_GOLDEN=1 and read it"
    assert text == path.read_bytes().decode(), f"{path.name} differs: if it should, rewrite it with ZHURNAL_UPDATE_GOLDEN=1 and read what changed"
