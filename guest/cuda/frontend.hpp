// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "guest/cuda/array.hpp"
#include "guest/cuda/connection.hpp"
#include "guest/cuda/context_stack.hpp"
#include "guest/cuda/device_addresses.hpp"
#include "guest/cuda/device_pool.hpp"
#include "guest/cuda/handles.hpp"
#include "guest/cuda/jit_request.hpp"
#include "isthmus/frame.hpp"
#include "src/gpu/cuda/captures.hpp"
#include "src/gpu/cuda/cu.hpp"
#include "src/gpu/cuda/messages.hpp"
#include "src/gpu/cuda/ranges.hpp"

namespace isthmus::cuda {

struct ContextRecord {
  std::uint32_t device = 0;
  bool primary = false;
  ContextInfo info;
};

struct StreamRecord {
  Id context = 0;
  std::uint32_t flags = 0;
  std::int32_t priority = 0;
};

struct EventRecord {
  Id context = 0;
  std::uint32_t flags = 0;
  /// How often it was recorded, and which of these was seen to be done: then nobody needs to be asked. Any thread.
  mutable std::uint64_t recorded = 0;
  mutable std::uint64_t done = 0;
  mutable bool elsewhere = false;

  void count_recording() const noexcept { std::atomic_ref(recorded).fetch_add(1); }
  [[nodiscard]] std::uint64_t recordings() const noexcept { return std::atomic_ref(recorded).load(); }
  /// A graph or another process records it, nobody counts when.
  void note_elsewhere() const noexcept { std::atomic_ref(elsewhere).store(true); }
  /// Whether another process may record it and wait for it, after something that the host is not told of.
  [[nodiscard]] bool is_shared() const noexcept { return (flags & CU_EVENT_INTERPROCESS) != 0; }
  [[nodiscard]] bool is_done() const noexcept {
    return std::atomic_ref(done).load() == recordings() && !std::atomic_ref(elsewhere).load();
  }
  /// What was recorded so often is done.
  void note_done(std::uint64_t recordings) const noexcept { std::atomic_ref(done).store(recordings); }
};

/// A module, or a library.
struct ModuleRecord {
  Id context = 0;  ///< 0 for a library
  bool library = false;
};

/// What cuLinkCreate makes. Guarded by its mutex.
struct Link {
  explicit Link(JitRequest asked) : options(std::move(asked)) {}
  std::mutex mutex;
  JitRequest options;
  std::vector<std::byte> image;  ///< once complete: the program's until cuLinkDestroy
};
struct LinkRecord {
  Id context = 0;
  std::shared_ptr<Link> link;
};

/// A function, or a kernel, which may stand for one.
struct FunctionRecord {
  Id owner = 0;
  Id context = 0;  ///< 0 for a kernel
  bool kernel = false;
  std::string name;
  FunctionInfo info{};
  std::vector<ParameterRow> parameters;
  std::uint32_t parameter_bytes = 0;

  /// An attribute's value, or nothing where the driver did not tell.
  [[nodiscard]] std::optional<int> attribute(CUfunction_attribute which) const {
    const auto index = static_cast<std::size_t>(which);
    return index < info.attributes.size() && info.attributes.at(index) != no_attribute
               ? std::optional(info.attributes.at(index))
               : std::nullopt;
  }
};

/// A pool of the program's own.
struct PoolRecord {
  std::uint32_t device = 0;
};

/// Memory of cuMemCreate. Under Frontend::virtual_mutex.
struct PhysicalRecord {
  CUmemAllocationProp properties{};
  std::uint64_t size = 0;
  std::uint64_t handles = 1;   ///< as many as the program has to release
  std::uint64_t mappings = 0;  ///< with none of both, the memory is gone
};

struct GraphRecord {
  Id id = 0;
  Id whole = 0;  ///< of one that a conditional node chooses: the graph that has this node
};

struct NodeRecord {
  Id graph = 0;
  std::vector<CUgraph> bodies;  ///< that it chooses among
};

struct ExecutableRecord {
  std::uint64_t flags = 0;
};

enum class MemoryKind : std::uint8_t {
  device,
  variable,    ///< of a module
  pinned,      ///< slab memory: cuMemHostAlloc
  managed,     ///< slab memory: cuMemAllocManaged
  registered,  ///< whole pages of the program's memory that lie in the slab: cuMemHostRegister
  ordinary,    ///< what is left of registered memory on the first and last page
};
[[nodiscard]] constexpr bool lies_in_slab(MemoryKind kind) noexcept {
  return kind == MemoryKind::pinned || kind == MemoryKind::managed || kind == MemoryKind::registered;
}
[[nodiscard]] constexpr bool lies_on_device(MemoryKind kind) noexcept {
  return kind == MemoryKind::device || kind == MemoryKind::variable;
}

/// Who knows whether the GPU may use memory: it may; the host is to be asked; or it may not.
enum class Access : std::uint8_t { allowed, asked, none };

/// What is known of memory that the GPU reaches.
struct MemoryInfo {
  MemoryKind kind = MemoryKind::device;
  Id context = 0;
  std::uint32_t device = 0;
  std::uint32_t flags = 0;        ///< of cuMemHostAlloc
  std::uint64_t number = 0;       ///< CU_POINTER_ATTRIBUTE_BUFFER_ID
  std::uint64_t offset = 0;       ///< of slab memory: in the region
  bool managed_variable = false;  ///< a variable that is declared __managed__
  bool of_graph = false;          ///< device memory that comes and goes in a graph: freeing it does not forget it
  std::uint64_t work = 0;         ///< WorkCount::issued() when it was allocated; of memory of the pool
  bool pooled = false;            ///< device memory of Frontend::pool
  CUmemoryPool from = nullptr;    ///< in the order of a stream: the pool that it came from
  Id physical = 0;                ///< the memory that is mapped there (cuMemMap), if it is
  Access access = Access::allowed;
  bool opened = false;  ///< another process's (cuIpcOpenMemHandle)

