"""Symbolic tracing of a network (torch.fx), whatever its sizes, while other threads of the process run networks.

`torch.fx.Tracer.trace` patches torch's modules for the whole process meanwhile. Here only the traced network is
changed, which nobody else has.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

from torch import Tensor, fx, nn
from torch.fx.proxy import TracerBase


def followed(network: nn.Module, whole: Container[type]) -> fx.Graph:
    """The graph of a network of one input; modules of the types `whole` stay one node. The network is changed in place:
    afterwards these modules take only what is traced.
    """
    tracer = _Tracer(network)
    for name, module in network.named_modules():
        if type(module) in whole:
            module.forward = tracer.one_node(name)
    result = network(tracer.create_proxy("placeholder", "x", (), {}))
    tracer.create_node("output", "output", (tracer.create_arg(result),), {})
    return tracer.graph


class _Tracer(TracerBase):
    """Writes down what is done with its proxies."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.graph = fx.Graph()
        self.names = {id(tensor): name for name, tensor in [*network.named_parameters(), *network.named_buffers()]}

    def one_node(self, name: str) -> Callable[..., fx.Proxy]:
        """What a module does that is not looked into."""
        return lambda *args, **kwargs: self.create_proxy("call_module", name, args, kwargs)

    def create_node(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any) -> fx.Node:
        """A node and nothing about where its module stands."""
        return self.graph.create_node(kind, target, args, kwargs, *rest)

    def create_arg(self, a: Any) -> Any:
        """An argument of a node; the network's tensors by their names."""
        if isinstance(a, Tensor):
            return self.create_node("get_attr", self.names.get(id(a), "constant"), (), {})
        return super().create_arg(a)
