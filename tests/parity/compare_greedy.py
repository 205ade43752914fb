"""Greedy continuations: the same tokens as transformers' likeliest ones, their log-probabilities and their text."""

import os

import torch
from tokenizers import Tokenizer

import reference
from models import Written, stream
from report import Report
from tandem import Tandem, TandemError

NEW = 64
TIE = 1e-5  # nats: two tokens closer than that may come in either order in float32
PROMPTS = (3, 40, 130, 300, 600)  # lengths


def compare(report: Report, tandem: Tandem, model: Written, seed: int) -> None:
    name = f"greedy.{model.name}"
    if not report.wants(name):
        return
    right = reference.load(model.folder)
    rng = stream(seed, name)
    prompts = [[rng.randrange(right.config.vocab_size) for _ in range(length)] for length in PROMPTS]
    with report.comparing(name):
        answers = tandem.generate(model.folder, [{"ids": prompt} for prompt in prompts], "--greedy",
                                  "--max-new-tokens", str(NEW))
        same, ties, largest = 0, 0, 0.0
        for number, (prompt, answer) in enumerate(zip(prompts, answers)):
            table = reference.all_logprobs(right, prompt + answer["ids"])[len(prompt) - 1 : -1].double()
            compared = _until_tie(table, answer["ids"], number)
            ties += compared < NEW
            same += compared
            chosen = torch.tensor(answer["ids"][:compared])
            wanted = table[:compared].gather(1, chosen[:, None])[:, 0]
            given = torch.tensor(answer["logprobs"], dtype=torch.float64)[:compared]
            largest = max(largest, reference.largest_difference(given, wanted))
        different = sum(len(set(answer["ids"])) for answer in answers) / len(answers)
        note = (f"{len(prompts) - ties} of {len(prompts)} went all the way, {ties} met a tie below {TIE:g}; "
                f"{different:.0f} different tokens each")
        report.none_of(name, 0, same, note)
        report.at_most(f"{name}.logprobs", largest, reference.BAR)
        tokenizer = Tokenizer.from_file(os.path.join(model.folder, "tokenizer.json"))
        report.none_of(f"{name}.text", sum(not _is_text_of(tokenizer, answer) for answer in answers), len(answers))


def _is_text_of(tokenizer: Tokenizer, answer: dict) -> bool:
    """With special tokens or without."""
    return any(answer["text"] == tokenizer.decode(answer["ids"], skip_special_tokens=skip) for skip in (True, False))


def _until_tie(table: torch.Tensor, ids: list[int], number: int) -> int:
    """How many tokens agree before a tie was decided otherwise. As long as all agree, both continue the same text, so
    one pass over the answer shows what transformers would have chosen at each place."""
    if len(ids) != NEW:
        raise TandemError(f"tandem generate: answer {number + 1} has {len(ids)} tokens, expected {NEW}")
    for place, token in enumerate(ids):
        best = int(table[place].argmax())
        gap = float(table[place, best] - table[place, token])
        if best != token and gap >= TIE:
            raise TandemError(f"tandem generate: answer {number + 1} differs at token {place + 1}: {token}, where "
                              f"transformers has {best}, likelier by {gap:.1e}")
        if best != token:
            return place
    return NEW
