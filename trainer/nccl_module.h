// The door of libtandem_nccl.so.
#pragma once

#include <string>

#include "trainer/collective.h"

namespace tandem {

inline constexpr char kNcclModule[] = "libtandem_nccl.so";
inline constexpr char kMakeNccl[] = "TandemMakeNcclCollective";

// The caller owns the result; nullptr: `error` says why.
using MakeNcclFunction = Collective* (*)(const CollectiveOptions& options, std::string& error);

}  // namespace tandem
