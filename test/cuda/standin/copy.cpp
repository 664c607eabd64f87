// SPDX-License-Identifier: Apache-2.0
#include "test/cuda/standin/copy.hpp"

#include <cstring>
#include <memory>
#include <vector>

#include "test/cuda/standin/address.hpp"
#include "test/cuda/standin/array.hpp"
#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/failure.hpp"
#include "test/cuda/standin/graph.hpp"

namespace isthmus::standin {
namespace {

// Bytes from the first to behind the last.
std::size_t reach(std::size_t pitch, std::size_t slice, const Extent& extent) {
  return (extent.depth - 1) * slice + (extent.height - 1) * pitch + extent.width;
}

void move_rows(const Side& to, const Side& from, const Extent& extent) {
  for (std::size_t z = 0; z < extent.depth; ++z) {
    for (std::size_t y = 0; y < extent.height; ++y) {
      std::memmove(to.start + z * to.slice + y * to.pitch, from.start + z * from.slice + y * from.pitch, extent.width);
    }
  }
}

Where said_by(CUmemorytype type) {
  switch (type) {
    case CU_MEMORYTYPE_HOST:
      return Where::host;
    case CU_MEMORYTYPE_DEVICE:
      return Where::device;
    case CU_MEMORYTYPE_UNIFIED:
      return Where::either;
    default:
      fail(CUDA_ERROR_INVALID_VALUE, "a type of memory");
  }
}

struct Resolved {
  Side to;
  Side from;
  Extent extent;
};

Resolved resolve(const CUDA_MEMCPY3D& asked) {
  Resolved found;
  found.extent = {.width = asked.WidthInBytes, .height = asked.Height, .depth = asked.Depth};
  if (found.extent.empty()) {
    return found;
  }
  const auto side = [&](CUmemorytype type, const void* host, CUdeviceptr device, std::size_t pitch, std::size_t height,
                        std::size_t x, std::size_t y, std::size_t z, CUarray array) {
    if (type == CU_MEMORYTYPE_ARRAY) {
      return side_of(array, x, y, z, found.extent);
    }
    const std::size_t row = pitch == 0 ? asked.WidthInBytes : pitch;
    const std::size_t slice = row * (height == 0 ? asked.Height : height);
    require(asked.Height == 1 || row >= asked.WidthInBytes + x, CUDA_ERROR_INVALID_VALUE, "rows overlap");
    require(asked.Depth == 1 || height == 0 || height >= asked.Height + y, CUDA_ERROR_INVALID_VALUE, "slices overlap");
    const auto* start = type == CU_MEMORYTYPE_HOST ? static_cast<const std::byte*>(host) : pointer_to(device);
    require(start != nullptr, CUDA_ERROR_INVALID_VALUE, "a null pointer");
    return side_of(start + z * slice + y * row + x, row, slice, found.extent, said_by(type));
  };
  found.to = side(asked.dstMemoryType, asked.dstHost, asked.dstDevice, asked.dstPitch, asked.dstHeight,
                  asked.dstXInBytes, asked.dstY, asked.dstZ, asked.dstArray);
  found.from = side(asked.srcMemoryType, asked.srcHost, asked.srcDevice, asked.srcPitch, asked.srcHeight,
                    asked.srcXInBytes, asked.srcY, asked.srcZ, asked.srcArray);
  return found;
}

}  // namespace

Side side_of(const void* start, std::size_t pitch, std::size_t slice, const Extent& extent, Where said) {
  auto& memory = driver().memory;
  const CUdeviceptr address = address_of(start);
  Side side{.start = pointer_to(address), .pitch = pitch, .slice = slice};
  const std::size_t bytes = reach(pitch, slice, extent);
  const auto block = memory.find(address);
  side.device = memory.in_device_range(address) || (block.has_value() && block->on_device());
  side.pinned = block.has_value() && !side.device;
  if (block.has_value() || side.device) {
    // Of one allocation or registration: a copy over the border of two fails on a real driver, too.
    require(memory.device_may_use(address, bytes), CUDA_ERROR_INVALID_VALUE, "not all of it is there");
  }
  const bool managed = block.has_value() && block->kind == Block::Kind::managed;
  require(said != Where::device || side.device || side.pinned, CUDA_ERROR_INVALID_VALUE,
          "a host pointer where a device pointer was said to be");
  require(said != Where::host || !side.device || managed, CUDA_ERROR_INVALID_VALUE,
          "a device pointer where a host pointer was said to be");
  return side;
}

void copy(Context& context, Stream& stream, const Side& to, const Side& from, const Extent& extent,
          const CUDA_MEMCPY3D& parameters) {
  Operation operation{.type = CU_GRAPH_NODE_TYPE_MEMCPY, .work = {}, .parameters = parameters};
  const bool from_ordinary = !from.device && !from.pinned;
  const bool to_ordinary = !to.device && !to.pinned;
  if (captured(stream) || !from_ordinary) {
    operation.work = [to, from, extent] { move_rows(to, from, extent); };
  } else {
    auto staged = std::make_shared<std::vector<std::byte>>(extent.width * extent.height * extent.depth);
    const Side between{.start = staged->data(), .pitch = extent.width, .slice = extent.width * extent.height};
    move_rows(between, from, extent);
    operation.work = [to, between, extent, staged] { move_rows(to, between, extent); };
  }
  const Done done = submit(context, stream, std::move(operation));
  if (to_ordinary && done != nullptr) {
    context.wait(done);
  }
}

void copy(Context& context, Stream& stream, const CUDA_MEMCPY3D& parameters) {
  const Resolved found = resolve(parameters);
  if (!found.extent.empty()) {
    copy(context, stream, found.to, found.from, found.extent, parameters);
  }
}

CUDA_MEMCPY3D in_a_row(CUmemorytype to_type, CUdeviceptr to, CUmemorytype from_type, CUdeviceptr from,
                       std::size_t bytes) {
  CUDA_MEMCPY3D row{};
  row.dstMemoryType = to_type;
  row.dstHost = pointer_to(to);
  row.dstDevice = to;
  row.srcMemoryType = from_type;
  row.srcHost = pointer_to(from);
  row.srcDevice = from;
  row.WidthInBytes = bytes;
  row.Height = row.Depth = 1;
  return row;
}

Work copy_work(const CUDA_MEMCPY3D& parameters) {
  const Resolved found = resolve(parameters);
  if (found.extent.empty()) {
    return {};
  }
  return [found] { move_rows(found.to, found.from, found.extent); };
}

}  // namespace isthmus::standin
