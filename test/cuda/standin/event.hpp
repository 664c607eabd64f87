// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <mutex>
#include <vector>

#include "test/cuda/standin/stream.hpp"

namespace isthmus::standin {

struct Capture;
class SharedRecords;
struct GraphNode;

/// Under its mutex, but for what is const.
struct Event {
  Event(Context& of, unsigned with) : context(of), flags(with) {}

  Context& context;
  const unsigned flags;
  std::shared_ptr<SharedRecords> shared;  ///< of one that other processes know; set before they do
  std::mutex mutex;
  Done recorded;  ///< null before the first record
  // Where it was recorded in a stream that is captured: the nodes that a waiting stream goes on after.
  std::shared_ptr<Capture> capture;
  std::vector<std::shared_ptr<GraphNode>> captured_after;
};

}  // namespace isthmus::standin
