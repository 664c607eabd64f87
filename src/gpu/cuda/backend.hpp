// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "isthmus/marshal/dispatcher.hpp"
#include "isthmus/plugin.hpp"
#include "src/gpu/cuda/boxes.hpp"
#include "src/gpu/cuda/captures.hpp"
#include "src/gpu/cuda/device_account.hpp"
#include "src/gpu/cuda/driver.hpp"
#include "src/gpu/cuda/messages.hpp"
#include "src/gpu/cuda/objects.hpp"
#include "src/gpu/cuda/ranges.hpp"
#include "src/gpu/cuda/slab_registration.hpp"
#include "src/gpu/cuda/virtual_memory.hpp"

namespace isthmus::cuda {

template <class T>
using Answer = std::expected<T, std::int32_t>;

/// A failure by the driver's code.
[[nodiscard]] inline std::unexpected<std::int32_t> refuse(CUresult code) {
  return std::unexpected(static_cast<std::int32_t>(code));
}
/// Success or failure by the driver's code.
[[nodiscard]] inline Answer<Nothing> answer(CUresult code) {
  return code == CUDA_SUCCESS ? Answer<Nothing>(Nothing{}) : Answer<Nothing>(refuse(code));
}

/// Bytes from the first to the last that are set, or nothing where the numbers overflow or contradict each other.
[[nodiscard]] std::optional<std::uint64_t> fill_bytes(const Fill::Request& fill) noexcept;

/// One lane's CUDA: a handler for each message of CudaApi. Calls may wait for the device in their handlers, because the
/// client's thread waits, too. What a post does must not wait for anything that the client has yet to do.
class LaneBackend {
 public:
  /// `driver` is null where the host has none: then there are no devices. `memory` is null where it is not limited.
  /// `notes` is null where clients can share nothing.
  LaneBackend(const Driver* driver, std::span<std::byte> window, std::shared_ptr<plugin::DeviceMemory> memory,
              std::shared_ptr<plugin::Notes> notes);
  LaneBackend(const LaneBackend&) = delete;
  LaneBackend& operator=(const LaneBackend&) = delete;
  LaneBackend(LaneBackend&&) = delete;
  LaneBackend& operator=(LaneBackend&&) = delete;
  /// What is on the device is left to the end of the process: freeing it could wait for a kernel without end.
  ~LaneBackend() = default;

  void add_to(marshal::Dispatcher& dispatcher);

