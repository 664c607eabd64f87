// SPDX-License-Identifier: Apache-2.0
#include "device.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <isthmus/marshal/message.hpp>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "messages.hpp"

namespace block_device {
namespace {

// Takes requests in the order in which they were made, and answers them in the one that suits it, from its own thread.
class Device final : public isthmus::Service {
 public:
  Device() : thread_([this](const std::stop_token& stop) { work(stop); }) {}

  void handle(isthmus::Request& request) override {
    const std::scoped_lock lock(mutex_);
    if (request.opcode() == op_reset) {
      // Calls that nobody has answered by the time they are destroyed are answered by the library.
      for (Job& job : std::exchange(stuck_, {})) {
        std::ignore = job.call.reply(was_reset);
      }
      std::ignore = request.reply(ok);
      return;
    }
    ReadRequest read;
    const bool known = isthmus::marshal::read_fixed(request.fixed(), read);
    const auto buffer = request.resolve(read.buffer);  // only what the client's region holds
    if (request.opcode() != op_read || !known || !buffer || buffer->size() != block_size || read.block >= blocks) {
      std::ignore = request.reply(bad_request);
      return;
    }
    // defer() keeps the call; this function returns, and the channel goes on with its next request.
    (read.block >= first_bad_block ? stuck_ : queue_).push_back({request.defer(), read.block, *buffer});
    arrived_.notify_one();
  }

 private:
  struct Job {
    isthmus::PendingCall call;
    std::uint64_t block;
    std::span<std::byte> buffer;  // the client's until the call is answered
  };

  void work(const std::stop_token& stop) {
    std::minstd_rand random(1);
    std::uint64_t order = 0;
    for (;;) {
      std::vector<Job> jobs;
      {
        std::unique_lock lock(mutex_);
        if (!arrived_.wait(lock, stop, [this] { return !queue_.empty(); })) {
          return;
        }
        // A seek: meanwhile more requests come, and the device chooses among them.
        arrived_.wait_for(lock, stop, std::chrono::milliseconds(2), [] { return false; });
        jobs.swap(queue_);
      }
      std::ranges::shuffle(jobs, random);
      for (Job& job : jobs) {
        std::memset(job.buffer.data(), static_cast<int>(job.block % 251), job.buffer.size());  // what the disk holds
        const ReadReply reply{.order = ++order};
        std::ignore = job.call.reply(ok, isthmus::marshal::bytes_of(reply));  // an error: the client is gone
      }
    }
  }

  std::mutex mutex_;  // guards the two lists
  std::condition_variable_any arrived_;
  std::vector<Job> queue_;
  std::vector<Job> stuck_;
  std::jthread thread_;  // last: it uses what stands above
};

}  // namespace

std::unique_ptr<isthmus::Service> make_device() { return std::make_unique<Device>(); }

}  // namespace block_device
