"""What is in deploy/ holds against the schemas of who reads it, and names only what there is."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from scoot_ray.cluster.readings import METRICS
from scoot_ray.study import parse_study

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SCHEMAS = ROOT / "tests" / "schemas"
IMAGES = {"scoot-ray:0.1.0-cpu", "scoot-ray:0.1.0-gpu"}
NOT_KUBERNETES = {"study.yaml", "cluster.yaml", "rayjob-patch.yaml"}
MANIFESTS = sorted(path for path in DEPLOY.rglob("*.yaml") if path.name not in NOT_KUBERNETES)


def kinds() -> dict[str, Any]:
    """Every kind that there is a schema of."""
    found = {}
    for name in ("kuberay", "kueue", "kubernetes-core", "prometheus-operator"):
        document = json.loads((SCHEMAS / f"{name}.json").read_text())
        for kind, schema in document["kinds"].items():
            found[kind] = {**schema, "$defs": document["$defs"]}
    return found


def validate(manifest: Mapping[str, Any]) -> None:
    schema = kinds()[f"{manifest['apiVersion']} {manifest['kind']}"]
    jsonschema.Draft202012Validator(schema).validate(manifest)


def documents(path: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one is not None]


def named(name: str) -> dict[str, Any]:
    (document,) = documents(DEPLOY / "kuberay" / name)
    return document


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_a_manifest_is_what_its_reader_takes(path: Path) -> None:
    for manifest in documents(path):
        validate(manifest)
        assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", manifest["metadata"]["name"])


def test_a_mistake_is_found() -> None:
    cluster = named("raycluster.yaml")
    cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["imagee"] = "x"
    with pytest.raises(jsonschema.ValidationError, match="imagee"):
        validate(cluster)


def test_the_job_has_the_cluster_of_the_cluster() -> None:
    assert named("rayjob.yaml")["spec"]["rayClusterSpec"] == named("raycluster.yaml")["spec"]


def test_the_queued_job_is_still_a_job() -> None:
    job, patch = named("rayjob.yaml"), yaml.safe_load((DEPLOY / "kueue" / "rayjob-patch.yaml").read_text())
    job["metadata"] |= patch["metadata"]
    validate(job)
    queue = documents(DEPLOY / "kueue" / "queue.yaml")
    names = {(one["kind"], one["metadata"]["name"]) for one in queue}
    labels = job["metadata"]["labels"]
    assert ("LocalQueue", labels["kueue.x-k8s.io/queue-name"]) in names
    assert ("WorkloadPriorityClass", labels["kueue.x-k8s.io/priority-class"]) in names
    (cluster_queue,) = [one for one in queue if one["kind"] == "ClusterQueue"]
    for group in cluster_queue["spec"]["resourceGroups"]:
        for flavor in group["flavors"]:
            assert ("ResourceFlavor", flavor["name"]) in names
            assert [one["name"] for one in flavor["resources"]] == group["coveredResources"]


def test_authentication_is_on_and_no_token_is_written_down() -> None:
    assert named("raycluster.yaml")["spec"]["authOptions"] == {"mode": "token", "secretName": "scoot-ray-token"}
    assert "RAY_AUTH_MODE=token" in (DEPLOY / "ray-up" / "cluster.yaml").read_text()
    assert not any(one["kind"] == "Secret" for path in MANIFESTS for one in documents(path))


def test_the_head_stays_and_the_off_peak_group_costs_nothing_at_rest() -> None:
    spec = named("raycluster.yaml")["spec"]
    head, (group,) = spec["headGroupSpec"], spec["workerGroupSpecs"]
    assert head["labels"] == {"ray.io/market-type": "on-demand"}
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert group["labels"] == {"ray.io/market-type": "spot"}
    assert group["minReplicas"] == group["replicas"] == 0
    selectors = [one["template"]["spec"]["nodeSelector"]["scoot-ray.io/pool"] for one in (head, group)]
    assert selectors == ["steady", "off-peak"]


def test_pods_have_no_rights_that_they_do_not_need_and_mount_what_they_name() -> None:
    spec = named("raycluster.yaml")["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        (container,) = pod["containers"]
        assert container["image"] in IMAGES
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
    claims = {one["metadata"]["name"] for one in documents(DEPLOY / "kuberay" / "storage.yaml")}
    used = re.findall(r"claimName: ([\w-]+)", (DEPLOY / "kuberay" / "raycluster.yaml").read_text())
    assert set(used) == claims


def test_the_network_policies_hold_for_the_pods_of_ray_and_prometheus_reads_a_port_that_is_let_through() -> None:
    policies = documents(DEPLOY / "kuberay" / "networkpolicy.yaml")
    (monitor,) = documents(DEPLOY / "grafana" / "podmonitor.yaml")
    for policy in policies:
        assert policy["spec"]["podSelector"] == monitor["spec"]["selector"]
    assert sorted(kind for policy in policies for kind in policy["spec"]["policyTypes"]) == ["Egress", "Ingress"]
    ports = {port["port"] for rule in policies[0]["spec"]["ingress"] for port in rule.get("ports", ())}
    spec = named("raycluster.yaml")["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        assert {port["name"]: port["containerPort"] for port in container["ports"]}["metrics"] in ports


def test_the_study_is_one_and_lies_where_the_cluster_looks() -> None:
    path = DEPLOY / "kuberay" / "study.yaml"
    study = parse_study(path.read_text(), str(path))
    group = named("raycluster.yaml")["spec"]["workerGroupSpecs"][0]
    assert study.resources.labels == group["labels"]
    assert int(group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]) == study.gpus
    assert f"{study.output}/{study.name}" in named("rayjob.yaml")["spec"]["entrypoint"]
    mounts = {one["mountPath"] for one in _head_container()["volumeMounts"]}
    assert {study.output, str(Path(study.workload.trace).parent), "/models"} <= mounts


def _head_container() -> dict[str, Any]:
    (container,) = named("raycluster.yaml")["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = container
    return found


def test_the_entrypoint_resumes_what_is_there() -> None:
    words = shlex.split(named("rayjob.yaml")["spec"]["entrypoint"])
    assert words[:2] == ["sh", "-c"]
    assert re.findall(r"scoot-ray (\w+)", words[2]) == ["resume", "tune"]


def test_the_cluster_file_of_ray_up_is_what_this_ray_takes() -> None:
    import ray.autoscaler

    config = yaml.safe_load((DEPLOY / "ray-up" / "cluster.yaml").read_text())
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    jsonschema.validate(config, schema)
    from ray.autoscaler._private.local.config import prepare_local  # what ray up does with it first

    prepared, _ = prepare_local(config)
    assert prepared["max_workers"] == len(config["provider"]["worker_ips"])


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "scoot-ray.json").read_text())
    asked = set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            asked |= set(re.findall(r"\bray_(scoot_ray_\w+)", target["expr"]))
            (tags,) = re.findall(r"by \(([^)]*)\)", target["expr"])
            (metric,) = [one for one in METRICS if f"ray_{one.name}{{" in target["expr"]]
            assert set(tags.split(", ")) == {"study", "run", *([metric.tag] if metric.tag else [])}
    assert asked == {metric.name for metric in METRICS}
    variables = json.dumps(dashboard["templating"])
    assert set(re.findall(r"ray_(scoot_ray_\w+)", variables)) <= asked
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


# The Dockerfile: there is no Docker where this was written.


def instructions() -> list[tuple[str, str]]:
    """Each instruction with its words, continuation lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return [(name, " ".join(rest.split())) for name, rest in lines]


