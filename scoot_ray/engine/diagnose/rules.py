"""What a line of a log proves: the table that :func:`scoot_ray.engine.diagnose.diagnose` looks lines up in.

To add one, write a row in ``ours.py`` or ``configurations.py``: a name, whose fault it is, what such lines look like,
what to do. Rows stand in the order in which they are tried on a line; a row that only says what followed from something
else is ``weak``, and one whose cause may lie in the machine as well as in the configuration ``ambiguous``. Then add a
case to ``tests/data/engine_logs``, and run ``python -m benchmarks.diagnosis --write``.

The messages are those of vLLM 0.4 to 0.32, SGLang 0.4 and TensorRT-LLM 0.7 to 1.0, and of the libraries below them.
"""

from __future__ import annotations

from scoot_ray.engine.diagnose.configurations import OUT_OF_MEMORY, REJECTED, UNDER_WAY
from scoot_ray.engine.diagnose.deaths import HOLLOW
from scoot_ray.engine.diagnose.ours import INSTALLATION, MACHINE, MODEL
from scoot_ray.engine.diagnose.rule import Rule

RULES: tuple[Rule, ...] = (*MACHINE, *INSTALLATION, *OUT_OF_MEMORY, *MODEL, *REJECTED, *UNDER_WAY)
"""The table, in the order in which a line is looked up: what is nobody's fault first, the general last."""

DEATHS: tuple[str, ...] = (*HOLLOW, *(pattern for rule in RULES if rule.dead for pattern in rule.patterns))
"""What an engine writes that is dead, though its process may hang; upper and lower case are the same."""

PARAMETERS: tuple[str, ...] = tuple(
    sorted({
        *(name for rule in RULES for name in rule.parameters),
        "dtype", "enforce_eager", "kv_cache_dtype", "load_format", "long_prefill_token_threshold", "max_seq_len",
        "max_num_active_seqs", "quantization", "scheduling_policy", "max_running_requests", "chunked_prefill_size",
        "max_batch_size", "max_num_tokens",
    })
)  # fmt: skip
"""Parameters of engines that messages name, for logs that come without a configuration."""
