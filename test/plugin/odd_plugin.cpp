// SPDX-License-Identifier: Apache-2.0

// Plug-ins that go wrong, one for each kind, chosen by the definition ODD_PLUGIN; and one that tells what it sees.

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>

#include "isthmus/api/probe.hpp"
#include "isthmus/plugin.hpp"

namespace {

using isthmus::Errc;
using isthmus::plugin::Backend;
using isthmus::plugin::Host;

constexpr std::string_view odd = ODD_PLUGIN;

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

isthmus::Result<std::unique_ptr<Backend>> open_lane(Host& host) {
  if (odd == "shy") {
    return isthmus::fail(Errc::busy, "the device is taken");
  }
  return std::make_unique<OddBackend>(host);
}

}  // namespace

#ifdef ODD_FUTURE
extern "C" const isthmus::plugin::Descriptor* isthmus_plugin_entry() noexcept {
  static constexpr isthmus::plugin::Descriptor descriptor{
      .abi = 99, .name = ODD_PLUGIN, .prepare = prepare, .open_lane = open_lane};
  return &descriptor;
}
#elif !defined(ODD_NO_ENTRY)
ISTHMUS_PLUGIN(ODD_PLUGIN, prepare, open_lane)
#else
// Loads, and is no plug-in; what stands above is used all the same.
extern "C" __attribute__((visibility("default"))) void isthmus_odd_plugin_unused(Host& host);
extern "C" void isthmus_odd_plugin_unused(Host& host) { static_cast<void>(prepare() && open_lane(host)); }
#endif
