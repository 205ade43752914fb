// Word problems: a question in words, whose answer is a number. The planner writes the calculation, one operation a
// step
// ("A=48/2;B=48+A"), the executor carries out each ("48/2=" -> "24").
//
// Without a file of tasks the questions are dag-calc's, said in words: "What is the sum of 3 and the product of 4 and
// 2?". With one they are its lines, in the form of GSM8K (Cobbe et al., 2021): {"question": "...", "answer": "... She
// sold 48/2 = <<48/2=24>>24 clips. ... #### 72"}; the answer is what follows ####, and the reference plan is made from
// the calculations in << >>, unless the line has a plan of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "rollout/env/environment.h"

namespace tandem {

absl::StatusOr<std::unique_ptr<Environment>> MakeWordProblems(const proto::EnvironmentConfig& config, uint64_t seed,
                                                              const std::string& directory);

}  // namespace tandem
