#!/usr/bin/env python3
"""Builds the tokenizer.json of Qwen2 and of Llama 3, with all their tokens, from the vocabularies that the packages
dashscope and llama-models of PyPI have.

usage: published_tokenizers.py FOLDER      writes FOLDER/qwen2 and FOLDER/llama3

Needs tokenizers, dashscope and llama-models (the last two without their dependencies).
"""
import base64
import importlib.util
import json
import os
import sys

from tokenizers import Tokenizer, decoders, models, processors

from tokenizer_families import FAMILIES


def ranks_of(package, *path):
    """The bytes of each token, and its id, which is its rank as well."""
    folder = importlib.util.find_spec(package).submodule_search_locations[0]
    with open(os.path.join(folder, *path), "rb") as file:
        return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in file if line.strip())}


def parts_of(token, ranks):
    """The two tokens that this one is merged of; none when merging does not get there."""
    parts = [token[i:i + 1] for i in range(len(token))]
    while len(parts) > 2:
        rank, i = min((ranks.get(a + b, len(ranks)), i) for i, (a, b) in enumerate(zip(parts, parts[1:])))
        if rank >= ranks[token]:
            return None
        parts[i:i + 2] = [parts[i] + parts[i + 1]]
    return parts if len(parts) == 2 else None


def spelled(token):
    """In the alphabet of byte-level vocabularies (GPT-2's bytes_to_unicode)."""
    return "".join(ALPHABET[byte] for byte in token)


SHOWN = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
HIDDEN = [byte for byte in range(256) if byte not in SHOWN]
ALPHABET = {**{byte: chr(byte) for byte in SHOWN}, **{byte: chr(256 + i) for i, byte in enumerate(HIDDEN)}}


def build(name, ranks):
    family = FAMILIES[name]
    vocabulary = {spelled(token): rank for token, rank in ranks.items()}
    merges = [tuple(map(spelled, parts)) for parts in (parts_of(token, ranks) for token in ranks) if parts]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=family.ignore_merges))
    if family.normalizer:
        tokenizer.normalizer = family.normalizer
    tokenizer.pre_tokenizer = family.pre_tokenizer
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(family.added)
    return tokenizer


def main():
    for name, ranks in (("qwen2", ranks_of("dashscope", "resources", "qwen.tiktoken")),
                        ("llama3", ranks_of("llama_models", "llama3", "tokenizer.model"))):
        folder = os.path.join(sys.argv[1], name)
        os.makedirs(folder, exist_ok=True)
        build(name, ranks).save(os.path.join(folder, "tokenizer.json"))
        with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as file:
            json.dump({"eos_token": FAMILIES[name].end, "bos_token": FAMILIES[name].bos}, file)


if __name__ == "__main__":
    main()
