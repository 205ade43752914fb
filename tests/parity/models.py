"""Random models of each family, as transformers itself writes them."""

import dataclasses
import json
import os
import random

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

import family_tokenizer
import reference

FAMILIES = ("qwen2", "qwen3", "llama")
CONTEXT = 1024  # of every model
MOST_ROUNDING = reference.BAR / 3  # of transformers itself: where it is more, two correct programs may miss the bar
ORIGINAL_CONTEXT = 128  # of a scaled rope: most positions of a test lie beyond it


@dataclasses.dataclass(frozen=True)
class Kind:
    """A way in which a folder is written, and the things that every run must have seen once."""

    name: str
    dtype: torch.dtype = torch.float32
    sharded: bool = False
    tied: bool = False
    old_spelling: bool = False  # of config.json: transformers 4's
    plain: bool = False  # Llama without biases and with the original rope

    @property
    def type_name(self) -> str:
        """As tandem convert --dtype names it."""
        return {torch.float32: "float32", torch.bfloat16: "bf16", torch.float16: "f16"}[self.dtype]


KINDS = (
    Kind("untied"),
    Kind("tied", tied=True, old_spelling=True),
    Kind("plain", plain=True, old_spelling=True),
    Kind("bf16", dtype=torch.bfloat16, sharded=True, old_spelling=True),
    Kind("f16", dtype=torch.float16, tied=True),
)


@dataclasses.dataclass(frozen=True)
class Written:
    """A model on disk."""

    family: str
    kind: Kind
    folder: str

    @property
    def name(self) -> str:
        return f"{self.family}.{self.kind.name}"


def stream(seed: int, name: str) -> random.Random:
    """Random numbers of one purpose, the same whatever else a run compares."""
    return random.Random(f"{seed}/{name}")


def write(family: str, kind: Kind, seed: int, folder: str, words: int = 0) -> Written:
    """Draws a model and saves it in `folder`, with a tokenizer of the family. `words`: how many ids more than a few."""
    rng = stream(seed, f"{family}.{kind.name}")
    tokenizer = family_tokenizer.write(family, folder, rng, vocabulary=rng.randint(330, 500) + words)
    vocabulary = tokenizer.get_vocab_size() + rng.randint(0, 40)  # official ones are padded too
    end = tokenizer.token_to_id(family_tokenizer.END[family])
    config = draw_config(family, kind, rng, vocabulary, end)
    ids = [rng.randrange(vocabulary) for _ in range(CONTEXT)]
    for _ in range(20):
        model = draw_weights(config, rng)
        if reference.rounding(model, ids) <= MOST_ROUNDING:
            break
    model.to(kind.dtype).save_pretrained(folder, max_shard_size="200KB" if kind.sharded else "1GB")
    if kind.old_spelling:
        spell_as_before(os.path.join(folder, "config.json"))
    return Written(family, kind, folder)


def draw_config(family: str, kind: Kind, rng: random.Random, vocabulary: int, end: int):
    """`end`: the id of the end of a turn."""
    kv_heads, group = rng.choice((2, 3, 4)), rng.choice((1, 2, 3))
    if kind.name == "untied":
        group = rng.choice((2, 3))  # the order of heads shows
    heads = kv_heads * group
    width = rng.choice([width for width in range(2, 65, 2) if 64 <= heads * width <= 128])
    fields = dict(
        vocab_size=vocabulary,
        hidden_size=heads * width,
        num_hidden_layers=rng.randint(2, 4),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=2 * rng.randint(70, 120) + 1,
        max_position_embeddings=CONTEXT,
        # A large one shows whether it is read at all.
        rms_norm_eps=1e-2 if kind.name == "untied" else rng.choice((1e-6, 1e-5)),
        tie_word_embeddings=kind.tied,
        rope_parameters={"rope_type": "default", "rope_theta": rng.choice((1e4, 1e5, 5e5, 1e6))},
        bos_token_id=None,
        eos_token_id=end,
    )
    if family != "qwen2":
        fields["head_dim"] = rng.choice([size for size in (16, 24, 32, 40, 48) if size != width])
    if family == "llama" and not kind.plain:
        fields.update(attention_bias=rng.random() < 0.5, mlp_bias=rng.random() < 0.5)
        if kind.name == "untied":
            fields.update(attention_bias=True, mlp_bias=True)
        fields["rope_parameters"].update(rope_type="llama3", factor=float(rng.choice((4, 8, 32))), low_freq_factor=1.0,
                                         high_freq_factor=4.0, original_max_position_embeddings=ORIGINAL_CONTEXT)
    return AutoConfig.for_model(family, **fields)


@torch.no_grad()
def draw_weights(config, rng: random.Random, deviation: float = 0.1):
    """Weights and biases of a standard deviation just above `deviation`, norms around 1. With much more, attention gets
    so sharp that two correct programs in float32 differ by more than the bar. The row of the end of a turn is zero,
    which keeps it from being the likeliest token: continuations are as long as they were asked for."""
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(rng.getrandbits(63))
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("norm.weight"):
            parameter.copy_(1 + 0.2 * noise)
        else:
            parameter.copy_(deviation * rng.uniform(1, 1.1) * noise)
    model.get_output_embeddings().weight[config.eos_token_id] = 0
    model.generation_config = GenerationConfig(eos_token_id=config.eos_token_id)
    return model


def spell_as_before(path: str) -> None:
    """config.json as transformers 4 wrote it, and as most published models have it."""
    with open(path) as file:
        config = json.load(file)
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.51.0"
    with open(path, "w") as file:
        json.dump(config, file, indent=2, sort_keys=True)
        file.write("\n")
