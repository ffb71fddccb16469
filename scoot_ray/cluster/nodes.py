"""Which nodes a trial may go to: those with room, less those in quarantine and those it has failed on before."""

from __future__ import annotations

import time

from scoot_ray.cluster.capacity import View, barred, slots
from scoot_ray.cluster.placement import bundle, not_on, only
from scoot_ray.cluster.quarantine import Quarantine, sign
from scoot_ray.search import Observation, Trial
from scoot_ray.study import Resources


class Nodes:
    """Remembers what happened where."""

    def __init__(self, resources: Resources) -> None:
        self._resources, self._quarantine = resources, Quarantine()
        self._failed_on: dict[int, set[str]] = {}
        self._names: dict[str, str] = {}

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
        return not_on(barred(view, self._resources, shut | failed_on) or shut)

    def note(self, node: str | None, observation: Observation, view: View | None) -> None:
        """Learn from the end of an evaluation; nothing of a node that has gone."""
        self._quarantine.ended(observation.trial.id)
        if node is None or view is None or all(node != one.id for one in view.nodes):
            return
        self._names[node] = observation.where or node
        self._quarantine.note(node, observation.outcome, time.monotonic())
        if sign(observation.outcome) is False:
            self._failed_on.setdefault(observation.trial.id, set()).add(node)

    def taken_back(self, trial: Trial) -> None:
        """A trial has not run at all."""
        self._quarantine.ended(trial.id)

    def waiting_for(self, view: View) -> str:
        """What keeps an evaluation from starting."""
        wanted = ", ".join(f"{amount:g} {name}" for name, amount in bundle(self._resources).items())
        if view.could_hold(self._resources):
            return f"waiting for {wanted} free on one node"
        return f"waiting for a node with {wanted}: none is there, so for the autoscaler or whoever adds one"

    def _shut(self, view: View) -> frozenset[str]:
        return barred(view, self._resources, self._quarantine.shut)
