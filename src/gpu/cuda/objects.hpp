// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <variant>
#include <vector>

#include "src/gpu/cuda/cu.hpp"
#include "src/gpu/cuda/host_functions.hpp"
#include "src/gpu/cuda/jit_options.hpp"
#include "src/gpu/cuda/messages.hpp"
#include "src/gpu/cuda/ranges.hpp"
#include "src/gpu/object_table.hpp"

namespace isthmus::cuda {

struct ContextObject {
  CUcontext handle = nullptr;
  CUdevice device = 0;
  bool primary = false;
  std::atomic<bool> alive{true};  ///< false once destroyed: the driver has let go of all that was in it
};

/// Whether what belongs to a context can still be handed to the driver; what belongs to none can.
[[nodiscard]] inline bool lives(const std::shared_ptr<ContextObject>& context) noexcept {
  return context == nullptr || context->alive.load(std::memory_order_acquire);
}

struct StreamObject {
  std::shared_ptr<ContextObject> context;
  CUstream handle = nullptr;
};

struct EventObject {
  std::shared_ptr<ContextObject> context;
  CUevent handle = nullptr;
};

/// A module, or a library.
struct ModuleObject {
  std::shared_ptr<ContextObject> context;  ///< of a module
  CUmodule module = nullptr;
  CUlibrary library = nullptr;     ///< if not null, it is one
  std::mutex managed_mutex;        ///< guards what follows, and its memory while it is read or written
  Ranges<std::monostate> managed;  ///< variables of a library that were asked for
  bool unloading = false;          ///< no more of them are to be asked for

  /// Before the driver takes back what these variables lie in.
  void forget_managed(bool unloads) {
    const std::scoped_lock lock(managed_mutex);
    unloading = unloading || unloads;
    managed.remove_if([](const auto&) { return true; });
  }
};

/// cuLinkCreate's. The mutex guards what follows it: the driver wants one call at a time.
struct LinkObject {
  std::shared_ptr<ContextObject> context;
  Id in = 0;  ///< the context's name
  std::unique_ptr<JitOptions> options;
  std::mutex mutex;
  CUlinkState state = nullptr;  ///< null once destroyed
  std::vector<std::byte> image;
};

struct FunctionObject {
  std::shared_ptr<ModuleObject> owner;
  std::shared_ptr<ContextObject> context;  ///< of a function; a kernel has none
  CUfunction function = nullptr;
  CUkernel kernel = nullptr;  ///< if not null, it is one
  std::vector<ParameterRow> parameters;
  std::uint32_t parameter_bytes = 0;
};

struct GraphObject {
  Id id = 0;
  CUgraph handle = nullptr;
  std::shared_ptr<GraphObject> whole;  ///< of one that a conditional node chooses: the graph that has this node
  CUgraphNode node = nullptr;          ///< and the node
  std::atomic<bool> captured{false};   ///< a stream is recording into it, and it is the capture's
};

/// A node that the client's program sees.
struct NodeObject {
  std::shared_ptr<GraphObject> graph;
  CUgraphNode handle = nullptr;
};

/// What stands beside a node that the program sees: the node of a function of the client's, and further pieces of a
/// copy. They come one after the other.
struct NodeChain {
  CUgraph graph = nullptr;
  CUgraphNode first = nullptr;
  CUgraphNode last = nullptr;
  CUgraphNode function = nullptr;  ///< null without one
  bool after = false;              ///< the function runs after the copy
  std::vector<CUgraphNode> all;
};

/// By the node that is seen. Guarded by its mutex.
struct NodeChains {
  std::mutex mutex;
  std::map<CUgraphNode, NodeChain> chains;
  std::map<CUgraphNode, CUgraphNode> seen;  ///< of those that are not: the one that is
  std::map<CUgraphNode, Id> names;
  std::map<CUgraphConditionalHandle, CUgraph> conditions;  ///< and the graph that each was made for
};

/// Where an executable graph was launched: one stream, or several.
struct LaunchPlaces {
  Place place;
  bool launched = false;
  bool several = false;

  void add(const Place& next) noexcept {
    // Each thread has a stream of its own by that name.
    several = several || next.stream == per_thread_stream ||
              (launched && (next.context != place.context || next.stream != place.stream));
    place = next;
    launched = true;
  }
};

/// A function that an executable graph ran and runs no more, once what was launched before is done.
struct ReplacedFunction {
  LaunchPlaces runs;
  std::unique_ptr<RepeatedFunction> function;
};

struct ExecutableObject {
  std::shared_ptr<ContextObject> context;
  CUgraphExec handle = nullptr;
  // Under LaneBackend's mutex for replaced functions.
  LaunchPlaces runs;
  std::map<CUgraphNode, std::unique_ptr<RepeatedFunction>> functions;  ///< that were put into it afterwards
};

/// Device memory of another client's, which is open here.
struct OpenedMemory {
  Id name = 0;  ///< of the context
  CUcontext context = nullptr;
  std::uint64_t times = 0;  ///< that it was opened
};

/// A pool of the program's own.
struct PoolObject {
  CUmemoryPool handle = nullptr;
  CUdevice device = 0;
};

/// An array, a mipmapped one, or a level of one.
struct ArrayObject {
  std::shared_ptr<ContextObject> context;
  std::shared_ptr<ArrayObject> whole;  ///< of a level
  CUarray array = nullptr;
  CUmipmappedArray mipmapped = nullptr;
};

/// A texture or surface: the driver's number, which is one of its context.
struct TextureName {
  Id context = 0;
  std::uint64_t number = 0;
  ObjectUse use = ObjectUse::texture;
  friend auto operator<=>(const TextureName&, const TextureName&) = default;
};

}  // namespace isthmus::cuda
