"""The lines of a parity run: one per comparison, with what was measured and the bar it was held to."""

import contextlib
import sys


class Report:
    """Prints each comparison as it ends, and counts."""

    def __init__(self, only: str):
        self._only = only
        self._passed = self._failed = self._skipped = 0

    def wants(self, name: str) -> bool:
        """Whether a comparison of that name, or one whose name begins with it, was asked for."""
        return name.startswith(self._only) or self._only.startswith(name + ".")

    def at_most(self, name: str, value: float, bar: float, note: str = "") -> None:
        """Passes when value <= bar, so not when value is no number."""
        self._line(name, value <= bar, f"{_number(value)}, at most {_number(bar)}", note)

    def at_least(self, name: str, value: float, bar: float, note: str = "") -> None:
        self._line(name, value >= bar, f"{_number(value)}, at least {_number(bar)}", note)

    def none_of(self, name: str, wrong: int, total: int, note: str = "") -> None:
        """Passes when none of `total` things is wrong, and there are any."""
        self._line(name, wrong == 0 and total > 0, f"{wrong} of {total:,} differ", note)

    def skip(self, name: str, why: str) -> None:
        if not name.startswith(self._only):
            return
        self._skipped += 1
        self._print("skip", name, why, "")

    @contextlib.contextmanager
    def comparing(self, name: str):
        """What goes wrong in this block fails the comparison of that name, and the run goes on."""
        try:
            yield
        except Exception as error:  # whatever transformers or tandem do: all are named
            first = (str(error).strip() or "no message").splitlines()[0]
            self._line(name, False, f"{type(error).__name__}: {first}", "")

    def end(self) -> int:
        """Prints the sum; the exit status."""
        skipped = f", {self._skipped} skipped" if self._skipped else ""
        print(f"{self._passed} passed, {self._failed} failed{skipped}")
        return 0 if self._failed == 0 and self._passed > 0 else 1

    def _line(self, name: str, passed: bool, measured: str, note: str) -> None:
        if not name.startswith(self._only):
            return
        self._passed += passed
        self._failed += not passed
        self._print("ok" if passed else "FAIL", name, measured, note)

    @staticmethod
    def _print(word: str, name: str, measured: str, note: str) -> None:
        print(f"{word:<5} {name:<40} {measured}" + (f"  ({note})" if note else ""))
        sys.stdout.flush()


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.1e}"
