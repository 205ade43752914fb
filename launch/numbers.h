// Numbers as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace tandem {

std::string Thousands(double value);   // 12345.6 -> "12,346"
std::string Duration(double seconds);  // 7.26 -> "7.3 s", 75 -> "1 min 15 s", 7300 -> "2 h 2 min"
std::string Fixed(double value, int digits);

}  // namespace tandem
