"""Small tokenizers that are built as those of Qwen2, Qwen3, Llama 3 and GPT-2 are: the same normalizer, patterns, added
tokens and post-processor, with a vocabulary of a thousand tokens trained on sources of Python's library."""
import json
import os
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

QWEN_PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
                r"|\s+(?!\S)|\s+")
LLAMA_PATTERN = QWEN_PATTERN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")

QWEN2_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
                 "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
                 "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
QWEN2_PLAIN = ["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
               "<|repo_name|>", "<|file_sep|>"]
QWEN3_PLAIN = QWEN2_PLAIN + ["<tool_response>", "</tool_response>", "<think>", "</think>"]
LLAMA_SPECIAL = (["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>",
                  "<|reserved_special_token_1|>", "<|finetune_right_pad_id|>", "<|reserved_special_token_2|>",
                  "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>"] +
                 [f"<|reserved_special_token_{i}|>" for i in range(3, 248)])

# The kinds of added tokens that the families have none of. In NFC the second is "é!".
ODD_TOKENS = [AddedToken("<word>", single_word=True, normalized=False), AddedToken("e\u0301!", normalized=True),
              AddedToken("<left>", lstrip=True, normalized=False), AddedToken("<right>", rstrip=True, normalized=False),
              AddedToken("<both>", lstrip=True, rstrip=True, special=True, normalized=False),
              AddedToken("ab", single_word=True, normalized=True), AddedToken("<left>>", normalized=False),
              AddedToken("日本 語", normalized=False), AddedToken("  ", normalized=False, single_word=True)]


def plain(names):
    return [AddedToken(name, special=False, normalized=False) for name in names]


def special(names):
    return [AddedToken(name, special=True, normalized=False) for name in names]


def split_then_bytes(pattern, prefix_space=False):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=prefix_space, use_regex=False)])


class Family:
    def __init__(self, pre_tokenizer, added, end, normalizer=None, ignore_merges=False, bos=None, legacy_merges=False):
        self.pre_tokenizer, self.added, self.end, self.normalizer = pre_tokenizer, added, end, normalizer
        self.ignore_merges, self.bos, self.legacy_merges = ignore_merges, bos, legacy_merges


FAMILIES = {
    "qwen2": Family(split_then_bytes(QWEN_PATTERN), special(QWEN2_SPECIAL) + plain(QWEN2_PLAIN), "<|im_end|>",
                    normalizer=normalizers.NFC()),
    "qwen3": Family(split_then_bytes(QWEN_PATTERN), special(QWEN2_SPECIAL) + plain(QWEN3_PLAIN), "<|im_end|>",
                    normalizer=normalizers.NFC(), legacy_merges=True),
    "llama3": Family(split_then_bytes(LLAMA_PATTERN), special(LLAMA_SPECIAL), "<|eot_id|>", ignore_merges=True,
                     bos="<|begin_of_text|>"),
    "gpt2": Family(pre_tokenizers.ByteLevel(add_prefix_space=False), special(["<|endoftext|>"]), "<|endoftext|>",
                   legacy_merges=True),
    "odd": Family(pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\d+|\p{Lu}\p{Ll}*+"), "isolated"),
                                           pre_tokenizers.ByteLevel(add_prefix_space=True)]),
                  special(["<|end|>"]) + ODD_TOKENS, "<|end|>",
                  normalizer=normalizers.Sequence([normalizers.NFC()])),
}


def corpus():
    """English and code from this Python's library, and some of every other script, always the same."""
    library = os.path.dirname(os.__file__)
    for name in ("argparse", "ast", "asyncio/base_events", "decimal", "difflib", "inspect", "json/decoder", "typing"):
        path = f"{library}/{name}.py" if os.path.exists(f"{library}/{name}.py") else f"{library}/_py{name}.py"
        with open(path, encoding="utf-8") as file:
            yield from file
    chance = random.Random(1)
    for first, last in ((0x4E00, 0x4F00), (0x3041, 0x3096), (0x410, 0x44F), (0x5D0, 0x5EA), (0x627, 0x64A),
                        (0xAC00, 0xAD00), (0xE0, 0xFF), (0x1F600, 0x1F620)):
        for _ in range(300):
            yield "".join(chr(int(first + (last - first) * chance.random()**2)) for _ in range(chance.randint(2, 12)))


def train(name):
    """The tokenizer of a family, as a tokenizer.json."""
    family = FAMILIES[name]
    tokenizer = Tokenizer(models.BPE(ignore_merges=family.ignore_merges))
    if family.normalizer:
        tokenizer.normalizer = family.normalizer
    tokenizer.pre_tokenizer = family.pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=1100, show_progress=False, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    model = json.loads(tokenizer.to_str())["model"]
    if family.ignore_merges:  # words that no merge makes, of which Llama 3 has some
        for word in ("Ġunmerged", "Ġxyzzy", "ĠäºĮäºĮ", "qqqq", "Ġ2024"):
            model["vocab"].setdefault(word, len(model["vocab"]))
    tokenizer.model = models.BPE(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]],
                                 ignore_merges=family.ignore_merges)
    tokenizer.add_tokens(family.added)
    byte_level = processors.ByteLevel(add_prefix_space=bool(family.bos), trim_offsets=False, use_regex=bool(family.bos))
    if family.bos:
        byte_level = processors.Sequence([byte_level, processors.TemplateProcessing(
            single=f"{family.bos} $A", pair=f"{family.bos} $A {family.bos}:1 $B:1",
            special_tokens=[(family.bos, tokenizer.token_to_id(family.bos))])])
    tokenizer.post_processor = byte_level
    saved = json.loads(tokenizer.to_str())
    if family.legacy_merges:
        saved["model"]["merges"] = [" ".join(pair) for pair in saved["model"]["merges"]]
    return json.dumps(saved, ensure_ascii=False, separators=(",", ":")) + "\n"
