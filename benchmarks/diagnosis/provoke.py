"""Provokes on a real vLLM (CPU) every failure that can be provoked there, and keeps the logs for the corpus.

    python -m benchmarks.diagnosis.provoke --python ENGINE/bin/python --model studies/demo/model --out DIR [NAME ...]

One engine at a time, each with a deadline. Some cases need root: small tmpfs mounts in a mount namespace of their own,
a memory cgroup of their own, another user. What cannot be done here is passed over and said so.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import psutil

DEADLINE_S = 300.0
GRACE_S = 90.0  # a server that was told to stop waits for its clients, which give up after 60 s
CGROUP = Path("/sys/fs/cgroup/memory/scoot-ray-provoke")
PIDS = Path("/sys/fs/cgroup/pids/scoot-ray-provoke")


@dataclass(frozen=True, slots=True)
class Lab:
    """Where and with what: the engine's Python, a good model, a folder of the case's own, a free port."""

    python: str
    model: Path
    folder: Path
    port: int


@dataclass(frozen=True, slots=True)
class Case:
    """One failure. ``spoil`` makes a bad model of a copy of the good one; ``act`` is done to a running engine."""

    name: str
    args: str = ""
    env: dict[str, str] = field(default_factory=dict)
    prefix: str = ""
    model: str = ""
    spoil: Callable[[Path], object] | None = None
    act: Callable[[Lab, psutil.Process], object] | None = None
    around: Callable[[Lab], object] | None = None
    program: str = "-m vllm.entrypoints.openai.api_server"


def kill(when: str, number: int, child: bool = False) -> Callable[[Lab, psutil.Process], object]:
    """Send a signal to the server, or to its engine process, once the log says ``when`` or it serves (``load``)."""

    def act(lab: Lab, process: psutil.Process) -> None:
        if when == "load":
            serve(lab, process)
            for _ in range(4):
                Thread(target=complete, args=(lab, 400), daemon=True).start()
            time.sleep(3)
        else:
            wait(process, lambda: when in (lab.folder / "engine.log").read_text(errors="replace"))
        victim = core(process) if child else process
        victim.send_signal(number)

    return act


def core(process: psutil.Process) -> psutil.Process:
    """The engine's own process below the server."""
    return next(
        one for one in process.children(recursive=True) if "EngineCore" in " ".join([one.name(), *one.cmdline()])
    )


def wait(process: psutil.Process, done: Callable[[], bool]) -> None:
    """Wait until ``done``, the end of the process, or the deadline."""
    ends_s = time.monotonic() + DEADLINE_S
    while (
        process.is_running() and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < ends_s and not done()
    ):
        time.sleep(0.2)


def healthy(lab: Lab) -> bool:
    """Whether the server says that it is."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{lab.port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def complete(lab: Lab, tokens: int, **changes: object) -> None:
    """One completion, whatever comes of it."""
    body = {"model": str(lab.model), "prompt": "one two three", "max_tokens": tokens, "ignore_eos": True, **changes}
    request = urllib.request.Request(
        f"http://127.0.0.1:{lab.port}/v1/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()
    except OSError:
        pass


def serve(lab: Lab, process: psutil.Process) -> None:
    """Wait until it serves, and let it serve a little: good requests and bad ones."""
    wait(process, lambda: healthy(lab))
    complete(lab, 20)
    complete(lab, 10**6)
    complete(lab, 5, model="another")
    complete(lab, 5, temperature=-1)
    complete(lab, 5, prompt="word " * 5000)
    complete(lab, 20)


def served(lab: Lab, process: psutil.Process) -> None:
    """Nothing goes wrong, and then it is stopped."""
    serve(lab, process)
    time.sleep(12)
    process.terminate()


@contextmanager
def listening(lab: Lab) -> Iterator[None]:
    """Another program on the port."""
    with socket.create_server(("127.0.0.1", lab.port)):
        yield


def shorten(model: Path) -> None:
    """Half of the weights are there."""
    weights = model / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)


def scramble(model: Path) -> None:
    """The weights' header is no header."""
    (model / "model.safetensors").write_bytes(b"\xff" * 4096)


def edit(**changes: object) -> Callable[[Path], object]:
    """Change the model's config.json."""

    def change(model: Path) -> None:
        path = model / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}))

    return change


def without(name: str) -> Callable[[Path], object]:
    """Leave one of the model's files out."""
    return lambda model: (model / name).unlink()


def write(name: str, text: str) -> Callable[[Path], object]:
    """Spoil one of the model's files."""
    return lambda model: (model / name).write_text(text)


def lock(name: str) -> Callable[[Path], object]:
    """Let nobody read one of the model's files."""
    return lambda model: (model / name).chmod(0)


