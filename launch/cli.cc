#include "launch/cli.h"

#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "launch/commands.h"
#include "launch/flags.h"
#include "launch/suggestion.h"

namespace tandem {
namespace {

constexpr char kHelp[] =
    R"(Tandem trains two language-model policies that work as a team, a planner and an executor, by asynchronous
reinforcement learning: generation and training never wait for each other longer than a bound on staleness says.

Begin with
  tandem train configs/quickstart.yaml       train both policies on this machine, about two minutes
  tandem eval runs/quickstart-<time>         play held-out tasks with what they have learned

Commands
  train CONFIG     train the policies of a configuration; --resume RUN goes on with a run
  eval RUN         play held-out tasks with the checkpoints of a run
  replay RUN       repeat a run from its journal, bit for bit, or train on its schedule with another loss
  simulate CONFIG  what a bound, more workers or a faster trainer would cost or bring; --from RUN takes its work
  config CONFIG    print the whole configuration, every key with its documentation
  tasks [CONFIG]   write tasks of an environment as JSON lines

On one model, a folder in Hugging Face's layout
  score MODEL      log-probabilities of given tokens
  generate MODEL   go on with a text or a chat
  serve MODEL      answer OpenAI's API over HTTP
  tokenize MODEL   the token ids of a text
  convert MODEL T  write it anew, with another type

  version          print the version and the build

Processes that train starts: exchange, trainer, worker.

Options
  -h, --help       this page; `tandem train --help` is about that command

Environment
  TANDEM_LOG       level of the logs in RUN/logs: trace, debug, info, warn, error
  TMPDIR           where the sockets of a run live

Exit status
  0  fine (also a run that was stopped with Ctrl-C; it says whether it can be resumed)
  1  the run failed
  2  bad input; nothing was begun
)";

// One line about what could not be parsed, and where help is.
int Misused(const CLI::App& app, const std::string& what) {
  const std::string command = app.get_parent() == nullptr ? "tandem" : absl::StrCat("tandem ", app.get_name());
  std::fprintf(stderr, "%s: %s\n`%s --help` has the details\n", command.c_str(), what.c_str(), command.c_str());
  return kExitBadInput;
}

std::vector<std::string> FlagNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

// What the parser left over: a flag or a word that nobody asked for.
int Leftover(const CLI::App& app, const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    if (!absl::StartsWith(word, "-")) continue;
    const std::string flag = word.substr(0, word.find('='));
    const std::string near = NearestWord(flag, FlagNames(app));
    return Misused(
        app, absl::StrCat("there is no flag ", flag, near.empty() ? "" : absl::StrCat("; did you mean ", near, "?")));
  }
  return Misused(app, absl::StrCat("one argument too many: ", words.front()));
}

}  // namespace

int RunCommandLine(int argc, char** argv) {
  CLI::App program("tandem");
  program.set_help_flag("-h,--help", "this page");
  bool version = false;
  program.add_flag("--version", version);
  const std::vector<Command> commands = AddCommands(program);
  program.allow_extras();
  program.get_formatter()->column_width(32);
  for (const Command& command : commands) {
    command.app->allow_extras();
    command.app->description(command.app->get_description() + "\n");
    command.app->get_formatter()->column_width(32);
  }

  try {
    program.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    const auto asked = program.get_subcommands();
    std::fputs(asked.empty() ? kHelp : asked.front()->help("tandem").c_str(), stdout);
    return kExitFine;
  } catch (const CLI::ParseError& error) {
    const auto asked = program.get_subcommands();
    const CLI::App& app = asked.empty() ? program : *asked.front();
    const std::vector<std::string> left = app.remaining();
    return left.empty() ? Misused(app, error.what()) : Leftover(app, left);
  }
  for (const Command& command : commands) {
    if (!command.app->parsed()) continue;
    // Of the command itself, then what came before it.
    if (const auto left = command.app->remaining(); !left.empty()) return Leftover(*command.app, left);
    if (const auto left = program.remaining(); !left.empty()) return Leftover(program, left);
    return command.run();
  }
  if (version) return PrintVersion();
  if (const auto left = program.remaining(); !left.empty()) {
    if (absl::StartsWith(left.front(), "-")) return Leftover(program, left);
    std::vector<std::string> names;
    for (const Command& command : commands) names.push_back(command.app->get_name());
    return Misused(program, absl::StrCat("there is no command ", left.front(), Suggestion(left.front(), names)));
  }
  std::fputs(kHelp, stdout);
  return kExitFine;
}

}  // namespace tandem
