// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "src/gpu/cuda/message_kind.hpp"

/// \file
/// Messages of CudaApi (messages.hpp) about capture and graphs.
///
/// Nodes that the driver made in a capture or a clone have no names yet. A message that asks for nodes brings fresh
/// names along, as many as it expects nodes; those without a name get them, in their order.
///
/// Ordinary memory in a graph: the node copies from or to a piece of the slab, and beside it stands a node, not seen by
/// the client's program, that runs a function of the client's (`token`), which copies between that piece and the
/// memory. Such functions, and the program's own, run as often as the graph does; ForgetHost ends that.

namespace isthmus::cuda {

inline constexpr std::uint32_t most_nodes = 2048;  ///< in a message

/// Work of the stream is recorded from now on, by the driver. Copies whose data travel with their message are refused
/// there (CUDA_ERROR_NOT_SUPPORTED): CaptureCopy is for them. With `graph`, the work becomes part of that; trailing
/// bytes: names of the nodes that it comes after.
struct BeginCapture : Kind<38> {
  struct Request {
    Place place;
    std::uint32_t mode = 0;  ///< CUstreamCaptureMode
    std::uint32_t nodes = 0;
    Id graph = 0;
  };
  using Reply = Nothing;
};
struct EndCapture : Kind<39> {
  struct Request {
    Place place;
    Id graph = 0;  ///< becomes its name, unless it has one
  };
  struct Reply {
    Id graph = 0;  ///< its name
  };
};
/// Trailing bytes: `names` fresh names of nodes. Trailing bytes of the reply: names of the nodes after which the
/// stream's next work comes.
struct CaptureInfo : Kind<71> {
  struct Request {
    Place place;
    Id graph = 0;  ///< becomes its name, unless it has one
    std::uint32_t names = 0;
    std::uint32_t reserved = 0;
  };
  struct Reply {
    std::uint32_t status = 0;  ///< CUstreamCaptureStatus; the rest counts while it is active
    std::uint32_t nodes = 0;
    std::uint64_t number = 0;
    Id graph = 0;
  };
};
/// Trailing bytes: names of the nodes after which the stream's next work comes.
struct SetCaptureNodes : Kind<72> {
  struct Request {
    Place place;
    std::uint32_t flags = 0;  ///< CUstreamUpdateCaptureDependencies_flags
    std::uint32_t nodes = 0;
  };
  using Reply = Nothing;
};
/// A copy in a stream that is captured, one side of which stands for ordinary memory. Trailing bytes: a request of
/// CopyBox.
struct CaptureCopy : Kind<73> {
  struct Request {
    std::uint64_t token = 0;
    std::uint32_t after = 0;  ///< 1: the function runs after the copy, 0: before
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
};

struct CreateGraph : Kind<40> {
  struct Request {
    Id id = 0;
  };
  using Reply = Nothing;
};
struct CloneGraph : Kind<75> {
  struct Request {
    Id graph = 0;
    Id id = 0;
  };
  using Reply = Nothing;
};

enum class NodeKind : std::uint32_t { empty, kernel, copy, fill, host, child, allocate, free, record, wait, condition };

/// What a node of NodeKind::allocate does. Behind it: `peers` rows.
struct AllocateNode {
  std::uint64_t size = 0;
  std::int32_t device = 0;
  std::uint32_t peers = 0;
};
struct PeerRow {
  std::int32_t device = 0;
  std::uint32_t access = 0;  ///< CUmemAccess_flags
};
inline constexpr std::uint32_t most_peers = 64;
/// What a node of NodeKind::condition does. Behind it: `graphs` fresh names, for the graphs that it chooses among.
struct ConditionNode {
  std::uint64_t handle = 0;  ///< of CreateCondition
  std::uint32_t type = 0;    ///< CUgraphConditionalNodeType
  std::uint32_t graphs = 0;
};
inline constexpr std::uint32_t most_bodies = 1024;

/// Trailing bytes: `dependencies` names of nodes, then what the node is to do. As in the message that does it at once
/// (kernel: a request of Launch, without attributes, with the parameters; copy: of CopyBox; fill: of Fill; their
/// streams do not count), or: child: name of a graph; allocate: AllocateNode; free: an address; record, wait: name of
/// an event; condition: ConditionNode; empty, host: nothing.
struct AddNode : Kind<41> {
  struct Request {
    Id graph = 0;
    Id id = 0;
    Id context = 0;
    NodeKind kind = NodeKind::empty;
    std::uint32_t dependencies = 0;
    std::uint64_t token = 0;  ///< host: its function; copy: as CaptureCopy's, or 0
    std::uint32_t after = 0;
    std::uint32_t reserved = 0;
  };
  struct Reply {
    std::uint64_t address = 0;  ///< allocate
  };
};
/// Changes what a node does (kernel, copy, fill, host, child, record, wait): in the graph, or, with `executable`,
/// there. Trailing bytes: as AddNode's, without dependencies.
struct SetNode : Kind<74> {
  struct Request {
    Id node = 0;
    Id executable = 0;
    Id context = 0;
    NodeKind kind = NodeKind::empty;
    std::uint32_t after = 0;
    std::uint64_t token = 0;
  };
  using Reply = Nothing;
};

enum class NodeRelation : std::uint32_t { all, roots, before, after };
/// Nodes of a graph (all, roots), or those that stand directly before or after a node. Trailing bytes: `names` fresh
/// names. Trailing bytes of the reply: names of the nodes.
struct ListNodes : Kind<77> {
  struct Request {
    NodeRelation relation = NodeRelation::all;
    std::uint32_t names = 0;
    Id object = 0;  ///< graph or node
  };
  struct Reply {
    std::uint64_t nodes = 0;  ///< how many there are; names are told of as many as fresh ones came
  };
};
/// What a node of a graph has become in its clone.
struct FindInClone : Kind<76> {
  struct Request {
    Id node = 0;
    Id clone = 0;
    Id id = 0;  ///< becomes its name, unless it has one
  };
  struct Reply {
    Id node = 0;
  };
};
/// Trailing bytes: `edges` pairs of names.
struct ChangeEdges : Kind<78> {
  struct Request {
    Id graph = 0;
    std::uint32_t edges = 0;
    std::uint32_t remove = 0;  ///< 1: they go, 0: they come
  };
  using Reply = Nothing;
};

/// A variable that kernels set and conditional nodes look at. The driver's number, because kernels are given it.
struct CreateCondition : Kind<80> {
  struct Request {
    Id graph = 0;
    Id context = 0;
    std::uint32_t value = 0;
    std::uint32_t flags = 0;
  };
  struct Reply {
    std::uint64_t handle = 0;
  };
};

struct Instantiate : Kind<42> {
  struct Request {
    Id graph = 0;
    Id id = 0;
    Id context = 0;
    std::uint64_t flags = 0;
  };
  using Reply = Nothing;
};
/// Makes an executable graph do what another graph does, which has the same form.
struct UpdateExecutable : Kind<79> {
  struct Request {
    Id executable = 0;
    Id graph = 0;
    Id context = 0;
  };
  struct Reply {
    std::int32_t status = 0;   ///< the driver's code: what follows comes with a failure, too
    std::uint32_t result = 0;  ///< CUgraphExecUpdateResult
  };
};
struct LaunchGraph : Kind<43> {
  struct Request {
    Place place;
    Id executable = 0;
  };
  using Reply = Nothing;
};

/// Upcall: the function of a graph is not needed any more. Needs no answer.
struct ForgetHost : Kind<102> {
  struct Request {
    std::uint64_t token = 0;
  };
  using Reply = Nothing;
};

}  // namespace isthmus::cuda
