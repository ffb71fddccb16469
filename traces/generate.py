"""Makes the traces of this folder: ``python traces/generate.py [--out FOLDER] [--seed N]``.

Four are shaped like the applications of the SCOOT paper (text-to-SQL, chatbot, classification, recommendation), whose
own traces are not public; ``bot-small`` is a chatbot for a small model on a CPU. The same seed makes the same bytes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

BLOCK_TOKENS = 512
ROWS = 1_000
SMALL_ROWS = 300


@dataclass(frozen=True, slots=True)
class Row:
    """One request; the first ``hash_ids`` may be shared with other rows."""

    timestamp_ms: int
    input_length: int
    output_length: int
    hash_ids: tuple[int, ...]
    session: str | None = None

    def as_json(self) -> str:
        """The row as one line of the trace."""
        fields: dict[str, Any] = {
            "timestamp": self.timestamp_ms,
            "input_length": self.input_length,
            "output_length": self.output_length,
            "hash_ids": list(self.hash_ids),
        }
        if self.session is not None:
            fields["session"] = self.session
        return json.dumps(fields, separators=(",", ":"))


def lognormal(rng: np.random.Generator, median: float, sigma: float, low: int, high: int) -> int:
    """One length in tokens, drawn again until it lies within [low, high]: clipping would pile up at the ends."""
    while True:
        length = round(float(rng.lognormal(np.log(median), sigma)))
        if low <= length <= high:
            return length


def poisson_times_ms(rng: np.random.Generator, rate: float, rows: int) -> list[int]:
    """Times of Poisson arrivals at ``rate`` per second."""
    return [round(time) for time in np.cumsum(rng.exponential(1e3 / rate, rows)).tolist()]


def blocks(input_length: int, shared: tuple[int, ...], fresh: Iterator[int]) -> tuple[int, ...]:
    """Ids of all blocks of an input, the last one partial: the shared first, then new ones."""
    needed = -(-input_length // BLOCK_TOKENS)
    return (*shared[:needed], *(next(fresh) for _ in range(needed - len(shared))))


def sql(rng: np.random.Generator) -> list[Row]:
    """Text-to-SQL: one of eight database schemas (512 or 1,024 tokens), then a question; a short query comes out."""
    fresh = count(100)
    schemas = [tuple(next(fresh) for _ in range(1 + index % 2)) for index in range(8)]
    popularity = 1 / np.arange(1, len(schemas) + 1)
    rows = []
    for time_ms in poisson_times_ms(rng, 5.0, ROWS):
        schema = schemas[rng.choice(len(schemas), p=popularity / popularity.sum())]
        length = lognormal(rng, 1_150, 0.4, BLOCK_TOKENS * len(schema) + 20, 2_500)
        rows.append(Row(time_ms, length, lognormal(rng, 65, 0.45, 30, 150), blocks(length, schema, fresh)))
    return rows


def bot(rng: np.random.Generator) -> list[Row]:
    """Chatbot: a system prompt for all, then conversations whose every turn repeats what was said before."""
    fresh = count(1)
    rows: list[Row] = []
    start_ms = 0.0
    for session in count():
        if len(rows) >= ROWS:
            break
        start_ms += rng.exponential(800.0)  # of some four turns each: about five requests a second
        rows += conversation(rng, start_ms, f"s{session}", fresh)
    return sorted(rows[:ROWS], key=lambda row: row.timestamp_ms)


def conversation(rng: np.random.Generator, start_ms: float, session: str, fresh: Iterator[int]) -> list[Row]:
    """The turns of one conversation: the input grows by each answer and each new message."""
    rows = []
    ids: tuple[int, ...] = (0,)
    length, time_ms = BLOCK_TOKENS, start_ms
    for _ in range(min(int(rng.geometric(0.25)), 10)):
        length += lognormal(rng, 60, 0.8, 8, 600)
        ids = blocks(length, ids, fresh)
        answer = lognormal(rng, 160, 0.6, 50, 400)
        rows.append(Row(round(time_ms), length, answer, ids, session))
        length += answer
        time_ms += 25.0 * answer + rng.exponential(12_000.0)  # reading along, then thinking and typing
    return rows


def cls(rng: np.random.Generator) -> list[Row]:
    """Classification: half the texts under one long instruction, half bare; a label of a few tokens comes out."""
    fresh = count(1)
    rows = []
    for time_ms in poisson_times_ms(rng, 10.0, ROWS):
        instructed = rng.random() < 0.5
        text = lognormal(rng, 300, 0.6, 40, 1_500)
        length = text + BLOCK_TOKENS * instructed
        ids = blocks(length, (0,) if instructed else (), fresh)
        rows.append(Row(time_ms, length, int(rng.integers(1, 6)), ids))
    return rows


def rec(rng: np.random.Generator) -> list[Row]:
    """Recommendation: a task's description for all, then a user's history; a few item names come out."""
    fresh = count(1)
    rows = []
    for time_ms in poisson_times_ms(rng, 15.0, ROWS):
        length = lognormal(rng, 850, 0.28, 520, 1_500)
        rows.append(Row(time_ms, length, lognormal(rng, 20, 0.35, 10, 40), blocks(length, (0,), fresh)))
    return rows


def bot_small(rng: np.random.Generator) -> list[Row]:
    """A chatbot for a model of 2,048 tokens on two cores: half the messages follow the system prompt of 512."""
    fresh = count(1)
    rows = []
    for time_ms in poisson_times_ms(rng, 4.0, SMALL_ROWS):
        prompted = rng.random() < 0.5
        length = lognormal(rng, 90, 0.4, 64, 188) + BLOCK_TOKENS * prompted
        ids = blocks(length, (0,) if prompted else (), fresh)
        rows.append(Row(time_ms, length, lognormal(rng, 32, 0.4, 16, 64), ids))
    return rows


MAKERS: dict[str, Callable[[np.random.Generator], list[Row]]] = {
    "sql": sql,
    "bot": bot,
    "cls": cls,
    "rec": rec,
    "bot-small": bot_small,
}


def main() -> None:
    """Write all traces."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for number, (name, make) in enumerate(MAKERS.items()):
        rows = make(np.random.default_rng((arguments.seed, number)))
        path = arguments.out / f"{name}.jsonl"
        path.write_text("".join(f"{row.as_json()}\n" for row in rows), encoding="utf-8")
        inputs, outputs = [row.input_length for row in rows], [row.output_length for row in rows]
        print(f"{path}: {len(rows)} requests, medians {np.median(inputs):.0f} in, {np.median(outputs):.0f} out")


if __name__ == "__main__":
    main()
