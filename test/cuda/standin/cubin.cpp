// SPDX-License-Identifier: Apache-2.0
// Names, parameters and variables out of a cubin, an ELF file. The sections' names and the kinds of .nv.info's entries
// are as nvcc 13.0 writes them for sm_90.
#include <cuda.h>
#include <elf.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>

#include "test/cuda/standin/failure.hpp"
#include "test/cuda/standin/image.hpp"

namespace isthmus::standin {
namespace {

constexpr std::uint16_t machine_cuda = 190;  // EM_CUDA
constexpr std::uint8_t info_with_size = 4;   // the entry's second half is the size of what follows it
constexpr std::uint8_t info_parameter = 0x17;
constexpr std::size_t info_parameter_size = 12;
constexpr std::uint8_t symbol_managed = 0x04;  // in st_other, of variables
constexpr std::uint8_t symbol_kernel = 0x10;   // in st_other, of functions
constexpr std::size_t reserved_shared = 1024;  // bytes of a block's shared memory that the system takes on sm_90

using Bytes = std::span<const std::byte>;

template <class T>
T elf_read(Bytes from, std::size_t at) {
  require(at <= from.size() && from.size() - at >= sizeof(T), CUDA_ERROR_INVALID_IMAGE, "the cubin is cut off");
  T value;
  std::memcpy(&value, from.data() + at, sizeof value);
  return value;
}

class Cubin {
 public:
  explicit Cubin(Bytes file) : file_(file), header_(elf_read<Elf64_Ehdr>(file, 0)) {
    require(header_.e_machine == machine_cuda && header_.e_shentsize == sizeof(Elf64_Shdr), CUDA_ERROR_INVALID_IMAGE,
            "an ELF file, but no cubin");
    names_ = section(header_.e_shstrndx);
  }

  [[nodiscard]] std::size_t sections() const { return header_.e_shnum; }
  [[nodiscard]] Elf64_Shdr section(std::size_t index) const {
    require(index < header_.e_shnum, CUDA_ERROR_INVALID_IMAGE, "a section's number");
    return elf_read<Elf64_Shdr>(file_, header_.e_shoff + index * sizeof(Elf64_Shdr));
  }
  [[nodiscard]] std::string_view name(const Elf64_Shdr& of) const { return text(names_, of.sh_name); }
  [[nodiscard]] std::string_view text(const Elf64_Shdr& strings, std::size_t at) const {
    const Bytes all = content(strings);
    require(at < all.size(), CUDA_ERROR_INVALID_IMAGE, "a name");
    const std::string_view rest(reinterpret_cast<const char*>(all.data()) + at, all.size() - at);
    return rest.substr(0, rest.find('\0'));
  }
  [[nodiscard]] Bytes content(const Elf64_Shdr& of) const {
    if (of.sh_type == SHT_NOBITS) {
      return {};
    }
    require(of.sh_offset <= file_.size() && of.sh_size <= file_.size() - of.sh_offset, CUDA_ERROR_INVALID_IMAGE,
            "a section");
    return file_.subspan(of.sh_offset, of.sh_size);
  }

