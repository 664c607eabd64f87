// SPDX-License-Identifier: Apache-2.0
#include "src/gpu/cuda/host_functions.hpp"

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

// A function may take as long as it wants; when the client dies, the lane ends, and the call with it.
void run_ticket(void* data, CUresult status) {
  const std::unique_ptr<HostTicket> ticket(static_cast<HostTicket*>(data));
  const RunHost::Request fixed{.token = ticket->token, .status = static_cast<std::int32_t>(status)};
  std::ignore = ticket->upcalls->call(
      {.api = RunHost::api, .opcode = RunHost::opcode, .fixed = marshal::bytes_of(fixed), .trailing = {}}, {},
      Channel::no_deadline);
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

}  // namespace isthmus::cuda
