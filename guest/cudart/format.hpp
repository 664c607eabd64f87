// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "guest/cudart/driver.hpp"
#include "guest/cudart/runtime.hpp"

/// \file
/// Formats of arrays' and textures' elements: the runtime's channel descriptor (bits of each channel, and a kind), and
/// the driver's format with a number of channels.

namespace isthmus::cudart {

struct Format {
  CUarray_format format = CU_AD_FORMAT_UNSIGNED_INT8;
  unsigned channels = 0;
};

/// cudaErrorInvalidChannelDescriptor for what no format of the driver means.
cudaError_t to_format(const cudaChannelFormatDesc& channels, Format& out);

/// A kind of cudaChannelFormatKindNone with no bits for a format that the runtime does not name.
cudaChannelFormatDesc to_channels(const Format& format);

/// Bytes of an element (of a block of 4 x 4 for the block-compressed ones); 0 for a format that the runtime does not
/// name.
std::size_t element_bytes(const Format& format);

}  // namespace isthmus::cudart
