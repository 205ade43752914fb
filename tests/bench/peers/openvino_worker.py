"""OpenVINO GenAI's continuous batching."""
import os

import serve

HINTS = {"float32": "f32", "bf16": "bf16", "int8": "bf16"}  # int8: of the weights
STORED = {"float32": "fp32", "bf16": "fp16", "int8": "int8"}


def converted(folder, precision):
    return os.path.join(folder, "openvino-" + STORED[precision])


def convert(folder, precision):
    target = converted(folder, precision)
    if os.path.exists(os.path.join(target, "openvino_tokenizer.xml")):
        return
    from optimum.exporters.openvino import main_export
    from optimum.intel import OVConfig
    main_export(folder, target, task="text-generation-with-past", library_name="transformers",
                ov_config=OVConfig(dtype=STORED[precision]), convert_tokenizer=True)


def uses_tiles(precision):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return HINTS[precision] == "bf16" and "amx_bf16" in file.read()


def load(folder, precision):
    # With one thread, OpenVINO 2026.4 divides by zero where it would use AMX (openvinotoolkit/openvino#33300). Two
    # threads on the one core are faster than one without AMX; for them it must see two cores while it loads.
    core, threads = os.sched_getaffinity(0), 1
    if uses_tiles(precision):
        os.sched_setaffinity(0, range(os.cpu_count()))
        if len(os.sched_getaffinity(0)) > 1:
            threads = 2
        else:
            os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_FP16"
    import openvino
    import openvino_genai
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = 1  # GB
    scheduler.max_num_batched_tokens = 4096  # all prompts in one step
    scheduler.max_num_seqs = 256
    scheduler.enable_prefix_caching = False
    pipeline = openvino_genai.ContinuousBatchingPipeline(
        converted(folder, precision), scheduler, "CPU",
        {"INFERENCE_PRECISION_HINT": HINTS[precision], "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1})
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), core)
    vocabulary = serve.config(folder)["vocab_size"]

    def measure(request):
        config = openvino_genai.GenerationConfig(
            do_sample=True, temperature=1.0, top_p=1.0, max_new_tokens=request["new"], min_new_tokens=request["new"],
            ignore_eos=True, logprobs=1, rng_seed=request["seed"])
        handles = [pipeline.add_request(i, openvino.Tensor(prompt[None].astype("int64")), config)
                   for i, prompt in enumerate(serve.prompts(request, vocabulary))]
        start = serve.now()
        pipeline.step()
        first = serve.now()
        while pipeline.has_non_finished_requests():
            pipeline.step()
        last = serve.now()
        lengths = [len(output.generated_ids) for handle in handles for output in handle.read_all()]
        if lengths != [request["new"]] * request["batch"]:
            raise RuntimeError(f"sequences of {lengths} tokens")
        return serve.decoded(request["batch"] * (request["new"] - 1), start, first, last)

    return f"openvino-genai {openvino_genai.__version__}", f"continuous batching, {threads} threads", measure


serve.main(load, convert)
