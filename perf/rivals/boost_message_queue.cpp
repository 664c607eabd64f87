// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <boost/interprocess/ipc/message_queue.hpp>
#include <optional>
#include <stdexcept>
#include <string>

#include "perf/rivals/rivals.hpp"

namespace isthmus::perf {
namespace {

namespace ipc = boost::interprocess;

// A queue that has no name any more: the forked host inherits the mapping.
class Queue {
 public:
  explicit Queue(const std::string& name) {
    const std::string unique = "isthmus-bench-" + std::to_string(getpid()) + "-" + name;
    ipc::message_queue::remove(unique.c_str());
    queue_.emplace(ipc::create_only, unique.c_str(), queue_capacity, sizeof(Message56));
    ipc::message_queue::remove(unique.c_str());
  }
  void send(const Message56& message) { queue_->send(&message, sizeof message, 0); }
  void receive(Message56& message) {
    ipc::message_queue::size_type size = 0;
    unsigned priority = 0;
    queue_->receive(&message, sizeof message, size, priority);
  }

 private:
  std::optional<ipc::message_queue> queue_;
};

class MessageQueueCall final : public Exchange {
 public:
  void client(std::uint32_t count) override {
    for (; count > 0; --count) {
      Message56 message;
      message.words.back() = ++sent_;
      requests_.send(message);
      replies_.receive(message);
      if (message.words.back() != sent_) {
        throw std::runtime_error("a reply does not belong to its request");
      }
    }
  }
  void host(std::uint32_t count) override {
    for (; count > 0; --count) {
      Message56 message;
      requests_.receive(message);
      replies_.send(message);
    }
  }

 private:
  Queue requests_{"requests"};
  Queue replies_{"replies"};
  std::uint64_t sent_ = 0;
};

}  // namespace

std::unique_ptr<Exchange> boost_message_queue_call() { return std::make_unique<MessageQueueCall>(); }

}  // namespace isthmus::perf