TINY = "unshare -m sh -c 'mkdir -p {folder}/tiny; mount -t tmpfs -o size=64k tmpfs {folder}/tiny; exec \"$@\"' sh"
NO_SHM = "unshare -m sh -c 'mount -t tmpfs -o size=4k tmpfs /dev/shm; exec \"$@\"' sh"
NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups"
# Root without the right to read what it may not; another user might not even reach the engine's Python.
POWERLESS = "setpriv --bounding-set=-dac_override,-dac_read_search --inh-caps=-dac_override,-dac_read_search"
TINY_CACHE = {"VLLM_CACHE_ROOT": "{folder}/tiny", "TORCHINDUCTOR_CACHE_DIR": "{folder}/tiny/inductor"}
LOCKED = "sh -c 'mkdir -m 0 {folder}/locked; exec \"$@\"' sh " + POWERLESS
LOCKED_CACHE = {"VLLM_CACHE_ROOT": "{folder}/locked/cache", "TORCHINDUCTOR_CACHE_DIR": "{folder}/locked/inductor"}
HUB = {"HF_HUB_OFFLINE": "0"}
LOADING = "Initializing a V1 LLM engine"

CASES: tuple[Case, ...] = (
    Case("healthy", act=served),
    Case("unknown_flag", "--scheduler-delay-factor 0.5"),
    Case("not_a_number", "--max-num-seqs many"),
    Case("not_a_choice", "--scheduling-policy lifo"),
    Case("bad_json", "--compilation-config {{mode:"),
    Case("fewer_tokens_than_sequences", "--max-num-seqs 128 --max-num-batched-tokens 64"),
    Case("no_sequences", "--max-num-seqs 0"),
    Case("utilization_above_one", "--gpu-memory-utilization 1.5"),
    Case("longer_than_the_model", "--max-model-len 999999"),
    Case("whole_prefill", "--no-enable-chunked-prefill --max-num-batched-tokens 256"),
    Case("threshold_too_long", "--long-prefill-token-threshold 9999"),
    Case("block_size", "--block-size 24"),
    Case("cache_too_small", "--hf-overrides {{\"max_position_embeddings\":400000}} --max-model-len 200000"),
    Case("cache_too_large", env={"VLLM_CPU_KVCACHE_SPACE": "500"}),
    Case("tensor_parallel", "--tensor-parallel-size 2"),
    Case("tensor_parallel_heads", "--tensor-parallel-size 3"),
    Case("pipeline_parallel", "--pipeline-parallel-size 16"),
    Case("quantization", "--quantization awq"),
    Case("dtype", "--dtype float8"),
    Case("speculative", '--speculative-config {{"method":"eagle","num_speculative_tokens":2}}'),
    Case("load_format", "--load-format tensorizer"),
    Case("port_taken", around=listening),
    Case("port_forbidden", "--port 80", prefix=NOBODY, env={"HOME": "/tmp"}),
    Case("no_such_folder", model="/nowhere/model"),
    Case("not_downloaded", model="someone/some-model"),
    Case("hub_unreachable", model="someone/some-model", env={**HUB, "HF_ENDPOINT": "http://127.0.0.1:9"}),
    Case("hub_without_name", model="someone/some-model", env={**HUB, "HF_ENDPOINT": "http://hub.invalid"}),
    Case("weights_missing", spoil=without("model.safetensors")),
    Case("weights_cut_short", spoil=shorten),
    Case("weights_scrambled", spoil=scramble),
    Case("config_missing", spoil=without("config.json")),
    Case("config_not_json", spoil=write("config.json", "{")),
    Case("tokenizer_missing", spoil=without("tokenizer.json")),
    Case("tokenizer_broken", spoil=write("tokenizer.json", "{}")),
    Case("unknown_architecture", spoil=edit(architectures=["SomethingForCausalLM"])),
    Case("weights_of_another_shape", spoil=edit(hidden_size=384)),
    Case("weights_unreadable", prefix=POWERLESS, spoil=lock("model.safetensors")),
    Case("cache_folder_forbidden", "--no-enforce-eager", LOCKED_CACHE, LOCKED),
    Case("disk_full_cache", "--no-enforce-eager", TINY_CACHE, TINY),
    Case("shm_small", prefix=NO_SHM),
    Case("address_space", prefix="prlimit --as=3500000000"),
    Case("address_space_tiny", prefix="prlimit --as=1200000000"),
    Case("open_files", prefix="prlimit --nofile=40"),
    Case("processes", prefix="sh -c 'echo $$ > {pids}/cgroup.procs; exec \"$@\"' sh"),
    Case("cgroup_memory", prefix="sh -c 'echo $$ > {cgroup}/cgroup.procs; exec \"$@\"' sh"),
    Case("no_torch", env={"PYTHONPATH": "{folder}/shadow"}),
    Case("no_engine", program="-m vllm_that_is_not_there"),
    Case("bad_environment", env={"VLLM_LOGGING_LEVEL": "LOUD"}),
    Case("killed_loading", act=kill(LOADING, signal.SIGKILL)),
    Case("core_killed_loading", act=kill(LOADING, signal.SIGKILL, child=True)),
    Case("killed_under_load", act=kill("load", signal.SIGKILL)),
    Case("core_killed_under_load", act=kill("load", signal.SIGKILL, child=True)),
    Case("core_segfault_under_load", act=kill("load", signal.SIGSEGV, child=True)),
    Case("core_aborted_under_load", act=kill("load", signal.SIGABRT, child=True)),
    Case("terminated_under_load", act=kill("load", signal.SIGTERM)),
)  # fmt: skip


