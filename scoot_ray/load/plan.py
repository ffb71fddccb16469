"""The plan of a replay: every HTTP call encoded before the first is sent, with the time it is due."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from scoot_ray.load.arrivals import Schedule
from scoot_ray.load.errors import LoadError
from scoot_ray.load.prompts import TokenPrompts
from scoot_ray.load.trace import Request

Endpoint: TypeAlias = Literal["auto", "completions", "chat"]
Json: TypeAlias = dict[str, Any]

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call, ready to send. ``input_tokens`` is None where the server alone can count them."""

    request_id: str
    path: str
    body: bytes
    input_tokens: int | None
    output_tokens: int


@dataclass(frozen=True, slots=True)
class ScheduledCall:
    """A call, its number in the plan, and when it is due in seconds from the start."""

    index: int
    at_s: float
    call: Call


@dataclass(frozen=True, slots=True)
class CallMaker:
    """Encodes requests for one served model.

    ``endpoint`` auto sends messages to chat and all else to completions; chat wraps a prompt as the user's message.
    """

    model: str
    prompts: TokenPrompts
    salt: str
    endpoint: Endpoint = "auto"

    def make(self, request: Request, row: int, request_id: str, trace_pass: int = 0) -> Call:
        """Encode one request of the trace. Raises LoadError where the endpoint cannot take it."""
        content, input_tokens = self._content(request, row, trace_pass)
        body = {
            "model": self.model,
            **content,
            "max_tokens": request.output_tokens,
            "min_tokens": request.output_tokens,
            "ignore_eos": True,
            "temperature": 0.0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return Call(
            request_id=request_id,
            path=CHAT if "messages" in content else COMPLETIONS,
            body=json.dumps(body, separators=(",", ":")).encode(),
            input_tokens=input_tokens,
            output_tokens=request.output_tokens,
        )

    def _content(self, request: Request, row: int, trace_pass: int) -> tuple[Json, int | None]:
        """Say what the body asks, and how many tokens that is where we know it."""
        # The engine's own salt keeps text, which must stay as it is, apart from other measurements' cached prefixes.
        salted = {"cache_salt": f"{self.salt}/{trace_pass}"}
        if request.messages is not None:
            if self.endpoint == "completions":
                raise LoadError(f"endpoint: completions for request {row}, which has messages; allowed auto or chat")
            return {"messages": list(request.messages), **salted}, None
        if request.prompt is not None:
            if self.endpoint == "chat":
                return {"messages": [{"role": "user", "content": request.prompt}], **salted}, None
            return {"prompt": request.prompt, **salted}, None
        if self.endpoint == "chat":
            raise LoadError(f"endpoint: chat for request {row}, which has lengths alone; allowed auto or completions")
        return {"prompt": self.prompts.token_ids(request, row, trace_pass)}, request.input_tokens


def make_plan(requests: Sequence[Request], schedule: Schedule, maker: CallMaker) -> tuple[ScheduledCall, ...]:
    """Encode the request each arrival takes. Request ids are the arrivals' numbers."""
    arrivals = zip(schedule.offsets_s.tolist(), schedule.rows.tolist(), schedule.passes.tolist(), strict=True)
    return tuple(
        ScheduledCall(index, at_s, maker.make(requests[row], row, str(index), trace_pass))
        for index, (at_s, row, trace_pass) in enumerate(arrivals)
    )
