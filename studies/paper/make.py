"""Makes the studies of this folder: ``python studies/paper/make.py``, the evaluation of the SCOOT paper, simulated.

Section V-A of arXiv 2408.04323: four applications, two models, two or four A10 or A100, request rates as there (twice
as high on A100), 100 s of Poisson arrivals, Table I's parameters on vLLM 0.4.2, 30 observations, two at a time.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

RATES = {"sql": 5, "bot": 5, "cls": 10, "rec": 15}
OBJECTIVES = {"sql": "interactive", "bot": "interactive", "cls": "tail_latency", "rec": "throughput"}
MODELS = {"7b": "meta-llama/Llama-2-7b-hf", "13b": "meta-llama/Llama-2-13b-hf"}
GPUS = {"a10": "A10", "a100": "A100-80G"}
TABLE_II = {
    ("sql", "13b", 2, "a100"): "A",
    ("bot", "13b", 2, "a100"): "B",
    ("bot", "13b", 2, "a10"): "C",
    ("bot", "13b", 4, "a10"): "D",
    ("bot", "7b", 4, "a10"): "E",
}

STUDY = """\
# {title}; made by make.py. Every figure of it is simulated.
name: {name}
engine:
  kind: simulated
  version: 0.4.2
  model: {model}
  args: {{dtype: float16, max-model-len: 4096}}
  hardware: {{accelerator: {accelerator}, count: {count}}}
workload:
  trace: ../../traces/{application}.jsonl
  arrivals: {{process: poisson, rate: {rate}}}
  duration_s: 100
  request_timeout_s: 1000           # an overloaded default is slow, not broken
objectives: {objectives}
space:
  tensor_parallel_size: {{type: integer, low: 1, high: {count}, scale: powers_of_two, default: {count}}}
  max_num_seqs: {{type: integer, low: 64, high: 8192, scale: powers_of_two, default: 256}}
  max_num_batched_tokens: {{type: integer, low: 64, high: 8192, scale: powers_of_two, default: 4096}}
  block_size: {{type: choice, values: [8, 16, 32], default: 16}}
  scheduler_delay_factor: {{type: float, low: 0, high: 2, default: 0}}
  enable_chunked_prefill: {{type: boolean, default: false}}
  enable_prefix_caching: {{type: boolean, default: false}}
  disable_custom_all_reduce: {{type: boolean, default: false}}
  use_v2_block_manager: {{type: boolean, default: false}}
constraints:
  - max_num_batched_tokens >= max_num_seqs
  - enable_chunked_prefill or max_num_batched_tokens >= max_model_len
  - not (enable_chunked_prefill and enable_prefix_caching)
budget: {{observations: 30}}
parallelism: 2
confirmation: {{finalists: 2, arrival_orders: 5}}
"""


def study(application: str, model: str, count: int, gpu: str) -> tuple[str, str]:
    """One study's name and text."""
    name = f"{application}-{model}-{count}{gpu}"
    service = TABLE_II.get((application, model, count, gpu))
    title = f"{application.upper()} on Llama-2-{model.upper()}, {count} {GPUS[gpu]}"
    text = STUDY.format(
        title=title + (f": service {service} of the paper's Table II" if service else ""),
        name=name,
        model=MODELS[model],
        accelerator=GPUS[gpu],
        count=count,
        application=application,
        rate=RATES[application] * (2 if gpu == "a100" else 1),
        objectives=OBJECTIVES[application],
    )
    return name, text


def main() -> None:
    """Write them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    folder = parser.parse_args().out
    for application, model, count, gpu in product(RATES, MODELS, (2, 4), GPUS):
        name, text = study(application, model, count, gpu)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
