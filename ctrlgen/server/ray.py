"""The same application on Ray Serve (extra `scale`): replicas, and as many of them as are needed.

A replica is a process with a model and a batch of its own. Ray's proxy takes connections and hands
each request, body and stream as they are, to the replica that is least busy; all that an answer
depends on happens there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ctrlgen.errors import ModelError
from ctrlgen.generator import Model
from ctrlgen.server.run import CONNECTIONS
from ctrlgen.server.settings import Settings

NAME = "ctrlgen"
"""The application's name in the cluster."""
ATTEMPTS = 2
"""How often a replica that fails to start is started."""


@dataclass(frozen=True)
class Replicas:
    """How many replicas there are, and what each gets.

    Args:
        least: How many there are at least, from the start.
        most: How many there may be while many requests are being answered; None: `least`.
        cpus: Cores of each.
        gpus: Devices, or shares of one, of each.
    """

    least: int = 1
    most: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.least < 1 or (self.most is not None and self.most < self.least):
            raise ValueError(f"1 to {self.least} to {self.most} replicas is no range")


def deploy(
    build: Callable[[], Model], settings: Settings, replicas: Replicas, *,
    host: str = "127.0.0.1", port: int = 8000, address: str | None = None,
) -> Callable[[], None]:  # fmt: skip
    """Start the application and return when it answers.

    Args:
        build: Loads the model; called in each replica.
        settings: The limits of each replica.
        replicas: How many, and how large.
        host: Address that Ray's proxy listens at.
        port: Its port. In a cluster where Ray Serve already runs, both stay what they are there.
        address: Of a running cluster; None starts one on this machine.

    Returns:
        Takes the application away again; a cluster that was started for it ends with it.

    Raises:
        ModelError: A replica did not start.
    """
    import ray
    from ray import serve

    own = not ray.is_initialized() and address is None
    if not ray.is_initialized():
        ray.init(address=address, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": host, "port": port})
    ended = _ending(own)
    try:
        serve.run(_application(build, settings, replicas), name=NAME, route_prefix="/")
    except RuntimeError as error:
        why = _reason()
        ended()
        raise ModelError(f"no replica started: {why or error}") from error
    except BaseException:
        ended()
        raise
    return ended


def serve_on_ray(
    build: Callable[[], Model], settings: Settings, replicas: Replicas, **where: Any
) -> None:
    """`deploy`, and take it away when interrupted."""
    ended = deploy(build, settings, replicas, **where)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        ended()


def _application(build: Callable[[], Model], settings: Settings, replicas: Replicas) -> Any:
    from ray import serve

    def app() -> Any:
        from ctrlgen.server.app import create_app

        return create_app(build(), settings)

    options: dict[str, Any] = {
        "name": NAME,
        "ray_actor_options": {"num_cpus": replicas.cpus, "num_gpus": replicas.gpus},
        # The replica itself says when it has too many, as it does without Ray.
        "max_ongoing_requests": CONNECTIONS,
        "max_constructor_retry_count": ATTEMPTS,
    }
    if replicas.most is None:
        options["num_replicas"] = replicas.least
    else:
        options["autoscaling_config"] = {
            "min_replicas": replicas.least,
            "max_replicas": replicas.most,
            # A replica answers so many together; what waits asks for another one.
            "target_ongoing_requests": settings.max_batch,
        }
    return serve.deployment(**options)(serve.ingress(app)()).bind()


def _reason() -> str:
    """What Ray knows of replicas that did not start: the last line of their traceback."""
    from ray import serve

    deployments = serve.status().applications[NAME].deployments.values()
    lines = [line for each in deployments for line in each.message.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def _ending(own: bool) -> Callable[[], None]:
    def end() -> None:
        import ray
        from ray import serve

        if own:
            serve.shutdown()
            ray.shutdown()
        else:
            serve.delete(NAME)

    return end
