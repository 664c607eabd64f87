// SPDX-License-Identifier: Apache-2.0
#include "test/cuda/standin/settings.hpp"

#include <cstdlib>
#include <string>
#include <string_view>

#include "test/cuda/standin/failure.hpp"

namespace isthmus::standin {
namespace {

unsigned long from_environment(const char* name, unsigned long otherwise, unsigned long most) {
  const char* text = std::getenv(name);
  if (text == nullptr) {
    return otherwise;
  }
  char* end = nullptr;
  const unsigned long value = std::strtoul(text, &end, 10);
  if (end == text || *end != '\0' || value > most) {
    alarm(std::string(name) + "=" + text + ": give a number up to " + std::to_string(most));
  }
  return value;
}

// How many of the devices CUDA_VISIBLE_DEVICES leaves, in a list of ordinals: the first that is none ends it.
int visible(int devices) {
  const char* list = std::getenv("CUDA_VISIBLE_DEVICES");
  if (list == nullptr) {
    return devices;
  }
  if (std::string_view(list) == "abort") {
    alarm("CUDA_VISIBLE_DEVICES=abort");
  }
  int count = 0;
  for (char* end = nullptr;; list = end + 1) {
    const long ordinal = std::strtol(list, &end, 10);
    if (end == list || ordinal < 0 || ordinal >= devices) {
      return count;
    }
    ++count;
    if (*end != ',') {
      return count;
    }
  }
}

Settings read() {
  Settings found;
  found.devices = visible(static_cast<int>(from_environment("ISTHMUS_STANDIN_DEVICES", 1, 8)));
  found.memory = std::size_t{from_environment("ISTHMUS_STANDIN_MEMORY_MIB", 4096, 65536)} << 20U;
  found.delay_us = static_cast<unsigned>(from_environment("ISTHMUS_STANDIN_DELAY_US", 0, 1'000'000));
  found.call_delay_us = static_cast<unsigned>(from_environment("ISTHMUS_STANDIN_CALL_DELAY_US", 0, 1'000'000));
  found.start_ms = static_cast<unsigned>(from_environment("ISTHMUS_STANDIN_START_MS", 0, 60'000));
  if (const char* const folder = std::getenv("ISTHMUS_STANDIN_SHARED"); folder != nullptr) {
    found.shared = folder;
  }
  found.trace = from_environment("ISTHMUS_STANDIN_TRACE", 0, 1) != 0;
  return found;
}

}  // namespace

const Settings& settings() {
  static const Settings found = read();
  return found;
}

}  // namespace isthmus::standin
