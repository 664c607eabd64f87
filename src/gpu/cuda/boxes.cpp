// SPDX-License-Identifier: Apache-2.0
#include "src/gpu/cuda/boxes.hpp"

#include <algorithm>

#include "src/gpu/cuda/backend.hpp"

namespace isthmus::cuda {
namespace {

std::uint64_t address_of(const std::byte* at) { return reinterpret_cast<std::uintptr_t>(at); }

// Bytes from the first to the last of a box's side, or nothing where the numbers overflow or contradict each other.
std::optional<std::uint64_t> extent_of_side(const BoxSide& side, const CopyBox::Request& box) {
  // No device has more; sums and differences of such numbers stay far from the type's end.
  constexpr std::uint64_t most = std::uint64_t{1} << 48;
  for (const std::uint64_t number :
       {side.x, side.y, side.z, side.height, side.pitch, box.width, box.height, box.depth}) {
    if (number > most) {
      return std::nullopt;
    }
  }
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
  const std::uint64_t row_end = side.x + box.width;
  const bool overflows = __builtin_mul_overflow(side.z + box.depth - 1, side.height, &rows) ||
                         __builtin_add_overflow(rows, side.y + box.height - 1, &rows) ||
                         __builtin_mul_overflow(rows, side.pitch, &bytes) ||
                         __builtin_add_overflow(bytes, row_end, &bytes);
  if (overflows || bytes > most || row_end > side.pitch || (box.depth > 1 && side.height < side.y + box.height)) {
    return std::nullopt;
  }
  return bytes;
}

}  // namespace

std::uint64_t address_in(std::uint64_t start, const BoxSide& side, const BoxPart& part) noexcept {
  return start + ((side.z + part.slice) * side.height + side.y + part.row) * side.pitch + side.x + part.x;
}

CUDA_MEMCPY3D describe(const CopyBox::Request& box, std::uint64_t from, std::uint64_t to,
                       const BoxPart& part) noexcept {
  const std::uint64_t source = address_in(from, box.from, part);
  const std::uint64_t target = address_in(to, box.to, part);
  CUDA_MEMCPY3D copy{};
  if (box.from.slab.length != 0) {
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = reinterpret_cast<const void*>(source);  // NOLINT(performance-no-int-to-ptr)
  } else {
    copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.srcDevice = source;
  }
  if (box.to.slab.length != 0) {
    copy.dstMemoryType = CU_MEMORYTYPE_HOST;
    copy.dstHost = reinterpret_cast<void*>(target);  // NOLINT(performance-no-int-to-ptr)
  } else {
    copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.dstDevice = target;
  }
  copy.srcPitch = box.from.pitch;
  copy.dstPitch = box.to.pitch;
  copy.srcHeight = box.from.height;  // count between slices only
  copy.dstHeight = box.to.height;
  copy.WidthInBytes = part.width;
  copy.Height = part.rows;
  copy.Depth = part.slices;
  return copy;
}

std::optional<LaneBackend::LocatedBox> LaneBackend::locate(const CopyBox::Request& box, marshal::Call& call,
                                                           CUcontext context) {
  const auto start_of = [&](const BoxSide& side) -> std::optional<std::uint64_t> {
    const auto extent = extent_of_side(side, box);
    if (!extent) {
      return std::nullopt;
    }
    if (side.slab.length == 0) {
      return is_device_memory(side.address, *extent) ? std::optional(side.address) : std::nullopt;
    }
    const auto bytes = call.resolve(side.slab);
    if (!bytes || *extent > bytes->size()) {
      return std::nullopt;
    }
    slab_->use(*bytes, context);
    return address_of(bytes->data());
  };
  const auto from = start_of(box.from);
  const auto to = start_of(box.to);
  return from && to ? std::optional(LocatedBox{.from = *from, .to = *to}) : std::nullopt;
}

bool LaneBackend::is_one_copy(const CopyBox::Request& box, const LocatedBox& at) const {
  const auto fits = [&](const BoxSide& side, std::uint64_t start) {
    const std::uint64_t first = address_in(start, side, {});
    const std::uint64_t last =
        address_in(start, side, {.slice = box.depth - 1, .row = box.height - 1, .x = box.width - 1});
    const std::uint64_t window = address_of(window_.data());
    return side.slab.length == 0 ||
           (first - window) / SlabRegistration::arena_size == (last - window) / SlabRegistration::arena_size;
  };
  return fits(box.from, at.from) && fits(box.to, at.to);
}

bool LaneBackend::each_piece(const CopyBox::Request& box, const LocatedBox& at,
                             const std::function<bool(const BoxPart&)>& copy) const {
  if (is_one_copy(box, at)) {
    return copy({.slices = box.depth, .rows = box.height, .width = box.width});
  }
  // Somewhere in it is the border of two registrations: row by row, and that row in two or three pieces.
  const auto left_in_arena = [&](const BoxSide& side, std::uint64_t start, const BoxPart& part) {
    const std::uint64_t offset = address_in(start, side, part) - address_of(window_.data());
    return side.slab.length == 0 ? UINT64_MAX : SlabRegistration::arena_size - offset % SlabRegistration::arena_size;
  };
  BoxPart part;
  for (part.slice = 0; part.slice < box.depth; ++part.slice) {
    for (part.row = 0; part.row < box.height; ++part.row) {
      for (part.x = 0; part.x < box.width; part.x += part.width) {
        part.width =
            std::min({box.width - part.x, left_in_arena(box.from, at.from, part), left_in_arena(box.to, at.to, part)});
        if (!copy(part)) {
          return false;
        }
      }
    }
  }
  return true;
}

Answer<Nothing> LaneBackend::handle(const CopyBox::Request& request, marshal::Call& call) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  if (request.width == 0 || request.height == 0 || request.depth == 0) {
    return Nothing{};
  }
  const auto at = locate(request, call, place->context);
  if (!at) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  if (request.wait != 0) {
    if (const CUresult code = check_capture(place->stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        code != CUDA_SUCCESS) {
      return refuse(code);
    }
  }
  CopyPieces pieces(*this, place->stream);
  CUresult code = CUDA_SUCCESS;
  each_piece(request, *at, [&](const BoxPart& part) {
    const CUDA_MEMCPY3D copy = describe(request, at->from, at->to, part);
    code = pieces.note(driver_->cuMemcpy3DAsync(&copy, place->stream));
    return code == CUDA_SUCCESS;
  });
  pieces.end();
  if (code == CUDA_SUCCESS && request.wait != 0 && call.wants_reply()) {
    code = driver_->cuStreamSynchronize(place->stream);
  }
  return answer(code);
}

}  // namespace isthmus::cuda
