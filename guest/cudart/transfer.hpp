// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "guest/cudart/stream.hpp"

/// \file
/// Copies and fills, by the order in which they run; and copy descriptions as the driver takes them. All need a current
/// context.

namespace isthmus::cudart {

// --- transfer.cpp ---

cudaError_t copy(Order order, void* to, const void* from, std::size_t size, cudaMemcpyKind kind);

/// One side of a two-dimensional copy: lines of memory, or a place in an array (x in bytes, y in lines).
struct Lines {
  void* memory = nullptr;
  std::size_t pitch = 0;
  cudaArray_t array = nullptr;
  std::size_t x = 0;
  std::size_t y = 0;
};
/// `from.memory` is read only.
cudaError_t copy_2d(Order order, const Lines& to, const Lines& from, std::size_t width, std::size_t height,
                    cudaMemcpyKind kind);

/// As copy_2d with an array on one side or both, of `size` bytes that may run over several of the array's lines.
cudaError_t copy_through_lines(Order order, Lines to, Lines from, std::size_t size, cudaMemcpyKind kind);

cudaError_t copy_3d(Order order, const cudaMemcpy3DParms* parameters);
cudaError_t copy_3d_peer(Order order, const cudaMemcpy3DPeerParms* parameters);

/// The driver's form of a copy. cudaErrorInvalidMemcpyDirection, cudaErrorInvalidPitchValue or cudaErrorInvalidValue
/// for what the runtime refuses itself.
cudaError_t to_driver_copy(const cudaMemcpy3DParms& parameters, CUDA_MEMCPY3D& out);
/// The runtime's form of a copy that a graph holds.
cudaError_t to_runtime_copy(const CUDA_MEMCPY3D& copy, cudaMemcpy3DParms& out);
/// A copy of `size` bytes in one line, for a graph.
cudaError_t to_driver_copy(void* to, const void* from, std::size_t size, cudaMemcpyKind kind, CUDA_MEMCPY3D& out);

// --- fill.cpp ---

cudaError_t fill(Order order, void* memory, int value, std::size_t size);
cudaError_t fill_2d(Order order, void* memory, std::size_t pitch, int value, std::size_t width, std::size_t height);
cudaError_t fill_3d(Order order, cudaPitchedPtr memory, int value, cudaExtent extent);

// --- symbol.cpp ---

cudaError_t copy_to_symbol(Order order, const void* symbol, const void* from, std::size_t size, std::size_t offset,
                           cudaMemcpyKind kind);
cudaError_t copy_from_symbol(Order order, void* to, const void* symbol, std::size_t size, std::size_t offset,
                             cudaMemcpyKind kind);
/// The address of `size` bytes at `offset` in a registered variable.
cudaError_t inside_symbol(const void* symbol, std::size_t offset, std::size_t size, void*& address);

}  // namespace isthmus::cudart
