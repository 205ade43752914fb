#include "launch/numbers.h"

#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"

namespace tandem {

std::string Thousands(double value) {
  const std::string digits = absl::StrCat(std::llround(std::abs(value)));
  std::string grouped = value <= -0.5 ? "-" : "";
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) grouped += ',';
    grouped += digits[i];
  }
  return grouped;
}

std::string Duration(double seconds) {
  if (seconds < 59.95) return Fixed(seconds, 1) + " s";
  const int64_t whole = std::llround(seconds);
  if (whole < 3600) return absl::StrCat(whole / 60, " min ", whole % 60, " s");
  return absl::StrCat(whole / 3600, " h ", whole % 3600 / 60, " min");
}

std::string Fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

}  // namespace tandem
