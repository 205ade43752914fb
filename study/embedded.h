// The files that are built into the binary (cmake/Embed.cmake).
#pragma once

#include <string_view>

namespace tandem::embedded {

extern const std::string_view chart_js;  // Chart.js 3.9.1, minified, with its licence comment
extern const std::string_view page_html, page_css;
// In the order in which the page runs them.
extern const std::string_view dom_js, figure_js, episode_js, run_js, sections_js, page_js;

}  // namespace tandem::embedded
