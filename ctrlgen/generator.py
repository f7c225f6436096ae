"""Model and Generator: bind a denoiser to a type, run the loop, return typed objects."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ctrlgen.canvas import Canvas, Scaffold
from ctrlgen.canvas.layout import Sizes
from ctrlgen.constraints import compile as compile_constraint
from ctrlgen.constraints.constraint import Constraint
from ctrlgen.constraints.nodes import Grammar
from ctrlgen.controllers import ConstraintController
from ctrlgen.controllers.branches import PairedBranches
from ctrlgen.controllers.grounding import Grounded
from ctrlgen.controllers.lengths import LengthSource, named
from ctrlgen.controllers.proposer import Proposer, propose_each
from ctrlgen.denoisers import Denoiser, wrapped
from ctrlgen.denoisers import load as load_denoiser
from ctrlgen.denoisers.base import RescoringDenoiser
from ctrlgen.denoisers.description import described
from ctrlgen.errors import (
    ContextOverflowError,
    ModelError,
    OptionError,
    OutputValidationError,
    PromptError,
)
from ctrlgen.loop import Seat, denoise
from ctrlgen.options import Options
from ctrlgen.prompts import Prompt, messages_of
from ctrlgen.result import Result, StepEvent
from ctrlgen.run import Engine, Limits, Run
from ctrlgen.schedulers import Scheduler, Threshold, TraceLock
from ctrlgen.search import Population, beam, checked, draw_again, judge_of, smc
from ctrlgen.spec import Spec, to_spec


class Model:
    """A denoiser that answers prompts with typed objects.

    `model(prompt, T)` is `Generator(model, T)(prompt)`; constraints of types used before are kept.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self._scaffolds: dict[Any, tuple[Spec, Scaffold]] = {}
        self.controller = ConstraintController()

    def __call__(self, prompt: Prompt, output_type: Any, **options: Any) -> Any:
        """Generate one object of `output_type`; see `Options` for the keywords."""
        return Generator(self, output_type, **options)(prompt)

    def bind(self, output_type: Any, grammar: Grammar | None = None) -> tuple[Spec, Scaffold]:
        """The spec of a type and the scaffold of its compiled constraint."""
        try:
            key = output_type if isinstance(output_type, type) else None
            if key is not None and key in self._scaffolds:
                return self._scaffolds[key]
        except TypeError:
            key = None
        spec = to_spec(output_type)
        constraint = compile_constraint(spec, self.denoiser.vocabulary, grammar)
        fitted = ("closing", "absence")
        sizes = Sizes(**{k: getattr(self.denoiser, k) for k in fitted if hasattr(self.denoiser, k)})
        scaffold = Scaffold(constraint, self.denoiser.encode, self.denoiser.fill_token_id, sizes)
        if key is not None:
            self._scaffolds[key] = (spec, scaffold)
        return spec, scaffold


