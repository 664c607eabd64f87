// SPDX-License-Identifier: Apache-2.0
#include "guest/cuda/copies.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <tuple>
#include <utility>

#include "isthmus/bulk_copy.hpp"

namespace isthmus::cuda {
namespace {

// Up to here ordinary memory travels in the message. Native copies of up to 64 KiB into the device do not wait for it,
// either (CUDA driver interface, "API synchronization behavior").
constexpr std::size_t most_inline = 16 * 1024;
// A staged copy goes through a frame of up to this size, in chunks: of a quarter, so that copying and DMA overlap, but
// no longer than it takes to hide each one's round trip (a twin needs about 10 us for a chunk besides its DMA, which on
// an H100 takes 20 us for each MiB). A buffer is free again only when a thread of the program has seen that it was
// copied, so large copies have many: 256 MiB from an H100 by 8 threads, in GB/s, through 8 MiB in chunks of 1 MiB 21,
// 16 and 2: 36, 32 and 2: 43, 64 and 4: 49.
constexpr std::size_t usual_staging = std::size_t{16} << 20;
constexpr std::size_t usual_chunk = std::size_t{2} << 20;
constexpr std::size_t least_chunks = 4;
constexpr std::size_t most_staging = std::size_t{64} << 20;
constexpr std::size_t large_chunk = std::size_t{4} << 20;
// What one copy takes of the memory that the lane has or could have, at most, where it takes more than usual.
constexpr std::size_t share_of_staging = 8;
constexpr std::size_t least_staging = std::size_t{64} << 10;
// The most that is staged at a time for a box in ordinary memory.
constexpr std::size_t box_staging = std::size_t{16} << 20;

std::uint64_t address_at(const void* at) { return reinterpret_cast<std::uintptr_t>(at); }

// Where a piece of host memory lies in the slab, if it is pinned. Errors: CUDA_ERROR_INVALID_VALUE (no memory of the
// host's).
Expected<std::optional<Reference>> pinned_reference(const Frontend& cuda, const void* at, std::uint64_t bytes) {
  const auto range = cuda.memory.find(address_at(at));
  if (at == nullptr || (range && lies_on_device(range->value.kind))) {
    return std::unexpected(CUDA_ERROR_INVALID_VALUE);
  }
  if (!range || !lies_in_slab(range->value.kind) || !range->holds(address_at(at), bytes)) {
    return std::nullopt;
  }
  return Reference::make(0, range->value.offset + (address_at(at) - range->base), bytes);
}

std::size_t staging_for(const Connection& lane, std::size_t bytes) {
  if (bytes <= usual_staging) {
    return bytes;
  }
  const SlabStatistics slab = lane.slab_statistics();
  const std::size_t share = (slab.bytes_claimed + slab.bytes_claimable) / share_of_staging;
  return std::min(bytes, std::clamp(share, usual_staging, most_staging));
}

// Staging frames: as large as the slab has, down to the least.
Result<Frame> staging_frame(Connection& lane, std::size_t bytes) {
  for (std::size_t size = std::max(bytes, std::size_t{1});; size /= 2) {
    auto frame = lane.allocate(size);
    if (frame || frame.error().code != Errc::exhausted || size / 2 < least_staging) {
      return frame;
    }
  }
}

// Chunks of a staged copy are calls that end with the DMA.
class StagedCopy final : public ChunkPeer {
 public:
  StagedCopy(Connection& lane, Channel& channel, const Place& place, CUdeviceptr device, bool to_slab)
      : lane_(&lane), channel_(&channel), place_(place), device_(device), to_slab_(to_slab) {}

