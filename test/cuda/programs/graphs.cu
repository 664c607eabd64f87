// SPDX-License-Identifier: Apache-2.0
// Graphs of every kind of node, and what becomes of them.
#include "programs.hpp"

extern "C" __global__ void count_down(int* counter, cudaGraphConditionalHandle handle) {
  printf("kernel: counter %d\n", *counter);
  if (*counter != 0) {
    --*counter;
  }
  cudaGraphSetConditional(handle, static_cast<unsigned>(*counter));
}

extern "C" __global__ void set_choice(const int* choice, cudaGraphConditionalHandle handle) {
  cudaGraphSetConditional(handle, static_cast<unsigned>(*choice));
}

extern "C" __global__ void add_to_all(int* values, int term, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) {
    values[i] += term;
  }
}

namespace {

constexpr int many = 100000;

cudaGraph_t new_graph() {
  cudaGraph_t made = nullptr;
  CHECK(cudaGraphCreate(&made, 0));
  return made;
}

cudaGraphExec_t executable(cudaGraph_t graph) {
  cudaGraphExec_t made = nullptr;
  CHECK(cudaGraphInstantiate(&made, graph, 0));
  return made;
}

std::size_t size_of(cudaGraph_t graph) {
  std::size_t count = 0;
  CHECK(cudaGraphGetNodes(graph, nullptr, &count));
  return count;
}

struct Adding {
  int* values;
  int term;
  int count = many;
  void* arguments[3];
  cudaKernelNodeParams node{};

  Adding(int* to, int by) : values(to), term(by), arguments{&values, &term, &count} {
    node.func = reinterpret_cast<void*>(add_to_all);
    node.gridDim = dim3((many + 255) / 256);
    node.blockDim = dim3(256);
    node.kernelParams = arguments;
  }
};

// What a graph's host functions work with.
struct Host {
  std::vector<int> values;
  int begun = 0;
  int runs = 0;
  int last = 0;
};

void look(void* data) {
  Host& host = *static_cast<Host*>(data);
  ++host.runs;
  host.last = host.values.back();
}

void count(void* data) { ++static_cast<Host*>(data)->begun; }

// Ordinary memory is read and written each time, and host functions see what the copies before them wrote.
void ordinary_memory(cudaStream_t stream) {
  Host host{std::vector<int>(many, 5)};
  int* device = device_memory<int>(many);
  constexpr std::size_t bytes = many * sizeof(int);
  cudaGraph_t graph = new_graph();
  cudaGraphNode_t before = nullptr, in = nullptr, add = nullptr, out = nullptr, after = nullptr;
  const cudaHostNodeParams first{count, &host};
  CHECK(cudaGraphAddHostNode(&before, graph, nullptr, 0, &first));
  CHECK(cudaGraphAddMemcpyNode1D(&in, graph, &before, 1, device, host.values.data(), bytes, cudaMemcpyHostToDevice));
  Adding adding(device, 10);
  CHECK(cudaGraphAddKernelNode(&add, graph, &in, 1, &adding.node));
  CHECK(cudaGraphAddMemcpyNode1D(&out, graph, &add, 1, host.values.data(), device, bytes, cudaMemcpyDeviceToHost));
  const cudaHostNodeParams last{look, &host};
  CHECK(cudaGraphAddHostNode(&after, graph, &out, 1, &last));
  EXPECT(size_of(graph) == 5);
  std::vector<cudaGraphNode_t> nodes(8);
  std::size_t many_nodes = nodes.size();
  CHECK(cudaGraphGetNodes(graph, nodes.data(), &many_nodes));
  EXPECT(many_nodes == 5 && nodes[5] == nullptr);
  many_nodes = nodes.size();
  CHECK(cudaGraphGetRootNodes(graph, nodes.data(), &many_nodes));
  EXPECT(many_nodes == 1 && nodes[0] == before);
  many_nodes = nodes.size();
  CHECK(cudaGraphNodeGetDependencies(after, nodes.data(), nullptr, &many_nodes));
  EXPECT(many_nodes == 1 && nodes[0] == out);
  many_nodes = nodes.size();
  CHECK(cudaGraphNodeGetDependentNodes(before, nodes.data(), nullptr, &many_nodes));
  EXPECT(many_nodes == 1 && nodes[0] == in);
  cudaGraphNodeType type{};
  CHECK(cudaGraphNodeGetType(out, &type));
  EXPECT(type == cudaGraphNodeTypeMemcpy);

  cudaGraphExec_t run = executable(graph);
  for (int i = 0; i < 3; ++i) {
    CHECK(cudaGraphLaunch(run, stream));
    CHECK(cudaStreamSynchronize(stream));  // a driver may read ordinary memory as soon as it is launched
    ++host.values.back();
  }
  EXPECT(host.begun == 3 && host.runs == 3 && host.last == 5 + 3 * 10 + 2 && host.values.front() == 5 + 3 * 10);

  cudaGraph_t twin = nullptr;
  CHECK(cudaGraphClone(&twin, graph));
  EXPECT(size_of(twin) == 5);
  cudaGraphNode_t found = nullptr;
  CHECK(cudaGraphNodeFindInClone(&found, add, twin));
  Adding twice(device, 20);
  CHECK(cudaGraphKernelNodeSetParams(found, &twice.node));
  cudaGraphExec_t run_twin = executable(twin);
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaGraphDestroy(twin));
  for (cudaGraphExec_t each : {run_twin, run}) {
    CHECK(cudaGraphLaunch(each, stream));
    CHECK(cudaStreamSynchronize(stream));
  }
  EXPECT(host.runs == 5 && host.values.front() == 65 && host.last == 65 + 3);
  CHECK(cudaGraphExecDestroy(run));
  CHECK(cudaGraphExecDestroy(run_twin));
  CHECK(cudaFree(device));
  std::printf("ordinary memory: %d runs, %d\n", host.runs, host.last);
}

