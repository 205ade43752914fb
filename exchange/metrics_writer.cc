#include "exchange/metrics_writer.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"

namespace tandem {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr double kFlushEvery_s = 2;

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppend(&out, absl::StrFormat("\\u%04x", static_cast<unsigned char>(c)));
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string Number(double value) {
  if (!std::isfinite(value)) return "null";
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;  // the shortest that reads back the same
  return std::string(text, end);
}

// nullopt: not a single number.
std::optional<double> NumberOf(const Message& message, const FieldDescriptor* field) {
  if (field->is_repeated()) return std::nullopt;
  const Reflection& values = *message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return values.GetDouble(message, field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return values.GetUInt32(message, field);
    default:
      return std::nullopt;
  }
}

std::string Value(const Message& message, const FieldDescriptor* field);

std::string Map(const Message& message, const FieldDescriptor* field) {
  std::vector<std::string> entries;
  const Reflection& values = *message.GetReflection();
  for (int i = 0; i < values.FieldSize(message, field); ++i) {
    const Message& entry = values.GetRepeatedMessage(message, field, i);
    const auto* type = entry.GetDescriptor();
    entries.push_back(absl::StrCat(Value(entry, type->map_key()), ":", Value(entry, type->map_value())));
  }
  std::sort(entries.begin(), entries.end());
  std::string out = "{";
  for (const std::string& entry : entries) absl::StrAppend(&out, out.size() > 1 ? "," : "", entry);
  return out + "}";
}

std::string Value(const Message& message, const FieldDescriptor* field) {
  if (const auto number = NumberOf(message, field)) return Number(*number);
  if (field->is_map()) return Map(message, field);
  const Reflection& values = *message.GetReflection();
  if (!field->is_repeated()) return Quoted(values.GetString(message, field));
  std::string out = "[";
  for (int i = 0; i < values.FieldSize(message, field); ++i) {
    const bool real = field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE;
    const double number =
        real ? values.GetRepeatedDouble(message, field, i) : values.GetRepeatedUInt32(message, field, i);
    absl::StrAppend(&out, i > 0 ? "," : "", Number(number));
  }
  return out + "]";
}

std::string Text(const Message& message, const char* name) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
  return field == nullptr ? "" : message.GetReflection()->GetString(message, field);
}

// The numbers of a field: one, or, of a map, each with " KEY" for its name.
std::vector<std::pair<std::string, double>> Numbers(const Message& message, const FieldDescriptor* field) {
  if (const auto number = NumberOf(message, field)) return {{"", *number}};
  std::vector<std::pair<std::string, double>> numbers;
  if (!field->is_map()) return numbers;
  for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
    const Message& entry = message.GetReflection()->GetRepeatedMessage(message, field, i);
    const auto number = NumberOf(entry, entry.GetDescriptor()->map_value());
    if (number) numbers.emplace_back(absl::StrCat(" ", Text(entry, "key")), *number);
  }
  return numbers;
}

}  // namespace

std::string MetricsLine(std::string_view kind, const Message& values, double time_s) {
  std::string line = absl::StrFormat("{\"kind\":%s,\"time_s\":%.3f", Quoted(kind), time_s);
  const auto* type = values.GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    absl::StrAppend(&line, ",\"", type->field(i)->name(), "\":", Value(values, type->field(i)));
  }
  return line + "}\n";
}

absl::StatusOr<std::unique_ptr<MetricsWriter>> MetricsWriter::Create(const std::string& run_folder) {
  const std::string path = run_folder + "/metrics.jsonl";
  std::FILE* file = std::fopen(path.c_str(), "a");
  if (file == nullptr) return absl::UnavailableError(absl::StrCat(path, ": ", std::strerror(errno)));
  auto tensorboard = TensorBoardWriter::Create(run_folder + "/tensorboard");
  if (!tensorboard.ok()) {
    std::fclose(file);
    return tensorboard.status();
  }
  return std::unique_ptr<MetricsWriter>(new MetricsWriter(file, *std::move(tensorboard)));
}

MetricsWriter::~MetricsWriter() { std::fclose(file_); }

void MetricsWriter::Write(std::string_view kind, const Message& values, double now) {
  const std::string line = MetricsLine(kind, values, now);
  const bool written = std::fwrite(line.data(), 1, line.size(), file_) == line.size() && std::fflush(file_) == 0;
  if (!written && !failed_) LogError("metrics.jsonl: ", std::strerror(errno));
  failed_ |= !written;
  Mirror(kind, values, now);
}

// Curves are grouped by whom they are of: "planner/loss", "planner ledger/buffered", "worker-0/tokens_per_s",
// "eval final/success". Their x axis is the step where there is one, and seconds otherwise.
void MetricsWriter::Mirror(std::string_view kind, const Message& values, double now) {
  if (kind == "rejected" || kind == "over_bound" || kind == "non_finite") return;
  std::string who = absl::StrCat(Text(values, "policy"), Text(values, "worker"), Text(values, "stage"));
  if (kind == "eval" || who.empty()) {
    who = who.empty() ? std::string(kind) : absl::StrCat("eval ", who);
  } else if (kind != "step" && kind != "rollout") {
    absl::StrAppend(&who, " ", std::string(kind));
  }
  const auto* type = values.GetDescriptor();
  const FieldDescriptor* step_field = type->FindFieldByName("step");
  const auto step = static_cast<int64_t>(step_field ? *NumberOf(values, step_field) : now);
  const double wall_time = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    for (const auto& [name, value] : Numbers(values, field)) {
      if (field == step_field || !std::isfinite(value)) continue;
      tensorboard_->Scalar(absl::StrCat(who, "/", field->name(), name), step, value, wall_time);
    }
  }
  if (now - flushed_s_ < kFlushEvery_s) return;
  flushed_s_ = now;
  tensorboard_->Flush();
}

}  // namespace tandem
