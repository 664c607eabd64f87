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

Result<std::string> warm_one(const plugin::Descriptor& plugin, const plugin::WarmUp& with) {
  try {
    return plugin.warm(with);
  } catch (const std::exception& thrown) {
    return fail(Errc::system, text("threw while it warmed up: ", thrown.what()));
  }
}

}  // namespace

void Warming::begin(const Plugins& plugins, std::span<std::byte> window,
                    std::shared_ptr<plugin::DeviceMemory> device_memory, const Done& done) {
  const auto work = [plugins, window, memory = std::move(device_memory), done](const std::stop_token& stop) {
    bool is_warm = true;
    std::string line;
    for (const plugin::Descriptor* plugin : plugins) {
      if (plugin->warm != nullptr) {
        const auto made = warm_one(*plugin, {.window = window, .device_memory = memory, .stop = stop});
        is_warm = is_warm && made;
        line += text(line.empty() ? "" : "; ", "plug-in ", plugin->name, ": ", made ? *made : made.error().message);
      }
    }
    done(is_warm, line.empty() ? "its plug-ins have nothing to warm up" : line);
  };
  try {
    thread_ = std::jthread(work);
  } catch (const std::system_error& no_thread) {
    done(false, text("no thread to be had: ", no_thread.what()));
  }
}

}  // namespace isthmus::host
