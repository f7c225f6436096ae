"""An OpenAI-compatible server (extra `server`).

settings     what one client may ask for, and all of them together
faults       errors as OpenAI writes them
body         bytes of a request to JSON, bounded in size and time
requests     fields of a request: known, neutral, renamed, unknown
limits       size and depth of schemas, patterns and grammars
wanted       response_format, structured_outputs and tools as one Spec
structural   structural_tag as a Spec
compiler     compiles in another process, bounded in time and memory (`worker`)
batching     one thread, one batch: requests of different Specs join and leave between steps
service      from a request to its batch and back
deltas       what a stream has sent and what it sends next
chat, completions, responses   the three forms of question and answer
app          routes, keys, metrics
patience     a uvicorn protocol that does not wait for ever
run, ray     one process, or replicas of Ray Serve (extra `scale`)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctrlgen.server.app import create_app
    from ctrlgen.server.run import serve
    from ctrlgen.server.settings import Settings

__all__ = ["Settings", "create_app", "serve"]

_HOME = {"create_app": "app", "serve": "run", "Settings": "settings"}


def __getattr__(name: str) -> Any:
    """The names above, imported when first used: the compile worker needs none of them."""
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module 'ctrlgen.server' has no attribute {name!r}")
    return getattr(import_module(f"ctrlgen.server.{_HOME[name]}"), name)
