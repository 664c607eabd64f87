// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "guest/cuda/functions.hpp"
#include "isthmus/abi.hpp"

namespace isthmus::cuda {
namespace {

constexpr std::size_t most_attributes = 15;

// Attributes that can be posted: the driver has nothing to check about them.
bool is_harmless(CUlaunchAttributeID attribute) noexcept {
  switch (attribute) {
    case CU_LAUNCH_ATTRIBUTE_IGNORE:
    case CU_LAUNCH_ATTRIBUTE_PRIORITY:
    case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
      return true;
    default:
      return false;
  }
}

// The parameters as they were packed by the program (CU_LAUNCH_PARAM_BUFFER_POINTER in cuda.h).
Expected<std::span<const std::byte>> packed_parameters(void** extra, std::size_t needed) {
  const std::byte* buffer = nullptr;
  std::size_t size = 0;
  constexpr int most_words = 16;
  for (int i = 0; i < most_words && extra[i] != CU_LAUNCH_PARAM_END; i += 2) {
    if (extra[i] == CU_LAUNCH_PARAM_BUFFER_POINTER) {
      buffer = static_cast<const std::byte*>(extra[i + 1]);
    } else if (extra[i] == CU_LAUNCH_PARAM_BUFFER_SIZE && extra[i + 1] != nullptr) {
      std::memcpy(&size, extra[i + 1], sizeof size);
    } else {
      return std::unexpected(CUDA_ERROR_INVALID_VALUE);
    }
  }
  if ((buffer == nullptr && needed != 0) || size < needed) {
    return std::unexpected(CUDA_ERROR_INVALID_VALUE);
  }
  return std::span(buffer, needed);
}

}  // namespace

CUresult check_shape(const Device& device, const FunctionRecord& function, const LaunchShape& shape) {
  const auto limit = [&](int first_attribute, std::size_t dimension) -> std::uint64_t {
    const auto found = device.attribute(static_cast<CUdevice_attribute>(first_attribute + static_cast<int>(dimension)));
    return found ? static_cast<std::uint64_t>(std::max(*found, 0)) : UINT64_MAX;
  };
  std::uint64_t threads = 1;
  for (std::size_t i = 0; i < 3; ++i) {
    if (shape.grid.at(i) == 0 || shape.block.at(i) == 0 ||
        shape.grid.at(i) > limit(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, i) ||
        shape.block.at(i) > limit(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, i)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    threads *= shape.block.at(i);  // below 2^32 each, and checked against 2^11 or so before the next
    if (threads > limit(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 0)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
  }
  if (const auto most = function.attribute(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
      most && threads > static_cast<std::uint64_t>(std::max(*most, 0))) {
    return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
  }
  if (const auto most = function.attribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
      most && shape.shared > static_cast<std::uint64_t>(std::max(*most, 0))) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

Expected<std::span<std::byte>> pack_parameters(const FunctionRecord& function, void** parameters, void** extra,
                                               std::span<std::byte> to) {
  if (function.parameter_bytes > to.size() || (parameters != nullptr && extra != nullptr) ||
      (parameters == nullptr && extra == nullptr && !function.parameters.empty())) {
    return std::unexpected(CUDA_ERROR_INVALID_VALUE);
  }
  const auto body = to.first(function.parameter_bytes);
  if (extra != nullptr) {
    const auto packed = packed_parameters(extra, body.size());
    if (!packed) {
      return std::unexpected(packed.error());
    }
    std::ranges::copy(*packed, body.begin());
    return body;
  }
  std::ranges::fill(body, std::byte{0});  // gaps between parameters, too
  for (std::size_t i = 0; parameters != nullptr && i < function.parameters.size(); ++i) {
    const ParameterRow& row = function.parameters[i];
    if (parameters[i] == nullptr) {
      return std::unexpected(CUDA_ERROR_INVALID_VALUE);
    }
    std::memcpy(body.data() + row.offset, parameters[i], row.size);
  }
  return body;
}

CUresult launch(const Here& here, const Place& place, CUfunction handle, const LaunchShape& shape, void** parameters,
                void** extra) {
  const FunctionRecord* const function = here.cuda.functions.find(handle);
  if (function == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  if (function->context != 0 && function->context != place.context) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  if (shape.attributes.size() > most_attributes) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (const CUresult code = check_shape(*here.cuda.devices.at(here.record.device), *function, shape);
      code != CUDA_SUCCESS) {
    return code;
  }
  // Attributes first, then the parameters as they lie in the kernel's parameter memory. Left uninitialised but for what
  // is used: it is large.
  std::array<std::byte, abi::max_body> room;  // NOLINT(*-member-init)
  bool can_be_posted = !shape.cooperative;
  const std::size_t attribute_bytes = shape.attributes.size() * sizeof(LaunchAttributeRow);
  const std::size_t body_bytes = attribute_bytes + function->parameter_bytes;
  if (body_bytes > room.size() - sizeof(Launch::Request)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const auto body = std::span(room).first(body_bytes);
  for (std::size_t i = 0; i < shape.attributes.size(); ++i) {
    const CUlaunchAttribute& attribute = shape.attributes[i];
    can_be_posted = can_be_posted && is_harmless(attribute.id);
    LaunchAttributeRow row{.attribute = attribute.id};
    std::memcpy(row.value.data(), &attribute.value, sizeof row.value);
    std::memcpy(body.data() + i * sizeof row, &row, sizeof row);
  }
  const auto packed = pack_parameters(*function, parameters, extra, body.subspan(attribute_bytes));
  if (!packed) {
    return packed.error();
  }
  const Launch::Request request{.place = place,
                                .function = reinterpret_cast<std::uintptr_t>(handle),
                                .grid = shape.grid,
                                .block = shape.block,
                                .shared = shape.shared,
                                .attributes = static_cast<std::uint32_t>(shape.attributes.size()),
                                .cooperative = shape.cooperative ? 1U : 0U};
  const CUresult code = here.lane().send<Launch>(can_be_posted, request, body);
  return code == CUDA_SUCCESS && here.lane().launches_block() ? here.lane().tell<SyncStream>({.place = place}) : code;
}

}  // namespace isthmus::cuda
