// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "guest/cuda/frontend.hpp"

namespace isthmus::cuda {

/// What is done before it is said that there is no memory: nothing, or the pool gives back what it does not use.
enum class Effort : std::uint8_t { little, all };

/// What is known of memory that has just been made in the current context.
[[nodiscard]] MemoryInfo info_of(const Here& here, MemoryKind kind, std::uint32_t flags = 0);

/// cuMemAlloc: from the pool of the current context, with no message to the host, or from the driver. \pre bytes > 0
[[nodiscard]] Expected<CUdeviceptr> allocate_on_device(const Here& here, std::size_t bytes);
/// What the driver answers, for `request`: past the pool. The address is held (DeviceAddresses).
[[nodiscard]] Expected<Allocate::Reply> ask_for_memory(const Here& here, const Allocate::Request& request,
                                                       Effort effort);
/// cuMemFree, of memory of cuMemAlloc and its kin that `range` describes. Memory of the pool waits for the device where
/// the program has given it work since the memory was allocated, as the driver does; else nobody is asked.
[[nodiscard]] CUresult free_on_device(const Here& here, const Memory::Range& range);

/// Waits until no context works any more: then all that was freed may be handed out again. `context` is whose failure
/// is the answer; 0: the first one's. CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED while a stream is captured.
[[nodiscard]] CUresult wait_for_devices(Frontend& cuda, Id context);
/// Before memory goes that the driver takes away at once: a copy that would have returned natively is perhaps on its
/// way here. What a device has failed with is told elsewhere. `context` as above.
void let_work_end(Frontend& cuda, Id context);

/// Gives the pool's unused chunks back to the driver. False where it had none. `context` is the current one, or 0.
[[nodiscard]] bool give_back_unused(Frontend& cuda, Id context);

/// call(), for what takes device memory: once more where the pool had memory that it did not use.
template <marshal::MessageKind M>
[[nodiscard]] Expected<marshal::Outcome<M>> call_for_memory(Frontend& cuda, Id context,
                                                            const typename M::Request& request) {
  auto made = cuda.lane->call<M>(request);
  if (!made && made.error() == CUDA_ERROR_OUT_OF_MEMORY && give_back_unused(cuda, context)) {
    made = cuda.lane->call<M>(request);
  }
  return made;
}

/// The same, for memory whose address the driver chooses. The driver knows nothing of this process: where something of
/// it lies at that address already, another is asked for, so that no address means two things. `size_of(Reply)` are the
/// bytes, `give_back(Reply)` frees memory that is of no use. Errors: the driver's; CUDA_ERROR_OUT_OF_MEMORY where every
/// address collides.
template <marshal::MessageKind M, class SizeOf, class GiveBack>
[[nodiscard]] Expected<typename M::Reply> call_for_address(Frontend& cuda, Id context,
                                                           const typename M::Request& request, Effort effort,
                                                           SizeOf size_of, GiveBack give_back) {
  constexpr std::size_t most_tries = 8;
  std::vector<typename M::Reply> collided;  // kept meanwhile, or the driver would give them out again
  Expected<typename M::Reply> found = std::unexpected(CUDA_ERROR_OUT_OF_MEMORY);
  while (!found && collided.size() < most_tries) {
    const auto made = effort == Effort::all ? call_for_memory<M>(cuda, context, request) : cuda.lane->call<M>(request);
    if (!made) {
      found = std::unexpected(made.error());
      break;
    }
    if (cuda.addresses.hold(made->reply.address, size_of(made->reply))) {
      found = made->reply;
    } else {
      collided.push_back(made->reply);
    }
  }
  for (const typename M::Reply& reply : collided) {
    give_back(reply);
  }
  return found;
}

}  // namespace isthmus::cuda
