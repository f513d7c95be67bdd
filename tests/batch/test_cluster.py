"""A batch job over Ray on this machine, with two actors and a pipeline that reads the names of files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptocr.batch import Job, Manifest, run_job
from ptocr.batch.cluster import Cluster, ray_engine
from ptocr.batch.inventory import list_items
from ptocr.batch.work import Recipe
from ptocr.document.results import OCRResult
from ptocr.inputs.read import iter_pages
from tests.batch.test_batch import picture

pytestmark = pytest.mark.integrations
BOX = np.array([[2, 2], [58, 2], [58, 18], [2, 18]], np.int32)


class Reader:
    """Reads the names of files; the first actor that meets `poison` dies of it, and each that meets `always`."""

    def predict(self, value: Any, **options: Any) -> Iterator[OCRResult]:
        for page in iter_pages(value):
            name = Path(page.input_path or "-").name
            mark = Path(page.input_path or "-").with_name("died")
            if "always" in name or (name.startswith("poison") and not mark.exists()):
                mark.touch()
                os._exit(9)
            yield OCRResult(
                input_path=page.input_path, page_index=page.page_index, image=page.image, dt_polys=[BOX],
                rec_texts=[f"{name} {os.getpid()}"], rec_scores=[0.9], rec_polys=[BOX],
            )  # fmt: skip


def test_over_ray_with_an_actor_that_dies(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="pip install 'ptocr[ray]'")
    for n in range(12):
        picture(tmp_path / f"in/{n}.png")
    picture(tmp_path / "in/poison.png")
    picture(tmp_path / "in/8always.png")  # between others, in one block with them
    (tmp_path / "in/broken.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    manifest = Manifest(out, "")
    manifest.add(list_items([str(tmp_path / "in")]))  # type: ignore[arg-type]
    engine = ray_engine(Cluster(actors=(2, 2), cpus=0.5))
    counts = run_job(Job((Recipe(Reader, str(out), (".json",), {}),), retries=1), manifest, engine)
    assert counts == {"new": 0, "begun": 0, "done": 13, "failed": 2, "pages": 13}
    assert (tmp_path / "in/died").exists() and "broken" in (out / "failed.tsv").read_text()
    assert "8always.png: the actor that read it ended 2 times" in (out / "failed.tsv").read_text()
    assert not (out / ".ray").exists()
    processes = set()
    for n in (*range(12), "poison"):
        (page,) = json.loads((out / f"{n}.json").read_text())
        name, process = page["rec_texts"][0].split()
        processes.add(process)
        assert name == f"{n}.png"
    assert len(processes) >= 2
    assert run_job(Job((Recipe(Reader, str(out), (".json",), {}),)), manifest, engine)["done"] == 13  # nothing to do
