// SPDX-License-Identifier: Apache-2.0
#include "src/gpu/cuda/warmth.hpp"

#include <algorithm>
#include <chrono>
#include <tuple>
#include <utility>

#include "src/gpu/cuda/slab_registration.hpp"
#include "src/transport/text.hpp"

namespace isthmus::cuda {
namespace {

constinit Warmth the_warmth;

std::unexpected<Error> says(const char* function, CUresult code) {
  return fail(Errc::system, std::string(function) + " says " + std::to_string(code));
}

}  // namespace

Warmth& Warmth::of_process() noexcept { return the_warmth; }

// The context is current afterwards.
Result<Warmth::Made> Warmth::make_context(const Driver& driver, plugin::DeviceMemory* limit) {
  if (const CUresult code = driver.cuDeviceGet(&device_, 0); code != CUDA_SUCCESS) {
    return says("cuDeviceGet", code);
  }
  const auto state = limit == nullptr ? plugin::DeviceMemory::State{} : limit->state();
  Made made{.context = nullptr, .arenas = {}, .counted = state.per_context};
  if (made.counted != 0 && !limit->take(made.counted)) {
    return fail(Errc::exhausted,
                text("a context counts as ", Bytes{made.counted}, ", and of device_memory ", Bytes{state.total}, " ",
                     Bytes{state.used}, " are taken; enlarge device_memory, or lower warm_workers"));
  }
  const char* function = "cuDevicePrimaryCtxRetain";
  CUresult code = driver.cuDevicePrimaryCtxRetain(&made.context, device_);
  if (code == CUDA_SUCCESS) {
    function = "cuCtxSetCurrent";
    code = driver.cuCtxSetCurrent(made.context);
    if (code != CUDA_SUCCESS) {
      std::ignore = driver.cuDevicePrimaryCtxRelease(device_);
    }
  }
  if (code != CUDA_SUCCESS) {
    if (made.counted != 0) {
      limit->give(made.counted);
    }
    return says(function, code);
  }
  return made;
}

Result<std::string> Warmth::make(const plugin::WarmUp& with) {
  const auto began = std::chrono::steady_clock::now();
  const Result<Driver>& driver = Driver::get();
  if (!driver) {
    return std::string("no device to warm up");
  }
  const std::scoped_lock lock(mutex_);
  auto made = make_context(*driver, with.device_memory.get());
  if (!made) {
    return std::unexpected(std::move(made).error());
  }
  SlabRegistration registration(*driver, with.window);
  const std::uint64_t most = std::min(arenas, with.window.size() / SlabRegistration::arena_size);
  for (std::uint64_t arena = 0; arena < most && !with.stop.stop_requested(); ++arena) {
    registration.use(with.window.subspan(arena * SlabRegistration::arena_size, 1), made->context);
    made->arenas.push_back(arena);
  }
  std::ignore = driver->cuCtxSetCurrent(nullptr);
  std::string line = "a context on device 0, " +
                     std::to_string(made->arenas.size() * (SlabRegistration::arena_size >> 20U)) +
                     " MiB of the region registered, in ";
  made_ = std::move(*made);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
  return line + std::to_string(took.count()) + " ms";
}

std::optional<Warmth::Made> Warmth::take(CUdevice device) {
  const std::scoped_lock lock(mutex_);
  return device == device_ ? std::exchange(made_, std::nullopt) : std::nullopt;
}

}  // namespace isthmus::cuda
