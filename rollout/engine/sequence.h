// A turn in an engine: its request, what has come of it, and how much of it is in the cache.
#pragma once

#include <climits>
#include <cstdint>
#include <functional>
#include <vector>

#include "rollout/engine/decoder.h"
#include "rollout/engine/prefix_pages.h"
#include "rollout/engine/request.h"

namespace tandem {

class Sequence {
 public:
  Sequence() = default;
  Sequence(GenerateRequest request, int64_t context);

  GenerateRequest request;
  GenerateResult result;
  int32_t room = 0;  // most tokens of output

  int32_t prompt_size() const { return static_cast<int32_t>(request.prompt.size()); }
  int32_t known() const { return prompt_size() + static_cast<int32_t>(result.output.size()); }
  int32_t Token(int32_t position) const {
    return position < prompt_size() ? request.prompt[position] : result.output[position - prompt_size()];
  }

  int32_t read() const { return read_; }                        // tokens in the cache
  int32_t unread() const { return known() - read_; }            // one: the next row gives a token
  const std::vector<int32_t>& pages() const { return pages_; }  // of the cache, which it holds
  // Rows from `read` on that the pages it holds have room for.
  int32_t page_room() const { return static_cast<int32_t>(pages_.size()) * kCachePage - read_; }

  // Who reads in row `read`; a turn that names nobody takes `newest`.
  VersionId Reader(VersionId newest);
  // Whether the request says who reads in the cache that is being filled. (A turn that was cancelled right after its
  // cache was dropped says so only of the one before.)
  bool names_readers() const { return !readers().empty(); }
  // Whether the request says that the cache is to be dropped now.
  bool restart_is_due() const;
  // The first row that another than Reader() reads in; INT_MAX: there is none.
  int32_t reader_end() const { return reader_end_; }

  // Goes on with pages of others as far as they hold what this turn would read in itself, but for its last token: whole
  // pages are held, and of the last one a copy is taken. Calls copy(from, to).
  void TakePrefix(PrefixPages& pages, VersionId newest, const std::function<void(int32_t, int32_t)>& copy);
  // Room for one more page; false: there is none.
  bool TakePage(PrefixPages& pages);
  // `rows` more tokens are in the cache, read in by `version`; pages that became full, and the one that the prompt ends
  // in, can be found by others from now on.
  void Advance(int32_t rows, VersionId version, PrefixPages& pages);
  // Nothing is in the cache any more. The runs of what was go to result.restarts where a token came of them.
  void Restart(PrefixPages& pages);
  void ReleasePages(PrefixPages& pages);

 private:
  // What the next `rows` rows of the page in work will hold when this turn reads them in itself.
  PageContent Expected(int32_t rows, VersionId newest) const;
  void NameRows(int32_t rows, PrefixPages& pages);
  void StartReaders();
  // Those of the cache that is being filled.
  const Readers& readers() const {
    return restarts_done_ < request.restarts.size() ? request.restarts[restarts_done_].cache_runs : request.readers;
  }

  int32_t read_ = 0;
  std::vector<int32_t> pages_;
  uint64_t chain_ = 0;        // the name of the last full page
  VersionRuns page_runs_;     // of the rows of the page in work
  size_t restarts_done_ = 0;  // of request.restarts
  size_t reader_ = 0;         // of readers(): who reads in row read_
  int32_t reader_end_ = INT_MAX;
};

}  // namespace tandem
