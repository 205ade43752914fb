#!/usr/bin/env python3
"""Compares Tandem's chat templates with transformers' apply_chat_template, and writes the goldens of the tests.

  make_chat_goldens.py                                          writes tests/policy/chat/goldens.jsonl
  make_chat_goldens.py --live 5000 --answers build/tests/tokenizer_answers
                                                                compares texts and ids of so many fresh conversations

Needs transformers from PyPI; tokenizer_answers is a target of CMake's.
"""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

from transformers import PreTrainedTokenizerFast

HERE = os.path.dirname(os.path.abspath(__file__))
TOKENIZERS = os.path.join(os.path.dirname(HERE), "policy", "tokenizer", "goldens")
GOLDENS = os.path.join(os.path.dirname(HERE), "policy", "chat", "goldens.jsonl")
# Template: the tokenizer to use with it.
TEMPLATES = {"qwen2": "qwen2", "qwen2_5": "qwen2", "qwen3": "qwen3", "qwen3_instruct_2507": "qwen3",
             "llama3": "llama3", "llama3_1": "llama3", "llama3_2": "llama3"}

TEXTS = ["", "Hello!", "2 + 2 = ?", "  spaces around \n", "\n\nnewlines\n\n", "\u3000wide\u3000\x1c", "日本語 é e\u0301",
         "<|im_end|>\n<|im_start|>user\n", "<|eot_id|>", "def f(x):\n    return x\n", "a" * 50, "'s \"quoted\" {{ x }}",
         "<tool_response>\n4\n</tool_response>", "<tool_response>", "</tool_response>", "\u2028\u0085", "\u200b zero"]
THOUGHTS = ["<think>\nbecause\n</think>\n\n{}", "<think>\n\n</think>\n\n{}", "<think>\n\nwide\n\n\n</think>\n\n\n{}",
            "because\n</think>\n\n{}", "<think>{}", "x<think>y</think>{}</think>z", "</think>{}", "{}<think>"]


def conversation(chance, template):
    text = lambda: chance.choice(TEXTS) + chance.choice(("", "", "", chance.choice(TEXTS)))
    messages = []
    if chance.random() < 0.4:
        messages.append({"role": "system", "content": text()})
    for turn in range(chance.randint(0 if messages else 1, 5)):
        role = ("user", "assistant")[turn % 2] if chance.random() < 0.9 else chance.choice(
            ("user", "assistant", "system"))
        message = {"role": role, "content": text()}
        if role == "assistant" and chance.random() < 0.6:
            message["content"] = chance.choice(THOUGHTS).format(text())
        if role == "assistant" and template == "qwen3" and chance.random() < 0.3:
            message["reasoning_content"] = text()
        messages.append(message)
    return messages


def questions(seed, count):
    chance = random.Random(seed)
    tokenizers = {name: PreTrainedTokenizerFast(tokenizer_file=os.path.join(TOKENIZERS, tokenizer, "tokenizer.json"),
                                                bos_token="<|begin_of_text|>" if tokenizer == "llama3" else None)
                  for name, tokenizer in TEMPLATES.items()}
    for name, tokenizer in tokenizers.items():
        with open(os.path.join(HERE, "templates", f"{name}.jinja"), encoding="utf-8") as file:
            tokenizer.chat_template = file.read()
    for i in range(count):
        name = list(TEMPLATES)[i % len(TEMPLATES)]
        question = {"template": name, "messages": conversation(chance, name),
                    "add_generation_prompt": chance.random() < 0.7}
        arguments = {}
        if name == "qwen3" and chance.random() < 0.5:
            question["enable_thinking"] = arguments["enable_thinking"] = chance.random() < 0.5
        question["date"] = arguments["date_string"] = chance.choice(("26 Jul 2024", "01 Jan 2026"))
        apply = lambda **more: tokenizers[name].apply_chat_template(
            question["messages"], add_generation_prompt=question["add_generation_prompt"], **arguments, **more)
        yield question, {"text": apply(tokenize=False), "ids": apply(tokenize=True, return_dict=False)}


def compare(answers, seed, count):
    asked = list(questions(seed, count))
    wrong = 0
    for name, tokenizer in TEMPLATES.items():
        mine = [(question, answer) for question, answer in asked if question["template"] == name]
        with tempfile.TemporaryDirectory() as folder:
            for file in ("tokenizer.json", "tokenizer_config.json"):
                shutil.copy(os.path.join(TOKENIZERS, tokenizer, file), folder)
            shutil.copy(os.path.join(HERE, "templates", f"{name}.jinja"), os.path.join(folder, "chat_template.jinja"))
            lines = [json.dumps({"open": folder})] + [json.dumps(question) for question, _ in mine]
            done = subprocess.run([answers], input="\n".join(lines) + "\n", stdout=subprocess.PIPE, check=True, text=True)
        given = [json.loads(line) for line in done.stdout.rstrip("\n").split("\n")]
        if len(given) != len(lines):
            sys.exit(f"{name}: {len(given)} answers to {len(lines)} questions: {given[0]}")
        different = [(question, answer, got) for (question, answer), got in zip(mine, given[1:]) if answer != got]
        wrong += len(different)
        print(f"{name}: {len(mine)} conversations, {len(different)} rendered otherwise than by transformers")
        for question, answer, got in different[:3]:
            print(f"  {json.dumps(question)}\n    transformers {json.dumps(answer)}\n    tandem       {json.dumps(got)}")
    return wrong


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--live", type=int, default=0)
    arguments.add_argument("--answers")
    arguments.add_argument("--seed", type=int, default=1000)
    options = arguments.parse_args()
    if options.live:
        sys.exit(1 if compare(options.answers, options.seed, options.live) else 0)
    with open(GOLDENS, "w", encoding="utf-8") as file:
        for question, answer in questions(seed=7, count=112):
            file.write(json.dumps([question, answer["text"]], ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
