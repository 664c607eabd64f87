// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

/// \file
/// What nvcc's generated code does as a program starts, done by hand: a fat binary's wrapper around a text of PTX that
/// names kernels of test/cuda/programs/bodies.cpp and some variables. Addresses of these bytes stand for host functions
/// and variables, as the runtime compares nothing but addresses.

extern "C" {
// NOLINTBEGIN(readability-identifier-naming): the compiler's names
void** __cudaRegisterFatBinary(void* wrapper);
void __cudaRegisterFatBinaryEnd(void** handle);
void __cudaUnregisterFatBinary(void** handle);
void __cudaRegisterFunction(void** handle, const char* host, char* device, const char* name, int limit, uint3* thread,
                            uint3* block, dim3* block_size, dim3* grid_size, int* warp_size);
void __cudaRegisterVar(void** handle, char* host, char* device, const char* name, int is_extern, std::size_t size,
                       int is_constant, int is_global);
void __cudaRegisterManagedVar(void** handle, void** host, char* device, const char* name, int is_extern,
                              std::size_t size, int is_constant, int is_global);
char __cudaInitModule(void** handle);
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t shared_bytes, CUstream_st* stream);
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* shared_bytes, void* stream);
cudaError_t __cudaGetKernel(cudaKernel_t* handle, const void* host);
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, std::size_t shared_bytes,
                               cudaStream_t stream);
cudaError_t cudaMemcpy_ptds(void* to, const void* from, std::size_t size, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync_ptsz(void* to, const void* from, std::size_t size, cudaMemcpyKind kind,
                                 cudaStream_t stream);
cudaError_t cudaLaunchKernel_ptsz(const void* function, dim3 grid, dim3 block, void** arguments,
                                  std::size_t shared_bytes, cudaStream_t stream);
cudaError_t cudaStreamSynchronize_ptsz(cudaStream_t stream);
// NOLINTEND(readability-identifier-naming)
}

namespace isthmus::test {

struct FatBinaryWrapper {
  int magic = 0x466243b1;
  int version = 1;
  const void* data = nullptr;
  const void* prelinked = nullptr;
};

/// The registered program; there for as long as the test program runs.
struct Program {
  Program();
  void** handle = nullptr;
  void** managed_handle = nullptr;

  // Host addresses. What they hold is nobody's business.
  char scale_and_add = 0;
  char write_to = 0;
  char spin = 0;
  char nothing = 0;
  char no_such_kernel = 0;
  char not_registered = 0;
  char table = 0;   ///< int[8]
  char offset = 0;  ///< int
  char no_such_variable = 0;
  int* counter = nullptr;  ///< __managed__ int, in a fat binary of its own
};

Program& program();

/// Launches `kernel` on one thread through cudaLaunchKernel.
template <class... Arguments>
cudaError_t launch(const void* kernel, cudaStream_t stream, Arguments... arguments) {
  void* addresses[] = {static_cast<void*>(&arguments)..., nullptr};
  return cudaLaunchKernel(kernel, dim3(1), dim3(1), addresses, 0, stream);
}

template <class T>
T* device_memory(std::size_t count) {
  void* made = nullptr;
  EXPECT_EQ(cudaMalloc(&made, count * sizeof(T)), cudaSuccess);
  return static_cast<T*>(made);
}

template <class T>
std::vector<T> fetch(const T* from, std::size_t count) {
  std::vector<T> here(count);
  EXPECT_EQ(cudaMemcpy(here.data(), from, count * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
  return here;
}

/// Each case starts and ends without an error to remember.
struct Cudart : testing::Test {
  void SetUp() override { cudaGetLastError(); }
  void TearDown() override { EXPECT_EQ(cudaGetLastError(), cudaSuccess); }
  /// Asserts that a call failed so and that the thread remembers it, once.
  static void expect_error(cudaError_t got, cudaError_t wanted) {
    EXPECT_EQ(got, wanted) << cudaGetErrorName(got);
    EXPECT_EQ(cudaPeekAtLastError(), wanted);
    EXPECT_EQ(cudaGetLastError(), wanted);
    EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
  }
};

}  // namespace isthmus::test
