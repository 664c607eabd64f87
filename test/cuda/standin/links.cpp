// SPDX-License-Identifier: Apache-2.0
// Linking at run time: of PTX, whose texts make one, by itself or in fat binaries. A fat binary without PTX adds
// nothing: such is the device's own runtime, which nvcc -rdc=true gives to every program.
#include <cuda.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/image.hpp"
#include "test/cuda/standin/link.hpp"

namespace isthmus::standin {
namespace {

// What a linker's option gives at `name`; null without it.
void** option(const Linking& link, CUjit_option name) {
  for (std::size_t i = 0; i < link.names.size(); ++i) {
    if (link.names[i] == name) {
      return link.values + i;
    }
  }
  return nullptr;
}

// Adds a line to one of the program's logs.
void log(const Linking& link, CUjit_option buffer, CUjit_option size, const std::string& line) {
  void** const to = option(link, buffer);
  void** const room = option(link, size);
  if (to == nullptr || room == nullptr || *to == nullptr) {
    return;
  }
  auto* const text = static_cast<char*>(*to);
  const std::size_t most = link.room.at(size);
  const std::size_t used = strnlen(text, most);
  if (used + line.size() + 1 <= most) {
    std::memcpy(text + used, line.c_str(), line.size() + 1);
    *room = reinterpret_cast<void*>(used + line.size());  // NOLINT(performance-no-int-to-ptr): the interface's way
  }
}

void complain(const Linking& link, const std::string& line) {
  log(link, CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, line);
}

void add(Linking& link, CUjitInputType type, std::string_view data, const std::string& name) {
  require(link.image.empty(), CUDA_ERROR_INVALID_VALUE, "the link is complete");
  try {
    require(type == CU_JIT_INPUT_PTX || type == CU_JIT_INPUT_FATBINARY, CUDA_ERROR_NOT_SUPPORTED,
            "the stand-in links PTX alone");
    std::string text =
        type == CU_JIT_INPUT_PTX ? std::string(data.substr(0, data.find('\0'))) : ptx_of_fatbin(data.data());
    text = text.substr(0, text.find('\0'));
    require(type != CU_JIT_INPUT_PTX || text.find(".version") != std::string::npos, CUDA_ERROR_INVALID_PTX, "no PTX");
    read_ptx(text);
    link.texts += text + "\n";
  } catch (const Failure& failure) {
    complain(link, "stand-in: " + name + ": " + failure.why + "\n");
    throw;
  }
}

}  // namespace
}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

CUresult cuLinkCreate(unsigned count, CUjit_option* names, void** values, CUlinkState* state) {
  return in_context(__func__, [&](Context& /*context*/) {
    auto& to = out(state);
    require(count == 0 || (names != nullptr && values != nullptr), CUDA_ERROR_INVALID_VALUE);
    auto link = std::make_shared<Linking>();
    link->names.assign(names, names + count);
    link->values = values;
    for (unsigned i = 0; i < count; ++i) {
      link->room[names[i]] = reinterpret_cast<std::uintptr_t>(values[i]);
    }
    to = driver().links.add(link);
  });
}

CUresult cuLinkAddData(CUlinkState state, CUjitInputType type, void* data, std::size_t size, const char* name,
                       unsigned /*count*/, CUjit_option* /*names*/, void** /*values*/) {
  return initialised(__func__, [&] {
    const auto link = driver().links.get(state);
    require(data != nullptr && size > 0 && type < CU_JIT_NUM_INPUT_TYPES, CUDA_ERROR_INVALID_VALUE);
    add(*link, type, std::string_view(static_cast<const char*>(data), size), name == nullptr ? "" : name);
  });
}

CUresult cuLinkComplete(CUlinkState state, void** image, std::size_t* size) {
  return initialised(__func__, [&] {
    const auto link = driver().links.get(state);
    auto& to = out(image);
    require(link->texts.find(".version") != std::string::npos, CUDA_ERROR_INVALID_IMAGE, "there is nothing to link");
    link->image = link->texts;
    log(*link, CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES, "stand-in: linked\n");
    if (void** const time = option(*link, CU_JIT_WALL_TIME)) {
      constexpr float milliseconds = 0.25F;
      std::memcpy(static_cast<void*>(time), &milliseconds, sizeof milliseconds);
    }
    to = link->image.data();
    if (size != nullptr) {
      *size = link->image.size() + 1;  // with the text's NUL
    }
  });
}

CUresult cuLinkDestroy(CUlinkState state) {
  return initialised(__func__, [&] { driver().links.take(state); });
}
