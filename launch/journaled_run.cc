#include "launch/journaled_run.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "exchange/journal.h"
#include "launch/build_id.h"
#include "launch/config_writer.h"
#include "launch/run_folder.h"

namespace tandem {

absl::StatusOr<JournaledRun> OpenJournaledRun(const std::string& folder, std::optional<uint32_t> incarnation) {
  JournaledRun run;
  TANDEM_ASSIGN_OR_RETURN(run.folder, OpenRunFolder(folder));
  const uint32_t last = LastIncarnation(run.folder).value_or(0);
  const uint32_t wanted = incarnation.value_or(last);
  run.config = wanted == last ? ConfigFile(run.folder) : absl::StrCat(run.folder, "/config-", wanted, ".yaml");
  run.journal = JournalPath(run.folder, wanted);
  TANDEM_ASSIGN_OR_RETURN(EventReader reader, EventReader::Open(run.journal));
  run.opening = reader.opening().event.opening();
  run.began_s = reader.opening().event.now_s();
  run.bytes = std::filesystem::file_size(run.journal);
  if (run.opening.build() != BuildId()) {
    return absl::FailedPreconditionError(absl::StrCat(run.journal, ": was written by build ", run.opening.build(),
                                                      ", this is build ", BuildId(),
                                                      "; only the same build repeats it"));
  }
  TANDEM_ASSIGN_OR_RETURN(run.loaded, LoadConfig({.file = run.config, .sets = {}, .seed = {}}));
  const std::string digest = ConfigDigest(run.loaded.config);
  if (digest != run.opening.config_digest()) {
    return absl::FailedPreconditionError(absl::StrCat(run.config, ": has digest ", digest,
                                                      ", the journal was written with ", run.opening.config_digest(),
                                                      ": it was changed after the run"));
  }
  for (const auto& [name, policy] : run.loaded.config.policies()) {
    if (policy.ranks() == 1) continue;
    return absl::FailedPreconditionError(absl::StrCat(run.config, ": policies.", name, ".ranks is ", policy.ranks(),
                                                      ": sums over ranks cannot be repeated by one process"));
  }
  return run;
}

absl::StatusOr<std::map<std::string, uint32_t>> VersionsBehind(const std::string& journal) {
  std::map<uint64_t, std::string> policies;  // of trainers, by session
  std::map<std::string, uint32_t> newest, behind;
  const auto named = [&](const std::string& policy, const proto::Version& version) {
    const uint32_t now = newest[policy];
    behind[policy] = std::max(behind[policy], now - std::min(now, version.number()));
  };
  TANDEM_ASSIGN_OR_RETURN(EventReader reader, EventReader::Open(journal));
  while (true) {
    TANDEM_ASSIGN_OR_RETURN(const std::optional<JournalEntry> entry, reader.Next());
    if (!entry) return behind;
    if (entry->event.has_joined()) policies[entry->event.session()] = entry->event.joined().policy();
    proto::Header header;
    if (!entry->event.has_call() || !header.ParseFromString(entry->event.call())) continue;
    if (header.has_weights_commit() && !header.weights_commit().rejected_non_finite()) {
      newest[policies[entry->event.session()]] = header.weights_commit().version().number();
    }
    for (const proto::TicketLimit& limit : header.group().ticket().limits()) named(limit.policy(), limit.least());
    for (const proto::Episode& episode : header.group().episodes()) {
      for (const proto::Turn& turn : episode.turns()) {
        for (const proto::VersionRun& run : turn.cache_runs()) named(turn.policy(), run.version());
        for (const proto::CacheRestart& restart : turn.restarts()) {
          for (const proto::VersionRun& run : restart.cache_runs()) named(turn.policy(), run.version());
        }
      }
    }
  }
}

}  // namespace tandem
