// What a person probably meant by a word that is not known.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tandem {

// The candidate nearest to `word` by letters left out, added, swapped with their neighbour or replaced; "" when none is
// near: more than a third of the word, and more than one letter, would have to change.
std::string NearestWord(std::string_view word, const std::vector<std::string>& candidates);

// "; did you mean bound?", or "; expected one of a, b, c" when nothing is near. Empty without candidates.
std::string Suggestion(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace tandem
