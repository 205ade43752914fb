"""Tiny models with what transformers computes from them, for the tests that run without Python."""

import json
import os
import shutil

import numpy
import torch
import transformers
from transformers import AutoConfig

import models
import reference
from compare_scores import WRONG
from wrong_models import wrong_models

CONTEXT = 640
LENGTHS = (600, 129, 2)
PROMPT, NEW = 40, 64
DEVIATION = 0.2  # of weights: in so narrow a model less would make the layers a small addition to the embedding
LEAST_GAP = 1e-3  # nats between the best two tokens of every step: no rounding changes the continuation
LEAST_DIFFERENT = 20  # different tokens of the continuation
MOST_ROUNDING = reference.BAR / 4  # what float32 may cost transformers itself

_SHAPE = dict(vocab_size=96, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
              intermediate_size=53, max_position_embeddings=CONTEXT, bos_token_id=None, eos_token_id=1)
_FAMILIES = {
    "qwen2": dict(tie_word_embeddings=True, rms_norm_eps=1e-6,
                  rope_parameters={"rope_type": "default", "rope_theta": 1e6}),
    "qwen3": dict(tie_word_embeddings=False, rms_norm_eps=1e-3, head_dim=16,
                  rope_parameters={"rope_type": "default", "rope_theta": 1e6}),
    "llama": dict(tie_word_embeddings=False, rms_norm_eps=1e-5, head_dim=12, attention_bias=True, mlp_bias=True,
                  rope_parameters={"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0,
                                   "high_freq_factor": 4.0, "original_max_position_embeddings": 80}),
}
_OLD_SPELLING = ("qwen2", "llama")


def write(folder: str) -> None:
    """folder/<family>/ with config.json, model.safetensors and scores.json. The same bytes each time, on one kind of
    processor."""
    for family in models.FAMILIES:
        target = os.path.join(folder, family)
        seed, model, scores = next(found for found in map(lambda seed: _draw(family, seed), range(1, 1000))
                                   if _is_telling(*found[1:]))
        shutil.rmtree(target, ignore_errors=True)
        model.save_pretrained(target)
        os.remove(os.path.join(target, "generation_config.json"))
        if family in _OLD_SPELLING:
            models.spell_as_before(os.path.join(target, "config.json"))
        _save(os.path.join(target, "scores.json"), scores)
        print(f"{target}: seed {seed}, smallest gap {min(scores['greedy']['gaps']):.1e}")


def _is_telling(model, scores: dict) -> bool:
    """Whether the greedy continuation is clear and no mere repetition, float32 comes close, and no wrong model does."""
    first, greedy = scores["sequences"][0], scores["greedy"]
    right = torch.tensor(first["logprobs"], dtype=torch.float64)

    def off(model) -> float:
        return reference.largest_difference(right, reference.logprobs(model, first["ids"]))

    return (min(greedy["gaps"]) >= LEAST_GAP and len(set(greedy["ids"])) >= LEAST_DIFFERENT
            and off(model) <= MOST_ROUNDING and all(off(wrong) >= WRONG for wrong in wrong_models(model).values()))


def _draw(family: str, seed: int):
    rng = models.stream(seed, f"goldens.{family}")
    model = models.draw_weights(AutoConfig.for_model(family, **_SHAPE, **_FAMILIES[family]), rng, DEVIATION)
    double = reference.in_double(model)
    vocabulary = model.config.vocab_size
    sequences = [[rng.randrange(vocabulary) for _ in range(length)] for length in LENGTHS]
    scores = {
        "origin": f"tests/parity/run --write-goldens: transformers {transformers.__version__}, a pass in float64 (the "
                  "angles of positions in float32)",
        "sequences": [{"ids": ids, "logprobs": _short(reference.logprobs(double, ids))} for ids in sequences],
        "greedy": _greedy(double, [rng.randrange(vocabulary) for _ in range(PROMPT)]),
    }
    return seed, model, scores


def _greedy(model, prompt: list[int]) -> dict:
    """gaps: by how many nats each token is likelier than the second best."""
    ids, logprobs, gaps = [], [], []
    for _ in range(NEW):
        best = reference.all_logprobs(model, prompt + ids)[-1].topk(2)
        ids.append(int(best.indices[0]))
        logprobs.append(best.values[0])
        gaps.append(best.values[0] - best.values[1])
    return {"prompt": prompt, "ids": ids, "logprobs": _short(torch.stack(logprobs)), "gaps": _short(torch.stack(gaps))}


def _short(values: torch.Tensor) -> list[float]:
    """The shortest decimals that read back as the same float32."""
    return [float(str(value)) for value in values.numpy().astype(numpy.float32)]


def _save(path: str, scores: dict) -> None:
    """JSON with a line for each list."""
    sequences = ",\n".join(_fields(sequence) for sequence in scores["sequences"])
    with open(path, "w") as file:
        file.write(f'{{"origin": {json.dumps(scores["origin"])},\n"sequences": [\n{sequences}\n],\n'
                   f'"greedy": {_fields(scores["greedy"])}}}\n')


def _fields(lists: dict) -> str:
    return "{" + ",\n".join(f'"{name}": {json.dumps(values)}' for name, values in lists.items()) + "}"
