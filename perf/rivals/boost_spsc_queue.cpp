// SPDX-License-Identifier: Apache-2.0
#include <boost/lockfree/spsc_queue.hpp>
#include <boost/version.hpp>

#include "perf/rivals/queue_exchange.hpp"
#include "perf/support/shared_object.hpp"

namespace isthmus::perf {
namespace {

// Its capacity is part of the type: so it holds no pointers and works between processes.
class BoostQueue {
 public:
  std::size_t push(const Message56* from, std::size_t count) {
    return count == 1 ? std::size_t{queue_.push(*from)} : queue_.push(from, count);
  }
  std::size_t pop(Message56* to, std::size_t count) {
    return count == 1 ? std::size_t{queue_.pop(*to)} : queue_.pop(to, count);
  }

 private:
  boost::lockfree::spsc_queue<Message56, boost::lockfree::capacity<queue_capacity>> queue_;
};

struct alignas(128) SpscPair {
  alignas(128) BoostQueue requests;
  alignas(128) BoostQueue replies;
};

}  // namespace

std::unique_ptr<Exchange> boost_spsc_call() {
  auto shared = std::make_shared<SharedObject<SpscPair>>();
  SpscPair& pair = **shared;
  return std::make_unique<QueueCall<BoostQueue>>(shared, pair.requests, pair.replies);
}

std::unique_ptr<Exchange> boost_spsc_stream(std::uint32_t batch) {
  auto shared = std::make_shared<SharedObject<SpscPair>>();
  return std::make_unique<QueueStream<BoostQueue>>(shared, (**shared).requests, batch);
}

std::string boost_version() {
  return std::to_string(BOOST_VERSION / 100000) + "." + std::to_string(BOOST_VERSION / 100 % 1000) + "." +
         std::to_string(BOOST_VERSION % 100);
}

}  // namespace isthmus::perf
