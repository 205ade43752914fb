"""Hugging Face's transformers: its model and cache in a plain loop, which does less around them than generate().

With a static cache and torch.compile it was twice as fast for one sequence of shape a, no faster for 8 and half as fast
for 32, after a minute of compilation for each batch.
"""
import torch
import transformers

import serve

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


def load(folder, precision):
    torch.set_num_threads(1)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=DTYPES[precision], attn_implementation="sdpa").eval()

    def step(ids, cache):
        """The next token of each sequence [batch, 1], and its log-probability."""
        logits = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1].float()
        logprobs = torch.log_softmax(logits, -1)
        tokens = torch.multinomial(logprobs.exp(), 1)
        return tokens, logprobs.gather(-1, tokens)

    @torch.inference_mode()
    def measure(request):
        torch.manual_seed(request["seed"])
        cache = transformers.DynamicCache(config=model.config)
        ids = torch.from_numpy(serve.prompts(request, model.config.vocab_size)).long()
        start = serve.now()
        ids, _ = step(ids, cache)
        first = serve.now()
        for _ in range(request["new"] - 1):
            ids, _ = step(ids, cache)
        return serve.decoded(request["batch"] * (request["new"] - 1), start, first, serve.now())

    return f"transformers {transformers.__version__}", f"torch {torch.__version__}, sdpa, dynamic cache", measure


serve.main(load)
