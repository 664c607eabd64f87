// SPDX-License-Identifier: Apache-2.0
// A frontend with a mistake, for the tests of the tests: preloaded, it stands between the runtime and the driver
// library, and does one thing wrong. MUTANT names it; every program that passes all the same tells that nothing looks
// there.
#include <cuda.h>
#include <dlfcn.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

bool is(const char* mutant) {
  static const char* const asked = std::getenv("MUTANT");
  return asked != nullptr && std::strcmp(asked, mutant) == 0;
}

template <class F>
F* next(const char* name) {
  auto* found = reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
  if (found == nullptr) {
    std::fprintf(stderr, "mutant: no %s behind it\n", name);
    std::abort();
  }
  return found;
}

}  // namespace

// lost_post: every third launch is never sent. swapped_arguments: the second and third parameter change places.
CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream, void** parameters,
                        void** extra) {
  static auto* const real = next<decltype(cuLaunchKernel)>("cuLaunchKernel");
  static std::atomic<unsigned> launches{0};
  if (is("lost_post") && ++launches % 3 == 0) {
    return CUDA_SUCCESS;
  }
  std::array<void*, 4> swapped{};
  if (is("swapped_arguments")) {  // all kernels that are launched with it have four
    swapped = {parameters[0], parameters[2], parameters[1], parameters[3]};
    parameters = swapped.data();
  }
  return real(function, grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes, stream, parameters, extra);
}

// lost_wait: the stream goes on without the event.
CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
  static auto* const real = next<decltype(cuStreamWaitEvent)>("cuStreamWaitEvent");
  return is("lost_wait") ? CUDA_SUCCESS : real(stream, event, flags);
}

// short_copy: the last byte stays behind. swapped_sides: source and destination change places.
CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes) {
  static auto* const real = next<decltype(cuMemcpyDtoH_v2)>("cuMemcpyDtoH_v2");
  if (is("swapped_sides")) {
    return real(reinterpret_cast<void*>(from), reinterpret_cast<CUdeviceptr>(to), bytes);  // NOLINT
  }
  return real(to, from, is("short_copy") ? bytes - 1 : bytes);
}

// lost_callback: the host function is never called.
CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void* data) {
  static auto* const real = next<decltype(cuLaunchHostFunc)>("cuLaunchHostFunc");
  return is("lost_callback") ? CUDA_SUCCESS : real(stream, function, data);
}