  // devices.cpp
  Answer<Hello::Reply> handle(const Hello::Request& request, marshal::Call& call);
  Answer<DescribeDevice::Reply> handle(const DescribeDevice::Request& request, marshal::Call& call);
  Answer<ContextInfo> handle(const RetainPrimary::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const ReleasePrimary::Request& request, marshal::Call& call);
  Answer<ContextInfo> handle(const CreateContext::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const DestroyContext::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const SyncContext::Request& request, marshal::Call& call);
  // queries.cpp
  Answer<Query::Reply> handle(const Query::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const Configure::Request& request, marshal::Call& call);
  // memory.cpp
  Answer<Allocate::Reply> handle(const Allocate::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const Free::Request& request, marshal::Call& call);
  Answer<AllocateInOrder::Reply> handle(const AllocateInOrder::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const FreeInOrder::Request& request, marshal::Call& call);
  // sharing.cpp
  Answer<ShareMemory::Reply> handle(const ShareMemory::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const Unshare::Request& request, marshal::Call& call);
  Answer<OpenMemory::Reply> handle(const OpenMemory::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const CloseMemory::Request& request, marshal::Call& call);
  Answer<ShareEvent::Reply> handle(const ShareEvent::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const OpenEvent::Request& request, marshal::Call& call);
  Answer<SharePhysical::Reply> handle(const SharePhysical::Request& request, marshal::Call& call);
  Answer<OpenPhysical::Reply> handle(const OpenPhysical::Request& request, marshal::Call& call);
  Answer<SharePool::Reply> handle(const SharePool::Request& request, marshal::Call& call);
  Answer<OpenPool::Reply> handle(const OpenPool::Request& request, marshal::Call& call);
  Answer<SharePoolMemory::Reply> handle(const SharePoolMemory::Request& request, marshal::Call& call);
  Answer<OpenPoolMemory::Reply> handle(const OpenPoolMemory::Request& request, marshal::Call& call);
  // virtual_memory.cpp
  Answer<ReserveAddresses::Reply> handle(const ReserveAddresses::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const FreeAddresses::Request& request, marshal::Call& call);
  Answer<CreateMemory::Reply> handle(const CreateMemory::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const MapMemory::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const UnmapMemory::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const SetMemoryAccess::Request& request, marshal::Call& call);
  // pools.cpp
  Answer<Nothing> handle(const CreatePool::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const UseSlab::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const Quiesce::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const Fill::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const CopyIn::Request& request, marshal::Call& call);
  Answer<CopyOut::Reply> handle(const CopyOut::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const CopySlab::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const CopyDevice::Request& request, marshal::Call& call);
  // boxes.cpp
  Answer<Nothing> handle(const CopyBox::Request& request, marshal::Call& call);
  // graphs.cpp
  Answer<Nothing> handle(const BeginCapture::Request& request, marshal::Call& call);
  Answer<EndCapture::Reply> handle(const EndCapture::Request& request, marshal::Call& call);
  Answer<CaptureInfo::Reply> handle(const CaptureInfo::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const SetCaptureNodes::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const CaptureCopy::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const CreateGraph::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const CloneGraph::Request& request, marshal::Call& call);
  Answer<FindInClone::Reply> handle(const FindInClone::Request& request, marshal::Call& call);
  Answer<ListNodes::Reply> handle(const ListNodes::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const ChangeEdges::Request& request, marshal::Call& call);
  Answer<CreateCondition::Reply> handle(const CreateCondition::Request& request, marshal::Call& call);
  Answer<UpdateExecutable::Reply> handle(const UpdateExecutable::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const Instantiate::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const LaunchGraph::Request& request, marshal::Call& call);
  // graph_nodes.cpp
  Answer<AddNode::Reply> handle(const AddNode::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const SetNode::Request& request, marshal::Call& call);
  // modules.cpp
  Answer<LoadModule::Reply> handle(const LoadModule::Request& request, marshal::Call& call);
  Answer<FunctionInfo> handle(const FindFunction::Request& request, marshal::Call& call);
  Answer<FunctionInfo> handle(const KernelFunction::Request& request, marshal::Call& call);
  Answer<FindGlobal::Reply> handle(const FindGlobal::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const LibraryModule::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const Launch::Request& request, marshal::Call& call);
  // streams.cpp
  Answer<Nothing> handle(const CreateStream::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const SyncStream::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const QueryStream::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const WaitEvent::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const CreateEvent::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const RecordEvent::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const SyncEvent::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const QueryEvent::Request& request, marshal::Call& call);
  Answer<ElapsedTime::Reply> handle(const ElapsedTime::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const Release::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const SetStreamAttribute::Request& request, marshal::Call& call);
  Answer<GetStreamAttribute::Reply> handle(const GetStreamAttribute::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const LaunchHost::Request& request, marshal::Call& call);
  Answer<TakeOutput::Reply> handle(const TakeOutput::Request& request, marshal::Call& call);
  // managed_variables.cpp
  Answer<Nothing> handle(const ReadManaged::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const WriteManaged::Request& request, marshal::Call& call);
  // arrays.cpp
  Answer<Nothing> handle(const CreateArray::Request& request, marshal::Call& call);
  Answer<ArrayShape> handle(const ArrayLevel::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const DestroyArray::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const CopyArray::Request& request, marshal::Call& call);
  // links.cpp
  Answer<Nothing> handle(const CreateLink::Request& request, marshal::Call& call);
  Answer<AddToLink::Reply> handle(const AddToLink::Request& request, marshal::Call& call);
  Answer<CompleteLink::Reply> handle(const CompleteLink::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const ReadLink::Request& request, marshal::Call& call);
  // textures.cpp
  Answer<CreateTexture::Reply> handle(const CreateTexture::Request& request, marshal::Call& call);
  Answer<Nothing> handle(const DestroyTexture::Request& request, marshal::Call& call);

 private:
  struct Entered {
    CUcontext context = nullptr;
    CUstream stream = nullptr;
    std::shared_ptr<StreamObject> keep;  // the stream must not go meanwhile
  };

