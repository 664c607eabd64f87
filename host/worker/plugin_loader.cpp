// SPDX-License-Identifier: Apache-2.0
#include "host/worker/plugin_loader.hpp"

#include <dlfcn.h>

#include <exception>
#include <map>
#include <string>

#include "isthmus/api/probe.hpp"
#include "src/transport/text.hpp"

namespace isthmus::host {

Result<void> check_plugin(const plugin::Descriptor& descriptor, std::string_view expected) {
  constexpr std::string_view rebuild = "; rebuild it against this release of Isthmus";
  if (descriptor.magic != plugin::magic) {
    return fail(Errc::invalid_argument, text("its descriptor begins with ", Hex{descriptor.magic}, " instead of ",
                                             Hex{plugin::magic}, rebuild));
  }
  if (descriptor.abi != plugin::abi) {
    return fail(Errc::version_mismatch,
                text("it was built for plug-in ABI ", descriptor.abi, ", this worker has ABI ", plugin::abi, rebuild));
  }
  if (descriptor.size != sizeof(plugin::Descriptor) || descriptor.dispatcher_size != sizeof(marshal::Dispatcher)) {
    return fail(Errc::version_mismatch,
                text("its descriptor has ", descriptor.size, " bytes and its dispatcher ", descriptor.dispatcher_size,
                     ", this worker's ", sizeof(plugin::Descriptor), " and ", sizeof(marshal::Dispatcher), rebuild));
  }
  if (descriptor.standard_library == nullptr ||
      std::string_view(descriptor.standard_library) != plugin::standard_library) {
    return fail(Errc::version_mismatch,
                text("it was built with ", descriptor.standard_library != nullptr ? descriptor.standard_library : "?",
                     ", this worker with ", plugin::standard_library, "; use the same C++ standard library"));
  }
  if (descriptor.name == nullptr || descriptor.open_lane == nullptr) {
    return fail(Errc::invalid_argument, "its descriptor lacks a name or open_lane");
  }
  if (!expected.empty() && descriptor.name != expected) {
    return fail(Errc::invalid_argument, text("it calls itself ", descriptor.name, "; is the right file in its place?"));
  }
  return {};
}

Result<void> check_apis(std::span<const plugin::Descriptor* const> plugins) {
  std::map<std::uint16_t, std::string> served{{probe::ProbeApi::id, "the worker itself"}};
  for (const plugin::Descriptor* plugin : plugins) {
    for (const std::uint16_t* api = plugin->apis; api != nullptr && *api != 0; ++api) {
      if (const auto [earlier, is_new] = served.emplace(*api, text("plug-in ", plugin->name)); !is_new) {
        return fail(Errc::invalid_argument,
                    text("plug-in ", plugin->name, ": API ", *api, " is served by ", earlier->second,
                         " already; name one of them only in plugins, or give one's API another id"));
      }
    }
  }
  return {};
}

Result<const plugin::Descriptor*> load_plugin(const std::filesystem::path& file, std::string_view expected) {
  const std::string label = text("plug-in ", expected.empty() ? file.native() : std::string(expected), ": ");
  // All symbols now, so that one that is missing is told here and not to a client; never unloaded.
  void* library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = ::dlerror();
    return fail(Errc::not_found, text(label, why != nullptr ? why : "cannot be loaded"));
  }
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): POSIX gives functions as void*
  const auto entry = reinterpret_cast<decltype(&isthmus_plugin_entry)>(::dlsym(library, "isthmus_plugin_entry"));
  if (entry == nullptr) {
    return fail(Errc::not_found, text(label, "no Isthmus plug-in: it does not define isthmus_plugin_entry"));
  }
  const plugin::Descriptor* descriptor = entry();
  if (descriptor == nullptr) {
    return fail(Errc::invalid_argument, text(label, "it has no descriptor"));
  }
  if (auto fits = check_plugin(*descriptor, expected); !fits) {
    return fail(fits.error().code, text(label, fits.error().message));
  }
  return descriptor;
}

Result<std::string> prepare_plugin(const plugin::Descriptor& plugin) {
  const std::string label = text("plug-in ", plugin.name);
  if (plugin.prepare == nullptr) {
    return text(label, " is loaded");
  }
  try {
    const auto prepared = plugin.prepare();
    return prepared ? Result<std::string>(text(label, ": ", *prepared))
                    : fail(prepared.error().code, text(label, ": ", prepared.error().message));
  } catch (const std::exception& thrown) {
    return fail(Errc::system, text(label, ": threw while it prepared: ", thrown.what()));
  }
}

}  // namespace isthmus::host
