#include "proto/wire/frame.h"

#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/status.h"

namespace tandem::wire {

Parts EncodePacket(const Packet& packet) {
  std::string header;
  // The format goes in front as bytes of its own, so that the packet needs no copy. Field 1, varint.
  static_assert(kProtocol < 0x80);
  header.reserve(packet.header.ByteSizeLong() + 2);
  header.push_back('\x08');
  header.push_back(static_cast<char>(kProtocol));
  packet.header.AppendToString(&header);
  Parts parts;
  parts.reserve(packet.frames.size() + 1);
  parts.push_back(MakeFrame(std::move(header)));
  parts.insert(parts.end(), packet.frames.begin(), packet.frames.end());
  return parts;
}

absl::StatusOr<Packet> DecodePacket(Parts parts) {
  if (parts.empty()) return absl::InvalidArgumentError("the message has no header");
  Packet packet;
  const google::protobuf::LogSilencer silence;  // the status says it; protobuf would write lines of its own
  if (!packet.header.ParseFromString(*parts.front())) {
    return absl::InvalidArgumentError(
        absl::StrCat("the header (", parts.front()->size(), " bytes) is not a tandem.proto.Header"));
  }
  parts.erase(parts.begin());
  packet.frames = std::move(parts);
  return packet;
}

absl::Status CheckFormat(const proto::Header& header) {
  if (header.format() == kProtocol) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the message is of protocol ", header.format(), ", expected protocol ", kProtocol));
}

absl::Status CheckPartSizes(const Packet& packet, uint64_t max_message_bytes) {
  uint64_t largest = packet.header.ByteSizeLong() + 2;
  for (const Frame& frame : packet.frames) largest = std::max<uint64_t>(largest, frame->size());
  if (largest <= max_message_bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("a part of ", largest, " bytes is over the limit of ",
                                                   max_message_bytes, " bytes (transport.max_message_bytes)"));
}

}  // namespace tandem::wire
