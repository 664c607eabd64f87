// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace isthmus::perf {

struct Quartiles {
  double q1 = 0;
  double median = 0;
  double q3 = 0;
};

/// The value below which that part of the samples lies (nearest rank). \pre sorted, not empty; 0 <= part <= 1
[[nodiscard]] inline double quantile(std::span<const double> sorted, double part) noexcept {
  const auto rank = static_cast<std::size_t>(std::lround(part * static_cast<double>(sorted.size() - 1)));
  return sorted[std::min(rank, sorted.size() - 1)];
}

[[nodiscard]] inline Quartiles quartiles(std::vector<double> samples) {
  if (samples.empty()) {
    return {};
  }
  std::ranges::sort(samples);
  return {quantile(samples, 0.25), quantile(samples, 0.5), quantile(samples, 0.75)};
}

}  // namespace isthmus::perf
