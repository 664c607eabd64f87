// SPDX-License-Identifier: Apache-2.0
#include "test/cuda/standin/context.hpp"

#include <algorithm>
#include <utility>

#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/failure.hpp"
#include "test/cuda/standin/printed.hpp"

namespace isthmus::standin {
namespace {

unsigned long long next_context_id() {
  static std::atomic<unsigned long long> last{0};
  return ++last;
}

void add_pending(std::vector<Done>& list, const Done& done) {
  if (done != nullptr && !done->done()) {
    list.push_back(done);
  }
}

}  // namespace

Context::Context(CUdevice of, unsigned with, bool is_primary)
    : device(of),
      primary(is_primary),
      id(next_context_id()),
      flags(with),
      legacy_(std::make_shared<Stream>(*this, Stream::Kind::legacy, 0U, 0)) {}

std::shared_ptr<Stream> Context::stream(CUstream which) {
  if (which == nullptr) {
    which = null_stream_is_per_thread() ? CU_STREAM_PER_THREAD : CU_STREAM_LEGACY;
  }
  if (which == CU_STREAM_LEGACY) {
    return legacy_;
  }
  if (which == CU_STREAM_PER_THREAD) {
    const std::scoped_lock lock(order_);
    auto& own = per_thread_[std::this_thread::get_id()];
    if (own == nullptr) {
      own = std::make_shared<Stream>(*this, Stream::Kind::per_thread, 0U, 0);
    }
    return own;
  }
  auto found = driver().streams.get(which);
  require(&found->context == this, CUDA_ERROR_INVALID_HANDLE, "the stream belongs to another context");
  return found;
}

std::shared_ptr<Stream> Context::create_stream(unsigned with, int priority) {
  auto made = std::make_shared<Stream>(*this, Stream::Kind::created, with, priority);
  const std::scoped_lock lock(order_);
  created_.push_back(made);
  return made;
}

void Context::forget_stream(const std::shared_ptr<Stream>& stream) {
  const std::scoped_lock lock(order_);
  std::erase(created_, stream);
  std::erase_if(orphans_, [](const Done& done) { return done->done(); });
  add_pending(orphans_, stream->last());
  stream->close();
}

Done Context::enqueue(Stream& stream, Work work, std::vector<Done> after) {
  return enqueue_task(stream, std::move(work), std::move(after), false);
}

Done Context::enqueue_always(Stream& stream, Work work) { return enqueue_task(stream, std::move(work), {}, true); }

Done Context::enqueue_task(Stream& stream, Work work, std::vector<Done> after, bool always) {
  const std::scoped_lock lock(order_);
  if (stream.kind == Stream::Kind::legacy) {
    for (const auto& [thread, other] : per_thread_) {
      add_pending(after, other->last());
    }
    for (const auto& other : created_) {
      if (other->blocking()) {
        add_pending(after, other->last());
      }
    }
    for (const Done& done : orphans_) {
      add_pending(after, done);
    }
  } else if (stream.blocking()) {
    add_pending(after, legacy_->last());
  }
  return stream.push(std::move(work), std::move(after), always);
}

Done Context::newest(Stream& stream) {
  const std::scoped_lock lock(order_);
  return stream.last();
}

void Context::wait(const Done& done) const {
  if (done != nullptr) {
    done->wait();
  }
  write_printed();
  require(fault() == CUDA_SUCCESS, fault(), "a kernel failed earlier");
}

std::vector<Done> Context::everything() {
  std::vector<Done> all;
  const std::scoped_lock lock(order_);
  add_pending(all, legacy_->last());
  for (const auto& [thread, other] : per_thread_) {
    add_pending(all, other->last());
  }
  for (const auto& other : created_) {
    add_pending(all, other->last());
  }
  for (const Done& done : orphans_) {
    add_pending(all, done);
  }
  return all;
}

void Context::synchronize() {
  for (const Done& done : everything()) {
    done->wait();
  }
  wait(nullptr);
}

bool Context::idle() { return everything().empty(); }

void Context::execute(const Work& work, bool always) noexcept {
  if (!work || (fault() != CUDA_SUCCESS && !always)) {
    return;
  }
  try {
    work();
  } catch (const KernelFault& found) {
    fault_ = found.code;
  } catch (const Failure& found) {
    fault_ = found.code;
  }
}

void Context::close() {
  for (const Done& done : everything()) {
    done->wait();
  }
  const std::scoped_lock lock(order_);
  legacy_->close();
  for (const auto& [thread, other] : per_thread_) {
    other->close();
  }
  for (const auto& other : created_) {
    other->close();
  }
  write_printed();
}

}  // namespace isthmus::standin
