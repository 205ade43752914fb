#include "rollout/plan/plan_reader.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace tandem {
namespace {

constexpr int kMaxNodes = 4;

bool IsStep(std::string_view s) {
  auto operand = [](char c) { return (c >= '0' && c <= '9') || IsNodeName(c); };
  return s.size() == 3 && operand(s[0]) && std::string_view("+-*").find(s[1]) != s.npos && operand(s[2]);
}

PlanReader Read(std::string_view text, bool finished = true) {
  PlanReader reader(kMaxNodes, IsStep);
  reader.Feed(text);
  reader.End(finished);
  return reader;
}

TEST(PlanReaderTest, ReadsNodesWithTheirInputs) {
  const PlanReader reader = Read("B=3+4;A=B*B;Z=A-B");
  EXPECT_FALSE(reader.faulty());
  const std::vector<Node> nodes = {{'B', "3+4", {}}, {'A', "B*B", {0}}, {'Z', "A-B", {0, 1}}};
  EXPECT_EQ(reader.plan().nodes, nodes);
}

// Details travel as text, and the reader sees bytes: one of a larger character must not be torn out of it.
TEST(PlanReaderTest, DetailsAreText) {
  EXPECT_EQ(Read("\u00e9=3+4").detail(), R"(character 1: expected a capital letter, found '\xc3')");
  EXPECT_EQ(Read("A\u00e9").detail(), R"(character 2: expected = after the name, found '\xc3')");
  EXPECT_EQ(Read("\n").detail(), R"(character 1: expected a capital letter, found '\n')");
  EXPECT_EQ(Read("A=3+\u00e9").detail(), "character 6: \"3+\u00e9\" is not a step");
}

TEST(PlanReaderTest, ANodeStandsAsSoonAsItsSemicolonDoes) {
  PlanReader reader(kMaxNodes, IsStep);
  reader.Feed("A=3+4");
  EXPECT_EQ(reader.plan().nodes.size(), 0u);
  reader.Feed(';');
  EXPECT_EQ(reader.plan().nodes.size(), 1u);
  reader.Feed("B=A*2");
  EXPECT_EQ(reader.plan().nodes.size(), 1u);
  reader.End(/*finished=*/true);
  EXPECT_EQ(reader.plan().nodes.size(), 2u);
}

TEST(PlanReaderTest, NamesEveryFault) {
  struct Case {
    const char* text;
    bool finished;
    PlanFault fault;
  };
  const Case cases[] = {
      {"A=3+4", true, PlanFault::kNone},
      {"A=3+4;", true, PlanFault::kSyntax},
      {"A", true, PlanFault::kSyntax},
      {"A=", true, PlanFault::kSyntax},
      {";", true, PlanFault::kSyntax},
      {"a=3+4", true, PlanFault::kSyntax},
      {"A:3+4", true, PlanFault::kSyntax},
      {"A=3+4B=A*2", true, PlanFault::kSyntax},
      {"A=3++", true, PlanFault::kSyntax},
      {"A=3+4;;B=A*2", true, PlanFault::kSyntax},
      {"A=3+4;B=C*2", true, PlanFault::kUnknownReference},
      {"A=3+4;B=C*2;D=1+2", true, PlanFault::kUnknownReference},
      {"A=3+4;B=C*2;C=1+2", true, PlanFault::kForwardReference},
      {"A=B+4;B=3+4", true, PlanFault::kForwardReference},
      {"A=A+4", true, PlanFault::kForwardReference},
      {"A=3+4;A=1+2", true, PlanFault::kDuplicate},
      {"A=1+1;B=1+1;C=1+1;D=1+1", true, PlanFault::kNone},
      {"A=1+1;B=1+1;C=1+1;D=1+1;E=1+1", true, PlanFault::kTooManyNodes},
      {"A=1+1;B=1+1;C=1+1;D=1+1;A=1+1", true, PlanFault::kTooManyNodes},
      {"", true, PlanFault::kUnfinished},
      {"", false, PlanFault::kUnfinished},
      {"A=3+4;B", false, PlanFault::kUnfinished},
      {"A=3+4", false, PlanFault::kUnfinished},
      // The first fault decides.
      {"A=3+4;A=1+2;b", false, PlanFault::kDuplicate},
      {"A=Z+4;A=1+2", true, PlanFault::kUnknownReference},
      {"A=Z+4;;Z=1+2", false, PlanFault::kForwardReference},
      {"A=Z+4;B=Z=3", true, PlanFault::kUnknownReference},  // "Z=" within a step defines nothing
  };
  for (const Case& c : cases) {
    const PlanReader reader = Read(c.text, c.finished);
    EXPECT_EQ(PlanFaultName(reader.fault()), PlanFaultName(c.fault)) << '"' << c.text << "\": " << reader.detail();
    EXPECT_EQ(reader.detail().empty(), c.fault == PlanFault::kNone);
  }
}

TEST(PlanReaderTest, FillsReferencesWithValues) {
  const PlanReader reader = Read("A=3+4;B=A*2;C=A-B");
  const std::string seven = "7", four = "4";
  const std::vector<const std::string*> results = {&seven, &four, nullptr};
  EXPECT_EQ(FillStep(reader.plan(), 0, results), "3+4");
  EXPECT_EQ(FillStep(reader.plan(), 1, results), "7*2");
  EXPECT_EQ(FillStep(reader.plan(), 2, results), "7-4");
}

// A reader written another way round: the whole text at once, node by node.
PlanFault ReadAtOnce(const std::string& text, bool finished) {
  if (text.empty()) return PlanFault::kUnfinished;
  std::string names, all_names;
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    if ((i == 0 || text[i - 1] == ';') && text[i + 1] == '=') all_names += text[i];
  }
  for (size_t begin = 0, count = 0;; ++count) {
    const size_t end = text.find(';', begin);
    const bool last = end == std::string::npos;
    const std::string node = text.substr(begin, last ? end : end - begin);
    const bool open = last && !finished;  // what is missing at the end might have come
    if (node.empty()) return open ? PlanFault::kUnfinished : PlanFault::kSyntax;
    if (!IsNodeName(node[0])) return PlanFault::kSyntax;
    if (count == kMaxNodes) return PlanFault::kTooManyNodes;
    if (names.find(node[0]) != std::string::npos) return PlanFault::kDuplicate;
    if (node.size() == 1) return open ? PlanFault::kUnfinished : PlanFault::kSyntax;
    if (node[1] != '=') return PlanFault::kSyntax;
    if (open) return PlanFault::kUnfinished;
    if (!IsStep(node.substr(2))) return PlanFault::kSyntax;
    for (char c : node.substr(2)) {
      if (!IsNodeName(c) || names.find(c) != std::string::npos) continue;
      const bool later = c == node[0] || all_names.find(c, names.size() + 1) != std::string::npos;
      return later ? PlanFault::kForwardReference : PlanFault::kUnknownReference;
    }
    names += node[0];
    if (last) return PlanFault::kNone;
    begin = end + 1;
  }
}

