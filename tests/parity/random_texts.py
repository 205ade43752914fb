"""Texts on which tokenizers could differ."""
import glob
import os
import random
import unicodedata

from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

assert unicodedata.unidata_version == "14.0.0", "Python 3.11, please: its Unicode is that of PCRE2"
SPACES = [chr(c) for c in (9, 10, 11, 12, 13, 32, 32, 32, 10, 10, 0x85, 0xA0, 0x1680, 0x180E, 0x2000, 0x2009, 0x200A,
                           0x200B, 0x2028, 0x2029, 0x202F, 0x205F, 0x2060, 0x3000, 0xFEFF)]
SCRIPTS = [(0x4E00, 0x9FFF), (0x3040, 0x30FF), (0xAC00, 0xD7A3), (0x1100, 0x11FF), (0x590, 0x6FF), (0x900, 0x97F),
           (0xE00, 0xE7F), (0x370, 0x52F), (0xA0, 0x24F), (0x1E00, 0x1FFF), (0xFB00, 0xFDFF), (0x10400, 0x1044F)]
MARKS = [chr(c) for c in (0x300, 0x301, 0x302, 0x303, 0x308, 0x30C, 0x323, 0x327, 0x328, 0x345, 0x334, 0x5B0, 0x64B,
                          0x94D, 0x9BE, 0x9D7, 0xB3E, 0x3099, 0x309A, 0x1161, 0x11A8, 0xFE0F, 0x20E3, 0x200D)]
EMOJI = ["👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪🇫🇷", "1️⃣", "😀", "❤️", "🧑🏿‍🚀", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "☺", "©"]
SUFFIXES = ["'s", "'S", "'ſ", "'t", "'T", "'re", "'RE", "'rE", "'ve", "'m", "'M", "'ll", "'LL", "'lL", "'d", "'D",
            "’s", "'K", "''s", "'", "'st", "'ß", "'ſt"]
DIGITS = "0123456789٠١٢٣४५६७０１２𝟎𝟏²³½Ⅷ⑨零"
FUNNY_LETTERS = "ſKÅÅµẞßǅǈŉΐﬀﬁﬆİıːʰªºⓐ𝐀𝒜ﬃ"


class Texts:
    """Random texts, always the same for a seed. `tokens`: names of added tokens to strew in."""

    def __init__(self, seed, tokens):
        self.chance, self.tokens = random.Random(seed), tokens
        library = os.path.dirname(os.__file__)
        self.sources = [open(path, encoding="utf-8", errors="replace").read()
                        for path in sorted(glob.glob(f"{library}/*.py"))[:120]]
        self.assigned = [c for c in map(chr, range(0x20, 0x20000))
                         if unicodedata.category(c) not in ("Cn", "Cs", "Co")]
        # Unicode 14 is what PCRE2 10.42 knows, and Python 3.11 too; `tokenizers` knows some characters that came later.
        known_there = Split(Regex(r"\P{Cn}"), "removed")
        unassigned = "".join(c for c in map(chr, range(0x110000)) if unicodedata.category(c) == "Cn")
        self.later = set(unassigned).difference("".join(text for text, _ in known_there.pre_tokenize_str(unassigned)))
        self.kinds = [self.source, self.source, self.any_code_points, self.assigned_code_points, self.script,
                      self.combined, self.emoji, self.spaces, self.controls, self.with_tokens, self.with_tokens,
                      self.contractions, self.numbers, self.long_word, self.mixed, self.mixed]

    def __call__(self):
        return self.chance.choice(self.kinds)()

    def some(self, what, most=12):
        return "".join(what() for _ in range(self.chance.randint(0, most)))

    def source(self):
        text = self.chance.choice(self.sources)
        at = self.chance.randrange(max(1, len(text)))
        return text[at:at + self.chance.choice((5, 20, 80, 300))]

    def code_point(self):
        while True:
            c = self.chance.randrange(self.chance.choice((0x80, 0x800, 0x3000, 0x10000, 0x20000, 0x110000)))
            if not 0xD800 <= c < 0xE000 and chr(c) not in self.later:
                return chr(c)

    def any_code_points(self):
        return self.some(self.code_point, 30)

    def assigned_code_points(self):
        return self.some(lambda: self.chance.choice(self.assigned), 30)

    def script(self):
        first, last = self.chance.choice(SCRIPTS)
        characters = [c for c in map(chr, range(first, last + 1)) if c not in self.later]
        return self.some(lambda: self.chance.choice(characters) + " " * (self.chance.random() < 0.1), 40)

    def combined(self):
        base = lambda: self.chance.choice((self.word(), self.chance.choice(self.assigned), "가", "が", "ก", "ক"))
        return self.some(lambda: base() + self.some(lambda: self.chance.choice(MARKS), 4), 8)

    def emoji(self):
        return self.some(lambda: self.chance.choice(EMOJI) + self.chance.choice(("", "", " ", "\n", "a")))

    def space(self):
        return self.chance.choice(SPACES) * self.chance.choice((1, 1, 1, 2, 3, 9))

    def spaces(self):
        return self.some(lambda: self.space() + self.chance.choice(("", "", self.word(), ".", "1")))

    def controls(self):
        return self.some(lambda: chr(self.chance.choice((self.chance.randrange(32), 127, 0x80, 0x9F, 0xAD, 0x200E,
                                                          0x2066, 0xFFFF, 0xFFFE, 0xFFFD, 0x10FFFF))) +
                         self.chance.choice(("", "a", " ")))

    def word(self):
        return "".join(self.chance.choice("etaoinshrdlcuETAOINS") for _ in range(self.chance.randint(1, 9)))

    def with_tokens(self):
        def piece():
            token = self.chance.choice(self.tokens)
            cut = self.chance.random()
            token = token[1:] if cut < 0.05 else token[:-1] if cut < 0.1 else token
            return self.chance.choice(("", "", " ", "\n", "  ", "\u3000", "a", "_", "é", "\u0301", ".", self.word())) + token
        return self.some(piece, 8) + self.chance.choice(("", " ", "x", "\n"))

    def contractions(self):
        return self.some(lambda: self.chance.choice(("", " ")) + self.word() + self.chance.choice(SUFFIXES))

    def numbers(self):
        return self.some(lambda: self.chance.choice((" ", "", ",", "-", self.chance.choice(FUNNY_LETTERS))) +
                         self.some(lambda: self.chance.choice(DIGITS), 7))

    def long_word(self):
        alphabet = self.chance.choice(("a", "ab", "abcdefgh", "=", "-_", "\u4e00\u4e8c\u4e09", "0", " ", "\n"))
        return self.some(lambda: self.chance.choice(alphabet) * self.chance.choice((1, 1, 30)), 60)

    def mixed(self):
        return self.some(lambda: self.chance.choice(self.kinds[:-2])()[:20] + self.chance.choice(("", " ", "\n")), 5)
