"""Calibration: short loads against a running engine, the steps they show, and the machine that fits them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Protocol

import aiohttp

from scoot_ray.engine.models import ModelShape
from scoot_ray.load.client.loop import PreciseEventLoop
from scoot_ray.load.client.target import Target, open_session
from scoot_ray.load.plan import CallMaker, ScheduledCall
from scoot_ray.load.prompts import TokenPrompts
from scoot_ray.load.replay import ReplayResult, replay
from scoot_ray.load.trace import RequestRecord
from scoot_ray.load.vocabulary import Vocabulary, learn_vocabulary
from scoot_ray.simulator.endpoint import EngineFacts, learn_facts
from scoot_ray.simulator.fitted import Fitted, MeasuredStep, fit, predict_s
from scoot_ray.simulator.probes import Limits, Probe, design, step_of, with_visit

_ASSUMED_SEQS, _ASSUMED_TOKENS = 128, 2048  # where neither the engine nor the user says
_WARM_UP = (Probe(8, 64, 16), Probe(2, 512, 16), Probe(1, 16, 1))


class CalibrationFailed(Exception):  # noqa: N818 - says what happened
    """The engine did not answer as a calibration needs; one line."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to calibrate.

    ``kv_cache_tokens``, ``max_num_seqs`` and ``max_num_batched_tokens`` go before what the engine says of itself.
    ``start_s`` is how long it took to start, which cannot be seen from outside.
    """

    model: ModelShape
    kv_cache_tokens: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    start_s: float = 30.0
    repeats: int = 3
    deadline_s: float = 900.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """The machine, the steps it was fitted to (medians over repeats), and lines for the user."""

    machine: Fitted
    steps: tuple[MeasuredStep, ...]
    notes: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[float, ...]:
        """Of each step: how much more, as a share of the measured time, the fitted constants give."""
        return tuple(predict_s(self.machine, step) / step.took_s - 1 for step in self.steps)

    @property
    def median_error(self) -> float:
        """Median of the errors' sizes."""
        return median(abs(error) for error in self.errors)

    def document(self) -> dict[str, Any]:
        """As JSON's types."""
        steps = [
            {
                "step": describe(step),
                "measured_s": step.took_s,
                "fitted_s": predict_s(self.machine, step),
                "error": error,
            }
            for step, error in zip(self.steps, self.errors, strict=True)
        ]
        return {
            "machine": asdict(self.machine),
            "steps": steps,
            "median_error": self.median_error,
            "notes": [*self.notes],
        }


class Send(Protocol):
    """Sends a probe's requests; gives one record each, in their order."""

    async def __call__(self, probe: Probe) -> Sequence[RequestRecord]:
        """Send them and wait for the last."""


