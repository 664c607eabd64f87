// SPDX-License-Identifier: Apache-2.0

// The backend as a plug-in of the worker: isthmus-cuda.so.

#include <memory>
#include <string>

#include "isthmus/plugin.hpp"
#include "src/gpu/cuda/cuda_service.hpp"
#include "src/gpu/cuda/driver.hpp"
#include "src/gpu/cuda/output.hpp"

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
  return make_cuda_backend(host.window());
}

}  // namespace
}  // namespace isthmus::cuda

ISTHMUS_PLUGIN("cuda", isthmus::cuda::prepare, isthmus::cuda::open_lane)
