#!/usr/bin/env python3
"""Does transformers compute with a folder that Tandem wrote what it computes with the folder that Tandem read?

    check_model_folders.py PATH/TO/resave_model_folder [FOLDER FOR THE MODELS]

For each family and dtype: transformers makes a model of random weights and saves it, Tandem loads and saves it again
(with and without the source's configuration), transformers loads that, and the logits have to be equal to the bit.
Needs torch and transformers 4 or 5; to see that one reads what the other wrote give both the same folder, one after the
other: models that are there already are loaded too.
"""

import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

from make_model_goldens import COMMON, LLAMA3, MAJOR, rope

CONFIGS = {
    "qwen2": lambda: transformers.Qwen2Config(**COMMON, tie_word_embeddings=True, **rope(1e6)),
    "qwen2-untied": lambda: transformers.Qwen2Config(**COMMON, **rope(1e6)),
    "qwen3": lambda: transformers.Qwen3Config(**COMMON, head_dim=16, **rope(5e5)),
    "qwen3-bias": lambda: transformers.Qwen3Config(**COMMON, head_dim=16, attention_bias=True, **rope(5e5)),
    "llama": lambda: transformers.LlamaConfig(**COMMON, tie_word_embeddings=True, **rope(1e4)),
    "llama3-bias": lambda: transformers.LlamaConfig(**COMMON, attention_bias=True, mlp_bias=True, head_dim=12,
                                                    **rope(5e5, LLAMA3)),
}
DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
TOKENS = torch.randint(0, 64, (2, 200), generator=torch.Generator().manual_seed(7))


def random_model(config, seed):
    model = AutoModelForCausalLM.from_config(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def logits(model):
    with torch.no_grad():
        return model(TOKENS).logits


def load(folder, dtype):
    model, info = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=dtype, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), (folder, info)
    assert all(parameter.dtype == dtype for parameter in model.parameters()), folder
    return model.eval()


def main():
    resave = sys.argv[1]
    root = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="tandem-folders-"))
    references, checks = {}, 0
    for seed, (name, make_config) in enumerate(CONFIGS.items()):
        source = root / f"{name}-{MAJOR}"
        random_model(make_config(), seed).save_pretrained(source)
        for dtype_name, dtype in DTYPES.items():
            # transformers' own way through the disk: model.to(dtype) would round the rotary frequencies too.
            own = root / f"{name}-{MAJOR}-{dtype_name}-own"
            random_model(make_config(), seed).to(dtype).save_pretrained(own)
            references[name, dtype_name] = logits(load(own, dtype))
            for how in ("same", "fresh"):
                saved = root / f"{name}-{MAJOR}-{dtype_name}-{how}"
                subprocess.run([resave, source, saved, dtype_name, "20000", how], check=True)
                checks += 1
                assert torch.equal(logits(load(saved, dtype)), references[name, dtype_name]), saved
        kept = AutoConfig.from_pretrained(root / f"{name}-{MAJOR}-F32-same").to_dict()
        before = AutoConfig.from_pretrained(source).to_dict()
        for key in set(kept) | set(before):
            if key not in ("_name_or_path", "rope_parameters", "rope_scaling", "rope_theta", "head_dim"):
                assert kept.get(key) == before.get(key), (name, key, kept.get(key), before.get(key))
    for other in sorted(root.glob(f"*-{9 - MAJOR}-*-*")):  # Tandem's, from what the other transformers saved
        name, _, dtype_name, how = other.name.rsplit("-", 3)
        if how != "own":
            checks += 1
            assert torch.equal(logits(load(other, DTYPES[dtype_name])), references[name, dtype_name]), other
    print(f"transformers {transformers.__version__}: {checks} folders that Tandem wrote give equal logits")


if __name__ == "__main__":
    main()
