// SPDX-License-Identifier: Apache-2.0
#include "src/gpu/cuda/backend.hpp"

#include <type_traits>
#include <utility>

#include "src/gpu/cuda/output.hpp"

namespace isthmus::cuda {
namespace {

std::atomic<std::uint64_t> last_serial{0};

// The first failure of a post of this thread's that nobody was told of. When the thread ends before somebody asks, the
// failure is the lane's, and told by whoever waits for the device next.
class LateFailure {
 public:
  LateFailure() = default;
  LateFailure(const LateFailure&) = delete;
  LateFailure& operator=(const LateFailure&) = delete;
  LateFailure(LateFailure&&) = delete;
  LateFailure& operator=(LateFailure&&) = delete;
  ~LateFailure() { leave(); }

  void keep(std::int32_t status, const std::shared_ptr<std::atomic<std::int32_t>>& heir) {
    if (status_ == CUDA_SUCCESS) {
      status_ = status;
      heir_ = heir;
    }
  }
  [[nodiscard]] std::int32_t take() noexcept { return std::exchange(status_, CUDA_SUCCESS); }
  void leave() noexcept {
    std::int32_t none = CUDA_SUCCESS;
    if (const std::int32_t status = take(); status != CUDA_SUCCESS) {
      heir_->compare_exchange_strong(none, status);
    }
  }

 private:
  std::int32_t status_ = CUDA_SUCCESS;
  std::shared_ptr<std::atomic<std::int32_t>> heir_;
};

// What a twin knows of its thread. Twins are one to one with the client's threads.
struct TwinState {
  std::uint64_t backend = 0;  // serial
  std::uint64_t generation = 0;
  Id context = 0;              // current, by name
  CUcontext handle = nullptr;  // and by the driver's handle
  LateFailure late;
};

TwinState& twin_state(std::uint64_t serial) {
  thread_local TwinState state;
  if (state.backend != serial) {
    state.late.leave();
    state.backend = serial;
    state.generation = 0;
    state.context = 0;
    state.handle = nullptr;
  }
  return state;
}

// Bytes that a pool holds.
std::uint64_t reserved_in_pool(const Driver& driver, CUmemoryPool pool) {
  std::uint64_t bytes = 0;
  return driver.cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, &bytes) == CUDA_SUCCESS ? bytes
                                                                                                          : UINT64_MAX;
}

template <marshal::MessageKind M>
constexpr bool reports = [] {
  if constexpr (requires { M::reports; }) {
    return M::reports;
  } else {
    return false;
  }
}();

}  // namespace

LaneBackend::LaneBackend(const Driver* driver, std::span<std::byte> window,
                         std::shared_ptr<plugin::DeviceMemory> memory, std::shared_ptr<plugin::Notes> notes)
    : driver_(driver),
      window_(window),
      serial_(++last_serial),
      notes_(std::move(notes)),
      account_(std::move(memory), [driver](CUmemoryPool pool) { return reserved_in_pool(*driver, pool); }),
      virtual_(driver, account_),
      orphaned_(std::make_shared<std::atomic<std::int32_t>>(CUDA_SUCCESS)) {
  if (driver_ != nullptr) {
    slab_.emplace(*driver_, window_);
  }
}

template <marshal::MessageKind M>
void LaneBackend::serve(marshal::Dispatcher& dispatcher) {
  dispatcher.on<M>([this](const typename M::Request& request, marshal::Call& call) -> Answer<typename M::Reply> {
    // Without a driver there is no context, and nothing can be asked of one.
    if (driver_ == nullptr) {
      return refuse(CUDA_ERROR_NO_DEVICE);
    }
    auto answered = handle(request, call);
    std::int32_t status =
        settle(!call.wants_reply(), reports<M>, answered ? std::int32_t{CUDA_SUCCESS} : answered.error());
    // Whatever the driver wrote until now shall be the program's before the function returns.
    if constexpr (std::is_same_v<typename M::Reply, Nothing>) {
      if (call.wants_reply() && status >= 0 && Output::waits()) {
        status |= output_waits;
      }
    }
    return status == CUDA_SUCCESS ? std::move(answered) : std::unexpected(status);
  });
}

void LaneBackend::add_to(marshal::Dispatcher& dispatcher) {
  dispatcher.offer<CudaApi>();
  CudaApi::Messages::each([&]<class M>() { serve<M>(dispatcher); });
}

std::int32_t LaneBackend::settle(bool is_post, bool reporting, std::int32_t status) {
  TwinState& twin = twin_state(serial_);
  if (is_post) {
    if (status != CUDA_SUCCESS) {
      twin.late.keep(status, orphaned_);
    }
    return status;
  }
  if (!reporting || status != CUDA_SUCCESS) {
    return status;
  }
  if (const std::int32_t late = twin.late.take(); late != CUDA_SUCCESS) {
    return late;
  }
  return orphaned_->load(std::memory_order_relaxed) == CUDA_SUCCESS ? CUDA_SUCCESS : orphaned_->exchange(CUDA_SUCCESS);
}

CUresult LaneBackend::enter(Id context) {
  TwinState& twin = twin_state(serial_);
  const std::uint64_t generation = generation_.load(std::memory_order_acquire);
  if (twin.context == context && twin.generation == generation && context != 0) {
    return CUDA_SUCCESS;
  }
  const auto found = contexts_.find(context);
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  const CUresult code = driver_->cuCtxSetCurrent(found->handle);
  if (code == CUDA_SUCCESS) {
    twin.context = context;
    twin.generation = generation;
    twin.handle = found->handle;
  }
  return code;
}

Answer<LaneBackend::Entered> LaneBackend::enter(const Place& place) {
  if (const CUresult code = enter(place.context); code != CUDA_SUCCESS) {
    return refuse(code);
  }
  Entered entered{.context = twin_state(serial_).handle, .stream = nullptr, .keep = nullptr};
  if (place.stream == legacy_stream) {
    entered.stream = CU_STREAM_LEGACY;
  } else if (place.stream == per_thread_stream) {
    entered.stream = CU_STREAM_PER_THREAD;
  } else {
    entered.keep = streams_.find(place.stream);
    if (entered.keep == nullptr || !entered.keep->context->alive.load(std::memory_order_acquire)) {
      return refuse(CUDA_ERROR_INVALID_HANDLE);
    }
    entered.stream = entered.keep->handle;
  }
  return entered;
}

}  // namespace isthmus::cuda
