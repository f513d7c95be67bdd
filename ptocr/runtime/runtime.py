"""Runtime: a model that is ready to run. Nothing else in ptocr knows devices, number types, fusing or compilation."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ptocr.checkpoint import Checkpoint, network_of
from ptocr.runtime import threads
from ptocr.runtime.batching import BatchingSession
from ptocr.runtime.devices import BY_BACKEND, place_of, resolve_device
from ptocr.runtime.options import RuntimeOptions
from ptocr.runtime.placed import PlacedNetwork, placed
from ptocr.runtime.session import Session, open_session
from ptocr.runtime.shapes import sizes_of
from ptocr.spec.vocabulary import LAYOUTS
from ptocr.weights import store

if TYPE_CHECKING:
    from torch import nn


class Runtime:
    """A model's checkpoint and the session that runs its network. Stateless and thread-safe.

    run: the session's (pictures NCHW float32 -> float32 / int64 arrays). Recognisers return the best class and its
    probability per step, (N, T) each; `all_classes` runs the network alone, for the probabilities of all.
    """

    def __init__(self, checkpoint: Checkpoint, options: RuntimeOptions | None = None) -> None:
        self.checkpoint = checkpoint
        self.options = options or RuntimeOptions()
        place = place_of(self.options.device)
        if self.options.threads is not None:
            threads.set_threads(self.options.threads)
        self._lock = threading.Lock()
        self._network = PlacedNetwork(checkpoint, place, self.options.dtype)
        self._all_classes: Session | None = None
        self.session = self._open(decode=True)
        self.run = self.session.run

    def _open(self, decode: bool) -> Session:
        """A session; on devices that like batches, one that all threads share where a picture's answer depends on
        nothing else: decoders that go on until all lines of a batch have ended are the exception."""
        session = open_session(self._network, self.options, decode)
        charset, device = self.checkpoint.charset, self._network.kind
        feeds_back = charset is not None and not LAYOUTS[charset.layout].collapses
        return session if feeds_back or BY_BACKEND[device].host else BatchingSession(session)

    @property
    def all_classes(self) -> Session:
        """The session of the network without what is decoded beside it, by the same engine as everything else."""
        with self._lock:
            if self._all_classes is None:
                self._all_classes = self._open(decode=False)
        return self._all_classes

    def warm_up(self) -> None:
        """Run a small input once, so that the first real one finds everything loaded, built and allocated."""
        self.run(*[np.zeros((1, *sizes.shape[1:]), np.float32) for sizes in sizes_of(self.checkpoint)])

    def stream(
        self, batches: Iterable[Callable[[], np.ndarray]], all_classes: bool = False
    ) -> Iterator[list[np.ndarray]]:
        """Outputs of many small batches, in their order; a batch is made when its turn comes.

        On a CPU several batches run at once, each on one thread; on a GPU batches of all threads run together. Answers
        are the same as one by one.
        """
        session = self.all_classes if all_classes else self.session
        if isinstance(session, BatchingSession):
            return session.stream(batches)
        count = threads.count()
        if count == 1 or not session.parallel:
            return (session.run(make()) for make in batches)
        return threads.side_by_side(lambda make: session.run(make()), batches, count)

    @property
    def prefers_single(self) -> bool:
        """Whether pictures are better run singly than in batches: as fast, in less memory, in fewer shapes."""
        return self.session.batch == 1

    def __getstate__(self) -> dict[str, Any]:
        """Only what the runtime is made of: the other process builds its own."""
        return {"checkpoint": self.checkpoint, "options": self.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["checkpoint"], state["options"])  # type: ignore[misc]


def make_runtime(
    model: str | os.PathLike[str] | Checkpoint,
    options: RuntimeOptions,
    expected: str | None = None,
    charset: str | os.PathLike[str] | None = None,
) -> Runtime:
    """The runtime of a model name, a weights file (converted when needed) or a checkpoint.

    expected: the model that a file must hold; charset: a dictionary file instead of the weights' own.
    """
    if not isinstance(model, Checkpoint):
        model = store.load(os.fspath(model), expected, None if charset is None else os.fspath(charset))
    return Runtime(model, options)


def load_model(
    name_or_pth: str | os.PathLike[str], fuse: bool = True, device: str = "cpu", dtype: str = "float32"
) -> nn.Module:
    """A network with its weights, in evaluation mode.

    name_or_pth: a model name (fetched and converted when it is not on this machine) or a `.pth` of ptocr. The module
    maps NCHW float tensors to: det (N, 1, H, W) probabilities; rec (N, T, C) softmax; cls (N, K) softmax; unwarp
    (N, 3, H, W).

    Raises:
        SpecError, WeightsError, DeviceError: unknown name, no weights, no such device.
    """
    options = RuntimeOptions(device=device, dtype=dtype)
    network = network_of(store.load(os.fspath(name_or_pth)), form="fused" if fuse else None)
    return placed(network, resolve_device(options.device), options.torch_dtype)
