"""The plan of a replay: every HTTP call encoded before the first is sent, with the time it is due."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from scoot_ray.load.arrivals import Schedule
from scoot_ray.load.dialect import Engine, forced_length, model_name, salted
from scoot_ray.load.errors import LoadError
from scoot_ray.load.prompts import TokenPrompts
from scoot_ray.load.trace import Request

Endpoint: TypeAlias = Literal["auto", "completions", "chat"]
Sessions: TypeAlias = Literal["independent", "wait"]
Json: TypeAlias = dict[str, Any]

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"

OWN_FIELDS = frozenset({"model", "prompt", "messages", "max_tokens", "stream", "stream_options"})
"""Fields of a body that the replay itself must decide."""


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call, ready to send. ``input_tokens`` is None where the server alone can count them."""

    request_id: str
    path: str
    body: bytes
    input_tokens: int | None
    output_tokens: int
    streamed: bool = True
    cancel_after_s: float | None = None
    request_class: str | None = None


@dataclass(frozen=True, slots=True)
class ScheduledCall:
    """A call, its number in the plan, and when it is due in seconds from the start.

    Where ``after`` names another call of the plan, it is due no sooner than ``think_s`` after that one's end.
    """

    index: int
    at_s: float
    call: Call
    after: int | None = None
    think_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CallMaker:
    """Encodes requests for one served model.

    ``endpoint`` auto sends messages to chat and all else to completions; chat wraps a prompt as the user's message.
    ``extra_body`` has further fields of every body; they win over those of a request's ``sampling``.
    """

    model: str
    prompts: TokenPrompts
    salt: str
    endpoint: Endpoint = "auto"
    engine: Engine = "vllm"
    stream: bool = True
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        own = OWN_FIELDS & set(self.extra_body)
        if own:
            raise LoadError(f"extra_body: {', '.join(sorted(own))}; allowed fields that the replay does not set itself")

    def make(self, request: Request, row: int, request_id: str, trace_pass: int = 0) -> Call:
        """Encode one request of the trace. Raises LoadError where the endpoint cannot take it."""
        content, input_tokens = self._content(request, row, trace_pass)
        chat = "messages" in content
        body = {
            "temperature": 0.0,
            **{name: value for name, value in (request.sampling or {}).items() if name not in OWN_FIELDS},
            **forced_length(request.output_tokens),
            **(
                {}
                if request.prompt is None and not chat
                else salted(self.engine, f"{self.salt}/{trace_pass}", chat=chat)
            ),
            **self.extra_body,
            "model": model_name(self.engine, self.model, request.adapter),
            **content,
            "stream": self.stream,
            **({"stream_options": {"include_usage": True}} if self.stream else {}),
        }
        return Call(
            request_id=request_id,
            path=CHAT if chat else COMPLETIONS,
            body=json.dumps(body, separators=(",", ":")).encode(),
            input_tokens=input_tokens,
            output_tokens=request.output_tokens,
            streamed=self.stream,
            cancel_after_s=request.cancel_after_s,
            request_class=request.request_class,
        )

    def _content(self, request: Request, row: int, trace_pass: int) -> tuple[Json, int | None]:
        """Say what the body asks, and how many tokens that is where we know it."""
        if request.messages is not None:
            if self.endpoint == "completions":
                raise LoadError(f"endpoint: completions for request {row}, which has messages; allowed auto or chat")
            return {"messages": list(request.messages)}, None
        if request.prompt is not None:
            if self.endpoint == "chat":
                return {"messages": [{"role": "user", "content": request.prompt}]}, None
            return {"prompt": request.prompt}, None
        if self.endpoint == "chat":
            raise LoadError(f"endpoint: chat for request {row}, which has lengths alone; allowed auto or completions")
        return {"prompt": self.prompts.token_ids(request, row, trace_pass)}, request.input_tokens


def make_plan(
    requests: Sequence[Request],
    schedule: Schedule,
    maker: CallMaker,
    sessions: Sessions = "independent",
    think_s: float = 0.0,
) -> tuple[ScheduledCall, ...]:
    """Encode the request each arrival takes. Request ids are the arrivals' numbers.

    With ``sessions`` wait, each turn of a session comes ``after`` the one before it in the same pass over the trace.
    Raises LoadError for a request that cannot be sent, or a negative time to think.
    """
    if not 0 <= think_s < float("inf"):
        raise LoadError(f"think_s: {think_s}; allowed seconds from 0 on")
    arrivals = zip(schedule.offsets_s.tolist(), schedule.rows.tolist(), schedule.passes.tolist(), strict=True)
    last_turn: dict[tuple[str, int], int] = {}
    plan = []
    for index, (at_s, row, trace_pass) in enumerate(arrivals):
        call = maker.make(requests[row], row, str(index), trace_pass)
        after = None
        session = requests[row].session
        if sessions == "wait" and session is not None:
            after = last_turn.get((session, trace_pass))
            last_turn[session, trace_pass] = index
        plan.append(ScheduledCall(index, at_s, call, after, 0.0 if after is None else think_s))
    return tuple(plan)
