// SPDX-License-Identifier: Apache-2.0
#include "test/cuda/calls/device.hpp"

namespace isthmus::test {
namespace {

class Graphs : public Cuda {};

TEST_F(Graphs, are_captured_and_run_again_and_again) {
  CUstream in = stream();
  const CUdeviceptr cell = memory(4);
  int* const here = pinned<int>(1);
  CUfunction step = kernel("scale_and_add");
  CUstreamCaptureStatus status{};
  ASSERT_EQ(cuStreamIsCapturing(in, &status), CUDA_SUCCESS);
  EXPECT_EQ(status, CU_STREAM_CAPTURE_STATUS_NONE);
  ASSERT_EQ(cuMemsetD32(cell, 1, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamBeginCapture(in, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamIsCapturing(in, &status), CUDA_SUCCESS);
  EXPECT_EQ(status, CU_STREAM_CAPTURE_STATUS_ACTIVE);
  ASSERT_EQ(launch(step, in, cell, 10, 2, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoHAsync(here, cell, 4, in), CUDA_SUCCESS);
  // Ordinary memory, and functions of the program, are the graph's as long as there is the graph.
  int ordinary = 0;
  int runs = 0;
  EXPECT_EQ(cuMemcpyDtoHAsync(&ordinary, cell, 4, in), CUDA_SUCCESS);
  EXPECT_EQ(cuLaunchHostFunc(in, [](void* data) { ++*static_cast<int*>(data); }, &runs), CUDA_SUCCESS);
  EXPECT_EQ(
      cuStreamAddCallback(in, [](CUstream, CUresult, void*) {}, nullptr, 0), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  CUgraph graph = nullptr;
  ASSERT_EQ(cuStreamEndCapture(in, &graph), CUDA_SUCCESS);
  std::size_t nodes = 0;
  ASSERT_EQ(cuGraphGetNodes(graph, nullptr, &nodes), CUDA_SUCCESS);
  EXPECT_EQ(nodes, 4U);
  CUgraphExec executable = nullptr;
  ASSERT_EQ(cuGraphInstantiate(&executable, graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  EXPECT_EQ(read<int>(cell, 1)[0], 1) << "nothing has run yet";
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(cuGraphLaunch(executable, in), CUDA_SUCCESS);
  }
  ASSERT_EQ(cuStreamSynchronize(in), CUDA_SUCCESS);
  EXPECT_EQ(*here, 1222);
  EXPECT_EQ(ordinary, 1222);
  EXPECT_EQ(runs, 3);
  ASSERT_EQ(cuGraphExecDestroy(executable), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphLaunch(executable, in), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuGraphInstantiate(&executable, graph, 0), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_NE(cuStreamEndCapture(in, &graph), CUDA_SUCCESS) << "there is no capture";
  ASSERT_EQ(cuMemcpyHtoDAsync(cell, &ordinary, 4, in), CUDA_SUCCESS) << "as before";
}

TEST_F(Graphs, have_one_node_for_a_copy_in_several_pieces) {
  // Longer than what the driver knows at a time of the region.
  constexpr std::size_t bytes = std::size_t{80} << 20;
  CUstream in = stream();
  auto* const here = pinned<std::byte>(bytes);
  const CUdeviceptr there = memory(bytes);
  ASSERT_EQ(cuStreamBeginCapture(in, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyHtoDAsync(there, here, bytes, in), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoHAsync(here, there, bytes, in), CUDA_SUCCESS);
  CUgraph graph = nullptr;
  ASSERT_EQ(cuStreamEndCapture(in, &graph), CUDA_SUCCESS);
  std::array<CUgraphNode, 8> nodes{};
  std::size_t count = nodes.size();
  ASSERT_EQ(cuGraphGetNodes(graph, nodes.data(), &count), CUDA_SUCCESS);
  ASSERT_EQ(count, 2U);
  std::size_t after = 1;
  CUgraphNode first = nullptr;
  ASSERT_EQ(cuGraphNodeGetDependencies(nodes[1], &first, nullptr, &after), CUDA_SUCCESS);
  EXPECT_EQ(after, 1U);
  EXPECT_EQ(first, nodes[0]);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree(there), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFreeHost(here), CUDA_SUCCESS);
}

TEST_F(Graphs, are_not_spoilt_by_memory_that_is_given_up_meanwhile) {
  CUstream in = stream();
  CUstream other = stream();
  const CUdeviceptr cell = memory(4);
  ASSERT_EQ(cuMemsetD32(cell, 5, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  int* const given_up = pinned<int>(1);
  alignas(4096) static std::array<int, 2048> registered{};
  ASSERT_EQ(cuMemHostRegister(registered.data(), sizeof registered, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamBeginCapture(in, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_SUCCESS);
  Gate gate;
  hold(other, gate);
  ASSERT_EQ(cuMemcpyDtoHAsync(given_up, cell, 4, other), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFreeHost(given_up), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFreeHost(given_up), CUDA_ERROR_INVALID_VALUE);
  int* const next = pinned<int>(1);  // not what the device may still write to
  EXPECT_NE(next, given_up);
  *next = 1;
  EXPECT_EQ(cuMemHostUnregister(registered.data()), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  gate.open();
  ASSERT_EQ(cuStreamSynchronize(other), CUDA_SUCCESS);
  EXPECT_EQ(*next, 1);
  ASSERT_EQ(launch(kernel("scale_and_add"), in, cell, 10, 2, 1), CUDA_SUCCESS);
  CUgraph graph = nullptr;
  ASSERT_EQ(cuStreamEndCapture(in, &graph), CUDA_SUCCESS) << "the capture is whole";
  EXPECT_EQ(cuMemHostUnregister(registered.data()), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFreeHost(next), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

TEST_F(Graphs, that_fail_leave_those_of_other_streams_alone) {
  CUstream in = stream();
  CUstream failing = stream();
  const CUdeviceptr cell = memory(4);
  std::array<int, 2> ordinary{3, 0};
  CUgraph graph = nullptr;
  ASSERT_EQ(cuStreamBeginCapture(in, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_SUCCESS);
  EXPECT_NE(cuStreamBeginCapture(in, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_SUCCESS) << "it is captured";
  ASSERT_EQ(cuMemcpyHtoDAsync(cell, ordinary.data(), 4, in), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamBeginCapture(failing, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyHtoDAsync(cell, ordinary.data(), 4, failing), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(failing), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED) << "which spoils it";
  EXPECT_EQ(cuStreamEndCapture(failing, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  ASSERT_EQ(cuMemcpyDtoHAsync(&ordinary[1], cell, 4, in), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamEndCapture(in, &graph), CUDA_SUCCESS);
  std::size_t nodes = 0;
  ASSERT_EQ(cuGraphGetNodes(graph, nullptr, &nodes), CUDA_SUCCESS);
  EXPECT_EQ(nodes, 2U) << "what stands beside a copy is not shown";
  // A stream that goes takes its capture along: memory is freed as ever then.
  ASSERT_EQ(cuStreamBeginCapture(failing, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamDestroy(failing), CUDA_SUCCESS);
  CUgraphExec executable = nullptr;
  ASSERT_EQ(cuGraphInstantiate(&executable, graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphLaunch(executable, in), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(in), CUDA_SUCCESS);
  EXPECT_EQ(ordinary[1], 3);
  // A copy with a function beside it cannot be switched off, nor does it lose its memory when it becomes another.
  std::array<CUgraphNode, 2> both{};
  nodes = both.size();
  ASSERT_EQ(cuGraphGetNodes(graph, both.data(), &nodes), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphNodeSetEnabled(executable, both[1], 0), CUDA_ERROR_NOT_SUPPORTED);
  std::array<int, 5> elsewhere{};
  for (int& to : elsewhere) {
    CUDA_MEMCPY3D copy{};
    copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.srcDevice = cell;
    copy.dstMemoryType = CU_MEMORYTYPE_HOST;
    copy.dstHost = &to;
    copy.WidthInBytes = 4;
    copy.Height = copy.Depth = 1;
    ASSERT_EQ(cuGraphExecMemcpyNodeSetParams(executable, both[1], &copy, context), CUDA_SUCCESS);
    ASSERT_EQ(cuGraphLaunch(executable, in), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamSynchronize(in), CUDA_SUCCESS);
    EXPECT_EQ(to, 3);
  }
  EXPECT_EQ(cuGraphExecDestroy(executable), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree(cell), CUDA_SUCCESS);
}

TEST_F(Graphs, that_a_node_chooses_among_go_with_the_node) {
  CUgraph graph = nullptr;
  CUgraphConditionalHandle handle = 0;
  ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphConditionalHandleCreate(&handle, graph, context, 1, CU_GRAPH_COND_ASSIGN_DEFAULT), CUDA_SUCCESS);
  CUgraphNodeParams choice{};
  choice.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
  choice.conditional.handle = handle + 1;
  choice.conditional.type = CU_GRAPH_COND_TYPE_IF;
  choice.conditional.size = 1;
  CUgraphNode node = nullptr;
  EXPECT_EQ(cuGraphAddNode(&node, graph, nullptr, nullptr, 0, &choice), CUDA_ERROR_INVALID_VALUE) << "no such handle";
  choice.conditional.handle = handle;
  ASSERT_EQ(cuGraphAddNode(&node, graph, nullptr, nullptr, 0, &choice), CUDA_SUCCESS);
  CUgraph body = choice.conditional.phGraph_out[0];
  CUgraphNode inside = nullptr;
  ASSERT_EQ(cuGraphAddEmptyNode(&inside, body, nullptr, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(body), CUDA_ERROR_INVALID_VALUE) << "it is the node's";
  ASSERT_EQ(cuGraphDestroyNode(node), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphAddEmptyNode(&inside, body, nullptr, 0), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuGraphDestroyNode(inside), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

TEST_F(Graphs, are_built_of_nodes) {
  const CUdeviceptr cell = memory(8);
  int* const here = pinned<int>(2);
  CUgraph graph = nullptr;
  CUgraph other = nullptr;
  ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphCreate(&other, 0), CUDA_SUCCESS);
  std::array<CUgraphNode, 4> nodes{};
  CUDA_MEMSET_NODE_PARAMS set{};
  set.dst = cell;
  set.value = 4;
  set.elementSize = 4;
  set.width = 2;
  set.height = 1;
  ASSERT_EQ(cuGraphAddMemsetNode(nodes.data(), graph, nullptr, 0, &set, context), CUDA_SUCCESS);
  CUdeviceptr where = cell;
  int factor = 10;
  int term = 1;
  int count = 2;
  std::array<void*, 4> parameters{&where, &factor, &term, &count};
  CUDA_KERNEL_NODE_PARAMS work{};
  work.func = kernel("scale_and_add");
  work.gridDimX = work.gridDimY = work.gridDimZ = work.blockDimX = work.blockDimY = work.blockDimZ = 1;
  work.kernelParams = parameters.data();
  ASSERT_EQ(cuGraphAddKernelNode(&nodes[1], graph, nodes.data(), 1, &work), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphAddEmptyNode(&nodes[2], graph, &nodes[1], 1), CUDA_SUCCESS);
  CUDA_MEMCPY3D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.srcDevice = cell;
  copy.dstMemoryType = CU_MEMORYTYPE_HOST;
  copy.dstHost = here;
  copy.WidthInBytes = 8;
  copy.Height = copy.Depth = 1;
  ASSERT_EQ(cuGraphAddMemcpyNode(&nodes[3], graph, &nodes[2], 1, &copy, context), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphAddEmptyNode(&nodes[2], other, &nodes[1], 1), CUDA_ERROR_INVALID_VALUE) << "of another graph";
  CUDA_MEMCPY3D ordinary = copy;
  std::array<int, 4> there{7, 7, 7, 7};
  ordinary.srcMemoryType = CU_MEMORYTYPE_HOST;
  ordinary.srcHost = there.data();
  EXPECT_EQ(cuGraphAddMemcpyNode(&nodes[2], graph, nullptr, 0, &ordinary, context), CUDA_SUCCESS)
      << "into pinned memory";
  ordinary.dstHost = there.data() + 2;
  EXPECT_EQ(cuGraphAddMemcpyNode(&nodes[2], graph, nullptr, 0, &ordinary, context), CUDA_ERROR_NOT_SUPPORTED)
      << "from ordinary memory to such";
  ASSERT_EQ(cuGraphDestroyNode(nodes[2]), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroyNode(nodes[2]), CUDA_ERROR_INVALID_HANDLE);
  set.width = 3;
  EXPECT_EQ(cuGraphAddMemsetNode(nodes.data(), graph, nullptr, 0, &set, context), CUDA_ERROR_INVALID_VALUE);
  CUgraphExec executable = nullptr;
  ASSERT_EQ(cuGraphInstantiate(&executable, graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphLaunch(executable, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(here[0], 41);
  EXPECT_EQ(here[1], 41);
  // What is made does other things then.
  factor = 100;
  ASSERT_EQ(cuGraphExecKernelNodeSetParams(executable, nodes[1], &work), CUDA_SUCCESS);
  copy.dstHost = here + 1;
  copy.WidthInBytes = 4;
  ASSERT_EQ(cuGraphExecMemcpyNodeSetParams(executable, nodes[3], &copy, context), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphLaunch(executable, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(here[0], 41);
  EXPECT_EQ(here[1], 401);
  set.width = 2;
  set.value = 5;
  ASSERT_EQ(cuGraphExecMemsetNodeSetParams(executable, nodes[0], &set, context), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphLaunch(executable, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(here[1], 501);
  copy.dstHost = there.data();
  EXPECT_EQ(cuGraphExecMemcpyNodeSetParams(executable, nodes[3], &copy, context), CUDA_ERROR_NOT_SUPPORTED)
      << "no node has a function of ours beside it";
  unsigned enabled = 0;
  ASSERT_EQ(cuGraphNodeGetEnabled(executable, nodes[3], &enabled), CUDA_SUCCESS);
  EXPECT_EQ(enabled, 1U);
  ASSERT_EQ(cuGraphNodeSetEnabled(executable, nodes[3], 0), CUDA_SUCCESS);
  here[1] = 5;
  ASSERT_EQ(cuGraphLaunch(executable, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(here[1], 5);
  EXPECT_EQ(cuGraphExecDestroy(executable), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_ERROR_INVALID_HANDLE);
}

}  // namespace
}  // namespace isthmus::test
