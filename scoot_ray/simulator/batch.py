"""What one step of an engine computes."""

from __future__ import annotations

from dataclasses import dataclass, field

from scoot_ray.simulator.sequences import Sequence


@dataclass(eq=False, slots=True)
class Batch:
    """Chunks of prompts, and one token for each of ``decodes`` sequences of ``decode_context`` tokens together.

    ``pairs`` counts (query, key) pairs of the prompts' attention, ``prompt_context`` the tokens whose keys and values
    they read, ``onto_context`` how many of the prompt tokens follow others that are in the cache already.
    """

    decodes: int = 0
    decode_context: int = 0
    chunks: list[tuple[Sequence, int]] = field(default_factory=list)
    prompt_tokens: int = 0
    pairs: float = 0.0
    prompt_context: int = 0
    onto_context: int = 0
    ending: int = 0

    def add(self, sequence: Sequence, tokens: int) -> None:
        """Compute ``tokens`` more of a sequence's prompt."""
        before = sequence.computed
        self.chunks.append((sequence, tokens))
        self.prompt_tokens += tokens
        self.pairs += tokens * before + tokens * (tokens + 1) / 2
        self.prompt_context += before + tokens
        self.onto_context += tokens if before else 0
        self.ending += before + tokens == sequence.target

    @property
    def tokens(self) -> int:
        """All tokens that go through the model."""
        return self.prompt_tokens + self.decodes

    @property
    def sampled(self) -> int:
        """Sequences that get a token: the decoding ones, and those whose prompt ends here."""
        return self.decodes + self.ending

    def __bool__(self) -> bool:
        """Whether there is anything to compute."""
        return bool(self.decodes or self.chunks)
