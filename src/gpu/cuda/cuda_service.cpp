// SPDX-License-Identifier: Apache-2.0
#include "src/gpu/cuda/cuda_service.hpp"

#include <utility>

#include "src/gpu/cuda/backend.hpp"
#include "src/gpu/cuda/driver.hpp"

namespace isthmus::cuda {
namespace {

class CudaBackend final : public plugin::Backend {
 public:
  CudaBackend(const Driver* driver, std::span<std::byte> window, std::shared_ptr<plugin::DeviceMemory> memory,
              std::shared_ptr<plugin::Notes> notes)
      : lane_(driver, window, std::move(memory), std::move(notes)) {}
  void add_to(marshal::Dispatcher& dispatcher) override { lane_.add_to(dispatcher); }

 private:
  LaneBackend lane_;
};

}  // namespace

std::unique_ptr<plugin::Backend> make_cuda_backend(std::span<std::byte> window,
                                                   std::shared_ptr<plugin::DeviceMemory> memory,
                                                   std::shared_ptr<plugin::Notes> notes) {
  const Result<Driver>& driver = Driver::get();
  return std::make_unique<CudaBackend>(driver ? &*driver : nullptr, window, std::move(memory), std::move(notes));
}

}  // namespace isthmus::cuda
