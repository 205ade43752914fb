#include "policy/tokenizer/regex_dialect.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem {
namespace {

constexpr auto kCategories = std::to_array<std::string_view>(
    {"C",  "Cc", "Cf", "Cn", "Co", "Cs", "L",  "Ll", "Lm", "Lo", "Lt", "Lu", "M",  "Mc", "Me", "Mn", "N",  "Nd", "Nl",
     "No", "P",  "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S",  "Sc", "Sk", "Sm", "So", "Z",  "Zl", "Zp", "Zs"});

// \s is Unicode's White_Space; PCRE2's has U+180E besides.
constexpr std::string_view kSpaces = "\\t-\\r\\x{85}\\p{Z}";

class Translation {
 public:
  explicit Translation(std::string_view pattern) : pattern_(pattern) {}

  absl::StatusOr<std::string> Run() {
    while (at_ < pattern_.size()) TANDEM_RETURN_IF_ERROR(Item());
    if (!groups_.empty()) return Unsupported("a ( without )");
    return std::move(out_);
  }

 private:
  absl::Status Unsupported(std::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("column ", at_ + 1, ": ", std::string(what), " is not supported"));
  }
  bool Next(std::string_view text) {
    if (!pattern_.substr(at_).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }
  bool ignoring_case() const { return !groups_.empty() && groups_.back(); }

  absl::Status Item() {
    const char c = pattern_[at_];
    switch (c) {
      case '\\':
        return Escape(/*in_class=*/false);
      case '[':
        return Class();
      case '(':
        return Open();
      case ')':
        if (groups_.empty()) return Unsupported("a ) without (");
        groups_.pop_back();
        break;
      case '{':
        return Interval();
      case '^':
      case '$':
      case ']':
      case '}':
        return Unsupported(absl::StrCat("'", std::string(1, c), "'"));
      case '*':
      case '+':
      case '?':
        out_ += c;
        ++at_;
        if (at_ < pattern_.size() && (pattern_[at_] == '?' || pattern_[at_] == '+')) out_ += pattern_[at_++];
        if (at_ < pattern_.size() && std::string_view("*+?{").find(pattern_[at_]) != std::string_view::npos) {
          return Unsupported("a quantifier of a quantifier");
        }
        return absl::OkStatus();
      default:
        if (ignoring_case()) TANDEM_RETURN_IF_ERROR(CheckCaseless());
    }
    out_ += c;
    ++at_;
    return absl::OkStatus();
  }

  // Oniguruma also folds several characters to one ("ss" matches U+00DF), and accents; PCRE2 does not.
  absl::Status CheckCaseless() const {
    const std::string_view rest = pattern_.substr(at_);
    if (static_cast<unsigned char>(rest[0]) >= 0x80) return Unsupported("a letter beyond ASCII within (?i:");
    for (const char* pair : {"ss", "ff", "fi", "fl", "st"}) {
      if (absl::AsciiStrToLower(std::string(rest.substr(0, 2))) == pair)
        return Unsupported(absl::StrCat("'", pair, "' within (?i:"));
    }
    return absl::OkStatus();
  }

  absl::Status Open() {
    for (const std::string_view opening : {"(?:", "(?>", "(?=", "(?!", "(?<=", "(?<!", "(?i:"}) {
      if (!Next(opening)) continue;
      groups_.push_back(ignoring_case() || opening == "(?i:");
      out_ += opening;
      return absl::OkStatus();
    }
    if (!Next("(")) return Unsupported("this");
    if (at_ < pattern_.size() && (pattern_[at_] == '?' || pattern_[at_] == '*')) {
      --at_;
      return Unsupported(absl::StrCat("'", std::string(pattern_.substr(at_, 4)), "'"));
    }
    groups_.push_back(ignoring_case());
    out_ += "(?:";  // nothing asks what a group matched
    return absl::OkStatus();
  }

  // {n}, {n,} or {n,m}, without a suffix: Oniguruma and PCRE2 read {n}? and {n}+ differently.
  absl::Status Interval() {
    const size_t end = pattern_.find('}', at_);
    const std::string_view interval = pattern_.substr(at_, end == std::string_view::npos ? end : end - at_ + 1);
    const std::string_view inner = interval.size() > 2 ? interval.substr(1, interval.size() - 2) : "";
    const size_t comma = std::min(inner.find(','), inner.size());
    const auto digits = [](std::string_view text) {
      return std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
    };
    if (end == std::string_view::npos || comma == 0 || !digits(inner.substr(0, comma)) ||
        !digits(inner.substr(std::min(comma + 1, inner.size())))) {
      return Unsupported("this {");
    }
    out_ += interval;
    at_ += interval.size();
    if (at_ < pattern_.size() && std::string_view("*+?{").find(pattern_[at_]) != std::string_view::npos) {
      return Unsupported("a quantifier of a quantifier");
    }
    return absl::OkStatus();
  }

  absl::Status Class() {
    Next("[");
    out_ += Next("^") ? "[^" : "[";
    bool empty = true;
    for (; at_ < pattern_.size() && (empty || pattern_[at_] != ']'); empty = false) {
      const char c = pattern_[at_];
      if (c == '[' || c == ']' || pattern_.substr(at_).starts_with("&&")) {
        return Unsupported(absl::StrCat("'", std::string(1, c), "' within a class"));
      }
      if (c == '\\') {
        TANDEM_RETURN_IF_ERROR(Escape(/*in_class=*/true));
        continue;
      }
      if (ignoring_case() && static_cast<unsigned char>(c) >= 0x80) return CheckCaseless();
      out_ += c;
      ++at_;
    }
    if (!Next("]")) return Unsupported("a [ without ]");
    out_ += ']';
    return absl::OkStatus();
  }

  absl::Status Escape(bool in_class) {
    const char c = at_ + 1 < pattern_.size() ? pattern_[at_ + 1] : '\0';
    const auto plain = [&](std::string_view translated) {
      out_ += translated;
      at_ += 2;
      return absl::OkStatus();
    };
    switch (c) {
      case 'p':
      case 'P':
        return Property(in_class);
      case 's':
        return plain(in_class ? std::string(kSpaces) : absl::StrCat("[", std::string(kSpaces), "]"));
      case 'S':
        if (!in_class) return plain(absl::StrCat("[^", std::string(kSpaces), "]"));
        break;
      case 'd':
        return plain("\\p{Nd}");
      case 'D':
        return plain("\\P{Nd}");
      case 'n':
      case 'r':
      case 't':
      case 'f':
        return plain(pattern_.substr(at_, 2));
      case 'v':
        return plain("\\x{0B}");  // in PCRE2 \v is any vertical space
      case 'u':
        return CodePoint();
      default:
        if (absl::ascii_ispunct(c)) return plain(pattern_.substr(at_, 2));
    }
    return Unsupported(absl::StrCat("'\\", std::string(1, c), "'"));
  }

  // \uHHHH
  absl::Status CodePoint() {
    const std::string_view hex = pattern_.substr(std::min(at_ + 2, pattern_.size()), 4);
    if (hex.size() != 4 || !std::all_of(hex.begin(), hex.end(), absl::ascii_isxdigit) || ignoring_case()) {
      return Unsupported("this \\u");
    }
    absl::StrAppend(&out_, "\\x{", std::string(hex), "}");
    at_ += 6;
    return absl::OkStatus();
  }

  absl::Status Property(bool in_class) {
    const std::string_view rest = pattern_.substr(at_ + 2);
    const size_t end = rest.find('}');
    const std::string_view name = rest.starts_with('{') && end != std::string_view::npos ? rest.substr(1, end - 1) : "";
    if (std::find(kCategories.begin(), kCategories.end(), name) == kCategories.end()) {
      return Unsupported(absl::StrCat("the property '", std::string(pattern_.substr(at_, 12)), "'"));
    }
    if (ignoring_case()) return Unsupported("a property within (?i:");
    const bool negated = pattern_[at_ + 1] == 'P';
    // PCRE2 finds ASCII letters and digits of a class in a table of bits, and only then looks properties up.
    if (in_class && !negated && name == "L") out_ += "A-Za-z";
    if (in_class && !negated && name == "N") out_ += "0-9";
    absl::StrAppend(&out_, negated ? "\\P{" : "\\p{", std::string(name), "}");
    at_ += 2 + name.size() + 2;
    return absl::OkStatus();
  }

  const std::string_view pattern_;
  size_t at_ = 0;
  std::string out_;
  std::vector<bool> groups_;  // the open ones: whether case is ignored within
};

}  // namespace

absl::StatusOr<std::string> OnigurumaToPcre2(std::string_view pattern) { return Translation(pattern).Run(); }

}  // namespace tandem
