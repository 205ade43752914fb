"""CTranslate2."""
import json
import os

import ctranslate2

import serve

# The type that it computes in, and the type that the weights are stored in.
TYPES = {"float32": ("float32", "float32"), "bf16": ("bfloat16", "bfloat16"), "int8": ("int8", "int8")}


def converted(folder, precision):
    return os.path.join(folder, "ctranslate2-" + TYPES[precision][1])


def convert(folder, precision):
    if not os.path.exists(converted(folder, precision)):
        ctranslate2.converters.TransformersConverter(folder).convert(
            converted(folder, precision), quantization=TYPES[precision][1])


def load(folder, precision):
    compute = TYPES[precision][0]
    if compute not in ctranslate2.get_supported_compute_types("cpu"):
        raise RuntimeError(f"CTranslate2 does not compute in {compute} on this processor")
    generator = ctranslate2.Generator(
        converted(folder, precision), device="cpu", compute_type=compute, inter_threads=1, intra_threads=1)
    vocabulary = serve.config(folder)["vocab_size"]
    words = words_of(converted(folder, precision))

    def measure(request):
        ctranslate2.set_random_seed(request["seed"])
        texts = [[words[i] for i in prompt] for prompt in serve.prompts(request, vocabulary)]

        def generate(new):
            results = generator.generate_batch(
                texts, max_length=new, min_length=new, sampling_topk=0, sampling_temperature=1,
                include_prompt_in_result=False, return_scores=True)
            if any(len(result.sequences_ids[0]) != new for result in results):
                raise RuntimeError("a sequence ended early")

        # It tells when a token comes by a Python callback for each, which takes as long as a token of a small model:
        # what it takes to the first ones is measured by itself.
        start = serve.now()
        generate(1)
        began = serve.now()
        generate(request["new"])
        first = tuple(2 * middle - before for before, middle in zip(start, began))
        return serve.decoded(request["batch"] * (request["new"] - 1), began, first, serve.now())

    return f"ctranslate2 {ctranslate2.__version__}", f"computes in {generator.compute_type}", measure


def words_of(folder):
    with open(os.path.join(folder, "vocabulary.json"), encoding="utf-8") as file:
        return json.load(file)


serve.main(load, convert)
