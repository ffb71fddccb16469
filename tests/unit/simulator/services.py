"""Services and loads for tests of the simulator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scoot_ray.load.arrivals import Arrivals, schedule
from scoot_ray.load.figures.metrics import metrics_of
from scoot_ray.load.trace import Request
from scoot_ray.search import Config
from scoot_ray.simulator.boot import Machine
from scoot_ray.simulator.hardware import find_accelerator
from scoot_ray.simulator.models import find_model
from scoot_ray.simulator.service import Load, Replayed, Service, replay
from scoot_ray.simulator.settings import NEWEST, Version


def service(
    accelerator: str = "A100-80G",
    gpus: int = 1,
    model: str = "Llama-2-13b-hf",
    version: Version = NEWEST,
    noise: float = 0.0,
) -> Service:
    return Service(find_model(model), Machine(find_accelerator(accelerator), gpus), version, {}, noise)


def requests(
    count: int = 200, prompt: int = 500, output: int = 100, shared_blocks: int = 0, seed: int = 0
) -> tuple[Request, ...]:
    """Lengths between half and one and a half times those given; the first blocks are everybody's."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        prompt_tokens = int(rng.integers(prompt // 2, prompt * 3 // 2)) + 512 * shared_blocks
        own = [1_000 + 10 * number + block for block in range(-(-prompt_tokens // 512) - shared_blocks)]
        output_tokens = int(rng.integers(max(1, output // 2), output * 3 // 2))
        made.append(Request(0.0, prompt_tokens, output_tokens, hash_ids=(*range(shared_blocks), *own)))
    return tuple(made)


def run(
    chosen: Service,
    config: Config,
    offered: Sequence[Request],
    rate: float = 10.0,
    seed: int = 0,
    order: int = 0,
    timeout_s: float = 600.0,
) -> Replayed:
    arrivals = schedule(Arrivals("poisson", rate), offered, count=len(offered), seed=0, order=order)
    booted = chosen.boot(config)
    return replay(booted, chosen.replicas(config), Load(offered, arrivals, timeout_s), chosen.noise, (seed,))


def figures(chosen: Service, config: Config, offered: Sequence[Request], rate: float = 10.0) -> dict[str, float]:
    return metrics_of(run(chosen, config, offered, rate).records)
