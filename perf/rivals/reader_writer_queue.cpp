// SPDX-License-Identifier: Apache-2.0
#include <readerwriterqueue/readerwriterqueue.h>

#include "perf/rivals/queue_exchange.hpp"

namespace isthmus::perf {
namespace {

// It keeps its blocks on the heap: threads of one process can share it, processes cannot. It has no batches.
class ReaderWriterQueue {
 public:
  std::size_t push(const Message56* from, std::size_t count) {
    std::size_t put = 0;
    while (put < count && queue_.try_enqueue(from[put])) {
      ++put;
    }
    return put;
  }
  std::size_t pop(Message56* to, std::size_t count) {
    std::size_t got = 0;
    while (got < count && queue_.try_dequeue(to[got])) {
      ++got;
    }
    return got;
  }

 private:
  moodycamel::ReaderWriterQueue<Message56> queue_{queue_capacity};
};

struct ReaderWriterPair {
  ReaderWriterQueue requests;
  ReaderWriterQueue replies;
};

}  // namespace

std::unique_ptr<Exchange> reader_writer_queue_call() {
  auto pair = std::make_shared<ReaderWriterPair>();
  return std::make_unique<QueueCall<ReaderWriterQueue>>(pair, pair->requests, pair->replies);
}

std::unique_ptr<Exchange> reader_writer_queue_stream(std::uint32_t batch) {
  auto pair = std::make_shared<ReaderWriterPair>();
  return std::make_unique<QueueStream<ReaderWriterQueue>>(pair, pair->requests, batch);
}

}  // namespace isthmus::perf
