// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "guest/cuda/frontend.hpp"

namespace isthmus::cuda {

[[nodiscard]] inline Id handle_name(const void* handle) noexcept { return reinterpret_cast<std::uintptr_t>(handle); }

/// Nodes of a graph, as the program gives them.
struct Edges {
  CUgraph graph = nullptr;
  const CUgraphNode* nodes = nullptr;
  std::size_t count = 0;
};

/// Whether the graph is one, and all of the nodes are its.
[[nodiscard]] CUresult check_edges(const Frontend& cuda, const Edges& edges);
/// Their names, as they travel.
[[nodiscard]] std::vector<Id> names_of(std::span<const CUgraphNode> nodes);

/// Forgets the nodes of a graph that is gone, and the graphs that they choose among.
void forget_graph(Frontend& cuda, Id id);

/// Names for nodes that the driver made and that the program may ask for: a message brings them along, the host gives
/// them to nodes that have none. What is left is given back.
class FreshNodes {
 public:
  FreshNodes(Frontend& cuda, std::size_t count);
  FreshNodes(const FreshNodes&) = delete;
  FreshNodes& operator=(const FreshNodes&) = delete;
  FreshNodes(FreshNodes&&) = delete;
  FreshNodes& operator=(FreshNodes&&) = delete;
  ~FreshNodes();

  [[nodiscard]] std::uint32_t count() const noexcept { return static_cast<std::uint32_t>(names_.size()); }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return std::as_bytes(std::span(names_)); }
  /// What the host answered: from now on all of these are handles of the program's.
  void take(std::span<const Id> answered, Id graph);

 private:
  Frontend* cuda_;
  std::vector<Id> names_;
};

}  // namespace isthmus::cuda