  Result<void> start(const CopyChunk& chunk) override {
    const CopySlab::Request request{.place = place_,
                                    .device = device_ + chunk.offset,
                                    .slab = chunk.reference,
                                    .to_slab = to_slab_ ? 1U : 0U,
                                    .wait = 1};
    auto id = channel_->submit(
        {.api = CopySlab::api, .opcode = CopySlab::opcode, .fixed = marshal::bytes_of(request), .trailing = {}});
    if (!id) {
      return std::unexpected(id.error());
    }
    calls_.push_back({.number = chunk.number, .id = *id, .done = false});
    return {};
  }
  bool finished(const CopyChunk& chunk) override {
    Call* const call = find(chunk.number);
    if (call == nullptr || call->done) {
      return true;
    }
    auto reply = channel_->poll(call->id);
    if (!reply) {
      return true;  // finish() tells
    }
    if (!*reply) {
      return false;
    }
    call->done = true;
    take(**reply);
    return true;
  }
  Result<void> finish(const CopyChunk& chunk) override {
    Call* const call = find(chunk.number);
    if (call == nullptr) {
      return fail(Errc::invalid_argument, "a chunk that was not started");
    }
    if (!call->done) {
      auto reply = channel_->wait(call->id);
      if (!reply) {
        return std::unexpected(reply.error());
      }
      take(*reply);
    }
    while (!calls_.empty() && calls_.front().number <= chunk.number) {
      calls_.pop_front();
    }
    return code_ == CUDA_SUCCESS ? Result<void>() : fail(Errc::system, "the driver refused a piece of a copy");
  }
  // What the driver said, if it refused.
  [[nodiscard]] CUresult code() const noexcept { return code_; }

 private:
  struct Call {
    std::uint64_t number;
    CallId id;
    bool done;
  };
  [[nodiscard]] Call* find(std::uint64_t number) {
    const auto found = std::ranges::find(calls_, number, &Call::number);
    return found == calls_.end() ? nullptr : &*found;
  }
  void take(const Reply& reply) {
    if (reply.status != 0 && code_ == CUDA_SUCCESS) {
      code_ = lane_->code_of(reply.status);
    }
  }

