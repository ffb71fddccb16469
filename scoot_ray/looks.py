"""When the confirmation looks at what it has, and how much of its error each look may spend. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from scoot_ray.inference import CONFIDENCE
from scoot_ray.study import Confirmation


@dataclass(frozen=True, slots=True)
class Look:
    """A look once ``orders`` arrival orders are measured; ``error`` is the chance of a false claim it may take."""

    orders: int
    error: float


def looks(settings: Confirmation) -> tuple[Look, ...]:
    """The looks, last at the study's maximum.

    Who looks often finds something by chance: each look spends half of the 5% still left, the last one all of it, so
    that all together spend 5% whatever they find (Lan and DeMets, Discrete Sequential Boundaries, 1983).
    """
    first, most = settings.arrival_orders, settings.most_orders
    step = (first + 1) // 2
    found, left = [], 1 - CONFIDENCE
    for orders in [*range(first, most, step), most]:
        error = left if orders == most else left / 2
        found.append(Look(orders, error))
        left -= error
    return tuple(found)


def error_at(settings: Confirmation, orders: int) -> float:
    """What may be spent once ``orders`` are measured: as much as at the look that comes then, or next."""
    planned = looks(settings)
    return next((look.error for look in planned if look.orders >= orders), planned[-1].error)
