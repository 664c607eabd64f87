// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>

#include "perf/support/child.hpp"
#include "perf/support/participant.hpp"
#include "perf/support/shared_object.hpp"

namespace isthmus::perf {

/// Two ends that exchange messages; made before the host's process is forked. Each rival is one.
class Exchange {
 public:
  Exchange() = default;
  virtual ~Exchange() = default;
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  Exchange(Exchange&&) = delete;
  Exchange& operator=(Exchange&&) = delete;

  /// Called once on either side after the fork, before the threads are pinned: threads that a library starts here may
  /// run anywhere. The two run at the same time.
  virtual void open_client() {}
  virtual void open_host() {}
  /// Called in the host's process before it ends.
  virtual void close_host() {}

  /// `count` calls, seen from the client.
  virtual void client(std::uint32_t count) = 0;
  /// The host's part of the same `count` calls.
  virtual void host(std::uint32_t count) = 0;
};

/// Where the host's end of an exchange runs.
enum class HostKind : std::uint8_t {
  process,
  thread,  ///< for what cannot live in memory that processes share
};

/// An exchange whose host waits, blocked, between rounds. The caller's thread is the client.
class ExchangeParticipant final : public Participant {
 public:
  explicit ExchangeParticipant(std::unique_ptr<Exchange> exchange, HostKind kind = HostKind::process);
  ExchangeParticipant(const ExchangeParticipant&) = delete;
  ExchangeParticipant& operator=(const ExchangeParticipant&) = delete;
  ExchangeParticipant(ExchangeParticipant&&) = delete;
  ExchangeParticipant& operator=(ExchangeParticipant&&) = delete;
  ~ExchangeParticipant() override;

  void begin(std::uint32_t warm_up, std::uint32_t calls) override;
  void call(std::uint32_t count) override { exchange_->client(count); }

 private:
  // How the host learns what to do next. The client writes; the host answers with `taken`.
  struct Orders {
    alignas(128) std::uint32_t number = 0;  // futex; counts orders
    std::uint32_t warm_up = 0;
    std::uint32_t calls = 0;  // 0: end
    alignas(128) std::atomic<std::uint32_t> taken{0};
  };

  void run_host();
  void give_order(std::uint32_t warm_up, std::uint32_t calls);

  std::unique_ptr<Exchange> exchange_;
  SharedObject<Orders> orders_;
  std::optional<Child> process_;
  std::thread thread_;
};

}  // namespace isthmus::perf
