"""What is known about each model, and whether its weights are on this machine: the rows of `ptocr models`. No torch,
but to count the parameters of a model that `configs/parameters.yaml` lacks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ptocr import paths
from ptocr.spec.model import ModelSpec, list_specs, load_spec
from ptocr.spec.yaml import read_yaml
from ptocr.weights.fetch import describe


@dataclass(frozen=True)
class ModelRow:
    """One line of `ptocr models`. path: the `.pth` on this machine, or None; size: its bytes, estimated without it."""

    name: str
    task: str
    family: str
    languages: tuple[str, ...]
    parameters: int
    sources: tuple[str, ...]
    path: Path | None
    size: int

    @property
    def local(self) -> bool:
        return self.path is not None


def local_file(name: str) -> Path | None:
    """The `.pth` of a model if it is on this machine: in the checkout's `weights/`, else in the user's cache."""
    folders = (paths.checkout_weights(), paths.cache_weights())
    return next((f / f"{name}.pth" for f in folders if f is not None and (f / f"{name}.pth").is_file()), None)


@cache
def parameter_table() -> dict[str, int]:
    """Model -> parameters of its network as used for inference: `configs/parameters.yaml`, written by
    `tools/models_table.py`."""
    return dict(read_yaml(paths.configs() / "parameters.yaml"))


def count_parameters(spec: ModelSpec) -> int:
    """Parameters of the network as used for inference, counted without allocating them; builds the network."""
    from ptocr.checkpoint import empty_network

    return sum(p.numel() for p in empty_network(spec.architecture, spec.classes).parameters())


def model_status(name: str) -> ModelRow:
    """What is known about a model, and whether its weights are on this machine. Touches no network."""
    spec = load_spec(name)
    path, parameters = local_file(name), parameter_table().get(name) or count_parameters(spec)
    return ModelRow(
        name=name,
        task=spec.task,
        family=spec.family,
        languages=spec.languages,
        parameters=parameters,
        sources=tuple(describe(source) for source in spec.sources),
        path=path,
        size=4 * parameters if path is None else path.stat().st_size,
    )


def model_table(task: str | None = None) -> list[ModelRow]:
    """`model_status` of every model, or of one task."""
    return [model_status(name) for name in list_specs(task)]
