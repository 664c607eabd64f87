// SPDX-License-Identifier: Apache-2.0
#include "test/cuda/standin/kernel.hpp"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <map>

#include "test/cuda/standin/address.hpp"
#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/printed.hpp"

namespace isthmus::standin {
namespace {

std::map<std::string, Body::Known>& bodies() {
  static std::map<std::string, Body::Known> all;
  return all;
}

}  // namespace

void Body::add_body(const char* name, const Layout& layout, Run run) {
  if (!bodies().emplace(name, Known{layout, std::move(run)}).second) {
    alarm(std::string("kernel ") + name + " has two bodies");
  }
}

const Body::Known* Body::find(const std::string& name) {
  const auto found = bodies().find(name);
  return found == bodies().end() ? nullptr : &found->second;
}

void Launch::check(const void* start, std::size_t bytes) const {
  if (bytes > 0 && !driver().memory.device_may_use(address_of(start), bytes, true)) {
    throw KernelFault{CUDA_ERROR_ILLEGAL_ADDRESS};
  }
}

void Launch::print(const char* format, ...) const {
  std::array<char, 1024> text{};
  va_list values;
  va_start(values, format);
  const int size = std::vsnprintf(text.data(), text.size(), format, values);
  va_end(values);
  keep_printed(std::string_view(text.data(), std::min(text.size() - 1, static_cast<std::size_t>(std::max(size, 0)))));
}

void Launch::fail_assertion(const char* expression) const {
  std::fprintf(stderr, "%s: block: [0,0,0], thread: [0,0,0] Assertion `%s` failed.\n", std::string(kernel).c_str(),
               expression);
  throw KernelFault{CUDA_ERROR_ASSERT};
}

void* Launch::variable_memory(std::string_view name, std::size_t bytes) const {
  const auto found = module->variables.find(std::string(name));
  if (found == module->variables.end() || found->second.size != bytes) {
    alarm("kernel " + std::string(kernel) + ": its module has no variable " + std::string(name) + " of " +
          std::to_string(bytes) + " bytes");
  }
  return pointer_to(found->second.address);
}

}  // namespace isthmus::standin
