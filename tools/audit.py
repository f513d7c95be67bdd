"""Dependencies: their licences, and whether faults of them are known.

python tools/audit.py                 # licences of what ptocr needs here, then pip-audit where it is installed
python tools/audit.py --extras serve  # with what an extra brings

Exit status 1: a licence that does not go with Apache-2.0, or a known vulnerability. Where the vulnerability service
cannot be reached, that is said and no failure. Needs: packaging (pytest brings it); pip-audit to look faults up.
"""

from __future__ import annotations

import argparse
import importlib.metadata as metadata
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PERMISSIVE = re.compile(
    r"apache|mit|bsd|isc|psf|python software|mpl|mozilla|zlib|hpnd|unlicense|public domain|boost|cc0|zpl|oldap",
    re.I,
)
COPYLEFT = re.compile(r"\b(a?gpl|lgpl)|gnu (affero|lesser|general)", re.I)
# looked at by a person
LOOKED_AT = {"nvidia": "NVIDIA's own terms, redistributable", "cuda": "the same", "triton": "MIT"}


def needed(root: str, extras: Iterable[str] = ()) -> list[metadata.Distribution]:
    """The installed distributions that `root` needs, and what those need, sorted by name."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [(root, tuple(extras))]
    while waiting:
        name, wanted = waiting.pop()
        for text in metadata.requires(name) or ():
            requirement = Requirement(text)
            key = canonicalize_name(requirement.name)
            here = any(requirement.marker.evaluate({"extra": e}) for e in (*wanted, "")) if requirement.marker else True
            if not here or key in found or key == canonicalize_name(root):
                continue
            try:
                found[key] = metadata.distribution(key)
            except metadata.PackageNotFoundError:
                continue
            waiting.append((key, tuple(requirement.extras)))
    return [found[key] for key in sorted(found)]


def licence(package: metadata.Distribution) -> str:
    """What a distribution says of its licence, in one line."""
    facts = package.metadata
    classifiers = [text.split(" :: ")[-1] for text in facts.get_all("Classifier") or () if text.startswith("License")]
    said = facts["License-Expression"] or ", ".join(classifiers) or (facts["License"] or "").strip()
    return said.splitlines()[0][:90] if said else ""


def doubtful(name: str, said: str) -> bool:
    """Whether a licence does not plainly go with Apache-2.0."""
    if any(name.startswith(known) for known in LOOKED_AT):
        return False
    return COPYLEFT.search(said) is not None or PERMISSIVE.search(said) is None


def vulnerabilities() -> list[str] | None:
    """A line for each known vulnerability of what is installed; None where that cannot be found out."""
    if importlib.util.find_spec("pip_audit") is None:
        return None
    options = ["--local", "--format", "json", "--progress-spinner", "off", "--timeout", "15"]
    command = [sys.executable, "-m", "pip_audit", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"pip-audit: {(done.stderr.strip().splitlines() or ['no answer'])[-1][:200]}", file=sys.stderr)
        return None
    return [f"{p['name']} {p['version']}: {v['id']}" for p in packages for v in p.get("vulns", ())]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extras", default="", help="names of extras, separated by commas")
    extras = [name for name in parser.parse_args(arguments).extras.split(",") if name]
    wrong = 0
    for package in needed("ptocr", extras):
        name, said = canonicalize_name(package.metadata["Name"]), licence(package)
        bad = doubtful(name, said)
        wrong += bad
        print(f"{'! ' if bad else '  '}{name} {package.version}: {said or 'not said'}")
    found = vulnerabilities()
    print("\n".join(found or ["no known vulnerability"]) if found is not None else "vulnerabilities: not looked up")
    return 1 if wrong or found else 0


if __name__ == "__main__":
    sys.exit(main())
