// SPDX-License-Identifier: Apache-2.0
#include "host/signal_source.hpp"

#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

#include "host/system_error.hpp"

namespace isthmus::host {

Result<SignalSource> SignalSource::create(std::initializer_list<int> signals) {
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int signal : signals) {
    if (sigaddset(&wanted, signal) != 0) {
      return fail_errno(errno, "signal source: sigaddset");
    }
  }
  UniqueFd fd(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) {
    return fail_errno(errno, "signal source: signalfd");
  }
  sigset_t before;
  if (const int error = pthread_sigmask(SIG_BLOCK, &wanted, &before); error != 0) {
    return fail_errno(error, "signal source: pthread_sigmask");
  }
  return SignalSource(std::move(fd), before);
}

SignalSource::~SignalSource() {
  if (fd_) {
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
}

std::optional<SignalSource::Received> SignalSource::next() {
  signalfd_siginfo info{};
  ssize_t size = 0;
  do {
    size = ::read(fd_.get(), &info, sizeof info);
  } while (size < 0 && errno == EINTR);
  if (size != static_cast<ssize_t>(sizeof info)) {
    return std::nullopt;
  }
  return Received{static_cast<int>(info.ssi_signo), static_cast<pid_t>(info.ssi_pid)};
}

void ignore_signals(std::initializer_list<int> signals) noexcept {
  struct sigaction action{};
  action.sa_handler = SIG_IGN;  // NOLINT: the macro's cast is the system's
  for (const int signal : signals) {
    sigaction(signal, &action, nullptr);
  }
}

}  // namespace isthmus::host
