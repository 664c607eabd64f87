// SPDX-License-Identifier: Apache-2.0

#include "guest/cudart/format.hpp"

#include <algorithm>
#include <array>

namespace isthmus::cudart {
namespace {

struct FormatRow {
  cudaChannelFormatKind kind;
  int bits;           ///< of the first channel
  unsigned channels;  ///< 0: one, two or four
  CUarray_format format;
  std::size_t block_bytes;  ///< of an element or block; 0: bits times channels
};

constexpr auto format_rows = std::to_array<FormatRow>({
    {cudaChannelFormatKindUnsigned, 8, 0, CU_AD_FORMAT_UNSIGNED_INT8, 0},
    {cudaChannelFormatKindUnsigned, 16, 0, CU_AD_FORMAT_UNSIGNED_INT16, 0},
    {cudaChannelFormatKindUnsigned, 32, 0, CU_AD_FORMAT_UNSIGNED_INT32, 0},
    {cudaChannelFormatKindSigned, 8, 0, CU_AD_FORMAT_SIGNED_INT8, 0},
    {cudaChannelFormatKindSigned, 16, 0, CU_AD_FORMAT_SIGNED_INT16, 0},
    {cudaChannelFormatKindSigned, 32, 0, CU_AD_FORMAT_SIGNED_INT32, 0},
    {cudaChannelFormatKindFloat, 16, 0, CU_AD_FORMAT_HALF, 0},
    {cudaChannelFormatKindFloat, 32, 0, CU_AD_FORMAT_FLOAT, 0},
    {cudaChannelFormatKindNV12, 8, 3, CU_AD_FORMAT_NV12, 0},
    {cudaChannelFormatKindUnsignedNormalized8X1, 8, 1, CU_AD_FORMAT_UNORM_INT8X1, 0},
    {cudaChannelFormatKindUnsignedNormalized8X2, 8, 2, CU_AD_FORMAT_UNORM_INT8X2, 0},
    {cudaChannelFormatKindUnsignedNormalized8X4, 8, 4, CU_AD_FORMAT_UNORM_INT8X4, 0},
    {cudaChannelFormatKindUnsignedNormalized16X1, 16, 1, CU_AD_FORMAT_UNORM_INT16X1, 0},
    {cudaChannelFormatKindUnsignedNormalized16X2, 16, 2, CU_AD_FORMAT_UNORM_INT16X2, 0},
    {cudaChannelFormatKindUnsignedNormalized16X4, 16, 4, CU_AD_FORMAT_UNORM_INT16X4, 0},
    {cudaChannelFormatKindSignedNormalized8X1, 8, 1, CU_AD_FORMAT_SNORM_INT8X1, 0},
    {cudaChannelFormatKindSignedNormalized8X2, 8, 2, CU_AD_FORMAT_SNORM_INT8X2, 0},
    {cudaChannelFormatKindSignedNormalized8X4, 8, 4, CU_AD_FORMAT_SNORM_INT8X4, 0},
    {cudaChannelFormatKindSignedNormalized16X1, 16, 1, CU_AD_FORMAT_SNORM_INT16X1, 0},
    {cudaChannelFormatKindSignedNormalized16X2, 16, 2, CU_AD_FORMAT_SNORM_INT16X2, 0},
    {cudaChannelFormatKindSignedNormalized16X4, 16, 4, CU_AD_FORMAT_SNORM_INT16X4, 0},
    {cudaChannelFormatKindUnsignedBlockCompressed1, 8, 4, CU_AD_FORMAT_BC1_UNORM, 8},
    {cudaChannelFormatKindUnsignedBlockCompressed1SRGB, 8, 4, CU_AD_FORMAT_BC1_UNORM_SRGB, 8},
    {cudaChannelFormatKindUnsignedBlockCompressed2, 8, 4, CU_AD_FORMAT_BC2_UNORM, 16},
    {cudaChannelFormatKindUnsignedBlockCompressed2SRGB, 8, 4, CU_AD_FORMAT_BC2_UNORM_SRGB, 16},
    {cudaChannelFormatKindUnsignedBlockCompressed3, 8, 4, CU_AD_FORMAT_BC3_UNORM, 16},
    {cudaChannelFormatKindUnsignedBlockCompressed3SRGB, 8, 4, CU_AD_FORMAT_BC3_UNORM_SRGB, 16},
    {cudaChannelFormatKindUnsignedBlockCompressed4, 8, 1, CU_AD_FORMAT_BC4_UNORM, 8},
    {cudaChannelFormatKindSignedBlockCompressed4, 8, 1, CU_AD_FORMAT_BC4_SNORM, 8},
    {cudaChannelFormatKindUnsignedBlockCompressed5, 8, 2, CU_AD_FORMAT_BC5_UNORM, 16},
    {cudaChannelFormatKindSignedBlockCompressed5, 8, 2, CU_AD_FORMAT_BC5_SNORM, 16},
    {cudaChannelFormatKindUnsignedBlockCompressed6H, 16, 3, CU_AD_FORMAT_BC6H_UF16, 16},
    {cudaChannelFormatKindSignedBlockCompressed6H, 16, 3, CU_AD_FORMAT_BC6H_SF16, 16},
    {cudaChannelFormatKindUnsignedBlockCompressed7, 8, 4, CU_AD_FORMAT_BC7_UNORM, 16},
    {cudaChannelFormatKindUnsignedBlockCompressed7SRGB, 8, 4, CU_AD_FORMAT_BC7_UNORM_SRGB, 16},
    {cudaChannelFormatKindUnsignedNormalized1010102, 10, 4, CU_AD_FORMAT_UNORM_INT_101010_2, 4},
});

const FormatRow* find_row(CUarray_format format) {
  const auto* found = std::ranges::find(format_rows, format, &FormatRow::format);
  return found != format_rows.end() ? found : nullptr;
}

}  // namespace

cudaError_t to_format(const cudaChannelFormatDesc& channels, Format& out) {
  const std::array<int, 4> bits{channels.x, channels.y, channels.z, channels.w};
  const auto used = static_cast<unsigned>(std::ranges::find(bits, 0) - bits.begin());
  const auto* found = std::ranges::find_if(format_rows, [&](const FormatRow& row) {
    return row.kind == channels.f && row.bits == channels.x &&
           (row.channels != 0 ? row.channels == used : used == 1 || used == 2 || used == 4);
  });
  if (found == format_rows.end()) {
    return cudaErrorInvalidChannelDescriptor;
  }
  const bool is_even = found->format == CU_AD_FORMAT_UNORM_INT_101010_2 ||
                       std::all_of(bits.begin(), bits.begin() + used, [&](int each) { return each == channels.x; });
  if (!is_even || std::any_of(bits.begin() + used, bits.end(), [](int each) { return each != 0; })) {
    return cudaErrorInvalidChannelDescriptor;
  }
  out = {.format = found->format, .channels = used};
  return cudaSuccess;
}

cudaChannelFormatDesc to_channels(const Format& format) {
  const FormatRow* row = find_row(format.format);
  if (row == nullptr) {
    return {.x = 0, .y = 0, .z = 0, .w = 0, .f = cudaChannelFormatKindNone};
  }
  const unsigned channels = row->channels != 0 ? row->channels : format.channels;
  const auto bits = [&](unsigned channel) { return channel < channels ? row->bits : 0; };
  const int last = row->format == CU_AD_FORMAT_UNORM_INT_101010_2 ? 2 : bits(3);
  return {.x = bits(0), .y = bits(1), .z = bits(2), .w = last, .f = row->kind};
}

std::size_t element_bytes(const Format& format) {
  const FormatRow* row = find_row(format.format);
  if (row == nullptr) {
    return 0;
  }
  const unsigned channels = row->channels != 0 ? row->channels : format.channels;
  return row->block_bytes != 0 ? row->block_bytes : static_cast<std::size_t>(row->bits) / 8 * channels;
}

}  // namespace isthmus::cudart
