// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "isthmus/marshal/api.hpp"
#include "isthmus/reference.hpp"
#include "src/gpu/cuda/array_messages.hpp"
#include "src/gpu/cuda/graph_messages.hpp"
#include "src/gpu/cuda/jit_messages.hpp"
#include "src/gpu/cuda/message_kind.hpp"
#include "src/gpu/cuda/sharing_messages.hpp"

/// \file
/// The CUDA API's messages, at the level of the driver's interface: what frontend (guest/cuda) and backend (this
/// folder) say to each other.
///
/// Statuses are CUresult. Contexts, modules, streams and so on are named by numbers that the client chooses and never
/// uses twice in a lane, so that making one needs no answer, and a stale name finds nothing. Device addresses are the
/// driver's own. A post that fails is remembered for the thread that sent it, and told by the next of its messages that
/// has `reports`.

namespace isthmus::cuda {

// ---- devices and contexts ------------------------------------------------------------------------------------------

/// The first message. CUDA_ERROR_NO_DEVICE where the host has no driver.
struct Hello : Kind<1> {
  struct Request {};
  struct Reply {
    std::uint32_t driver_version = 0;  ///< as cuDriverGetVersion says it, 13000 for 13.0
    std::uint32_t devices = 0;
    std::uint64_t window = 0;  ///< address of the region in the worker, where the GPU sees pinned memory
  };
};

inline constexpr std::size_t max_device_attributes = 192;
inline constexpr std::int32_t no_attribute = INT32_MIN;

struct DescribeDevice : Kind<2> {
  struct Request {
    std::uint32_t device = 0;
    std::uint32_t reserved = 0;
  };
  struct Reply {
    std::uint64_t memory = 0;  ///< bytes
    std::array<std::uint8_t, 16> uuid{};
    std::array<char, 256> name{};                                  ///< with a NUL
    std::array<std::int32_t, max_device_attributes> attributes{};  ///< by CUdevice_attribute, or no_attribute
  };
};

/// What never changes about a context.
struct ContextInfo {
  std::uint32_t api_version = 0;
  std::uint32_t flags = 0;
  std::int32_t least_priority = 0;
  std::int32_t greatest_priority = 0;
  std::uint64_t number = 0;  ///< cuCtxGetId
};

/// Makes the primary context usable under that name, the only one until it is released.
struct RetainPrimary : Kind<3> {
  struct Request {
    Id id = 0;
    std::uint32_t device = 0;
    std::uint32_t reserved = 0;
  };
  using Reply = ContextInfo;
};
struct ReleasePrimary : Kind<4> {
  struct Request {
    Id id = 0;
    std::uint32_t device = 0;
    std::uint32_t reset = 0;  ///< 1: cuDevicePrimaryCtxReset
  };
  using Reply = Nothing;
};
struct CreateContext : Kind<5> {
  struct Request {
    Id id = 0;
    std::uint32_t device = 0;
    std::uint32_t flags = 0;
  };
  using Reply = ContextInfo;
};
struct DestroyContext : Kind<6> {
  struct Request {
    Id id = 0;
  };
  using Reply = Nothing;
};
struct SyncContext : ReportingKind<7> {
  struct Request {
    Id context = 0;
  };
  using Reply = Nothing;
};

enum class Subject : std::uint32_t {
  memory_info,         ///< free and total bytes
  limit,               ///< parameter: CUlimit
  cache_config,        ///< CUfunc_cache of the context
  function_attribute,  ///< object: function; parameter: CUfunction_attribute
  kernel_attribute,    ///< object: kernel; parameter: CUfunction_attribute; detail 0: device
  function_cache,      ///< object: function; only set
  kernel_cache,        ///< object: kernel; detail 1: device; only set
  occupancy,           ///< object: function; detail: block size, dynamic shared memory, flags -> blocks
  block_size,          ///< object: function; detail: dynamic shared memory, largest block, flags -> grid, block
  shared_memory,       ///< object: function; detail: blocks, block size -> bytes
  stream_number,       ///< object: stream (cuStreamGetId)
  primary_flags,       ///< detail 0: device; only set
  peer_possible,       ///< detail: device, device -> 0 or 1
  peer_attribute,      ///< parameter: CUdevice_P2PAttribute; detail: device, device
  peer_access,         ///< object: the other context; set to 1 or 0
  persisting_l2,       ///< only set: cuCtxResetPersistingL2Cache
  capture_status,      ///< object: stream -> CUstreamCaptureStatus
  capture_mode,        ///< CUstreamCaptureMode of the calling thread; only set
  pool_attribute,      ///< parameter: CUmemPool_attribute; object: the pool, or 0: that of the device in detail 0
  pool_trim,           ///< pool as before; only set: bytes to keep
  none_20,             ///< not used any more
  node_type,           ///< object: node -> CUgraphNodeType
  node_enabled,        ///< object: executable graph; detail 0: node -> 0 or 1
  graph_memory,        ///< parameter: CUgraphMem_attribute; detail 0: device
  graph_memory_trim,   ///< detail 0: device; only set
  pool_access,         ///< pool as before; detail 1: the device that is to have access -> CUmemAccess_flags
  memory_granularity,  ///< parameter: CUmemAllocationGranularity_flags; detail 0: device -> bytes
  memory_access,       ///< detail: device, mapped address -> CUmemAccess_flags
};
struct Question {
  Subject subject = Subject::memory_info;
  std::uint32_t parameter = 0;
  Id context = 0;
  Id object = 0;
  std::array<std::uint64_t, 3> detail{};
};

/// Asks for a value that the driver computes or changes.
struct Query : Kind<8> {
  struct Request {
    Question question;
  };
  struct Reply {
    std::array<std::uint64_t, 2> values{};
  };
};
/// Sets one, to `value`.
struct Configure : Kind<9> {
  struct Request {
    Question question;
    std::uint64_t value = 0;
  };
  using Reply = Nothing;
};

// ---- memory --------------------------------------------------------------------------------------------------------

struct Allocate : Kind<10> {
  struct Request {
    Id context = 0;
    std::uint64_t size = 0;     ///< bytes; with `element`, of a row
    std::uint64_t height = 0;   ///< rows
    std::uint32_t element = 0;  ///< 0: cuMemAlloc; else the element's size for cuMemAllocPitch
    std::uint32_t reserved = 0;
  };
  struct Reply {
    std::uint64_t address = 0;
    std::uint64_t pitch = 0;
  };
};
struct Free : Kind<11> {
  struct Request {
    Id context = 0;
    std::uint64_t address = 0;
  };
  using Reply = Nothing;
};

/// Lets the GPU reach slab memory that the client uses as pinned memory.
struct UseSlab : Kind<12> {
  struct Request {
    Id context = 0;
    Reference memory;
  };
  using Reply = Nothing;
};
/// Answered when no context works any more: what the program has freed may be given to others then.
struct Quiesce : Kind<13> {
  struct Request {
    Id context = 0;  ///< whose failure is the answer; 0: the first one's
  };
  using Reply = Nothing;
};

/// Sets memory, in rows.
struct Fill : Kind<14> {
  struct Request {
    Place place;
    std::uint64_t address = 0;
    std::uint64_t pitch = 0;    ///< bytes; counts where height > 1
    std::uint64_t width = 0;    ///< elements
    std::uint64_t height = 0;   ///< rows
    std::uint32_t element = 1;  ///< bytes: 1, 2 or 4
    std::uint32_t value = 0;
  };
  using Reply = Nothing;
};

/// Trailing bytes: what is written. Posted: the driver takes such small copies at once.
struct CopyIn : Kind<15> {
  struct Request {
    Place place;
    std::uint64_t to = 0;
  };
  using Reply = Nothing;
};
/// Trailing bytes of the reply: what was read, once the stream had come so far.
struct CopyOut : ReportingKind<16> {
  struct Request {
    Place place;
    std::uint64_t from = 0;
    std::uint64_t size = 0;
  };
  struct Reply {
    std::uint64_t output = 0;  ///< 1: there is output to be fetched (TakeOutput)
  };
};

/// A copy between device and slab, by DMA.
struct CopySlab : ReportingKind<17> {
  struct Request {
    Place place;
    std::uint64_t device = 0;  ///< address
    Reference slab;
    std::uint32_t to_slab = 0;
    std::uint32_t wait = 0;  ///< 1: answered when it is done; only in a call
  };
  using Reply = Nothing;
};
/// Between addresses that the GPU knows.
struct CopyDevice : Kind<18> {
  struct Request {
    Place place;
    std::uint64_t to = 0;
    std::uint64_t from = 0;
    std::uint64_t size = 0;
  };
  using Reply = Nothing;
};

/// One side of a box: in the slab, where `slab` has a length, or at a device address. Bytes.
struct BoxSide {
  std::uint64_t address = 0;
  Reference slab{};
  std::uint64_t pitch = 0;
  std::uint64_t height = 0;  ///< rows in a slice
  std::uint64_t x = 0;
  std::uint64_t y = 0;
  std::uint64_t z = 0;
};
/// A copy in two or three dimensions.
struct CopyBox : ReportingKind<19> {
  struct Request {
    Place place;
    BoxSide from;
    BoxSide to;
    std::uint64_t width = 0;  ///< bytes
    std::uint64_t height = 0;
    std::uint64_t depth = 0;
    std::uint64_t wait = 0;  ///< as CopySlab's
  };
  using Reply = Nothing;
};

// ---- code ----------------------------------------------------------------------------------------------------------

/// Trailing bytes: `options` rows.
struct LoadModule : Kind<20> {
  struct Request {
    Id id = 0;
    Id context = 0;  ///< 0 for a library
    Reference image{};
    std::uint32_t library = 0;
    std::uint32_t options = 0;
    std::uint32_t info_log = 0;  ///< room for it, bytes
    std::uint32_t error_log = 0;
  };
  using Reply = JitReply;
};

inline constexpr std::size_t max_function_attributes = 24;
inline constexpr std::size_t max_parameters = 4080;        ///< of a kernel
inline constexpr std::size_t max_parameter_bytes = 32764;  ///< CUDA C++ programming guide, "Function Parameters"

/// Of a function or kernel. Trailing bytes of the reply that has it: `parameters` rows.
struct FunctionInfo {
  std::uint32_t parameters = 0;
  std::uint32_t reserved = 0;
  std::array<std::int32_t, max_function_attributes> attributes{};  ///< by CUfunction_attribute, or no_attribute
};
struct ParameterRow {
  std::uint32_t offset = 0;
  std::uint32_t size = 0;
};

/// Trailing bytes: the name. `owner` is a module, or a library, whose kernel it is then.
struct FindFunction : Kind<21> {
  struct Request {
    Id owner = 0;
    Id id = 0;
    Id context = 0;  ///< a kernel's attributes are those on this context's device
  };
  using Reply = FunctionInfo;
};
struct KernelFunction : Kind<22> {
  struct Request {
    Id kernel = 0;
    Id id = 0;
    Id context = 0;
  };
  using Reply = FunctionInfo;
};
/// Trailing bytes: the name of a variable.
struct FindGlobal : Kind<23> {
  struct Request {
    Id owner = 0;
    Id context = 0;
    std::uint32_t managed = 0;  ///< 1: cuLibraryGetManaged
    std::uint32_t reserved = 0;
  };
  struct Reply {
    std::uint64_t address = 0;
    std::uint64_t size = 0;
  };
};
/// The module of a library in a context.
/// Reads a piece of a managed variable that FindGlobal has found, as a processor does. Trailing bytes of the reply:
/// `size` bytes, at most 32 KiB.
struct ReadManaged : Kind<124> {
  struct Request {
    Id owner = 0;
    std::uint64_t address = 0;
    std::uint64_t size = 0;
  };
  using Reply = Nothing;
};
/// Writes one: the trailing bytes.
struct WriteManaged : Kind<125> {
  struct Request {
    Id owner = 0;
    std::uint64_t address = 0;
  };
  using Reply = Nothing;
};
struct LibraryModule : Kind<24> {
  struct Request {
    Id library = 0;
    Id id = 0;
    Id context = 0;
  };
  using Reply = Nothing;
};

struct LaunchAttributeRow {
  std::uint32_t attribute = 0;  ///< CUlaunchAttributeID, one of those that hold no pointer
  std::uint32_t reserved = 0;
  std::array<std::uint8_t, 64> value{};
};
/// Trailing bytes: `attributes` rows, then the parameters as they lie in the kernel's parameter memory.
struct Launch : Kind<25> {
  struct Request {
    Place place;
    Id function = 0;  ///< or kernel
    std::array<std::uint32_t, 3> grid{};
    std::array<std::uint32_t, 3> block{};
    std::uint32_t shared = 0;  ///< bytes
    std::uint32_t attributes = 0;
    std::uint32_t cooperative = 0;
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
};

// ---- streams and events --------------------------------------------------------------------------------------------

struct CreateStream : Kind<26> {
  struct Request {
    Id id = 0;
    Id context = 0;
    std::uint32_t flags = 0;
    std::int32_t priority = 0;
  };
  using Reply = Nothing;
};
struct SyncStream : ReportingKind<27> {
  struct Request {
    Place place;
  };
  using Reply = Nothing;
};
struct QueryStream : ReportingKind<28> {
  struct Request {
    Place place;
  };
  using Reply = Nothing;
};
struct WaitEvent : Kind<29> {
  struct Request {
    Place place;
    Id event = 0;
    std::uint32_t flags = 0;
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
};
struct CreateEvent : Kind<30> {
  struct Request {
    Id id = 0;
    Id context = 0;
    std::uint32_t flags = 0;
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
};
struct RecordEvent : Kind<31> {
  struct Request {
    Place place;
    Id event = 0;
    std::uint32_t flags = 0;
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
};
struct SyncEvent : ReportingKind<32> {
  struct Request {
    Id event = 0;
  };
  using Reply = Nothing;
};
struct QueryEvent : ReportingKind<33> {
  struct Request {
    Id event = 0;
  };
  using Reply = Nothing;
};
struct ElapsedTime : Kind<34> {
  struct Request {
    Id start = 0;
    Id end = 0;
  };
  struct Reply {
    float milliseconds = 0;
    std::uint32_t reserved = 0;
  };
};

enum class ObjectKind : std::uint32_t { module, stream, event, function, graph, executable, node, pool, memory, link };
/// The client has let an object go.
struct Release : Kind<35> {
  struct Request {
    ObjectKind kind = ObjectKind::module;
    std::uint32_t reserved = 0;
    Id id = 0;
  };
  using Reply = Nothing;
};

/// A function of the client's, to be run by RunHost at its turn in the stream, which waits for the answer; where the
/// stream is captured, whenever the graph has come to it.
struct LaunchHost : Kind<36> {
  struct Request {
    Place place;
    std::uint64_t token = 0;
    std::uint32_t callback = 0;  ///< 1: also after an error (cuStreamAddCallback)
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
};
using StreamAttribute = std::array<std::uint8_t, 64>;  // CUstreamAttrValue
struct SetStreamAttribute : Kind<46> {
  struct Request {
    Place place;
    std::uint32_t attribute = 0;  ///< CUstreamAttrID, one of those that hold no pointer
    std::uint32_t reserved = 0;
    StreamAttribute value{};
  };
  using Reply = Nothing;
};
struct GetStreamAttribute : Kind<47> {
  struct Request {
    Place place;
    std::uint32_t attribute = 0;
    std::uint32_t reserved = 0;
  };
  struct Reply {
    StreamAttribute value{};
  };
};

// ---- memory in the order of streams --------------------------------------------------------------------------------

/// Makes a pool of the program's own, of a device's memory.
struct CreatePool : Kind<90> {
  struct Request {
    Id id = 0;
    std::uint32_t device = 0;
    std::uint16_t usage = 0;    ///< CUmemPoolProps
    std::uint16_t handles = 0;  ///< CUmemAllocationHandleType: how it can be shared
    std::uint64_t largest = 0;  ///< bytes that it may have; 0: the driver's choice
  };
  using Reply = Nothing;
};
struct AllocateInOrder : Kind<44> {
  struct Request {
    Place place;
    std::uint64_t size = 0;
    Id pool = 0;  ///< 0: the device's own
  };
  struct Reply {
    std::uint64_t address = 0;
  };
};
struct FreeInOrder : Kind<45> {
  struct Request {
    Place place;
    std::uint64_t address = 0;
  };
  using Reply = Nothing;
};

// ---- addresses and memory apart ------------------------------------------------------------------------------------

/// Sizes and offsets are bytes, multiples of what the driver says (Subject::memory_granularity).
struct ReserveAddresses : Kind<91> {
  struct Request {
    std::uint64_t size = 0;
    std::uint64_t alignment = 0;  ///< 0: the driver's choice
    std::uint64_t wanted = 0;     ///< the first address, if it can be had
  };
  struct Reply {
    std::uint64_t address = 0;
  };
};
/// A whole reservation in which nothing is mapped.
struct FreeAddresses : Kind<92> {
  struct Request {
    std::uint64_t address = 0;
    std::uint64_t size = 0;
  };
  using Reply = Nothing;
};
/// Memory of a device. It is there until its name is released and it is mapped nowhere.
struct CreateMemory : Kind<93> {
  struct Request {
    Id id = 0;
    std::uint64_t size = 0;
    std::uint32_t device = 0;
    std::uint16_t compression = 0;  ///< CUmemAllocationCompType
    std::uint16_t handles = 0;      ///< CUmemAllocationHandleType: how it can be shared
  };
  struct Reply {
    std::uint32_t compression = 0;  ///< that it got
    std::uint32_t reserved = 0;
  };
};
struct MapMemory : Kind<94> {
  struct Request {
    std::uint64_t address = 0;
    std::uint64_t size = 0;
    std::uint64_t offset = 0;  ///< in the memory
    Id memory = 0;
  };
  using Reply = Nothing;
};
/// Whole mappings, one behind the other.
struct UnmapMemory : Kind<95> {
  struct Request {
    std::uint64_t address = 0;
    std::uint64_t size = 0;
  };
  using Reply = Nothing;
};
struct AccessRow {
  std::uint32_t device = 0;
  std::uint32_t flags = 0;  ///< CUmemAccess_flags
};
/// Whole mappings, one behind the other. Trailing bytes: `rows` rows.
struct SetMemoryAccess : Kind<96> {
  struct Request {
    std::uint64_t address = 0;
    std::uint64_t size = 0;
    std::uint64_t rows = 0;
  };
  using Reply = Nothing;
};

/// What kernels have printed and the driver has written, piece by piece in its order: trailing bytes of the reply, none
/// where there is no more.
struct TakeOutput : Kind<70> {
  static constexpr std::size_t most = std::size_t{24} << 10;  ///< bytes of a piece
  struct Request {};
  struct Reply {
    std::uint32_t is_error = 0;  ///< 1: for stderr, 0: for stdout
    std::uint32_t more = 0;      ///< 1: there is another piece
  };
};

/// Upcall: run the function that LaunchHost named, and answer. No message of the client's says that it has run: that
/// could stand behind one which waits, in the driver, for this very stream.
struct RunHost : Kind<101> {
  struct Request {
    std::uint64_t token = 0;
    std::int32_t status = 0;  ///< of the stream
    std::uint32_t again = 0;  ///< 1: it may have to run once more, until ForgetHost
  };
  using Reply = Nothing;
};

struct CudaApi {
  static constexpr std::uint16_t id = api_id;
  static constexpr std::string_view name = "cuda";
  static constexpr std::uint16_t major = 0;
  static constexpr std::uint16_t minor = 1;
  static constexpr std::uint16_t oldest_minor = 1;
  static constexpr std::uint64_t features = 0;
  using Messages = marshal::Messages<
      Hello, DescribeDevice, RetainPrimary, ReleasePrimary, CreateContext, DestroyContext, SyncContext, Query,
      Configure, Allocate, Free, UseSlab, Quiesce, Fill, CopyIn, CopyOut, CopySlab, CopyDevice, CopyBox, LoadModule,
      FindFunction, KernelFunction, FindGlobal, LibraryModule, Launch, CreateStream, SyncStream, QueryStream, WaitEvent,
      CreateEvent, RecordEvent, SyncEvent, QueryEvent, ElapsedTime, Release, LaunchHost, BeginCapture, EndCapture,
      CreateGraph, AddNode, Instantiate, LaunchGraph, AllocateInOrder, FreeInOrder, CreatePool, ReserveAddresses,
      FreeAddresses, CreateMemory, MapMemory, UnmapMemory, SetMemoryAccess, ShareMemory, Unshare, OpenMemory,
      CloseMemory, ShareEvent, OpenEvent, SharePhysical, OpenPhysical, SharePool, OpenPool, SharePoolMemory,
      OpenPoolMemory, CreateArray, ArrayLevel, DestroyArray, CopyArray, CreateTexture, DestroyTexture,
      SetStreamAttribute, GetStreamAttribute, TakeOutput, CaptureInfo, SetCaptureNodes, CaptureCopy, CloneGraph,
      SetNode, ListNodes, FindInClone, ChangeEdges, CreateCondition, UpdateExecutable, CreateLink, AddToLink,
      CompleteLink, ReadLink, ReadManaged, WriteManaged>;
};

}  // namespace isthmus::cuda