class Generator:
    """A model bound to an output type, compiled once.

    Args:
        model: The model.
        output_type: Pydantic model, Python type, JSON Schema, `ctrlgen.regex(...)`,
            `ctrlgen.cfg(...)`, `ctrlgen.choice(...)` or `ctrlgen.tools(...)`.
        grammar: What `constraints.lower` makes of it, if that is at hand: nothing is lowered then.
        **options: See `Options`.

    Raises:
        ConstraintError: If the type cannot be compiled.
        OptionError: If there is no such option, or its value makes no sense.
    """

    def __init__(
        self, model: Model, output_type: Any, *, grammar: Grammar | None = None, **options: Any
    ) -> None:
        if not isinstance(model, Model):
            raise ModelError(
                f"a Generator takes a ctrlgen Model, not {model!r:.80}",
                hint="ctrlgen.load(...), ctrlgen.from_transformers(...) or ctrlgen.Model(denoiser)",
            )
        self.model = model
        self.options = Options().but(options)
        self.spec, self._scaffold = model.bind(output_type, grammar)

    @property
    def constraint(self) -> Constraint:
        """The compiled constraint."""
        return self._scaffold.constraint

    def __call__(self, prompt: Prompt, **options: Any) -> Any:
        """One typed object."""
        return self.generate(prompt, **options).output

    def batch(self, prompts: Sequence[Prompt], **options: Any) -> list[Any]:
        """One typed object a prompt, denoised together."""
        return [result.output for result in self.generate_batch(prompts, **options)]

    def generate(self, prompt: Prompt, **options: Any) -> Result:
        """One object with its text, cost and trace."""
        return self.generate_batch([prompt], **options)[0]

    def generate_batch(self, prompts: Sequence[Prompt], **options: Any) -> list[Result]:
        """One result a prompt, denoised together.

        Raises:
            CanvasTooSmallError: If the shortest answer does not fit `max_new_tokens`.
            ContextOverflowError: If it does not fit the model's context.
            OutputValidationError: If the type's own code, or `check`, refuses every attempt.
        """
        if isinstance(prompts, str):
            raise PromptError("a batch is a list of prompts, not a text", hint=f"[{prompts!r:.40}]")
        if not isinstance(prompts, Sequence):
            named_type = type(prompts).__name__
            raise PromptError(f"a batch is a list of prompts, not a {named_type}", hint="list(...)")
        chosen = self.options.but(options)
        runs = self._runs(prompts, chosen)
        for _ in self._denoise(runs, chosen):
            pass
        return [self.result(run, chosen.check) for run in runs]

    def best_of(
        self, prompt: Prompt, n: int, score: Callable[[Any], float], **options: Any
    ) -> Result:
        """The best of n answers by a verifier's score, drawn as one batch; the first of equals.

        Random search over seeds, as in inference-time scaling of diffusion (arXiv:2501.09732).

        Args:
            prompt: The prompt.
            n: How many answers to draw.
            score: Judges a typed answer; more is better.
            **options: See `Options`; `temperature` is 0.7 unless given.
        """
        if not (isinstance(n, int) and n >= 1):
            raise OptionError(f"n must be 1 or more, not {n!r}")
        drawn = self.generate_batch([prompt] * n, **{"temperature": 0.7, **options})
        return max(drawn, key=lambda result: score(result.output))

    def smc(
        self, prompt: Prompt, particles: int, score: Callable[[Any], float] | None = None, *,
        ess: float = 0.5, draws: int = 4, **options: Any,
    ) -> Population:  # fmt: skip
        """Answers that follow the model given that they are valid and accepted: `search.smc`.

        The particles are denoised as one batch. There is one attempt: what is refused weighs
        nothing.

        Args:
            prompt: The prompt.
            particles: How many.
            score: An answer counts exp(score) times as much.
            ess: Effective share of the particles below which they are drawn anew, 0 to 1.
            draws: From each posterior, to foresee what is refused, and scores; 0 foresees nothing.
            **options: See `Options`; `temperature` is 1 unless given. Weights are exact with a
                scheduler that does not look at what was drawn, `EntropyBound` for one.

        Raises:
            OutputValidationError: If all answers are refused.
        """
        if not (isinstance(particles, int) and particles >= 1 and draws >= 0 and 0 <= ess <= 1):
            raise OptionError("particles must be 1 or more, draws 0 or more, ess within 0 and 1")
        chosen = self._warm({"temperature": 1.0, **options})
        runs = self._runs([prompt] * particles, chosen)
        return smc(
            self._engine(chosen), runs, Limits(chosen.steps, chosen.deadline),
            judge_of(self.spec.parse, chosen.check, score), runs[0].rng.spawn(1)[0],
            ess=ess, draws=draws,
        )  # fmt: skip

    def beam(
        self, prompt: Prompt, width: int, score: Callable[[Any], float] | None = None, *,
        branch: int = 4, **options: Any,
    ) -> Population:  # fmt: skip
        """Answers whose drafts a verifier liked best on the way: `search.beam`.

        Drafts that type or `check` refuse go last. Where all paths end with one, there is another
        attempt at twice the temperature.

        Args:
            prompt: The prompt.
            width: How many canvases stay after a step.
            score: Judges a typed answer; more is better.
            branch: Ways to go on that are tried from each: the likeliest, the draft as it was, and
                draws, each at twice the temperature of the one before.
            **options: See `Options`; `temperature`, that of the first draw, is 0.7 unless given.

        Raises:
            OutputValidationError: If all answers are refused.
        """
        if not all(isinstance(each, int) and each >= 1 for each in (width, branch)):
            raise OptionError("width and branch must be 1 or more")
        chosen = self._warm({"temperature": 0.7, **options})
        (run,) = self._runs([prompt], chosen)

        def fresh() -> Run:
            (own,) = run.rng.spawn(1)
            return run.copy(own)

        return beam(
            self._engine(chosen), fresh, Limits(chosen.steps, chosen.deadline),
            judge_of(self.spec.parse, chosen.check, score),
            width=width, branch=branch, attempts=chosen.attempts,
        )  # fmt: skip

    def _warm(self, options: dict[str, Any]) -> Options:
        chosen = self.options.but(options)
        if chosen.temperature == 0:
            raise OptionError("a search over canvases draws: its temperature must be above 0")
        return chosen

    def stream(self, prompt: Prompt, **options: Any) -> Iterator[StepEvent]:
        """The canvas after every step; the last event holds the result."""
        chosen = self.options.but(options)
        (run,) = self._runs([prompt], chosen)
        for _ in self._denoise([run], chosen):
            yield run.trace[-1]
        result = self.result(run, chosen.check)
        passes = run.usage.forward_passes
        yield StepEvent(len(run.trace) + 1, passes, run.canvas.copy(), result)

    def _denoise(self, runs: list[Run], options: Options) -> Iterator[Run]:
        """Denoise all runs to the end; what the type itself then refuses is drawn again."""
        started, left = time.monotonic(), options.deadline
        for attempt in range(options.attempts):
            warmth = max(options.temperature, attempt / 2)  # ever less of what was refused
            engine = self._engine(options.but({"temperature": warmth}))
            yield from denoise(engine, runs, Limits(options.steps, left))
            refused = [(run, error) for run in runs if (error := self._refusal(run, options))]
            runs = [run for run, _ in refused]
            if options.deadline is not None:
                left = options.deadline - (time.monotonic() - started)
            if not runs or attempt + 1 == options.attempts or (left is not None and left <= 0):
                return
            for run, error in refused:
                fresh = partial(self._canvas, len(run.prompt), options)
                draw_again(run, error, fresh, whole=2 * attempt >= options.attempts)

    def _refusal(self, run: Run, options: Options) -> OutputValidationError | None:
        """Why the answer of a run that may go on is refused, if it is."""
        if run.finish_reason not in ("stop", "steps"):
            return None
        try:
            run.output = checked(self.spec.parse, run.canvas.text(), options.check)
        except OutputValidationError as error:
            return error
        run.accepted = True
        return None

    def _proposer(self) -> Proposer:
        return Grounded() if getattr(self.model.denoiser, "extracts", False) else propose_each

    def _scheduler(self, options: Options) -> Scheduler:
        """A policy is asked what it was trained for: the likeliest fillings of records, calls."""
        declared: str = getattr(self.model.denoiser, "commits", "threshold")
        known = options.temperature == 0 and options.proposer is None
        slots = self.spec.kind == "json" or bool(self.spec.tool_names)
        return TraceLock() if declared == "tracelock" and known and slots else Threshold()

    def _lengths(self, options: Options) -> str | LengthSource:
        declared: str = getattr(self.model.denoiser, "lengths", "slack")
        return options.lengths or declared

    def _engine(self, options: Options) -> Engine:
        scheduler = options.scheduler or self._scheduler(options)
        hides = scheduler.rescores and scheduler.hides
        if hides and not isinstance(self.model.denoiser, RescoringDenoiser):
            raise ModelError(
                f"{type(scheduler).__name__} predicts committed tokens again, which "
                f"{type(self.model.denoiser).__name__} cannot",
                hint="use a scheduler that does not, RunningConfidence for one",
            )
        lengths = named(self._lengths(options))
        return Engine(
            self.model.denoiser, self.model.controller, scheduler, options.temperature,
            tuple(options.controllers), options.block, options.proposer or self._proposer(),
            PairedBranches(lengths) if options.branches == "paired" else lengths,
        )  # fmt: skip

    def _runs(self, prompts: Sequence[Prompt], options: Options) -> list[Run]:
        seeds = _seeds(options.seed, len(prompts))
        return [
            self._run(p, options, np.random.default_rng(s))
            for p, s in zip(prompts, seeds, strict=True)
        ]

    def _run(self, prompt: Prompt, options: Options, rng: np.random.Generator) -> Run:
        denoiser = self.model.denoiser
        messages = messages_of(prompt)
        if not getattr(denoiser, "extracts", False) and any(
            m["role"] == "record" for m in messages
        ):
            raise PromptError(
                "only the embedded model knows messages with the role 'record'",
                hint="say in words what to do with it, in a message of the user",
            )
        wanted = options.describe
        if getattr(denoiser, "describes", False) if wanted is None else wanted:
            told = named(self._lengths(options)) is not None
            messages = described(messages, self.spec, null_is_absent=told)
        ids = denoiser.prompt(messages, self.spec.tool_names)
        return Run(ids, self._canvas(len(ids), options), rng)

    def _canvas(self, prompt: int, options: Options) -> Canvas:
        """An empty canvas behind a prompt of so many tokens."""
        denoiser = self.model.denoiser
        room = denoiser.max_length - prompt
        needed = self._scaffold.minimum.of(self.constraint.grammar.root)
        if needed > room:
            raise ContextOverflowError(
                f"the prompt takes {prompt} tokens and the shortest answer {int(needed)}, "
                f"but the model's context is {denoiser.max_length}",
                hint="shorten the prompt"
                if needed < denoiser.max_length
                else "no prompt is short enough: allow a shorter answer, or load another model",
            )
        budget = min(room, options.max_new_tokens or room)
        return Canvas(self._scaffold, denoiser.mask_token_id, budget)

    def seat(self, prompt: Prompt, **options: Any) -> Seat:
        """A run with its engine and limits, to be denoised beside runs of other types.

        The caller does what `loop.denoise` does; `result` reads what came of it. There is one
        attempt.

        Raises:
            CanvasTooSmallError: If the shortest answer does not fit `max_new_tokens`.
            ContextOverflowError: If it does not fit the model's context.
        """
        chosen = self.options.but(options)
        (run,) = self._runs([prompt], chosen)
        return Seat.of(self._engine(chosen), run, Limits(chosen.steps, chosen.deadline))

    def result(self, run: Run, check: Callable[[Any], Any] | None = None) -> Result:
        """What a run that has ended came to."""
        text = run.canvas.text()
        assert run.finish_reason is not None
        output = run.output if run.accepted else checked(self.spec.parse, text, check)
        return Result(output, text, run.finish_reason, run.usage, tuple(run.trace))


