// SPDX-License-Identifier: Apache-2.0
#include "src/gpu/cuda/host_functions.hpp"

#include <chrono>
#include <cstdint>
#include <tuple>

#include "isthmus/marshal/message.hpp"
#include "src/gpu/cuda/messages.hpp"

namespace isthmus::cuda {
namespace {

// How often it is checked that the client still lives; a live one may take as long as it wants.
constexpr std::chrono::milliseconds between_looks{200};
// How long an upcall waits for room in the ring, before the lane's end is looked for again.
constexpr std::chrono::milliseconds wait_for_room{10};
// A client that was stopped reads no upcalls, and may go on: that the ring has no room says nothing.
enum class Told : std::uint8_t { yes, not_yet, never };

Told tell_client(Upcalls& upcalls, std::uint64_t token, CUresult status) {
  const RunHost::Request fixed{.token = token, .status = static_cast<std::int32_t>(status)};
  const auto posted =
      upcalls.post({.api = RunHost::api, .opcode = RunHost::opcode, .fixed = marshal::bytes_of(fixed), .trailing = {}},
                   Channel::Clock::now() + wait_for_room);
  return posted ? Told::yes : posted.error().code == Errc::closed ? Told::never : Told::not_yet;
}

}  // namespace

struct HostFunctions::Ticket {
  std::shared_ptr<HostFunctions> functions;
  std::shared_ptr<Upcalls> upcalls;
  std::uint64_t token = 0;
};

CUresult HostFunctions::launch(const Driver& driver, CUstream stream, std::uint64_t token, bool callback,
                               std::shared_ptr<Upcalls> upcalls) {
  if (upcalls == nullptr || token == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  {
    const std::scoped_lock lock(mutex_);
    if (!done_.try_emplace(token, false).second) {
      return CUDA_ERROR_INVALID_VALUE;
    }
  }
  auto ticket =
      std::make_unique<Ticket>(Ticket{.functions = shared_from_this(), .upcalls = std::move(upcalls), .token = token});
  const CUresult code = callback ? driver.cuStreamAddCallback(stream, on_callback, ticket.get(), 0)
                                 : driver.cuLaunchHostFunc(stream, on_turn, ticket.get());
  if (code == CUDA_SUCCESS) {
    std::ignore = ticket.release();  // run() has it
  } else {
    const std::scoped_lock lock(mutex_);
    done_.erase(token);
  }
  return code;
}

void CUDA_CB HostFunctions::on_turn(void* data) {
  run(std::unique_ptr<Ticket>(static_cast<Ticket*>(data)), CUDA_SUCCESS);
}

void CUDA_CB HostFunctions::on_callback(CUstream /*stream*/, CUresult status, void* data) {
  run(std::unique_ptr<Ticket>(static_cast<Ticket*>(data)), status);
}

void HostFunctions::run(std::unique_ptr<Ticket> ticket, CUresult status) {
  HostFunctions& self = *ticket->functions;
  Told told = tell_client(*ticket->upcalls, ticket->token, status);
  bool has_function = told == Told::yes;
  std::unique_lock lock(self.mutex_);
  while (told != Told::never && !self.closed_ && !self.done_[ticket->token]) {
    if (self.changed_.wait_for(lock, between_looks) == std::cv_status::timeout) {
      lock.unlock();
      // Once the client has it, this asks for nothing but whether the lane is over.
      told = tell_client(*ticket->upcalls, has_function ? 0 : ticket->token, has_function ? CUDA_SUCCESS : status);
      has_function = has_function || told == Told::yes;
      lock.lock();
    }
  }
  self.done_.erase(ticket->token);
}

bool HostFunctions::done(std::uint64_t token) {
  {
    const std::scoped_lock lock(mutex_);
    const auto found = done_.find(token);
    if (found == done_.end()) {
      return false;
    }
    found->second = true;
  }
  changed_.notify_all();
  return true;
}

void HostFunctions::close() {
  {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
}

}  // namespace isthmus::cuda
