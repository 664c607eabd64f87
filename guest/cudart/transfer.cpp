// SPDX-License-Identifier: Apache-2.0

// Copies of memory and arrays.

#include "guest/cudart/transfer.hpp"

#include <algorithm>

#include "guest/cudart/format.hpp"

namespace isthmus::cudart {
namespace {

struct Direction {
  CUmemorytype from;
  CUmemorytype to;
};

/// What a kind of copy says about pointers; with cudaMemcpyDefault the addresses tell.
cudaError_t to_direction(cudaMemcpyKind kind, Direction& out) {
  switch (kind) {
    case cudaMemcpyHostToHost:
      out = {.from = CU_MEMORYTYPE_HOST, .to = CU_MEMORYTYPE_HOST};
      return cudaSuccess;
    case cudaMemcpyHostToDevice:
      out = {.from = CU_MEMORYTYPE_HOST, .to = CU_MEMORYTYPE_DEVICE};
      return cudaSuccess;
    case cudaMemcpyDeviceToHost:
      out = {.from = CU_MEMORYTYPE_DEVICE, .to = CU_MEMORYTYPE_HOST};
      return cudaSuccess;
    case cudaMemcpyDeviceToDevice:
      out = {.from = CU_MEMORYTYPE_DEVICE, .to = CU_MEMORYTYPE_DEVICE};
      return cudaSuccess;
    case cudaMemcpyDefault:
      out = {.from = CU_MEMORYTYPE_UNIFIED, .to = CU_MEMORYTYPE_UNIFIED};
      return cudaSuccess;
  }
  return cudaErrorInvalidMemcpyDirection;
}

/// Arrays are in device memory: a kind that says otherwise of one is refused.
cudaError_t to_direction(cudaMemcpyKind kind, bool is_from_array, bool is_to_array, Direction& out) {
  const cudaError_t error = to_direction(kind, out);
  if (error != cudaSuccess) {
    return error;
  }
  if ((is_from_array && out.from == CU_MEMORYTYPE_HOST) || (is_to_array && out.to == CU_MEMORYTYPE_HOST)) {
    return cudaErrorInvalidMemcpyDirection;
  }
  if (is_from_array) {
    out.from = CU_MEMORYTYPE_ARRAY;
  }
  if (is_to_array) {
    out.to = CU_MEMORYTYPE_ARRAY;
  }
  return cudaSuccess;
}

cudaMemcpyKind to_kind(CUmemorytype from, CUmemorytype to) {
  if (from == CU_MEMORYTYPE_UNIFIED || to == CU_MEMORYTYPE_UNIFIED) {
    return cudaMemcpyDefault;
  }
  if (from == CU_MEMORYTYPE_HOST) {
    return to == CU_MEMORYTYPE_HOST ? cudaMemcpyHostToHost : cudaMemcpyHostToDevice;
  }
  return to == CU_MEMORYTYPE_HOST ? cudaMemcpyDeviceToHost : cudaMemcpyDeviceToDevice;
}

// The driver's three structures of copies have members of the same names.

template <class Copy>
void set_source(Copy& copy, CUmemorytype type, const void* memory, std::size_t pitch, cudaArray_t array) {
  copy.srcMemoryType = type;
  copy.srcPitch = pitch;
  if (type == CU_MEMORYTYPE_ARRAY) {
    copy.srcArray = as<CUarray>(array);
  } else if (type == CU_MEMORYTYPE_HOST) {
    copy.srcHost = memory;
  } else {
    copy.srcDevice = as<CUdeviceptr>(memory);
  }
}

template <class Copy>
void set_destination(Copy& copy, CUmemorytype type, void* memory, std::size_t pitch, cudaArray_t array) {
  copy.dstMemoryType = type;
  copy.dstPitch = pitch;
  if (type == CU_MEMORYTYPE_ARRAY) {
    copy.dstArray = as<CUarray>(array);
  } else if (type == CU_MEMORYTYPE_HOST) {
    copy.dstHost = memory;
  } else {
    copy.dstDevice = as<CUdeviceptr>(memory);
  }
}

template <class Copy>
void* source_memory(const Copy& copy) {
  return copy.srcMemoryType == CU_MEMORYTYPE_HOST
             ? const_cast<void*>(copy.srcHost)
             : reinterpret_cast<void*>(copy.srcDevice);  // NOLINT(performance-no-int-to-ptr): the driver's address
}

template <class Copy>
void* destination_memory(const Copy& copy) {
  return copy.dstMemoryType == CU_MEMORYTYPE_HOST
             ? copy.dstHost
             : reinterpret_cast<void*>(copy.dstDevice);  // NOLINT(performance-no-int-to-ptr): the driver's address
}

struct ArrayShape {
  std::size_t element = 0;  ///< bytes
  std::size_t line = 0;     ///< bytes
};

cudaError_t shape_of(CUarray array, ArrayShape& out) {
  CUDA_ARRAY3D_DESCRIPTOR descriptor{};
  const cudaError_t error = driver(cuArray3DGetDescriptor, &descriptor, array);
  if (error != cudaSuccess) {
    return error;
  }
  out.element = element_bytes({.format = descriptor.Format, .channels = descriptor.NumChannels});
  out.line = out.element * descriptor.Width;
  return out.element != 0 ? cudaSuccess : cudaErrorInvalidValue;
}

/// Bytes of what a 3-D copy counts in: an element of the array that takes part, else one.
cudaError_t unit_of(CUarray from, CUarray to, std::size_t& unit) {
  unit = 1;
  if (from == nullptr && to == nullptr) {
    return cudaSuccess;
  }
  ArrayShape shape;
  const cudaError_t error = shape_of(from != nullptr ? from : to, shape);
  unit = shape.element;
  return error;
}

/// Everything but the types of memory and the contexts.
template <class Parameters, class Copy>
cudaError_t set_geometry(const Parameters& parameters, const Direction& direction, Copy& copy) {
  const bool is_from_array = parameters.srcArray != nullptr;
  const bool is_to_array = parameters.dstArray != nullptr;
  if (is_from_array == (parameters.srcPtr.ptr != nullptr) || is_to_array == (parameters.dstPtr.ptr != nullptr)) {
    return cudaErrorInvalidValue;  // neither or both
  }
  std::size_t unit = 1;
  const cudaError_t error = unit_of(as<CUarray>(parameters.srcArray), as<CUarray>(parameters.dstArray), unit);
  if (error != cudaSuccess) {
    return error;
  }
  set_source(copy, direction.from, parameters.srcPtr.ptr, parameters.srcPtr.pitch, parameters.srcArray);
  set_destination(copy, direction.to, parameters.dstPtr.ptr, parameters.dstPtr.pitch, parameters.dstArray);
  copy.srcHeight = parameters.srcPtr.ysize;
  copy.dstHeight = parameters.dstPtr.ysize;
  copy.srcXInBytes = parameters.srcPos.x * (is_from_array ? unit : 1);
  copy.srcY = parameters.srcPos.y;
  copy.srcZ = parameters.srcPos.z;
  copy.dstXInBytes = parameters.dstPos.x * (is_to_array ? unit : 1);
  copy.dstY = parameters.dstPos.y;
  copy.dstZ = parameters.dstPos.z;
  copy.WidthInBytes = parameters.extent.width * unit;
  copy.Height = parameters.extent.height;
  copy.Depth = parameters.extent.depth;
  const bool has_lines = copy.Height > 1 || copy.Depth > 1;
  if (has_lines &&
      ((!is_from_array && copy.srcPitch < copy.WidthInBytes) || (!is_to_array && copy.dstPitch < copy.WidthInBytes))) {
    return cudaErrorInvalidPitchValue;
  }
  return cudaSuccess;
}

bool is_empty(cudaExtent extent) { return extent.width == 0 || extent.height == 0 || extent.depth == 0; }

}  // namespace

cudaError_t copy(Order order, void* to, const void* from, std::size_t size, cudaMemcpyKind kind) {
  Direction direction{};
  const cudaError_t error = to_direction(kind, direction);
  if (error != cudaSuccess || size == 0) {
    return error;
  }
  if (to == nullptr || from == nullptr) {
    return cudaErrorInvalidValue;
  }
  switch (kind) {
    case cudaMemcpyHostToDevice:
      return in_order(order, cuMemcpyHtoD, cuMemcpyHtoDAsync, to, from, size);
    case cudaMemcpyDeviceToHost:
      return in_order(order, cuMemcpyDtoH, cuMemcpyDtoHAsync, to, from, size);
    case cudaMemcpyDeviceToDevice:
      return in_order(order, cuMemcpyDtoD, cuMemcpyDtoDAsync, to, from, size);
    case cudaMemcpyHostToHost:
    case cudaMemcpyDefault:
      break;
  }
  return in_order(order, cuMemcpy, cuMemcpyAsync, to, from, size);
}

cudaError_t copy_2d(Order order, const Lines& to, const Lines& from, std::size_t width, std::size_t height,
                    cudaMemcpyKind kind) {
  Direction direction{};
  const cudaError_t error = to_direction(kind, from.array != nullptr, to.array != nullptr, direction);
  if (error != cudaSuccess) {
    return error;
  }
  if ((to.array == nullptr && width > to.pitch) || (from.array == nullptr && width > from.pitch)) {
    return cudaErrorInvalidPitchValue;
  }
  if (width == 0 || height == 0) {
    return cudaSuccess;
  }
  if ((to.array == nullptr && to.memory == nullptr) || (from.array == nullptr && from.memory == nullptr)) {
    return cudaErrorInvalidValue;
  }
  CUDA_MEMCPY2D copy{};
  set_source(copy, direction.from, from.memory, from.pitch, from.array);
  set_destination(copy, direction.to, to.memory, to.pitch, to.array);
  copy.srcXInBytes = from.x;
  copy.srcY = from.y;
  copy.dstXInBytes = to.x;
  copy.dstY = to.y;
  copy.WidthInBytes = width;
  copy.Height = height;
  return in_order(order, cuMemcpy2DUnaligned, cuMemcpy2DAsync, &copy);
}

cudaError_t copy_through_lines(Order order, Lines to, Lines from, std::size_t size, cudaMemcpyKind kind) {
  ArrayShape to_shape{.element = 1, .line = size};
  ArrayShape from_shape{.element = 1, .line = size};
  cudaError_t error = to.array != nullptr ? shape_of(as<CUarray>(to.array), to_shape) : cudaSuccess;
  if (error == cudaSuccess && from.array != nullptr) {
    error = shape_of(as<CUarray>(from.array), from_shape);
  }
  const bool is_even = to.array == nullptr || from.array == nullptr || to_shape.line == from_shape.line;
  const std::size_t line = to.array != nullptr ? to_shape.line : from_shape.line;
  const auto advance = [](Lines& side, std::size_t side_line, std::size_t width, std::size_t height) {
    if (side.array == nullptr) {
      side.memory = static_cast<std::byte*>(side.memory) + width * height;
      return;
    }
    side.x += width;
    side.y += side.x / side_line + height - 1;
    side.x %= side_line;
  };
  while (error == cudaSuccess && size != 0) {
    if ((to.array != nullptr && to.x >= to_shape.line) || (from.array != nullptr && from.x >= from_shape.line)) {
      return cudaErrorInvalidValue;
    }
    std::size_t width = size;
    std::size_t height = 1;
    if (is_even && to.x == 0 && from.x == 0 && size >= line) {
      width = line;
      height = size / line;
    } else {
      width = to.array != nullptr ? std::min(width, to_shape.line - to.x) : width;
      width = from.array != nullptr ? std::min(width, from_shape.line - from.x) : width;
    }
    to.pitch = width;
    from.pitch = width;
    error = copy_2d(order, to, from, width, height, kind);
    advance(to, to_shape.line, width, height);
    advance(from, from_shape.line, width, height);
    size -= width * height;
  }
  return error;
}

cudaError_t to_driver_copy(const cudaMemcpy3DParms& parameters, CUDA_MEMCPY3D& out) {
  Direction direction{};
  const cudaError_t error =
      to_direction(parameters.kind, parameters.srcArray != nullptr, parameters.dstArray != nullptr, direction);
  out = {};
  return error == cudaSuccess ? set_geometry(parameters, direction, out) : error;
}

cudaError_t to_driver_copy(void* to, const void* from, std::size_t size, cudaMemcpyKind kind, CUDA_MEMCPY3D& out) {
  return to_driver_copy({.srcArray = nullptr,
                         .srcPos = {},
                         .srcPtr = {.ptr = const_cast<void*>(from), .pitch = size, .xsize = size, .ysize = 1},
                         .dstArray = nullptr,
                         .dstPos = {},
                         .dstPtr = {.ptr = to, .pitch = size, .xsize = size, .ysize = 1},
                         .extent = {.width = size, .height = 1, .depth = 1},
                         .kind = kind},
                        out);
}

cudaError_t to_runtime_copy(const CUDA_MEMCPY3D& copy, cudaMemcpy3DParms& out) {
  const bool is_from_array = copy.srcMemoryType == CU_MEMORYTYPE_ARRAY;
  const bool is_to_array = copy.dstMemoryType == CU_MEMORYTYPE_ARRAY;
  std::size_t unit = 1;
  const cudaError_t error =
      unit_of(is_from_array ? copy.srcArray : nullptr, is_to_array ? copy.dstArray : nullptr, unit);
  if (error != cudaSuccess) {
    return error;
  }
  out = {};
  out.kind = to_kind(copy.srcMemoryType, copy.dstMemoryType);
  if (is_from_array) {
    out.srcArray = reinterpret_cast<cudaArray_t>(copy.srcArray);
  } else {
    out.srcPtr = {.ptr = source_memory(copy), .pitch = copy.srcPitch, .xsize = copy.srcPitch, .ysize = copy.srcHeight};
  }
  if (is_to_array) {
    out.dstArray = reinterpret_cast<cudaArray_t>(copy.dstArray);
  } else {
    out.dstPtr = {
        .ptr = destination_memory(copy), .pitch = copy.dstPitch, .xsize = copy.dstPitch, .ysize = copy.dstHeight};
  }
  out.srcPos = {.x = copy.srcXInBytes / (is_from_array ? unit : 1), .y = copy.srcY, .z = copy.srcZ};
  out.dstPos = {.x = copy.dstXInBytes / (is_to_array ? unit : 1), .y = copy.dstY, .z = copy.dstZ};
  out.extent = {.width = copy.WidthInBytes / unit, .height = copy.Height, .depth = copy.Depth};
  return cudaSuccess;
}

cudaError_t copy_3d(Order order, const cudaMemcpy3DParms* parameters) {
  if (parameters == nullptr) {
    return cudaErrorInvalidValue;
  }
  CUDA_MEMCPY3D copy{};
  const cudaError_t error = to_driver_copy(*parameters, copy);
  if (error != cudaSuccess || is_empty(parameters->extent)) {
    return error;
  }
  return in_order(order, cuMemcpy3D, cuMemcpy3DAsync, &copy);
}

cudaError_t copy_3d_peer(Order order, const cudaMemcpy3DPeerParms* parameters) {
  if (parameters == nullptr) {
    return cudaErrorInvalidValue;
  }
  CUDA_MEMCPY3D_PEER copy{};
  Direction direction{};
  cudaError_t error = to_direction(cudaMemcpyDeviceToDevice, parameters->srcArray != nullptr,
                                   parameters->dstArray != nullptr, direction);
  if (error == cudaSuccess) {
    error = set_geometry(*parameters, direction, copy);
  }
  if (error == cudaSuccess) {
    error = primary_context(parameters->srcDevice, copy.srcContext);
  }
  if (error == cudaSuccess) {
    error = primary_context(parameters->dstDevice, copy.dstContext);
  }
  if (error != cudaSuccess || is_empty(parameters->extent)) {
    return error;
  }
  return in_order(order, cuMemcpy3DPeer, cuMemcpy3DPeerAsync, &copy);
}

}  // namespace isthmus::cudart
