#include "proto/wire/endpoint.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "proto/wire/client.h"

namespace tandem::wire {
namespace {

constexpr absl::string_view kInproc = "inproc://", kIpc = "ipc://", kTcp = "tcp://", kAnnounceSuffix = ".pub";
constexpr size_t kLongestPath = sizeof(sockaddr_un::sun_path) - 1;
constexpr int kLastPort = 65534;  // the next one is for announcements

absl::Status Bad(const std::string& endpoint, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(endpoint, ": ", what));
}

absl::Status CheckTcp(const std::string& endpoint, absl::string_view address, bool may_choose_port) {
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos || colon == 0) return Bad(endpoint, "expected tcp://HOST:PORT");
  const absl::string_view host = address.substr(0, colon), port = address.substr(colon + 1);
  if (!may_choose_port && host == "*") return Bad(endpoint, "* is a place to listen at: name a host to connect to");
  if (port == "*" && may_choose_port) return absl::OkStatus();
  int number = 0;
  if (!absl::SimpleAtoi(port, &number) || number < 1 || number > kLastPort) {
    return Bad(endpoint, absl::StrCat("expected a port from 1 to ", kLastPort, " (the next one is for announcements)"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckEndpoint(const std::string& endpoint, bool may_choose_port) {
  absl::string_view rest = endpoint;
  if (absl::ConsumePrefix(&rest, kTcp)) return CheckTcp(endpoint, rest, may_choose_port);
  if (absl::ConsumePrefix(&rest, kIpc)) {
    if (rest.empty()) return Bad(endpoint, "expected ipc://PATH");
    if (rest.size() + kAnnounceSuffix.size() <= kLongestPath) return absl::OkStatus();
    return Bad(endpoint, absl::StrCat("the path has ", rest.size(), " bytes, a socket's path may have ",
                                      kLongestPath - kAnnounceSuffix.size()));
  }
  if (absl::ConsumePrefix(&rest, kInproc))
    return rest.empty() ? Bad(endpoint, "expected inproc://NAME") : absl::OkStatus();
  return Bad(endpoint, "expected inproc://NAME, ipc://PATH or tcp://HOST:PORT");
}

std::string AnnounceEndpoint(const std::string& endpoint) {
  if (!absl::StartsWith(endpoint, kTcp)) return absl::StrCat(endpoint, kAnnounceSuffix);
  const size_t colon = endpoint.rfind(':');
  int port = 0;
  if (!absl::SimpleAtoi(absl::string_view(endpoint).substr(colon + 1), &port)) return endpoint;
  return absl::StrCat(endpoint.substr(0, colon + 1), port + 1);
}

absl::Status CheckIpcFree(const std::string& endpoint) {
  absl::string_view rest = endpoint;
  if (!absl::ConsumePrefix(&rest, kIpc) || rest == "*" || absl::StartsWith(rest, "@")) return absl::OkStatus();
  const std::string path(rest);
  struct stat entry;
  if (lstat(path.c_str(), &entry) != 0) return absl::OkStatus();
  if (!S_ISSOCK(entry.st_mode)) {
    return absl::AlreadyExistsError(absl::StrCat(endpoint, ": the path is taken by something that is no socket"));
  }
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() > kLongestPath) return Bad(endpoint, "the path is too long");
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, endpoint);
  const int connected = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  close(fd);
  if (connected == 0 || error == EAGAIN)
    return absl::AlreadyExistsError(absl::StrCat(endpoint, ": address already in use"));
  return error == ECONNREFUSED ? absl::OkStatus() : absl::ErrnoToStatus(error, endpoint);
}

}  // namespace tandem::wire