def command(case: Case, lab: Lab) -> list[str]:
    """The case's command line."""
    named = {"folder": lab.folder, "cgroup": CGROUP, "pids": PIDS}
    model = case.model or str(lab.model)
    own = f"--model {model} --host 127.0.0.1 --port {lab.port} --enforce-eager --max-model-len 1024"
    given = case.args.format(**named)
    line = f"{case.prefix.format(**named)} {lab.python} {case.program} {own}"
    return ["nice", "-n", "5", *shlex.split(line), *given.split()]


def environment(case: Case, lab: Lab) -> dict[str, str]:
    """The case's whole environment."""
    fixed = {
        "PATH": os.environ["PATH"],
        "HOME": str(lab.folder),
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_HOST_IP": "127.0.0.1",
    }
    return fixed | {name: value.format(folder=lab.folder) for name, value in case.env.items()}


def provoke(case: Case, lab: Lab) -> int | None:
    """Run one case; its exit code, or None where it had to be ended at the deadline."""
    shadow = lab.folder / "shadow"
    shadow.mkdir()
    (shadow / "torch.py").write_text("raise ImportError('libtorch_cpu.so: undefined symbol: iJIT_NotifyEvent')\n")
    if case.name == "cgroup_memory":
        CGROUP.mkdir(exist_ok=True)
        (CGROUP / "memory.limit_in_bytes").write_text("1200000000")
    if case.name == "processes":
        PIDS.mkdir(exist_ok=True)
        (PIDS / "pids.max").write_text("12")
    with ExitStack() as stack:
        if case.around:
            stack.enter_context(case.around(lab))  # type: ignore[arg-type]  # the one there is, is a context manager
        log = stack.enter_context((lab.folder / "engine.log").open("wb"))
        started = subprocess.Popen(
            command(case, lab), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment(case, lab),
            cwd=lab.folder, start_new_session=True,
        )  # fmt: skip
        process = psutil.Process(started.pid)
        try:
            if case.act:
                case.act(lab, process)
                return started.wait(GRACE_S)
            wait(process, lambda: started.poll() is not None or healthy(lab))
            return started.poll() if healthy(lab) else started.wait(GRACE_S)  # its threads may outlive it for a moment
        except (subprocess.TimeoutExpired, StopIteration, psutil.NoSuchProcess):
            return started.poll()
        finally:
            end(process)


def end(process: psutil.Process) -> None:
    """End the process and all below it that is still in its session, by id."""
    session = process.pid
    mine = [one for one in psutil.process_iter() if _session(one) == session]
    for one in mine:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(mine, timeout=10)


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except OSError:
        return None


def cleaned(text: str, python: str) -> str:
    """The log without what is particular to this machine: where the engine, its Python and the case's files are."""
    text = re.sub(r"/tmp/scoot-ray-provoke/\w+", "/case", text)
    text = text.replace(str(Path(python).parents[1]), "/engine")
    text = re.sub(r"/\S+/lib/python3(?=[.]\d+/(?!site-packages))", "/usr/lib/python3", text)
    return re.sub(r"usage: (?:.*\n)(?:[ ].*\n)+", "usage: …\n", text)


def main() -> None:
    """Provoke the cases asked for, all without names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("names", nargs="*")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    cases = {case.name: case for case in CASES}
    for case in [cases[name] for name in asked.names or cases]:
        folder = Path(f"/tmp/scoot-ray-provoke/{case.name}")  # a name that every user may read
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        model = folder / "model"
        shutil.copytree(asked.model, model)
        for path in model.iterdir():
            path.chmod(0o644)
        if case.spoil:
            case.spoil(model)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        began_s = time.monotonic()
        code = provoke(case, Lab(asked.python, model, folder, port))
        text = (folder / "engine.log").read_text(errors="replace")
        (asked.out / f"{case.name}.log").write_text(cleaned(text, asked.python))
        (asked.out / f"{case.name}.code").write_text(f"{code}\n")
        shutil.rmtree(folder, ignore_errors=True)
        print(f"{case.name:32} exit {code}  {time.monotonic() - began_s:.0f} s", flush=True)
    for group in (CGROUP, PIDS):
        if group.is_dir():
            group.rmdir()


if __name__ == "__main__":
    main()
