"""Models that are wrong in one thing each: what a program would compute that had misread the family. The sequences of a
comparison must tell each of them from the right one, or the comparison proves nothing."""

import copy

import torch


def wrong_models(model) -> dict:
    """Name -> a model like `model` but for that one thing; only those things that it has."""
    config = model.config
    wrong = {
        "theta": _theta(model),
        "rotary_pairs": _rotary_pairs(model),
    }
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    if kv_heads > 1:
        wrong["kv_heads_order"] = _kv_heads_order(model)
    if 1 < kv_heads < heads:
        wrong["kv_heads_tiled"] = _kv_heads_tiled(model)
    if config.rope_parameters["rope_type"] != "default":
        wrong["no_rope_scaling"] = _no_rope_scaling(model)
    if config.rms_norm_eps >= 1e-3:
        wrong["epsilon"] = _epsilon(model)
    if config.model_type == "qwen3":
        wrong["no_qk_norm"] = _no_qk_norm(model)
    for group in ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"):
        if any(name.endswith(f"{group}.bias") for name, _ in model.named_parameters()):
            wrong[f"no_bias_of_{group}"] = _no_bias(model, group)
    return wrong


def _with_rope(model, **parameters):
    wrong = copy.deepcopy(model)
    wrong.config.rope_parameters = parameters
    wrong.model.rotary_emb = type(model.model.rotary_emb)(config=wrong.config)
    return wrong


def _theta(model):
    rope = dict(model.config.rope_parameters)
    rope["rope_theta"] *= 1.01
    return _with_rope(model, **rope)


def _no_rope_scaling(model):
    return _with_rope(model, rope_type="default", rope_theta=model.config.rope_parameters["rope_theta"])


def _epsilon(model):
    wrong = copy.deepcopy(model)
    for module in wrong.modules():
        if hasattr(module, "variance_epsilon"):
            module.variance_epsilon = 1e-6
    return wrong


def _no_qk_norm(model):
    wrong = copy.deepcopy(model)
    for layer in wrong.model.layers:
        layer.self_attn.q_norm = layer.self_attn.k_norm = torch.nn.Identity()
    return wrong


@torch.no_grad()
def _no_bias(model, group: str):
    wrong = copy.deepcopy(model)
    for name, parameter in wrong.named_parameters():
        if name.endswith(f"{group}.bias"):
            parameter.zero_()
    return wrong


@torch.no_grad()
def _with_rows(model, projections: tuple[str, ...], order: torch.Tensor, norms: torch.Tensor | None = None):
    """The outputs of these projections in another order, and the elements of the norms of q and k."""
    wrong = copy.deepcopy(model)
    for layer in wrong.model.layers:
        for projection in projections:
            linear = getattr(layer.self_attn, projection)
            linear.weight.copy_(linear.weight[order].clone())
            if linear.bias is not None:
                linear.bias.copy_(linear.bias[order].clone())
        if norms is not None and hasattr(layer.self_attn, "q_norm"):
            for norm in (layer.self_attn.q_norm, layer.self_attn.k_norm):
                norm.weight.copy_(norm.weight[norms].clone())
    return wrong


def _rows_of_heads(model, order: list[int]) -> torch.Tensor:
    size = model.model.layers[0].self_attn.head_dim
    return torch.cat([torch.arange(size) + head * size for head in order])


def _kv_heads_order(model):
    """Key and value heads the other way round."""
    order = list(reversed(range(model.config.num_key_value_heads)))
    return _with_rows(model, ("k_proj", "v_proj"), _rows_of_heads(model, order))


@torch.no_grad()
def _kv_heads_tiled(model):
    """Query head h reads key head h % kv_heads, and not h / (heads / kv_heads)."""
    heads, kv_heads = model.config.num_attention_heads, model.config.num_key_value_heads
    rows = _rows_of_heads(model, [head for kv in range(kv_heads) for head in range(kv, heads, kv_heads)])
    wrong = _with_rows(model, ("q_proj",), rows)
    for layer in wrong.model.layers:
        weight = layer.self_attn.o_proj.weight
        weight.copy_(weight[:, rows].clone())
    return wrong


def _rotary_pairs(model):
    """Dimension 2i is turned together with 2i + 1, and not i with i + half."""
    size = model.model.layers[0].self_attn.head_dim
    within = torch.cat([torch.arange(0, size, 2), torch.arange(1, size, 2)])

    def rows(heads: int) -> torch.Tensor:
        return torch.cat([within + head * size for head in range(heads)])

    wrong = _with_rows(model, ("q_proj",), rows(model.config.num_attention_heads), norms=within)
    return _with_rows(wrong, ("k_proj",), rows(model.config.num_key_value_heads))