  Connection* lane_;
  Channel* channel_;
  Place place_;
  CUdeviceptr device_;
  bool to_slab_;
  std::deque<Call> calls_;
  CUresult code_ = CUDA_SUCCESS;
};

// Copies ordinary memory through the slab; `run` is BulkCopy's function for the direction.
template <class F>
CUresult stage(const Here& here, const Place& place, CUdeviceptr device, std::size_t bytes, bool to_slab, F run) {
  if (const CUresult failed = here.lane().failure(); failed != CUDA_SUCCESS) {
    return failed;
  }
  auto channel = here.lane().channel();
  if (!channel) {
    return here.lane().lost(channel.error());
  }
  auto frame = staging_frame(here.lane(), staging_for(here.lane(), bytes));
  if (!frame) {
    return frame.error().code == Errc::exhausted ? CUDA_ERROR_OUT_OF_MEMORY : here.lane().lost(frame.error());
  }
  const std::size_t chunk = frame->size() > usual_staging
                                ? large_chunk
                                : std::min(usual_chunk, std::max(least_staging, frame->size() / least_chunks));
  const auto buffers = CopyBuffer::split(*frame, chunk);
  StagedCopy peer(here.lane(), **channel, place, device, to_slab);
  here.lane().send_managed();
  const Result<void> done = run(BulkCopy(), buffers, peer);
  here.lane().work().note_issued();
  here.lane().fetch_managed();
  if (peer.code() != CUDA_SUCCESS) {
    return peer.code();
  }
  if (!done) {
    (*channel)->keep(std::move(*frame));
    return here.lane().lost(done.error());
  }
  return CUDA_SUCCESS;
}

// A copy of bytes in a row.
CUDA_MEMCPY3D row(CUmemorytype to_type, CUdeviceptr to, CUmemorytype from_type, CUdeviceptr from, std::size_t bytes) {
  CUDA_MEMCPY3D box{};
  box.dstMemoryType = to_type;
  box.dstDevice = to;
  box.dstHost = reinterpret_cast<void*>(to);  // NOLINT(performance-no-int-to-ptr): unified addressing
  box.srcMemoryType = from_type;
  box.srcDevice = from;
  box.srcHost = reinterpret_cast<const void*>(from);  // NOLINT(performance-no-int-to-ptr): unified addressing
  box.WidthInBytes = bytes;
  box.Height = box.Depth = 1;
  return box;
}

// A copy in a stream that is captured.
CUresult capture_box(const Here& here, const Place& place, const CUDA_MEMCPY3D& box) {
  const auto copy = box_for_graph(here, place, box);
  if (!copy) {
    return copy.error();
  }
  if (copy->token == 0) {
    return here.lane().tell<CopyBox>(copy->request);
  }
  const CUresult code = here.lane().tell<CaptureCopy>({.token = copy->token, .after = copy->after ? 1U : 0U},
                                                      std::as_bytes(std::span(&copy->request, 1)));
  if (code != CUDA_SUCCESS) {
    here.lane().forget_function(copy->token);
  }
  return code;
}

// Copies between two pieces of host memory, at their turn in the stream.
CUresult copy_host(const Here& here, const Place& place, void* to, const void* from, std::size_t bytes) {
  if (is_captured(here, place)) {
    return capture_box(here, place,
                       row(CU_MEMORYTYPE_HOST, address_at(to), CU_MEMORYTYPE_HOST, address_at(from), bytes));
  }
  if (const CUresult code = here.lane().tell<SyncStream>({.place = place}); code != CUDA_SUCCESS) {
    return code;
  }
  std::memmove(to, from, bytes);
  return CUDA_SUCCESS;
}

void* host_at(CUdeviceptr address) {
  return reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr): unified addressing
}

// Registered memory is slab memory but for its first and last page: such a copy is made in up to three pieces.
template <class F>
CUresult in_pieces(const Frontend& cuda, const void* host, std::size_t bytes, F copy) {
  for (std::size_t done = 0; done < bytes;) {
    const std::uint64_t at = address_at(host) + done;
    const auto range = cuda.memory.find(at);
    const bool is_part =
        range && (range->value.kind == MemoryKind::registered || range->value.kind == MemoryKind::ordinary);
    const std::size_t size =
        is_part ? std::min<std::uint64_t>(bytes - done, range->base + range->size - at) : bytes - done;
    if (const CUresult code = copy(done, size); code != CUDA_SUCCESS) {
      return code;
    }
    done += size;
  }
  return CUDA_SUCCESS;
}

// Whether what is called device memory is the slab's, as managed memory is: then the copy is one of this process.
bool is_in_slab(const Frontend& cuda, CUdeviceptr at) {
  const auto range = cuda.memory.find(at);
  return range && lies_in_slab(range->value.kind);
}

// Between device memory and pinned memory.
CUresult copy_pinned(const Here& here, CopySlab::Request request, Knowledge known, When when) {
  request.wait = when == When::at_once ? 1 : 0;
  return here.lane().send<CopySlab>(when == When::later && known == Knowledge::inside, request);
}

CUresult copy_piece_in(const Here& here, const Place& place, CUdeviceptr to, const void* from, std::size_t bytes,
                       When when) {
  const Knowledge known = here.cuda.knowledge_of(to, bytes);
  const auto slab = pinned_reference(here.cuda, from, bytes);
  if (!slab || known == Knowledge::outside) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (*slab) {
    return copy_pinned(here, {.place = place, .device = to, .slab = **slab}, known, when);
  }
  if (when == When::later && is_captured(here, place)) {
    return capture_box(here, place, row(CU_MEMORYTYPE_DEVICE, to, CU_MEMORYTYPE_HOST, address_at(from), bytes));
  }
  if (bytes <= most_inline) {
    const bool refusable = here.cuda.captures.any();
    return here.lane().send<CopyIn>(known == Knowledge::inside && !refusable, {.place = place, .to = to},
                                    std::span(static_cast<const std::byte*>(from), bytes));
  }
  return stage(here, place, to, bytes, false, [&](const BulkCopy& bulk, const auto& buffers, StagedCopy& peer) {
    return bulk.to_slab(std::span(static_cast<const std::byte*>(from), bytes), buffers, peer);
  });
}

CUresult copy_piece_out(const Here& here, const Place& place, void* to, CUdeviceptr from, std::size_t bytes,
                        When when) {
  const Knowledge known = here.cuda.knowledge_of(from, bytes);
  const auto slab = pinned_reference(here.cuda, to, bytes);
  if (!slab || known == Knowledge::outside) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (*slab) {
    return copy_pinned(here, {.place = place, .device = from, .slab = **slab, .to_slab = 1}, known, when);
  }
  if (when == When::later && is_captured(here, place)) {
    return capture_box(here, place, row(CU_MEMORYTYPE_HOST, address_at(to), CU_MEMORYTYPE_DEVICE, from, bytes));
  }
  if (bytes <= most_inline) {
    const auto read = here.lane().call<CopyOut>({.place = place, .from = from, .size = bytes}, {},
                                                std::span(static_cast<std::byte*>(to), bytes));
    if (read && read->reply.output != 0) {
      here.lane().print_output();
    }
    return !read ? read.error() : read->trailing == bytes ? CUDA_SUCCESS : CUDA_ERROR_UNKNOWN;
  }
  return stage(here, place, from, bytes, true, [&](const BulkCopy& bulk, const auto& buffers, StagedCopy& peer) {
    return bulk.from_slab(std::span(static_cast<std::byte*>(to), bytes), buffers, peer);
  });
}

}  // namespace

