#include "rollout/engine/sequence.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace tandem {

Sequence::Sequence(GenerateRequest r, int64_t context) : request(std::move(r)) {
  room = static_cast<int32_t>(std::min<int64_t>(request.max_new_tokens, context - prompt_size()));
  StartReaders();
}

void Sequence::StartReaders() {
  reader_ = 0;
  reader_end_ = readers().size() > 1 ? static_cast<int32_t>(readers()[0].count) : INT_MAX;
}

bool Sequence::restart_is_due() const {
  return restarts_done_ < request.restarts.size() &&
         request.restarts[restarts_done_].output == static_cast<uint32_t>(result.output.size());
}

VersionId Sequence::Reader(VersionId newest) {
  if (!names_readers()) return newest;
  while (read_ >= reader_end_) {
    ++reader_;
    const bool last = reader_ + 1 == readers().size();
    reader_end_ = last ? INT_MAX : reader_end_ + static_cast<int32_t>(readers()[reader_].count);
  }
  return readers()[reader_].version;
}

PageContent Sequence::Expected(int32_t rows, VersionId newest) const {
  PageContent content{chain_, {}, {}};
  for (int32_t row = read_; row < read_ + rows; ++row) content.tokens.push_back(Token(row));
  if (!names_readers()) {
    content.runs = {{newest, static_cast<uint32_t>(rows)}};
    return content;
  }
  size_t reader = reader_;
  int32_t end = reader_end_;
  for (int32_t row = read_; row < read_ + rows; ++row) {
    while (row >= end) {
      ++reader;
      const bool last = reader + 1 == readers().size();
      end = last ? INT_MAX : end + static_cast<int32_t>(readers()[reader].count);
    }
    AddToRuns(content.runs, readers()[reader].version, 1);
  }
  return content;
}

void Sequence::TakePrefix(PrefixPages& pages, VersionId newest, const std::function<void(int32_t, int32_t)>& copy) {
  TANDEM_CHECK(read_ % kCachePage == 0);
  const auto take = [&](int32_t page, int32_t rows, const PageContent& content) {
    pages_.push_back(page);
    for (const VersionCount& run : content.runs) AddToRuns(result.cache_runs, run.version, run.count);
    read_ += rows;
    Reader(newest);
  };
  while (unread() > kCachePage) {
    const PageContent content = Expected(kCachePage, newest);
    const auto found = pages.Find(content);
    if (!found) return;
    pages.Hold(found->page);
    take(found->page, kCachePage, content);
    chain_ = found->name;
  }
  const int32_t rest = unread() - 1;
  if (rest == 0) return;
  const PageContent content = Expected(rest, newest);
  const auto found = pages.Find(content);
  if (!found) return;
  pages.Hold(found->page);  // so that it is not the one taken
  if (const int32_t page = pages.Take(); page >= 0) {
    copy(found->page, page);
    take(page, rest, content);
    page_runs_ = content.runs;
  }
  pages.Release(found->page);
}

bool Sequence::TakePage(PrefixPages& pages) {
  const int32_t page = pages.Take();
  if (page >= 0) pages_.push_back(page);
  return page >= 0;
}

void Sequence::Advance(int32_t rows, VersionId version, PrefixPages& pages) {
  const int32_t prompt_end = prompt_size() - 1;  // what a turn with this prompt finds of it
  while (rows > 0) {
    const int32_t in_page = read_ % kCachePage;
    int32_t step = std::min(rows, kCachePage - in_page);
    if (read_ < prompt_end) step = std::min(step, prompt_end - read_);
    read_ += step;
    rows -= step;
    AddToRuns(page_runs_, version, static_cast<uint32_t>(step));
    AddToRuns(result.cache_runs, version, static_cast<uint32_t>(step));
    if (in_page + step == kCachePage || read_ == prompt_end) NameRows(in_page + step, pages);
  }
}

void Sequence::NameRows(int32_t rows, PrefixPages& pages) {
  PageContent content{chain_, {}, page_runs_};
  for (int32_t row = read_ - rows; row < read_; ++row) content.tokens.push_back(Token(row));
  const uint64_t name = pages.Name(pages_[static_cast<size_t>((read_ - 1) / kCachePage)], std::move(content));
  if (rows < kCachePage) return;
  chain_ = name;
  page_runs_.clear();
}

void Sequence::Restart(PrefixPages& pages) {
  if (restart_is_due()) ++restarts_done_;
  ReleasePages(pages);
  const auto output = static_cast<uint32_t>(result.output.size());
  const bool wrote = output > (result.restarts.empty() ? 0 : result.restarts.back().output);
  if (wrote) result.restarts.push_back({output, result.cache_runs});
  result.cache_runs.clear();
  page_runs_.clear();
  chain_ = 0;
  read_ = 0;
  StartReaders();
}

void Sequence::ReleasePages(PrefixPages& pages) {
  // The last one first: when pages are taken anew, the ends of prefixes go before their beginnings.
  for (auto page = pages_.rbegin(); page != pages_.rend(); ++page) pages.Release(*page);
  pages_.clear();
}

}  // namespace tandem
