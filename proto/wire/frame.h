// A packet as the parts of one ZeroMQ message: the header's bytes, then the frames as they are.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/wire/packet.h"

namespace tandem::wire {

using Parts = std::vector<Frame>;

// Fills in the header's format. The frames are shared, not copied.
Parts EncodePacket(const Packet& packet);

// kInvalidArgument: there is no header, or it does not parse. The format is not checked: a refusal must be readable
// whatever the peer speaks.
absl::StatusOr<Packet> DecodePacket(Parts parts);

// kFailedPrecondition names both formats when `header` is not of this protocol.
absl::Status CheckFormat(const proto::Header& header);

// kResourceExhausted when a part of the packet is larger than the peer would read.
absl::Status CheckPartSizes(const Packet& packet, uint64_t max_message_bytes);

}  // namespace tandem::wire