  /// Makes a context current in the calling thread.
  [[nodiscard]] CUresult enter(Id context);
  /// The same, and finds the stream.
  [[nodiscard]] Answer<Entered> enter(const Place& place);
  /// Whether this lane did not hold the device's primary context yet; it does now. The client counts further retains:
  /// under two names, what is in the context would be forgotten with the first that is released.
  [[nodiscard]] bool hold_primary(CUdevice device);
  void let_go_of_primary(CUdevice device);
  /// Makes a context known that the driver has made.
  [[nodiscard]] Answer<ContextInfo> keep_context(Id id, CUcontext handle, CUdevice device, bool primary);
  /// Forgets a context that is about to be destroyed, and all that is in it, and makes it current for that.
  struct Buried {
    std::shared_ptr<ContextObject> context;             ///< null where there is none of that name
    std::vector<std::uint64_t> arenas;                  ///< of the slab, which were registered under it
    std::unique_lock<std::shared_mutex> managed_stays;  ///< held until the driver has destroyed it
  };
  Buried bury_context(Id id);
  /// Once it is destroyed: registers these arenas under another context, whose pinned memory may lie in them.
  void restore(const std::vector<std::uint64_t>& arenas);
  /// Of that name, whose context lives; or null.
  [[nodiscard]] std::shared_ptr<ModuleObject> find_module(Id id) const;
  [[nodiscard]] std::shared_ptr<FunctionObject> find_function(Id id) const;
  [[nodiscard]] std::optional<CUdevice> device(std::uint64_t number) const;

  /// Whether the driver knows these bytes: an address that it does not know it takes for memory of this process.
  [[nodiscard]] bool is_device_memory(std::uint64_t address, std::uint64_t size);
  /// The same, or memory of the slab, which is registered if it is not. As the driver refuses what crosses the border
  /// of two registrations, such memory is used in pieces: piece_at().
  [[nodiscard]] bool is_usable(std::uint64_t address, std::uint64_t size, CUcontext context);
  /// How many of the bytes there may be used at once.
  [[nodiscard]] std::uint64_t piece_at(std::uint64_t address, std::uint64_t bytes) const noexcept;
  /// One copy in the slab's arenas after the other: `copy(piece, offset)`.
  [[nodiscard]] CUresult in_arenas(std::span<std::byte> bytes, const Entered& place,
                                   const std::function<CUresult(std::span<std::byte>, std::uint64_t)>& copy);

  /// Where the two sides of a box begin, once it is sure that they lie in their memory.
  struct LocatedBox {
    std::uint64_t from = 0;
    std::uint64_t to = 0;
  };
  [[nodiscard]] std::optional<LocatedBox> locate(const CopyBox::Request& box, marshal::Call& call, CUcontext context);
  /// Whether each side lies in one arena of the slab, so that one copy can make it.
  [[nodiscard]] bool is_one_copy(const CopyBox::Request& box, const LocatedBox& at) const;
  /// Runs `copy` on each part that one copy can make, until it answers false; whether it did not.
  bool each_piece(const CopyBox::Request& box, const LocatedBox& at,
                  const std::function<bool(const BoxPart&)>& copy) const;

  /// A pointer to each parameter of a launch, for the driver; valid until the calling thread's next launch. Nothing
  /// where the bytes are not as many as the function takes.
  [[nodiscard]] static std::optional<std::span<void*>> parameters_of(const FunctionObject& function,
                                                                     std::span<const std::byte> bytes);

  /// CUDA_SUCCESS, or why work with data of its own cannot be put into a stream that is captured.
  [[nodiscard]] CUresult check_capture(CUstream stream, CUresult refusal) const;

  struct Captured {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    CUgraph graph = nullptr;
    std::uint64_t number = 0;
    std::vector<CUgraphNode> nodes;  // that the stream's next work comes after
  };
  [[nodiscard]] Answer<Captured> captured_at(CUstream stream) const;
  /// The pieces of one copy, as they are enqueued: where a capture records them, the program sees one node.
  class CopyPieces {
   public:
    CopyPieces(LaneBackend& backend, CUstream stream) : backend_(&backend), stream_(stream) {}
    /// After each piece; hands its code on.
    [[nodiscard]] CUresult note(CUresult enqueued);
    /// After the last.
    void end();

   private:
    LaneBackend* backend_;
    CUstream stream_;
    NodeChain chain_;
  };
  /// The graph with that handle, named so if it has no name yet. Null where the name is another's.
  [[nodiscard]] std::shared_ptr<GraphObject> graph_of(CUgraph handle, Id fresh);
  [[nodiscard]] Answer<Nothing> keep_graph(Id id, CUgraph made);
  /// Forgets its nodes, and the graphs that they choose among. It is in no table any more.
  void forget_graph(const std::shared_ptr<GraphObject>& graph);
  void forget_capture(CUgraph handle);
  /// Forgets the graphs that a node chooses among, or, with no node, all that nodes of the graph choose among.
  void forget_bodies(const std::shared_ptr<GraphObject>& graph, CUgraphNode node);
  [[nodiscard]] CUresult destroy_node(Id id);

