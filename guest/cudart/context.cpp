// SPDX-License-Identifier: Apache-2.0

#include "guest/cudart/context.hpp"

#include <array>
#include <atomic>
#include <mutex>

#include "guest/cudart/call.hpp"

namespace isthmus::cudart {
namespace {

/// Retained for the process, like the runtime's: a primary context is given back by a reset alone. Null: not retained.
std::array<std::atomic<CUcontext>, max_devices> primaries;
std::mutex retaining;
std::atomic<unsigned> resets{0};
std::atomic<bool> started{false};

struct ThreadBinding {
  int device = 0;             ///< as cudaSetDevice left it
  CUcontext bound = nullptr;  ///< the primary context that we made current
  unsigned seen_resets = 0;   ///< when we did
};

thread_local ThreadBinding binding;

/// The current context of the thread, unless it is a primary one that was reset since we made it current.
CUcontext living_context() {
  CUcontext current = nullptr;
  const bool is_up_to_date = binding.seen_resets == resets.load(std::memory_order_acquire);
  if (driver(cuCtxGetCurrent, &current) != cudaSuccess || (!is_up_to_date && current == binding.bound)) {
    return nullptr;
  }
  return current;
}

cudaError_t bind() {
  cudaError_t error = initialise();
  if (error != cudaSuccess) {
    return error;
  }
  const unsigned now = resets.load(std::memory_order_acquire);
  CUcontext current = nullptr;
  error = driver(cuCtxGetCurrent, &current);
  if (error != cudaSuccess) {
    return error;
  }
  if (current != nullptr && current != binding.bound) {  // the program's own
    binding.seen_resets = now;
    return cudaSuccess;
  }
  CUcontext primary = nullptr;
  error = primary_context(binding.device, primary);
  if (error == cudaSuccess) {
    error = driver(cuCtxSetCurrent, primary);
  }
  if (error == cudaSuccess) {
    binding.bound = primary;
    binding.seen_resets = now;
  }
  return error;
}

}  // namespace

cudaError_t initialise() {
  if (started.load(std::memory_order_acquire)) [[likely]] {
    return cudaSuccess;
  }
  if (cuInit == nullptr) {
    return cudaErrorInsufficientDriver;
  }
  const cudaError_t error = driver(cuInit, 0U);
  if (error == cudaSuccess) {
    started.store(true, std::memory_order_release);
  }
  return error;
}

cudaError_t ready() {
  if (binding.seen_resets == resets.load(std::memory_order_acquire)) [[likely]] {
    CUcontext current = nullptr;
    if (driver(cuCtxGetCurrent, &current) == cudaSuccess && current != nullptr) [[likely]] {
      return cudaSuccess;
    }
  }
  return bind();
}

cudaError_t check_device(int device) {
  cudaError_t error = initialise();
  int count = 0;
  if (error == cudaSuccess) {
    error = driver(cuDeviceGetCount, &count);
  }
  if (error != cudaSuccess) {
    return error;
  }
  return device >= 0 && device < count && device < max_devices ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t primary_context(int device, CUcontext& context) {
  cudaError_t error = check_device(device);
  if (error != cudaSuccess) {
    return error;
  }
  std::atomic<CUcontext>& primary = primaries.at(static_cast<std::size_t>(device));
  context = primary.load(std::memory_order_acquire);
  if (context != nullptr) {
    return cudaSuccess;
  }
  const std::scoped_lock lock(retaining);
  context = primary.load(std::memory_order_relaxed);
  if (context == nullptr) {
    error = driver(cuDevicePrimaryCtxRetain, &context, device);
    if (error == cudaSuccess) {
      primary.store(context, std::memory_order_release);
    }
  }
  return error;
}

cudaError_t current_device(int& device) {
  const cudaError_t error = initialise();
  if (error != cudaSuccess) {
    return error;
  }
  if (living_context() != nullptr) {
    return driver(cuCtxGetDevice, &device);
  }
  device = binding.device;
  return cudaSuccess;
}

cudaError_t choose_device(int device) {
  CUcontext primary = nullptr;
  const unsigned now = resets.load(std::memory_order_acquire);
  cudaError_t error = primary_context(device, primary);
  if (error == cudaSuccess) {
    error = driver(cuCtxSetCurrent, primary);
  }
  if (error == cudaSuccess) {
    binding = {.device = device, .bound = primary, .seen_resets = now};
  }
  return error;
}

cudaError_t reset_device() {
  int device = 0;
  cudaError_t error = current_device(device);
  if (error == cudaSuccess) {
    error = check_device(device);
  }
  if (error != cudaSuccess) {
    return error;
  }
  std::atomic<CUcontext>& primary = primaries.at(static_cast<std::size_t>(device));
  const CUctx_st* const current = living_context();
  if (current != nullptr && current != primary.load(std::memory_order_acquire)) {
    return cudaSuccess;  // the program's own context: nothing in it is ours
  }
  const std::scoped_lock lock(retaining);
  error = driver(cuDevicePrimaryCtxReset, device);
  if (error == cudaSuccess) {
    primary.store(nullptr, std::memory_order_release);
    resets.fetch_add(1, std::memory_order_acq_rel);
  }
  return error;
}

cudaError_t device_flags(unsigned& flags) {
  int device = 0;
  cudaError_t error = current_device(device);
  if (error != cudaSuccess) {
    return error;
  }
  const CUctx_st* const current = living_context();
  if (current != nullptr && current != primaries.at(static_cast<std::size_t>(device)).load(std::memory_order_acquire)) {
    return driver(cuCtxGetFlags, &flags);
  }
  int is_active = 0;
  error = driver(cuDevicePrimaryCtxGetState, device, &flags, &is_active);
  flags |= cudaDeviceMapHost;  // the runtime's contexts always map
  return error;
}

unsigned count_of_resets() { return resets.load(std::memory_order_relaxed); }

}  // namespace isthmus::cudart
