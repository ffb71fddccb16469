"""A script that serves, and an environment file for one that does."""

from __future__ import annotations

import shlex

from scoot_ray.engine.flags import quoted
from scoot_ray.results.deployment import Deployment
from scoot_ray.results.export.text import commented


def serve_script(deployment: Deployment) -> str:
    """A shell script that starts one server, with the files that its command reads written beside its caller."""
    exports = [
        *(f"export {name}={shlex.quote(value)}\n" for name, value in deployment.env.items()),
        *(f'export {name}="${{{source}:?}}"\n' for name, source in deployment.secrets.items()),
    ]
    files = (f"cat > {shlex.quote(name)} <<'END_OF_FILE'\n{text}END_OF_FILE\n" for name, text in deployment.files)
    lines = "".join([*exports, *files])
    return f"#!/bin/sh\n{commented(deployment.header)}{lines}exec {quoted(deployment.command)}\n"


def environment_file(deployment: Deployment) -> str:
    """Variables for a shell or systemd; VLLM_ARGS holds model and flags, quoted for a shell."""
    notes = [
        'use     set -a; . ./engine.env; eval exec vllm serve "$VLLM_ARGS"',
        *(f"secret  {name} is not in here; set it from {source}" for name, source in deployment.secrets.items()),
    ]
    arguments = shlex.quote(quoted([deployment.model, *deployment.words]))
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in deployment.env.items()]
    return f"{commented(deployment.header, notes)}{''.join(lines)}VLLM_ARGS={arguments}\n"
