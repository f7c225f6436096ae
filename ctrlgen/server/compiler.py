"""Compiles constraints in another process: off the event loop, bounded in time and memory."""

from __future__ import annotations

import asyncio
import hashlib
import pickle
import sys
from collections import OrderedDict
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

from ctrlgen.constraints import notation
from ctrlgen.constraints.nodes import Grammar
from ctrlgen.constraints.vocabulary import Vocabulary
from ctrlgen.server.faults import Fault
from ctrlgen.server.settings import Settings
from ctrlgen.server.worker import HEAD, write_message
from ctrlgen.spec import Spec

START_SECONDS = 120.0
"""How long the process may take to start."""

_NO_TEXT = ("values", "adapter")  # what a spec holds besides the texts that it allows


def key_of(spec: Spec) -> str:
    """A name of the language of a spec."""
    parts = [repr(getattr(spec, f.name)) for f in fields(spec) if f.name not in _NO_TEXT]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


class Compiler:
    """One compiling process, started when first needed and again when it had to be ended.

    Args:
        vocabulary: The tokens of the model.
        settings: How long and how large compiling may get.
    """

    def __init__(self, vocabulary: Vocabulary, settings: Settings) -> None:
        self._vocabulary, self._settings = vocabulary, settings
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._known: OrderedDict[str, Grammar | Fault] = OrderedDict()

    async def compile(self, spec: Spec, param: str | None) -> Grammar:
        """The grammar of a spec; one that was compiled or refused lately is not compiled again.

        Raises:
            Fault: It cannot be compiled, or not within the limits.
        """
        key = key_of(spec)
        if key not in self._known:
            async with self._turn:
                if key not in self._known:
                    self._keep(key, await self._made(spec, param))
        found = self._known[key]
        self._known.move_to_end(key)
        if isinstance(found, Fault):
            raise Fault(found.status, str(found), param, found.code)
        return found

    def _keep(self, key: str, made: Grammar | Fault) -> None:
        self._known[key] = made
        while len(self._known) > self._settings.kept:
            self._known.popitem(last=False)

    async def _made(self, spec: Spec, param: str | None) -> Grammar | Fault:
        process = self._process or await self._start()
        try:
            async with asyncio.timeout(self._settings.compile_seconds):
                kind, text = await _ask(process, _plain(spec))
        except TimeoutError:
            await self.close()
            seconds = self._settings.compile_seconds
            message = f"the constraint did not compile within {seconds:g} s; make it simpler"
            return Fault(400, message, param, "constraint_too_large")
        except (asyncio.IncompleteReadError, ConnectionError):
            await self.close()
            message = "the constraint took more memory than compiling may take"
            return Fault(400, message, param, "constraint_too_large")
        except BaseException:  # a client that went away: the process is in the middle of its spec
            await self.close()
            raise
        if kind == "ok":
            return notation.read(text)
        return Fault(400, text, param, "invalid_constraint")

    async def start(self) -> None:
        """Start the process ahead of the first spec."""
        async with self._turn:
            if self._process is None:
                await self._start()

    async def _start(self) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "ctrlgen.server.worker")
        limits = str(self._settings.compile_memory), str(self._settings.step_seconds)
        process = await asyncio.create_subprocess_exec(*command, *limits, stdin=pipe, stdout=pipe)
        self._process = process
        try:
            async with asyncio.timeout(START_SECONDS):
                await _ask(process, self._vocabulary)  # what it imports is no constraint's fault
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            await self.close()
            raise Fault(500, "the compiling process does not start") from error
        return process

    async def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _ask(process: asyncio.subprocess.Process, value: Any) -> tuple[str, str]:
    """Send a message and wait for what comes back."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(write_message(value))
    await process.stdin.drain()
    head = await process.stdout.readexactly(HEAD)
    kind, text = pickle.loads(await process.stdout.readexactly(int.from_bytes(head, "big")))
    return str(kind), str(text)


def _plain(spec: Spec) -> Spec:
    """The spec without what only parsing needs, and no pickle takes."""
    return replace(spec, adapter=None, values=(), parts=tuple(map(_plain, spec.parts)))