  /// Whether it is device memory that the program allocated, and can free by its address.
  [[nodiscard]] bool is_allocation() const noexcept { return kind == MemoryKind::device && physical == 0 && !opened; }
};
using Memory = Ranges<MemoryInfo>;
[[nodiscard]] constexpr bool is_managed(const MemoryInfo& info) noexcept {
  return info.kind == MemoryKind::managed || info.managed_variable;
}

/// What is known of memory that is to be used: all of it, nothing, or that it does not lie in what was allocated.
enum class Knowledge : std::uint8_t { inside, nothing, outside };

/// Memory of the program's own that it has registered.
struct RegisteredMemory {
  std::uint64_t size = 0;
  std::uint64_t inner = 0;  ///< address of the whole pages in it that lie in the frame, if it has a size
  std::uint32_t flags = 0;
  Frame frame;
};

/// By context, and the driver's number in it.
using TextureTable = std::map<std::pair<Id, std::uint64_t>, TextureRecord>;

/// A device, and its primary context.
struct Device {
  DescribeDevice::Reply about;

  std::mutex mutex;  ///< guards what follows, but `active` for reading, and `pool`
  Id primary = 0;    ///< the same for ever, once there is one
  std::uint32_t retained = 0;
  std::uint32_t flags = 0;  ///< as set by cuDevicePrimaryCtxSetFlags
  std::atomic<bool> active{false};
  std::atomic<Id> pool{0};  ///< that cuMemAllocAsync takes from; 0: the device's own

  /// As the guest shows it: what it cannot keep is off.
  [[nodiscard]] std::optional<int> attribute(CUdevice_attribute which) const;
};

/// All that the frontend knows. Made by cuInit and never destroyed: threads of the program may use it until the process
/// is gone.
class Frontend {
 public:
  /// Null before cuInit, and in a child after fork.
  [[nodiscard]] static Frontend* get() noexcept;
  /// Makes it, if it is not there.
  [[nodiscard]] static CUresult init();

  explicit Frontend(std::unique_ptr<Connection> connection);
  Frontend(const Frontend&) = delete;
  Frontend& operator=(const Frontend&) = delete;
  Frontend(Frontend&&) = delete;
  Frontend& operator=(Frontend&&) = delete;
  ~Frontend() = default;

  [[nodiscard]] Device* device(int number) noexcept {
    return number >= 0 && static_cast<std::size_t>(number) < devices.size()
               ? devices[static_cast<std::size_t>(number)].get()
               : nullptr;
  }
  /// The record of a context that can be used. Errors: CUDA_ERROR_INVALID_CONTEXT, CUDA_ERROR_CONTEXT_IS_DESTROYED.
  [[nodiscard]] Expected<const ContextRecord*> context(Id id) const;
  /// What is known of so many bytes at a device address.
  [[nodiscard]] Knowledge knowledge_of(CUdeviceptr at, std::uint64_t bytes) const;
  /// Whether an address is the device's, in memory or only reserved, as far as is known here.
  [[nodiscard]] bool is_on_device(CUdeviceptr at) const;
  /// What is going is not shared any more.
  void unshare_memory(std::uint64_t address);
  void unshare_object(Id id);
  /// Forgets what lived in a context that is gone.
  void forget_context(Id id);
  /// Once the host has destroyed it: gives its pinned and managed memory back, and learns anew what is registered.
  void free_slab_of(Id id);
  /// Has the GPU's driver know of slab memory that the program may pass to kernels.
  [[nodiscard]] CUresult use_slab(Id context, const Frame& frame);

  const std::unique_ptr<Connection> lane;
  std::vector<std::unique_ptr<Device>> devices;

