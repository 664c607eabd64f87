// SPDX-License-Identifier: Apache-2.0
#include <liburing.h>
#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <unordered_map>
#include <utility>
#include <vector>

#include "host/poller.hpp"
#include "host/system_error.hpp"
#include "src/transport/text.hpp"

namespace isthmus::host {
namespace {

/// Readiness by one-shot polls that are armed again on the way into the next wait.
///
/// Not multishot: a multishot poll reports edges, so a callback that leaves something behind would never be called
/// again, and epoll would behave differently. Arming again costs no system call, since the request travels with the
/// one that waits.
class UringPoller final : public Poller {
 public:
  explicit UringPoller(const io_uring& ring) : ring_(ring) {}
  ~UringPoller() override { io_uring_queue_exit(&ring_); }
  UringPoller(const UringPoller&) = delete;
  UringPoller& operator=(const UringPoller&) = delete;

  [[nodiscard]] std::string_view name() const noexcept override { return "io_uring"; }

  [[nodiscard]] Result<void> add(int fd, std::uint32_t events, std::uint64_t key) override {
    if (auto armed = arm(fd, events, key); !armed) {
      return armed;
    }
    watches_.emplace(key, Watch{fd, events});
    return {};
  }

  void remove(int /*fd*/, std::uint64_t key) override {
    if (watches_.erase(key) == 0) {
      return;
    }
    // Submitted at once: until it is cancelled, the request keeps the file open, and a peer would not see us close it.
    if (auto entry = next_entry(); entry) {
      io_uring_prep_poll_remove(*entry, key);
      io_uring_sqe_set_data64(*entry, no_key);
      io_uring_submit(&ring_);
    }
  }

  [[nodiscard]] Result<std::span<const Ready>> wait() override {
    for (const Ready& fired : ready_) {
      if (const auto found = watches_.find(fired.key); found != watches_.end()) {
        if (auto armed = arm(found->second.fd, found->second.events, fired.key); !armed) {
          return std::unexpected(std::move(armed).error());
        }
      }
    }
    ready_.clear();

    const int submitted = io_uring_submit_and_wait(&ring_, 1);
    // EBUSY: completions have piled up, and go away by being taken below.
    if (submitted < 0 && submitted != -EINTR && submitted != -EBUSY) {
      return fail_errno(-submitted, "event loop: io_uring_enter");
    }

    std::array<io_uring_cqe*, 64> completions{};
    const unsigned count = io_uring_peek_batch_cqe(&ring_, completions.data(), completions.size());
    for (unsigned i = 0; i < count; ++i) {
      const std::uint64_t key = io_uring_cqe_get_data64(completions[i]);
      const int result = completions[i]->res;
      if (watches_.contains(key)) {  // not an answer to a removal, nor to something removed
        ready_.push_back({key, result < 0 ? std::uint32_t{EPOLLERR} : static_cast<std::uint32_t>(result)});
      }
    }
    io_uring_cq_advance(&ring_, count);
    return std::span<const Ready>(ready_);
  }

 private:
  struct Watch {
    int fd;
    std::uint32_t events;
  };
  static constexpr std::uint64_t no_key = 0;

  [[nodiscard]] Result<io_uring_sqe*> next_entry() {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    if (entry == nullptr) {  // the submission queue is full
      if (const int submitted = io_uring_submit(&ring_); submitted < 0) {
        return fail_errno(-submitted, "event loop: io_uring_submit");
      }
      entry = io_uring_get_sqe(&ring_);
      if (entry == nullptr) {
        return fail(Errc::exhausted, "event loop: the io_uring submission queue stays full");
      }
    }
    return entry;
  }

  [[nodiscard]] Result<void> arm(int fd, std::uint32_t events, std::uint64_t key) {
    auto entry = next_entry();
    if (!entry) {
      return std::unexpected(std::move(entry).error());
    }
    io_uring_prep_poll_add(*entry, fd, events);
    io_uring_sqe_set_data64(*entry, key);
    return {};
  }

  io_uring ring_;
  std::unordered_map<std::uint64_t, Watch> watches_;
  std::vector<Ready> ready_;  ///< what the last wait reported: to be armed again by the next
};

}  // namespace

Result<std::unique_ptr<Poller>> make_uring_poller() {
  constexpr unsigned entries = 64;  // requests between two waits; more are submitted in between
  io_uring ring{};
  if (const int result = io_uring_queue_init(entries, &ring, 0); result < 0) {
    return fail_errno(-result, "event loop: io_uring_queue_init");
  }
  return std::make_unique<UringPoller>(ring);
}

}  // namespace isthmus::host
