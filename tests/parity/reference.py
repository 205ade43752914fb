"""What transformers computes: the reference of every comparison."""

import copy

import torch
from transformers import AutoModelForCausalLM

BAR = 2e-5  # nats: how far another program in float32 may be off


def load(folder: str, dtype: torch.dtype = torch.float32):
    """The model of a folder, as a user of transformers gets it."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def in_double(model):
    """The same model in float64. The angles of rotary positions stay float32: in transformers they are in every type,
    so they belong to the model and not to its rounding."""
    model = copy.deepcopy(model).double()
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = _norm_in_double.__get__(module)  # transformers' own goes through float32
    return model


def _norm_in_double(self, x: torch.Tensor) -> torch.Tensor:
    return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)


@torch.no_grad()
def all_logprobs(model, ids: list[int]) -> torch.Tensor:
    """[tokens, vocabulary] log-probabilities of what follows each token, at least float32."""
    logits = model(torch.tensor([ids])).logits[0]
    return torch.log_softmax(logits if logits.dtype == torch.float64 else logits.float(), -1)


def logprobs(model, ids: list[int]) -> torch.Tensor:
    """[tokens - 1] float64: of each token given those before it, from the second on."""
    if len(ids) < 2:
        return torch.zeros(0, dtype=torch.float64)
    table = all_logprobs(model, ids[:-1])
    return table.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].double()


def rounding(model, ids: list[int]) -> float:
    """What float32 costs: the largest difference from the same model in float64."""
    return largest_difference(logprobs(model, ids), logprobs(in_double(model), ids))


def largest_difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """Infinite where the lengths differ; NaN where a number is none."""
    if a.shape != b.shape:
        return float("inf")
    return (a - b).abs().max().item() if a.numel() else 0.0
