"""What `/metrics` tells Prometheus; each server counts for itself."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "ctrlgen_requests", "Requests by route and status.", ["route", "status"],
            registry=registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "ctrlgen_request_seconds", "Seconds to the answer, or to the beginning of a stream.",
            ["route"], buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._tokens = Counter(
            "ctrlgen_tokens", "Tokens of prompts and answers.", ["kind"], registry=registry
        )
        self._passes = Counter("ctrlgen_forward_passes", "Forward passes.", registry=registry)
        self._batch = Histogram(
            "ctrlgen_batch_size", "Canvases in a forward pass.", buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=registry,
        )  # fmt: skip
        self._step = Histogram(
            "ctrlgen_step_seconds", "Seconds of a step of the whole batch.", buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._running = Gauge("ctrlgen_running", "Requests in the batch.", registry=registry)
        self._waiting = Gauge("ctrlgen_waiting", "Requests in the queue.", registry=registry)

    def request(self, route: str, status: int, seconds: float) -> None:
        """A request is answered, or its stream begins."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def tokens(self, prompt: int, answer: int) -> None:
        """An answer has ended."""
        self._tokens.labels("prompt").inc(prompt)
        self._tokens.labels("answer").inc(answer)

    def step(self, batch: int, seconds: float) -> None:
        """A forward pass, and what followed from it, have ended."""
        self._passes.inc()
        self._batch.observe(batch)
        self._step.observe(seconds)

    def jobs(self, running: int, waiting: int) -> None:
        """How many jobs there are now."""
        self._running.set(running)
        self._waiting.set(waiting)

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)
