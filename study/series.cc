#include "study/series.h"

#include <algorithm>

namespace tandem {
namespace {

double BinValue(std::span<const Json> records, const Field& field) {
  double sum = 0, known = 0, largest = Number(records.front(), field.name);
  for (const Json& record : records) {
    const double value = Number(record, field.name);
    if (!std::isfinite(value) && field.bin == Bin::kMeanOfKnown) continue;
    if (!std::isfinite(value)) return value;
    sum += value;
    known += 1;
    largest = std::max(largest, value);
  }
  switch (field.bin) {
    case Bin::kMean:
    case Bin::kMeanOfKnown:
      return sum / known;  // of no known ones NaN
    case Bin::kSum:
      return sum;
    case Bin::kMax:
      return largest;
    case Bin::kLast:
      return Number(records.back(), field.name);
  }
  return 0;
}

}  // namespace

Json Columns(const std::vector<Json>& records, std::span<const Field> fields, size_t points) {
  const size_t per_point = std::max<size_t>(1, (records.size() + points - 1) / points);
  Json columns = {{"per_point", per_point}};
  for (const Field& field : fields) {
    const bool known =
        std::any_of(records.begin(), records.end(), [&](const Json& record) { return record.contains(field.name); });
    if (!known) continue;
    Json column = Json::array();
    for (size_t begin = 0; begin < records.size(); begin += per_point) {
      const size_t count = std::min(per_point, records.size() - begin);
      column.push_back(Rounded(BinValue(std::span(records).subspan(begin, count), field)));
    }
    columns[field.name] = std::move(column);
  }
  return columns;
}

}  // namespace tandem
