# Two images: `cpu` for the head, the optimizer and simulated studies, `gpu` for the nodes that run vLLM.
#
#   docker build --target cpu -t scoot-ray:0.1.0-cpu .
#   docker build --target gpu -t scoot-ray:0.1.0-gpu .
#
# NOT BUILT YET: where this was written there was no Docker daemon. tests/unit/test_deploy.py checks what can be checked
# without one. Ray wants the same Python in the whole cluster, so both have 3.12; their patch versions may differ.
#
# TORCH_INDEX: as in the Makefile, a package index that offers torch's CPU build (smaller), where pip's sources do not.

FROM python:3.12.12-slim-bookworm AS wheel
WORKDIR /src
RUN pip install --no-cache-dir setuptools==80.9.0
COPY pyproject.toml README.md LICENSE ./
COPY scoot_ray scoot_ray
RUN pip wheel --no-cache-dir --no-build-isolation --no-deps --wheel-dir /wheels .

FROM python:3.12.12-slim-bookworm AS cpu
ARG TORCH_INDEX=
# Debian keeps one version of a package in a release, so there is none to pin. wget: KubeRay's probes call it.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ procps wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home scoot
COPY constraints.txt /opt/constraints.txt
COPY --from=wheel /wheels /opt/wheels
RUN python3 -m venv /opt/scoot-ray \
    && /opt/scoot-ray/bin/pip install --no-cache-dir --constraint /opt/constraints.txt \
       ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} /opt/wheels/*.whl
ENV PATH=/opt/scoot-ray/bin:$PATH \
    RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL=minor \
    RAY_USAGE_STATS_ENABLED=0
USER 10001
WORKDIR /home/scoot
CMD ["scoot-ray", "--help"]

# vLLM's own image, with its own Python and vLLM as they are: studies name it as `engine.python: /usr/bin/python3`.
# scoot-ray stands beside it, in an environment of its own.
FROM vllm/vllm-openai:v0.32.0 AS gpu
ARG TORCH_INDEX=
RUN useradd --uid 10001 --create-home scoot
COPY constraints.txt /opt/constraints.txt
COPY --from=wheel /wheels /opt/wheels
RUN /usr/bin/python3 -m venv /opt/scoot-ray \
    && /opt/scoot-ray/bin/pip install --no-cache-dir --constraint /opt/constraints.txt \
       ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} /opt/wheels/*.whl
ENV PATH=/opt/scoot-ray/bin:$PATH \
    RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL=minor \
    RAY_USAGE_STATS_ENABLED=0
USER 10001
WORKDIR /home/scoot
ENTRYPOINT []
CMD ["scoot-ray", "--help"]
