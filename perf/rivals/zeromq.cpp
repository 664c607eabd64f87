// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>
#include <zmq.h>

#include <stdexcept>
#include <string>

#include "perf/rivals/rivals.hpp"

namespace isthmus::perf {
namespace {

// One PAIR socket on either side, over ipc: with a name in the abstract namespace, which leaves no file.
class Socket {
 public:
  Socket() : context_(zmq_ctx_new()), socket_(context_ == nullptr ? nullptr : zmq_socket(context_, ZMQ_PAIR)) {
    const int no_linger = 0;
    check(socket_ != nullptr && zmq_setsockopt(socket_, ZMQ_LINGER, &no_linger, sizeof no_linger) == 0);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  Socket(Socket&&) = delete;
  Socket& operator=(Socket&&) = delete;
  ~Socket() {
    zmq_close(socket_);
    zmq_ctx_term(context_);
  }

  void bind(const std::string& address) { check(zmq_bind(socket_, address.c_str()) == 0); }
  void connect(const std::string& address) { check(zmq_connect(socket_, address.c_str()) == 0); }
  void send(const Message56& message) {
    check(zmq_send(socket_, &message, sizeof message, 0) == static_cast<int>(sizeof message));
  }
  void receive(Message56& message) {
    check(zmq_recv(socket_, &message, sizeof message, 0) == static_cast<int>(sizeof message));
  }

 private:
  static void check(bool ok) {
    if (!ok) {
      throw std::runtime_error(std::string("ZeroMQ: ") + zmq_strerror(zmq_errno()));
    }
  }

  void* context_;
  void* socket_;
};

class ZeroMqCall final : public Exchange {
 public:
  // The library starts its threads here: after the fork.
  void open_client() override {
    socket_ = std::make_unique<Socket>();
    socket_->connect(address_);
  }
  void open_host() override {
    socket_ = std::make_unique<Socket>();
    socket_->bind(address_);
  }
  void close_host() override { socket_.reset(); }

  void client(std::uint32_t count) override {
    for (; count > 0; --count) {
      Message56 message;
      message.words.back() = ++sent_;
      socket_->send(message);
      socket_->receive(message);
      if (message.words.back() != sent_) {
        throw std::runtime_error("a reply does not belong to its request");
      }
    }
  }
  void host(std::uint32_t count) override {
    for (; count > 0; --count) {
      Message56 message;
      socket_->receive(message);
      socket_->send(message);
    }
  }

 private:
  std::string address_ = "ipc://@isthmus-bench-" + std::to_string(getpid());
  std::unique_ptr<Socket> socket_;
  std::uint64_t sent_ = 0;
};

}  // namespace

std::unique_ptr<Exchange> zeromq_call() { return std::make_unique<ZeroMqCall>(); }

std::string zeromq_version() {
  int major = 0;
  int minor = 0;
  int patch = 0;
  zmq_version(&major, &minor, &patch);
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

}  // namespace isthmus::perf
