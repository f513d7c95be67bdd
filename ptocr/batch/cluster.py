"""Batch jobs over a Ray cluster: Ray Data carries the items to actors, one per GPU or per few cores. Needs the extra
`ray`; inputs and the output folder must be reachable from every machine (a shared file system, or addresses).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ptocr.batch.inventory import Item
from ptocr.batch.job import Job
from ptocr.batch.manifest import Manifest
from ptocr.batch.work import Outcome, Recipe, read_item
from ptocr.errors import SpecError

MARKS = ".ray"  # folder in the output, while a job runs


@dataclass(frozen=True)
class Cluster:
    """address: of the cluster, None starts one on this machine; actors: least and most of them, Ray scales in between;
    gpus, cpus: of one actor, fractions allowed."""

    address: str | None = None
    actors: tuple[int, int] = (1, 2)
    cpus: float = 1
    gpus: float = 0


class _Reader:
    """An actor: loads the pipeline once, then reads the items it is given.

    Ray hands the items of an actor that died out again, all of a block, those that are done too. So each item has a
    mark in the output folder, which the next actor sees: that it was begun, and by its size how many actors died of it.
    """

    def __init__(self, recipe: Recipe, retries: int) -> None:
        self.recipe, self.retries = recipe, retries
        self.pipeline = recipe.make()
        if hasattr(self.pipeline, "warm_up"):
            self.pipeline.warm_up()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        item, number = Item(row["source"], row["member"], row["below"]), int(row["number"])
        mark = Path(self.recipe.folder, MARKS, str(number))
        begun, deaths = bool(row["begun"]) or mark.exists(), mark.stat().st_size if mark.exists() else 0
        if deaths > self.retries:
            return asdict(Outcome(number, reason=f"{item.name}: the actor that read it ended {deaths} times"))
        with mark.open("ab") as file:
            file.write(b".")
        for _ in range(1 + self.retries):
            outcome = read_item(self.pipeline, self.recipe, number, item, begun)
            if not outcome.again:
                break
            begun = True
        mark.write_bytes(b"")
        return asdict(outcome)


def ray_engine(cluster: Cluster) -> Callable[[Job, Manifest], Iterator[Outcome]]:
    """An engine for `run_job`. Ray restarts actors that die and gives their items to others.

    Raises:
        SpecError: Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise SpecError("Ray is not installed: pip install 'ptocr[ray]'") from None

    def outcomes(job: Job, manifest: Manifest) -> Iterator[Outcome]:
        rows = []
        for number, item, begun in manifest.todo(job.again):
            manifest.begun(number)
            rows.append({"number": number, "begun": begun, **asdict(item)})
        if not rows:
            return
        started = not ray.is_initialized()
        if started:
            ray.init(address=cluster.address, log_to_driver=False, include_dashboard=False, configure_logging=False)
        marks = manifest.path.with_name(MARKS)
        shutil.rmtree(marks, ignore_errors=True)  # of a run that was killed
        marks.mkdir()
        try:
            for row in _read_all(cluster, job, rows).iter_rows():
                yield Outcome(**row)
        finally:
            if started:
                ray.shutdown()
            shutil.rmtree(marks, ignore_errors=True)

    return outcomes


def _read_all(cluster: Cluster, job: Job, rows: list[dict[str, Any]]) -> Any:
    """A Ray dataset of outcomes, in blocks small enough that all actors have some."""
    import ray.data

    least, most = cluster.actors
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray.data.from_items(rows, override_num_blocks=min(len(rows), 4 * most)).map(
        _Reader,
        fn_constructor_args=(job.recipes[0], job.retries),
        compute=ray.data.ActorPoolStrategy(min_size=least, max_size=most),
        num_cpus=cluster.cpus,
        num_gpus=cluster.gpus or None,
    )
