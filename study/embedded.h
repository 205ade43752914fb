// The files that are built into the binary (cmake/Embed.cmake).
#pragma once

#include <string_view>

namespace tandem::embedded {

extern const std::string_view chart_js;  // Chart.js 3.9.1, minified, with its licence comment
extern const std::string_view page_html, page_css;
extern const std::string_view dom_js, figure_js, episode_js, page_js;  // in the order in which the page runs them

}  // namespace tandem::embedded
