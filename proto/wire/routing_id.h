// A client's name at the ROUTER, made from its session, so that a connection that broke and was made again is the same
// peer, and that nobody speaks for another's session by mistake.
#pragma once

#include <cstdint>
#include <string>

namespace tandem::wire {

// 9 bytes. ZeroMQ keeps names that begin with 0 for itself.
inline std::string RoutingId(uint64_t session) {
  std::string id = "S";
  for (int shift = 56; shift >= 0; shift -= 8) id.push_back(static_cast<char>(session >> shift));
  return id;
}

}  // namespace tandem::wire
