// SPDX-License-Identifier: Apache-2.0
#include "src/transport/copy_crew.hpp"

#include <pthread.h>
#include <sched.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): pthread_sigmask is POSIX, not C++
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "src/transport/spin.hpp"

namespace isthmus {
namespace {

// Helpers finish the last pieces of a chunk at about the same time as the caller, and the next chunk comes when the
// host is done with an earlier one: about as long as copying a piece takes. For so long they look before they block,
// which costs two context switches.
constexpr std::chrono::microseconds longest_spin{30};

template <class Ready>
bool spin_until(const Ready& ready) noexcept {
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < 64; ++i) {
      if (ready()) {
        return true;
      }
      spin_pause();
    }
  } while (std::chrono::steady_clock::now() - start < longest_spin);
  return false;
}

bool main_threads_processors(cpu_set_t& set) noexcept {
  CPU_ZERO(&set);
  return sched_getaffinity(getpid(), sizeof set, &set) == 0 && CPU_COUNT(&set) > 0;
}

std::uint32_t bound_from_environment() noexcept {
  constexpr std::uint32_t none = 1024;
  const char* const value = std::getenv("ISTHMUS_COPY_THREADS");
  if (value == nullptr) {
    return none;
  }
  std::uint32_t bound = 0;
  const auto [end, error] = std::from_chars(value, value + std::strlen(value), bound);
  return error == std::errc{} && *end == '\0' && bound > 0 ? bound : none;
}

// Read as the program starts: a child of a process that forks while a thread reads it would wait for ever.
const std::uint32_t bound_at_start = bound_from_environment();

}  // namespace

CopyCrew& CopyCrew::instance() {
  // No lock: a thread that held one at a fork would leave it locked in the child.
  static std::atomic<CopyCrew*> current{nullptr};
  CopyCrew* crew = current.load(std::memory_order_acquire);
  while (crew == nullptr || !crew->process_.is_this_process()) {
    auto* const made = new CopyCrew;
    made->parents_ = crew;
    if (current.compare_exchange_strong(crew, made, std::memory_order_acq_rel)) {
      return *made;
    }
    delete made;
  }
  return *crew;
}

std::uint32_t CopyCrew::most_threads() noexcept {
  if (bound_at_start == 1) {
    return 1;
  }
  cpu_set_t set;
  return main_threads_processors(set) ? std::min(bound_at_start, static_cast<std::uint32_t>(CPU_COUNT(&set))) : 1;
}

bool CopyCrew::begin(CopyJob& job, std::uint32_t helpers) {
  const std::scoped_lock lock(mutex_);
  if (job_ != nullptr) {
    return false;
  }
  while (started_ < helpers && start_helper()) {
    ++started_;
  }
  if (started_ == 0) {
    return false;
  }
  job_ = &job;
  wanted_ = helpers;
  return true;
}

void CopyCrew::end(CopyJob& job) {
  std::unique_lock lock(mutex_);
  job.drop();
  job_ = nullptr;
  progress_.wait(lock, [this] { return busy_ == 0; });
}

bool CopyCrew::start_helper() {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) {
    return false;
  }
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  // The caller may be tied to one processor; its helpers then are not, if the process as a whole is not.
  cpu_set_t set;
  if (main_threads_processors(set)) {
    pthread_attr_setaffinity_np(&attributes, sizeof set, &set);
  }
  // The program's signal handlers run in its own threads only.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const auto run = [](void* crew) -> void* {
    pthread_setname_np(pthread_self(), "isthmus-copy");
    static_cast<CopyCrew*>(crew)->help();
    return nullptr;
  };
  pthread_t thread{};
  const bool started = pthread_create(&thread, &attributes, run, this) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  return started;
}

void CopyCrew::help() {
  std::unique_lock lock(mutex_);
  for (;;) {
    CopyJob::Piece piece{};
    CopyJob* const job = job_;
    if (job == nullptr || busy_ >= wanted_ || !job->take(piece)) {
      const std::uint32_t seen = opened_.load(std::memory_order_relaxed);
      const auto more = [&] { return opened_.load(std::memory_order_relaxed) != seen; };
      lock.unlock();
      const bool found = spin_until(more);
      lock.lock();
      if (!found) {
        work_.wait(lock, more);
      }
      continue;
    }
    ++busy_;
    lock.unlock();
    job->copy(piece);
    lock.lock();
    // The job is there as long as a helper is busy.
    --busy_;
    if (job->done(piece) || busy_ == 0) {
      progress_.notify_all();
    }
  }
}

CopyCrew::Shift::Shift(CopyJob& job, std::uint32_t helpers) : job_(&job) {
  if (helpers > 0) {
    CopyCrew& crew = instance();
    crew_ = crew.begin(job, helpers) ? &crew : nullptr;
  }
}

CopyCrew::Shift::~Shift() {
  if (crew_ != nullptr && in_its_process()) {
    crew_->end(*job_);
  }
}

void CopyCrew::Shift::open(std::byte* to, const std::byte* from, std::size_t bytes, std::size_t slot) {
  if (crew_ == nullptr) {
    job_->open(to, from, bytes, slot);
    return;
  }
  {
    const std::scoped_lock lock(crew_->mutex_);
    job_->open(to, from, bytes, slot);
    crew_->opened_.fetch_add(1, std::memory_order_relaxed);
  }
  if (bytes > job_->piece_size()) {
    crew_->work_.notify_all();
  } else {
    crew_->work_.notify_one();
  }
}

bool CopyCrew::Shift::copy_one() {
  CopyJob::Piece piece{};
  if (crew_ == nullptr) {
    if (!job_->take(piece)) {
      return false;
    }
    job_->copy(piece);
    job_->done(piece);
    return true;
  }
  {
    const std::scoped_lock lock(crew_->mutex_);
    if (!job_->take(piece)) {
      return false;
    }
  }
  job_->copy(piece);
  job_->done(piece);
  return true;
}

void CopyCrew::Shift::wait_for(std::size_t slot) {
  if (crew_ == nullptr || job_->copied(slot)) {
    return;
  }
  if (spin_until([&] { return job_->copied(slot); })) {
    return;
  }
  std::unique_lock lock(crew_->mutex_);
  crew_->progress_.wait(lock, [&] { return job_->copied(slot); });
}

}  // namespace isthmus
