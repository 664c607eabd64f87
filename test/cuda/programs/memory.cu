// SPDX-License-Identifier: Apache-2.0
// Memory of all kinds, variables, and graphs. Compiled with -rdc=true: a part of a kernel is in apart.cu.
#include <cstring>

#include "programs.hpp"

__constant__ int table[8] = {1, 1, 2, 3, 5, 8, 13, 21};
__device__ int offset = 100;
__device__ int calls;

extern __device__ int shared_term;
extern __device__ int squared(int value);

extern "C" __global__ void look_up(int* to, int count) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < count) {
    to[i] = table[i % 8] + offset;
  }
  if (i == 0) {
    ++calls;
  }
}

extern "C" __global__ void across_files(int* to, int count) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < count) {
    to[i] = squared(i) + shared_term;
  }
}

extern "C" __global__ void write_to(int* where, int value) { *where = value; }

// Pinned memory that the device writes into.
int run_mapped() {
  int* mapped = nullptr;
  CHECK(cudaHostAlloc(&mapped, 4096, cudaHostAllocMapped));
  int* there = nullptr;
  CHECK(cudaHostGetDevicePointer(&there, mapped, 0));
  write_to<<<1, 1>>>(there + 5, 77);
  CHECK(cudaDeviceSynchronize());
  EXPECT(mapped[5] == 77);
  std::printf("mapped: %d\n", mapped[5]);
  CHECK(cudaFreeHost(mapped));
  return 0;
}

// Ordinary memory that was registered, not at the border of a page; and interior pointers.
int run_registered() {
  std::vector<int> ordinary(20000);
  for (std::size_t i = 0; i < ordinary.size(); ++i) {
    ordinary[i] = static_cast<int>(i);
  }
  const std::size_t bytes = ordinary.size() * sizeof(int);
  CHECK(cudaHostRegister(ordinary.data(), bytes, cudaHostRegisterDefault));
  int* device = device_memory<int>(ordinary.size());
  CHECK(cudaMemcpyAsync(device, ordinary.data(), bytes, cudaMemcpyHostToDevice));
  CHECK(cudaDeviceSynchronize());
  std::memset(ordinary.data(), 0, bytes);
  CHECK(cudaMemcpyAsync(ordinary.data(), device, bytes, cudaMemcpyDeviceToHost));
  CHECK(cudaDeviceSynchronize());
  CHECK(cudaHostUnregister(ordinary.data()));
  for (std::size_t i = 0; i < ordinary.size(); ++i) {
    EXPECT(ordinary[i] == static_cast<int>(i));
  }
  EXPECT(fetch(device + 1234, 1)[0] == 1234);
  CHECK(cudaFree(device));
  std::printf("registered: %zu bytes there and back\n", bytes);
  return 0;
}

// Rows with a pitch.
int run_rows() {
  constexpr std::size_t width = 100;
  constexpr std::size_t height = 30;
  std::vector<unsigned char> host(width * height);
  for (std::size_t i = 0; i < host.size(); ++i) {
    host[i] = static_cast<unsigned char>(i * 7);
  }
  void* pitched = nullptr;
  std::size_t pitch = 0;
  CHECK(cudaMallocPitch(&pitched, &pitch, width, height));
  EXPECT(pitch >= width);
  CHECK(cudaMemset2D(pitched, pitch, 9, width, height));
  CHECK(cudaMemcpy2D(pitched, pitch, host.data(), width, width - 1, height, cudaMemcpyHostToDevice));
  std::vector<unsigned char> back(width * height);
  CHECK(cudaMemcpy2D(back.data(), width, pitched, pitch, width, height, cudaMemcpyDeviceToHost));
  for (std::size_t i = 0; i < host.size(); ++i) {
    EXPECT(back[i] == (i % width == width - 1 ? 9 : host[i]));
  }
  CHECK(cudaFree(pitched));
  std::printf("rows: %zu of %zu bytes, %llx\n", height, width, checksum(back));
  return 0;
}

// Copies that find out by the address what is where.
int run_by_address() {
  int* device = device_memory<int>(2);
  int value = 4711;
  CHECK(cudaMemcpy(device, &value, sizeof value, cudaMemcpyDefault));
  CHECK(cudaMemcpy(device + 1, device, sizeof value, cudaMemcpyDefault));
  value = 0;
  CHECK(cudaMemcpy(&value, device + 1, sizeof value, cudaMemcpyDefault));
  EXPECT(value == 4711);
  cudaPointerAttributes attributes{};
  CHECK(cudaPointerGetAttributes(&attributes, device));
  EXPECT(attributes.type == cudaMemoryTypeDevice);
  CHECK(cudaPointerGetAttributes(&attributes, &value));
  EXPECT(attributes.type == cudaMemoryTypeUnregistered);
  std::size_t free = 0;
  std::size_t total = 0;
  CHECK(cudaMemGetInfo(&free, &total));
  EXPECT(free > 0 && free <= total);
  std::printf("by_address: %d\n", value);
  return 0;
}

int run_managed() {
  int* managed = nullptr;
  CHECK(cudaMallocManaged(&managed, 4096));
  managed[0] = 1;
  write_to<<<1, 1>>>(managed + 1, 2);
  CHECK(cudaDeviceSynchronize());
  EXPECT(managed[0] == 1 && managed[1] == 2);
  CHECK(cudaFree(managed));
  std::printf("managed: host and device write to one page\n");
  return 0;
}

__managed__ int both[4] = {10, 20, 30, 40};
__managed__ int many[20000];

