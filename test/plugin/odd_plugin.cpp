// SPDX-License-Identifier: Apache-2.0

// Plug-ins that go wrong, one for each kind, and one that tells what it sees. All are this one object and a word beside
// it.

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "examples/plugin/thermometer.hpp"
#include "isthmus/api/probe.hpp"
#include "isthmus/plugin.hpp"

extern "C" const char odd_plugin_kind[];  // odd_plugin_kind.c

namespace {

using isthmus::Errc;
using isthmus::plugin::Backend;
using isthmus::plugin::Host;

const std::string_view odd = odd_plugin_kind;

class OddBackend final : public Backend {
 public:
  explicit OddBackend(Host& host) : host_(&host) {}
  ~OddBackend() override {
    if (odd == "witness") {
      host_->log("witness: the lane is over");
    }
  }
  OddBackend(const OddBackend&) = delete;
  OddBackend& operator=(const OddBackend&) = delete;
  OddBackend(OddBackend&&) = delete;
  OddBackend& operator=(OddBackend&&) = delete;

  void add_to(isthmus::marshal::Dispatcher& dispatcher) override {
    if (odd == "usurper") {  // what the worker serves itself
      dispatcher.offer<isthmus::probe::ProbeApi>();
    }
    if (odd == "babbler") {
      for (int i = 0; i < 150; ++i) {
        host_->log("babble");
      }
    }
    if (odd == "witness") {
      const auto window = host_->window();
      const bool inside = host_->resolve(isthmus::Reference::make(0, window.size() - 8, 8)).has_value();
      const bool header = host_->resolve(isthmus::Reference::make(0, 0, 8)).has_value();
      host_->log("witness: window of " + std::to_string(window.size()) + " bytes, resolves its end " +
                 std::to_string(static_cast<int>(inside)) + ", its header " + std::to_string(static_cast<int>(header)) +
                 ", upcalls " + std::to_string(static_cast<int>(host_->upcalls() != nullptr)));
    }
  }

 private:
  Host* host_;
};

isthmus::Result<std::string> prepare() {
  if (odd == "aborts") {
    std::abort();
  }
  if (odd == "exits") {
    std::exit(0);
  }
  if (odd == "throws") {
    throw std::runtime_error("no sensor bus");
  }
  if (odd == "sulks") {
    return isthmus::fail(Errc::not_found, "no device /dev/thermometer; connect one");
  }
  if (odd == "witness") {
    // As a driver would: it finds its cache by the environment.
    const char* cache = std::getenv("POCL_CACHE_DIR");
    const bool kept = cache != nullptr && static_cast<bool>(std::ofstream(std::string(cache) + "/kernel") << "kept");
    std::string seen =
        "uid " + std::to_string(getuid()) + " writes its cache " + std::to_string(static_cast<int>(kept));
    for (char** variable = environ; *variable != nullptr; ++variable) {
      seen.append(" ").append(*variable);
    }
    return seen;
  }
  return "ready";
}

isthmus::Result<std::string> warm(const isthmus::plugin::WarmUp& with) {
  if (odd == "melts") {
    std::abort();
  }
  if (odd == "throws") {
    throw std::runtime_error("no heating");
  }
  return "warms a window of " + std::to_string(with.window.size()) + " bytes";
}

isthmus::Result<std::unique_ptr<Backend>> open_lane(Host& host) {
  if (odd == "shy") {
    return isthmus::fail(Errc::busy, "the device is taken");
  }
  return std::make_unique<OddBackend>(host);
}

}  // namespace

// What ISTHMUS_PLUGIN defines, but that the kind decides.
extern "C" __attribute__((visibility("default"))) const isthmus::plugin::Descriptor* isthmus_plugin_entry() noexcept {
  static const isthmus::plugin::Descriptor descriptor{
      .abi = odd == "future" ? 99 : isthmus::plugin::abi,
      .name = odd_plugin_kind,
      .prepare = prepare,
      .open_lane = open_lane,
      .warm = warm,
      .apis = odd == "twin" ? isthmus::plugin::ids_of<thermometer::ThermometerApi>.data() : nullptr};
  return &descriptor;
}
