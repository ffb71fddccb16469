"""Which nodes a trial may go to: those with room, less those in quarantine and those it has failed on before."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from typing import TypeAlias

from scoot_ray.cluster.capacity import Autoscaler, View, barred, slots
from scoot_ray.cluster.placement import described, not_on, only
from scoot_ray.cluster.quarantine import Quarantine, sign
from scoot_ray.search import Measured, Observation, Origin, Trial, Value
from scoot_ray.study import Resources

_Key: TypeAlias = frozenset[tuple[str, Value]]


class Nodes:
    """Remembers what happened where."""

    def __init__(self, resources: Resources) -> None:
        self._resources, self._quarantine = resources, Quarantine()
        self._failed_on: dict[int, set[str]] = {}
        self._names: dict[str, str] = {}
        self._measured: defaultdict[_Key, Counter[str]] = defaultdict(Counter)

    @property
    def notices(self) -> tuple[str, ...]:
        """What is left alone, for those who watch."""
        names = sorted(self._names.get(node, node) for node in self._quarantine.shut)
        return tuple(f"node {name} is in quarantine: evaluation after evaluation failed there" for name in names)

    def idle(self, view: View) -> int:
        """Slots that nobody holds; a node in quarantine has one when its canary is due, else none."""
        shut, due = self._shut(view), self._quarantine.due(time.monotonic())
        free = slots(view, self._resources)
        return sum(min(count, int(node in due)) if node in shut else count for node, count in free.items())

    def for_trial(self, trial: Trial, view: View | None) -> dict[str, str]:
        """Ray's condition on the node for a trial, which becomes the canary of a node where that is due.

        A trial with failures behind it is none: a second one on a bad node would be taken for the configuration's.
        What is measured again goes where it was measured least, among the nodes that have room: so nodes compare.
        """
        if view is None:
            return {}
        shut, failed_on = self._shut(view), self._failed_on.get(trial.id, set())
        if not failed_on:
            free = slots(view, self._resources)
            due = sorted(node for node in shut & self._quarantine.due(time.monotonic()) if free.get(node))
            if due:
                self._quarantine.send(due[0], trial.id)
                return only(due[0])
            if trial.origin is Origin.PROBE:
                roomy = sorted(node for node, count in free.items() if count and node not in shut)
                if len(roomy) > 1:
                    return only(min(roomy, key=self._measured[_key(trial)].__getitem__))
        return not_on(barred(view, self._resources, shut | failed_on) or shut)

    def note(self, node: str | None, observation: Observation, view: View | None) -> None:
        """Learn from the end of an evaluation; nothing of a node that has gone."""
        self._quarantine.ended(observation.trial.id)
        if node is None or view is None or all(node != one.id for one in view.nodes):
            return
        self._names[node] = observation.where or node
        if isinstance(observation.outcome, Measured):
            self._measured[_key(observation.trial)][node] += 1
        self._quarantine.note(node, observation.outcome, time.monotonic())
        if sign(observation.outcome) is False:
            self._failed_on.setdefault(observation.trial.id, set()).add(node)

    def taken_back(self, trial: Trial) -> None:
        """A trial has not run at all."""
        self._quarantine.ended(trial.id)

    def waiting_for(self, view: View, group: str) -> str:
        """What keeps the evaluation of a placement ``group`` from starting."""
        wanted = described(self._resources)
        if view.could_hold(self._resources):
            waits = f"waiting for {wanted} free on one node"
            return waits + (f"; {_coming(view.autoscaler)}" if view.autoscaler and view.autoscaler.coming else "")
        waits = f"waiting for a node with {wanted}: none is there"
        if view.autoscaler is None:
            return f"{waits}, so for the autoscaler or whoever adds one"
        if group in view.autoscaler.impossible:
            return f"{waits}, and the autoscaler has no group of nodes left that could hold it"
        return f"{waits}; {_coming(view.autoscaler)}"

    def _shut(self, view: View) -> frozenset[str]:
        return barred(view, self._resources, self._quarantine.shut)


def _key(trial: Trial) -> _Key:
    """A configuration by its content."""
    return frozenset(trial.config.items())


def _coming(autoscaler: Autoscaler) -> str:
    """What the autoscaler does about it."""
    if not autoscaler.coming:
        return "the autoscaler has been asked" + "".join(
            f"; it could not have {one}" for one in autoscaler.refused[-1:]
        )
    nodes = ", ".join(f"{count} × {group}" for group, count in sorted(autoscaler.coming.items()))
    return f"the autoscaler is starting {nodes}"