  HandleTable<ContextRecord, 1> contexts;
  HandleTable<StreamRecord, 2> streams;
  HandleTable<EventRecord, 3> events;
  HandleTable<ModuleRecord, 4> modules;
  HandleTable<FunctionRecord, 5> functions;
  HandleTable<LinkRecord, 20> links;
  HandleTable<ArrayRecord, 12> arrays;  ///< also mipmapped ones
  std::mutex levels_mutex;
  std::map<std::pair<Id, unsigned>, Id> levels;  ///< of mipmapped arrays that were asked for
  std::mutex textures_mutex;                     ///< guards both
  TextureTable textures;
  TextureTable surfaces;
  HandleTable<PoolRecord, 9> pools;
  HandleTable<GraphRecord, 6> graphs;
  HandleTable<NodeRecord, 7> nodes;
  HandleTable<ExecutableRecord, 8> executables;
  /// Captures that were begun and have not ended. While there are some, what a capture cannot take is a call, so that
  /// it is refused at once.
  Captures captures;
  std::mutex capture_nodes_mutex;
  std::map<std::pair<Id, Id>, std::vector<CUgraphNode>> capture_nodes;  ///< by context and stream: that were told last

  Memory memory;
  std::mutex virtual_mutex;  ///< for what is reserved, mapped and unmapped
  Ranges<Id> reserved;       ///< addresses of cuMemAddressReserve
  HandleTable<PhysicalRecord, 10> physicals;
  std::mutex sharing_mutex;                         ///< guards what follows
  std::map<std::uint64_t, NoteName> shared;         ///< names of memory that other processes may open, by address
  std::map<std::uint64_t, std::uint64_t> opened;    ///< how often other processes' memory is open, by address
  std::unordered_map<Id, NoteName> shared_objects;  ///< the same of events, pools and memory of cuMemCreate
  DevicePool pool;
  DeviceAddresses addresses;  ///< that device memory has or had
  std::atomic<std::uint64_t> last_buffer{0};
  std::mutex pinned_mutex;
  std::vector<Frame> unquiet;                       ///< given up while the device could not be waited for
  std::unordered_map<std::uint64_t, Frame> pinned;  ///< also managed; by address
  std::unordered_map<std::uint64_t, RegisteredMemory> registered;  ///< by address

  /// Answers that do not change: {function, block size, dynamic shared memory, flags} -> blocks.
  std::mutex occupancy_mutex;
  std::map<std::tuple<Id, int, std::size_t, unsigned>, int> occupancy;

 private:
  static constexpr std::uint64_t arena_size = std::uint64_t{64} << 20;  // as SlabRegistration has it
  [[nodiscard]] Result<void> find_devices();

  std::mutex arenas_mutex_;
  std::vector<bool> arenas_;  // that the driver knows
};

/// Where a thread is when it calls.
struct Here {
  Frontend& cuda;
  Id context;
  const ContextRecord& record;

  [[nodiscard]] Connection& lane() const noexcept { return *cuda.lane; }
};

/// Runs an entry point that needs cuInit: `function(Frontend&)`.
template <class F>
[[nodiscard]] CUresult entry(F function) noexcept {
  Frontend* const frontend = Frontend::get();
  if (frontend == nullptr) {
    return CUDA_ERROR_NOT_INITIALIZED;
  }
  if (in_host_function()) {
    return CUDA_ERROR_NOT_PERMITTED;
  }
  try {
    return function(*frontend);
  } catch (const std::bad_alloc&) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  } catch (...) {
    return CUDA_ERROR_UNKNOWN;
  }
}

/// Runs an entry point that needs a current context: `function(Here)`.
template <class F>
[[nodiscard]] CUresult entry_here(F function) noexcept {
  return entry([&](Frontend& frontend) -> CUresult {
    const Id current = ContextStack::mine().top();
    if (current == 0) {
      return CUDA_ERROR_INVALID_CONTEXT;
    }
    const auto record = frontend.context(current);
    return record ? function(Here{.cuda = frontend, .context = current, .record = **record}) : record.error();
  });
}

/// The place that a stream handle names; `implied` is what no stream means. Errors: CUDA_ERROR_INVALID_HANDLE.
[[nodiscard]] Expected<Place> place_of(const Here& here, CUstream stream, Id implied);

/// Runs an entry point that works in a stream: `function(Here, Place)`.
template <class F>
[[nodiscard]] CUresult entry_in(CUstream stream, Id implied, F function) noexcept {
  return entry_here([&](const Here& here) -> CUresult {
    const auto place = place_of(here, stream, implied);
    return place ? function(here, *place) : place.error();
  });
}

/// A value that a caller wants, where it gave an address for it.
template <class T, class V>
[[nodiscard]] CUresult give(T* to, const V& value) noexcept {
  if (to == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *to = static_cast<T>(value);
  return CUDA_SUCCESS;
}

}  // namespace isthmus::cuda
