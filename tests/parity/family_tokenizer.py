"""Small byte-level tokenizers, each with the pattern, the normalizer, the added tokens and the post-processor that the
official ones of its family have."""

import glob
import json
import os
import random
import sysconfig

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import random_text

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERN = {
    "qwen2": rf"{_WORDS}|\p{{N}}|{_REST}",
    "qwen3": rf"{_WORDS}|\p{{N}}|{_REST}",
    "llama": rf"{_WORDS}|\p{{N}}{{1,3}}|{_REST}",
}

_QWEN2 = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
          "<|box_end|>", "<|vision_start|>", "<|vision_end|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>"]
# Of each family, in the order of their ids, which follow the vocabulary's.
ADDED = {
    "qwen2": _QWEN2,
    "qwen3": [*_QWEN2, "<tool_response>", "</tool_response>", "<think>", "</think>"],
    "llama": ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|finetune_right_pad_id|>",
              "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>"],
}
END = {"qwen2": "<|im_end|>", "qwen3": "<|im_end|>", "llama": "<|eot_id|>"}


def write(family: str, folder: str, rng: random.Random, vocabulary: int) -> Tokenizer:
    """Trains one and writes tokenizer.json and tokenizer_config.json. `vocabulary`: ids, without the added tokens."""
    tokenizer = train(family, rng, vocabulary)
    os.makedirs(folder, exist_ok=True)
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as file:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END[family], "model_max_length": 1024,
                   "clean_up_tokenization_spaces": False}, file, indent=2)
    return tokenizer


def train(family: str, rng: random.Random, vocabulary: int) -> Tokenizer:
    llama = family == "llama"
    tokenizer = Tokenizer(models.BPE(ignore_merges=llama))
    if not llama:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=llama, trim_offsets=llama, use_regex=llama)
    # Trained on whole lines: many tokens then reach across the places where the pattern splits, and a pattern that is
    # read in another way gives other ids.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.train_from_iterator(_training_lines(rng, 3 * vocabulary), trainers.BpeTrainer(
        vocab_size=vocabulary, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN[family]), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=llama, use_regex=False),
    ])
    tokenizer = _without_some_merges(tokenizer, rng)
    for token in ADDED[family]:
        # Qwen's <think>, <tool_call> and their like are added, but not special.
        special = token.startswith("<|")
        (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(
            [AddedToken(token, special=special, normalized=False)])
    byte_level = processors.ByteLevel(add_prefix_space=llama, trim_offsets=False, use_regex=llama)
    if llama:
        begin = "<|begin_of_text|>"
        template = processors.TemplateProcessing(single=f"{begin} $A", pair=f"{begin} $A {begin}:1 $B:1",
                                                 special_tokens=[(begin, tokenizer.token_to_id(begin))])
        byte_level = processors.Sequence([byte_level, template])
    tokenizer.post_processor = byte_level
    return tokenizer


def _training_lines(rng: random.Random, count: int) -> list[str]:
    """A half of Python's own sources, the others made-up words of many scripts."""
    files = sorted(glob.glob(os.path.join(sysconfig.get_path("stdlib"), "*.py")))
    sources = []
    for path in rng.sample(files, 20):
        with open(path, encoding="utf-8") as file:
            sources += file.read(20_000).splitlines(keepends=True)
    made = (random_text.words, random_text.contractions, random_text.digits)
    return rng.choices(sources, k=count // 2) + [rng.choice(made)(rng) for _ in range(count // 2)]


def _without_some_merges(tokenizer: Tokenizer, rng: random.Random) -> Tokenizer:
    """As in the official vocabularies, some tokens cannot be reached by merging: ignore_merges makes a difference."""
    content = json.loads(tokenizer.to_str())
    merges = content["model"]["merges"]
    for _ in range(len(merges) // 30):
        merges.pop(rng.randrange(len(merges)))
    return Tokenizer.from_str(json.dumps(content))
