// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cuda.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>

#include "test/cuda/standin/array.hpp"
#include "test/cuda/standin/context.hpp"
#include "test/cuda/standin/event.hpp"
#include "test/cuda/standin/handles.hpp"
#include "test/cuda/standin/memory_map.hpp"
#include "test/cuda/standin/module.hpp"
#include "test/cuda/standin/physical.hpp"
#include "test/cuda/standin/pool.hpp"

namespace isthmus::standin {

struct Graph;
struct GraphNode;
struct GraphExec;
struct UserObject;
struct Condition;
struct Linking;

struct PrimaryContext {
  std::mutex mutex;
  std::shared_ptr<Context> context;  ///< null while inactive
  unsigned users = 0;
  unsigned flags = 0;
  CUmemoryPool default_pool = nullptr;  ///< made when it is first asked for
  CUmemoryPool pool = nullptr;          ///< that cuMemAllocAsync uses
};

/// Everything of the process. Never destroyed: threads of ours run until the process ends.
struct Driver {
  std::atomic<int> owner{0};  ///< the process that called cuInit; 0 before
  MemoryMap memory;
  Handles<CUcontext, Context> contexts{1};
  Handles<CUstream, Stream> streams{2};
  Handles<CUevent, Event> events{3};
  Handles<CUmodule, Module> modules{4};
  Handles<CUfunction, Function> functions{5};
  Handles<CUlibrary, Library> libraries{6};
  Handles<CUkernel, LibraryKernel> kernels{7};
  Handles<CUgraph, Graph> graphs{8};
  Handles<CUgraphNode, GraphNode> graph_nodes{9};
  Handles<CUgraphExec, GraphExec> graph_execs{10};
  Handles<CUmemoryPool, Pool> pools{11};
  Handles<CUmemGenericAllocationHandle, Physical> physicals{12};
  Handles<CUarray, Array> arrays{13};
  Handles<CUmipmappedArray, MipmappedArray> mipmapped_arrays{14};
  Handles<CUtexObject, Texture> textures{15};
  Handles<CUsurfObject, Texture> surfaces{16};
  Handles<CUuserObject, UserObject> user_objects{17};
  Handles<CUgraphConditionalHandle, Condition> conditions{18};
  Handles<CUlinkState, Linking> links{19};
  std::array<PrimaryContext, 8> primaries;  // as many as settings() allows devices
};

Driver& driver();

/// Fails with CUDA_ERROR_INVALID_DEVICE.
void require_device(CUdevice device);

/// Waits for its work, and forgets all that belongs to it.
void destroy(const std::shared_ptr<Context>& context);

}  // namespace isthmus::standin
