"""The compiling process: limits of time and memory, restarts, and what is remembered."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ctrlgen.constraints.constraint import Constraint
from ctrlgen.server.compiler import Compiler, key_of
from ctrlgen.server.faults import Fault
from ctrlgen.server.settings import Settings
from ctrlgen.server.worker import compile_here
from ctrlgen.spec import choice, json_schema, regex
from ctrlgen.testing import RandomDenoiser

VOCABULARY = RandomDenoiser().vocabulary
SLOW = json_schema({"type": "array", "minItems": 10**9})


def with_compiler(use: Callable[[Compiler], Awaitable[None]], **settings: Any) -> None:
    async def whole() -> None:
        compiler = Compiler(VOCABULARY, Settings(**settings))
        try:
            await use(compiler)
        finally:
            await compiler.close()

    asyncio.run(whole())


def test_what_comes_back_is_the_language() -> None:
    async def use(compiler: Compiler) -> None:
        made = await compiler.compile(regex("a|b+"), None)
        constraint = Constraint(made, VOCABULARY)
        assert [constraint.accepts(text) for text in ("a", "bb", "", "ab")] == [
            True, True, False, False,
        ]  # fmt: skip
        assert await compiler.compile(regex("a|b+"), None) is made

    with_compiler(use)


def test_what_takes_too_long_is_ended_and_the_next_one_is_served() -> None:
    async def use(compiler: Compiler) -> None:
        for _ in range(2):  # the second time it is known
            with pytest.raises(Fault, match="did not compile within") as caught:
                await compiler.compile(SLOW, "response_format")
            assert (caught.value.status, caught.value.param) == (400, "response_format")
        assert await compiler.compile(choice(["a"]), None)

    with_compiler(use, compile_seconds=0.5)  # it has too many states after a second or two


def test_errors_are_told_and_remembered() -> None:
    async def use(compiler: Compiler) -> None:
        for _ in range(2):
            with pytest.raises(Fault, match="position 0") as caught:
                await compiler.compile(regex("(a"), "structured_outputs.regex")
            assert caught.value.code == "invalid_constraint"

    with_compiler(use)


def test_a_client_that_goes_away_leaves_no_half_answer() -> None:
    async def use(compiler: Compiler) -> None:
        await compiler.start()
        task = asyncio.create_task(compiler.compile(SLOW, None))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        made = await compiler.compile(regex("x+"), None)
        assert Constraint(made, VOCABULARY).accepts("xx")

    with_compiler(use, compile_seconds=30.0)


def test_a_process_that_dies_is_replaced() -> None:
    async def use(compiler: Compiler) -> None:
        await compiler.start()
        assert compiler._process is not None
        compiler._process.kill()
        with pytest.raises(Fault, match="memory"):
            await compiler.compile(regex("a"), None)
        assert await compiler.compile(regex("b"), None)

    with_compiler(use)


def test_only_so_many_are_kept() -> None:
    async def use(compiler: Compiler) -> None:
        for i in range(5):
            await compiler.compile(choice([str(i)]), None)
        assert len(compiler._known) == 2

    with_compiler(use, kept=2)


def test_names_of_specs() -> None:
    assert key_of(regex("a")) == key_of(regex("a"))
    assert key_of(regex("a")) != key_of(choice(["a"]))
    assert key_of(json_schema({})) != key_of(json_schema({}, key_order="any"))


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (regex("a"), "ok"),
        (regex("(a"), "RegexError"),
        (json_schema({"type": "x"}), "SchemaError"),
        (json_schema({"enum": []}), "UnsatisfiableError"),
    ],
)
def test_the_worker(spec: Any, kind: str) -> None:
    assert compile_here(spec, VOCABULARY)[0] == kind


def test_what_would_hold_up_the_batch_is_refused() -> None:
    spec = json_schema({"type": "array", "minItems": 2000})
    assert compile_here(spec, VOCABULARY)[0] == "ok"
    assert compile_here(spec, VOCABULARY, seconds=0.0)[0] == "LimitError"
