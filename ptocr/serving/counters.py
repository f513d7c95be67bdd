"""Metrics of a server in Prometheus' text format. Needs prometheus-client, which the extra `serve` brings."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ptocr.runtime import batching

if TYPE_CHECKING:
    from ptocr.serving.admission import Admission

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """Counters of one server, in a registry of its own.

    Raises:
        ImportError: prometheus-client is not installed.
    """

    def __init__(self, admission: Admission) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter("ptocr_requests", "Answers by status", ["code"], registry=self.registry)
        self._seconds = Histogram(
            "ptocr_request_seconds", "From first byte to answer", buckets=_SECONDS, registry=self.registry
        )
        self._pages = Counter("ptocr_pages", "Pages that were read", registry=self.registry)
        self._stages = Counter("ptocr_stage_seconds", "Work by stage", ["stage"], registry=self.registry)
        queue = Gauge("ptocr_queue", "Requests that wait for a worker", registry=self.registry)
        queue.set_function(lambda: admission.waiting)
        running = Gauge("ptocr_running", "Requests in work", registry=self.registry)
        running.set_function(lambda: admission.running)
        for name in batching.counted:  # pictures / runs is the mean batch of a GPU; on a CPU there are none
            gauge = Gauge(f"ptocr_batch_{name}", f"{name.capitalize()} in shared batches", registry=self.registry)
            gauge.set_function(functools.partial(batching.counted.__getitem__, name))

    def page(self, timings: Mapping[str, float]) -> None:
        """A page was read. timings: seconds by stage."""
        self._pages.inc()
        for stage, seconds in timings.items():
            self._stages.labels(stage).inc(max(seconds, 0.0))

    def request(self, code: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(str(code)).inc()
        self._seconds.observe(seconds)

    def text(self) -> tuple[bytes, str]:
        """What a scrape gets, and its content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self.registry), CONTENT_TYPE_LATEST
