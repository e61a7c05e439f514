"""Numbers for whoever watches the service: requests, how long they take, and jobs."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from geomap.store import Store
from geomap.store.queue import job_counts
from geomap.store.scope import WORKER

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that are counted and logged by their names; a client may make up any other."""
_SECONDS: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class Metrics:
    """The numbers of one application, in a registry of its own.

    Labels are routes as they are declared, never paths as they were sent: they name nobody and are few.

    Examples
    --------
    >>> metrics = Metrics()
    >>> metrics.observe("GET", "/version", 200, 0.002)
    >>> b'geomap_requests_total{method="GET",route="/version",status="200"} 1.0' in metrics.page(None)
    True
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "geomap_requests", "Requests answered", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "geomap_request_seconds",
            "Seconds until a request was answered",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._jobs = Gauge("geomap_jobs", "Jobs by state", ("state",), registry=self.registry)
        self._waiting = Gauge(
            "geomap_oldest_queued_job_seconds",
            "Age of the job that waits longest; 0 without any",
            registry=self.registry,
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def page(self, store: Store | None) -> bytes:
        """All numbers in the text format of Prometheus."""
        if store is not None:
            with store.read(WORKER) as tx:
                counts, oldest_s = job_counts(tx)
            for state, number in counts.items():
                self._jobs.labels(state).set(number)
            self._waiting.set(oldest_s)
        return generate_latest(self.registry)
