// Only this file and cli.cc include CLI11, which takes long to compile.
#include "launch/flags.h"

#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "launch/commands.h"

namespace tandem {
namespace {

// May be given several times; each takes one word.
void AddRepeatable(CLI::App* app, const char* name, const char* type, std::vector<std::string>* values,
                   const char* text) {
  app->add_option(name, *values, text)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false)
      ->type_name(type);
}

// A whole number from `least` to `most`.
template <typename Number>
void AddCount(CLI::App* app, const char* name, Number* value, const char* text, Number least, Number most) {
  const auto read = [=](const std::string& word) {
    Number number = 0;
    if (!absl::SimpleAtoi(word, &number) || number < least || number > most) {
      throw CLI::ValidationError(name,
                                 absl::StrCat("expected a whole number from ", least, " to ", most, ", found ", word));
    }
    *value = number;
  };
  app->add_option_function<std::string>(name, read, text)->type_name("N");
}

void AddSetOption(CLI::App* app, std::vector<std::string>* sets) {
  AddRepeatable(app, "--set", "KEY=VALUE", sets,
                "changes a key of the configuration, as in --set train.steps=10 (repeatable)");
}

Command TrainCommand(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "train",
      "Trains the policies of a configuration on this machine: starts the exchange, the trainers and the rollout\n"
      "workers, shows how it goes, and leaves a run folder with checkpoints, metrics and a report. Ctrl-C stops\n"
      "cleanly, with checkpoints; a second Ctrl-C at once.");
  auto flags = std::make_shared<TrainFlags>();
  app->add_option("CONFIG", flags->source.file, "the YAML file; configs/quickstart.yaml is a commented one")
      ->type_name("");
  AddSetOption(app, &flags->source.sets);
  app->add_option("--seed", flags->seed, "the same as --set seed=N")->type_name("N");
  app->add_option("--run-dir", flags->run_dir, "the run folder, in place of runs/<name>-<time>; new or empty")
      ->type_name("DIR");
  app->add_option("--resume", flags->resume, "goes on with that run, from its newest checkpoints")->type_name("RUN");
  app->add_flag("--in-process", flags->in_process, "all as threads of one process, for debugging");
  app->footer(
      "Examples:\n"
      "  tandem train configs/quickstart.yaml\n"
      "  tandem train configs/quickstart.yaml --seed 3 --set policies.planner.staleness.bound=1\n"
      "  tandem train --resume runs/quickstart-20250101-120000 --set train.steps=160\n"
      "\nExit status: 0 (also when stopped with Ctrl-C), 1 (the run failed), 2 (bad input; no run folder is left "
      "behind)");
  return {app, [flags] { return Train(*flags); }};
}

Command EvalCommand(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "eval",
      "Plays held-out tasks with the newest (or a chosen) checkpoint of each policy of a run, and prints how often\n"
      "the team was right, how often the plan was valid (no fault) and right (the oracle's executor gets the right\n"
      "answer with it), and how many of the executor's steps were right.");
  auto flags = std::make_shared<EvalFlags>();
  app->add_option("RUN", flags->request.run, "the run folder")->required()->type_name("");
  AddCount<uint64_t>(app, "--episodes", &flags->episodes, "how many (2000)", 1, 10'000'000);
  app->add_option("--temperature", flags->temperature, "of sampling; 0 is greedy (1)")->type_name("T");
  AddRepeatable(app, "--role", "ROLE=RUN2|oracle", &flags->request.roles, "who plays that role instead (repeatable)");
  AddRepeatable(app, "--checkpoint", "ROLE=NUMBER", &flags->request.checkpoints,
                "that version instead of the newest (repeatable)");
  AddCount<uint64_t>(app, "--seed", &flags->seed, "of the sampling (0)", 0, UINT64_MAX);
  app->add_flag("--json", flags->json, "one JSON object in place of the table");
  app->footer(
      "Examples:\n"
      "  tandem eval runs/quickstart-20250101-120000\n"
      "  tandem eval RUN --temperature 0 --role executor=oracle --json");
  return {app, [flags] { return Evaluate(*flags); }};
}

