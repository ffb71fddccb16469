"""Words and figures as people read them: metrics by name and unit, few digits, foreign text made harmless."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from scoot_ray.search import Value
from scoot_ray.search.metrics import LATENCIES, PER_GPU

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_KEPT = frozenset("\n\t\xa0")
_LATENCY_NAMES = {"ttft": "TTFT", "tpot": "TPOT", "itl": "ITL", "e2el": "end-to-end latency"}
_RATES = {
    "request_throughput": ("request throughput", "requests/s"),
    "output_throughput": ("output throughput", "tokens/s"),
    "total_token_throughput": ("token throughput", "tokens/s"),
    "request_goodput": ("goodput", "requests/s"),
    "max_rate_under_slo": ("highest rate under the SLOs", "requests/s"),
    "completed": ("requests completed", ""),
    "failed": ("requests failed", ""),
}


@dataclass(frozen=True, slots=True)
class Named:
    """A metric as people call it. Its value times ``factor`` is in ``unit``."""

    label: str
    unit: str
    factor: float = 1.0

    @property
    def heading(self) -> str:
        """Label and unit, for a column or an axis."""
        return f"{self.label}, {self.unit}" if self.unit else self.label

    def figure(self, value: float | None) -> str:
        """The number alone, in ``unit``."""
        return number(None if value is None else value * self.factor)

    def quantity(self, value: float | None) -> str:
        """The number with its unit; ten seconds and more are not told in milliseconds."""
        if value is not None and self.unit == "ms" and abs(value) >= 10_000:
            return f"{number(value / 1000)} s"
        space = "" if self.unit == "%" else " "
        return f"{self.figure(value)}{space}{self.unit}".strip() if value is not None else "–"


def named(metric: str) -> Named:
    """The name of any metric; one that is not known keeps its own."""
    bare = metric.removesuffix(PER_GPU)
    per_gpu = " per GPU" if bare != metric else ""
    statistic, _, rest = bare.partition("_")
    latency = rest.removesuffix("_ms")
    if latency in LATENCIES and rest.endswith("_ms"):
        return Named(f"{statistic} {_LATENCY_NAMES[latency]}{per_gpu}", "ms")
    if bare == "error_rate":
        return Named(f"error rate{per_gpu}", "%", 100.0)
    label, unit = _RATES.get(bare, (bare.replace("_", " "), ""))
    return Named(label + per_gpu, unit)


def number(value: float | None) -> str:
    """Three digits or more: 0.0213, 31.5, 812, 24,515; a dash where there is none."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def percent(share: float, *, signed: bool = False) -> str:
    """A share as a percentage, with a real minus sign."""
    return f"{share:{'+' if signed else ''}.0%}".replace("-", "−")


def duration(seconds: float) -> str:
    """Seconds in the two largest units that tell: 48 s, 12 min 05 s, 3 h 20 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{number(seconds) if seconds < 10 else whole} s"
    minutes, rest = divmod(whole, 60)
    hours, left = divmod(minutes, 60)
    return f"{hours:,} h {left:02d} min" if hours else f"{minutes} min {rest:02d} s"


def counted(count: int, noun: str) -> str:
    """A number of things: 1 trial, 2 trials."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def value_text(value: Value | None) -> str:
    """A parameter's value as a flag would have it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def config_text(config: Mapping[str, Value], beside: Mapping[str, Value] | None = None) -> str:
    """``name=value`` of a configuration; beside another, of what differs alone."""
    own = {name: value for name, value in config.items() if beside is None or beside.get(name) != value}
    return " ".join(f"{name}={value_text(value)}" for name, value in own.items())


def plain(text: str) -> str:
    """The text without colour codes; what does not print, or would turn text around, becomes U+FFFD."""
    stripped = _ANSI.sub("", text) if "\x1b" in text else text
    if stripped.isprintable():
        return stripped
    return "".join(letter if letter.isprintable() or letter in _KEPT else "\ufffd" for letter in stripped)
