// SPDX-License-Identifier: Apache-2.0
// What the parts of cuda_programs have in common. Plain CUDA: nothing in these programs knows of Isthmus.
#pragma once

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

/// Ends the program with the reason, where a call fails.
#define CHECK(call)                                                                                 \
  do {                                                                                              \
    const cudaError_t code = (call);                                                                \
    if (code != cudaSuccess) {                                                                      \
      std::fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorString(code)); \
      std::exit(1);                                                                                 \
    }                                                                                               \
  } while (false)

/// The same for a result that is not what it should be.
#define EXPECT(condition)                                                          \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                                \
    }                                                                              \
  } while (false)

template <class T>
T* device_memory(std::size_t count) {
  T* made = nullptr;
  CHECK(cudaMalloc(&made, count * sizeof(T)));
  return made;
}

template <class T>
std::vector<T> fetch(const T* from, std::size_t count) {
  std::vector<T> here(count);
  CHECK(cudaMemcpy(here.data(), from, count * sizeof(T), cudaMemcpyDeviceToHost));
  return here;
}

/// One number that tells whether all of them are right.
template <class T>
unsigned long long checksum(const std::vector<T>& values) {
  unsigned long long sum = 1469598103934665603ULL;  // FNV-1a, over whole values
  for (const T& value : values) {
    sum = (sum ^ static_cast<unsigned long long>(static_cast<long long>(value))) * 1099511628211ULL;
  }
  return sum;
}

// basics.cu
int run_vector_add();
int run_matrix();
int run_parameters();
int run_errors();
// streams.cu
int run_streams();
int run_threads();
int run_callbacks();
int run_order();
// graphs.cu
int run_graph_nodes();
// printing.cu
int run_printing();
int run_assertion();
// memory.cu
int run_mapped();
int run_registered();
int run_rows();
int run_by_address();
int run_managed();
int run_managed_variable();
int run_ordinary();
int run_symbols();
int run_graphs();
