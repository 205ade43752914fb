// The pages of a key-value cache: who holds them, and what they hold, so that sequences that begin alike share them.
// The pages themselves are the decoder's; here they are numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "rollout/engine/version.h"

namespace tandem {

// What stands in the first rows of a page. Pages with equal content hold the same bits, since all that a row depends on
// is in it: the tokens before (by the name of the page in front), its own, and the versions that read them in.
struct PageContent {
  uint64_t before = 0;          // the name of the page in front; 0: this is the first one
  std::vector<int32_t> tokens;  // of the rows
  VersionRuns runs;             // of the rows
  bool operator==(const PageContent&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const PageContent& c) {
    return H::combine(std::move(h), c.before, c.tokens, c.runs);
  }
};

// A page is held by every sequence that reads it. One that nobody holds keeps what it has for those who come later,
// until it is taken for something else, the one first that has not been held for the longest time. Not thread-safe.
class PrefixPages {
 public:
  explicit PrefixPages(int64_t pages);

  int64_t size() const { return static_cast<int64_t>(pages_.size()); }
  int64_t held() const { return held_; }
  int64_t available() const { return size() - held_; }  // to Take

  // A page without content, held once; -1: all are held.
  int32_t Take();
  void Hold(int32_t page);
  void Release(int32_t page);

  struct Found {
    int32_t page;
    uint64_t name;
  };
  // A page whose first rows have that content.
  std::optional<Found> Find(const PageContent& content) const;

  // The page's first rows have that content now, and keep it as long as the page is not taken anew. Returns the name of
  // the content: that of another page, if one has it already.
  uint64_t Name(int32_t page, PageContent content);

 private:
  struct Page {
    int32_t holders = 0;
    int32_t older = -1, newer = -1;     // neighbours in the list of those that wait
    std::vector<PageContent> contents;  // under which it can be found
  };
  void Forget(Page& page);
  void LeaveList(int32_t page);

  std::vector<Page> pages_;
  absl::flat_hash_map<PageContent, Found> by_content_;
  uint64_t next_name_ = 1;
  int32_t fresh_ = 0;  // the first page that was never taken
  std::vector<int32_t>
      free_;  // without content: the one used last is taken first, it is still in the processor's caches
  int32_t oldest_ = -1, newest_ = -1;  // of the list: pages with content that nobody holds
  int64_t waiting_ = 0;                // in the list
  int64_t held_ = 0, most_held_ = 0;
};

}  // namespace tandem
