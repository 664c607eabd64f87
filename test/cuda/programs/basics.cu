// SPDX-License-Identifier: Apache-2.0
// A sum, a product, parameters of all sizes, and what fails.
#include "programs.hpp"

struct Mixed {
  double whole;
  int part;
  char letter;
};

extern "C" __global__ void vector_add(const float* a, const float* b, float* c, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) {
    c[i] = a[i] + b[i];
  }
}

extern "C" __global__ void matrix_multiply(const float* a, const float* b, float* c, int n) {
  const int x = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int y = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y);
  if (x < n && y < n) {
    float sum = 0;
    for (int k = 0; k < n; ++k) {
      sum += a[y * n + k] * b[k * n + x];
    }
    c[y * n + x] = sum;
  }
}

__global__ void mixed_parameters(char letter, Mixed mixed, short small, long long* result, float ratio) {
  *result = letter + static_cast<long long>(mixed.whole) + mixed.part + mixed.letter + small +
            static_cast<long long>(ratio * 4);
}

int run_vector_add() {
  constexpr int count = 50000;
  std::vector<float> a(count);
  std::vector<float> b(count);
  for (int i = 0; i < count; ++i) {
    a[i] = static_cast<float>(i % 1000);
    b[i] = static_cast<float>(i % 77);
  }
  float* da = device_memory<float>(count);
  float* db = device_memory<float>(count);
  float* dc = device_memory<float>(count);
  CHECK(cudaMemcpy(da, a.data(), count * sizeof(float), cudaMemcpyHostToDevice));
  CHECK(cudaMemcpy(db, b.data(), count * sizeof(float), cudaMemcpyHostToDevice));
  vector_add<<<(count + 255) / 256, 256>>>(da, db, dc, count);
  CHECK(cudaGetLastError());
  const auto c = fetch(dc, count);
  for (int i = 0; i < count; ++i) {
    EXPECT(c[i] == a[i] + b[i]);
  }
  CHECK(cudaFree(da));
  CHECK(cudaFree(db));
  CHECK(cudaFree(dc));
  std::printf("vector_add: %d sums right, %llx\n", count, checksum(c));
  return 0;
}

int run_matrix() {
  constexpr int n = 96;
  std::vector<float> a(n * n);
  std::vector<float> b(n * n);
  for (int i = 0; i < n * n; ++i) {
    a[i] = static_cast<float>(i % 7 - 3);
    b[i] = static_cast<float>(i % 5 - 2);
  }
  const std::size_t bytes = a.size() * sizeof(float);
  float* da = device_memory<float>(a.size());
  float* db = device_memory<float>(a.size());
  float* dc = device_memory<float>(a.size());
  CHECK(cudaMemcpy(da, a.data(), bytes, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpy(db, b.data(), bytes, cudaMemcpyHostToDevice));
  matrix_multiply<<<dim3(n / 16, n / 16), dim3(16, 16)>>>(da, db, dc, n);
  const auto c = fetch(dc, a.size());
  for (int y = 0; y < n; ++y) {
    for (int x = 0; x < n; ++x) {
      float sum = 0;
      for (int k = 0; k < n; ++k) {
        sum += a[y * n + k] * b[k * n + x];
      }
      EXPECT(c[y * n + x] == sum);
    }
  }
  std::printf("matrix: %d x %d product right, %llx\n", n, n, checksum(c));
  return 0;
}

int run_parameters() {
  auto* result = device_memory<long long>(1);
  mixed_parameters<<<1, 1>>>('a', Mixed{1000, 20, 'b'}, -3, result, 2.5F);
  EXPECT(fetch(result, 1)[0] == 'a' + 1000 + 20 + 'b' - 3 + 10);
  cudaFuncAttributes attributes{};
  CHECK(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(mixed_parameters)));
  EXPECT(attributes.maxThreadsPerBlock > 0);
  std::printf("parameters: %lld\n", fetch(result, 1)[0]);
  return 0;
}

namespace {

// What a call answered, and what is left of it afterwards.
void tell(const char* what, cudaError_t code) {
  const cudaError_t last = cudaGetLastError();
  std::printf("%s: %s, then %s\n", what, cudaGetErrorName(code), cudaGetErrorName(last));
}

}  // namespace

// Prints what is answered, instead of expecting it: the same program over NVIDIA's own driver tells what is right.
int run_errors() {
  int host = 0;
  int* device = device_memory<int>(4);
  tell("copy to nothing", cudaMemcpy(nullptr, &host, sizeof host, cudaMemcpyHostToDevice));
  tell("copy in no direction", cudaMemcpy(device, &host, sizeof host, static_cast<cudaMemcpyKind>(99)));
  tell("a device that is not there", cudaSetDevice(1000));
  void* all = nullptr;
  tell("too much memory", cudaMalloc(&all, std::size_t{1} << 50));
  vector_add<<<1, 4096>>>(nullptr, nullptr, nullptr, 0);
  tell("a block too large", cudaPeekAtLastError());
  vector_add<<<0, 32>>>(nullptr, nullptr, nullptr, 0);
  tell("no blocks", cudaPeekAtLastError());
  vector_add<<<1, 32, 1 << 20>>>(nullptr, nullptr, nullptr, 0);
  tell("too much shared memory", cudaPeekAtLastError());
  tell("memory freed", cudaFree(device));
  tell("memory freed again", cudaFree(device));
  tell("host memory freed that is none", cudaFreeHost(&host));
  tell("an event that is none", cudaEventQuery(nullptr));
  tell("all is well", cudaDeviceSynchronize());
  return 0;
}
