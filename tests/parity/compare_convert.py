"""Converted folders: transformers loads them, and the numbers are those that the types allow."""

import os

import torch
from safetensors import safe_open
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer

import reference
from models import Written, stream
from report import Report
from tandem import Tandem

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
# To what each kind of model is converted; None: no --dtype, which keeps the source's.
TARGETS = {"untied": (None, *DTYPES), "tied": ("bf16",), "plain": (None,), "bf16": (None, "bf16", "float32"),
           "f16": (None, "float32")}
# What may differ between two configs of one model.
_INCIDENTAL = ("_name_or_path", "dtype", "torch_dtype", "transformers_version")


def compare(report: Report, tandem: Tandem, model: Written, seed: int, folder: str) -> None:
    """The results go to `folder`."""
    for dtype in TARGETS[model.kind.name]:
        target_dtype = dtype or model.kind.type_name
        name = f"convert.{model.name}.to_{dtype or 'same'}"
        if not report.wants(name):
            continue
        with report.comparing(name):
            target = os.path.join(folder, name)
            tandem.convert(model.folder, target, *(("--dtype", dtype) if dtype else ()))
            wrong = _wrong_tensors(model.folder, target, DTYPES[target_dtype])
            faults = [f"tensors {', '.join(wrong[:3])}"] if wrong else []
            faults += _config_faults(model.folder, target) + _tokenizer_faults(model.folder, target)
            if not _same_logits(model, target, DTYPES[target_dtype], seed):
                faults.append("logits")
            report.none_of(name, len(faults), 4, "; ".join(faults) or "tensors, config, tokenizer, logits")


def tensors(folder: str) -> dict[str, torch.Tensor]:
    """Of all files of a model."""
    found = {}
    for file in sorted(os.listdir(folder)):
        if file.endswith(".safetensors"):
            with safe_open(os.path.join(folder, file), "pt") as shard:
                found.update({name: shard.get_tensor(name) for name in shard.keys()})
    return found


def _wrong_tensors(source: str, target: str, dtype: torch.dtype) -> list[str]:
    """Names of the tensors that are not, bit for bit, the source's as torch converts them."""
    wanted, given = tensors(source), tensors(target)
    return sorted(wanted.keys() ^ given.keys()) + [
        name for name in wanted.keys() & given.keys()
        if given[name].dtype != dtype or not torch.equal(_bits(wanted[name].to(dtype)), _bits(given[name]))
    ]


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.view(torch.int32 if tensor.dtype == torch.float32 else torch.int16)


def _config_faults(source: str, target: str) -> list[str]:
    a, b = (AutoConfig.from_pretrained(folder).to_dict() for folder in (source, target))
    fields = sorted(key for key in a.keys() | b.keys() if key not in _INCIDENTAL and a.get(key) != b.get(key))
    return [f"config {', '.join(f'{field}: {b.get(field)}, not {a.get(field)}' for field in fields)}"] if fields else []


def _tokenizer_faults(source: str, target: str) -> list[str]:
    text = "It's 12345 café <|im_end|> <|eot_id|>\n  x"
    wanted = Tokenizer.from_file(os.path.join(source, "tokenizer.json")).encode(text).ids
    return [] if AutoTokenizer.from_pretrained(target)(text)["input_ids"] == wanted else ["tokenizer"]


@torch.no_grad()
def _same_logits(model: Written, target: str, dtype: torch.dtype, seed: int) -> bool:
    """The source's logits in that type, equal in all bits."""
    a, b = reference.load(model.folder, dtype), reference.load(target, dtype)
    rng = stream(seed, f"convert.{model.name}")
    ids = torch.tensor([[rng.randrange(a.config.vocab_size) for _ in range(100)]])
    return torch.equal(a(ids).logits, b(ids).logits)
