// What packed_linear.cc is made of: a few rows of inputs times one panel of weights. Inputs and weights are 32-bit
// groups of two bf16 or four 8-bit numbers, so that one layout serves all processors:
//   panel [groups][32 outputs], groups a multiple of kGroupStep
//   x [rows, rounded up to kRowStep][groups]; rows that are made up are zero
#pragma once

#include <cstdint>

namespace tandem::kernels {

inline constexpr int64_t kGroupStep = 16, kRowStep = 16;
inline constexpr int64_t kPanelRows = 32;  // of one call at most

struct DotPanels {
  const char* name;
  // Around any number of calls of the others, on the same thread. May be null.
  void (*begin)();
  void (*end)();
  // sums[rows][32] = x panel. sums has room for kPanelRows rows; those beyond `rows` may be written.
  void (*bf16)(int64_t rows, const uint32_t* x, int64_t groups, const uint32_t* panel, float* sums);
  // The same for unsigned inputs and signed weights of 8 bits.
  void (*int8)(int64_t rows, const uint32_t* x, int64_t groups, const uint32_t* panel, int32_t* sums);
  // For benchmarks: nothing but dot products of registers, so many times. Returns the number of multiplications and
  // additions. May be null.
  double (*peak)(bool int8, int64_t times);
};

// Of the instruction set in force (instruction_set.h).
const DotPanels& ChosenDotPanels();

const DotPanels& PortableDotPanels();
// Null where the processor, or the build, does not have it.
const DotPanels* Avx512DotPanels();
const DotPanels* AmxDotPanels();

}  // namespace tandem::kernels
