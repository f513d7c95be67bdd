"""Batch jobs over a Ray cluster: Ray Data carries the items to actors, one per GPU or per few cores. Needs the extra
`ray`; inputs and the output folder must be reachable from every machine (a shared file system, or addresses).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ptocr.batch.inventory import Item
from ptocr.batch.job import Job
from ptocr.batch.manifest import Manifest
from ptocr.batch.work import Outcome, Recipe, read_item
from ptocr.errors import SpecError


@dataclass(frozen=True)
class Cluster:
    """address: of the cluster, None starts one on this machine; actors: least and most of them, Ray scales in between;
    gpus, cpus: of one actor, fractions allowed."""

    address: str | None = None
    actors: tuple[int, int] = (1, 2)
    cpus: float = 1
    gpus: float = 0


class _Reader:
    """An actor: loads the pipeline once, then reads the items it is given."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.pipeline = recipe.make()
        if hasattr(self.pipeline, "warm_up"):
            self.pipeline.warm_up()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        item = Item(row["source"], row["member"], row["below"])
        return asdict(read_item(self.pipeline, self.recipe, int(row["number"]), item, bool(row["begun"])))


def ray_engine(cluster: Cluster) -> Callable[[Job, Manifest], Iterator[Outcome]]:
    """An engine for `run_job`. Ray restarts actors that die and gives their items to others.

    Raises:
        SpecError: Ray is not installed.
    """
    try:
        import ray
        import ray.data
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
        try:
            # an actor that dies with an item is restarted; so is the item, as it is read the same a second time
            read = ray.data.from_items(rows, override_num_blocks=min(len(rows), 4 * cluster.actors[1])).map(
                _Reader,
                fn_constructor_args=(job.recipes[0],),
                concurrency=cluster.actors,
                num_cpus=cluster.cpus,
                num_gpus=cluster.gpus or None,
                max_restarts=-1,
                max_task_retries=job.retries,
            )
            for row in read.iter_rows():
                yield Outcome(**row)
        finally:
            if started:
                ray.shutdown()

    return outcomes