// The same by capture, and the executable graph is made to do what another does.
void captured_memory(cudaStream_t stream) {
  Host host{std::vector<int>(many, 1)};
  int* device = device_memory<int>(many);
  int small = 0;
  cudaGraphExec_t run = nullptr;
  for (int i = 0; i < 3; ++i) {
    cudaGraph_t graph = nullptr;
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    CHECK(cudaMemcpyAsync(device, host.values.data(), many * sizeof(int), cudaMemcpyHostToDevice, stream));
    add_to_all<<<(many + 255) / 256, 256, 0, stream>>>(device, i, many);
    CHECK(cudaMemcpyAsync(&small, device + many / 2, sizeof small, cudaMemcpyDefault, stream));
    CHECK(cudaMemcpyAsync(host.values.data(), device, many * sizeof(int), cudaMemcpyDeviceToHost, stream));
    CHECK(cudaLaunchHostFunc(stream, look, &host));
    CHECK(cudaStreamEndCapture(stream, &graph));
    EXPECT(size_of(graph) == 5);
    if (run == nullptr) {
      run = executable(graph);
    } else {
      cudaGraphExecUpdateResultInfo info{};
      CHECK(cudaGraphExecUpdate(run, graph, &info));
      EXPECT(info.result == cudaGraphExecUpdateSuccess);
    }
    CHECK(cudaGraphDestroy(graph));
    CHECK(cudaGraphLaunch(run, stream));
    CHECK(cudaStreamSynchronize(stream));
    EXPECT(host.runs == i + 1 && small == host.last);
  }
  EXPECT(host.last == 1 + 0 + 1 + 2);
  CHECK(cudaGraphExecDestroy(run));
  CHECK(cudaFree(device));
  std::printf("captured: %d runs, %d\n", host.runs, host.last);
}

