// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace isthmus::cuda {

/// Longest image of a module that is taken, bytes.
inline constexpr std::uint64_t max_image = std::uint64_t{1} << 30;
/// Zeros that the driver gets behind what it parses, bytes: a text ends there at the latest.
inline constexpr std::size_t image_padding = 64;

/// How many bytes an image has that is given without its size: a fat binary (fatbinary_section.h and the header of each
/// fat binary), a cubin (ELF), or PTX with its NUL. Nothing behind the outermost headers is looked at, and nothing
/// behind `limit` bytes. Nothing where it is none of these, or longer than the limit.
[[nodiscard]] std::optional<std::uint64_t> image_size(const std::byte* image, std::uint64_t limit) noexcept;

}  // namespace isthmus::cuda
