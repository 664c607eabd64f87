// SPDX-License-Identifier: Apache-2.0
#include "src/gpu/cuda/image.hpp"

#include <elf.h>

#include <algorithm>
#include <cstring>

namespace isthmus::cuda {
namespace {

constexpr std::uint32_t fatbin_magic = 0xba55'ed50;  // fatBinaryHeader::magic

struct FatbinHeader {
  std::uint32_t magic = 0;
  std::uint16_t version = 0;
  std::uint16_t header_size = 0;
  std::uint64_t size = 0;  // of what follows the header
};
static_assert(sizeof(FatbinHeader) == 16);

template <class T>
bool read_at(const std::byte* image, std::uint64_t limit, std::uint64_t offset, T& value) noexcept {
  if (offset > limit || sizeof(T) > limit - offset) {
    return false;
  }
  std::memcpy(&value, image + offset, sizeof(T));
  return true;
}

// The larger of the two ends, or nothing after an overflow.
void extend(std::optional<std::uint64_t>& end, std::uint64_t offset, std::uint64_t size) noexcept {
  std::uint64_t reached = 0;
  if (!end || __builtin_add_overflow(offset, size, &reached)) {
    end.reset();
  } else {
    end = std::max(*end, reached);
  }
}

std::optional<std::uint64_t> elf_size(const std::byte* image, std::uint64_t limit) noexcept {
  Elf64_Ehdr header;
  if (!read_at(image, limit, 0, header) || header.e_ident[EI_CLASS] != ELFCLASS64) {
    return std::nullopt;
  }
  std::optional<std::uint64_t> end = sizeof header;
  extend(end, header.e_shoff, std::uint64_t{header.e_shnum} * header.e_shentsize);
  extend(end, header.e_phoff, std::uint64_t{header.e_phnum} * header.e_phentsize);
  for (unsigned i = 0; end && i < header.e_shnum; ++i) {
    Elf64_Shdr section;
    if (!read_at(image, limit, header.e_shoff + std::uint64_t{i} * header.e_shentsize, section)) {
      return std::nullopt;
    }
    extend(end, section.sh_offset, section.sh_type == SHT_NOBITS ? 0 : section.sh_size);
  }
  for (unsigned i = 0; end && i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    if (!read_at(image, limit, header.e_phoff + std::uint64_t{i} * header.e_phentsize, segment)) {
      return std::nullopt;
    }
    extend(end, segment.p_offset, segment.p_filesz);
  }
  return end && *end <= limit ? end : std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> image_size(const std::byte* image, std::uint64_t limit) noexcept {
  if (limit == 0) {
    return std::nullopt;
  }
  std::uint32_t magic = 0;
  if (limit >= sizeof magic && image[0] != std::byte{0}) {
    // Byte by byte: a text may end within its first four bytes.
    for (unsigned i = 0; i < sizeof magic; ++i) {
      magic |= static_cast<std::uint32_t>(image[i]) << (8 * i);
      if (image[i] == std::byte{0}) {
        break;
      }
    }
  }
  if (magic == fatbin_magic) {
    FatbinHeader header;
    std::uint64_t size = 0;
    if (!read_at(image, limit, 0, header) || header.header_size < sizeof header ||
        __builtin_add_overflow(std::uint64_t{header.header_size}, header.size, &size) || size > limit) {
      return std::nullopt;
    }
    return size;
  }
  if (std::uint32_t elf = 0; std::memcpy(&elf, ELFMAG, SELFMAG), magic == elf) {
    return elf_size(image, limit);
  }
  const void* const end = std::memchr(image, 0, limit);
  if (end == nullptr || end == image) {
    return std::nullopt;
  }
  return static_cast<std::uint64_t>(static_cast<const std::byte*>(end) - image) + 1;
}

}  // namespace isthmus::cuda
