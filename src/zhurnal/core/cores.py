"""How many processor cores there are for this process."""

import os
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def cores() -> int:
    """Return how many of the machine's cores this process may use: those it is bound to, or its container's part of them where that is less."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, min([bound, *(max(1, int(part)) for part in _parts())]))


def _parts() -> list[float]:
    """Return the cores that control groups leave to this process: of its own group and of those around it, in both versions of groups."""
    found = []
    for name, path in _groups():
        while True:
            folder = GROUPS / name / path.strip("/")
            found += _quota(folder)
            if path in ("", "/"):
                break
            path = str(Path(path).parent)
    return found


def _groups() -> list[tuple[str, str]]:
    """Return (folder of the hierarchy, path of the group in it)."""
    try:
        lines = [line.split(":", 2) for line in OWN.read_text().splitlines()]
    except OSError:
        lines = []
    found = [("", "/"), ("cpu", "/"), ("cpu,cpuacct", "/")]
    for parts in lines:
        if len(parts) == 3:
            _, controllers, path = parts
            if not controllers:
                found.append(("", path))
            elif "cpu" in controllers.split(","):
                found += [("cpu", path), (controllers, path)]
    return list(dict.fromkeys(found))


def _quota(folder: Path) -> list[float]:
    try:
        if (file := folder / "cpu.max").exists():
            most, period = file.read_text().split()
        else:
            most, period = (folder / "cpu.cfs_quota_us").read_text(), (folder / "cpu.cfs_period_us").read_text()
        return [int(most) / int(period)] if int(most) > 0 < int(period) else []
    except (OSError, ValueError):  # no such group, or one without a limit (`max`, -1)
        return []
