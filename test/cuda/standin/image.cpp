// SPDX-License-Identifier: Apache-2.0
#include "test/cuda/standin/image.hpp"

#include <cuda.h>
#include <elf.h>

#include <cstring>
#include <limits>
#include <span>
#include <string_view>

#include "test/cuda/standin/failure.hpp"

namespace isthmus::standin {
namespace {

// The wrapper that nvcc's host code holds, and the fat binary's own header: crt/host_defines.h and fatbinary_section.h
// of the toolkit name the first; the layout of the second and of its entries is as nvcc 13.0 writes them.
constexpr std::uint32_t wrapper_magic = 0x466243b1;
constexpr std::uint32_t fatbin_magic = 0xba55ed50;

struct Wrapper {
  std::uint32_t magic;
  std::uint32_t version;
  const std::byte* data;
  const void* more;
};

struct FatbinHeader {
  std::uint32_t magic;
  std::uint16_t version;
  std::uint16_t header_size;
  std::uint64_t size;  // of all entries
};

struct FatbinEntry {
  std::uint16_t kind;  // 1 PTX, 2 cubin
  std::uint16_t version;
  std::uint32_t header_size;
  std::uint64_t size;  // of what follows the header
};

template <class T>
T fatbin_read(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

// What a fat binary holds: the first cubin and the first PTX.
struct FatbinContent {
  std::span<const std::byte> cubin;
  std::span<const std::byte> ptx;

  [[nodiscard]] std::string text() const { return {reinterpret_cast<const char*>(ptx.data()), ptx.size()}; }
};

FatbinContent look_into_fatbin(const std::byte* start) {
  const auto header = fatbin_read<FatbinHeader>(start);
  require(header.version == 1 && header.header_size >= sizeof header, CUDA_ERROR_INVALID_IMAGE, "fat binary's header");
  FatbinContent content;
  std::uint64_t at = 0;
  while (at + sizeof(FatbinEntry) <= header.size) {
    const std::byte* entry_start = start + header.header_size + at;
    const auto entry = fatbin_read<FatbinEntry>(entry_start);
    require(entry.header_size >= sizeof entry && entry.size <= header.size - at &&
                entry.header_size <= header.size - at - entry.size,
            CUDA_ERROR_INVALID_IMAGE, "an entry of the fat binary");
    const std::span<const std::byte> bytes(entry_start + entry.header_size, entry.size);
    if (entry.kind == 2 && content.cubin.empty()) {
      content.cubin = bytes;
    } else if (entry.kind == 1 && content.ptx.empty()) {
      content.ptx = bytes;
    }
    at += entry.header_size + entry.size;
  }
  return content;
}

Image read_fatbin(const std::byte* start) {
  const FatbinContent content = look_into_fatbin(start);
  if (!content.cubin.empty()) {
    require(content.cubin.size() >= sizeof(Elf64_Ehdr) && std::memcmp(content.cubin.data(), ELFMAG, SELFMAG) == 0,
            CUDA_ERROR_NO_BINARY_FOR_GPU, "the stand-in reads no compressed cubin: build with nvcc -no-compress");
    return read_cubin(content.cubin.data(), content.cubin.size());
  }
  require(!content.ptx.empty(), CUDA_ERROR_NO_BINARY_FOR_GPU, "the fat binary holds neither cubin nor PTX");
  const std::string text = content.text();
  require(text.find(".version") != std::string::npos, CUDA_ERROR_NO_BINARY_FOR_GPU,
          "the stand-in reads no compressed PTX: build with nvcc -no-compress");
  return read_ptx(text);
}

}  // namespace

std::string ptx_of_fatbin(const void* fatbin) {
  const auto* start = static_cast<const std::byte*>(fatbin);
  require(fatbin_read<std::uint32_t>(start) == fatbin_magic, CUDA_ERROR_INVALID_IMAGE, "no fat binary");
  const std::string text = look_into_fatbin(start).text();
  return text.find(".version") == std::string::npos ? std::string() : text;
}

Image read_image(const void* code) {
  require(code != nullptr, CUDA_ERROR_INVALID_VALUE, "no image");
  const auto* start = static_cast<const std::byte*>(code);
  char first[4] = {};
  for (std::size_t i = 0; i < sizeof first; ++i) {
    first[i] = static_cast<char>(start[i]);
    if (first[i] == '\0') {
      break;  // a short text ends here
    }
  }
  if (std::memcmp(first, ELFMAG, SELFMAG) == 0) {
    return read_cubin(start, std::numeric_limits<std::size_t>::max());  // an ELF file knows its own size
  }
  std::uint32_t magic = 0;
  std::memcpy(&magic, first, sizeof magic);
  if (magic == wrapper_magic) {
    const auto wrapper = fatbin_read<Wrapper>(start);
    require(wrapper.data != nullptr && fatbin_read<std::uint32_t>(wrapper.data) == fatbin_magic,
            CUDA_ERROR_INVALID_IMAGE, "the wrapper leads to no fat binary");
    return read_fatbin(wrapper.data);
  }
  if (magic == fatbin_magic) {
    return read_fatbin(start);
  }
  const std::string text(static_cast<const char*>(code));
  require(text.find(".version") != std::string::npos, CUDA_ERROR_INVALID_IMAGE, "neither fat binary, cubin nor PTX");
  return read_ptx(text);
}

}  // namespace isthmus::standin
