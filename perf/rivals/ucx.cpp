// SPDX-License-Identifier: Apache-2.0
#include <sys/socket.h>
#include <ucp/api/ucp.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "perf/rivals/rivals.hpp"
#include "perf/support/must.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::perf {
namespace {

void check_ucs(ucs_status_t status, const char* what) {
  if (status != UCS_OK) {
    throw std::runtime_error(std::string("UCX: ") + what + ": " + ucs_status_string(status));
  }
}

// One worker with one endpoint: tagged messages over POSIX shared memory. The thread that waits drives the progress.
class Worker {
 public:
  Worker() {
    ucp_config_t* config = nullptr;
    check_ucs(ucp_config_read(nullptr, nullptr, &config), "configuration");
    check_ucs(ucp_config_modify(config, "TLS", "posix,self"), "transports");
    ucp_params_t parameters{};
    parameters.field_mask = UCP_PARAM_FIELD_FEATURES;
    parameters.features = UCP_FEATURE_TAG;
    const ucs_status_t started = ucp_init(&parameters, config, &context_);
    ucp_config_release(config);
    check_ucs(started, "start");
    ucp_worker_params_t worker_parameters{};
    worker_parameters.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
    worker_parameters.thread_mode = UCS_THREAD_MODE_SINGLE;
    if (const ucs_status_t made = ucp_worker_create(context_, &worker_parameters, &worker_); made != UCS_OK) {
      ucp_cleanup(context_);
      check_ucs(made, "worker");
    }
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  Worker(Worker&&) = delete;
  Worker& operator=(Worker&&) = delete;
  ~Worker() {
    ucp_worker_destroy(worker_);
    ucp_cleanup(context_);
  }

  [[nodiscard]] std::vector<std::byte> address() const {
    ucp_address_t* address = nullptr;
    std::size_t length = 0;
    check_ucs(ucp_worker_get_address(worker_, &address, &length), "address");
    std::vector<std::byte> copy(length);
    std::memcpy(copy.data(), address, length);
    ucp_worker_release_address(worker_, address);
    return copy;
  }
  void connect(const std::vector<std::byte>& peer) {
    ucp_ep_params_t parameters{};
    parameters.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS;
    parameters.address = reinterpret_cast<const ucp_address_t*>(peer.data());
    check_ucs(ucp_ep_create(worker_, &parameters, &endpoint_), "endpoint");
  }
  void send(const Message56& message) {
    const ucp_request_param_t parameters{};
    finish(ucp_tag_send_nbx(endpoint_, &message, sizeof message, tag, &parameters));
  }
  void receive(Message56& message) {
    const ucp_request_param_t parameters{};
    finish(ucp_tag_recv_nbx(worker_, &message, sizeof message, tag, ~ucp_tag_t{0}, &parameters));
  }

 private:
  static constexpr ucp_tag_t tag = 1;

  void finish(ucs_status_ptr_t request) {
    if (request == nullptr) {
      return;  // done at once
    }
    if (UCS_PTR_IS_ERR(request)) {
      check_ucs(UCS_PTR_STATUS(request), "transfer");
    }
    ucs_status_t status = ucp_request_check_status(request);
    while (status == UCS_INPROGRESS) {
      ucp_worker_progress(worker_);
      status = ucp_request_check_status(request);
    }
    ucp_request_free(request);
    check_ucs(status, "transfer");
  }

  ucp_context_h context_ = nullptr;
  ucp_worker_h worker_ = nullptr;
  ucp_ep_h endpoint_ = nullptr;
};

class UcxCall final : public Exchange {
 public:
  UcxCall() {
    std::array<int, 2> fds{};
    check_system(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds.data()) == 0, "socketpair");
    client_socket_.reset(fds[0]);
    host_socket_.reset(fds[1]);
  }

  void open_client() override { open(client_socket_.get()); }
  void open_host() override { open(host_socket_.get()); }
  void close_host() override { worker_.reset(); }

  void client(std::uint32_t count) override {
    for (; count > 0; --count) {
      Message56 message;
      message.words.back() = ++sent_;
      worker_->send(message);
      worker_->receive(message);
      if (message.words.back() != sent_) {
        throw std::runtime_error("a reply does not belong to its request");
      }
    }
  }
  void host(std::uint32_t count) override {
    for (; count > 0; --count) {
      Message56 message;
      worker_->receive(message);
      worker_->send(message);
    }
  }

 private:
  void open(int socket) {
    worker_ = std::make_unique<Worker>();
    const std::vector<std::byte> mine = worker_->address();
    check_system(send(socket, mine.data(), mine.size(), 0) == static_cast<ssize_t>(mine.size()), "UCX: send address");
    std::vector<std::byte> peer(std::size_t{64} * 1024);
    const ssize_t got = recv(socket, peer.data(), peer.size(), 0);
    check_system(got > 0, "UCX: receive address");
    peer.resize(static_cast<std::size_t>(got));
    worker_->connect(peer);
  }

  UniqueFd client_socket_;
  UniqueFd host_socket_;
  std::unique_ptr<Worker> worker_;
  std::uint64_t sent_ = 0;
};

}  // namespace

std::unique_ptr<Exchange> ucx_call() { return std::make_unique<UcxCall>(); }

std::string ucx_version() { return ucp_get_version_string(); }

}  // namespace isthmus::perf
