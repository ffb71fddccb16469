"""Small loads that show how long one kind of step takes, and what their records say of it. Pure.

Three kinds, of which each tells what the others cannot:

- a lone prompt: the time to its token is one step, and what HTTP takes;
- streams that decode together: the time from token to token is one step, without HTTP;
- a prompt that visits such streams: what it delays them by is a step with a prompt in it, without HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import mean, median

from scoot_ray.load.trace import Request, RequestRecord
from scoot_ray.simulator.batch import Batch
from scoot_ray.simulator.fitted import MeasuredStep

_LONE = (16, 64, 128, 256, 512, 1024, 1536)
_STREAMS = (1, 2, 4, 8, 16, 32, 64)
_VISITED = (4, 16, 64)
_CONTEXTS = (16, 512)
_VISITS = (128, 512)
_STEPS = 32
"""Steps in which all streams decode."""
_FEWEST_STEPS = 6
_WHEN = 0.3
"""When a visit comes, as a share of the time in which all streams decode."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the engine allows."""

    max_model_len: int
    kv_cache_tokens: int
    max_num_seqs: int
    max_num_batched_tokens: int


@dataclass(frozen=True, slots=True)
class Probe:
    """``streams`` requests sent at once, and a prompt of ``visit_tokens`` for one token, sent at ``visit_s``."""

    streams: int
    prompt_tokens: int
    output_tokens: int
    visit_tokens: int = 0
    visit_s: float | None = None

    @property
    def requests(self) -> tuple[Request, ...]:
        """The streams, then the visit."""
        streams = (Request(0.0, self.prompt_tokens, self.output_tokens),) * self.streams
        return streams if self.visit_s is None else (*streams, Request(self.visit_s, self.visit_tokens, 1))

    @property
    def is_lone(self) -> bool:
        """Whether it is a prompt for one token."""
        return self.output_tokens == 1

    def __str__(self) -> str:
        if self.is_lone:
            return f"a prompt of {self.prompt_tokens} tokens"
        visit = f", visited by a prompt of {self.visit_tokens}" if self.visit_tokens else ""
        return f"{self.streams} streams of {self.prompt_tokens} tokens{visit}"


def design(limits: Limits) -> tuple[Probe, ...]:
    """All probes that the limits allow. A probe to be visited has ``visit_tokens``, and no time yet."""
    longest = min(limits.max_num_batched_tokens, limits.max_model_len - 1)
    lone = [Probe(1, tokens, 1) for tokens in _LONE if tokens <= longest]
    streams = [_streams(count, context, limits) for context in _CONTEXTS for count in _STREAMS]
    visited = [
        replace(_streams(count, _CONTEXTS[0], limits), visit_tokens=tokens)
        for count in _VISITED
        for tokens in _VISITS
        if count + tokens <= longest
    ]
    return (*lone, *(probe for probe in (*streams, *visited) if _allowed(probe, limits)))


