"""Which token ids a prompt may be made of: ordinary ones of the served model's tokenizer."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp

from scoot_ray.load.errors import LoadError

FALLBACK_IDS = range(1_000, 30_000)
"""Ids taken where the server has no ``/tokenize``: ordinary text in every common tokenizer of 30,000 ids or more."""

PASSAGE = (
    "On a clear morning the harbour woke early: fishermen counted nets, children carried bread, and an old engineer "
    "explained to anyone who listened why the second crane always stopped at noon. 'Power is cheap,' she said, 'but "
    "patience costs 47 dollars an hour.' Nobody laughed; everyone wrote the number down. Later a letter arrived from "
    "the city, asking whether the company could deliver twelve pumps, three turbines and 1,800 metres of cable before "
    "winter. The manager answered yes, signed with a green pen, and only then opened the catalogue. Which supplier "
    "would help? Perhaps the one in the valley, whose daughter studied chemistry, played chess and repaired radios "
    "for pleasure. She drew a simple table: price, weight, distance, risk. Below it she added questions. How long "
    "does a query take when the data grows tenfold? Where should memory be spent, and who pays for waiting? Good "
    "systems, like good kitchens, hide their queues. By evening rain had covered the road; lamps shone in shop "
    "windows, music drifted across the square, and two travellers argued about maps, weather, politics and soup. "
    "They agreed on soup. In the final report, dated 9 October 2021, the engineer recommended smaller batches, "
    "shorter meetings, better light and a louder bell. The board thanked her, changed one word, and approved it."
)
"""Varied English: some two hundred different ordinary tokens in any tokenizer."""

_FEWEST_IDS = 16
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Ordinary token ids, distinct and ascending. ``note`` says so where they are guessed."""

    token_ids: tuple[int, ...]
    note: str | None = None


async def learn_vocabulary(session: aiohttp.ClientSession, base_url: str, model: str) -> Vocabulary:
    """Ask the server to tokenize a passage; without an answer fall back to a range of ids, and say so.

    Raises LoadError where the server cannot be reached at all.
    """
    question = {"model": model, "prompt": PASSAGE, "add_special_tokens": False}
    try:
        async with session.post(
            f"{base_url}/tokenize", json=question, timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)
        ) as response:
            if response.status != 200:
                return _fallback(f"answered {response.status}")
            answer = await response.json(content_type=None)
    except aiohttp.ClientConnectorError as error:
        raise LoadError(f"base_url: {base_url}: cannot connect: {error.strerror}; allowed a running server") from error
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return _fallback(f"failed ({type(error).__name__})")
    tokens = answer.get("tokens") if isinstance(answer, dict) else None
    if not isinstance(tokens, list) or not all(isinstance(token, int) and token >= 0 for token in tokens):
        return _fallback("answered without tokens")
    return _ordinary(tokens)


def _ordinary(tokens: list[int]) -> Vocabulary:
    """Leave out the ids of both ends: a server that adds special tokens all the same adds them there."""
    ids = set(tokens[1:-1]) - {*tokens[:1], *tokens[-1:]}
    if len(ids) < _FEWEST_IDS:
        return _fallback(f"answered with {len(ids)} different tokens")
    return Vocabulary(tuple(sorted(ids)))


def _fallback(reason: str) -> Vocabulary:
    first, last = FALLBACK_IDS[0], FALLBACK_IDS[-1]
    return Vocabulary(tuple(FALLBACK_IDS), f"/tokenize {reason}: prompts are made of token ids {first} to {last}")
