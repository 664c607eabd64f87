// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace isthmus::standin {

struct Parameter {
  std::size_t offset = 0;  ///< bytes, from the start of the parameters
  std::size_t size = 0;    ///< bytes
  bool operator==(const Parameter&) const = default;
};

using Layout = std::vector<Parameter>;

struct KernelImage {
  Layout parameters;
  std::size_t static_shared = 0;  ///< bytes
};

struct VariableImage {
  std::size_t size = 0;
  bool managed = false;
  std::vector<std::byte> value;  ///< empty: zeros
};

/// What a module holds, by name.
struct Image {
  std::map<std::string, KernelImage> kernels;
  std::map<std::string, VariableImage> variables;
};

/// Reads what cuModuleLoadData takes: a fat binary or its wrapper, as nvcc makes them with -no-compress, a cubin, or
/// PTX that ends in NUL. Of a fat binary, the first cubin counts, else the first PTX. Fails with
/// CUDA_ERROR_INVALID_IMAGE, CUDA_ERROR_NO_BINARY_FOR_GPU, CUDA_ERROR_INVALID_PTX.
Image read_image(const void* code);

/// The PTX of a fat binary; empty where it has none, or none that is not compressed.
std::string ptx_of_fatbin(const void* fatbin);

Image read_cubin(const std::byte* elf, std::size_t most);
Image read_ptx(const std::string& text);

}  // namespace isthmus::standin
