"""tandem serve, asked by OpenAI's own Python client: chats, texts, streams, log-probabilities, errors."""

import contextlib
import os
import signal
import subprocess

import openai

from models import Written
from report import Report
from tandem import Tandem

PROMPTS = ["What is 7 times 6?", "Once upon a time", "Grüße, 漢字", "x", "{\"json\": [1, 2]}"]


def compare(report: Report, tandem: Tandem, model: Written, binary: str) -> None:
    name = f"serve.{model.name}"
    if not report.wants(name):
        return
    with report.comparing(name), serving(binary, model.folder) as url:
        client = openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=120)
        names = [served.id for served in client.models.list().data]
        report.none_of(f"{name}.models", int(names != ["parity"]), 1)
        _texts(report, name, tandem, client, model)
        _streams(report, name, client)
        _errors(report, name, client)


@contextlib.contextmanager
def serving(binary: str, folder: str):
    """The URL of a server that is stopped at the end; it must end well."""
    command = [binary, "serve", folder, "--port", "0", "--name", "parity"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(timeout=60)
        if status != 0:
            raise RuntimeError(f"tandem serve ended with status {status}")


def _texts(report: Report, name: str, tandem: Tandem, client: openai.OpenAI, model: Written) -> None:
    """Greedy texts are those of tandem generate, which are compared with transformers elsewhere."""
    right = tandem.generate(model.folder, [{"text": prompt} for prompt in PROMPTS], "--greedy", "--max-new-tokens", "24")
    answer = client.completions.create(model="parity", prompt=PROMPTS, temperature=0, max_tokens=24, logprobs=0,
                                       extra_body={"return_token_ids": True})
    choices = sorted(answer.choices, key=lambda choice: choice.index)
    report.none_of(f"{name}.texts", sum(choice.text != line["text"] or choice.token_ids != line["ids"]
                                        for choice, line in zip(choices, right)), len(right))
    off = max(abs(a - b) for choice, line in zip(choices, right)
              for a, b in zip(choice.logprobs.token_logprobs, line["logprobs"], strict=True))
    report.at_most(f"{name}.logprobs", off, 1e-6, "of the served, against those of tandem generate")


def _streams(report: Report, name: str, client: openai.OpenAI) -> None:
    """A stream is the whole answer in pieces; the same seed is the same answer."""
    wrong = 0
    for prompt in PROMPTS:
        asked = {"model": "parity", "messages": [{"role": "user", "content": prompt}], "max_tokens": 24, "seed": 5,
                 "n": 2, "logprobs": True}
        whole = client.chat.completions.create(**asked)
        texts = ["", ""]
        logprobs = [[], []]
        finish = [None, None]
        usage = None
        for chunk in client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
                logprobs[choice.index] += [token.logprob for token in (choice.logprobs.content if choice.logprobs else [])]
                finish[choice.index] = choice.finish_reason or finish[choice.index]
        for choice in whole.choices:
            wrong += texts[choice.index] != choice.message.content
            wrong += logprobs[choice.index] != [token.logprob for token in choice.logprobs.content]
            wrong += finish[choice.index] != choice.finish_reason
        wrong += usage is None or usage.completion_tokens != whole.usage.completion_tokens
    report.none_of(f"{name}.streams", wrong, 7 * len(PROMPTS))


def _errors(report: Report, name: str, client: openai.OpenAI) -> None:
    """Each bad request is the client's exception for it, and names its key."""
    asked = {"model": "parity", "prompt": "x", "max_tokens": 1}
    bad = [({"frequency_penalty": 1.0}, openai.BadRequestError, "frequency_penalty"),
           ({"logprobs": 3}, openai.BadRequestError, "logprobs"), ({"top_p": 2.0}, openai.BadRequestError, "top_p"),
           ({"stop": [""]}, openai.BadRequestError, "stop"), ({"prompt": [10**9]}, openai.BadRequestError, "prompt"),
           ({"extra_body": {"no_such_key": 1}}, openai.BadRequestError, "no_such_key"),
           ({"model": "another"}, openai.NotFoundError, None)]
    wrong = 0
    for change, exception, key in bad:
        try:
            client.completions.create(**(asked | change))
            wrong += 1
        except exception as error:
            wrong += error.param != key
    report.none_of(f"{name}.errors", wrong, len(bad))
