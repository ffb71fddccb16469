"""Makes the demo's model: a small Llama with random weights and a tokenizer trained on text found here.

Run it with a Python that has ``transformers``, ``tokenizers`` and ``torch`` (the engine's own has them)::

    ENGINE_PYTHON studies/demo/make_model.py OUT_DIR

Nothing is downloaded. The words the model writes mean nothing, but serving it costs what serving a model of that
shape costs. Running it again does nothing where the model is complete, and quickly so: the heavy imports stand where
they are needed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

VOCABULARY = 8192
MAX_LENGTH = 2048
TRAINING_CHARACTERS = 3_000_000
SEED = 0
SPECIAL_TOKENS = ("<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


def local_text(characters: int = TRAINING_CHARACTERS) -> Iterator[str]:
    """Yield the text of Python's own library, which every machine that runs this has, up to ``characters``."""
    left = characters
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="ignore")[:left]
        left -= len(text)
        yield text
        if left <= 0:
            return


def write_tokenizer(folder: Path) -> None:
    """Train a byte-level BPE of ``VOCABULARY`` tokens and save it with a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: PLC0415 - see the top
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - see the top

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(local_text(), trainer=trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",  # noqa: S106 - a token of text, not a secret
        eos_token="</s>",  # noqa: S106 - a token of text, not a secret
        model_max_length=MAX_LENGTH,
        chat_template=CHAT_TEMPLATE,
    )
    wrapped.save_pretrained(folder)


def write_model(folder: Path) -> int:
    """Save a seeded random Llama of about 29 million parameters; return how many it has."""
    import torch  # noqa: PLC0415 - see the top
    import transformers  # noqa: PLC0415 - see the top

    transformers.utils.logging.disable_progress_bar()

    torch.manual_seed(SEED)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=MAX_LENGTH,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=False,
    )
    model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    return int(model.num_parameters())


def make(out: Path) -> str:
    """Make the model at ``out`` in one move, so that a folder which exists is complete; return a line about it."""
    if (out / "config.json").is_file() and (out / "tokenizer.json").is_file():
        return f"{out} is already there"
    out.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        write_tokenizer(folder)
        parameters = write_model(folder)
        folder.chmod(0o755)
        shutil.rmtree(out, ignore_errors=True)
        folder.replace(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return f"{out}: Llama with {parameters / 1e6:.1f} M random parameters, made in {time.monotonic() - began:.0f} s"


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Make the demo's model: a small Llama with random weights.")
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        print(make(parser.parse_args().out.absolute()))
    except ImportError as error:
        print(f"{sys.executable} lacks {error.name}: run this with the engine's Python", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
