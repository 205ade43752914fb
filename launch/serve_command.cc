#include <cstdio>
#include <ctime>
#include <filesystem>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status.h"
#include "launch/commands.h"
#include "launch/language_model.h"
#include "launch/serve/generation_service.h"
#include "launch/serve/http_door.h"
#include "launch/serve/served_model.h"
#include "launch/stop_signals.h"

namespace tandem {
namespace {

constexpr double kFarewell_s = 2;  // clients have so long to hear that the server is being stopped

absl::StatusOr<ServedModel> OpenServedModel(const ServeFlags& flags) {
  ServedModel model;
  TANDEM_ASSIGN_OR_RETURN(model.folder, LoadModelFolder(flags.model.model));
  TANDEM_ASSIGN_OR_RETURN(model.tokenizer, LoadTokenizerOf(model.folder));
  absl::StatusOr<ChatTemplate> chat = ChatTemplate::Open(model.folder.path);
  if (chat.ok()) {
    model.chat = *std::move(chat);
  } else if (!absl::IsNotFound(chat.status())) {
    return chat.status();
  }
  model.created = std::time(nullptr);
  model.name = flags.name;
  if (!model.name.empty()) return model;
  const std::filesystem::path path = std::filesystem::absolute(flags.model.model).lexically_normal();
  model.name = path.has_filename() ? path.filename() : path.parent_path().filename();
  return model;
}

// Until a signal asks to stop. `door` listens on a thread of its own.
int ServeUntilStopped(const ServeFlags& flags, const ServedModel& model, GenerationService* service) {
  HttpDoor door(model, service, /*clients=*/2 * flags.batch + 32);
  const absl::StatusOr<int> port = door.Bind(flags.host, static_cast<int>(flags.port));
  if (!port.ok()) return BadInput(port.status());
  std::thread listening([&door] { door.Listen(); });
  const std::string host = absl::StrContains(flags.host, ":") ? absl::StrCat("[", flags.host, "]") : flags.host;
  std::printf("serving %s at http://%s:%d/v1\n", model.name.c_str(), host.c_str(), *port);
  std::fflush(stdout);
  while (!AsksToStop(WaitForSignal(/*timeout_s=*/60))) {
  }
  service->Stop(kFarewell_s);  // those who wait are told so
  door.Stop();
  listening.join();
  return kExitFine;
}

}  // namespace

int Serve(const ServeFlags& flags) {
  if (flags.batch < 1 || flags.batch > 4096) {
    return BadInput(absl::InvalidArgumentError("--batch: expected 1 to 4096"));
  }
  if (flags.port > 65535) return BadInput(absl::InvalidArgumentError("--port: expected 0 to 65535"));
  const absl::StatusOr<Placement> placement = PlacementOf(flags.model);
  if (!placement.ok()) return BadInput(placement.status());
  const absl::StatusOr<ServedModel> model = OpenServedModel(flags);
  if (!model.ok()) return BadInput(model.status());
  BlockSignals();  // before there are threads
  const RealClock clock;
  auto engine = LoadEngine(model->folder, *placement, {.max_batch = flags.batch, .clock = &clock}, flags.cache_mb);
  if (!engine.ok()) return BadInput(engine.status());
  GenerationService service(*std::move(engine), *model->tokenizer, clock);
  return ServeUntilStopped(flags, *model, &service);
}

}  // namespace tandem
