// SPDX-License-Identifier: Apache-2.0
#include "guest/cuda/connection.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <tuple>
#include <utility>

#include "guest/cuda/device_poll.hpp"
#include "guest/frontend_environment.hpp"
#include "src/gpu/cuda/driver_variables.hpp"
#include "src/transport/spin.hpp"

namespace isthmus::cuda {
namespace {

constinit thread_local bool runs_host_function = false;
constinit thread_local ContextStack the_stack;

// A worker loads drivers before it takes a lane; on a busy machine, or one of many devices, that takes seconds.
constexpr std::chrono::seconds patience_for_host{20};

using frontend::is_switched_on;

void explain(const Error& error) { frontend::explain("isthmus-cuda", error); }

// Failures after which a context is of no use any more (CUresult in cuda.h: "the process must be terminated").
bool is_for_good(CUresult code) noexcept {
  switch (code) {
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_NVLINK_UNCORRECTABLE:
    case CUDA_ERROR_CONTAINED:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
    case CUDA_ERROR_TENSOR_MEMORY_LEAK:
    case CUDA_ERROR_EXTERNAL_DEVICE:
      return true;
    default:
      return false;
  }
}

}  // namespace

ContextStack& ContextStack::mine() noexcept { return the_stack; }

bool in_host_function() noexcept { return runs_host_function; }

Expected<std::int32_t> Connection::await(Channel& channel, const Message& message) {
  constexpr int polls_per_clock = 64;
  const auto id = channel.submit(message);
  if (!id) {
    return std::unexpected(lost(id.error()));
  }
  if (const DevicePoll place; place.allowed()) {
    const auto until = std::chrono::steady_clock::now() + DevicePoll::longest;
    do {
      for (int i = 0; i < polls_per_clock; ++i) {
        const auto reply = channel.poll(*id);
        if (!reply) {
          return std::unexpected(lost(reply.error()));
        }
        if (*reply) {
          return (*reply)->status;
        }
        spin_pause();
      }
    } while (std::chrono::steady_clock::now() < until);
  }
  const auto reply = channel.wait(*id);
  return reply ? Expected<std::int32_t>(reply->status) : std::unexpected(lost(reply.error()));
}

bool Connection::read_managed(Id owner, std::uint64_t address, std::span<std::byte> to) {
  const auto read = exchange<ReadManaged>({.owner = owner, .address = address, .size = to.size()}, {}, to);
  return read && read->trailing == to.size();
}

void Connection::send_managed_changes() {
  managed_.send_changes([this](Id owner, std::uint64_t address, std::span<const std::byte> from) {
    return post<WriteManaged>({.owner = owner, .address = address}, from) == CUDA_SUCCESS;
  });
}

void Connection::fetch_managed_changes() {
  managed_.fetch_changes(
      [this](Id owner, std::uint64_t address, std::span<std::byte> to) { return read_managed(owner, address, to); });
}

Connection::Connection(Lane lane)
    : lane_(std::move(lane)),
      synchronous_(is_switched_on("ISTHMUS_SYNC") || is_switched_on("CUDA_LAUNCH_BLOCKING")),
      launches_block_(is_switched_on("CUDA_LAUNCH_BLOCKING")) {}

Expected<std::unique_ptr<Connection>> Connection::open() {
  auto lane = Lane::attach(frontend::endpoint(),
                           {.timeout = patience_for_host, .environment = frontend::variables(driver_variables)});
  if (!lane) {
    explain(lane.error());
    return std::unexpected(CUDA_ERROR_NO_DEVICE);
  }
  std::unique_ptr<Connection> connection(new Connection(std::move(*lane)));
  if (const auto started = connection->start(); !started) {
    explain(started.error());
    std::ignore = connection.release();  // its upcall thread may be at work in it
    return std::unexpected(CUDA_ERROR_NO_DEVICE);
  }
  return connection;
}

Result<void> Connection::start() {
  upcalls_.on<RunHost>([this](const RunHost::Request& request, marshal::Call&) -> std::expected<Nothing, std::int32_t> {
    run_function(request.token, static_cast<CUresult>(request.status), request.again != 0);
    return Nothing{};
  });
  upcalls_.on<ForgetHost>(
      [this](const ForgetHost::Request& request, marshal::Call&) -> std::expected<Nothing, std::int32_t> {
        forget_function(request.token);
        return Nothing{};
      });
  if (auto served = lane_.serve_upcalls(upcalls_); !served) {
    return served;
  }
  auto channel = lane_.channel();
  if (!channel) {
    return std::unexpected(channel.error());
  }
  auto opened = marshal::open<CudaApi>(**channel);
  if (!opened) {
    return std::unexpected(opened.error());
  }
  api_ = *opened;
  const auto hello = call<Hello>({});
  if (!hello || hello->reply.devices == 0) {
    return fail(Errc::not_found, "the host has no CUDA device; isthmusd's log there says why");
  }
  host_ = hello->reply;
  return {};
}

void Connection::forget_failure(Id context) noexcept {
  if (failed_context_.load(std::memory_order_relaxed) == context) {
    failed_context_.store(0, std::memory_order_relaxed);
    failure_.store(CUDA_SUCCESS, std::memory_order_relaxed);
  }
}

CUresult Connection::note(CUresult code) noexcept {
  if (is_for_good(code)) {
    CUresult none = CUDA_SUCCESS;
    if (failure_.compare_exchange_strong(none, code, std::memory_order_relaxed)) {
      failed_context_.store(ContextStack::mine().top(), std::memory_order_relaxed);
    }
  }
  return code;
}

CUresult Connection::code_of(std::int32_t status) noexcept {
  if (status > 0 && (status & output_waits) != 0) {
    print_output();
    status &= ~output_waits;
  }
  const bool unknown = status == status_unhandled || status == marshal::status_unknown_fields;
  return unknown ? CUDA_ERROR_NOT_SUPPORTED : note(static_cast<CUresult>(status));
}

void Connection::print_output() noexcept {
  const std::scoped_lock lock(output_mutex_);
  std::array<std::byte, TakeOutput::most> text;  // NOLINT(*-member-init): large
  auto channel = lane_.channel();
  while (channel) {
    const auto taken = api_->on(**channel).call<TakeOutput>({}, {}, text);
    if (!taken || taken->status != 0 || taken->trailing == 0) {
      return;
    }
    // A program that has closed them has decided that it wants no output.
    std::ignore = std::fwrite(text.data(), 1, taken->trailing, taken->reply.is_error != 0 ? stderr : stdout);
    if (taken->reply.more == 0) {
      return;
    }
  }
}

CUresult Connection::lost(const Error& error) noexcept {
  if (error.code == Errc::unsupported) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  explain(error);
  return CUDA_ERROR_DEVICE_UNAVAILABLE;
}

std::uint64_t Connection::expect_function(std::function<void(CUresult)> function) {
  const std::scoped_lock lock(mutex_);
  functions_.emplace(++last_token_, std::make_shared<const std::function<void(CUresult)>>(std::move(function)));
  return last_token_;
}

void Connection::forget_function(std::uint64_t token) {
  std::shared_ptr<const std::function<void(CUresult)>> gone;  // what it holds goes without the lock
  const std::scoped_lock lock(mutex_);
  if (const auto found = functions_.find(token); found != functions_.end()) {
    gone = std::move(found->second);
    functions_.erase(found);
  }
}

void Connection::run_function(std::uint64_t token, CUresult status, bool again) {
  std::shared_ptr<const std::function<void(CUresult)>> function;
  {
    const std::scoped_lock lock(mutex_);
    const auto found = functions_.find(token);
    if (found == functions_.end()) {
      return;
    }
    function = found->second;
    if (!again) {
      functions_.erase(found);
    }
  }
  runs_host_function = true;
  (*function)(status);
  runs_host_function = false;
}

}  // namespace isthmus::cuda
