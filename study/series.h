// Curves short enough to draw: records binned along their order, field by field.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "study/json.h"

namespace tandem {

// How the records of a bin become one value.
enum class Bin { kMean, kMeanOfKnown, kSum, kMax, kLast };
struct Field {
  const char* name;
  Bin bin;
};

// {"per_point": records in a bin, "<field>": [one value a bin], ...}: at most `points` bins of equally many records
// (the last may have fewer). A field that no record has is left out; where only some have it, it counts as 0 (protobuf
// leaves zeroes out). Values that are not finite become null, also within a bin, so that a diverged step stays visible;
// not so with kMeanOfKnown, for what not every step can know.
Json Columns(const std::vector<Json>& records, std::span<const Field> fields, size_t points);

}  // namespace tandem
