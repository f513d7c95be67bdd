"""CPU quotas of containers, from made-up control groups and in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ptocr.runtime.cgroup import cpu_quota


def group(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("membership", "files", "wanted"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/kube/pod\n", {"kube/cpu.max": "400000 100000", "kube/pod/cpu.max": "max 100000"}, 4),
        ("0::/kube/pod\n", {"kube/cpu.max": "400000 100000", "kube/pod/cpu.max": "100000 100000"}, 1),
        ("0::/elsewhere\n", {"cpu.max": "50000 100000"}, 1),  # the container sees its own group as the root
        (
            "3:cpu,cpuacct:/a\n",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "300000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"},
            3,
        ),
        ("3:cpu:/a\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("2:cpuset:/a\n", {"cpuset/a/cpu.max": "100000 100000"}, None),
        ("nonsense", {"cpu.max": "x"}, None),
    ],
)  # fmt: skip
def test_quota(tmp_path: Path, membership: str, files: dict[str, str], wanted: int | None) -> None:
    (tmp_path / "membership").write_text(membership)
    assert cpu_quota(group(tmp_path / "mount", files), tmp_path / "membership") == wanted


def test_no_control_groups(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path, tmp_path / "absent") is None


@pytest.mark.parametrize("torch", [False, True])
@pytest.mark.parametrize(("variable", "wanted"), [("", 1), ("2", 2)])
def test_threads_keep_to_the_quota_unless_told(tmp_path: Path, torch: bool, variable: str, wanted: int) -> None:
    (tmp_path / "membership").write_text("0::/\n")
    group(tmp_path, {"cpu.max": "100000 100000"})
    code = (
        "from pathlib import Path\n"
        "from ptocr.runtime import threads, cgroup\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "threads.cpu_quota = lambda: cgroup.cpu_quota(folder, folder / 'membership')\n"
        f"{'import torch' if torch else ''}\n"
        "print(threads.count())\n"
        f"threads.set_threads({3 - wanted})\n"
        "print(threads.count())"
    )
    kept = {key: value for key, value in os.environ.items() if key not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    environment = {**kept, **({"OMP_NUM_THREADS": variable} if variable else {})}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == [str(wanted), str(3 - wanted)], done.stderr