Command ConfigCommand(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "config",
      "Checks a configuration and prints all of it, defaults included; above each key stand its documentation,\n"
      "its range and its default. What it prints is a configuration itself.");
  auto flags = std::make_shared<ConfigFlags>();
  app->add_option("CONFIG", flags->source.file, "the YAML file")->required()->type_name("");
  AddSetOption(app, &flags->source.sets);
  app->add_option("--seed", flags->seed, "the same as --set seed=N")->type_name("N");
  app->add_flag("--plain", flags->plain, "without the documentation");
  app->footer("Example:\n  tandem config configs/quickstart.yaml --set policies.planner.ranks=2");
  return {app, [flags] { return PrintConfig(*flags); }};
}

Command TasksCommand(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "tasks",
      "Writes tasks of an environment as JSON lines, each with question, answer and a reference plan. Without\n"
      "CONFIG those of the default environment. A file of such lines can be trained on: environment.tasks.");
  auto flags = std::make_shared<TasksFlags>();
  app->add_option("CONFIG", flags->source.file, "the YAML file whose environment is meant")->type_name("");
  app->add_option("--split", flags->split, "training (the default), validation or held_out")->type_name("NAME");
  AddCount<uint64_t>(app, "--count", &flags->count, "how many tasks (100)", 0, 1'000'000'000);
  AddSetOption(app, &flags->source.sets);
  app->add_option("--seed", flags->seed, "the same as --set seed=N")->type_name("N");
  app->add_flag("--list", flags->list, "lists the environments instead");
  app->footer("Example:\n  tandem tasks --count 5000 --set environment.max_operations=4 > tasks.jsonl");
  return {app, [flags] { return WriteTasks(*flags); }};
}

Command ReplayCommand(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "replay",
      "Repeats a run from its journal, in one process on the CPU: generates every token again with the versions that\n"
      "wrote it, takes every step again with the groups that it consumed, and compares tokens, losses and weights "
      "with\n"
      "what was recorded, bit for bit. Stops at the first difference and says where it is. Changes nothing.\n"
      "With --schedule-only it trains anew instead, with another loss: every group keeps its step, and the version of\n"
      "every token is the recorded one, so that two losses are compared without the noise of scheduling.");
  auto flags = std::make_shared<ReplayFlags>();
  app->add_option("RUN", flags->run, "the run folder")->required()->type_name("");
  AddCount<int64_t>(app, "--incarnation", &flags->incarnation, "of a run that was resumed: which part (the last)", 0,
                    UINT32_MAX);
  app->add_flag("--schedule-only", flags->schedule_only, "trains anew on the run's schedule, into a new run folder");
  AddRepeatable(app, "--set", "KEY=VALUE", &flags->sets,
                "with --schedule-only: another loss, optimizer or advantage, of one policy as in\n"
                "policies.planner.loss.clip=0.1, or of all as in loss=grpo (repeatable)");
  app->add_option("--run-dir", flags->run_dir, "with --schedule-only: the new run folder")->type_name("DIR");
  app->footer(
      "Examples:\n  tandem replay runs/quickstart-20250101-120000\n"
      "  tandem replay runs/quickstart-20250101-120000 --schedule-only --set loss=grpo\n"
      "\nExit status: 0 (all is the same), 1 (something differs), 2 (bad input: no such run, a corrupt journal, "
      "another\n"
      "build or configuration)");
  return {app, [flags] { return RepeatRun(*flags); }};
}