def stages() -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """The name of each stage, its image, and what follows."""
    name = image = ""
    own: list[tuple[str, str]] = []
    for instruction, words in instructions():
        if instruction == "FROM":
            if name:
                yield name, image, own
            image, _, name = words.split()
            own = []
        else:
            own.append((instruction, words))
    yield name, image, own


def test_the_dockerfile_has_only_instructions_that_there_are() -> None:
    known = {"FROM", "ARG", "RUN", "COPY", "ENV", "USER", "WORKDIR", "CMD", "ENTRYPOINT"}
    assert {name for name, _ in instructions()} <= known
    assert instructions()[0][0] == "FROM"
    for name, words in instructions():
        if name in {"CMD", "ENTRYPOINT"}:
            assert isinstance(json.loads(words), list)


def test_images_are_pinned_and_run_as_nobody_in_particular() -> None:
    found = {name: (image, own) for name, image, own in stages()}
    assert set(found) == {"wheel", "cpu", "gpu"}
    for image, _ in found.values():
        assert re.search(r":v?\d+\.\d+\.\d+", image), image
    assert found["gpu"][0].startswith("vllm/vllm-openai:v")
    for name in ("cpu", "gpu"):
        users = [words for instruction, words in found[name][1] if instruction == "USER"]
        pod = named("raycluster.yaml")["spec"]["headGroupSpec"]["template"]["spec"]["securityContext"]
        assert users == [str(pod["runAsUser"])]
        assert f"--uid {users[0]}" in " ".join(words for _, words in found[name][1])
        after = found[name][1].index(("USER", users[0]))
        assert all(instruction != "RUN" for instruction, _ in found[name][1][after:])


def test_what_the_dockerfile_copies_is_there_and_not_ignored() -> None:
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name, words in instructions():
        if name == "COPY" and not words.startswith("--from="):
            for source in words.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert any(fnmatch.fnmatch(source, pattern) for pattern in let_through), source


def test_every_pip_and_apt_leaves_no_cache() -> None:
    for name, words in instructions():
        if name == "RUN":
            assert words.count("pip install") + words.count("pip wheel") == words.count("--no-cache-dir")
            assert ("apt-get install" in words) == ("rm -rf /var/lib/apt/lists/*" in words)


def test_both_images_have_the_same_python_and_the_cluster_the_same_ray() -> None:
    assert "RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL=minor" in (ROOT / "Dockerfile").read_text()
    (ray,) = re.findall(r"^ray==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert named("raycluster.yaml")["spec"]["rayVersion"] == ray


def test_every_file_is_named_in_the_readme() -> None:
    readme = (DEPLOY / "README.md").read_text()
    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.name != "README.md":
            assert str(path.relative_to(DEPLOY)) in readme, path
