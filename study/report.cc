#include "study/report.h"

#include <map>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "study/embedded.h"
#include "study/report_data.h"
#include "study/run_records.h"

namespace tandem {
namespace {

// Text as HTML: of the title, the only place where data stands outside of the JSON.
std::string EscapeHtml(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

// JSON that can stand in a <script>: no "<" can end it or open a comment in it. Bytes that are not UTF-8 are replaced.
std::string JsonForScript(const Json& data) {
  std::string escaped;
  for (const char c : data.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace)) {
    if (c == '<') {
      escaped += "\\u003c";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

// Replaces each {{name}} once. What was filled in is not looked at again: data may contain {{name}} too.
std::string Fill(std::string_view page, const std::map<std::string_view, std::string>& values) {
  std::string filled;
  for (size_t at = 0; at < page.size();) {
    const size_t open = page.find("{{", at);
    if (open == std::string_view::npos) return filled.append(page.substr(at));
    const size_t close = page.find("}}", open);
    TANDEM_CHECK(close != std::string_view::npos);
    const auto found = values.find(page.substr(open + 2, close - open - 2));
    TANDEM_CHECK(found != values.end());
    filled.append(page.substr(at, open - at)).append(found->second);
    at = close + 2;
  }
  return filled;
}

}  // namespace

absl::Status WriteReport(const std::string& run_folder) {
  TANDEM_ASSIGN_OR_RETURN(const RunRecords records, ReadRunRecords(run_folder));
  const std::string page = Fill(embedded::page_html, {{"title", EscapeHtml(records.name)},
                                                      {"css", std::string(embedded::page_css)},
                                                      {"data", JsonForScript(ReportData(records))},
                                                      {"chart_js", std::string(embedded::chart_js)},
                                                      {"dom_js", std::string(embedded::dom_js)},
                                                      {"figure_js", std::string(embedded::figure_js)},
                                                      {"episode_js", std::string(embedded::episode_js)},
                                                      {"run_js", std::string(embedded::run_js)},
                                                      {"sections_js", std::string(embedded::sections_js)},
                                                      {"page_js", std::string(embedded::page_js)}});
  return WriteFileAtomically(absl::StrCat(run_folder, "/report.html"), page);
}

}  // namespace tandem