Command SimulateCommand(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "simulate",
      "Runs a configuration in virtual time: the real exchange, with workers and trainers that only wait. Prints how\n"
      "fast it would be, what no scheduler could beat under its bounds, how old the tokens would be, how long the\n"
      "queues, and which resource limits. Takes seconds, and no model.\n"
      "What there is to do is taken from a run that was measured (--from), whose CPU seconds and waits are done again\n"
      "on so many cores; or groups and steps take times that are given (--median, --sigma, --cap, --step).");
  auto flags = std::make_shared<SimulateFlags>();
  app->add_option("CONFIG", flags->source.file,
                  "the YAML file: of it count staleness, lag, train and rollout; by default that of --from")
      ->type_name("");
  AddSetOption(app, &flags->source.sets);
  app->add_option("--seed", flags->seed, "the same as --set seed=N")->type_name("N");
  app->add_option("--from", flags->from,
                  "a finished run of the same models and tasks: its work is fitted, and done again")
      ->type_name("RUN");
  app->add_option("--workers", flags->workers, "rollout workers (with --from rollout.workers, otherwise 1)")
      ->type_name("N");
  app->add_option("--cores", flags->cores, "with --from: cores that all processes share (this machine's)")
      ->type_name("N");
  AddRepeatable(app, "--speed", "POLICY=F", &flags->speeds,
                "with --from: the policy's trainer, or workers=F, is F times as fast (repeatable)");
  app->add_option("--median", flags->median_s, "how long a group is played: the median of a lognormal (1)")
      ->type_name("SECONDS");
  app->add_option("--sigma", flags->sigma, "its spread (1); 0: all take the median")->type_name("S");
  app->add_option("--cap", flags->cap, "where it is cut off, in medians (8)")->type_name("C");
  app->add_option("--step", flags->step_s, "how long a training step takes (0)")->type_name("SECONDS");
  app->add_option("--publish", flags->publish_s,
                  "from the end of a step until workers play with its version (0; with --from as measured)")
      ->type_name("SECONDS");
  app->add_option("--bounds", flags->bounds, "simulates these bounds in place of the configuration's, as in 0,1,2,4,8")
      ->type_name("N,N...");
  AddRepeatable(app, "--rule", "NAME", &flags->rules,
                "compares with another system's admission rule: count (AReaL, SkyRL), drop_by_age\n"
                "(prime-rl) or windowed_fifo (torchtitan): what it breaks, what it throws away (repeatable)");
  app->add_flag("--json", flags->json, "JSON objects, one a line, in place of the text");
  app->footer(
      "Examples:\n  tandem simulate configs/quickstart.yaml --workers 8 --median 2 --step 0.5 --bounds 0,1,2,4,8\n"
      "  tandem simulate configs/quickstart.yaml --set policies.planner.staleness.on_limit=mask\n"
      "  tandem simulate configs/quickstart.yaml --workers 8 --rule count --rule drop_by_age --rule windowed_fifo\n"
      "  tandem simulate --from runs/quickstart-20250101-120000 --workers 4 --cores 8 --speed executor=2\n"
      "\nExit status: 0, 2 (bad input: also a run that is too short, or of other models)");
  return {app, [flags] { return Simulate(*flags); }};
}

// ---- commands on one model

void AddModelOptions(CLI::App* app, ModelFlags* flags) {
  app->add_option("MODEL", flags->model, "a model folder in Hugging Face's layout")->required()->type_name("");
  app->add_option("--device", flags->device, "cpu, cuda or auto (a GPU where there is one)")->type_name("NAME");
  app->add_option("--precision", flags->precision,
                  "float32 (the default on a CPU), bf16 (on a GPU); generate and serve on a CPU: int8 as well")
      ->type_name("TYPE");
}

Command ScoreCommand(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "score",
      "Prints the log-probability of each token given those before it. Takes JSON lines with \"ids\" or \"text\";\n"
      "writes for each {\"ids\": [...], \"logprobs\": [...]}, from the second token on.");
  auto flags = std::make_shared<ScoreFlags>();
  AddModelOptions(app, &flags->model);
  app->add_option("--input", flags->input, "the file of JSON lines; - is standard input")
      ->required()
      ->type_name("FILE");
  app->footer("Example:\n  tandem score models/planner --input sequences.jsonl > logprobs.jsonl");
  return {app, [flags] { return ScoreSequences(*flags); }};
}

