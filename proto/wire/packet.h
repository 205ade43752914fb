// What travels: a protobuf header and raw frames.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "proto/message.pb.h"

namespace tandem::wire {

inline constexpr uint32_t kProtocol = 1;  // version of everything in message.proto

// Immutable bytes, shared between whoever still needs them. Never null.
using Frame = std::shared_ptr<const std::string>;

inline Frame MakeFrame(std::string bytes) { return std::make_shared<const std::string>(std::move(bytes)); }

struct Packet {
  proto::Header header;
  std::vector<Frame> frames;
};

}  // namespace tandem::wire
