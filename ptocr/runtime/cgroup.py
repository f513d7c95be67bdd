"""CPU quota of a container: how many processors' worth of time Linux's control groups give this process."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def cpu_quota(mount: Path = MOUNT, membership: Path = MEMBERSHIP) -> int | None:
    """Processors that the tightest quota of this process and the groups above it allows, rounded up; None without any.

    Both versions of control groups: `cpu.max`, and `cpu.cfs_quota_us` beside `cpu.cfs_period_us`.
    """
    shares = [share for folder in _folders(mount, membership) if (share := _share(folder)) is not None]
    return max(1, math.ceil(min(shares))) if shares else None


def _folders(mount: Path, membership: Path) -> Iterator[Path]:
    """The folders of this process's groups, and of those above: a container may see its own as the root."""
    with contextlib.suppress(OSError, ValueError):
        for line in membership.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            root = mount / controllers if controllers else mount
            inside = root / path.strip("/")
            yield from (folder for folder in (inside, *inside.parents) if folder.is_relative_to(root))


def _share(folder: Path) -> float | None:
    """Quota over period of one group; None where there is no limit."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # "max", or not there
        return None
