# Files that the binary carries, so that a report needs nothing but itself: the page's own parts (study/report/) and
# Chart.js from Debian's libjs-chart.js. Each becomes a std::string_view of study/embedded.h, read by the assembler
# (.incbin), which costs no compile time however large it is.
if(NOT TARGET tandem_study)
  return()
endif()
get_target_property(type tandem_study TYPE)
if(NOT type STREQUAL "STATIC_LIBRARY")
  return()
endif()

find_file(TANDEM_CHART_JS chart.min.js PATHS /usr/share/javascript/chart.js NO_DEFAULT_PATH
  DOC "chart.min.js of Chart.js 3.9 (Debian: libjs-chart.js)")
if(NOT TANDEM_CHART_JS)
  message(FATAL_ERROR "Chart.js not found at /usr/share/javascript/chart.js/chart.min.js: install libjs-chart.js, "
                      "or pass -DTANDEM_CHART_JS=/path/to/chart.min.js (version 3.9).")
endif()

# tandem_embed(TARGET name=file ...): defines `const std::string_view tandem::embedded::name` in TARGET.
function(tandem_embed target)
  set(source "${CMAKE_BINARY_DIR}/${target}_embedded.cc")
  set(code "// Written by cmake/Embed.cmake.\n#include <string_view>\n")
  set(files "")
  foreach(pair ${ARGN})
    string(REGEX MATCH "^([a-z_]+)=(.+)$" matched "${pair}")
    set(name "${CMAKE_MATCH_1}")
    set(file "${CMAKE_MATCH_2}")
    set(symbol "${target}_embedded_${name}")
    list(APPEND files "${file}")
    string(APPEND code "
__asm__(\".section .rodata\\n.global ${symbol}\\n.global ${symbol}_end\\n${symbol}:\\n\"
        \".incbin \\\"${file}\\\"\\n${symbol}_end:\\n.byte 0\\n.previous\\n\");
extern \"C\" const char ${symbol}[], ${symbol}_end[];
namespace tandem::embedded {
extern const std::string_view ${name};
const std::string_view ${name}(${symbol}, static_cast<size_t>(${symbol}_end - ${symbol}));
}  // namespace tandem::embedded
")
  endforeach()
  file(CONFIGURE OUTPUT "${source}" CONTENT "${code}" @ONLY)
  # The compiler does not see what the assembler reads: the build has to be told.
  set_source_files_properties("${source}" PROPERTIES OBJECT_DEPENDS "${files}")
  target_sources(${target} PRIVATE "${source}")
endfunction()

set(page "${CMAKE_SOURCE_DIR}/study/report")
tandem_embed(tandem_study
  chart_js=${TANDEM_CHART_JS}
  page_html=${page}/page.html
  page_css=${page}/page.css
  dom_js=${page}/dom.js
  figure_js=${page}/figure.js
  episode_js=${page}/episode.js
  run_js=${page}/run.js
  sections_js=${page}/sections.js
  page_js=${page}/page.js)
