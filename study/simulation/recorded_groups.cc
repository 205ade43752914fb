#include "study/simulation/recorded_groups.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "base/status.h"
#include "exchange/journal.h"

namespace tandem {
namespace {

// Its first round begins a round before its first token: what lies before that it has waited for a place.
RecordedTurn Recorded(const proto::Turn& turn) {
  const proto::TurnTimes& times = turn.times();
  const uint32_t tokens = turn.output_tokens();
  const double round_s = tokens > 1 ? (times.ended() - times.first_token()) / (tokens - 1) : 1e9;
  return {std::max(times.started(), times.first_token() - round_s), times.ended(), tokens};
}

// Adds up over groups; `groups` counts them.
void AddSpans(const RecordedGroup& group, const std::map<std::string, std::pair<double, double>>& times,
              std::map<std::string, WrittenSpan>* sums, std::map<std::string, int>* groups) {
  const double start_s = group.turns.empty() ? 0 : group.turns.front().began_s, whole_s = group.arrived_s - start_s;
  if (whole_s <= 0) return;
  for (const auto& [policy, time] : times) {
    (*sums)[policy].from += (time.first - start_s) / whole_s;
    (*sums)[policy].to += (time.second - start_s) / whole_s;
    ++(*groups)[policy];
  }
}

RecordedGroup Recorded(const proto::Group& group, RecordedGroups* of,
                       std::map<std::string, std::pair<double, double>>* times) {
  RecordedGroup recorded;
  recorded.worker = group.worker();
  recorded.issued_s = group.issued_s();
  recorded.arrived_s = group.arrived_s();
  for (const proto::Episode& episode : group.episodes()) {
    for (const proto::Turn& turn : episode.turns()) {
      if (turn.output_tokens() == 0) continue;
      of->tokens[turn.policy()] += turn.output_tokens();
      const RecordedTurn& added = recorded.turns.emplace_back(Recorded(turn));
      const auto [time, first] = times->try_emplace(turn.policy(), added.began_s, added.ended_s);
      if (first) continue;
      time->second.first = std::min(time->second.first, added.began_s);
      time->second.second = std::max(time->second.second, added.ended_s);
    }
  }
  std::ranges::sort(recorded.turns, {}, &RecordedTurn::began_s);
  return recorded;
}

}  // namespace

absl::StatusOr<RecordedGroups> ReadRecordedGroups(const std::string& journal) {
  RecordedGroups recorded;
  TANDEM_ASSIGN_OR_RETURN(EventReader reader, EventReader::Open(journal));
  recorded.opened_s = reader.opening().event.now_s();
  std::set<uint64_t> seen;             // tickets
  std::map<std::string, int> written;  // groups that a policy wrote in
  while (true) {
    TANDEM_ASSIGN_OR_RETURN(const std::optional<JournalEntry> entry, reader.Next());
    if (!entry) break;
    proto::Header header;
    if (!entry->event.has_call() || !header.ParseFromString(entry->event.call()) || !header.has_group()) continue;
    const proto::Group& group = header.group();
    if (group.ticket().purpose() != proto::TRAIN || !seen.insert(group.ticket().id()).second) continue;
    std::map<std::string, std::pair<double, double>> times;  // by policy: of its first and its last token
    recorded.groups.push_back(Recorded(group, &recorded, &times));
    AddSpans(recorded.groups.back(), times, &recorded.written, &written);
  }
  for (auto& [policy, span] : recorded.written) {
    span.from = std::clamp(span.from / written.at(policy), 0.0, 1.0);
    span.to = std::clamp(span.to / written.at(policy), span.from, 1.0);
  }
  std::ranges::stable_sort(recorded.groups, {}, &RecordedGroup::issued_s);
  return recorded;
}

}  // namespace tandem
