"""The figures as text."""
import statistics


def median(cell):
    """Tokens per second of a cell, or None."""
    return statistics.median(cell["tokens_per_second"]) if cell and cell["tokens_per_second"] else None


def render(title, engines, batches, cells, limits):
    """A table of one shape and precision. `cells[engine, batch]`: {"tokens_per_second": [...], "error": text or None};
    `limits`: what Tandem's worker says of the processor, or None."""
    reasons = []
    lines = [title, row("", [f"batch {batch}" for batch in batches])]
    for engine in engines:
        texts = [cell_text(cells.get((engine, batch)), reasons) for batch in batches]
        lines.append(row(engine, texts))
    fastest = {batch: max((median(cells.get((engine, batch))) or 0 for engine in engines if engine != "tandem"),
                          default=0) for batch in batches}
    mine = {batch: median(cells.get(("tandem", batch))) or 0 for batch in batches}
    if any(mine.values()) and any(fastest.values()):
        ratios = [f"{mine[b] / fastest[b]:.2f}" if mine[b] and fastest[b] else "-" for b in batches]
        lines.append(row("Tandem / fastest peer", ratios))
    if limits:
        lines.append(row("Tandem's share of limits", [share_text(mine[b], b, limits) for b in batches]))
        lines.append(row("fastest peer's share", [share_text(fastest[b], b, limits) for b in batches]))
        lines.append(f"limits of one thread: {limits['gflops']:.0f} GFLOP/s (F), "
                     f"{limits['gbytes_per_second']:.1f} GB/s (B); "
                     f"{limits['flops_per_token'] / 1e6:.1f} MFLOP a token, "
                     f"{limits['bytes_per_step'] / 1e6:.1f} MB a step; * marks the nearer limit")
    lines += [f"[{number}] {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join(lines)


def row(name, texts):
    return f"{name:24}" + "".join(f"{text:>26}" for text in texts)


def cell_text(cell, reasons):
    if median(cell) is None:
        reason = (cell or {}).get("error") or "not measured"
        if reason not in reasons:
            reasons.append(reason)
        return f"- [{reasons.index(reason) + 1}]"
    rates = cell["tokens_per_second"]
    return f"{number(median(cell))} ({number(min(rates))}..{number(max(rates))})"


def number(rate):
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.1f}"


def shares(rate, batch, limits):
    """Of the arithmetic and of the memory bandwidth that a rate of tokens per second takes."""
    return (limits["flops_per_token"] * rate / limits["gflops"] / 1e9,
            limits["bytes_per_step"] * rate / batch / limits["gbytes_per_second"] / 1e9)


def share_text(rate, batch, limits):
    if not rate:
        return "-"
    flops, memory = shares(rate, batch, limits)
    mark = lambda larger: "*" if larger else ""
    return f"F {flops:.0%}{mark(flops >= memory)}  B {memory:.0%}{mark(memory > flops)}"
