// SPDX-License-Identifier: Apache-2.0

// The backend as a plug-in of the worker: isthmus-cuda.so.

#include <memory>
#include <string>
#include <string_view>

#include "isthmus/plugin.hpp"
#include "src/gpu/cuda/cuda_service.hpp"
#include "src/gpu/cuda/driver.hpp"
#include "src/gpu/cuda/driver_variables.hpp"
#include "src/gpu/cuda/messages.hpp"
#include "src/gpu/cuda/output.hpp"
#include "src/gpu/cuda/warmth.hpp"

namespace isthmus::cuda {
namespace {

// A host without a GPU is no error: its clients find no device, as they would there.
Result<std::string> prepare() {
  const Result<Driver>& driver = Driver::get();
  return driver ? driver->description() : driver.error().message;
}

Result<std::unique_ptr<plugin::Backend>> open_lane(plugin::Host& host) {
  // The process is this lane's alone, and nothing has run on the device yet.
  if (!Output::capture()) {
    host.log("plug-in cuda: what kernels print cannot be taken to the client");
  }
  return make_cuda_backend(host.window(), host.device_memory(), host.notes());
}

// What is so without the variable, too.
bool suits(std::string_view variable) {
  const Result<Driver>& driver = Driver::get();
  const bool one_device = driver && driver->devices() == 1;
  return variable == "CUDA_MODULE_LOADING=LAZY" || variable == "CUDA_DEVICE_ORDER=FASTEST_FIRST" ||
         (one_device && (variable == "CUDA_VISIBLE_DEVICES=0" || variable.starts_with("CUDA_DEVICE_ORDER=")));
}

Result<std::string> warm(const plugin::WarmUp& with) { return Warmth::of_process().make(with); }

}  // namespace
}  // namespace isthmus::cuda

ISTHMUS_PLUGIN("cuda", isthmus::cuda::prepare, isthmus::cuda::open_lane, .warm = isthmus::cuda::warm,
               .environment = isthmus::cuda::driver_variables.data(), .suits = isthmus::cuda::suits,
               .apis = isthmus::plugin::ids_of<isthmus::cuda::CudaApi>.data())
