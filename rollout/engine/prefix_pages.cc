#include "rollout/engine/prefix_pages.h"

#include <algorithm>

#include "base/status.h"

namespace tandem {
namespace {

// Pages with content are kept beyond those in use as many as were ever in use, and so many at least: more would take
// memory that is never touched again.
constexpr int64_t kFewestKept = 64;

}  // namespace

PrefixPages::PrefixPages(int64_t pages) : pages_(static_cast<size_t>(pages)) {}

int32_t PrefixPages::Take() {
  int32_t page = -1;
  const bool untouched = fresh_ < static_cast<int32_t>(pages_.size());
  if (!free_.empty()) {
    page = free_.back();
    free_.pop_back();
  } else if (untouched && (oldest_ < 0 || waiting_ < std::max(most_held_, kFewestKept))) {
    page = fresh_++;
  } else if (oldest_ >= 0) {
    page = oldest_;
    LeaveList(page);
    Forget(pages_[static_cast<size_t>(page)]);
  } else {
    return -1;
  }
  pages_[static_cast<size_t>(page)].holders = 1;
  most_held_ = std::max(most_held_, ++held_);
  return page;
}

void PrefixPages::Hold(int32_t page) {
  if (pages_[static_cast<size_t>(page)].holders++ > 0) return;
  LeaveList(page);
  most_held_ = std::max(most_held_, ++held_);
}

void PrefixPages::Release(int32_t number) {
  Page& page = pages_[static_cast<size_t>(number)];
  TANDEM_CHECK(page.holders > 0);
  if (--page.holders > 0) return;
  --held_;
  if (page.contents.empty()) return free_.push_back(number);
  page.older = newest_;
  page.newer = -1;
  (newest_ >= 0 ? pages_[static_cast<size_t>(newest_)].newer : oldest_) = number;
  newest_ = number;
  ++waiting_;
}

std::optional<PrefixPages::Found> PrefixPages::Find(const PageContent& content) const {
  const auto found = by_content_.find(content);
  if (found == by_content_.end()) return std::nullopt;
  return found->second;
}

uint64_t PrefixPages::Name(int32_t page, PageContent content) {
  const auto [entry, added] = by_content_.try_emplace(content, Found{page, next_name_});
  if (added) {
    ++next_name_;
    pages_[static_cast<size_t>(page)].contents.push_back(std::move(content));
  }
  return entry->second.name;
}

void PrefixPages::Forget(Page& page) {
  for (const PageContent& content : page.contents) by_content_.erase(content);
  page.contents.clear();
}

void PrefixPages::LeaveList(int32_t number) {
  Page& page = pages_[static_cast<size_t>(number)];
  (page.older >= 0 ? pages_[static_cast<size_t>(page.older)].newer : oldest_) = page.newer;
  (page.newer >= 0 ? pages_[static_cast<size_t>(page.newer)].older : newest_) = page.older;
  page.older = page.newer = -1;
  --waiting_;
}

}  // namespace tandem