Command GenerateCommand(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "generate",
      "Goes on with a text. Writes a JSON line a request, in the order of the input: \"ids\" and \"text\" of the new\n"
      "tokens, \"logprobs\" of the model, \"sampled_logprobs\" of the distribution they were drawn from (with its\n"
      "temperature and filters), and \"finish\": stop, or length. What a request gets depends on its text, its place "
      "in\n"
      "the input and the seed, not on what else is generated at the same time (on a CPU; on a GPU the rounding of\n"
      "matrix products depends on the batch).");
  auto flags = std::make_shared<GenerateFlags>();
  AddModelOptions(app, &flags->model);
  app->add_option("--prompt", flags->prompt, "the text")->type_name("TEXT");
  app->add_option("--input", flags->input,
                  "JSON lines with \"text\", \"ids\" or \"messages\" (a chat) instead; - is standard input")
      ->type_name("FILE");
  app->add_flag("--chat", flags->chat, "the prompt is what a user says: it goes through the model's chat template");
  app->add_flag("--greedy", flags->greedy, "always the likeliest token; the same as --temperature 0");
  app->add_option("--temperature", flags->temperature, "of sampling (1)")->type_name("T");
  app->add_option("--top-p", flags->top_p, "only the likeliest tokens, up to this share of the probability (1)")
      ->type_name("P");
  app->add_option("--top-k", flags->top_k, "only so many of the likeliest tokens (0: all)")->type_name("K");
  app->add_option("--min-p", flags->min_p, "only tokens at least so likely, compared with the likeliest (0)")
      ->type_name("P");
  app->add_option("--max-new-tokens", flags->max_new_tokens, "how many at most (256)")->type_name("N");
  AddRepeatable(app, "--stop", "TEXT", &flags->stop, "ends the text before this (repeatable)");
  AddCount<uint64_t>(app, "--seed", &flags->seed, "of the sampling (0)", 0, UINT64_MAX);
  app->add_option("--batch", flags->batch, "requests that are worked on at the same time (32)")->type_name("N");
  app->footer(
      "Examples:\n  tandem generate models/planner --prompt 'Once upon a time' --max-new-tokens 40\n"
      "  tandem generate models/planner --chat --prompt 'What is 7 * 6?' --greedy\n"
      "  tandem generate models/planner --input prompts.jsonl --top-p 0.9 > texts.jsonl");
  return {app, [flags] { return GenerateText(*flags); }};
}

Command ServeCommand(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "serve",
      "Answers OpenAI's API over HTTP: /v1/chat/completions and /v1/completions, streamed or not, /v1/models, "
      "/health,\n"
      "/metrics. All requests are generated together, in one batch that they join and leave at any token. What would\n"
      "change an answer and is not supported is an error (400) that names the key; nothing is left out silently.\n"
      "Beyond OpenAI: top_k, min_p, stop_token_ids, ignore_eos, return_token_ids (as in vLLM), timeout (seconds, "
      "after\n"
      "which a choice ends with finish_reason timeout), and in each choice versions: which weights wrote which "
      "tokens.\n"
      "POST /update_weights_from_disk {\"model_path\": FOLDER} puts new weights in force between two tokens.\n"
      "Ctrl-C stops it. There is no key and no encryption: others than this machine should not reach the port.");
  auto flags = std::make_shared<ServeFlags>();
  AddModelOptions(app, &flags->model);
  app->add_option("--host", flags->host, "the address to listen on (127.0.0.1: this machine only)")
      ->type_name("ADDRESS");
  app->add_option("--port", flags->port, "the port (8000); 0: a free one, which is printed")->type_name("N");
  app->add_option("--name", flags->name, "what the model is called (the folder's name)")->type_name("NAME");
  app->add_option("--batch", flags->batch, "choices that are generated at the same time; others wait (32)")
      ->type_name("N");
  app->add_option("--cache-mb", flags->cache_mb,
                  "most memory for key-value caches, though enough for one text; when it runs out, the youngest wait\n"
                  "(0: enough for the whole batch)")
      ->type_name("N");
  app->footer(
      "Examples:\n  tandem serve models/planner --port 8000\n"
      "  curl localhost:8000/v1/chat/completions -H 'Content-Type: application/json' \\\n"
      "    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'\n"
      "  curl localhost:8000/update_weights_from_disk -H 'Content-Type: application/json' \\\n"
      "    -d '{\"model_path\": \"runs/my-run/checkpoints/planner/0-40\"}'");
  return {app, [flags] { return Serve(*flags); }};
}