int run_managed_variable() {
  EXPECT(both[0] == 10 && both[3] == 40 && many[19999] == 0);
  both[0] = 1;
  write_to<<<1, 1>>>(&both[1], 2);
  write_to<<<1, 1>>>(&many[12345], 77);
  CHECK(cudaDeviceSynchronize());
  EXPECT(both[0] == 1 && both[1] == 2 && both[2] == 30 && both[3] == 40 && many[12345] == 77);
  // The device has what the host wrote last, here and there in it.
  both[2] = 3;
  many[5] = 6;
  many[19999] = 7;
  int* device = device_memory<int>(20000);
  CHECK(cudaMemcpy(device, many, sizeof many, cudaMemcpyDeviceToDevice));
  const std::vector<int> there = fetch(device, 20000);
  EXPECT(there[5] == 6 && there[12345] == 77 && there[19999] == 7 && there[19998] == 0);
  int last[4] = {};
  CHECK(cudaMemcpyFromSymbol(last, both, sizeof last));
  EXPECT(last[0] == 1 && last[1] == 2 && last[2] == 3 && last[3] == 40);
  cudaPointerAttributes attributes{};
  CHECK(cudaPointerGetAttributes(&attributes, both));
  EXPECT(attributes.type == cudaMemoryTypeManaged && attributes.hostPointer == both &&
         attributes.devicePointer == both);
  CHECK(cudaFree(device));
  std::printf("managed_variable: host and device change one variable\n");
  return 0;
}

// 5 MiB of ordinary memory there and back: more than any frame.
int run_ordinary() {
  std::vector<int> host(5 << 18);
  for (std::size_t i = 0; i < host.size(); ++i) {
    host[i] = static_cast<int>(i * 2654435761U);
  }
  int* device = device_memory<int>(host.size());
  CHECK(cudaMemcpy(device, host.data(), host.size() * sizeof(int), cudaMemcpyHostToDevice));
  EXPECT(fetch(device, host.size()) == host);
  CHECK(cudaFree(device));
  std::printf("ordinary: %zu numbers there and back\n", host.size());
  return 0;
}

int run_symbols() {
  int* device = device_memory<int>(32);
  look_up<<<1, 32>>>(device, 32);
  EXPECT(fetch(device, 32)[7] == 121);
  const int changed[8] = {9, 8, 7, 6, 5, 4, 3, 2};
  const int more = 1000;
  CHECK(cudaMemcpyToSymbol(table, changed, sizeof changed));
  CHECK(cudaMemcpyToSymbol(offset, &more, sizeof more));
  look_up<<<1, 32>>>(device, 32);
  EXPECT(fetch(device, 32)[9] == 1008);
  int seen = 0;
  CHECK(cudaMemcpyFromSymbol(&seen, calls, sizeof seen));
  EXPECT(seen == 2);
  void* address = nullptr;
  CHECK(cudaGetSymbolAddress(&address, offset));
  EXPECT(fetch(static_cast<int*>(address), 1)[0] == 1000);
  std::size_t size = 0;
  CHECK(cudaGetSymbolSize(&size, table));
  EXPECT(size == sizeof changed);
  across_files<<<1, 32>>>(device, 32);
  EXPECT(fetch(device, 32)[5] == 25 + 7);
  std::printf("symbols: %d calls, and across two files: right\n", seen);
  return 0;
}

// A captured graph, launched again and again, and one that was built by hand.
int run_graphs() {
  int* device = device_memory<int>(32);
  int* pinned = nullptr;
  CHECK(cudaMallocHost(&pinned, 32 * sizeof(int)));
  cudaStream_t stream = nullptr;
  CHECK(cudaStreamCreate(&stream));
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  CHECK(cudaMemsetAsync(device, 0, 32 * sizeof(int), stream));
  across_files<<<1, 32, 0, stream>>>(device, 32);
  CHECK(cudaMemcpyAsync(pinned, device, 32 * sizeof(int), cudaMemcpyDeviceToHost, stream));
  CHECK(cudaStreamEndCapture(stream, &graph));
  std::size_t nodes = 0;
  CHECK(cudaGraphGetNodes(graph, nullptr, &nodes));
  EXPECT(nodes == 3);
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  for (int round = 0; round < 5; ++round) {
    std::memset(pinned, 0, 32 * sizeof(int));
    CHECK(cudaGraphLaunch(exec, stream));
    CHECK(cudaStreamSynchronize(stream));
    EXPECT(pinned[6] == 36 + 7);
  }
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));

  CHECK(cudaGraphCreate(&graph, 0));
  cudaGraphNode_t first = nullptr;
  cudaGraphNode_t second = nullptr;
  int value = 12;
  int* where = device + 3;
  void* parameters[] = {&where, &value};
  cudaKernelNodeParams kernel{};
  kernel.func = reinterpret_cast<void*>(write_to);
  kernel.gridDim = dim3(1);
  kernel.blockDim = dim3(1);
  kernel.kernelParams = parameters;
  CHECK(cudaGraphAddKernelNode(&first, graph, nullptr, 0, &kernel));
  CHECK(cudaGraphAddMemcpyNode1D(&second, graph, &first, 1, pinned, device + 3, sizeof(int), cudaMemcpyDeviceToHost));
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CHECK(cudaGraphLaunch(exec, stream));
  CHECK(cudaStreamSynchronize(stream));
  EXPECT(pinned[0] == 12);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  std::printf("graphs: captured and built: right\n");
  return 0;
}