// Memory that comes and goes with the graph, events, and a graph inside a graph.
void other_nodes(cudaStream_t stream) {
  cudaGraph_t graph = new_graph();
  cudaMemAllocNodeParams memory{};
  memory.bytesize = many * sizeof(int);
  memory.poolProps.allocType = cudaMemAllocationTypePinned;
  memory.poolProps.location = {cudaMemLocationTypeDevice, 0};
  cudaGraphNode_t allocate = nullptr, set = nullptr, child = nullptr, record = nullptr, out = nullptr, gone = nullptr;
  CHECK(cudaGraphAddMemAllocNode(&allocate, graph, nullptr, 0, &memory));
  int* device = static_cast<int*>(memory.dptr);
  cudaMemsetParams zero{};
  zero.dst = device;
  zero.elementSize = sizeof(int);
  zero.width = many;
  zero.height = 1;
  zero.value = 3;
  CHECK(cudaGraphAddMemsetNode(&set, graph, &allocate, 1, &zero));
  cudaGraph_t inner = new_graph();
  cudaGraphNode_t add = nullptr;
  Adding adding(device, 4);
  CHECK(cudaGraphAddKernelNode(&add, inner, nullptr, 0, &adding.node));
  CHECK(cudaGraphAddChildGraphNode(&child, graph, &set, 1, inner));
  CHECK(cudaGraphDestroy(inner));
  cudaEvent_t event = nullptr;
  CHECK(cudaEventCreate(&event));
  CHECK(cudaGraphAddEventRecordNode(&record, graph, &child, 1, event));
  int result = 0;
  CHECK(cudaGraphAddMemcpyNode1D(&out, graph, &record, 1, &result, device + many - 1, sizeof result,
                                 cudaMemcpyDeviceToHost));
  CHECK(cudaGraphAddMemFreeNode(&gone, graph, &out, 1, device));
  cudaGraphExec_t run = executable(graph);
  for (int i = 0; i < 2; ++i) {
    result = 0;
    CHECK(cudaGraphLaunch(run, stream));
    CHECK(cudaEventSynchronize(event));
    CHECK(cudaStreamSynchronize(stream));
    EXPECT(result == 7);
  }
  std::size_t most = 0;
  CHECK(cudaDeviceGetGraphMemAttribute(0, cudaGraphMemAttrReservedMemHigh, &most));
  EXPECT(most >= many * sizeof(int));
  CHECK(cudaDeviceGraphMemTrim(0));
  CHECK(cudaGraphExecDestroy(run));
  CHECK(cudaGraphDestroy(graph));

  // Memory of a captured graph that outlives it, and is freed outside.
  int* kept = nullptr;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  CHECK(cudaMallocAsync(&kept, many * sizeof(int), stream));
  CHECK(cudaMemsetAsync(kept, 1, many * sizeof(int), stream));
  CHECK(cudaStreamEndCapture(stream, &graph));
  run = executable(graph);
  for (int i = 0; i < 2; ++i) {
    CHECK(cudaGraphLaunch(run, stream));
    CHECK(cudaStreamSynchronize(stream));
    EXPECT(fetch(kept, many)[many - 1] == 0x01010101);
    CHECK(i == 0 ? cudaFreeAsync(kept, stream) : cudaFree(kept));
  }
  CHECK(cudaStreamSynchronize(stream));
  CHECK(cudaGraphExecDestroy(run));
  CHECK(cudaGraphDestroy(graph));
  std::printf("other nodes: %d\n", result);
}

