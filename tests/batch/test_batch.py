"""`ptocr batch`: every input of every kind once, whatever happens to the processes."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import Counter
from pathlib import Path, PurePath

import pytest
import yaml
from PIL import Image

from ptocr.batch.inventory import Item, content, list_items
from ptocr.batch.manifest import Manifest
from ptocr.cli import batch as batch_command
from ptocr.cli.plan import targets_of
from ptocr.errors import InputError, SpecError

CHECKOUT = Path(__file__).resolve().parents[2]

# `ptocr batch` with a pipeline that reads the name of the file and notes each reading. It takes its time, and ends the
# process on an input called poison.
STAND_IN = """
import os, sys, time
from pathlib import Path
import numpy as np
from ptocr.batch import Job, Manifest, run_job
from ptocr.batch.inventory import list_items
from ptocr.batch.work import Recipe
from ptocr.document.results import OCRResult
from ptocr.inputs.read import iter_pages

BOX = np.array([[2, 2], [58, 2], [58, 18], [2, 18]], np.int32)

class Reader:
    width = 1
    def predict(self, value, **options):
        for page in iter_pages(value):
            name = Path(page.input_path or "-").name
            time.sleep(float(os.environ.get("SECONDS_A_PAGE", "0")))
            if name.startswith("poison"):
                os._exit(7)
            if name.startswith("chance") and not os.path.exists("tried"):
                open("tried", "w").close()
                raise OSError("the disk hiccups")
            yield OCRResult(input_path=page.input_path, page_index=page.page_index, image=page.image, dt_polys=[BOX],
                            rec_texts=[name], rec_scores=[0.9], rec_polys=[BOX])

def make():
    return Reader()

if __name__ == "__main__":
    if sys.argv[1] == "--direct":  # without the command line, which takes seconds to load
        manifest = Manifest(Path("out"), "")
        manifest.add(list_items(["in"]))
        counts = run_job(Job((Recipe(make, "out", (".json", ".md"), {}),) * 2), manifest)
        sys.exit(counts["failed"])
    from ptocr.cli import batch, main

    batch._makers = lambda args: [make] * (args.workers or 2)
    sys.exit(main(["batch", *sys.argv[1:], "--output", "out", "--device", "cpu"]))
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    return tmp_path


def command(place: Path, *arguments: str, **settings: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, **settings}
    run = [sys.executable, "stand_in.py", *arguments]
    return subprocess.Popen(run, cwd=place, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True)


def batch(place: Path, *arguments: str) -> tuple[int, str]:
    process = command(place, *arguments)
    _, err = process.communicate(timeout=120)
    return process.returncode, err


