// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "isthmus/reference.hpp"
#include "src/gpu/cuda/message_kind.hpp"

/// \file
/// What frontend and backend say to each other about the driver's compiler, and about linking at run time. Part of
/// CudaApi, with opcodes from 120 on.

namespace isthmus::cuda {

/// An option of the compiler in the driver, with its value as in cuda.h (numbers only).
struct JitOption {
  std::uint32_t option = 0;
  std::uint32_t value = 0;
};

/// What the compiler came to. Trailing bytes of the reply that has it: the two logs.
struct JitReply {
  std::int32_t status = 0;  ///< the logs come with a failure, too
  std::uint32_t info_log = 0;
  std::uint32_t error_log = 0;
  float wall_time = 0;  ///< milliseconds
};

/// cuLinkCreate. Trailing bytes: `options` rows.
struct CreateLink : Kind<120> {
  struct Request {
    Id id = 0;
    Id context = 0;
    std::uint32_t options = 0;
    std::uint32_t info_log = 0;  ///< room for it, bytes
    std::uint32_t error_log = 0;
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
};
/// cuLinkAddData. Trailing bytes: `options` rows, and the name that logs have for it.
struct AddToLink : Kind<121> {
  struct Request {
    Id id = 0;
    Reference data{};
    std::uint32_t type = 0;  ///< CUjitInputType
    std::uint32_t options = 0;
  };
  using Reply = JitReply;
};
struct CompleteLink : Kind<122> {
  struct Request {
    Id id = 0;
  };
  struct Reply {
    JitReply jit{};
    std::uint64_t bytes = 0;  ///< of the image, which ReadLink reads
  };
};
/// Writes the image to the region. The reference has its size.
struct ReadLink : Kind<123> {
  struct Request {
    Id id = 0;
    Reference into{};
  };
  using Reply = Nothing;
};

}  // namespace isthmus::cuda
