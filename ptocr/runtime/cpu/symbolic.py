"""Symbolic tracing (torch.fx) of a network in a process whose other threads run networks meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container
from typing import Any

from torch import fx, nn

_TRACING = threading.Lock()  # torch restores what it patched in the order of one trace after the other


def followed(network: nn.Module, whole: Container[type]) -> fx.Graph:
    """The graph of a network, whatever its sizes; modules of the types `whole` stay one node."""
    with _TRACING:
        return _Tracer(whole).trace(network)


class _Tracer(fx.Tracer):
    """While one thread traces, torch's modules are patched for all threads: what others run passes as it is."""

    def __init__(self, whole: Container[type]) -> None:
        super().__init__()
        self.whole = whole
        self.thread = threading.get_ident()

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return type(module) in self.whole

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if threading.get_ident() != self.thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self.thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)