Command TokenizeCommand(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "tokenize", "Writes the token ids of texts: JSON lines with \"text\" in, {\"ids\": [...]} out.");
  auto flags = std::make_shared<TokenizeFlags>();
  app->add_option("MODEL", flags->model,
                  "a model folder in Hugging Face's layout, of which the tokenizer's files are enough")
      ->required()
      ->type_name("");
  app->add_option("--input", flags->input, "the file of JSON lines; - is standard input")
      ->required()
      ->type_name("FILE");
  app->footer("Example:\n  tandem tokenize models/planner --input texts.jsonl");
  return {app, [flags] { return TokenizeText(*flags); }};
}

Command ConvertCommand(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "convert",
      "Writes a model folder anew, with its tokenizer, in Hugging Face's layout: with another type, in one\n"
      "file.");
  auto flags = std::make_shared<ConvertFlags>();
  app->add_option("SOURCE", flags->source, "a model folder in Hugging Face's layout")->required()->type_name("");
  app->add_option("TARGET", flags->target, "the folder to write; it must not be there")->required()->type_name("");
  app->add_option("--dtype", flags->dtype, "float32, bf16 or f16 (as in SOURCE)")->type_name("TYPE");
  app->footer("Example:\n  tandem convert models/planner models/planner-bf16 --dtype bf16");
  return {app, [flags] { return ConvertModel(*flags); }};
}

// ---- the processes of a run

void AddProcessOptions(CLI::App* app, ProcessFlags* flags) {
  app->add_option("--run", flags->run, "the run folder")->required()->type_name("DIR");
  app->add_option("--endpoint", flags->endpoint, "where the exchange listens; by default transport.endpoint")
      ->type_name("ADDRESS");
}

Command ExchangeCommand(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("exchange", "The process where rollout and trainers meet. Started by `tandem train`.");
  auto flags = std::make_shared<ProcessFlags>();
  AddProcessOptions(app, flags.get());
  app->add_option("--incarnation", flags->incarnation, "of the versions of this run")->type_name("N");
  app->add_option("--clock-offset", flags->clock_offset_s, "where the run's clock goes on")->type_name("SECONDS");
  AddRepeatable(app, "--resume", "POLICY=CHECKPOINT", &flags->resume, "what a policy goes on from");
  return {app, [flags] { return RunExchangeProcess(*flags); }};
}

Command TrainerCommand(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("trainer", "One rank of the training of one policy. Started by `tandem train`.");
  auto flags = std::make_shared<ProcessFlags>();
  AddProcessOptions(app, flags.get());
  app->add_option("--policy", flags->policy, "the policy")->required()->type_name("NAME");
  app->add_option("--rank", flags->rank, "of the ranks that train it")->type_name("N");
  app->add_option("--private", flags->private_folder, "where the ranks meet")->type_name("DIR");
  app->add_option("--resume", flags->checkpoint, "what it goes on from")->type_name("CHECKPOINT");
  return {app, [flags] { return RunTrainerProcess(*flags); }};
}

Command WorkerCommand(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("worker", "A rollout worker. Started by `tandem train`; more may join by hand.");
  auto flags = std::make_shared<ProcessFlags>();
  AddProcessOptions(app, flags.get());
  app->add_option("--index", flags->index, "names the worker; no two of a run have the same")->type_name("N");
  return {app, [flags] { return RunWorkerProcess(*flags); }};
}

Command VersionCommand(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("version", "Prints the version, and the build that the peers of a run have to share.");
  return {app, PrintVersion};
}

}  // namespace

std::vector<Command> AddCommands(CLI::App& program) {
  return {TrainCommand(program),    EvalCommand(program),     ConfigCommand(program),  TasksCommand(program),
          ReplayCommand(program),   SimulateCommand(program), ScoreCommand(program),   GenerateCommand(program),
          ServeCommand(program),    TokenizeCommand(program), ConvertCommand(program), VersionCommand(program),
          ExchangeCommand(program), TrainerCommand(program),  WorkerCommand(program)};
}

}  // namespace tandem
