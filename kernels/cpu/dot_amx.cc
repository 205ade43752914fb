// Panels by AMX: tiles of 16 rows of 64 bytes, multiplied by the processor's matrix unit.
#include "kernels/cpu/dot_panel.h"

#if defined(__x86_64__) && defined(__linux__) && !defined(__clang__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#pragma GCC push_options
#pragma GCC target("amx-tile,amx-bf16,amx-int8,avx512f")

namespace tandem::kernels {
namespace {

struct TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

constexpr int64_t kTileSums = 32 * sizeof(float);  // bytes between rows of sums, and of a panel

void Begin() {
  static const TileConfig config;
  _tile_loadconfig(&config);
}

void End() { _tile_release(); }

// Fetches what the step at `k` is of the next panel, in four places side by side (see linear-inl.h).
inline void Ahead(const uint32_t* next, int64_t groups, int64_t k) {
  const uint32_t* from = next + k * (32 / 4);
  for (int stream = 0; stream < 4; ++stream, from += groups * (32 / 4)) {
#pragma GCC unroll 8
    for (int line = 0; line < kGroupStep * 32 / 4 / 16; ++line) __builtin_prefetch(from + line * 16, 0, 2);
  }
}

// Tiles 0 to 3: sums of two times 16 rows and two times 16 outputs; 4 and 5: inputs; 6 and 7: weights. All loops step
// through the inputs in the same order, whatever the number of rows.
#define TANDEM_AMX_PANEL(Name, Sum, multiply)                                                    \
  void Name(int64_t rows, const uint32_t* x, int64_t groups, const uint32_t* panel, Sum* sums) { \
    const int64_t stride = groups * 4;                                                           \
    const uint32_t *lower = x + kRowStep * groups, *next = panel + groups * 32;                  \
    const bool both = rows > kRowStep;                                                           \
    _tile_zero(0);                                                                               \
    _tile_zero(1);                                                                               \
    _tile_zero(2);                                                                               \
    _tile_zero(3);                                                                               \
    for (int64_t k = 0; k < groups; k += kGroupStep, panel += kGroupStep * 32) {                 \
      Ahead(next, groups, k);                                                                    \
      _tile_loadd(4, x + k, stride);                                                             \
      _tile_loadd(6, panel, kTileSums);                                                          \
      multiply(0, 4, 6);                                                                         \
      _tile_loadd(7, panel + 16, kTileSums);                                                     \
      multiply(1, 4, 7);                                                                         \
      if (!both) continue;                                                                       \
      _tile_loadd(5, lower + k, stride);                                                         \
      multiply(2, 5, 6);                                                                         \
      multiply(3, 5, 7);                                                                         \
    }                                                                                            \
    _tile_stored(0, sums, kTileSums);                                                            \
    _tile_stored(1, sums + 16, kTileSums);                                                       \
    if (!both) return;                                                                           \
    _tile_stored(2, sums + 16 * 32, kTileSums);                                                  \
    _tile_stored(3, sums + 16 * 32 + 16, kTileSums);                                             \
  }

TANDEM_AMX_PANEL(Bf16Panel, float, _tile_dpbf16ps)
TANDEM_AMX_PANEL(Int8Panel, int32_t, _tile_dpbusd)
#undef TANDEM_AMX_PANEL

double Peak(bool int8, int64_t times) {
  alignas(64) static const uint8_t zeros[1024] = {};
  Begin();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, zeros, 64);
  _tile_loadd(6, zeros, 64);
  for (int64_t i = 0; i < times; ++i) {
    if (int8) {
      _tile_dpbusd(0, 4, 6);
      _tile_dpbusd(1, 4, 6);
      _tile_dpbusd(2, 4, 6);
      _tile_dpbusd(3, 4, 6);
    } else {
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 6);
      _tile_dpbf16ps(2, 4, 6);
      _tile_dpbf16ps(3, 4, 6);
    }
  }
  End();
  return static_cast<double>(times) * 4 * 16 * 16 * (int8 ? 64 : 32) * 2;
}

// The processor has AMX, and the kernel lets this process use it: tiles are saved only for processes that asked.
bool Usable() {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24, kInt8 = 1u << 25, kNeeded = kBf16 | kTile | kInt8;
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return (d & kNeeded) == kNeeded && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

const DotPanels* AmxDotPanels() {
  static const DotPanels panels = {"AMX", Begin, End, Bf16Panel, Int8Panel, Peak};
  static const bool usable = Usable();
  return usable ? &panels : nullptr;
}

}  // namespace tandem::kernels

#pragma GCC pop_options
#else
namespace tandem::kernels {
const DotPanels* AmxDotPanels() { return nullptr; }
}  // namespace tandem::kernels
#endif
