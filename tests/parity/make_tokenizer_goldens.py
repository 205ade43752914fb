#!/usr/bin/env python3
"""Compares Tandem's tokenizers with Hugging Face's `tokenizers`, and writes the small files with which the tests do so.

  make_tokenizer_goldens.py                       writes tests/policy/tokenizer/goldens/*/goldens.jsonl
  make_tokenizer_goldens.py --train               trains the tokenizers of that folder anew before
  make_tokenizer_goldens.py --live 20000 --answers build/tests/tokenizer_answers [--folder DIR]
                                                  compares ids and texts on so many fresh strings a tokenizer; DIR: with
                                                  the tokenizer.json of a model instead

Needs tokenizers from PyPI; tokenizer_answers is a target of CMake's.
"""
import argparse
import json
import os
import random
import subprocess
import sys

import tokenizers
from tokenizers import Tokenizer

from random_texts import Texts
from tokenizer_families import FAMILIES, train

GOLDENS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "policy", "tokenizer", "goldens")
PER_TOKENIZER = 220
LONGEST = 32  # characters of a golden text: the files stay small


def texts_for(tokenizer, seed):
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    return Texts(seed, added[:40])


def questions(tokenizer, seed, count, longest=None):
    """Encodings and decodings, each with the answer that `tokenizers` gives."""
    texts = texts_for(tokenizer, seed)
    chance = texts.chance
    for text in [""] + [texts()[:longest] for _ in range(count - 1)]:
        special, as_text = chance.random() < 0.5, chance.random() < 0.2
        tokenizer.encode_special_tokens = as_text
        ids = tokenizer.encode(text, add_special_tokens=special).ids
        yield {"text": text, "add_special_tokens": special, "special_tokens_as_text": as_text}, {"ids": ids}
        if chance.random() < 0.3:  # ids that no text has, so that characters are cut
            ids = [chance.choice((chance.randrange(256), chance.randrange(tokenizer.get_vocab_size() + 3)))
                   for _ in range(chance.randrange(20))]
        keep = chance.random() < 0.5
        decoded = tokenizer.decode(ids, skip_special_tokens=not keep)
        yield {"ids": ids, "keep_special_tokens": keep}, {"text": decoded, "streamed": decoded}


def write_goldens(retrain):
    for name, family in FAMILIES.items():
        folder = os.path.join(GOLDENS, name)
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, "tokenizer.json")
        if retrain:
            with open(path, "w", encoding="utf-8") as file:
                file.write(train(name))
            config = {"eos_token": family.end, "bos_token": family.bos}
            with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as file:
                json.dump(config, file)
                file.write("\n")
        tokenizer = Tokenizer.from_file(path)
        with open(os.path.join(folder, "goldens.jsonl"), "w", encoding="utf-8") as file:
            for line in golden_lines(tokenizer):
                file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


def golden_lines(tokenizer):
    """[text, add_special_tokens, special_tokens_as_text, ids], then [ids or null for the same, keep_special_tokens,
    text]."""
    for question, answer in questions(tokenizer, seed=7, count=PER_TOKENIZER, longest=LONGEST):
        if "ids" in answer:
            ids = answer["ids"]
            yield list(question.values()) + [ids]
        else:
            yield [None if question["ids"] == ids else question["ids"], question["keep_special_tokens"], answer["text"]]


def ask(answers, asked):
    lines = "".join(json.dumps(question) + "\n" for question in asked)
    done = subprocess.run([answers], input=lines, stdout=subprocess.PIPE, check=True, text=True)
    given = [json.loads(line) for line in done.stdout.rstrip("\n").split("\n")]
    if len(given) != len(asked) or "error" in given[0]:
        sys.exit(f"{given[0]}, and {len(given)} answers to {len(asked)} questions")
    return given


def compare_characters(answers, seed, count):
    """The tokenizer.json that Tandem writes for its tokenizers of characters."""
    chance = random.Random(seed)
    printable = [chr(c) for c in range(0x20, 0x7F)]
    wrong = 0
    for alphabet in ["".join(chance.sample(printable, size)) for size in (1, 2, 20, 95)]:
        written = ask(answers, [{"characters": alphabet}])[0]["json"]
        tokenizer = Tokenizer.from_str(written)
        texts = ["".join(chance.choices(alphabet, k=chance.randrange(40))) for _ in range(count)]
        ids = [tokenizer.encode(text).ids for text in texts]
        ends = [row + [0] for row in ids]
        given = ask(answers, [{"characters": alphabet}] + [{"text": text} for text in texts] +
                    [{"ids": row, "keep_special_tokens": False} for row in ends])[1:]
        wrong += sum(mine != {"ids": row} for mine, row in zip(given, ids))
        wrong += sum(mine["text"] != tokenizer.decode(row) or mine["text"] != text
                     for mine, row, text in zip(given[count:], ends, texts))
    print(f"characters: {4 * count} strings, {wrong} encoded or decoded otherwise")
    return wrong


def compare(folder, answers, seed, count):
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    asked = list(questions(tokenizer, seed, count))
    given = ask(answers, [{"open": folder}] + [question for question, _ in asked])
    wrong = [(question, answer, mine) for (question, answer), mine in zip(asked, given[1:]) if answer != mine]
    print(f"{folder}: {count} strings, {len(asked)} questions, {len(wrong)} answered otherwise than by tokenizers "
          f"{tokenizers.__version__}")
    for question, answer, mine in wrong[:5]:
        print(f"  {json.dumps(question)}\n    tokenizers {json.dumps(answer)}\n    tandem     {json.dumps(mine)}")
    return len(wrong)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--train", action="store_true")
    arguments.add_argument("--live", type=int, default=0)
    arguments.add_argument("--answers")
    arguments.add_argument("--folder")
    arguments.add_argument("--seed", type=int, default=1000)
    options = arguments.parse_args()
    if options.live == 0:
        write_goldens(options.train)
        return
    folders = [options.folder] if options.folder else [os.path.join(GOLDENS, name) for name in FAMILIES]
    wrong = sum(compare(folder, options.answers, options.seed, options.live) for folder in folders)
    wrong += compare_characters(options.answers, options.seed, min(options.live, 1000))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
