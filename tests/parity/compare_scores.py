"""Log-probabilities, and whether the sequences would tell a wrong model from the right one."""

import os

import torch
from tokenizers import Tokenizer

import random_text
import reference
from models import CONTEXT, ORIGINAL_CONTEXT, Written, stream
from report import Report
from tandem import Tandem, TandemError
from wrong_models import wrong_models

WRONG = 10 * reference.BAR  # what a wrong model must differ by
LENGTHS = (512, CONTEXT, 37, 2, 1)
BF16_OPTIONS = ("--precision", "bf16")  # of tandem score: arithmetic in bf16, where it has it


def compare(report: Report, tandem: Tandem, model: Written, seed: int) -> None:
    name = f"scores.{model.name}"
    sees = f"sees.{model.name}"
    if not (report.wants(name) or report.wants(sees)):
        return
    right = reference.load(model.folder)
    requests, sequences = _requests(model, right.config.vocab_size, seed)
    wanted = [reference.logprobs(right, ids) for ids in sequences]
    if report.wants(name):
        own = max(reference.rounding(right, ids) for ids in sequences)
        with report.comparing(name):
            largest = _largest(tandem.score(model.folder, requests), sequences, wanted)
            note = f"transformers from its own float64: {own:.1e}; {_shape(right)}"
            report.at_most(name, largest, reference.BAR, note)
        if model.kind.dtype == torch.bfloat16:
            _compare_in_bf16(report, tandem, model, requests, sequences, wanted)
    for thing, wrong in wrong_models(right).items() if model.kind.dtype == torch.float32 else ():
        if report.wants(f"{sees}.{thing}"):
            found = reference.largest_difference(wanted[0], reference.logprobs(wrong, sequences[0]))
            report.at_least(f"{sees}.{thing}", found, WRONG)


def _compare_in_bf16(report: Report, tandem: Tandem, model: Written, requests, sequences, wanted) -> None:
    """Two computations in bf16 round in different places, so the bar is twice transformers' own error."""
    name = f"scores.{model.name}.arithmetic"
    if not report.wants(name):
        return
    rounded = reference.load(model.folder, torch.bfloat16)
    own = max(reference.largest_difference(a, reference.logprobs(rounded, ids)) for a, ids in zip(wanted, sequences))
    with report.comparing(name):
        if not tandem.has_option("score", BF16_OPTIONS[0]):
            report.skip(name, f"tandem score has no {BF16_OPTIONS[0]}")
            return
        answers = tandem.score(model.folder, requests, *BF16_OPTIONS)
        report.at_most(name, _largest(answers, sequences, wanted), 2 * own, f"transformers' bf16: {own:.1e}")


def _requests(model: Written, vocabulary: int, seed: int) -> tuple[list[dict], list[list[int]]]:
    """Sequences of ids and, last, texts; and the ids of each."""
    rng = stream(seed, f"scores.{model.name}")
    sequences = [[rng.randrange(vocabulary) for _ in range(length)] for length in LENGTHS]
    requests = [{"ids": ids} for ids in sequences]
    tokenizer = Tokenizer.from_file(os.path.join(model.folder, "tokenizer.json"))
    for _ in range(2):
        text = "".join(random_text.words(rng) for _ in range(3))
        requests.append({"text": text})
        sequences.append(tokenizer.encode(text).ids[:CONTEXT])
    return requests, sequences


def _largest(answers: list[dict], sequences: list[list[int]], wanted: list[torch.Tensor]) -> float:
    largest = 0.0
    for number, (answer, ids, logprobs) in enumerate(zip(answers, sequences, wanted)):
        if answer["ids"] != ids:
            raise TandemError(f"tandem score: answer {number + 1} has other ids than the request")
        difference = reference.largest_difference(torch.tensor(answer["logprobs"], dtype=torch.float64), logprobs)
        if not difference <= largest:  # so that NaN stays
            largest = difference
    return largest


def _shape(model) -> str:
    c = model.config
    size = model.model.layers[0].self_attn.head_dim
    scaled = c.rope_parameters["rope_type"] != "default"
    rope = f", rope x{c.rope_parameters['factor']:g} from {ORIGINAL_CONTEXT}" if scaled else ""
    heads = f"{c.num_attention_heads}/{c.num_key_value_heads} heads of {size}"
    return (f"d {c.hidden_size}, {c.num_hidden_layers} layers, {heads}, mlp {c.intermediate_size}, "
            f"{c.vocab_size} ids{rope}")
