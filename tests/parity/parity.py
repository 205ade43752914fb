"""See tests/parity/run."""

import argparse
import contextlib
import os
import random
import shutil
import sys
import tempfile

import torch
import transformers

import compare_convert
import compare_greedy
import compare_scores
import compare_serve
import compare_tokens
import compare_training
import goldens
import models
from report import Report
from tandem import Tandem, TandemError

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def main() -> int:
    options = parse_options()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)  # the models are small: on a busy machine two threads mostly wait for each other
    if options.write_goldens:
        goldens.write(os.path.join(ROOT, "tests/policy/goldens"))
        return 0
    print(f"seed {options.seed}; transformers {transformers.__version__}, torch {torch.__version__}")
    report = Report(options.only)
    with working_folder(options.keep) as folder:
        tandem = Tandem(os.environ.get("TANDEM_BINARY") or os.path.join(ROOT, "launch/tandem"), folder)
        try:
            tandem.ready()
        except TandemError as error:
            sys.exit(f"parity: {error}")
        compare_all(report, tandem, options.seed, folder)
    return report.end()


def compare_all(report: Report, tandem: Tandem, seed: int, folder: str) -> None:
    for family in models.FAMILIES:
        for kind in models.KINDS:
            name = f"{family}.{kind.name}"
            if not any(report.wants(f"{what}.{name}") for what in ("scores", "sees", "greedy", "convert", "training")):
                continue
            model = models.write(family, kind, seed, os.path.join(folder, name))
            compare_scores.compare(report, tandem, model, seed)
            if kind.dtype == torch.float32:
                compare_greedy.compare(report, tandem, model, seed)
            compare_convert.compare(report, tandem, model, seed, folder)
            if kind.name in ("tied", "bf16"):
                compare_training.compare(report, tandem, model, seed, ROOT, folder)
        if report.wants(f"tokens.{family}") or report.wants(f"sees.{family}.tokens"):
            # With a vocabulary that merges words; what the model computes does not matter.
            target = os.path.join(folder, f"{family}.words")
            model = models.write(family, models.Kind("words"), seed, target, words=2500)
            compare_tokens.compare(report, tandem, model, seed)
    if report.wants("serve.qwen2.words"):
        # A model whose tokens are words, so that text comes in pieces.
        model = models.write("qwen2", models.Kind("words"), seed, os.path.join(folder, "qwen2.served"), words=2500)
        shutil.copy(os.path.join(ROOT, "tests/parity/templates/qwen2_5.jinja"), f"{model.folder}/chat_template.jinja")
        compare_serve.compare(report, tandem, model, tandem.binary)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/parity/run", description="Compares tandem with transformers.")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--only", default="", metavar="NAME", help="comparisons whose name begins so")
    parser.add_argument("--keep", metavar="FOLDER", help="an empty folder for models and requests")
    parser.add_argument("--write-goldens", action="store_true", help="write tests/policy/goldens and compare nothing")
    return parser.parse_args()


@contextlib.contextmanager
def working_folder(keep: str | None):
    if keep:
        os.makedirs(keep, exist_ok=True)
        yield keep
    else:
        with tempfile.TemporaryDirectory(prefix="tandem-parity-") as folder:
            yield folder


if __name__ == "__main__":
    sys.exit(main())
