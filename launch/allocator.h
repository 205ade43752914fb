// Which malloc a program has: linking to mimalloc replaces the C library's, which took a tenth of a worker's time.
#pragma once

#include <mimalloc.h>

namespace tandem {

// Memory that is freed stays with the process in place of going back to the kernel: activations touch the same pages
// again some milliseconds later, and page faults halve the speed of a matrix product that writes new memory.
inline void KeepFreedMemory() {
#if MI_MALLOC_VERSION < 210
  mi_option_disable(mi_option_allow_decommit);
#else
  mi_option_set(mi_option_purge_delay, -1);
#endif
}

}  // namespace tandem
