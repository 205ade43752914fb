#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>

#include <cstdlib>

namespace tandem {

void SetUpLogging(const std::string& who, spdlog::level::level_enum level) {
  auto logger = std::make_shared<spdlog::logger>(who, std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("%H:%M:%S.%e %n %l: %v");
  if (const char* wanted = std::getenv("TANDEM_LOG")) level = spdlog::level::from_str(wanted);
  logger->set_level(level);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace tandem
