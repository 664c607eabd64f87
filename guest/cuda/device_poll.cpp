// SPDX-License-Identifier: Apache-2.0
#include "guest/cuda/device_poll.hpp"

#include <sched.h>

#include <algorithm>
#include <cstdlib>

namespace isthmus::cuda {
namespace {

std::uint32_t places() noexcept {
  static const std::uint32_t found = [] {
    if (const char* text = std::getenv("ISTHMUS_CUDA_POLLERS")) {
      return static_cast<std::uint32_t>(std::clamp(std::atoi(text), 0, 64));
    }
    cpu_set_t processors;
    CPU_ZERO(&processors);
    const int count = sched_getaffinity(0, sizeof processors, &processors) == 0 ? CPU_COUNT(&processors) : 1;
    return static_cast<std::uint32_t>(std::max(1, count / 2) - 1);
  }();
  return found;
}

}  // namespace

std::atomic<std::uint32_t> DevicePoll::polling{0};
std::atomic<bool> DevicePoll::forbidden{false};

DevicePoll::DevicePoll() noexcept : allowed_(places() > 0 && !forbidden.load(std::memory_order_relaxed)) {
  if (allowed_ && polling.fetch_add(1, std::memory_order_relaxed) >= places()) {
    polling.fetch_sub(1, std::memory_order_relaxed);
    allowed_ = false;
  }
}

DevicePoll::~DevicePoll() {
  if (allowed_) {
    polling.fetch_sub(1, std::memory_order_relaxed);
  }
}

}  // namespace isthmus::cuda
