#include "launch/live_view.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "launch/numbers.h"

namespace tandem {
namespace {

constexpr double kDrawEvery = 0.2;    // seconds
constexpr uint32_t kPlainLines = 10;  // of a policy in a stage

int Width(FILE* out) {
  winsize size{};
  return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string Bar(uint32_t step, uint32_t steps, int width) {
  const int full = steps == 0 ? width : static_cast<int>(static_cast<uint64_t>(std::min(step, steps)) * width / steps);
  return absl::StrCat("[", std::string(full, '#'), std::string(width - full, '-'), "]");
}

struct Column {
  std::string head;
  std::vector<std::string> cells;
};

// The columns of the policies' table, most important first.
std::vector<Column> Columns(const Progress& progress) {
  const bool training = progress.stage() >= RunStage::kTraining;
  std::vector<Column> columns = {{"policy", {}}, {"", {}}, {"step", {}}};
  if (training) {
    for (const char* head : {"reward", "staleness", "trained/s", "version", "in flight", "buffered", "waits"}) {
      columns.push_back({head, {}});
    }
  } else {
    for (const char* head : {"loss", "trained/s", "waits"}) columns.push_back({head, {}});
  }
  for (const PolicyProgress& p : progress.policies()) {
    const uint32_t step = progress.StepOf(p), steps = progress.stage_steps();
    std::vector<std::string> cells = {p.name, Bar(step, steps, 16), absl::StrCat(step, "/", steps)};
    const std::string waits = Fixed(100 * p.wait_share, 0) + " %";
    if (training) {
      cells.insert(cells.end(),
                   {Fixed(p.reward(), 3),
                    absl::StrFormat("%.1f, %d of %d", p.staleness_mean, p.staleness_max, p.staleness_bound),
                    Thousands(p.tokens_per_s), absl::StrCat(p.version), absl::StrCat(p.in_flight),
                    absl::StrCat(p.buffered), waits});
    } else {
      cells.insert(cells.end(), {Fixed(p.loss, 3), Thousands(p.tokens_per_s), waits});
    }
    for (size_t i = 0; i < columns.size(); ++i) columns[i].cells.push_back(cells[i]);
  }
  return columns;
}

// A table of the columns that fit: names and bars to the left, numbers to the right.
std::vector<std::string> Table(const std::vector<Column>& columns, size_t rows, int width) {
  std::vector<std::string> lines(rows + 1);
  for (size_t i = 0; i < columns.size(); ++i) {
    const Column& column = columns[i];
    size_t widest = column.head.size();
    for (const std::string& cell : column.cells) widest = std::max(widest, cell.size());
    const std::string gap = i == 0 ? "" : "  ";
    if (static_cast<int>(lines[0].size() + gap.size() + widest) > width) break;
    for (size_t row = 0; row <= rows; ++row) {
      const std::string& cell = row == 0 ? column.head : column.cells[row - 1];
      const std::string pad(widest - cell.size(), ' ');
      absl::StrAppend(&lines[row], gap, i < 2 ? cell + pad : pad + cell);
    }
  }
  return lines;
}

std::string EvaluationText(const EvaluationResult& e) {
  return absl::StrFormat(
      "success %.3f over %s held-out episodes (plans valid %.3f, right %.3f; executor's steps right %.3f)", e.success,
      Thousands(e.episodes), e.plan_valid, e.plan_right, e.executor_step_accuracy);
}

}  // namespace

std::vector<std::string> RenderView(const Progress& progress, const std::string& title, double elapsed_s, int width) {
  const auto left = progress.seconds_left();
  std::vector<std::string> lines = {
      absl::StrCat(title, ": ", StageText(progress.stage()), ", ", Duration(elapsed_s),
                   left ? absl::StrCat(", about ", Duration(*left),
                                       progress.stage() == RunStage::kWarmStart ? " left of it" : " left")
                        : "")};
  const bool scripted = progress.stage() == RunStage::kWarmStart;  // scripts play
  if (progress.workers() > 0 && !scripted && progress.stage() != RunStage::kFinished) {
    lines.push_back(absl::StrCat("generating ", Thousands(progress.generated_per_s()), " tokens/s with ",
                                 progress.workers(), progress.workers() == 1 ? " worker" : " workers", " (waiting ",
                                 Fixed(100 * progress.rollout_wait_share(), 0), " % of the time)"));
  }
  if (const auto after = progress.evaluation("after_sft")) {
    lines.push_back(absl::StrCat("after the warm start: success ", Fixed(after->success, 3)));
  }
  const std::vector<std::string> table = Table(Columns(progress), progress.policies().size(), width);
  lines.insert(lines.end(), table.begin(), table.end());
  for (std::string& line : lines) {
    if (static_cast<int>(line.size()) > width) line.resize(static_cast<size_t>(std::max(width, 0)));
  }
  return lines;
}

std::vector<std::string> RenderSummary(const Progress& progress, double elapsed_s) {
  std::vector<std::string> lines;
  const auto before = progress.evaluation("after_sft"), after = progress.evaluation("final");
  if (before && after) {
    lines.push_back(absl::StrFormat("success    %.3f after the warm start -> %.3f at the end (%s held-out episodes)",
                                    before->success, after->success, Thousands(after->episodes)));
  } else if (before) {
    lines.push_back(absl::StrFormat("success    %.3f after the warm start", before->success));
  } else if (after) {
    lines.push_back(absl::StrFormat("success    %.3f at the end", after->success));
  }
  std::vector<std::string> parts;
  for (const PolicyProgress& p : progress.policies()) {
    if (p.tokens <= 0) continue;
    parts.push_back(absl::StrFormat("%s %.2f mean, %d at most (bound %d)", p.name, p.stale_tokens / p.tokens, p.stalest,
                                    p.staleness_bound));
  }
  if (!parts.empty()) lines.push_back("staleness  " + absl::StrJoin(parts, "; "));
  lines.push_back(
      absl::StrCat("time       ", Duration(elapsed_s),
                   progress.virtual_clock() ? absl::StrCat(" (", Duration(progress.time_s()), " of virtual time)") : "",
                   progress.overlap() ? absl::StrFormat("; generation and training overlapped for %.0f %% of "
                                                        "the reinforcement part",
                                                        100 * *progress.overlap())
                                      : ""));
  return lines;
}

LiveView::LiveView(const proto::Config& config, std::string title, const std::string& metrics_file, FILE* out,
                   bool terminal)
    : progress_(config), title_(std::move(title)), tail_(metrics_file), out_(out), terminal_(terminal) {
  // What a resumed run has measured before is known, but no news; its end, if it had one, was not the last.
  for (const auto& line : tail_.Read()) {
    if (TextOf(line, "stage") != "final" && TextOf(line, "kind") != "overlap") progress_.Add(line);
  }
}

void LiveView::Tick() {
  Read();
  if (terminal_ && (drawn_s_ < 0 || clock_.Now() - drawn_s_ >= kDrawEvery)) Draw();
}

void LiveView::Read() {
  for (const auto& line : tail_.Read()) {
    progress_.Add(line);
    if (!terminal_) PrintNews(line);
  }
}

void LiveView::PrintNews(const nlohmann::json& line) {
  const double time_s = progress_.time_s();
  const std::string kind = TextOf(line, "kind");
  // A stage is announced after the line that ended the one before it.
  const bool first = stage_ == RunStage::kStarting;
  if (first) PrintStage();
  if (kind == "eval") {
    const std::string stage = TextOf(line, "stage");
    if (const auto e = progress_.evaluation(stage))
      Print(time_s, absl::StrCat("evaluation ", stage, ": ", EvaluationText(*e)));
  }
  if (kind == "sft" || kind == "step") PrintStep(time_s, kind == "sft", TextOf(line, "policy"));
  if (!first) PrintStage();
}

void LiveView::PrintStage() {
  if (progress_.stage() == stage_) return;
  stage_ = progress_.stage();
  if (stage_ != RunStage::kFinished) Print(progress_.time_s(), StageText(stage_));
}

void LiveView::PrintStep(double time_s, bool sft, const std::string& policy) {
  for (const PolicyProgress& p : progress_.policies()) {
    const uint32_t step = sft ? p.sft_step : p.step;
    const uint32_t steps = sft ? progress_.sft_steps() : progress_.train_steps();
    if (p.name != policy || (step % std::max(1u, steps / kPlainLines) != 0 && step != steps)) continue;
    std::string text = absl::StrFormat("%-10s %s %d of %d: ", p.name, sft ? "warm start step" : "step", step, steps);
    if (sft) {
      absl::StrAppendFormat(&text, "loss %.3f, %s tokens/s trained", p.loss, Thousands(p.tokens_per_s));
    } else {
      absl::StrAppendFormat(
          &text,
          "reward %.3f, staleness %.1f (max %d of %d), %s tokens/s trained, %s generated, %d in flight, %d buffered",
          p.reward(), p.staleness_mean, p.staleness_max, p.staleness_bound, Thousands(p.tokens_per_s),
          Thousands(progress_.generated_per_s()), p.in_flight, p.buffered);
      if (const auto left = progress_.seconds_left(); left && step < steps) {
        absl::StrAppend(&text, ", ", Duration(*left), " left");
      }
    }
    Print(time_s, text);
  }
}

void LiveView::Print(double time_s, const std::string& text) {
  std::fprintf(out_, "[%7.1f s] %s\n", time_s, text.c_str());
  std::fflush(out_);
}

void LiveView::Draw() {
  const std::vector<std::string> lines = RenderView(progress_, title_, clock_.Now(), Width(out_) - 1);
  std::string frame = lines_ > 0 ? absl::StrCat("\x1b[", lines_, "A") : "";
  for (const std::string& line : lines) absl::StrAppend(&frame, "\r", line, "\x1b[K\n");
  frame += "\x1b[J";  // what an earlier, longer view left below
  std::fwrite(frame.data(), 1, frame.size(), out_);
  std::fflush(out_);
  lines_ = lines.size();
  drawn_s_ = clock_.Now();
}

void LiveView::Erase() {
  if (lines_ > 0) std::fprintf(out_, "\x1b[%zuA\r\x1b[J", lines_);
  lines_ = 0;
}

void LiveView::Say(const std::string& line) {
  if (!terminal_) {
    Print(clock_.Now(), line);
    return;
  }
  Erase();
  std::fprintf(out_, "%s\n", line.c_str());
  Draw();
}

void LiveView::Finish() {
  Read();
  if (terminal_) Draw();
  for (const std::string& line : RenderSummary(progress_, clock_.Now())) std::fprintf(out_, "%s\n", line.c_str());
  std::fflush(out_);
  lines_ = 0;
}

bool IsTerminal(FILE* out) {
  const char* term = std::getenv("TERM");
  return isatty(fileno(out)) != 0 && term != nullptr && std::string(term) != "dumb";
}

}  // namespace tandem
