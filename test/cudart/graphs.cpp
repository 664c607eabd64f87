// SPDX-License-Identifier: Apache-2.0
// Graphs, made by hand and by capture, and memory pools.
#include <array>

#include "test/cudart/registered.hpp"

namespace isthmus::test {
namespace {

struct CudartGraph : Cudart {
  void SetUp() override {
    Cudart::SetUp();
    ASSERT_EQ(cudaStreamCreate(&stream), cudaSuccess);
    memory = device_memory<int>(8);
    ASSERT_EQ(cudaMemset(memory, 0, 32), cudaSuccess);
    ASSERT_EQ(cudaGraphCreate(&graph, 0), cudaSuccess);
  }
  void TearDown() override {
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    EXPECT_EQ(cudaFree(memory), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    Cudart::TearDown();
  }

  /// Instantiates the graph, runs it once, and waits.
  cudaGraphExec_t run() {
    cudaGraphExec_t executable = nullptr;
    EXPECT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    run(executable);
    return executable;
  }
  void run(cudaGraphExec_t executable) const {
    EXPECT_EQ(cudaGraphLaunch(executable, stream), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  }

  /// memory[0] = memory[0] * factor + term
  struct Kernel {
    Kernel(int* target, int by, int plus) : to(target), factor(by), term(plus) {
      parameters.func = &program().scale_and_add;
      parameters.gridDim = dim3(1);
      parameters.blockDim = dim3(1);
      parameters.kernelParams = arguments.data();
    }
    Kernel(const Kernel&) = delete;
    int* to;
    int factor;
    int term;
    int count = 1;
    std::array<void*, 4> arguments{static_cast<void*>(&to), &factor, &term, &count};
    cudaKernelNodeParams parameters{};
  };

  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  int* memory = nullptr;
};

TEST_F(CudartGraph, runs_kernels_copies_fills_and_host_functions_in_their_order) {
  cudaGraphNode_t fill = nullptr;
  cudaGraphNode_t kernel = nullptr;
  cudaGraphNode_t copy = nullptr;
  cudaGraphNode_t call = nullptr;
  cudaMemsetParams fill_parameters{};
  fill_parameters.dst = memory;
  fill_parameters.value = 7;
  fill_parameters.elementSize = 4;
  fill_parameters.width = 2;
  fill_parameters.height = 1;
  ASSERT_EQ(cudaGraphAddMemsetNode(&fill, graph, nullptr, 0, &fill_parameters), cudaSuccess);
  const Kernel ten_and_one(memory, 10, 1);
  ASSERT_EQ(cudaGraphAddKernelNode(&kernel, graph, &fill, 1, &ten_and_one.parameters), cudaSuccess);
  std::array<int, 2> got{};
  ASSERT_EQ(cudaGraphAddMemcpyNode1D(&copy, graph, &kernel, 1, got.data(), memory, 8, cudaMemcpyDeviceToHost),
            cudaSuccess);
  cudaHostNodeParams function{};
  function.fn = [](void* data) { ++*static_cast<int*>(data); };
  function.userData = got.data();
  ASSERT_EQ(cudaGraphAddHostNode(&call, graph, &copy, 1, &function), cudaSuccess);

  cudaGraphExec_t executable = run();
  EXPECT_EQ(got[0], 72);
  EXPECT_EQ(got[1], 7);

  std::size_t count = 0;
  EXPECT_EQ(cudaGraphGetNodes(graph, nullptr, &count), cudaSuccess);
  EXPECT_EQ(count, 4U);
  cudaGraphNodeType type{};
  EXPECT_EQ(cudaGraphNodeGetType(kernel, &type), cudaSuccess);
  EXPECT_EQ(type, cudaGraphNodeTypeKernel);

  cudaMemcpy3DParms copy_now{};
  EXPECT_EQ(cudaGraphMemcpyNodeGetParams(copy, &copy_now), cudaSuccess);
  EXPECT_EQ(copy_now.srcPtr.ptr, memory);
  EXPECT_EQ(copy_now.dstPtr.ptr, got.data());
  EXPECT_EQ(copy_now.extent.width, 8U);
  EXPECT_EQ(copy_now.kind, cudaMemcpyDeviceToHost);

  const Kernel hundred(memory, 100, 5);
  EXPECT_EQ(cudaGraphExecKernelNodeSetParams(executable, kernel, &hundred.parameters), cudaSuccess);
  run(executable);
  EXPECT_EQ(got[0], 706);
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
}

TEST_F(CudartGraph, captures_what_a_stream_is_given) {
  cudaGraph_t captured = nullptr;
  std::array<int, 1> got{};
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(launch(&program().scale_and_add, stream, memory, 1, 4, 1), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(got.data(), memory, 4, cudaMemcpyDeviceToHost, stream), cudaSuccess);
  cudaStreamCaptureStatus status{};
  EXPECT_EQ(cudaStreamIsCapturing(stream, &status), cudaSuccess);
  EXPECT_EQ(status, cudaStreamCaptureStatusActive);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamEndCapture(stream, &captured), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(cudaGetLastError(), cudaErrorStreamCaptureInvalidated);

  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(launch(&program().scale_and_add, stream, memory, 1, 4, 1), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(got.data(), memory, 4, cudaMemcpyDeviceToHost, stream), cudaSuccess);
  ASSERT_EQ(cudaStreamEndCapture(stream, &captured), cudaSuccess);
  EXPECT_EQ(fetch(memory, 1).front(), 0) << "nothing ran";
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&executable, captured, 0), cudaSuccess);
  run(executable);
  run(executable);
  EXPECT_EQ(got[0], 8);
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(captured), cudaSuccess);
}

TEST_F(CudartGraph, copies_to_symbols_from_a_graph) {
  cudaGraphNode_t in = nullptr;
  cudaGraphNode_t out = nullptr;
  const int wanted = 99;
  int got = 0;
  ASSERT_EQ(
      cudaGraphAddMemcpyNodeToSymbol(&in, graph, nullptr, 0, &program().offset, &wanted, 4, 0, cudaMemcpyHostToDevice),
      cudaSuccess);
  ASSERT_EQ(
      cudaGraphAddMemcpyNodeFromSymbol(&out, graph, &in, 1, &got, &program().offset, 4, 0, cudaMemcpyDeviceToHost),
      cudaSuccess);
  EXPECT_EQ(cudaGraphExecDestroy(run()), cudaSuccess);
  EXPECT_EQ(got, 99);
  expect_error(
      cudaGraphAddMemcpyNodeToSymbol(&in, graph, nullptr, 0, &program().offset, &wanted, 8, 0, cudaMemcpyHostToDevice),
      cudaErrorInvalidValue);
}

TEST_F(CudartGraph, allocates_in_a_streams_order) {
  void* pooled = nullptr;
  cudaMemPool_t pool = nullptr;
  EXPECT_EQ(cudaDeviceGetDefaultMemPool(&pool, 0), cudaSuccess);
  EXPECT_EQ(cudaMallocAsync(&pooled, 64, stream), cudaSuccess);
  EXPECT_EQ(launch(&program().write_to, stream, static_cast<int*>(pooled), 4), cudaSuccess);
  int got = 0;
  EXPECT_EQ(cudaMemcpyAsync(&got, pooled, 4, cudaMemcpyDeviceToHost, stream), cudaSuccess);
  EXPECT_EQ(cudaFreeAsync(pooled, stream), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(got, 4);
  unsigned long long threshold = 1U << 20U;
  unsigned long long read = 0;
  EXPECT_EQ(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold), cudaSuccess);
  EXPECT_EQ(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &read), cudaSuccess);
  EXPECT_EQ(read, threshold);
}

}  // namespace
}  // namespace isthmus::test
