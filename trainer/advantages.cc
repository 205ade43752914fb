#include "trainer/advantages.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <tuple>

namespace tandem {
namespace {

using GroupKey = std::tuple<uint64_t, std::string, std::vector<int32_t>>;  // ticket, role, prompt ids (step only)

GroupKey KeyOf(const TrainingTurn& turn, proto::GroupBy compare) {
  GroupKey key{turn.ticket, turn.role, {}};
  if (compare == proto::STEP) std::get<2>(key).assign(turn.prompt_ids.begin(), turn.prompt_ids.end());
  return key;
}

}  // namespace

Advantages GroupAdvantages(std::span<const TrainingTurn> turns, const proto::AdvantageConfig& config) {
  Advantages out;
  out.values.assign(turns.size(), 0);
  out.group.assign(turns.size(), Advantages::kLeftOut);

  std::map<GroupKey, size_t> numbers;
  std::vector<std::vector<size_t>> groups;  // members, in canonical order
  for (size_t i = 0; i < turns.size(); ++i) {
    if (turns[i].masked || turns[i].unmasked() == 0) continue;
    const auto [found, fresh] = numbers.emplace(KeyOf(turns[i], config.compare()), groups.size());
    if (fresh) groups.emplace_back();
    groups[found->second].push_back(i);
  }

  for (size_t g = 0; g < groups.size(); ++g) {
    const std::vector<size_t>& members = groups[g];
    // Equality is tested on the rewards themselves: a variance of equal numbers may come out as a rounding error.
    const float first = turns[members[0]].reward;
    if (std::all_of(members.begin(), members.end(), [&](size_t i) { return turns[i].reward == first; })) {
      ++out.groups_without_variance;
      continue;
    }
    double mean = 0, variance = 0;
    for (const size_t i : members) mean += turns[i].reward;
    mean /= static_cast<double>(members.size());
    for (const size_t i : members) variance += (turns[i].reward - mean) * (turns[i].reward - mean);
    variance /= static_cast<double>(members.size());
    const double scale = config.divide_by_std() ? 1 / (std::sqrt(variance) + kAdvantageEpsilon) : 1;
    for (const size_t i : members) {
      out.values[i] = static_cast<float>((turns[i].reward - mean) * scale);
      out.group[i] = static_cast<int64_t>(g);
    }
  }
  return out;
}

}  // namespace tandem
