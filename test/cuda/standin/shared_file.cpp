// SPDX-License-Identifier: Apache-2.0
#include "test/cuda/standin/shared_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <set>
#include <thread>

#include "test/cuda/standin/failure.hpp"
#include "test/cuda/standin/settings.hpp"

namespace isthmus::standin {
namespace {

// Never destroyed: they are removed as the process ends.
struct SharedFiles {
  std::mutex mutex;
  std::set<std::string> files;
};
SharedFiles& shared_files() {
  static auto* const all = new SharedFiles;
  return *all;
}

void remove_all() {
  const std::scoped_lock lock(shared_files().mutex);
  for (const std::string& file : shared_files().files) {
    unlink(file.c_str());
  }
}

}  // namespace

int make_shared_file(std::size_t size, std::string& file) {
  static std::once_flag at_the_end;
  std::call_once(at_the_end, [] { std::atexit(remove_all); });
  std::string name = settings().shared + "/isthmus-standin-XXXXXX";
  const int descriptor = mkostemp(name.data(), O_CLOEXEC);
  require(descriptor >= 0 && ftruncate(descriptor, static_cast<off_t>(size)) == 0, CUDA_ERROR_MAP_FAILED,
          "a file to share");
  file = name;
  const std::scoped_lock lock(shared_files().mutex);
  shared_files().files.insert(file);
  return descriptor;
}

void remove_shared_file(const std::string& file) {
  const std::scoped_lock lock(shared_files().mutex);
  if (shared_files().files.erase(file) != 0) {
    unlink(file.c_str());
  }
}

SharedRecords::SharedRecords(const std::string& file) : file_(file), is_ours_(file.empty()) {
  const int descriptor = is_ours_ ? make_shared_file(sizeof(Counts), file_) : open(file.c_str(), O_RDWR | O_CLOEXEC);
  require(descriptor >= 0, CUDA_ERROR_MAP_FAILED, "nothing is shared by that name");
  void* const mapped = mmap(nullptr, sizeof(Counts), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  close(descriptor);
  require(mapped != MAP_FAILED, CUDA_ERROR_MAP_FAILED);
  counts_ = static_cast<Counts*>(mapped);
}

SharedRecords::~SharedRecords() {
  munmap(counts_, sizeof(Counts));
  if (is_ours_) {
    remove_shared_file(file_);
  }
}

std::uint64_t SharedRecords::record() noexcept { return std::atomic_ref(counts_->recorded).fetch_add(1) + 1; }

void SharedRecords::finish(std::uint64_t record) noexcept {
  const std::atomic_ref done(counts_->done);
  std::uint64_t known = done.load();
  while (known < record && !done.compare_exchange_weak(known, record)) {
  }
}

std::uint64_t SharedRecords::newest() const noexcept { return std::atomic_ref(counts_->recorded).load(); }

bool SharedRecords::is_done(std::uint64_t record) const noexcept {
  return std::atomic_ref(counts_->done).load() >= record;
}

void SharedRecords::wait(std::uint64_t record) const noexcept {
  while (!is_done(record)) {
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

}  // namespace isthmus::standin
