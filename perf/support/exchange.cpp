// SPDX-License-Identifier: Apache-2.0
#include "perf/support/exchange.hpp"

#include <stdexcept>
#include <utility>

#include "perf/support/placement.hpp"
#include "src/transport/futex.hpp"

namespace isthmus::perf {
namespace {

constexpr std::chrono::seconds host_patience{10};  // for a host to start, or to take an order

}  // namespace

ExchangeParticipant::ExchangeParticipant(std::unique_ptr<Exchange> exchange, HostKind kind)
    : exchange_(std::move(exchange)) {
  if (kind == HostKind::process) {
    process_.emplace([this] {
      run_host();
      return 0;
    });
  } else {
    thread_ = std::thread([this] {
      unpin();
      run_host();
    });
  }
  unpin();
  exchange_->open_client();
  pin_to(placement().client_cpu);
}

ExchangeParticipant::~ExchangeParticipant() {
  give_order(0, 0);
  if (thread_.joinable()) {
    thread_.join();
  }
}

void ExchangeParticipant::run_host() {
  exchange_->open_host();
  pin_to(placement().host_cpu);
  Orders& orders = *orders_;
  const std::atomic_ref<std::uint32_t> number(orders.number);
  for (std::uint32_t seen = 0;;) {
    while (number.load(std::memory_order_acquire) == seen) {
      futex_wait(&orders.number, seen, host_patience, FutexScope::machine);
    }
    seen = number.load(std::memory_order_acquire);
    const std::uint32_t warm_up = orders.warm_up;
    const std::uint32_t calls = orders.calls;
    orders.taken.store(seen, std::memory_order_release);
    if (calls == 0) {
      break;
    }
    exchange_->host(warm_up);
    exchange_->host(calls);
  }
  exchange_->close_host();
}

void ExchangeParticipant::give_order(std::uint32_t warm_up, std::uint32_t calls) {
  Orders& orders = *orders_;
  orders.warm_up = warm_up;
  orders.calls = calls;
  std::atomic_ref<std::uint32_t>(orders.number).fetch_add(1, std::memory_order_seq_cst);
  futex_wake(&orders.number, FutexScope::machine);
}

void ExchangeParticipant::begin(std::uint32_t warm_up, std::uint32_t calls) {
  give_order(warm_up, calls);
  const Clock::time_point deadline = Clock::now() + host_patience;
  while (orders_->taken.load(std::memory_order_acquire) != orders_->number) {
    if (Clock::now() >= deadline) {
      throw std::runtime_error("the host's process took no order");
    }
    std::this_thread::yield();
  }
}

}  // namespace isthmus::perf
