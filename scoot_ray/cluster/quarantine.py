"""Nodes on which evaluation after evaluation fails for no fault of the configurations: left alone, then tried again.

Three such failures in a row shut a node for a minute. Then one evaluation, the canary, may go there: where its engine
survives the node is as good as any other, where it fails likewise the node stays shut for twice as long. Pure: the
caller has the clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from scoot_ray.search import Failed, FailureKind, Outcome

STRIKES = 3
PAUSE_S, LONGEST_S = 60.0, 1800.0
_SAYS_NOTHING = frozenset({FailureKind.PREEMPTED, FailureKind.CANCELLED})


@dataclass(slots=True)
class _Record:
    strikes: int = 0
    pause_s: float = PAUSE_S / 2
    shut_until_s: float | None = None
    canary: int | None = None


class Quarantine:
    """What is known against each node, by its id."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    @property
    def shut(self) -> frozenset[str]:
        """The nodes that only a canary may go to."""
        return frozenset(node for node, record in self._records.items() if record.shut_until_s is not None)

    def due(self, now_s: float) -> frozenset[str]:
        """Those of them that a canary may go to now."""
        return frozenset(
            node
            for node, record in self._records.items()
            if record.shut_until_s is not None and record.shut_until_s <= now_s and record.canary is None
        )

    def send(self, node: str, trial_id: int) -> None:
        """A canary is on its way."""
        self._records[node].canary = trial_id

    def ended(self, trial_id: int) -> None:
        """A trial is under way no more: if it was a canary, another may follow."""
        for record in self._records.values():
            if record.canary == trial_id:
                record.canary = None

    def note(self, node: str, outcome: Outcome, now_s: float) -> None:
        """Learn from what an evaluation on a node has come to."""
        well = sign(outcome)
        if well:
            self._records.pop(node, None)
        elif well is False:
            record = self._records.setdefault(node, _Record())
            record.strikes += 1
            if record.strikes >= STRIKES:
                record.pause_s = min(LONGEST_S, 2 * record.pause_s)
                record.shut_until_s = now_s + record.pause_s


def sign(outcome: Outcome) -> bool | None:
    """Whether an outcome speaks for the node or against it; None where it says nothing.

    A configuration that was certainly refused may have been so anywhere.
    """
    if not isinstance(outcome, Failed):
        return True
    if outcome.kind in _SAYS_NOTHING or (outcome.kind.of_configuration and not outcome.ambiguous):
        return None
    return False
