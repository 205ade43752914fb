#!/usr/bin/env python3
"""Writes the golden model folders of tests/policy/files/goldens: tiny models of random weights, saved by transformers.

    make_model_goldens.py           run with transformers 5: whole folders under goldens/transformers5
    make_model_goldens.py           run with transformers 4: their JSON files only, under goldens/transformers4

Needs torch and transformers. Each folder gets an expected.json: the shape, and of each tensor the 64-bit FNV-1a hash of
its numbers as float32, little endian.
"""

import json
import pathlib
import shutil

import torch
import transformers

GOLDENS = pathlib.Path(__file__).resolve().parent.parent / "policy" / "files" / "goldens"
MAJOR = int(transformers.__version__.split(".")[0])
COMMON = dict(vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
              intermediate_size=48, max_position_embeddings=256, bos_token_id=1, eos_token_id=2)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)


def rope(theta, scaling=None):
    """The arguments that give a configuration class its rotary positions."""
    if MAJOR >= 5:
        return {"rope_parameters": {**(scaling or {"rope_type": "default"}), "rope_theta": theta}}
    return {"rope_theta": theta, "rope_scaling": scaling}


# name -> (configuration, dtype, largest file)
MODELS = {
    "qwen2-f32": (lambda: transformers.Qwen2Config(**COMMON, tie_word_embeddings=True, **rope(1e6)),
                  torch.float32, "5GB"),
    "qwen3-bf16": (lambda: transformers.Qwen3Config(**COMMON, head_dim=16, tie_word_embeddings=False,
                                                    rms_norm_eps=1e-5, **rope(5e5)), torch.bfloat16, "5GB"),
    "llama-f16-sharded": (lambda: transformers.LlamaConfig(**COMMON, attention_bias=True, mlp_bias=True,
                                                           rms_norm_eps=1e-5, **rope(5e5, LLAMA3)),
                          torch.float16, "20KB"),
}


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def expected(model, config):
    tensors = {name: fnv1a(parameter.detach().float().contiguous().numpy().tobytes())
               for name, parameter in model.named_parameters()}
    scaling = config.to_dict().get("rope_parameters") or {}
    return {
        "model_type": config.model_type,
        "vocabulary": config.vocab_size,
        "hidden": config.hidden_size,
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "kv_heads": config.num_key_value_heads,
        "head_size": model.model.layers[0].self_attn.head_dim,
        "intermediate": config.intermediate_size,
        "context": config.max_position_embeddings,
        "rope_theta": scaling["rope_theta"],
        "rope_type": scaling["rope_type"],
        "norm_epsilon": config.rms_norm_eps,
        "tied_head": config.tie_word_embeddings,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "tensors": tensors,
    }


def main():
    for seed, (name, (make_config, dtype, most)) in enumerate(MODELS.items()):
        folder = GOLDENS / f"transformers{MAJOR}" / name
        shutil.rmtree(folder, ignore_errors=True)
        config = make_config()
        model = transformers.AutoModelForCausalLM.from_config(config)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():  # biases and norms too, which would be 0 and 1
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
        model = model.to(dtype)
        model.generation_config.update(do_sample=True, temperature=0.7, top_p=0.8, top_k=20, eos_token_id=[2, 3])
        model.save_pretrained(folder, max_shard_size=most)
        if MAJOR >= 5:
            (folder / "expected.json").write_text(json.dumps(expected(model, config), indent=1) + "\n")
        else:
            for weights in folder.glob("*.safetensors*"):
                weights.unlink()
        print(folder, sum(file.stat().st_size for file in folder.iterdir()), "bytes")


if __name__ == "__main__":
    main()
