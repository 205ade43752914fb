"""The commands of tandem that are compared, as functions."""

import json
import os
import subprocess
import tempfile


class TandemError(Exception):
    """A command failed, or its answer is not what it promises."""


class Tandem:
    """Requests are written to files in `folder`, which the caller owns."""

    def __init__(self, binary: str, folder: str):
        self._binary = binary
        self._folder = folder
        self._help = {}

    @property
    def binary(self) -> str:
        return self._binary

    def ready(self) -> None:
        """Raises TandemError when there is no such program. launch/tandem builds it first, which may take minutes."""
        try:
            done = subprocess.run([self._binary, "--help"], stdout=subprocess.DEVNULL, check=False)
        except OSError as error:
            raise TandemError(f"{self._binary}: {error.strerror}") from error
        if done.returncode != 0:
            raise TandemError(f"{self._binary} --help: status {done.returncode}")

    def score(self, model: str, requests: list[dict], *options: str) -> list[dict]:
        """requests: {"ids": [...]} or {"text": ...}. Answers {"ids": [...], "logprobs": [...]}, in order."""
        return self._lines("score", model, requests, {"ids", "logprobs"}, *options)

    def generate(self, model: str, requests: list[dict], *options: str) -> list[dict]:
        """Answers {"ids", "text", "logprobs"} of the new tokens, in order."""
        return self._lines("generate", model, requests, {"ids", "text", "logprobs"}, *options)

    def tokenize(self, model: str, texts: list[str]) -> list[list[int]]:
        answers = self._lines("tokenize", model, [{"text": text} for text in texts], {"ids"})
        return [answer["ids"] for answer in answers]

    def convert(self, source: str, target: str, *options: str) -> None:
        self._run("convert", source, target, *options)

    def train(self, config: str, run: str, *settings: str) -> None:
        """settings: "key=value"."""
        self._run("train", config, "--run-dir", run, *(word for setting in settings for word in ("--set", setting)))

    def has_option(self, command: str, option: str) -> bool:
        if command not in self._help:
            self._help[command] = self._run(command, "--help")
        return option in self._help[command]

    def _lines(self, command: str, model: str, requests: list[dict], fields: set[str], *options: str) -> list[dict]:
        with tempfile.NamedTemporaryFile("w", dir=self._folder, prefix=command, suffix=".jsonl", delete=False) as file:
            for number, request in enumerate(requests):
                # JSON may spell a character as it is or as \uXXXX: both occur.
                file.write(json.dumps(request, ensure_ascii=number % 2 == 0) + "\n")
        answer = self._run(command, model, "--input", file.name, *options)
        # Not splitlines(): JSON strings may hold U+2028 and the like as they are.
        answers = [json.loads(line) for line in answer.split("\n") if line]
        if len(answers) != len(requests):
            raise TandemError(f"tandem {command}: {len(answers)} answers to {len(requests)} requests")
        for number, line in enumerate(answers):
            if missing := fields - line.keys():
                raise TandemError(f"tandem {command}: answer {number + 1} has no {', '.join(sorted(missing))}")
        return answers

    def _run(self, *arguments: str) -> str:
        done = subprocess.run([self._binary, *arguments], capture_output=True, timeout=170, check=False,
                              stdin=subprocess.DEVNULL, env=dict(os.environ))
        if done.returncode != 0:
            words = done.stderr.decode(errors="replace").strip() or "it said nothing"
            raise TandemError(f"tandem {' '.join(arguments)}: status {done.returncode}: {words.splitlines()[-1]}")
        return done.stdout.decode()