 private:
  Bytes file_;
  Elf64_Ehdr header_;
  Elf64_Shdr names_{};
};

// Entries of four bytes (format, kind, 16 bits), each followed by its value where the format says so.
Layout parameters_of(Bytes info) {
  Layout layout;
  for (std::size_t at = 0; at + 4 <= info.size();) {
    const auto format = elf_read<std::uint8_t>(info, at);
    const auto kind = elf_read<std::uint8_t>(info, at + 1);
    const auto size = elf_read<std::uint16_t>(info, at + 2);
    at += 4;
    if (format != info_with_size) {
      continue;
    }
    if (kind == info_parameter && size == info_parameter_size) {
      const auto number = elf_read<std::uint16_t>(info, at + 4);
      if (layout.size() <= number) {
        layout.resize(number + 1U);
      }
      layout[number] = {.offset = elf_read<std::uint16_t>(info, at + 6),
                        .size = elf_read<std::uint32_t>(info, at + 8) >> 18U};
    }
    at += size;
  }
  return layout;
}

void read_variable(const Cubin& cubin, const Elf64_Sym& symbol, std::string_view name, Image& image) {
  const Elf64_Shdr in = cubin.section(symbol.st_shndx);
  const std::string_view section = cubin.name(in);
  if (!section.starts_with(".nv.global") && !section.starts_with(".nv.constant")) {
    return;
  }
  VariableImage variable{.size = symbol.st_size, .managed = (symbol.st_other & symbol_managed) != 0, .value = {}};
  if (const Bytes all = cubin.content(in); !all.empty()) {
    require(symbol.st_value <= all.size() && symbol.st_size <= all.size() - symbol.st_value, CUDA_ERROR_INVALID_IMAGE,
            "a variable's value");
    const Bytes value = all.subspan(symbol.st_value, symbol.st_size);
    variable.value.assign(value.begin(), value.end());
  }
  image.variables[std::string(name)] = std::move(variable);
}

}  // namespace

Image read_cubin(const std::byte* elf, std::size_t most) {
  const auto header = elf_read<Elf64_Ehdr>({elf, most}, 0);
  // The section headers are the last part of the file, or the program headers are.
  const std::size_t size = std::max(header.e_shoff + std::size_t{header.e_shnum} * header.e_shentsize,
                                    header.e_phoff + std::size_t{header.e_phnum} * header.e_phentsize);
  require(size <= most, CUDA_ERROR_INVALID_IMAGE, "the cubin is cut off");
  const Cubin cubin({elf, size});
  Image image;
  for (std::size_t i = 0; i < cubin.sections(); ++i) {
    const Elf64_Shdr section = cubin.section(i);
    const std::string_view name = cubin.name(section);
    if (name.starts_with(".text.") && name.size() > 6) {
      image.kernels[std::string(name.substr(6))];
    }
  }
  for (std::size_t i = 0; i < cubin.sections(); ++i) {
    const Elf64_Shdr section = cubin.section(i);
    const std::string_view name = cubin.name(section);
    const auto kernel_in = [&](std::string_view prefix) {
      const auto found =
          name.starts_with(prefix) ? image.kernels.find(std::string(name.substr(prefix.size()))) : image.kernels.end();
      return found == image.kernels.end() ? nullptr : &found->second;
    };
    if (auto* kernel = kernel_in(".nv.info.")) {
      kernel->parameters = parameters_of(cubin.content(section));
    } else if (auto* sharing = kernel_in(".nv.shared.")) {
      sharing->static_shared = section.sh_size - std::min<std::size_t>(section.sh_size, reserved_shared);
    }
  }
  for (std::size_t i = 0; i < cubin.sections(); ++i) {
    const Elf64_Shdr section = cubin.section(i);
    if (section.sh_type != SHT_SYMTAB) {
      continue;
    }
    const Elf64_Shdr strings = cubin.section(section.sh_link);
    const Bytes symbols = cubin.content(section);
    for (std::size_t at = 0; at + sizeof(Elf64_Sym) <= symbols.size(); at += sizeof(Elf64_Sym)) {
      const auto symbol = elf_read<Elf64_Sym>(symbols, at);
      const std::string_view name = cubin.text(strings, symbol.st_name);
      const auto kind = ELF64_ST_TYPE(symbol.st_info);
      if (kind == STT_OBJECT && symbol.st_size > 0 && symbol.st_shndx < cubin.sections()) {
        read_variable(cubin, symbol, name, image);
      } else if (kind == STT_FUNC && (symbol.st_other & symbol_kernel) == 0) {
        image.kernels.erase(std::string(name));  // a __device__ function
      }
    }
  }
  return image;
}

}  // namespace isthmus::standin
