// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "src/gpu/cuda/message_kind.hpp"

/// \file
/// The part of CudaApi (messages.hpp) by which programs of one VM share what they have. A worker leaves the driver's
/// handle as a note at the daemon (plugin::Notes); what programs hand to each other is the note's name, which nobody
/// guesses and which means nothing outside of the VM. A name that leads to no such note is CUDA_ERROR_INVALID_VALUE;
/// where the daemon keeps no notes, it is CUDA_ERROR_NOT_SUPPORTED.

namespace isthmus::cuda {

using NoteName = std::array<std::byte, 32>;

/// Shares device memory of cuMemAlloc, or a part of it.
struct ShareMemory : Kind<97> {
  struct Request {
    Id context = 0;
    std::uint64_t address = 0;
    std::uint64_t size = 0;
  };
  struct Reply {
    NoteName name{};
  };
};
/// What was shared by that name is not shared any more; who has it open keeps it.
struct Unshare : Kind<98> {
  struct Request {
    NoteName name{};
  };
  using Reply = Nothing;
};
/// Maps memory that another client has shared. As often as it was opened it has to be closed.
struct OpenMemory : Kind<99> {
  struct Request {
    Id context = 0;
    NoteName name{};
    std::uint32_t flags = 0;  ///< of cuIpcOpenMemHandle
    std::uint32_t reserved = 0;
  };
  struct Reply {
    std::uint64_t address = 0;
    std::uint64_t size = 0;  ///< bytes
    std::uint32_t device = 0;
    std::uint32_t reserved = 0;
  };
};
struct CloseMemory : Kind<100> {
  struct Request {
    std::uint64_t address = 0;
  };
  using Reply = Nothing;
};
struct ShareEvent : Kind<102> {
  struct Request {
    Id event = 0;
  };
  struct Reply {
    NoteName name{};
  };
};
struct OpenEvent : Kind<103> {
  struct Request {
    Id id = 0;
    Id context = 0;
    NoteName name{};
  };
  using Reply = Nothing;
};

/// Memory of CreateMemory, and pools, are shared by a descriptor of the driver's, which the note holds.
struct SharePhysical : Kind<104> {
  struct Request {
    Id memory = 0;
  };
  struct Reply {
    NoteName name{};
  };
};
struct OpenPhysical : Kind<105> {
  struct Request {
    Id id = 0;
    NoteName name{};
  };
  struct Reply {
    std::uint64_t size = 0;  ///< bytes
    std::uint32_t device = 0;
    std::uint32_t compression = 0;
  };
};
struct SharePool : Kind<106> {
  struct Request {
    Id pool = 0;
  };
  struct Reply {
    NoteName name{};
  };
};
struct OpenPool : Kind<107> {
  struct Request {
    Id id = 0;
    NoteName name{};
  };
  struct Reply {
    std::uint32_t device = 0;
    std::uint32_t reserved = 0;
  };
};
/// Memory of a shared pool.
struct SharePoolMemory : Kind<108> {
  struct Request {
    std::uint64_t address = 0;
  };
  struct Reply {
    NoteName name{};
  };
};
/// It is freed as memory of the client's own.
struct OpenPoolMemory : Kind<109> {
  struct Request {
    Id context = 0;
    Id pool = 0;
    NoteName name{};
  };
  struct Reply {
    std::uint64_t address = 0;
    std::uint64_t size = 0;  ///< bytes
  };
};

}  // namespace isthmus::cuda
