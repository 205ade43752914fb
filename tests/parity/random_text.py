"""Strings that tokenizers stumble over."""

import glob
import os
import random
import sys
import sysconfig
import unicodedata

# The characters of Python's Unicode database, and those that no version will assign: two libraries of different age
# differ about what is new in the later one. Surrogates are no characters.
_ASSIGNED = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) not in ("Cn", "Cs")]
_NEVER = [chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF)]
_COMBINING = [c for c in _ASSIGNED if unicodedata.combining(c)]
_COMPOSED = [c for c in _ASSIGNED if unicodedata.normalize("NFD", c) != c]
_SPACES = [c for c in _ASSIGNED if c.isspace()] + ["\u200b", "\ufeff", "\u180e"]
_CONTROLS = [chr(code) for code in (*range(32), *range(127, 160))]
_DIGITS = [c for c in _ASSIGNED if unicodedata.category(c)[0] == "N"]
_SCRIPTS = [(0x61, 0x7A), (0x61, 0x7A), (0x41, 0x5A), (0xC0, 0x17F), (0x3B1, 0x3C9), (0x430, 0x44F),
            (0x5D0, 0x5EA), (0x627, 0x64A), (0x905, 0x939), (0xE01, 0xE2E), (0x3041, 0x3093),
            (0x4E00, 0x4FFF), (0xAC00, 0xAFFF), (0x1F300, 0x1F5FF)]


def strings(rng: random.Random, count: int, added: list[str]) -> list[str]:
    """`count` strings of every sort, most of them short. `added`: tokens to strew in."""
    sources = _source_lines(rng)
    sorts = [_code_points, _spaces, _controls, _combined, _jamo, digits, contractions, words, _emoji,
             lambda rng: rng.choice(sources), lambda rng: _lines(rng, sources),
             lambda rng: _strewn(rng, sources, added)]
    return [""] + [rng.choice(sorts)(rng) for _ in range(count - 1)]


def words(rng: random.Random) -> str:
    """Made-up words, a few of them over and over, of one script each."""
    made = []
    for _ in range(rng.randint(1, 12)):
        word = random.Random(int(rng.expovariate(0.02)))  # its rank: low ones are frequent
        first, last = word.choice(_SCRIPTS)
        made.append("".join(chr(word.randint(first, last)) for _ in range(word.randint(1, 8))))
    return rng.choice((" ", " ", "", ", ", "\n")).join(made)


def _some(rng: random.Random, characters: list[str], most: int) -> str:
    return "".join(rng.choices(characters, k=rng.randint(1, most)))


def _code_points(rng: random.Random) -> str:
    return "".join(rng.choice(_NEVER if rng.random() < 0.01 else _ASSIGNED) for _ in range(rng.randint(1, 20)))


def _spaces(rng: random.Random) -> str:
    runs = [_some(rng, _SPACES if rng.random() < 0.3 else [" ", "\t", "\n", "\r", "\r\n"], 6) for _ in range(4)]
    return "".join(run + rng.choice(("", "a", "x1", "!", "é")) for run in runs)


def _controls(rng: random.Random) -> str:
    return "".join(rng.choice(_CONTROLS if rng.random() < 0.5 else "abc 12.\n") for _ in range(rng.randint(1, 20)))


def _combined(rng: random.Random) -> str:
    """Letters with marks, composed, decomposed and in the wrong order: what NFC is about."""
    parts = []
    for _ in range(rng.randint(1, 8)):
        letter = rng.choice(_COMPOSED) if rng.random() < 0.6 else rng.choice("aeionuy가각ㅏकক")
        parts.append(rng.choice((letter, unicodedata.normalize("NFD", letter))) + _some(rng, _COMBINING, 3))
    return rng.choice(("", " ")).join(parts)


def _jamo(rng: random.Random) -> str:
    """Parts of Hangul syllables, whole ones and torn ones."""
    ranges = ((0x1100, 0x1112), (0x1161, 0x1175), (0x11A8, 0x11C2), (0xAC00, 0xAC40))
    return "".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.randint(1, 12)))


def digits(rng: random.Random) -> str:
    runs = [_some(rng, _DIGITS if rng.random() < 0.3 else list("0123456789"), 9) for _ in range(rng.randint(1, 4))]
    return rng.choice((" ", ",", ".", "a", "")).join(runs)


def contractions(rng: random.Random) -> str:
    """In capitals as well, with and without more letters. The s of 's may also be U+017F: the same letter when case is
    ignored."""
    endings = [rng.choice(("s", "S", "\u017f", "t", "T", "re", "Re", "VE", "m", "ll", "LL", "D", "x")) +
               rng.choice(("", "", "ame", "o", "ELECT")) for _ in range(4)]
    return " ".join(rng.choice(("it", "we", " I", "", "1", "é")) + rng.choice("'''’") + ending for ending in endings)


def _emoji(rng: random.Random) -> str:
    emoji = [chr(rng.randint(0x1F300, 0x1F64F)) + rng.choice(("", "\u200d", "\ufe0f", "\U0001f3fd")) for _ in range(6)]
    return "".join(emoji[: rng.randint(1, 6)]) + rng.choice(("", " ok", "\n"))


def _source_lines(rng: random.Random) -> list[str]:
    files = sorted(glob.glob(os.path.join(sysconfig.get_path("stdlib"), "*", "*.py")))
    lines = []
    for path in rng.sample(files, 60):
        with open(path, encoding="utf-8", errors="replace") as file:
            lines += file.read(60_000).splitlines(keepends=True)
    return lines


def _lines(rng: random.Random, sources: list[str]) -> str:
    start = rng.randrange(len(sources) - 10)
    return "".join(sources[start : start + rng.randint(1, 8)])


def _strewn(rng: random.Random, sources: list[str], added: list[str]) -> str:
    """Added tokens within text, and pieces of them."""
    parts = []
    for _ in range(rng.randint(1, 6)):
        token = rng.choice(added)
        parts.append(token if rng.random() < 0.8 else token[: rng.randint(1, len(token))])
        parts.append(rng.choice(("", " ", "\n", "  x", rng.choice(sources), _code_points(rng))))
    return "".join(parts)