  [[nodiscard]] static Answer<std::vector<CUgraphNode>> nodes_of(
      const std::function<CUresult(CUgraphNode*, std::size_t*)>& list);
  [[nodiscard]] std::optional<NodeChain> chain_of(CUgraphNode node);
  void keep_chain(CUgraphNode seen, NodeChain chain);
  void forget_node(CUgraphNode node);
  /// Forgets what is known of the nodes and conditions of a graph that is gone.
  void forget_chains(CUgraph graph);
  /// Its name, which is the fresh one if it had none. 0 where that is taken.
  [[nodiscard]] Id name_node(const std::shared_ptr<GraphObject>& graph, CUgraphNode node, Id fresh);
  /// The names of all, or of as many as there are fresh ones; valid until the calling thread's next call.
  [[nodiscard]] std::optional<std::span<const std::byte>> name_nodes(const std::shared_ptr<GraphObject>& graph,
                                                                     std::span<const CUgraphNode> nodes,
                                                                     std::span<const std::byte> fresh);
  /// Nodes of the graph by the names at the start of the bytes: those which others come after (`as_earlier`), or which
  /// come after others.
  [[nodiscard]] std::optional<std::vector<CUgraphNode>> take_nodes(std::span<const std::byte>& trailing,
                                                                   std::uint32_t count, const GraphObject& graph,
                                                                   bool as_earlier);
  /// The same nodes as the client's program sees them, each once.
  [[nodiscard]] std::vector<CUgraphNode> seen_nodes(std::span<const CUgraphNode> nodes);

  [[nodiscard]] std::optional<CUDA_KERNEL_NODE_PARAMS> read_kernel(std::span<const std::byte> what,
                                                                   const ContextObject& context, CUresult& code) const;
  [[nodiscard]] std::optional<std::vector<CUDA_MEMCPY3D>> read_copy(std::span<const std::byte> what,
                                                                    marshal::Call& call, const ContextObject& context,
                                                                    CUresult& code);
  [[nodiscard]] std::optional<CUDA_MEMSET_NODE_PARAMS> read_fill(std::span<const std::byte> what);
  [[nodiscard]] CUresult add_node(const AddNode::Request& request, marshal::Call& call,
                                  const std::shared_ptr<GraphObject>& graph, std::span<const CUgraphNode> dependencies,
                                  std::span<const std::byte> what, CUgraphNode& made, AddNode::Reply& reply);
  [[nodiscard]] CUresult add_copy_node(const AddNode::Request& request, marshal::Call& call, CUgraph graph,
                                       std::span<const CUgraphNode> dependencies, std::span<const std::byte> what,
                                       const ContextObject& context, CUgraphNode& made);
  [[nodiscard]] CUresult add_allocation(CUgraph graph, std::span<const CUgraphNode> dependencies,
                                        std::span<const std::byte> what, const ContextObject& context,
                                        CUgraphNode& made, std::uint64_t& address);
  [[nodiscard]] CUresult add_condition(const std::shared_ptr<GraphObject>& graph,
                                       std::span<const CUgraphNode> dependencies, std::span<const std::byte> what,
                                       const ContextObject& context, CUgraphNode& made);
  [[nodiscard]] CUresult set_copy_node(const SetNode::Request& request, marshal::Call& call, const NodeObject& node,
                                       ExecutableObject* executable, std::span<const std::byte> what,
                                       const ContextObject& context);
  [[nodiscard]] CUresult set_function(CUgraphNode node, CUgraph graph, ExecutableObject* executable,
                                      std::uint64_t token, marshal::Call& call);
  /// Functions that executable graphs run no more: those that nothing runs once all that is in the stream now, or, with
  /// no stream, in every context, is done.
  [[nodiscard]] std::vector<ReplacedFunction> take_replaced(const Place* place);
  /// They are not needed any more, if the wait for that was successful; else they are kept.
  void end_replaced(std::vector<ReplacedFunction> functions, CUresult waited);
  void replace(const LaunchPlaces& runs, std::unique_ptr<RepeatedFunction> function);

  /// Takes up a function or kernel; its layout goes to the reply.
  [[nodiscard]] Answer<FunctionInfo> keep_function(Id id, std::shared_ptr<FunctionObject> function, CUdevice device,
                                                   marshal::Call& call);
  [[nodiscard]] std::optional<CUdevice> device_of(Id context) const;

