"""What every peer's worker has in common: `python ENGINE_worker.py convert|serve MODEL_FOLDER PRECISION`.

`convert` writes what the engine reads instead of the Hugging Face folder, into MODEL_FOLDER/ENGINE-... unless it is
there. `serve` loads it, prints {"ready": true, "engine": NAME AND VERSION, "note": ...} and answers each line of stdin:
    {"batch": 8, "prompt": 16, "new": 128, "seed": 3}
with one line
    {"tokens": 1016, "seconds": 0.6, "cpu_seconds": 0.6, "prefill_seconds": 0.01}     or     {"error": "..."}
Seconds run from the first new token of the whole batch to the last one, and tokens are those in between: for each
sequence all but the first. CPU seconds are those of all the process's threads in that time. Every token is drawn at
temperature 1 from the whole distribution, and its log-probability is computed.
"""
import json
import os
import sys
import time

import numpy


def prompts(request, vocabulary):
    """The request's prompts [batch, prompt], int32, the same ids for every engine."""
    chance = numpy.random.default_rng(request["seed"])
    return chance.integers(0, vocabulary, (request["batch"], request["prompt"]), dtype=numpy.int32)


def config(folder):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        return json.load(file)


def now():
    """The time of the clock, and of the processor."""
    return time.perf_counter(), time.process_time()


def decoded(tokens, start, first, last):
    """The answer when the batch's prefill began at `start`, and `tokens` tokens came after `first` until `last`."""
    return {"tokens": tokens, "seconds": last[0] - first[0], "cpu_seconds": last[1] - first[1],
            "prefill_seconds": first[0] - start[0]}


def main(load, convert=None):
    """`load(folder, precision)` gives the engine's name, a note, and measure(request) -> answer."""
    task, folder, precision = sys.argv[1:]
    # Libraries write what they like to stdout; the protocol has a descriptor of its own.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    if task == "convert":
        if convert:
            convert(folder, precision)
        return
    try:
        engine, note, measure = load(folder, precision)
    except Exception as error:  # whatever a library raises
        print(json.dumps({"error": reason(error)}), file=answers)
        sys.exit(1)
    print(json.dumps({"ready": True, "engine": engine, "note": note}), file=answers)
    for line in sys.stdin:
        try:
            answer = measure(json.loads(line))
        except Exception as error:
            answer = {"error": reason(error)}
        print(json.dumps(answer), file=answers)


def reason(error):
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:200]