def _streams(count: int, context: int, limits: Limits) -> Probe:
    """As many output tokens as keep all decoding for a while after the last has begun."""
    room = max(1, limits.max_num_batched_tokens - count)
    return Probe(count, context, _STEPS + 2 + -(-count * context // room))


def _allowed(probe: Probe, limits: Limits) -> bool:
    length = probe.prompt_tokens + probe.output_tokens
    return (
        length <= limits.max_model_len
        and probe.streams + bool(probe.visit_tokens) <= limits.max_num_seqs
        and probe.streams < limits.max_num_batched_tokens
        and probe.streams * length + probe.visit_tokens <= limits.kv_cache_tokens
    )


def with_visit(probe: Probe, records: Sequence[RequestRecord]) -> Probe | None:
    """The probe with its visit while all streams decode, as ``records`` of it without the visit show when that is."""
    window = _window(records)
    if window is None:
        return None
    begin_s, end_s = (at_s - records[0].scheduled_s for at_s in window)
    return replace(probe, visit_s=begin_s + _WHEN * (end_s - begin_s))


def step_of(probe: Probe, records: Sequence[RequestRecord]) -> MeasuredStep | None:
    """What the records of a probe, in the order of its requests, show; None where they do not show it well."""
    if probe.is_lone:
        return _lone(probe, records[0])
    window = _window(records[: probe.streams])
    if window is None:
        return None
    whole = [_inside(record, window) for record in records[: probe.streams] if _is_whole(record)]
    seen = [stream for stream in whole if len(stream.times_s) >= _FEWEST_STEPS]
    if not seen:
        return None
    if probe.visit_s is not None:
        return _visit(probe, seen, window, records[probe.streams])
    fullest = max(seen, key=lambda stream: len(stream.times_s))
    took_s = (fullest.times_s[-1] - fullest.times_s[0]) / (len(fullest.times_s) - 1)
    return MeasuredStep(_decoding(probe, fullest.middle), took_s)


@dataclass(frozen=True, slots=True)
class _Stream:
    """A stream while all decode: the times of its tokens, and the number of its first one there."""

    times_s: tuple[float, ...]
    first: int

    @property
    def middle(self) -> float:
        return self.first + len(self.times_s) / 2


def _lone(probe: Probe, record: RequestRecord) -> MeasuredStep | None:
    if record.error is not None or record.sent_s is None:
        return None
    batch = _with_prompt(Batch(), probe.prompt_tokens)
    return MeasuredStep(batch, record.token_times_s[0] - record.sent_s, from_sending=True)


def _visit(
    probe: Probe, seen: Sequence[_Stream], window: tuple[float, float], visit: RequestRecord
) -> MeasuredStep | None:
    if visit.error is not None or visit.sent_s is None:
        return None
    sent_s, token_s = visit.sent_s, visit.token_times_s[0]
    found_s = [_with_visit_s(stream.times_s, sent_s, token_s) for stream in seen]
    took_s = [one_s for one_s in found_s if one_s is not None and one_s > 0]
    if not took_s or sent_s < window[0] or token_s >= window[1]:
        return None
    decoding = _decoding(probe, mean(stream.middle for stream in seen))
    return MeasuredStep(_with_prompt(decoding, probe.visit_tokens), median(took_s))


def _with_visit_s(times_s: Sequence[float], sent_s: float, token_s: float) -> float | None:
    """Seconds of the step that the visitor was in: all from its sending to its token, less the other steps' usual.

    So what the server does for the visitor in other steps counts too, and it matters not which step exactly it was in.
    """
    usual_s = median(later - earlier for earlier, later in pairwise(times_s))
    before = max((at for at, time_s in enumerate(times_s) if time_s <= sent_s), default=None)
    after = next((at for at, time_s in enumerate(times_s) if time_s >= token_s), None)
    if before is None or after is None:
        return None
    return times_s[after] - times_s[before] - (after - before - 1) * usual_s


def _decoding(probe: Probe, generated: float) -> Batch:
    context = round(probe.streams * (probe.prompt_tokens + generated))
    return Batch(decodes=probe.streams, decode_context=context)


def _with_prompt(batch: Batch, tokens: int) -> Batch:
    """The batch with a whole prompt in it."""
    pairs = tokens * (tokens + 1) / 2
    return replace(batch, prompt_tokens=tokens, pairs=pairs, prompt_context=tokens, ending=1)


def _window(records: Sequence[RequestRecord]) -> tuple[float, float] | None:
    """From when the last stream has begun until the first ends."""
    streams = [record.token_times_s for record in records if record.token_times_s]
    if not streams:
        return None
    begin_s, end_s = max(times_s[0] for times_s in streams), min(times_s[-1] for times_s in streams)
    return (begin_s, end_s) if begin_s < end_s else None


def _inside(record: RequestRecord, window: tuple[float, float]) -> _Stream:
    times_s = [time_s for time_s in record.token_times_s if window[0] <= time_s <= window[1]]
    return _Stream(tuple(times_s), record.token_times_s.index(times_s[0]) if times_s else 0)


def _is_whole(record: RequestRecord) -> bool:
    """Whether every token came in an event of its own: else steps cannot be counted."""
    return record.error is None and len(record.token_times_s) == record.output_tokens
