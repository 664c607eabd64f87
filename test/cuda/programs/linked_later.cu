// SPDX-License-Identifier: Apache-2.0
// A program that nvcc -rdc=true made of PTX alone: the runtime has to have it linked as it starts.
#include <cstdio>

extern "C" __global__ void write_to(int* where, int value) { *where = value; }

int main() {
  int* there = nullptr;
  int value = 0;
  cudaError_t error = cudaMalloc(&there, sizeof value);
  if (error == cudaSuccess) {
    write_to<<<1, 1>>>(there, 42);
    error = cudaGetLastError();
  }
  if (error == cudaSuccess) {
    error = cudaMemcpy(&value, there, sizeof value, cudaMemcpyDeviceToHost);
  }
  std::printf("linked later: %d, %s\n", value, cudaGetErrorName(error));
  return error == cudaSuccess && value == 42 ? 0 : 1;
}
