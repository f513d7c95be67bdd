"""URLs against a real resolver and real servers: a network of its own whose addresses are public, private, and change.

In a namespace (`unshare -rnm`) the loopback interface has the addresses 93.184.216.34 (public), 10.9.8.7 and
169.254.169.254 (not), a server listens on all of them, and a resolver on port 53 answers as this file says.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNSHARE = ["unshare", "--user", "--map-root-user", "--net", "--mount"]


@cache
def namespaces() -> bool:
    if sys.platform != "linux" or not shutil.which("unshare") or not shutil.which("mount"):
        return False
    code = "mount -t tmpfs none /mnt"  # mounting is what containers forbid
    return subprocess.run([*UNSHARE, "sh", "-c", code], capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not namespaces(), reason="needs Linux that lets users make network namespaces")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By case: what came of it, names that were looked up, addresses at which the server was asked for what."""
    resolv = tmp_path_factory.mktemp("resolver") / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.1\noptions timeout:2 attempts:1\n")
    code = f"mount --bind {resolv} /etc/resolv.conf && exec {sys.executable} -m tests.inputs.rebinding"
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [*UNSHARE, "sh", "-c", code], capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    cases: dict[str, Any] = json.loads(done.stdout)
    return cases


def test_a_public_name_is_fetched(seen: dict[str, Any]) -> None:
    assert seen["public"] == ["fetched", ["public.test"], [["93.184.216.34", "/a"]]]


@pytest.mark.parametrize(
    ("case", "address"),
    [
        ("private", "10.9.8.7"),
        ("metadata", "169.254.169.254"),
        ("loopback", "127.0.0.1"),
        ("one of two", "10.9.8.7"),
        ("mapped", "::ffff:10.9.8.7"),
    ],
)
def test_names_of_private_addresses_are_refused(seen: dict[str, Any], case: str, address: str) -> None:
    came, _, asked = seen[case]
    assert "private or local address" in came and address in came
    assert asked == []


@pytest.mark.parametrize("case", ["to private", "to metadata", "to a private name", "to a file"])
def test_redirects_to_what_is_not_public_are_refused(seen: dict[str, Any], case: str) -> None:
    """Asked for is the redirect alone, at the public address."""
    came, _, asked = seen[case]
    assert "private or local address" in came or "only http and https" in came
    assert [address for address, _ in asked] == ["93.184.216.34"]


def test_redirects_between_public_names_are_followed(seen: dict[str, Any]) -> None:
    came, names, asked = seen["to public"]
    assert came == "fetched" and names == ["public.test", "other.test"]
    assert asked == [["93.184.216.34", "/to-public"], ["93.184.216.34", "/a"]]


def test_a_name_that_changes_its_address_is_looked_up_once(seen: dict[str, Any]) -> None:
    """Public when it is checked, private ever after."""
    assert seen["rebinding"] == ["fetched", ["rebind.test"], [["93.184.216.34", "/a"]]]


def test_a_name_that_changes_between_hops_is_checked_again(seen: dict[str, Any]) -> None:
    came, names, asked = seen["rebinding by redirect"]
    assert "rebind2.test is the private or local address 10.9.8.7" in came
    assert names == ["rebind2.test", "rebind2.test"] and [address for address, _ in asked] == ["93.184.216.34"]


def test_unknown_names_and_silent_resolvers_are_named(seen: dict[str, Any]) -> None:
    assert "is not known" in seen["unknown"][0] and "is not known" in seen["silent"][0]
