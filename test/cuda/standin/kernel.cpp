// SPDX-License-Identifier: Apache-2.0
#include "test/cuda/standin/kernel.hpp"

#include <map>

#include "test/cuda/standin/address.hpp"
#include "test/cuda/standin/driver.hpp"

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

void* Launch::variable_memory(std::string_view name, std::size_t bytes) const {
  const auto found = module->variables.find(std::string(name));
  if (found == module->variables.end() || found->second.size != bytes) {
    alarm("kernel " + std::string(kernel) + ": its module has no variable " + std::string(name) + " of " +
          std::to_string(bytes) + " bytes");
  }
  return pointer_to(found->second.address);
}

}  // namespace isthmus::standin