// Nodes that choose: built and captured.
void conditional_nodes(cudaStream_t stream) {
  int* counter = device_memory<int>(1);
  cudaGraph_t graph = nullptr;
  const cudaGraphNode_t* before = nullptr;
  std::size_t count = 0;
  cudaStreamCaptureStatus status{};
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  CHECK(cudaStreamGetCaptureInfo(stream, &status, nullptr, &graph, &before, nullptr, &count));
  EXPECT(status == cudaStreamCaptureStatusActive && count == 0);
  cudaGraphConditionalHandle handle{};
  CHECK(cudaGraphConditionalHandleCreate(&handle, graph, 0, 0));
  count_down<<<1, 1, 0, stream>>>(counter, handle);
  CHECK(cudaStreamGetCaptureInfo(stream, &status, nullptr, &graph, &before, nullptr, &count));
  EXPECT(count == 1);
  cudaGraphNodeParams loop{cudaGraphNodeTypeConditional};
  loop.conditional.handle = handle;
  loop.conditional.type = cudaGraphCondTypeWhile;
  loop.conditional.size = 1;
  cudaGraphNode_t node = nullptr;
  CHECK(cudaGraphAddNode(&node, graph, before, nullptr, count, &loop));
  cudaGraph_t body = loop.conditional.phGraph_out[0];
  CHECK(cudaStreamUpdateCaptureDependencies(stream, &node, nullptr, 1, cudaStreamSetCaptureDependencies));
  add_to_all<<<1, 32, 0, stream>>>(counter, 100, 1);
  cudaGraph_t same = nullptr;
  CHECK(cudaStreamEndCapture(stream, &same));
  EXPECT(same == graph && size_of(graph) == 3);
  CHECK(cudaStreamBeginCaptureToGraph(stream, body, nullptr, nullptr, 0, cudaStreamCaptureModeGlobal));
  count_down<<<1, 1, 0, stream>>>(counter, handle);
  CHECK(cudaStreamEndCapture(stream, nullptr));
  cudaGraphExec_t run = executable(graph);
  int start = 3;
  CHECK(cudaMemcpy(counter, &start, sizeof start, cudaMemcpyHostToDevice));
  CHECK(cudaGraphLaunch(run, stream));
  CHECK(cudaStreamSynchronize(stream));
  EXPECT(fetch(counter, 1)[0] == 100);
  CHECK(cudaGraphExecDestroy(run));
  CHECK(cudaGraphDestroy(graph));

  graph = new_graph();
  CHECK(cudaGraphConditionalHandleCreate(&handle, graph, 0, 0));
  void* arguments[] = {&counter, &handle};
  cudaGraphNodeParams choose{cudaGraphNodeTypeKernel};
  choose.kernel.func = reinterpret_cast<void*>(set_choice);
  choose.kernel.gridDim = choose.kernel.blockDim = dim3(1);
  choose.kernel.kernelParams = arguments;
  cudaGraphNode_t first = nullptr;
  CHECK(cudaGraphAddNode(&first, graph, nullptr, nullptr, 0, &choose));
  cudaGraphNodeParams either{cudaGraphNodeTypeConditional};
  either.conditional.handle = handle;
  either.conditional.type = cudaGraphCondTypeIf;
  either.conditional.size = 2;
  CHECK(cudaGraphAddNode(&node, graph, &first, nullptr, 1, &either));
  for (int i = 0; i < 2; ++i) {
    Adding adding(counter, i == 0 ? 10 : 20);
    adding.count = 1;
    cudaGraphNode_t added = nullptr;
    CHECK(cudaGraphAddKernelNode(&added, either.conditional.phGraph_out[i], nullptr, 0, &adding.node));
  }
  run = executable(graph);
  for (const int value : {0, 1}) {
    CHECK(cudaMemcpy(counter, &value, sizeof value, cudaMemcpyHostToDevice));
    CHECK(cudaGraphLaunch(run, stream));
    CHECK(cudaStreamSynchronize(stream));
    EXPECT(fetch(counter, 1)[0] == (value != 0 ? 11 : 20));
  }
  CHECK(cudaGraphExecDestroy(run));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaFree(counter));
  std::printf("conditional nodes: right\n");
}

}  // namespace

int run_graph_nodes() {
  cudaStream_t stream = nullptr;
  CHECK(cudaStreamCreate(&stream));
  ordinary_memory(stream);
  captured_memory(stream);
  other_nodes(stream);
  conditional_nodes(stream);
  CHECK(cudaStreamDestroy(stream));
  return 0;
}
