// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <tuple>
#include <utility>

#include "src/gpu/cuda/backend.hpp"
#include "src/gpu/cuda/output.hpp"

namespace isthmus::cuda {
namespace {

constexpr std::uint64_t most_bytes_of_a_reply = 32 * 1024;

// Bytes of rows whose pitch the driver is to choose: it makes them longer, up to the next multiple of 512.
std::uint64_t pitched_bytes(const Allocate::Request& rows) noexcept {
  constexpr std::uint64_t alignment = 512;
  std::uint64_t pitch = 0;
  std::uint64_t bytes = 0;
  return __builtin_add_overflow(rows.size, alignment - 1, &pitch) ||
                 __builtin_mul_overflow(pitch / alignment * alignment, rows.height, &bytes)
             ? UINT64_MAX
             : bytes;
}

}  // namespace

std::optional<std::uint64_t> fill_bytes(const Fill::Request& fill) noexcept {
  std::uint64_t row = 0;
  std::uint64_t size = 0;
  if (fill.element != 1 && fill.element != 2 && fill.element != 4) {
    return std::nullopt;
  }
  if (fill.width == 0 || fill.height == 0) {
    return 0;
  }
  if (__builtin_mul_overflow(fill.width, fill.element, &row) || (fill.height > 1 && fill.pitch < row) ||
      __builtin_mul_overflow(fill.height - 1, fill.pitch, &size) || __builtin_add_overflow(size, row, &size)) {
    return std::nullopt;
  }
  return size;
}

bool LaneBackend::is_device_memory(std::uint64_t address, std::uint64_t size) {
  auto range = memory_.find(address);
  if (!range) {
    range = graph_memory_.find(address);
  }
  if (!range) {
    if (const auto usable = virtual_.is_usable(address, size)) {
      return *usable;
    }
    if (const auto opened = opened_.find(address)) {
      return opened->holds(address, size);
    }
    // Module variables: asked once.
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

bool LaneBackend::is_usable(std::uint64_t address, std::uint64_t size, CUcontext context) {
  const std::uint64_t offset = address - reinterpret_cast<std::uintptr_t>(window_.data());
  if (offset >= window_.size()) {
    return is_device_memory(address, size);
  }
  if (size > window_.size() - offset) {
    return false;
  }
  slab_->use(window_.subspan(offset, size), context);
  return true;
}

std::uint64_t LaneBackend::piece_at(std::uint64_t address, std::uint64_t bytes) const noexcept {
  const std::uint64_t offset = address - reinterpret_cast<std::uintptr_t>(window_.data());
  return offset < window_.size() ? slab_->piece(window_.data() + offset, bytes) : bytes;
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
  const auto context = contexts_.find(request.context);
  const auto allocate = [&] {
    return request.element == 0
               ? driver_->cuMemAlloc(&address, request.size)
               : driver_->cuMemAllocPitch(&address, &pitch, request.size, request.height, request.element);
  };
  const CUresult code =
      account_.spend(request.element == 0 ? request.size : pitched_bytes(request),
                     context != nullptr ? context->handle : nullptr, allocate, [&] { return address; });
  if (code != CUDA_SUCCESS) {
    return refuse(code);
  }
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
  const CUresult code = account_.settle(request.address, [&] { return driver_->cuMemFree(request.address); });
  if (code != CUDA_SUCCESS) {
    memory_.add(range->base, range->size, range->value);
  }
  return answer(code);
}

Answer<AllocateInOrder::Reply> LaneBackend::handle(const AllocateInOrder::Request& request, marshal::Call& /*call*/) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  CUdeviceptr address = 0;
  // In a capture it becomes a node, and the memory comes and goes whenever the graph is launched.
  const bool of_graph = check_capture(place->stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED) != CUDA_SUCCESS;
  const auto on = device_of(request.place.context);
  if (!on) {
    return refuse(CUDA_ERROR_INVALID_CONTEXT);
  }
  const auto device_number = static_cast<std::uint64_t>(*on);  // NOLINT(bugprone-signed-char-misuse)
  const UsedPool pool = use_pool(request.pool, device_number);
  if (pool.handle == nullptr) {
    return refuse(pool.code);
  }
  const auto allocate = [&] {
    return driver_->cuMemAllocFromPoolAsync(&address, request.size, pool.handle, place->stream);
  };
  const CUresult code = !of_graph ? account_.spend_in_pool(request.size, pool.handle, allocate, [&] { return address; })
                        : account_.has_limit() ? CUDA_ERROR_NOT_SUPPORTED
                                               : allocate();
  if (code != CUDA_SUCCESS) {
    return refuse(code);
  }
  if (of_graph) {
    graph_memory_.add(address, request.size, place->context);
  } else {
    graph_memory_.remove(address);  // its graph is gone, or the driver would not have given it out
    memory_.add(address, request.size, place->context);
  }
  return AllocateInOrder::Reply{.address = address};
}

Answer<Nothing> LaneBackend::handle(const FreeInOrder::Request& request, marshal::Call& /*call*/) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  if (const auto of_graph = graph_memory_.find(request.address); of_graph && of_graph->base == request.address) {
    return answer(driver_->cuMemFreeAsync(request.address, place->stream));
  }
  auto range = memory_.remove(request.address);
  if (!range) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  const CUresult code =
      account_.settle(request.address, [&] { return driver_->cuMemFreeAsync(request.address, place->stream); });
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

Answer<Nothing> LaneBackend::handle(const Quiesce::Request& request, marshal::Call& /*call*/) {
  // The driver refuses, and spoils the capture.
  if (captures_.any()) {
    return refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  }
  const auto asked = contexts_.find(request.context);
  if (request.context != 0 && asked == nullptr) {
    return refuse(CUDA_ERROR_INVALID_CONTEXT);
  }
  std::vector<CUcontext> all;
  contexts_.each([&](const ContextObject& context) { all.push_back(context.handle); });
  CUresult first = CUDA_SUCCESS;
  auto replaced = take_replaced(nullptr);
  CUresult any_failure = CUDA_SUCCESS;
  for (CUcontext context : all) {
    CUresult code = driver_->cuCtxSetCurrent(context);
    code = code == CUDA_SUCCESS ? driver_->cuCtxSynchronize() : code;
    any_failure = any_failure == CUDA_SUCCESS ? code : any_failure;
    const bool counts = asked == nullptr || asked->handle == context;
    first = first == CUDA_SUCCESS && counts ? code : first;
  }
  end_replaced(std::move(replaced), any_failure);
  generation_.fetch_add(1, std::memory_order_acq_rel);  // this thread's context is another one now
  account_.reclaim();
  return answer(first);
}

Answer<Nothing> LaneBackend::handle(const Fill::Request& request, marshal::Call& /*call*/) {
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  const auto size = fill_bytes(request);
  // Elements are aligned, so that none of them lies across the border of two arenas.
  if (!size ||
      (*size != 0 && (request.address % request.element != 0 || !is_usable(request.address, *size, place->context)))) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  if (*size == 0) {
    return Nothing{};
  }
  const auto row_of = [&](std::uint64_t row, auto function, auto value) {
    CUresult code = CUDA_SUCCESS;
    const std::uint64_t bytes = request.width * request.element;
    for (std::uint64_t done = 0; done < bytes && code == CUDA_SUCCESS;) {
      const std::uint64_t address = request.address + row * request.pitch + done;
      const std::uint64_t piece = piece_at(address, bytes - done);
      code = function(address, value, piece / request.element, place->stream);
      done += piece;
    }
    return code;
  };
  const auto flat = [&](auto function, auto value) {
    CUresult code = CUDA_SUCCESS;
    for (std::uint64_t row = 0; row < request.height && code == CUDA_SUCCESS; ++row) {
      code = row_of(row, function, value);
    }
    return code;
  };
  const auto rows = [&](auto function, auto value) {
    return function(request.address, request.pitch, value, request.width, request.height, place->stream);
  };
  const auto byte = static_cast<unsigned char>(request.value);
  const auto half = static_cast<unsigned short>(request.value);  // NOLINT(google-runtime-int): the interface's type
  const Driver& cuda = *driver_;
  const bool crosses = piece_at(request.address, *size) < *size;
  if (crosses && request.height > 1 && request.pitch % request.element != 0) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  if (request.height == 1 || crosses) {
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
  if (const CUresult code = check_capture(place->stream, CUDA_ERROR_NOT_SUPPORTED); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  return answer(driver_->cuMemcpyHtoDAsync(request.to, bytes.data(), bytes.size(), place->stream));
}

Answer<CopyOut::Reply> LaneBackend::handle(const CopyOut::Request& request, marshal::Call& call) {
  thread_local std::vector<std::byte> buffer;  // valid until the reply is written, after this has returned
  const auto place = enter(request.place);
  if (!place) {
    return std::unexpected(place.error());
  }
  if (request.size > most_bytes_of_a_reply || !is_device_memory(request.from, request.size)) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  if (const CUresult code = check_capture(place->stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  buffer.resize(request.size);
  CUresult code = driver_->cuMemcpyDtoHAsync(buffer.data(), request.from, request.size, place->stream);
  code = code == CUDA_SUCCESS ? driver_->cuStreamSynchronize(place->stream) : code;
  call.reply_trailing(buffer);
  return code == CUDA_SUCCESS ? Answer<CopyOut::Reply>({.output = Output::waits() ? 1U : 0U}) : refuse(code);
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
  if (request.wait != 0) {
    if (const CUresult code = check_capture(place->stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        code != CUDA_SUCCESS) {
      return refuse(code);
    }
  }
  CopyPieces pieces(*this, place->stream);
  CUresult code = in_arenas(*bytes, *place, [&](std::span<std::byte> piece, std::uint64_t offset) {
    return pieces.note(
        request.to_slab != 0
            ? driver_->cuMemcpyDtoHAsync(piece.data(), request.device + offset, piece.size(), place->stream)
            : driver_->cuMemcpyHtoDAsync(request.device + offset, piece.data(), piece.size(), place->stream));
  });
  pieces.end();
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
  if (!is_usable(request.to, request.size, place->context) || !is_usable(request.from, request.size, place->context)) {
    return refuse(CUDA_ERROR_INVALID_VALUE);
  }
  CopyPieces pieces(*this, place->stream);
  CUresult code = CUDA_SUCCESS;
  for (std::uint64_t done = 0; done < request.size && code == CUDA_SUCCESS;) {
    const std::uint64_t left = request.size - done;
    const std::uint64_t piece = std::min(piece_at(request.to + done, left), piece_at(request.from + done, left));
    code = pieces.note(driver_->cuMemcpyDtoDAsync(request.to + done, request.from + done, piece, place->stream));
    done += piece;
  }
  pieces.end();
  return answer(code);
}

}  // namespace isthmus::cuda
