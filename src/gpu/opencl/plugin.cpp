// SPDX-License-Identifier: Apache-2.0

// The backend as a plug-in of the worker: isthmus-opencl.so.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "isthmus/plugin.hpp"
#include "src/gpu/opencl/messages.hpp"
#include "src/gpu/opencl/opencl_service.hpp"

namespace isthmus::opencl {
namespace {

class OpenClPlugin final : public plugin::Backend {
 public:
  explicit OpenClPlugin(std::span<const std::byte> window) : window_(window) {}
  void add_to(marshal::Dispatcher& dispatcher) override { add_opencl_service(dispatcher, window_); }

 private:
  std::span<const std::byte> window_;
};

// A host without OpenCL is no error: its clients find no platform, as they would there.
Result<std::string> prepare() { return prepare_driver(); }

Result<std::unique_ptr<plugin::Backend>> open_lane(plugin::Host& host) {
  return std::make_unique<OpenClPlugin>(host.window());
}

constexpr std::array<std::uint16_t, 2> served{api_id, 0};

}  // namespace
}  // namespace isthmus::opencl

ISTHMUS_PLUGIN("opencl", isthmus::opencl::prepare, isthmus::opencl::open_lane, .apis = isthmus::opencl::served.data())