CUresult copy_in(const Here& here, const Place& place, CUdeviceptr to, const void* from, std::size_t bytes, When when) {
  if (from != nullptr && is_in_slab(here.cuda, to)) {
    return here.cuda.knowledge_of(to, bytes) == Knowledge::inside ? copy_host(here, place, host_at(to), from, bytes)
                                                                  : CUDA_ERROR_INVALID_VALUE;
  }
  if (here.cuda.knowledge_of(to, bytes) == Knowledge::outside) {
    return bytes == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  }
  return in_pieces(here.cuda, from, bytes, [&](std::size_t offset, std::size_t size) {
    return copy_piece_in(here, place, to + offset, static_cast<const std::byte*>(from) + offset, size, when);
  });
}

CUresult copy_out(const Here& here, const Place& place, void* to, CUdeviceptr from, std::size_t bytes, When when) {
  if (to != nullptr && is_in_slab(here.cuda, from)) {
    return here.cuda.knowledge_of(from, bytes) == Knowledge::inside ? copy_host(here, place, to, host_at(from), bytes)
                                                                    : CUDA_ERROR_INVALID_VALUE;
  }
  if (here.cuda.knowledge_of(from, bytes) == Knowledge::outside) {
    return bytes == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  }
  return in_pieces(here.cuda, to, bytes, [&](std::size_t offset, std::size_t size) {
    return copy_piece_out(here, place, static_cast<std::byte*>(to) + offset, from + offset, size, when);
  });
}

CUresult copy_device(const Here& here, const Place& place, CUdeviceptr to, CUdeviceptr from, std::size_t bytes) {
  if (bytes == 0) {
    return CUDA_SUCCESS;
  }
  const Knowledge known_to = here.cuda.knowledge_of(to, bytes);
  const Knowledge known_from = here.cuda.knowledge_of(from, bytes);
  if (known_to == Knowledge::outside || known_from == Knowledge::outside) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return here.lane().send<CopyDevice>(known_to == Knowledge::inside && known_from == Knowledge::inside,
                                      {.place = place, .to = to, .from = from, .size = bytes});
}

CUresult copy_any(const Here& here, const Place& place, CUdeviceptr to, CUdeviceptr from, std::size_t bytes,
                  When when) {
  const bool from_host = !here.cuda.is_on_device(from);
  const bool to_host = !here.cuda.is_on_device(to);
  if (bytes == 0) {
    return CUDA_SUCCESS;
  }
  if (from_host && to_host) {
    return to == 0 || from == 0 ? CUDA_ERROR_INVALID_VALUE : copy_host(here, place, host_at(to), host_at(from), bytes);
  }
  if (from_host) {
    return copy_in(here, place, to, host_at(from), bytes, when);
  }
  return to_host ? copy_out(here, place, host_at(to), from, bytes, when) : copy_device(here, place, to, from, bytes);
}

CUDA_MEMCPY3D box_of(const CUDA_MEMCPY2D& flat) noexcept {
  CUDA_MEMCPY3D box{};
  box.srcXInBytes = flat.srcXInBytes;
  box.srcY = flat.srcY;
  box.srcMemoryType = flat.srcMemoryType;
  box.srcHost = flat.srcHost;
  box.srcDevice = flat.srcDevice;
  box.srcArray = flat.srcArray;
  box.srcPitch = flat.srcPitch;
  box.dstXInBytes = flat.dstXInBytes;
  box.dstY = flat.dstY;
  box.dstMemoryType = flat.dstMemoryType;
  box.dstHost = flat.dstHost;
  box.dstDevice = flat.dstDevice;
  box.dstArray = flat.dstArray;
  box.dstPitch = flat.dstPitch;
  box.WidthInBytes = flat.WidthInBytes;
  box.Height = flat.Height;
  box.Depth = 1;
  return box;
}

