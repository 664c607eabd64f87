// SPDX-License-Identifier: Apache-2.0
#include <rte_errno.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <rte_version.h>

#include <stdexcept>

#include "perf/rivals/queue_exchange.hpp"
#include "perf/support/shared_object.hpp"

namespace isthmus::perf {
namespace {

// A ring of 56-byte elements in memory of ours, single producer, single consumer. Its environment (EAL) is not started.
class Ring {
 public:
  Ring() : memory_(size()), ring_(static_cast<rte_ring*>(memory_.data())) {
    if (rte_ring_init(ring_, "isthmus-bench", queue_capacity, RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ) != 0) {
      throw std::runtime_error("rte_ring_init failed");
    }
  }
  std::size_t push(const Message56* from, std::size_t count) {
    return rte_ring_sp_enqueue_burst_elem(ring_, from, sizeof(Message56), static_cast<unsigned>(count), nullptr);
  }
  std::size_t pop(Message56* to, std::size_t count) {
    return rte_ring_sc_dequeue_burst_elem(ring_, to, sizeof(Message56), static_cast<unsigned>(count), nullptr);
  }

 private:
  static std::size_t size() {
    // An exact capacity takes the next power of two.
    const ssize_t bytes = rte_ring_get_memsize_elem(sizeof(Message56), 2 * queue_capacity);
    if (bytes < 0) {
      throw std::runtime_error("rte_ring_get_memsize_elem failed");
    }
    return static_cast<std::size_t>(bytes);
  }

  SharedMemory memory_;
  rte_ring* ring_;
};

struct RtePair {
  Ring requests;
  Ring replies;
};

}  // namespace

std::unique_ptr<Exchange> rte_ring_call() {
  auto pair = std::make_shared<RtePair>();
  return std::make_unique<QueueCall<Ring>>(pair, pair->requests, pair->replies);
}

std::unique_ptr<Exchange> rte_ring_stream(std::uint32_t batch) {
  auto pair = std::make_shared<RtePair>();
  return std::make_unique<QueueStream<Ring>>(pair, pair->requests, batch);
}

std::string rte_ring_version() {
  return "DPDK " + std::to_string(RTE_VER_YEAR) + "." + std::to_string(RTE_VER_MONTH) + "." +
         std::to_string(RTE_VER_MINOR);
}

}  // namespace isthmus::perf