def picture(path: Path, pages: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [Image.new("RGB", (60, 20), "white") for _ in range(pages)]
    images[0].save(path, **({"save_all": True, "append_images": images[1:]} if pages > 1 else {}))


def texts(path: Path) -> list[list[str]]:
    return [page["rec_texts"] for page in json.loads(path.read_text())]


def test_kinds_of_inputs(tmp_path: Path) -> None:
    for name in ("a/one.png", "a/deep/two.png", "b/one.png"):
        picture(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "box.zip", "w") as archive:
        archive.write(tmp_path / "a/one.png", "in/three.png")
        archive.write(tmp_path / "a/one.png", "../../out.png")
        archive.writestr("notes.txt", "no picture")
    with tarfile.open(tmp_path / "box.tar.gz", "w:gz") as archive_:
        archive_.add(tmp_path / "a/one.png", "four.png")
    (tmp_path / "list").write_text(f"{tmp_path}/b\n\n{tmp_path}/absent.png\n")
    inputs = [str(tmp_path / "a"), str(tmp_path / "box.zip"), str(tmp_path / "box.tar.gz"), f"@{tmp_path}/list"]
    found = list(list_items(inputs, recursive=True))
    items = [item for item in found if isinstance(item, Item)]
    assert [item.below for item in items] == ["deep/two", "one", "box/in/three", "box/out", "box/four", "one"]
    assert [isinstance(entry, InputError) for entry in found].count(True) == 1 and "absent" in str(found[-1])
    data = (tmp_path / "a/one.png").read_bytes()
    assert content(items[2]) == content(items[4]) == data and content(items[1]) == str(tmp_path / "a/one.png")
    with pytest.raises(InputError, match="gone"):
        content(Item(str(tmp_path / "box.zip"), "gone.png", "gone"))


def test_addresses_of_other_stores(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    import fsspec

    picture(tmp_path / "one.png")
    files = fsspec.filesystem("memory")
    for name in ("scans/one.png", "scans/more/two.png", "scans/notes.txt"):
        files.pipe(f"/{name}", (tmp_path / "one.png").read_bytes())
    items = [item for item in list_items(["memory://scans"], recursive=True) if isinstance(item, Item)]
    assert [item.below for item in items] == ["more/two", "one"]
    assert content(items[0]) == (tmp_path / "one.png").read_bytes()
    with pytest.raises(SpecError, match="nothing://"):
        list(list_items(["nothing://x"]))


def test_a_manifest_gives_each_item_a_place_and_keeps_it(tmp_path: Path) -> None:
    items = [Item("a/x.png", "", "x"), Item("b/X.png", "", "X"), Item("c.zip", "x.png", "x")]
    manifest = Manifest(tmp_path, "s")
    assert manifest.add(items) == manifest.add(reversed(items)) == 3
    places = [item.below for _, item, _ in manifest.todo()]
    assert places[0] == "x" and len({place.casefold() for place in places}) == 3
    manifest.begun(1)
    manifest.done(1, 4, 0.1)
    manifest.begun(2)
    manifest.failed(3, "broken")
    manifest.close()
    manifest = Manifest(tmp_path, "s")
    assert [(number, begun) for number, _, begun in manifest.todo()] == [(2, True)]
    assert [number for number, _, _ in manifest.todo(failed=True)] == [2, 3]
    assert manifest.counts() == {"new": 0, "begun": 1, "done": 1, "failed": 1, "pages": 4}
    assert manifest.failures() == [("c.zip:x.png", "broken")]
    with pytest.raises(SpecError, match="other settings"):
        Manifest(tmp_path, "t")
    (tmp_path / "no").mkdir()
    (tmp_path / "no" / "manifest.sqlite").write_text("not a database, but long enough to be looked at" * 30)
    with pytest.raises(SpecError, match="no manifest"):
        Manifest(tmp_path / "no", "s")


def test_failures_have_reasons_and_take_nothing_with_them(place: Path) -> None:
    for n in range(6):
        picture(place / f"in/{n}.png")
    picture(place / "in/pages.tif", pages=3)
    picture(place / "in/poison.png")
    picture(place / "in/chance.png")
    (place / "in/broken.png").write_bytes(b"no picture")
    (place / "out").mkdir()
    (place / "out/5.json").write_text("somebody else's")
    code, err = batch(place, "in", "--format", "json,md", "--retries", "1")
    assert code == 1 and "Traceback" not in err, err
    assert "out: 7 inputs with 9 pages are done, 3 failed" in err
    reasons = dict(line.split("\t") for line in (place / "out/failed.tsv").read_text().splitlines())
    assert {PurePath(name).name for name in reasons} == {"5.png", "broken.png", "poison.png"}
    assert "ended (exit status 7) 2 times" in reasons["in/poison.png"] and "not of this job" in reasons["in/5.png"]
    assert (place / "out/5.json").read_text() == "somebody else's"
    assert len(texts(place / "out/pages.json")) == 3 and (place / "out/chance.md").exists()
    (place / "out/5.json").unlink()
    picture(place / "in/broken.png")
    (place / "in/poison.png").unlink()
    code, err = batch(place, "in", "--format", "json,md", "--retries", "0", "--retry_failed")
    assert code == 1 and "out: 9 inputs with 11 pages are done, 1 failed" in err


def kills(place: Path, count: int) -> None:
    """Kill a job so many times at random moments, then let it end: every page is there, once."""
    chance, inputs = random.Random(count), 40
    for n in range(inputs):
        picture(place / f"in/{n}.tif", pages=1 + n % 3)
    for _ in range(count):
        process = command(place, "--direct", SECONDS_A_PAGE="0.02")
        deadline = time.monotonic() + 60
        while not (place / "out/manifest.sqlite").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(chance.uniform(0.0, 2.0))
        os.killpg(process.pid, signal.SIGKILL)  # the workers too, as a machine that loses its power
        process.communicate()
    code, err = batch(place, "--direct")
    assert code == 0, err
    for n in range(inputs):
        assert texts(place / f"out/{n}.json") == [[f"{n}.tif"]] * (1 + n % 3)
        assert (place / f"out/{n}.md").read_text().count(f"{n}.tif") >= 1 + n % 3
    left = Counter(path.suffix for path in (place / "out").rglob("*") if not path.name.startswith((".", "manifest")))
    assert left == {".json": inputs, ".md": inputs}  # and nothing half done
    rows = sqlite3.connect(place / "out/manifest.sqlite").execute("SELECT state, SUM(pages) FROM items GROUP BY state")
    assert rows.fetchall() == [("done", sum(1 + n % 3 for n in range(inputs)))]


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
def test_killed_and_resumed(place: Path) -> None:
    kills(place, 2)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
def test_killed_ten_times_and_resumed(place: Path) -> None:
    kills(place, 10)


def test_the_flags_of_the_example_for_kubernetes() -> None:
    job = yaml.safe_load((CHECKOUT / "deploy/kuberay.yaml").read_text())["spec"]
    parser = argparse.ArgumentParser()
    batch_command.add_arguments(parser)
    program, command, *flags = job["entrypoint"].split()
    args = parser.parse_args(flags)
    assert (program, command, args.over, args.ray_address, args.inputs) == (
        "ptocr",
        "batch",
        "ray",
        "auto",
        ["/pages/in"],
    )
    cores = int(
        job["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"]
    )
    most = job["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplicas"] * cores
    assert int(args.ray_actors.partition(",")[2]) * args.ray_cpus <= most  # all of them find room
    assert targets_of(["out/"], args.format, None).suffixes == (".json", ".parquet")


def test_inputs_in_the_output_folder_are_an_error(place: Path) -> None:
    picture(place / "out/a.png")
    for given in ("out", "out/a.png"):
        code, err = batch(place, given)
        assert code == 2 and f"{given}: lies in the output folder out" in err, err
        assert os.listdir(place / "out") == ["a.png"]
