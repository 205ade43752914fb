"""Writes random models of Qwen2's architecture as Hugging Face folders: `python models.py FOLDER SHAPE...`.

FOLDER/SHAPE then has config.json, model.safetensors (bf16, seeded) and a tokenizer of as many tokens as the vocabulary,
for engines that insist on one. What is there already stays.
"""
import json
import os
import sys

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

CONTEXT = 2048
SHAPES = {  # hidden, layers, heads, key-value heads, intermediate, vocabulary
    "a": (128, 4, 4, 2, 512, 320),
    "b": (512, 8, 8, 4, 1408, 8192),
    "c": (896, 24, 14, 2, 4864, 151936),  # Qwen2.5-0.5B
}


def write(folder, shape):
    os.makedirs(folder, exist_ok=True)
    hidden, layers, heads, kv_heads, intermediate, vocabulary = SHAPES[shape]
    write_tokenizer(folder, vocabulary)
    write_json(folder, "generation_config.json", {"eos_token_id": 0})
    write_weights(folder, shape)
    write_json(folder, "config.json", {  # as published models have it; last, because it says that the folder is whole
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": hidden,
        "intermediate_size": intermediate, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "vocab_size": vocabulary, "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "rope_scaling": None, "tie_word_embeddings": True,
        "use_sliding_window": False, "max_window_layers": layers, "sliding_window": None, "attention_dropout": 0.0,
        "initializer_range": 0.02, "bos_token_id": None, "eos_token_id": 0, "torch_dtype": "bfloat16",
        "use_cache": True})


def write_weights(folder, shape):
    hidden, layers, heads, kv_heads, intermediate, vocabulary = SHAPES[shape]
    chance = torch.Generator().manual_seed(ord(shape))
    draw = lambda *size: (0.02 * torch.randn(size, generator=chance)).to(torch.bfloat16)
    ones = lambda: torch.ones(hidden, dtype=torch.bfloat16)
    kv = kv_heads * (hidden // heads)
    weights = {"model.embed_tokens.weight": draw(vocabulary, hidden), "model.norm.weight": ones()}
    for layer in range(layers):
        name = f"model.layers.{layer}."
        for part, width in (("q", hidden), ("k", kv), ("v", kv)):
            weights[f"{name}self_attn.{part}_proj.weight"] = draw(width, hidden)
            weights[f"{name}self_attn.{part}_proj.bias"] = draw(width)
        weights[name + "self_attn.o_proj.weight"] = draw(hidden, hidden)
        weights[name + "mlp.gate_proj.weight"] = draw(intermediate, hidden)
        weights[name + "mlp.up_proj.weight"] = draw(intermediate, hidden)
        weights[name + "mlp.down_proj.weight"] = draw(hidden, intermediate)
        weights[name + "input_layernorm.weight"] = ones()
        weights[name + "post_attention_layernorm.weight"] = ones()
    save_file(weights, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})


def write_tokenizer(folder, vocabulary):
    """Bytes, and words that no text is made of."""
    words = ["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    words += [f"<word {i}>" for i in range(vocabulary - len(words))]
    tokenizer = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(words[:1])
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    write_json(folder, "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": words[0], "pad_token": words[0],
        "model_max_length": CONTEXT})


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    for shape in sys.argv[2:]:
        if not os.path.exists(os.path.join(sys.argv[1], shape, "config.json")):
            write(os.path.join(sys.argv[1], shape), shape)
