"""Ray: whether it can be imported, whether a cluster answers, and what it has. Asked in a process with a deadline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scoot_ray.doctor.finding import Finding, fine, note, problem

_DEADLINE_S = 60.0
_NONE_HERE = "Could not find any running Ray instance"
_NO_TOKEN = "InvalidAuthToken"  # noqa: S105 - what Ray says without one
_ASK = """
import json, logging, sys, ray
print(ray.__version__, flush=True)
try:
    ray.init(address=sys.argv[1], logging_level=logging.CRITICAL, log_to_driver=False)
except ConnectionError as error:
    print(json.dumps({"refused": str(error)}))
else:
    print("\\n" + json.dumps({"nodes": sum(n["Alive"] for n in ray.nodes()), "resources": ray.cluster_resources()}))
"""


def cluster(
    env: Mapping[str, str] | None = None,
    python: Sequence[str] = (sys.executable,),
    deadline_s: float = _DEADLINE_S,
) -> Iterator[Finding]:
    """Ray here, and the cluster of ``RAY_ADDRESS``, or one that runs on this machine."""
    env = os.environ if env is None else env
    named = env.get("RAY_ADDRESS")
    asked = _run([*python, "-c", _ASK, named or "auto"], env, deadline_s)
    version, _, answer = asked.output.strip().partition("\n")
    if not version:
        yield problem("Ray", f"cannot be imported: {asked.trouble}", f"{sys.executable} -m pip install 'ray[default]'")
        return
    yield fine("Ray", f"version {version}")
    yield _answered(named, replace(asked, output=answer))


def _answered(named: str | None, asked: _Asked) -> Finding:
    """What came of asking the cluster that is ``named``, or any of this machine."""
    about = "Ray cluster"
    held = _parsed(asked.output)
    refused = str(held.get("refused", ""))
    if held and not refused:
        return fine(about, _described(held))
    if named is None and _NONE_HERE in refused:
        return fine(about, "none runs here; tune starts its own")
    if _NO_TOKEN in asked.errors:
        trouble, mend = "it wants a token", "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=FILE"
    else:
        trouble, mend = (refused.splitlines() or [asked.trouble or "no answer"])[0], "ray status"
    if named is not None:
        return problem(about, f"RAY_ADDRESS={named}: {trouble}", f"{mend}  # or: unset RAY_ADDRESS")
    return note(about, f"one runs here, or has: {trouble}", f"{mend}  # or: scoot-ray tune --ray-address local")


@dataclass(frozen=True, slots=True)
class _Asked:
    """Standard output of a process, why there may be no more of it, and all that it complained of."""

    output: str
    trouble: str | None = None
    errors: str = ""


def _run(command: Sequence[str], env: Mapping[str, str], deadline_s: float) -> _Asked:
    quiet = {**env, "RAY_USAGE_STATS_ENABLED": "0"}
    try:
        done = subprocess.run(
            list(command), check=False, env=quiet, stdin=subprocess.DEVNULL, capture_output=True, timeout=deadline_s
        )
    except OSError as error:
        return _Asked("", str(error.strerror))
    except subprocess.TimeoutExpired as late:
        return _Asked(_text(late.stdout), f"no answer in {deadline_s:g} s", _text(late.stderr))
    errors = _text(done.stderr)
    if done.returncode:
        return _Asked(_text(done.stdout), (errors.strip().splitlines() or [f"exit code {done.returncode}"])[-1], errors)
    return _Asked(_text(done.stdout), None, errors)


def _text(output: bytes | None) -> str:
    return (output or b"").decode("utf-8", errors="replace")


def _parsed(answer: str) -> Mapping[str, Any]:
    try:
        held = json.loads(answer.strip().splitlines()[-1]) if answer.strip() else None
    except ValueError:
        return {}
    return held if isinstance(held, dict) else {}


def _described(held: Mapping[str, Any]) -> str:
    resources = held.get("resources", {})
    accelerators = [
        name.removeprefix("accelerator_type:") for name in resources if name.startswith("accelerator_type:")
    ]
    kinds = f" ({', '.join(sorted(accelerators))})" if accelerators else ""
    gib = resources.get("memory", 0) / 2**30
    counts = f"{resources.get('CPU', 0):g} CPUs, {resources.get('GPU', 0):g} GPUs{kinds}, {gib:.0f} GiB of memory"
    return f"{held.get('nodes', 0)} nodes, {counts}"
