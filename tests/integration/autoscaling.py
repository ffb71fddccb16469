"""Ray's own autoscaler on this machine: its provider for tests starts further raylets here."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from ray._private import services

from tests.integration.conftest import eventually, free_port

HEAD = "f" * 51 + "00000"  # the name by which the provider knows its head


@contextmanager
def autoscaling(folder: Path, groups: Mapping[str, Any]) -> Iterator[str]:
    """A head without CPUs and node groups that start at zero; gives its address.

    ``ray.cluster_utils.AutoscalingCluster`` does the same, but its configuration is not in Ray's wheel, it has a fixed
    port, and it begins with ``ray stop --force``, which ends every Ray of the machine.
    """
    host = services.get_node_ip_address()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
    address = f"{host}:{free_port()}"
    path = folder / "autoscaler.json"
    path.write_text(json.dumps(_configuration(address, groups)))
    command = [
        *(str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=0"),
        *(f"--port={address.rpartition(':')[2]}", f"--ray-client-server-port={free_port()}"),
        f"--dashboard-port={free_port()}",
        *("--include-dashboard=false", "--disable-usage-stats", f"--autoscaling-config={path}"),
    ]
    env = {
        **os.environ,
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_AUTH_MODE": "disabled",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD,
        "RAY_raylet_start_wait_time_s": "120",
    }
    log = folder / "ray.log"
    with log.open("w") as out:
        head = subprocess.Popen(command, env=env, stdout=out, stderr=out, start_new_session=True)
    try:
        assert eventually(lambda: "Ray runtime started" in log.read_text(), 150), log.read_text()
        yield address
    finally:
        _end(head, address)


def _end(head: subprocess.Popen[bytes], address: str) -> None:
    """End the head, and then the raylets that its monitor has started, which would wait a minute for another head."""
    head.terminate()
    try:
        head.wait(timeout=45)
    except subprocess.TimeoutExpired:
        os.killpg(head.pid, signal.SIGKILL)
        head.wait(timeout=10)
    left = [one for one in psutil.process_iter() if _of(one, address)]
    for one in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(left, timeout=10)


def _of(process: psutil.Process, address: str) -> bool:
    """Whether it is part of the cluster with this head."""
    try:
        return f"--gcs-address={address}" in process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _configuration(address: str, groups: Mapping[str, Any]) -> dict[str, Any]:
    types = {name: {"node_config": {}, "min_workers": 0, "max_workers": 3, **group} for name, group in groups.items()}
    head = {"resources": {}, "node_config": {}, "max_workers": 0}
    commands = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    return {
        "cluster_name": "test",
        "max_workers": 8,
        "idle_timeout_minutes": 5,
        "upscaling_speed": 100,
        "provider": {
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "gcs_address": address,
            "head_node_id": HEAD,
            "launch_multiple": True,
        },
        "available_node_types": {**types, "ray.head.default": head},
        "head_node_type": "ray.head.default",
        "auth": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
        **{f"{name}_commands": [] for name in commands},
    }