def _seeds(seed: int | Sequence[int] | None, n: int) -> list[np.random.SeedSequence]:
    """What each prompt of a batch draws with."""
    if not isinstance(seed, Sequence):
        return np.random.SeedSequence(seed).spawn(n)
    if len(seed) != n:
        raise OptionError(f"a seed for each prompt: {len(seed)} seeds, {n} prompts")
    return [np.random.SeedSequence(each).spawn(1)[0] for each in seed]


def compile(output_type: Any, tokenizer: Any) -> Constraint:
    """The left-to-right view of a type's constraint, for engines other than ours.

    Args:
        output_type: Anything that a `Generator` takes.
        tokenizer: A fast tokenizer of transformers, a `tokenizers.Tokenizer` or a `Vocabulary`.

    Raises:
        ConstraintError: If the type cannot be compiled.
    """
    return compile_constraint(to_spec(output_type), tokenizer)


def load(path_or_id: str | Path | None = None, **options: Any) -> Model:
    """The embedded model, or the checkpoint in a folder or on the hub.

    Args:
        path_or_id: A folder, or an id on the hub, which is downloaded; nothing for the embedded
            model, offline.
        **options: `dtype`, `device_map`, `attn_implementation` and more: `denoisers.load`.

    Raises:
        ModelError: If the checkpoint cannot be loaded.
    """
    return Model(load_denoiser(path_or_id, **options))


def from_transformers(model: Any, tokenizer: Any, **options: Any) -> Model:
    """A transformers model and its fast tokenizer as a `Model`.

    Args:
        model: A masked diffusion language model, or a DiffusionGemma.
        tokenizer: Its fast tokenizer.
        **options: `mask_token_id` and `fill_token_id` where the checkpoint does not say;
            `block_length` and `shift` where it needs them: `TransformersDenoiser`.

    Raises:
        ModelError: If this is no model of transformers, or a token that is needed is unknown.
        ConstraintError: If the tokenizer is not a fast one.
    """
    return Model(wrapped(model, tokenizer, **options))
