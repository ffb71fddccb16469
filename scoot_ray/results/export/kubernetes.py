"""Kubernetes: a Deployment with its Service, KServe's InferenceService, values of vLLM's production-stack chart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scoot_ray.engine.flags import to_flags
from scoot_ray.results.deployment import Deployment
from scoot_ray.results.export.text import commented, yaml_text

_PORT = 8000
_MEMORY_GI = 16  # of the host, for each GPU
_PATIENCE_S, _PERIOD_S = 1800, 10  # until a start is given up: large models load for long


def manifests(deployment: Deployment) -> str:
    """A Deployment and the Service that balances its replicas."""
    labels = {"app": deployment.name}
    pods: dict[str, Any] = {"containers": [_container(deployment, "vllm")]}
    if deployment.gpus > 1:  # NCCL's shared memory; the default of 64 MiB is too little
        pods["volumes"] = [{"name": "shm", "emptyDir": {"medium": "Memory"}}]
    service = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": deployment.name, "labels": labels},
        "spec": {
            "replicas": deployment.replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pods},
        },
    }
    balancer = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": deployment.name, "labels": labels},
        "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": _PORT}]},
    }
    return commented(deployment.header, ["use     kubectl apply -f kubernetes.yaml", *_checks(deployment)]) + yaml_text(
        service, balancer
    )


def inference_service(deployment: Deployment) -> str:
    """An InferenceService with vLLM as a container of its own, as many as were proved."""
    predictor: dict[str, Any] = {
        "minReplicas": deployment.replicas,
        "maxReplicas": deployment.replicas,
        "containers": [_container(deployment, "kserve-container")],
    }
    if deployment.gpus > 1:
        predictor["volumes"] = [{"name": "shm", "emptyDir": {"medium": "Memory"}}]
    document = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": deployment.name},
        "spec": {"predictor": predictor},
    }
    return commented(deployment.header, ["use     kubectl apply -f kserve.yaml", *_checks(deployment)]) + yaml_text(
        document
    )


def helm_values(deployment: Deployment) -> str:
    """Values of the production-stack chart (vllm/vllm-stack).

    The chart turns prefix caching off unless told otherwise: it is told what the engine does by itself.
    """
    repository, _, tag = deployment.image.rpartition(":")
    flags = dict(deployment.flags)
    own: dict[str, Any] = {"enablePrefixCaching": bool(flags.pop("enable_prefix_caching", True))}
    if deployment.gpus > 1 and "tensor_parallel_size" in flags:  # the chart then mounts shared memory
        own["tensorParallelSize"] = flags.pop("tensor_parallel_size")
    model = {
        "name": deployment.name,
        "repository": repository if repository and "/" not in tag else deployment.image,
        "tag": tag if repository and "/" not in tag else "latest",
        "modelURL": _literal(deployment.model),
        "replicaCount": deployment.replicas,
        "requestCPU": deployment.cpus,
        "requestMemory": _memory(deployment),
        "requestGPU": deployment.gpus,
        "vllmConfig": {**own, "extraArgs": [_literal(word) for word in to_flags(flags, deployment.switches)]},
        "env": list(_env(deployment)),
    }
    notes = ["use     helm install NAME vllm/vllm-stack -f values.yaml", *_checks(deployment)]
    if "enable_prefix_caching" not in deployment.flags:
        notes.append("check   the chart sets prefix caching, on here, which the study left to the engine")
    return commented(deployment.header, notes) + yaml_text({"servingEngineSpec": {"modelSpec": [model]}})


def _container(deployment: Deployment, name: str) -> dict[str, Any]:
    resources: dict[str, Any] = {"requests": {"cpu": str(deployment.cpus), "memory": _memory(deployment)}}
    if deployment.gpus:
        resources["requests"]["nvidia.com/gpu"] = str(deployment.gpus)
        resources["limits"] = {"nvidia.com/gpu": str(deployment.gpus)}
    health = {"httpGet": {"path": "/health", "port": _PORT}, "periodSeconds": _PERIOD_S}
    container: dict[str, Any] = {
        "name": name,
        "image": deployment.image,
        "command": ["vllm", "serve"],
        "args": [_literal(word) for word in (deployment.model, *deployment.words)],
        "env": list(_env(deployment)),
        "ports": [{"containerPort": _PORT, "protocol": "TCP"}],
        "resources": resources,
        "startupProbe": {**health, "failureThreshold": _PATIENCE_S // _PERIOD_S},
        "readinessProbe": health,
    }
    if deployment.gpus > 1:
        container["volumeMounts"] = [{"name": "shm", "mountPath": "/dev/shm"}]  # noqa: S108 - inside the container
    return container


def _env(deployment: Deployment) -> Iterator[dict[str, Any]]:
    """Variables; a secret comes from the Secret that belongs to the service."""
    for name, value in deployment.env.items():
        yield {"name": name, "value": _literal(value)}
    for name, source in deployment.secrets.items():
        yield {"name": name, "valueFrom": {"secretKeyRef": {"name": f"{deployment.name}-secrets", "key": source}}}


def _checks(deployment: Deployment) -> Iterator[str]:
    yield f"check   requested memory ({_memory(deployment)}) and CPUs are not part of what was proved"
    if deployment.model.startswith("/"):
        yield "check   the model is a local folder: mount it at the same path"
    if deployment.secrets:
        yield f"secret  make the Secret {deployment.name}-secrets with {', '.join(deployment.secrets.values())}"


def _memory(deployment: Deployment) -> str:
    return f"{_MEMORY_GI * max(1, deployment.gpus)}Gi"


def _literal(text: str) -> str:
    """Kubernetes fills in ``$(NAME)``; a doubled dollar sign is one as it stands."""
    return text.replace("$", "$$")
