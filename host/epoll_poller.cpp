// SPDX-License-Identifier: Apache-2.0
#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <utility>

#include "host/poller.hpp"
#include "host/system_error.hpp"
#include "src/transport/text.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus::host {
namespace {

class EpollPoller final : public Poller {
 public:
  explicit EpollPoller(UniqueFd epoll) : epoll_(std::move(epoll)) {}

  [[nodiscard]] std::string_view name() const noexcept override { return "epoll"; }

  [[nodiscard]] Result<void> add(int fd, std::uint32_t events, std::uint64_t key) override {
    epoll_event event{};
    event.events = events;
    event.data.u64 = key;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      return fail_errno(errno, text("event loop: epoll cannot watch descriptor ", fd));
    }
    return {};
  }

  void remove(int fd, std::uint64_t /*key*/) override {
    // Fails only where the descriptor was closed too early, and then the kernel has forgotten it already.
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  }

  [[nodiscard]] Result<std::span<const Ready>> wait() override {
    const int count = ::epoll_wait(epoll_.get(), events_.data(), static_cast<int>(events_.size()), -1);
    if (count < 0) {
      if (errno == EINTR) {
        return std::span<const Ready>{};
      }
      return fail_errno(errno, "event loop: epoll_wait");
    }
    const auto ready_count = static_cast<std::size_t>(count);
    for (std::size_t i = 0; i < ready_count; ++i) {
      ready_[i] = Ready{events_[i].data.u64, events_[i].events};
    }
    return std::span<const Ready>(ready_.data(), ready_count);
  }

 private:
  static constexpr std::size_t batch = 64;

  UniqueFd epoll_;
  std::array<epoll_event, batch> events_{};
  std::array<Ready, batch> ready_{};
};

}  // namespace

Result<std::unique_ptr<Poller>> make_epoll_poller() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) {
    return fail_errno(errno, "event loop: epoll_create1");
  }
  return std::make_unique<EpollPoller>(std::move(epoll));
}

}  // namespace isthmus::host