namespace {

// One side of a box in three dimensions, as the program gave it.
struct GivenSide {
  CUmemorytype type;
  std::uint64_t address;
  std::uint64_t pitch;
  std::uint64_t height;
  std::uint64_t x;
  std::uint64_t y;
  std::uint64_t z;

  [[nodiscard]] std::byte* row(std::uint64_t y_in_box, std::uint64_t z_in_box) const {
    return static_cast<std::byte*>(host_at(address + ((z + z_in_box) * height + y + y_in_box) * pitch + x));
  }
};

struct Extent {
  std::uint64_t width;
  std::uint64_t height;
  std::uint64_t depth;
};

GivenSide source_side(const CUDA_MEMCPY3D& box) {
  const bool host = box.srcMemoryType == CU_MEMORYTYPE_HOST;
  return {.type = box.srcMemoryType,
          .address = host ? address_at(box.srcHost) : box.srcDevice,
          .pitch = box.srcPitch,
          .height = box.srcHeight,
          .x = box.srcXInBytes,
          .y = box.srcY,
          .z = box.srcZ};
}

GivenSide target_side(const CUDA_MEMCPY3D& box) {
  const bool host = box.dstMemoryType == CU_MEMORYTYPE_HOST;
  return {.type = box.dstMemoryType,
          .address = host ? address_at(box.dstHost) : box.dstDevice,
          .pitch = box.dstPitch,
          .height = box.dstHeight,
          .x = box.dstXInBytes,
          .y = box.dstY,
          .z = box.dstZ};
}

// Fills in what may be left out, finds out what kind of memory it is, and checks that the numbers fit each other.
CUresult complete(const Frontend& cuda, GivenSide& side, const Extent& extent) {
  if (side.type == CU_MEMORYTYPE_UNIFIED) {
    const auto range = cuda.memory.find(side.address);
    side.type = range && lies_on_device(range->value.kind) ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
  }
  if (side.type != CU_MEMORYTYPE_DEVICE && side.type != CU_MEMORYTYPE_HOST) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  side.pitch = side.pitch == 0 && extent.height == 1 && extent.depth == 1 ? side.x + extent.width : side.pitch;
  side.height = side.height == 0 ? side.y + extent.height : side.height;
  const bool fits = side.address != 0 && side.x <= side.pitch && extent.width <= side.pitch - side.x &&
                    (extent.depth == 1 || side.height >= side.y + extent.height);
  return fits ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

// From the start of the memory to the last byte that the box touches.
std::uint64_t reach(const GivenSide& side, const Extent& extent) {
  return ((side.z + extent.depth - 1) * side.height + side.y + extent.height - 1) * side.pitch + side.x + extent.width;
}

// The side as it travels, if it needs no staging.
Expected<std::optional<BoxSide>> direct_side(const Frontend& cuda, const GivenSide& side, const Extent& extent) {
  BoxSide box{.pitch = side.pitch, .height = side.height, .x = side.x, .y = side.y, .z = side.z};
  if (side.type == CU_MEMORYTYPE_DEVICE) {
    box.address = side.address;
    return box;
  }
  const auto slab = pinned_reference(cuda, host_at(side.address), reach(side, extent));
  if (!slab) {
    return std::unexpected(slab.error());
  }
  if (!*slab) {
    return std::nullopt;
  }
  box.slab = **slab;
  return box;
}

// A box whose one side is ordinary memory: in parts of whole rows, through a frame without gaps.
CUresult staged_box(const Here& here, const Place& place, const GivenSide& host, BoxSide device, const Extent& extent,
                    bool into_device) {
  const std::uint64_t rows_at_once =
      std::clamp<std::uint64_t>(box_staging / std::max<std::uint64_t>(extent.width, 1), 1, extent.height);
  auto frame = here.lane().allocate(std::max<std::uint64_t>(extent.width * rows_at_once, 1));
  if (!frame) {
    return frame.error().code == Errc::exhausted ? CUDA_ERROR_OUT_OF_MEMORY : here.lane().lost(frame.error());
  }
  for (std::uint64_t slice = 0; slice < extent.depth; ++slice) {
    for (std::uint64_t first = 0; first < extent.height; first += rows_at_once) {
      const std::uint64_t rows = std::min(rows_at_once, extent.height - first);
      const auto each_row = [&](auto copy) {
        for (std::uint64_t row = 0; row < rows; ++row) {
          copy(frame->data() + row * extent.width, host.row(first + row, slice));
        }
      };
      if (into_device) {
        each_row([&](std::byte* in_frame, const std::byte* outside) { std::memcpy(in_frame, outside, extent.width); });
      }
      BoxSide on_device = device;
      on_device.y += first;
      on_device.z += slice;
      const BoxSide in_slab{.slab = frame->reference(0, rows * extent.width), .pitch = extent.width, .height = rows};
      const CUresult code = here.lane().tell<CopyBox>({.place = place,
                                                       .from = into_device ? in_slab : on_device,
                                                       .to = into_device ? on_device : in_slab,
                                                       .width = extent.width,
                                                       .height = rows,
                                                       .depth = 1,
                                                       .wait = 1});
      if (code != CUDA_SUCCESS) {
        return code;
      }
      if (!into_device) {
        each_row([&](const std::byte* in_frame, std::byte* outside) { std::memcpy(outside, in_frame, extent.width); });
      }
    }
  }
  return CUDA_SUCCESS;
}

}  // namespace

bool is_captured(const Here& here, const Place& place) {
  if (!here.cuda.captures.any()) {
    return false;
  }
  const auto asked = here.lane().call<Query>(
      {.question = {.subject = Subject::capture_status, .context = place.context, .object = place.stream}});
  return asked && asked->reply.values[0] == CU_STREAM_CAPTURE_STATUS_ACTIVE;
}

Expected<GraphBox> box_for_graph(const Here& here, const Place& place, const CUDA_MEMCPY3D& box) {
  const Extent extent{.width = box.WidthInBytes, .height = box.Height, .depth = box.Depth};
  if (box.srcMemoryType == CU_MEMORYTYPE_ARRAY || box.dstMemoryType == CU_MEMORYTYPE_ARRAY) {
    return std::unexpected(CUDA_ERROR_NOT_SUPPORTED);
  }
  GivenSide from = source_side(box);
  GivenSide to = target_side(box);
  for (GivenSide* const side : {&from, &to}) {
    if (const CUresult code = complete(here.cuda, *side, extent); code != CUDA_SUCCESS) {
      return std::unexpected(code);
    }
    if (side->type == CU_MEMORYTYPE_DEVICE &&
        here.cuda.knowledge_of(side->address, reach(*side, extent)) == Knowledge::outside) {
      return std::unexpected(CUDA_ERROR_INVALID_VALUE);
    }
  }
  const auto direct_from = direct_side(here.cuda, from, extent);
  const auto direct_to = direct_side(here.cuda, to, extent);
  if (!direct_from || !direct_to) {
    return std::unexpected(direct_from ? direct_to.error() : direct_from.error());
  }
  GraphBox made{.request = {.place = place,
                            .from = direct_from->value_or(BoxSide{}),
                            .to = direct_to->value_or(BoxSide{}),
                            .width = extent.width,
                            .height = extent.height,
                            .depth = extent.depth}};
  if (*direct_from && *direct_to) {
    return made;
  }
  std::uint64_t bytes = 0;
  if (!*direct_from && !*direct_to) {
    return std::unexpected(CUDA_ERROR_NOT_SUPPORTED);
  }
  if (__builtin_mul_overflow(extent.width, extent.height, &bytes) ||
      __builtin_mul_overflow(bytes, extent.depth, &bytes) || bytes == 0) {
    return std::unexpected(CUDA_ERROR_INVALID_VALUE);
  }
  auto frame = here.lane().allocate(bytes);
  if (!frame) {
    return std::unexpected(frame.error().code == Errc::exhausted ? CUDA_ERROR_OUT_OF_MEMORY
                                                                 : here.lane().lost(frame.error()));
  }
  made.after = !*direct_to;
  BoxSide& in_slab = made.after ? made.request.to : made.request.from;
  in_slab = BoxSide{.slab = frame->reference(0, bytes), .pitch = extent.width, .height = extent.height};
  const auto kept = std::make_shared<Frame>(std::move(*frame));
  made.token =
      here.lane().expect_function([kept, extent, host = made.after ? to : from, out = made.after](CUresult /*status*/) {
        std::byte* in_frame = kept->data();
        for (std::uint64_t slice = 0; slice < extent.depth; ++slice) {
          for (std::uint64_t line = 0; line < extent.height; ++line, in_frame += extent.width) {
            std::byte* const outside = host.row(line, slice);
            std::memcpy(out ? outside : in_frame, out ? in_frame : outside, extent.width);
          }
        }
      });
  return made;
}

CUresult copy_box(const Here& here, const Place& place, const CUDA_MEMCPY3D& box, When when) {
  if (box.srcMemoryType == CU_MEMORYTYPE_ARRAY || box.dstMemoryType == CU_MEMORYTYPE_ARRAY) {
    return copy_array_box(here, place, box, when);
  }
  const Extent extent{.width = box.WidthInBytes, .height = box.Height, .depth = box.Depth};
  if (extent.width == 0 || extent.height == 0 || extent.depth == 0) {
    return CUDA_SUCCESS;
  }
  if (when == When::later && is_captured(here, place)) {
    return capture_box(here, place, box);
  }
  GivenSide from = source_side(box);
  GivenSide to = target_side(box);
  for (GivenSide* const side : {&from, &to}) {
    if (const CUresult code = complete(here.cuda, *side, extent); code != CUDA_SUCCESS) {
      return code;
    }
  }
  const bool from_host = from.type == CU_MEMORYTYPE_HOST;
  const bool to_host = to.type == CU_MEMORYTYPE_HOST;
  if (from_host && to_host) {
    if (const CUresult code = here.lane().tell<SyncStream>({.place = place}); code != CUDA_SUCCESS) {
      return code;
    }
    for (std::uint64_t slice = 0; slice < extent.depth; ++slice) {
      for (std::uint64_t row = 0; row < extent.height; ++row) {
        std::memmove(to.row(row, slice), from.row(row, slice), extent.width);
      }
    }
    return CUDA_SUCCESS;
  }
  bool known = true;
  for (const GivenSide* const side : {&from, &to}) {
    if (side->type == CU_MEMORYTYPE_DEVICE) {
      const Knowledge about = here.cuda.knowledge_of(side->address, reach(*side, extent));
      if (about == Knowledge::outside) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      known = known && about == Knowledge::inside;
    }
  }
  const auto direct_from = direct_side(here.cuda, from, extent);
  const auto direct_to = direct_side(here.cuda, to, extent);
  if (!direct_from || !direct_to) {
    return direct_from ? direct_to.error() : direct_from.error();
  }
  if (!*direct_from) {
    return staged_box(here, place, from, **direct_to, extent, true);
  }
  if (!*direct_to) {
    return staged_box(here, place, to, **direct_from, extent, false);
  }
  const bool waits = when == When::at_once && (from_host || to_host);
  return here.lane().send<CopyBox>(known && !waits, {.place = place,
                                                     .from = **direct_from,
                                                     .to = **direct_to,
                                                     .width = extent.width,
                                                     .height = extent.height,
                                                     .depth = extent.depth,
                                                     .wait = waits ? 1U : 0U});
}

Knowledge fill_knowledge(const Frontend& cuda, CUdeviceptr to, std::size_t pitch, std::uint32_t element,
                         std::size_t width, std::size_t height) {
  std::uint64_t row = 0;
  std::uint64_t bytes = 0;
  if (element == 0 || __builtin_mul_overflow(width, element, &row) || (height > 1 && pitch < row) ||
      to % element != 0 || (height > 1 && pitch % element != 0) || __builtin_mul_overflow(height - 1, pitch, &bytes) ||
      __builtin_add_overflow(bytes, row, &bytes)) {
    return Knowledge::outside;
  }
  return cuda.knowledge_of(to, bytes);
}

CUresult fill(const Here& here, const Place& place, CUdeviceptr to, std::size_t pitch, FillValue value,
              std::size_t width, std::size_t height) {
  if (width == 0 || height == 0) {
    return CUDA_SUCCESS;
  }
  const Knowledge known = fill_knowledge(here.cuda, to, pitch, value.element, width, height);
  if (known == Knowledge::outside) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return here.lane().send<Fill>(known == Knowledge::inside, {.place = place,
                                                             .address = to,
                                                             .pitch = pitch,
                                                             .width = width,
                                                             .height = height,
                                                             .element = value.element,
                                                             .value = value.value});
}

}  // namespace isthmus::cuda
