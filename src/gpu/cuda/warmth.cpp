// SPDX-License-Identifier: Apache-2.0
#include "src/gpu/cuda/warmth.hpp"

#include <algorithm>
#include <chrono>
#include <tuple>
#include <utility>

#include "src/gpu/cuda/slab_registration.hpp"

namespace isthmus::cuda {
namespace {

constinit Warmth the_warmth;

std::unexpected<Error> cold(const char* function, CUresult code) {
  return fail(Errc::system, std::string("cold: ") + function + " says " + std::to_string(code));
}

}  // namespace

Warmth& Warmth::of_process() noexcept { return the_warmth; }

Result<std::string> Warmth::make(std::span<std::byte> window, const std::stop_token& stop) {
  const auto began = std::chrono::steady_clock::now();
  const Result<Driver>& driver = Driver::get();
  if (!driver) {
    return std::string("no device to warm up");
  }
  const std::scoped_lock lock(mutex_);
  if (const CUresult code = driver->cuDeviceGet(&device_, 0); code != CUDA_SUCCESS) {
    return cold("cuDeviceGet", code);
  }
  Made made;
  if (const CUresult code = driver->cuDevicePrimaryCtxRetain(&made.context, device_); code != CUDA_SUCCESS) {
    return cold("cuDevicePrimaryCtxRetain", code);
  }
  if (const CUresult code = driver->cuCtxSetCurrent(made.context); code != CUDA_SUCCESS) {
    std::ignore = driver->cuDevicePrimaryCtxRelease(device_);
    return cold("cuCtxSetCurrent", code);
  }
  SlabRegistration registration(*driver, window);
  const std::uint64_t most = std::min(arenas, window.size() / SlabRegistration::arena_size);
  for (std::uint64_t arena = 0; arena < most && !stop.stop_requested(); ++arena) {
    registration.use(window.subspan(arena * SlabRegistration::arena_size, 1), made.context);
    made.arenas.push_back(arena);
  }
  std::ignore = driver->cuCtxSetCurrent(nullptr);
  std::string line = "a context on device 0, " +
                     std::to_string(made.arenas.size() * (SlabRegistration::arena_size >> 20U)) +
                     " MiB of the region registered, in ";
  made_ = std::move(made);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
  return line + std::to_string(took.count()) + " ms";
}

std::optional<Warmth::Made> Warmth::take(CUdevice device) {
  const std::scoped_lock lock(mutex_);
  return device == device_ ? std::exchange(made_, std::nullopt) : std::nullopt;
}

}  // namespace isthmus::cuda
