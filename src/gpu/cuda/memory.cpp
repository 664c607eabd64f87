// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <tuple>
#include <utility>

#include "src/gpu/cuda/backend.hpp"

namespace isthmus::cuda {
namespace {

constexpr std::uint64_t most_bytes_of_a_reply = 32 * 1024;

std::uint64_t address_of(const std::byte* at) { return reinterpret_cast<std::uintptr_t>(at); }

// Bytes from the first to the last of a box's side, or nothing where the numbers overflow or contradict each other.
std::optional<std::uint64_t> extent_of_side(const BoxSide& side, const CopyBox::Request& box) {
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
  std::uint64_t row_end = 0;
  const bool overflows =
      __builtin_mul_overflow(side.z + box.depth - 1, side.height, &rows) ||
      __builtin_add_overflow(rows, side.y, &rows) || __builtin_add_overflow(rows, box.height - 1, &rows) ||
      __builtin_mul_overflow(rows, side.pitch, &bytes) || __builtin_add_overflow(side.x, box.width, &row_end) ||
      __builtin_add_overflow(bytes, row_end, &bytes);
  constexpr std::uint64_t most = std::uint64_t{1} << 48;  // no device has more; keeps sums of such numbers small
  if (side.x > most || side.y > most || side.z > most || overflows || row_end > side.pitch ||
      (box.depth > 1 && side.height < side.y + box.height)) {
    return std::nullopt;
  }
  return bytes;
}

}  // namespace

bool LaneBackend::is_device_memory(std::uint64_t address, std::uint64_t size) {
  auto range = memory_.find(address);
  if (!range) {
    // Module variables, memory of pools: asked once.
    CUdeviceptr base = 0;
    std::size_t bytes = 0;
    CUcontext context = nullptr;
    if (driver_->cuPointerGetAttribute(&base, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, address) != CUDA_SUCCESS ||
        driver_->cuPointerGetAttribute(&bytes, CU_POINTER_ATTRIBUTE_RANGE_SIZE, address) != CUDA_SUCCESS ||
        bytes == 0) {
      return false;
    }
    std::ignore = driver_->cuPointerGetAttribute(static_cast<void*>(&context), CU_POINTER_ATTRIBUTE_CONTEXT, address);
    const decltype(memory_)::Range found{.base = base, .size = bytes, .value = context};
    return found.holds(address, size);
  }
  return range->holds(address, size);
}

CUresult LaneBackend::in_arenas(std::span<std::byte> bytes, const Entered& place,
                                const std::function<CUresult(std::span<std::byte>, std::uint64_t)>& copy) {
  slab_->use(bytes, place.context);
  for (std::size_t done = 0; done < bytes.size();) {
    const auto piece = bytes.subspan(done, slab_->piece(bytes.data() + done, bytes.size() - done));
    if (const CUresult code = copy(piece, done); code != CUDA_SUCCESS) {
      return code;
    }
    done += piece.size();
  }
  return CUDA_SUCCESS;
}

Answer<Allocate::Reply> LaneBackend::handle(const Allocate::Request& request, marshal::Call& /*call*/) {
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  CUdeviceptr address = 0;
  std::size_t pitch = 0;
  const CUresult code = request.element == 0
                            ? driver_->cuMemAlloc(&address, request.size)
                            : driver_->cuMemAllocPitch(&address, &pitch, request.size, request.height, request.element);
  if (code != CUDA_SUCCESS) {
    return refuse(code);
  }
  const auto context = contexts_.find(request.context);
  memory_.add(address, request.element == 0 ? request.size : pitch * request.height,
              context != nullptr ? context->handle : nullptr);
  return Allocate::Reply{.address = address, .pitch = pitch};
}

Answer<Nothing> LaneBackend::handle(const Free::Request& request, marshal::Call& /*call*/) {
  if (const CUresult code = enter(request.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  // Known before it is free: another thread's allocation may get the address as soon as the driver has it back.
  auto range = memory_.remove(request.address);
  if (!range) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  const CUresult code = driver_->cuMemFree(request.address);
  if (code != CUDA_SUCCESS) {
    memory_.add(range->base, range->size, range->value);
  }
  return answer(code);
}

Answer<Nothing> LaneBackend::handle(const UseSlab::Request& request, marshal::Call& call) {
  const auto place = enter(Place{.context = request.context});
  const auto bytes = call.resolve(request.memory);
  if (!place || !bytes) {
    return place ? refuse(CUDA_ERROR_INVALID_VALUE) : std::unexpected(place.error());
  }
  slab_->use(*bytes, place->context);
  return Nothing{};
}

Answer<Nothing> LaneBackend::handle(const Quiesce::Request& /*request*/, marshal::Call& /*call*/) {
  std::vector<CUcontext> all;
  contexts_.each([&](const ContextObject& context) { all.push_back(context.handle); });
  CUresult first = CUDA_SUCCESS;
  for (CUcontext context : all) {
    CUresult code = driver_->cuCtxSetCurrent(context);
    code = code == CUDA_SUCCESS ? driver_->cuCtxSynchronize() : code;
    first = first == CUDA_SUCCESS ? code : first;
  }
  generation_.fetch_add(1, std::memory_order_acq_rel);  // this thread's context is another one now
  return answer(first);
}

Answer<Nothing> LaneBackend::handle(const Fill::Request& request, marshal::Call& /*call*/) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  std::uint64_t row = 0;
  std::uint64_t size = 0;
  if (request.width == 0 || request.height == 0) {
    return Nothing{};
  }
  if ((request.element != 1 && request.element != 2 && request.element != 4) ||
      __builtin_mul_overflow(request.width, request.element, &row) || (request.height > 1 && request.pitch < row) ||
      __builtin_mul_overflow(request.height - 1, request.pitch, &size) || __builtin_add_overflow(size, row, &size) ||
      !is_device_memory(request.address, size)) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  const auto flat = [&](auto function, auto value) {
    return function(request.address, value, request.width, place->stream);
  };
  const auto rows = [&](auto function, auto value) {
    return function(request.address, request.pitch, value, request.width, request.height, place->stream);
  };
  const auto byte = static_cast<unsigned char>(request.value);
  const auto half = static_cast<unsigned short>(request.value);  // NOLINT(google-runtime-int): the interface's type
  const Driver& cuda = *driver_;
  if (request.height == 1) {
    return answer(request.element == 1   ? flat(cuda.cuMemsetD8Async, byte)
                  : request.element == 2 ? flat(cuda.cuMemsetD16Async, half)
                                         : flat(cuda.cuMemsetD32Async, request.value));
  }
  return answer(request.element == 1   ? rows(cuda.cuMemsetD2D8Async, byte)
                : request.element == 2 ? rows(cuda.cuMemsetD2D16Async, half)
                                       : rows(cuda.cuMemsetD2D32Async, request.value));
}

Answer<Nothing> LaneBackend::handle(const CopyIn::Request& request, marshal::Call& call) {
  const auto place = enter(request.place);
  const auto bytes = call.trailing();
  if (!place) {
    return std::unexpected(place.error());
  }
  if (!is_device_memory(request.to, bytes.size())) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  return answer(driver_->cuMemcpyHtoDAsync(request.to, bytes.data(), bytes.size(), place->stream));
}

Answer<Nothing> LaneBackend::handle(const CopyOut::Request& request, marshal::Call& call) {
  thread_local std::vector<std::byte> buffer;  // valid until the reply is written, after this has returned
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  if (request.size > most_bytes_of_a_reply || !is_device_memory(request.from, request.size)) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  buffer.resize(request.size);
  CUresult code = driver_->cuMemcpyDtoHAsync(buffer.data(), request.from, request.size, place->stream);
  code = code == CUDA_SUCCESS ? driver_->cuStreamSynchronize(place->stream) : code;
  call.reply_trailing(buffer);
  return answer(code);
}

Answer<Nothing> LaneBackend::handle(const CopySlab::Request& request, marshal::Call& call) {
  const auto place = enter(request.place);
  const auto bytes = call.resolve(request.slab);
  if (!place) {
    return std::unexpected(place.error());
  }
  if (!bytes || !is_device_memory(request.device, bytes->size())) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  CUresult code = in_arenas(*bytes, *place, [&](std::span<std::byte> piece, std::uint64_t offset) {
    return request.to_slab != 0
               ? driver_->cuMemcpyDtoHAsync(piece.data(), request.device + offset, piece.size(), place->stream)
               : driver_->cuMemcpyHtoDAsync(request.device + offset, piece.data(), piece.size(), place->stream);
  });
  if (code == CUDA_SUCCESS && request.wait != 0 && call.wants_reply()) {
    code = driver_->cuStreamSynchronize(place->stream);
  }
  return answer(code);
}

Answer<Nothing> LaneBackend::handle(const CopyDevice::Request& request, marshal::Call& /*call*/) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  if (!is_device_memory(request.to, request.size) || !is_device_memory(request.from, request.size)) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  return answer(driver_->cuMemcpyDtoDAsync(request.to, request.from, request.size, place->stream));
}

Answer<Nothing> LaneBackend::handle(const CopyBox::Request& request, marshal::Call& call) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  if (request.width == 0 || request.height == 0 || request.depth == 0) {
    return Nothing{};
  }
  // Where a side begins, once it is sure that it lies in its memory. Slab memory is used as the GPU sees it.
  const auto locate = [&](const BoxSide& side) -> std::optional<std::uint64_t> {
    const auto extent = extent_of_side(side, request);
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
    slab_->use(*bytes, place->context);
    return address_of(bytes->data());
  };
  const auto from = locate(request.from);
  const auto to = locate(request.to);
  if (!from || !to) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  // Slice by slice, and row by row where a slab's slice crosses the border of two registrations.
  CUDA_MEMCPY3D copy{};
  copy.WidthInBytes = request.width;
  copy.Depth = 1;
  const auto set_side = [](std::uint64_t start, const BoxSide& side, std::uint64_t row, std::uint64_t slice) {
    return start + ((side.z + slice) * side.height + side.y + row) * side.pitch + side.x;
  };
  const auto run = [&](std::uint64_t slice, std::uint64_t row, std::uint64_t rows) {
    const std::uint64_t source = set_side(*from, request.from, row, slice);
    const std::uint64_t target = set_side(*to, request.to, row, slice);
    const bool from_slab = request.from.slab.length != 0;
    const bool to_slab = request.to.slab.length != 0;
    copy.srcMemoryType = from_slab ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
    copy.dstMemoryType = to_slab ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
    copy.srcHost = from_slab ? reinterpret_cast<const void*>(source) : nullptr;  // NOLINT(performance-no-int-to-ptr)
    copy.dstHost = to_slab ? reinterpret_cast<void*>(target) : nullptr;          // NOLINT(performance-no-int-to-ptr)
    copy.srcDevice = from_slab ? 0 : source;
    copy.dstDevice = to_slab ? 0 : target;
    copy.srcPitch = request.from.pitch;
    copy.dstPitch = request.to.pitch;
    copy.srcHeight = request.from.height;  // count between slices only
    copy.dstHeight = request.to.height;
    copy.Height = rows;
    return driver_->cuMemcpy3DAsync(&copy, place->stream);
  };
  const auto in_one_arena = [&](const BoxSide& side, std::uint64_t start, std::uint64_t slice) {
    if (side.slab.length == 0) {
      return true;
    }
    const std::uint64_t first = set_side(start, side, 0, slice) - address_of(window_.data());
    const std::uint64_t last = first + (request.height - 1) * side.pitch + request.width - 1;
    return first / SlabRegistration::arena_size == last / SlabRegistration::arena_size;
  };
  CUresult code = CUDA_SUCCESS;
  const bool on_device = request.from.slab.length == 0 && request.to.slab.length == 0;
  if (on_device) {
    copy.Depth = request.depth;
    code = run(0, 0, request.height);
  }
  for (std::uint64_t slice = 0; !on_device && slice < request.depth && code == CUDA_SUCCESS; ++slice) {
    if (in_one_arena(request.from, *from, slice) && in_one_arena(request.to, *to, slice)) {
      code = run(slice, 0, request.height);
      continue;
    }
    for (std::uint64_t row = 0; row < request.height && code == CUDA_SUCCESS; ++row) {
      code = run(slice, row, 1);
    }
  }
  if (code == CUDA_SUCCESS && request.wait != 0 && call.wants_reply()) {
    code = driver_->cuStreamSynchronize(place->stream);
  }
  return answer(code);
}

}  // namespace isthmus::cuda
