// SPDX-License-Identifier: Apache-2.0
#include "host/worker/client_variables.hpp"

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace isthmus::host {
namespace {

std::string name_of(std::string_view variable) { return std::string(variable.substr(0, variable.find('='))); }

bool lists(const plugin::Descriptor& plugin, std::string_view name) {
  for (const char* const* one = plugin.environment; one != nullptr && *one != nullptr; ++one) {
    if (name == *one) {
      return true;
    }
  }
  return false;
}

// NOLINTBEGIN(concurrency-mt-unsafe): the worker's main thread, before a plug-in has any

bool is_the_hosts(const std::string& name) { return std::getenv(name.c_str()) != nullptr; }

bool makes_no_difference(const plugin::Descriptor& plugin, const std::string& variable) {
  try {
    return plugin.suits != nullptr && plugin.suits(variable);
  } catch (...) {  // then another worker is the safe answer
    return false;
  }
}

}  // namespace

bool suits(const Plugins& plugins, std::span<const std::string> variables) {
  return std::ranges::all_of(variables, [&](const std::string& variable) {
    const std::string name = name_of(variable);
    return is_the_hosts(name) || std::ranges::none_of(plugins, [&](const plugin::Descriptor* plugin) {
             return lists(*plugin, name) && !makes_no_difference(*plugin, variable);
           });
  });
}

void take_over(const Plugins& plugins, std::span<const std::string> variables) {
  for (const std::string& variable : variables) {
    const std::string name = name_of(variable);
    if (std::ranges::any_of(plugins, [&](const plugin::Descriptor* plugin) { return lists(*plugin, name); })) {
      ::setenv(name.c_str(), variable.c_str() + name.size() + 1, 0);  // what the host has set stays
    }
  }
}

// NOLINTEND(concurrency-mt-unsafe)

}  // namespace isthmus::host
