// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "isthmus/reference.hpp"

/// \file
/// What the messages of CudaApi (messages.hpp) are made of.

namespace isthmus::cuda {

inline constexpr std::uint16_t api_id = 3;

/// Names an object of the lane, or nothing (0).
using Id = std::uint64_t;

/// Names of streams that every context has, as in cuda.h: CU_STREAM_LEGACY and CU_STREAM_PER_THREAD.
inline constexpr Id legacy_stream = 1;
inline constexpr Id per_thread_stream = 2;

template <std::uint16_t Opcode>
struct Kind {
  static constexpr std::uint16_t api = api_id;
  static constexpr std::uint16_t opcode = Opcode;
};
/// As Kind, for what waits for the device: its status may be that of a post before it.
template <std::uint16_t Opcode>
struct ReportingKind : Kind<Opcode> {
  static constexpr bool reports = true;
};

struct Nothing {};

/// Added to the status of a reply without content: there is output of the driver's to be fetched by TakeOutput before
/// the function returns. No CUresult has this bit.
inline constexpr std::int32_t output_waits = 1 << 24;

/// Where work is to be done: a stream of a context.
struct Place {
  Id context = 0;
  Id stream = legacy_stream;
};

}  // namespace isthmus::cuda
