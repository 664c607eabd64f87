// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "guest/cuda/frontend.hpp"

namespace isthmus::cuda {

/// Whether a copy may still be under way when the function returns, as the interface allows it for the memory at hand.
enum class When : std::uint8_t { at_once, later };

/// Copies between ordinary or pinned memory and the device. Pinned memory: one DMA, no copy by a processor; ordinary
/// memory: small pieces in the message, larger ones staged through the slab.
[[nodiscard]] CUresult copy_in(const Here& here, const Place& place, CUdeviceptr to, const void* from,
                               std::size_t bytes, When when);
[[nodiscard]] CUresult copy_out(const Here& here, const Place& place, void* to, CUdeviceptr from, std::size_t bytes,
                                When when);
/// Between device addresses, also of two devices: a post.
[[nodiscard]] CUresult copy_device(const Here& here, const Place& place, CUdeviceptr to, CUdeviceptr from,
                                   std::size_t bytes);
/// By address: whatever lies there.
[[nodiscard]] CUresult copy_any(const Here& here, const Place& place, CUdeviceptr to, CUdeviceptr from,
                                std::size_t bytes, When when);
/// In two or three dimensions, also with arrays.
[[nodiscard]] CUresult copy_box(const Here& here, const Place& place, const CUDA_MEMCPY3D& box, When when);
/// A box as a graph copies it. Where one side is ordinary memory, a piece of the slab stands for it, and the function
/// of that token copies between the two, before or after the graph's copy; the piece goes with the function.
struct GraphBox {
  CopyBox::Request request;
  std::uint64_t token = 0;  ///< 0: no function
  bool after = false;
};
/// Errors: CUDA_ERROR_NOT_SUPPORTED (both sides are ordinary memory, arrays), CUDA_ERROR_INVALID_VALUE,
/// CUDA_ERROR_OUT_OF_MEMORY (of the slab).
[[nodiscard]] Expected<GraphBox> box_for_graph(const Here& here, const Place& place, const CUDA_MEMCPY3D& box);
/// Whether the stream's work is recorded just now; asks the host only while some stream's is.
[[nodiscard]] bool is_captured(const Here& here, const Place& place);
/// The same box, as the function for two dimensions takes it.
[[nodiscard]] CUDA_MEMCPY3D box_of(const CUDA_MEMCPY2D& flat) noexcept;

/// Sets memory in rows of `width` elements.
struct FillValue {
  std::uint32_t element = 1;  ///< bytes: 1, 2 or 4
  std::uint32_t value = 0;
};
/// What is known of the memory of such rows, of at least one element; outside also where the numbers contradict each
/// other.
[[nodiscard]] Knowledge fill_knowledge(const Frontend& cuda, CUdeviceptr to, std::size_t pitch, std::uint32_t element,
                                       std::size_t width, std::size_t height);
[[nodiscard]] CUresult fill(const Here& here, const Place& place, CUdeviceptr to, std::size_t pitch, FillValue value,
                            std::size_t width, std::size_t height);

}  // namespace isthmus::cuda