TEST(PlanReaderTest, AnyTextInAnyPiecesComesToTheSame) {
  const uint64_t seed = 5;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  RandomStream random(seed);
  const std::string alphabet = "ABCDE=;+-*0123z";
  const std::string good[] = {"A=3+4;B=A*2;C=B-1", "A=1+1", "D=1*2;C=D+D;B=C-D;A=B*B", "A=1+1;B=A*2;C=1+2;D=1*1;E=D+3"};
  std::map<PlanFault, int> seen;
  for (int i = 0; i < 50000; ++i) {
    std::string text;
    if (random.Below(4) == 0) {
      for (uint64_t n = random.Below(12); n-- > 0;) text += alphabet[random.Below(alphabet.size())];
    } else {
      text = good[random.Below(4)];
      for (uint64_t n = random.Below(3); n-- > 0 && !text.empty();) {
        const size_t at = random.Below(text.size());
        const char c = alphabet[random.Below(alphabet.size())];
        if (const uint64_t kind = random.Below(3); kind == 0)
          text[at] = c;
        else if (kind == 1)
          text.insert(at, 1, c);
        else
          text.erase(at, 1);
      }
    }
    const bool finished = random.Below(5) != 0;
    const PlanReader whole = Read(text, finished);
    ASSERT_EQ(PlanFaultName(whole.fault()), PlanFaultName(ReadAtOnce(text, finished)))
        << '"' << text << "\" " << finished;
    PlanReader pieces(kMaxNodes, IsStep);
    for (size_t at = 0; at < text.size();) {
      const size_t size = std::min<size_t>(text.size() - at, 1 + random.Below(6));
      pieces.Feed(std::string_view(text).substr(at, size));
      at += size;
    }
    pieces.End(finished);
    ASSERT_EQ(pieces.fault(), whole.fault()) << text;
    ASSERT_EQ(pieces.detail(), whole.detail()) << text;
    ASSERT_EQ(pieces.plan(), whole.plan()) << text;
    ++seen[whole.fault()];
  }
  EXPECT_EQ(seen.size(), 7u) << "every fault, and none, has to come up";
}

}  // namespace
}  // namespace tandem
