#include "policy/chat/jinja_outline.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(JinjaOutlineTest, LeavesOutWhatDoesNotMatter) {
  EXPECT_EQ(*JinjaOutline("{%- if x['role'] == 'user' %}\n    {{- 'a' + '\\n' }}\n{%- endif %}\n"),
            R"({%ifx.role=="user"%}{{"a\n"}}{%endif%})");
  EXPECT_EQ(*JinjaOutline("{%if x.role==\"user\"%}{# words: it's #}{{'a\n'}}{%endif%}"),
            R"({%ifx.role=="user"%}{{"a\n"}}{%endif%})");
  EXPECT_EQ(*JinjaOutline(R"({{ "say \"}}\"" + x['y z'] + m[0]['k'] }})"), R"({{"say \"}}\""+x["y z"]+m[0].k}})");
  EXPECT_EQ(*JinjaOutline("{{ a + 'b' + 'c' | trim }}"), R"({{a+"b"+"c"|trim}})");  // the filter is c's only
}

TEST(JinjaOutlineTest, TextThatIsOutputShows) {
  EXPECT_EQ(*JinjaOutline("{{ a }}\n{{ b }}"), "{{a}}[\n]{{b}}");
  EXPECT_EQ(*JinjaOutline("{{ a }}\n{{- b }}"), "{{a}}{{b}}");
  EXPECT_EQ(*JinjaOutline("{{ a -}}\n {{ b }}"), "{{a}}{{b}}");
  EXPECT_EQ(*JinjaOutline("{% if a %}\n{{ b }}"), "{%ifa%}{{b}}");         // trim_blocks
  EXPECT_EQ(*JinjaOutline("{% if a %}\n  {{ b }}"), "{%ifa%}[  ]{{b}}");   // these two spaces stay
  EXPECT_EQ(*JinjaOutline("{% if a %}\n  {% if b %}"), "{%ifa%}{%ifb%}");  // lstrip_blocks
  EXPECT_EQ(*JinjaOutline("  {% if a %}x  {% endif %}"), "{%ifa%}[x  ]{%endif%}");
  EXPECT_EQ(*JinjaOutline("{{ a }}  {% if b %}"), "{{a}}[  ]{%ifb%}");
  EXPECT_EQ(*JinjaOutline("hello\n"), "[hello]");
  EXPECT_EQ(*JinjaOutline(""), "");
}

TEST(JinjaOutlineTest, ATagThatDoesNotEnd) {
  for (const char* text : {"{{ a", "{% if a %", "{# a", "{{ 'a }}", "{", "{{", "a {{ b }"}) {
    const auto outline = JinjaOutline(text);
    if (std::string_view(text) == "{") {
      EXPECT_EQ(*outline, "[{]");
    } else {
      EXPECT_FALSE(outline.ok()) << text;
    }
  }
}

TEST(JinjaOutlineTest, StringsOfAnOutline) {
  const std::string outline = R"(x"a\"\n\\"y)";
  size_t at = 1;
  EXPECT_EQ(OutlinedString(outline, at), "a\"\n\\");
  EXPECT_EQ(outline.substr(at), "y");
}

}  // namespace
}  // namespace tandem
