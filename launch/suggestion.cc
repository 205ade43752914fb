#include "launch/suggestion.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tandem {
namespace {

constexpr size_t kSlip = 2;     // a letter left out, added, or swapped with its neighbour
constexpr size_t kReplace = 3;  // a letter replaced: a slip is the likelier explanation

// Optimal string alignment: Levenshtein's distance, with swaps of neighbours.
size_t EditCost(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i * kSlip;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j * kSlip;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      d[i][j] =
          std::min({d[i - 1][j] + kSlip, d[i][j - 1] + kSlip, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : kReplace)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + kSlip);
      }
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::string NearestWord(std::string_view word, const std::vector<std::string>& candidates) {
  std::string nearest;
  size_t below = kReplace * std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t cost = EditCost(word, candidate);
    if (cost >= below) continue;
    nearest = candidate;
    below = cost;
  }
  return nearest;
}

std::string Suggestion(std::string_view word, const std::vector<std::string>& candidates) {
  if (candidates.empty()) return "";
  const std::string nearest = NearestWord(word, candidates);
  if (!nearest.empty()) return absl::StrCat("; did you mean ", nearest, "?");
  return absl::StrCat("; expected ", candidates.size() > 1 ? "one of " : "", absl::StrJoin(candidates, ", "));
}

}  // namespace tandem
