// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "src/transport/copy_job.hpp"
#include "src/transport/process_mark.hpp"

namespace isthmus {

/// The helper threads of this process, which copy pieces of one job at a time. They are started when they are needed
/// first, and sleep for ever after: at the process's end they end with it.
class CopyCrew {
 public:
  /// This process's crew; a child after fork has one of its own. Never destroyed: its threads use it.
  [[nodiscard]] static CopyCrew& instance();

  /// How many threads may copy, the caller included: the processors of the process's main thread, or less if
  /// ISTHMUS_COPY_THREADS says so. At least 1.
  [[nodiscard]] static std::uint32_t most_threads() noexcept;

  CopyCrew(const CopyCrew&) = delete;
  CopyCrew& operator=(const CopyCrew&) = delete;
  CopyCrew(CopyCrew&&) = delete;
  CopyCrew& operator=(CopyCrew&&) = delete;

  /// The helpers' work for one job, for as long as the object lives. One thread.
  class Shift {
   public:
    /// Without helpers if `helpers` is 0, or somebody else has them.
    Shift(CopyJob& job, std::uint32_t helpers);
    Shift(const Shift&) = delete;
    Shift& operator=(const Shift&) = delete;
    Shift(Shift&&) = delete;
    Shift& operator=(Shift&&) = delete;
    /// Lets nobody begin another piece, and waits for those that are being copied.
    ~Shift();

    void open(std::byte* to, const std::byte* from, std::size_t bytes, std::size_t slot);
    /// Copies one piece here. False when none is left to begin with.
    [[nodiscard]] bool copy_one();
    /// Waits until the helpers have copied the rest of a slot, of which no piece is left to begin with.
    void wait_for(std::size_t slot);
    /// False in a child after fork, which has no helpers.
    [[nodiscard]] bool in_its_process() const noexcept { return process_.is_this_process(); }

   private:
    CopyJob* job_;
    CopyCrew* crew_ = nullptr;  // if it works for us
    ProcessMark process_ = ProcessMark::current();
  };

 private:
  CopyCrew() = default;
  ~CopyCrew() = default;

  [[nodiscard]] bool begin(CopyJob& job, std::uint32_t helpers);
  void end(CopyJob& job);
  [[nodiscard]] bool start_helper();
  void help();

  ProcessMark process_ = ProcessMark::current();
  const CopyCrew* parents_ = nullptr;  // so that leak checkers find it
  std::mutex mutex_;                   // guards what follows
  std::condition_variable work_;
  std::condition_variable progress_;
  std::atomic<std::uint32_t> opened_{0};  // counts up when there is more to copy; helpers look before they sleep
  CopyJob* job_ = nullptr;
  std::uint32_t wanted_ = 0;   // helpers for the job
  std::uint32_t busy_ = 0;     // helpers that copy a piece of it
  std::uint32_t started_ = 0;  // helpers that exist
};

}  // namespace isthmus
