#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>

namespace tandem {

void LogToStandardError() {
  auto logger = std::make_shared<spdlog::logger>("tandem", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("%l: %v");
  spdlog::set_default_logger(std::move(logger));
}

void SetUpLogging(const std::string& who, const std::string& level) {
  auto logger = std::make_shared<spdlog::logger>(who, std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("%H:%M:%S.%e %n %l: %v");
  const char* wanted = std::getenv("TANDEM_LOG");
  logger->set_level(spdlog::level::from_str(wanted != nullptr ? wanted : level));
  spdlog::set_default_logger(std::move(logger));
}

void WriteLog(const char* level, const std::string& line) {
  spdlog::default_logger_raw()->log(spdlog::level::from_str(level), line);
}

}  // namespace tandem