async def measure_steps(send: Send, limits: Limits, repeats: int, say: Callable[[str], None]) -> list[MeasuredStep]:
    """Run the whole design ``repeats`` times; of each step the run of median time is kept."""
    steps: list[MeasuredStep] = []
    probes = design(limits)
    for number, probe in enumerate(probes, start=1):
        say(f"{number}/{len(probes)}: {probe}")
        runs = [await _run(send, probe) for _ in range(repeats)]
        seen = [step for step in runs if step is not None]
        if seen:
            steps.append(sorted(seen, key=lambda step: step.took_s)[len(seen) // 2])
    return steps


def calibrate(target: Target, options: Options, say: Callable[[str], None]) -> Calibration:
    """Measure a running engine; ``say`` is told how far it is.

    The engine should be idle, and started as the studies will start it, nothing else set: what it says of its batches
    is taken as its defaults.

    Raises:
        LoadError: it cannot be asked.
        CalibrationFailed: it does not answer well enough, or not in time.
    """
    with asyncio.Runner(loop_factory=PreciseEventLoop) as runner:
        return runner.run(_calibrate(target, options, say))


async def _calibrate(target: Target, options: Options, say: Callable[[str], None]) -> Calibration:
    try:
        async with asyncio.timeout(options.deadline_s), open_session(target) as session:
            facts = _settled(await learn_facts(session, target.base_urls[0]), options)
            limits = _limits(facts, options.model)
            vocabulary = await learn_vocabulary(session, target.base_urls[0], target.model)
            sender = _Sender(target, session, vocabulary)
            for probe in _WARM_UP:
                await sender(probe)
            steps = await measure_steps(sender, limits, options.repeats, say)
    except TimeoutError as error:
        raise CalibrationFailed(f"not done after {options.deadline_s:g} s; a longer --deadline is allowed") from error
    if not any(step.from_sending for step in steps) or not any(step.batch.decodes for step in steps):
        reason = sender.why or "tokens did not come one by one"
        raise CalibrationFailed(f"neither prompts alone nor streams alone make a calibration: {reason}")
    return Calibration(_machine(steps, facts, limits, options), tuple(steps), (*sender.notes, *_unsaid(facts)))


async def _run(send: Send, probe: Probe) -> MeasuredStep | None:
    records = await send(probe)
    if probe.visit_tokens:
        visited = with_visit(probe, records)
        if visited is None:
            return None
        probe, records = visited, await send(visited)
    return step_of(probe, records)


class _Sender:
    """Sends probes to an endpoint, with new prompts every time, and remembers what was odd."""

    def __init__(self, target: Target, session: aiohttp.ClientSession, vocabulary: Vocabulary) -> None:
        self._target, self._session, self._vocabulary = target, session, vocabulary
        self._late = 0
        self.why: str | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines for the user."""
        late = (f"{self._late} loads were not sent or read on time: this machine is busy",) if self._late else ()
        return (self._vocabulary.note, *late) if self._vocabulary.note else late

    async def __call__(self, probe: Probe) -> Sequence[RequestRecord]:
        """Send them and wait for the last."""
        salt = secrets.token_hex(8)  # no prompt is met again in the prefix cache
        maker = CallMaker(self._target.model, TokenPrompts(self._vocabulary.token_ids, 0, salt), salt)
        plan = [
            ScheduledCall(row, request.timestamp_s, maker.make(request, row, str(row)))
            for row, request in enumerate(probe.requests)
        ]
        result = await replay(self._target, plan, session=self._session)
        self._remember(result)
        return result.records

    def _remember(self, result: ReplayResult) -> None:
        self.why = next((record.error for record in result.records if record.error), self.why)
        self._late += not result.audit.valid


def describe(step: MeasuredStep) -> str:
    """What is computed in a step, in words."""
    batch = step.batch
    decoding = f"{batch.decodes} streams, {batch.decode_context} tokens of context" if batch.decodes else ""
    prompt = f"a prompt of {batch.prompt_tokens}" if batch.prompt_tokens else ""
    return " and ".join(part for part in (decoding, prompt) if part) + (", from sending" if step.from_sending else "")


def _settled(facts: EngineFacts, options: Options) -> EngineFacts:
    tokens = options.kv_cache_tokens or facts.kv_cache_tokens
    if tokens is None:
        raise CalibrationFailed("the engine does not say how many tokens its KV cache holds: give --kv-cache-tokens")
    return EngineFacts(
        facts.max_model_len,
        tokens,
        facts.block_size,
        options.max_num_seqs or facts.max_num_seqs,
        options.max_num_batched_tokens or facts.max_num_batched_tokens,
    )


def _limits(facts: EngineFacts, model: ModelShape) -> Limits:
    return Limits(
        facts.max_model_len or model.max_model_len,
        facts.kv_cache_tokens or 0,
        facts.max_num_seqs or _ASSUMED_SEQS,
        facts.max_num_batched_tokens or _ASSUMED_TOKENS,
    )


def _unsaid(facts: EngineFacts) -> tuple[str, ...]:
    names = ("max_num_seqs", "max_num_batched_tokens", "block_size")
    unsaid = [name for name in names if getattr(facts, name) is None]
    if not unsaid:
        return ()
    return (f"the engine does not say its {', '.join(unsaid)}: the simulator's own defaults stand in",)


def _machine(steps: Sequence[MeasuredStep], facts: EngineFacts, limits: Limits, options: Options) -> Fitted:
    return Fitted(
        **asdict(fit(steps)),
        kv_cache_bytes=limits.kv_cache_tokens * options.model.kv_bytes_per_token(),
        start_s=options.start_s,
        default_block_size=facts.block_size or 16,
        default_max_num_seqs=facts.max_num_seqs,
        default_max_num_batched_tokens=facts.max_num_batched_tokens,
    )
