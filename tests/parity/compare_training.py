"""Checkpoints of a run whose policies start from a model: transformers loads them, and they have learned."""

import glob
import os

import torch
from transformers import AutoTokenizer

import reference
from compare_convert import tensors
from models import Written, stream
from report import Report
from tandem import Tandem

STEPS = 2
SETTINGS = ("sft.steps=4", "sft.episodes_per_step=4", "sft.tasks=20", f"train.steps={STEPS}", "train.groups_per_step=2",
            "train.group_size=4", "rollout.max_plan_tokens=48", "evaluation.episodes=0",
            "policies.planner.sft.learning_rate=1e-3", "policies.executor.sft.learning_rate=1e-3")


def compare(report: Report, tandem: Tandem, model: Written, seed: int, root: str, folder: str) -> None:
    """`root`: of the repository, for its configuration; the run goes to `folder`."""
    name = f"training.{model.name}"
    if not report.wants(name):
        return
    with report.comparing(name):
        run = os.path.join(folder, name)
        tandem.train(os.path.join(root, "configs/decomposer-qwen.yaml"), run, f"policies.planner.init={model.folder}",
                     f"policies.executor.init={model.folder}", f"seed={seed}", *SETTINGS)
        rng = stream(seed, name)
        for policy in ("planner", "executor"):
            (checkpoint,) = glob.glob(os.path.join(run, "checkpoints", policy, f"*-{STEPS}"))
            right = reference.load(checkpoint)
            ids = [rng.randrange(right.config.vocab_size) for _ in range(512)]
            given = torch.tensor(tandem.score(checkpoint, [{"ids": ids}])[0]["logprobs"], dtype=torch.float64)
            largest = reference.largest_difference(given, reference.logprobs(right, ids))
            report.at_most(f"{name}.{policy}", largest, reference.BAR)
        same = [key for key, tensor in tensors(model.folder).items() if torch.equal(tensor.float(), tensors(checkpoint)[key])]
        report.none_of(f"{name}.tensors_as_before", len(same), len(tensors(checkpoint)), ", ".join(same[:3]))
        text = "What is the sum of 3 and 4?"
        wanted = AutoTokenizer.from_pretrained(model.folder)(text)["input_ids"]
        report.none_of(f"{name}.tokenizer", int(AutoTokenizer.from_pretrained(checkpoint)(text)["input_ids"] != wanted), 1)
