// SPDX-License-Identifier: Apache-2.0
#include "src/gpu/cuda/host_functions.hpp"

#include <algorithm>
#include <chrono>
#include <thread>
#include <tuple>
#include <utility>

#include "isthmus/marshal/message.hpp"
#include "src/gpu/cuda/messages.hpp"

namespace isthmus::cuda {
namespace {

struct HostTicket {
  std::shared_ptr<Upcalls> upcalls;
  std::uint64_t token = 0;
};

// A function may take as long as it wants; when the client dies, the lane ends, and the call with it. An upcall for
// which there is no room now has not been made: it is tried again, or the stream would go on before the function has
// run.
void run_in_client(Upcalls& upcalls, const RunHost::Request& request) {
  constexpr auto longest_nap = std::chrono::microseconds(10'000);
  auto nap = std::chrono::microseconds(50);
  for (;;) {
    const auto answered = upcalls.call(
        {.api = RunHost::api, .opcode = RunHost::opcode, .fixed = marshal::bytes_of(request), .trailing = {}}, {},
        Channel::no_deadline);
    if (answered || answered.error().code != Errc::exhausted) {
      return;
    }
    std::this_thread::sleep_for(nap);
    nap = std::min(nap * 2, longest_nap);
  }
}

void run_ticket(void* data, CUresult status) {
  const std::unique_ptr<HostTicket> ticket(static_cast<HostTicket*>(data));
  run_in_client(*ticket->upcalls, {.token = ticket->token, .status = static_cast<std::int32_t>(status)});
}

void CUDA_CB on_turn(void* data) { run_ticket(data, CUDA_SUCCESS); }

void CUDA_CB on_callback(CUstream /*stream*/, CUresult status, void* data) { run_ticket(data, status); }

}  // namespace

CUresult launch_host_function(const Driver& driver, CUstream stream, std::uint64_t token, bool callback,
                              std::shared_ptr<Upcalls> upcalls) {
  if (upcalls == nullptr || token == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  auto ticket = std::make_unique<HostTicket>(HostTicket{.upcalls = std::move(upcalls), .token = token});
  const CUresult code = callback ? driver.cuStreamAddCallback(stream, on_callback, ticket.get(), 0)
                                 : driver.cuLaunchHostFunc(stream, on_turn, ticket.get());
  if (code == CUDA_SUCCESS) {
    std::ignore = ticket.release();  // run_ticket() has it
  }
  return code;
}

RepeatedFunction::RepeatedFunction(std::shared_ptr<Upcalls> upcalls, std::uint64_t token) noexcept
    : upcalls_(std::move(upcalls)), token_(token) {}

CUDA_HOST_NODE_PARAMS RepeatedFunction::node() noexcept {
  CUDA_HOST_NODE_PARAMS node{};
  node.fn = run;
  node.userData = this;
  return node;
}

void RepeatedFunction::give_to(const Driver& driver, CUgraph graph,
                               std::unique_ptr<RepeatedFunction> function) noexcept {
  RepeatedFunction* const kept = function.release();
  CUuserObject object = nullptr;
  if (driver.cuUserObjectCreate(&object, kept, forget, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC) == CUDA_SUCCESS) {
    // Where the graph does not take it, it is kept for ever.
    std::ignore = driver.cuGraphRetainUserObject(graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE);
  }
}

void RepeatedFunction::let_go(std::unique_ptr<RepeatedFunction> function) noexcept {
  if (function != nullptr) {
    forget(function.release());
  }
}

void CUDA_CB RepeatedFunction::run(void* function) {
  const RepeatedFunction& it = *static_cast<RepeatedFunction*>(function);
  if (it.token_ != 0 && it.upcalls_ != nullptr) {
    run_in_client(*it.upcalls_, {.token = it.token_, .status = CUDA_SUCCESS, .again = 1});
  }
}

void CUDA_CB RepeatedFunction::forget(void* function) {
  constexpr auto patience = std::chrono::seconds(1);
  const std::unique_ptr<RepeatedFunction> it(static_cast<RepeatedFunction*>(function));
  if (it->token_ != 0 && it->upcalls_ != nullptr) {
    const ForgetHost::Request request{.token = it->token_};
    // A client that does not take it keeps its function, and what that uses.
    std::ignore = it->upcalls_->post(
        {.api = ForgetHost::api, .opcode = ForgetHost::opcode, .fixed = marshal::bytes_of(request), .trailing = {}},
        Channel::Clock::now() + patience);
  }
}

}  // namespace isthmus::cuda
