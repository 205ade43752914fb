"""llama.cpp, built for this processor, by the C functions that llama-cpp-python wraps."""
import json
import os

import numpy

import serve

TYPES = {"float32": "F32", "bf16": "BF16", "int8": "Q8_0"}
NAMES = {  # in Hugging Face's layers and in GGUF's blocks
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}


def converted(folder, precision):
    return os.path.join(folder, f"llama-{TYPES[precision]}.gguf")


def convert(folder, precision):
    if os.path.exists(converted(folder, precision)):
        return
    import gguf
    model = serve.config(folder)
    writer = gguf.GGUFWriter(converted(folder, precision) + ".part", "qwen2")
    writer.add_context_length(model["max_position_embeddings"])
    writer.add_embedding_length(model["hidden_size"])
    writer.add_block_count(model["num_hidden_layers"])
    writer.add_feed_forward_length(model["intermediate_size"])
    writer.add_head_count(model["num_attention_heads"])
    writer.add_head_count_kv(model["num_key_value_heads"])
    writer.add_rope_freq_base(model["rope_theta"])
    writer.add_layer_norm_rms_eps(model["rms_norm_eps"])
    writer.add_vocab_size(model["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
    for name, tensor in tensors(os.path.join(folder, "model.safetensors")):
        kind = gguf.GGMLQuantizationType[TYPES[precision] if tensor.ndim == 2 else "F32"]
        writer.add_tensor(gguf_name(name), gguf.quants.quantize(tensor, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.rename(converted(folder, precision) + ".part", converted(folder, precision))


def tensors(path):
    """Names and float32 values of a file of bf16 tensors."""
    data = numpy.memmap(path, numpy.uint8, "r")
    begin = 8 + int(data[:8].view(numpy.uint64)[0])
    for name, entry in json.loads(data[8:begin].tobytes()).items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            upper = data[begin + first:begin + last].view(numpy.uint16).astype(numpy.uint32)
            yield name, (upper << 16).view(numpy.float32).reshape(entry["shape"])


def gguf_name(name):
    whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in whole:
        return whole[name]
    _, _, layer, rest = name.split(".", 3)
    part, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{NAMES[part]}.{kind}"


def load(folder, precision):
    import llama_cpp
    llama_cpp.llama_backend_init()
    parameters = llama_cpp.llama_model_default_params()
    features = llama_cpp.llama_print_system_info().decode()
    # This release repacks 8-bit weights, and where there is AMX llama_decode then ends in a segmentation fault.
    parameters.use_extra_bufts = not (precision == "int8" and "AMX_INT8 = 1" in features)
    model = llama_cpp.llama_model_load_from_file(converted(folder, precision).encode(), parameters)
    if not model:
        raise RuntimeError("llama.cpp cannot load the model")
    vocabulary = serve.config(folder)["vocab_size"]

    def measure(request):
        sequences, length = request["batch"], request["prompt"] + request["new"]
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_seq_max = sequences
        parameters.n_ctx = sequences * -(-length // 256) * 256
        parameters.n_batch = parameters.n_ubatch = max(512, sequences * request["prompt"])
        if precision == "float32":  # faster than the defaults, which are as fast or faster with bf16
            parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
            parameters.type_k = parameters.type_v = llama_cpp.GGML_TYPE_F32
        parameters.n_threads = parameters.n_threads_batch = 1
        context = llama_cpp.llama_init_from_model(model, parameters)
        batch = llama_cpp.llama_batch_init(parameters.n_batch, 0, 1)
        try:
            return generate(llama_cpp, context, batch, request, vocabulary)
        finally:
            llama_cpp.llama_batch_free(batch)
            llama_cpp.llama_free(context)

    return (f"llama.cpp of llama-cpp-python {llama_cpp.__version__}",
            " ".join(part.split("=")[0].strip() for part in features.split("|") if "= 1" in part), measure)


def generate(llama_cpp, context, batch, request, vocabulary):
    chance = numpy.random.default_rng(request["seed"])
    sequences = request["batch"]

    def step(ids, position):
        """The next token of each sequence and its log-probability; `ids` [sequences, tokens] begin at `position`."""
        tokens = ids.shape[1]
        count = batch.n_tokens = ids.size
        view = lambda pointer: numpy.ctypeslib.as_array(pointer, (count,))
        view(batch.token)[:] = ids.ravel()
        view(batch.pos)[:] = numpy.tile(numpy.arange(position, position + tokens), sequences)
        view(batch.n_seq_id)[:] = 1
        for row in range(count):
            batch.seq_id[row][0] = row // tokens
        view(batch.logits)[:] = numpy.tile(numpy.arange(tokens) == tokens - 1, sequences)
        if llama_cpp.llama_decode(context, batch) != 0:
            raise RuntimeError("llama_decode fails")
        logits = llama_cpp.llama_get_logits(context)
        return draw(numpy.ctypeslib.as_array(logits, (sequences, vocabulary)), chance)

    start = serve.now()
    ids, _ = step(serve.prompts(request, vocabulary), 0)
    first = serve.now()
    for position in range(request["prompt"], request["prompt"] + request["new"] - 1):
        ids, _ = step(ids[:, None], position)
    return serve.decoded(request["batch"] * (request["new"] - 1), start, first, serve.now())


def draw(logits, chance):
    """Tokens drawn from softmax(logits) [sequences, vocabulary], first a block of 64 and then one of it, and their
    log-probabilities [sequences]."""
    rows = numpy.arange(len(logits))
    shifted = logits - logits.max(1, keepdims=True)
    blocks = numpy.exp(shifted).reshape(len(logits), -1, 64)
    upto = blocks.sum(2).cumsum(1, dtype=numpy.float64)
    at = chance.random(len(logits)) * upto[:, -1]
    block = numpy.minimum((upto < at[:, None]).sum(1), upto.shape[1] - 1)
    rest = at - numpy.where(block > 0, upto[rows, block - 1], 0)
    tokens = 64 * block + numpy.minimum((blocks[rows, block].cumsum(1) < rest[:, None]).sum(1), 63)
    return tokens.astype(numpy.int32), shifted[rows, tokens] - numpy.log(upto[:, -1])


serve.main(load, convert)
