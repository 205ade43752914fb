#include "rollout/repeat.h"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "proto/group.h"

namespace tandem {
namespace {

Readers RunsOf(const google::protobuf::RepeatedPtrField<proto::VersionRun>& runs) {
  Readers readers;
  for (const proto::VersionRun& run : runs) {
    readers.push_back({{run.version().incarnation(), run.version().number()}, run.count()});
  }
  return readers;
}

// As it was recorded.
Reading ReadingOf(const proto::Turn& turn) {
  Reading reading{{}, RunsOf(turn.cache_runs())};
  for (const proto::CacheRestart& restart : turn.restarts()) {
    reading.restarts.push_back({restart.output(), RunsOf(restart.cache_runs())});
  }
  return reading;
}

GenerateRequest RequestOf(const TurnView& view) {
  GenerateRequest request;
  request.prompt.assign(view.prompt_ids.begin(), view.prompt_ids.end());
  request.temperature = view.turn->sampling().temperature();
  request.max_new_tokens = static_cast<int32_t>(view.output_ids.size());  // where it ended, for whatever reason
  request.random_key = view.turn->random_key();
  Reading reading = ReadingOf(*view.turn);
  request.readers = std::move(reading.readers);
  request.restarts = std::move(reading.restarts);
  return request;
}

std::string WriterOf(const proto::Turn& turn, size_t token) {
  size_t end = 0;
  for (const proto::VersionRun& run : turn.version_runs()) {
    end += run.count();
    if (token < end) return absl::StrCat("version ", run.version().incarnation(), ".", run.version().number());
  }
  return "nobody";
}

bool SameBits(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

// "" when they are the same.
std::string Difference(const TurnView& was, const GenerateResult& is) {
  const auto token = [&](size_t i) { return absl::StrCat("token ", i, " (", WriterOf(*was.turn, i), " wrote it) "); };
  for (size_t i = 0; i < was.output_ids.size(); ++i) {
    if (i >= is.output.size()) return absl::StrCat(token(i), "is missing now");
    if (is.output[i] != was.output_ids[i]) {
      return absl::StrCat(token(i), "is ", is.output[i], " now, the journal has ", was.output_ids[i]);
    }
    if (!SameBits(is.model_logprobs[i], was.model_logprobs[i])) {
      return absl::StrCat(token(i), "has log-probability ", is.model_logprobs[i], " now, the journal has ",
                          was.model_logprobs[i]);
    }
    if (!SameBits(is.sampled_logprobs[i], was.sampled_logprobs[i])) {
      return absl::StrCat(token(i), "was sampled with log-probability ", is.sampled_logprobs[i],
                          " now, the journal has ", was.sampled_logprobs[i]);
    }
  }
  return "";
}

}  // namespace

absl::Status RepeatTurns(const proto::Group& group, std::span<const wire::Frame> frames,
                         const std::map<std::string, std::unique_ptr<Engine>>& engines, Repeated* repeated) {
  const std::vector<TurnView> views = ViewTurns(group, frames);
  const auto name = [&](const TurnView& view) {
    return absl::StrCat("ticket ", group.ticket().id(), ", episode ", view.episode->episode(), ", turn ",
                        view.turn->turn(), " (", view.turn->role(), ", node ", view.turn->node(), ")");
  };
  std::vector<GenerateResult> results(views.size());
  for (size_t i = 0; i < views.size(); ++i) {
    // What a remote model said was its own affair; the journal has it.
    if (views[i].turn->has_remote()) continue;
    if (views[i].turn->finish() == proto::SCRIPTED || views[i].output_ids.empty()) continue;
    const auto engine = engines.find(views[i].turn->policy());
    if (engine == engines.end()) return absl::InvalidArgumentError(absl::StrCat(name(views[i]), ": no such policy"));
    const auto submitted = engine->second->Submit(
        RequestOf(views[i]), {}, [&results, i](GenerateResult result) { results[i] = std::move(result); });
    if (!submitted.ok()) return Annotate(submitted.status(), name(views[i]));
  }
  for (const auto& [policy, engine] : engines) {
    while (engine->live() > 0) engine->Step();
  }
  for (size_t i = 0; i < views.size(); ++i) {
    if (views[i].turn->finish() == proto::SCRIPTED || views[i].turn->has_remote()) continue;
    if (const std::string difference = Difference(views[i], results[i]); !difference.empty()) {
      return absl::DataLossError(absl::StrCat(name(views[i]), ": ", difference));
    }
    ++repeated->turns;
    repeated->tokens += views[i].output_ids.size();
  }
  return absl::OkStatus();
}

namespace {

VersionId IdOf(const proto::Version& version) { return {version.incarnation(), version.number()}; }

// Who wrote what in a group.
class RecordedReaders {
 public:
  explicit RecordedReaders(const proto::Group& group) : ticket_(group.ticket()) {
    for (const proto::Episode& episode : group.episodes()) {
      for (const proto::Turn& turn : episode.turns()) {
        turns_[{episode.episode(), turn.role(), turn.node()}] = ReadingOf(turn);
        for (const proto::VersionRun& run : turn.cache_runs()) {
          Note({episode.episode(), turn.policy()}, IdOf(run.version()));
          Note({kWholeGroup, turn.policy()}, IdOf(run.version()));
        }
      }
    }
  }

  Reading Of(uint32_t episode, const Seat& seat, uint32_t node) const {
    const auto turn = turns_.find({episode, seat.role, node});
    if (turn != turns_.end() && !turn->second.readers.empty()) return turn->second;
    for (const uint32_t where : {episode, kWholeGroup}) {
      const auto newest = newest_.find({where, seat.policy});
      if (newest != newest_.end()) return {{}, {{newest->second, 1}}};
    }
    for (const proto::TicketLimit& limit : ticket_.limits()) {
      if (limit.policy() == seat.policy) return {{}, {{IdOf(limit.least()), 1}}};
    }
    return {};
  }

 private:
  static constexpr uint32_t kWholeGroup = UINT32_MAX;

  void Note(const std::pair<uint32_t, std::string>& where, VersionId version) {
    VersionId& newest = newest_.emplace(where, version).first->second;
    newest = std::max(newest, version);
  }

  const proto::Ticket& ticket_;
  std::map<std::tuple<uint32_t, std::string, uint32_t>, Reading> turns_;  // by episode, role and node
  std::map<std::pair<uint32_t, std::string>, VersionId> newest_;          // by episode and policy
};

}  // namespace

absl::StatusOr<PlayedGroup> PlayAgain(Cast& cast, const proto::Group& group) {
  const RecordedReaders recorded(group);
  TANDEM_ASSIGN_OR_RETURN(
      const std::unique_ptr<GroupPlay> play,
      GroupPlay::Start(cast, group.ticket(), [&recorded](uint32_t episode, const Seat& seat, uint32_t node, size_t) {
        return recorded.Of(episode, seat, node);
      }));
  while (!play->done()) {
    const int64_t tokens = cast.Step();
    TANDEM_CHECK(tokens > 0 || play->done());
  }
  return play->Finish();
}

}  // namespace tandem