  /// cuLibraryGetManaged, in the calling thread's context.
  [[nodiscard]] Answer<FindGlobal::Reply> find_managed(Id context, ModuleObject& library, const std::string& name);
  /// Runs `function(LinkObject&)` in its context, one at a time. Errors: CUDA_ERROR_INVALID_HANDLE.
  template <class F>
  [[nodiscard]] std::invoke_result_t<F, LinkObject&> with_link(Id id, F function);
  [[nodiscard]] CUresult destroy_link(Id id);

  /// The driver's array of that name; null where there is none, or its context is gone.
  [[nodiscard]] std::shared_ptr<ArrayObject> living_array(Id id) const;
  /// \pre its context is current; it is no level
  [[nodiscard]] CUresult destroy_array(const ArrayObject& object);
  [[nodiscard]] Answer<Nothing> keep_event(Id id, std::shared_ptr<EventObject> event);
  template <class M, class Handle, class Note, class Get>
  [[nodiscard]] Answer<typename M::Reply> share(Note note, Get get);
  [[nodiscard]] std::array<std::byte, 16> uuid_of(CUdevice device) const;

  /// A pool that stays as long as this does: of that name, or, with 0, the device's own. `handle` is null, and `code`
  /// says why, where there is none.
  struct UsedPool {
    std::shared_lock<std::shared_mutex> stays;
    CUmemoryPool handle = nullptr;
    CUresult code = CUDA_ERROR_INVALID_VALUE;
  };
  [[nodiscard]] UsedPool use_pool(Id id, std::uint64_t device_number);
  [[nodiscard]] CUresult destroy_pool(Id id);
  [[nodiscard]] CUresult ask_pool(const Question& asked, std::uint64_t& value);
  [[nodiscard]] CUresult set_pool(const Question& asked, std::uint64_t value);

  /// cuCtxSetLimit in the calling thread's context, which `asked` names.
  [[nodiscard]] CUresult set_limit(const Question& asked, std::uint64_t value);
  /// Device memory, or memory of the region, which kernels may be given, too.
  [[nodiscard]] bool is_reachable(std::uint64_t address, std::uint64_t size);

  template <marshal::MessageKind M>
  void serve(marshal::Dispatcher& dispatcher);
  /// Keeps a post's failure, or tells it.
  [[nodiscard]] std::int32_t settle(bool is_post, bool reports, std::int32_t status);

  const Driver* driver_;
  std::span<std::byte> window_;
  std::uint64_t serial_;  // differs from that of every other backend of the process
  std::optional<SlabRegistration> slab_;

  std::atomic<std::uint64_t> generation_{0};  // counts up when a context goes, so that threads look anew
  gpu::ObjectTable<ContextObject> contexts_;
  std::mutex primaries_mutex_;
  std::set<CUdevice> primaries_;  // devices whose primary context this lane holds, or is about to
  gpu::ObjectTable<StreamObject> streams_;
  gpu::ObjectTable<EventObject> events_;
  gpu::ObjectTable<ModuleObject> modules_;
  std::shared_mutex managed_stays_;  // held by those who ask where a managed variable lies, and while that may change
  gpu::ObjectTable<LinkObject> links_;
  gpu::ObjectTable<FunctionObject> functions_;
  gpu::ObjectTable<ArrayObject> arrays_;
  std::shared_mutex pool_use_;  // held by those who use a pool, and alone by those who destroy one
  gpu::ObjectTable<PoolObject> pools_;
  std::mutex textures_mutex_;
  std::map<TextureName, std::shared_ptr<ContextObject>> textures_;  // also surfaces
  gpu::ObjectTable<GraphObject> graphs_;
  gpu::ObjectTable<NodeObject> nodes_;
  NodeChains chains_;
  std::mutex replaced_mutex_;  // guards replaced_, and what executables say of their functions
  std::vector<ReplacedFunction> replaced_;
  std::atomic<bool> has_replaced_{false};  // a hint
  gpu::ObjectTable<ExecutableObject> executables_;
  Captures captures_;
  Ranges<CUcontext> memory_;        // device memory that was seen so far
  Ranges<CUcontext> graph_memory_;  // that graphs allocate, whether or not it is just now
  std::mutex opened_mutex_;         // held while it changes
  Ranges<OpenedMemory> opened_;     // of other clients, by the driver's address of the whole
  std::shared_ptr<plugin::Notes> notes_;
  DeviceAccount account_;
  VirtualMemory virtual_;
  std::shared_ptr<std::atomic<std::int32_t>> orphaned_;  // a late failure of a thread that has ended
};

}  // namespace isthmus::cuda
