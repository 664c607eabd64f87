// SPDX-License-Identifier: Apache-2.0
#include "host/worker/warming.hpp"

#include <exception>
#include <stop_token>
#include <system_error>
#include <utility>

#include "isthmus/error.hpp"
#include "src/transport/text.hpp"

namespace isthmus::host {
namespace {

Result<std::string> warm_one(const plugin::Descriptor& plugin, std::span<std::byte> window,
                             const std::stop_token& stop) {
  try {
    return plugin.warm(window, stop);
  } catch (const std::exception& thrown) {
    return fail(Errc::system, text("threw while it warmed up: ", thrown.what()));
  }
}

}  // namespace

void Warming::begin(const Plugins& plugins, std::span<std::byte> window,
                    const std::function<void(const std::string&)>& done) {
  const auto work = [plugins, window, done](const std::stop_token& stop) {
    std::string line;
    for (const plugin::Descriptor* plugin : plugins) {
      if (plugin->warm != nullptr) {
        const auto made = warm_one(*plugin, window, stop);
        line += text(line.empty() ? "" : "; ", "plug-in ", plugin->name, ": ", made ? *made : made.error().message);
      }
    }
    done(line.empty() ? "its plug-ins have nothing to warm up" : line);
  };
  try {
    thread_ = std::jthread(work);
  } catch (const std::system_error& no_thread) {
    done(text("cold: no thread to be had: ", no_thread.what()));
  }
}

}  // namespace isthmus::host
