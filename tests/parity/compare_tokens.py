"""Token ids of strings of every sort, and whether the strings would tell a wrong tokenizer from the right one."""

import json
import unicodedata

from tokenizers import Tokenizer

import family_tokenizer
import random_text
from models import Written, stream
from report import Report
from tandem import Tandem

COUNT = 21_000
SOME = 7_000  # the strings that are tried on wrong tokenizers
WRONG = 10  # strings that a wrong tokenizer must get wrong


def compare(report: Report, tandem: Tandem, model: Written, seed: int) -> None:
    """`model`: a folder whose vocabulary is large enough for words to be merged."""
    name, sees = f"tokens.{model.family}", f"sees.{model.family}.tokens"
    if not (report.wants(name) or report.wants(sees)):
        return
    path = f"{model.folder}/tokenizer.json"
    texts = random_text.strings(stream(seed, name), COUNT, family_tokenizer.ADDED[model.family])
    wanted = _encode(Tokenizer.from_file(path), texts)
    if report.wants(name):
        with report.comparing(name):
            given = tandem.tokenize(model.folder, texts)
            wrong = [text for text, a, b in zip(texts, given, wanted) if a != b]
            note = f"first: {ascii(wrong[0][:60])}" if wrong else f"Unicode {unicodedata.unidata_version}"
            report.none_of(name, len(wrong), len(texts), note)
    for thing, content in _wrong_tokenizers(path).items():
        if report.wants(f"{sees}.{thing}"):
            ids = _encode(Tokenizer.from_str(json.dumps(content)), texts[:SOME])
            report.at_least(f"{sees}.{thing}", sum(a != b for a, b in zip(ids, wanted)), WRONG)


def _encode(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    return [encoding.ids for encoding in tokenizer.encode_batch(texts)]


def _wrong_tokenizers(path: str) -> dict[str, dict]:
    """Name -> a tokenizer.json that is wrong in that one thing."""

    def changed(change) -> dict:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        change(content)
        return content

    def pattern(old: str, new: str) -> dict:
        def replace(content: dict) -> None:
            regex = content["pre_tokenizer"]["pretokenizers"][0]["pattern"]
            regex["Regex"] = regex["Regex"].replace(old, new)

        return changed(replace)

    right = changed(lambda c: None)
    by_three = r"\p{N}{1,3}" in right["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
    wrong = {
        "no_pattern": changed(lambda c: c.update(pre_tokenizer=c["pre_tokenizer"]["pretokenizers"][1])),
        "digits": pattern("{1,3}", "") if by_three else pattern(r"|\p{N}|", r"|\p{N}{1,3}|"),
        "case": pattern("(?i:", "(?:"),
        "last_space": pattern(r"\s+(?!\S)|", ""),
        "no_added_tokens": changed(lambda c: c.update(added_tokens=[])),
        "merges_reversed": changed(lambda c: c["model"]["merges"].reverse()),
        "ignore_merges": changed(lambda c: c["model"].update(ignore_merges=not c["model"]["ignore_merges"])),
    }
    if right["normalizer"]:
        wrong["no_nfc"] = changed(lambda c: c.update(normalizer=None))
    if right["post_processor"]["type"] == "Sequence":
        wrong["no_begin"] = changed(lambda c: c.update(post_processor=None))
    return wrong
