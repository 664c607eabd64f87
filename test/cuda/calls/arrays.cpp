// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "test/cuda/calls/device.hpp"

namespace isthmus::test {
namespace {

class Arrays : public Cuda {
 public:
  static CUarray array(std::size_t width, std::size_t height, std::size_t depth = 0, unsigned flags = 0) {
    const CUDA_ARRAY3D_DESCRIPTOR about{.Width = width,
                                        .Height = height,
                                        .Depth = depth,
                                        .Format = CU_AD_FORMAT_SIGNED_INT32,
                                        .NumChannels = 1,
                                        .Flags = flags};
    CUarray made = nullptr;
    EXPECT_EQ(cuArray3DCreate(&made, &about), CUDA_SUCCESS);
    return made;
  }
  static CUDA_MEMCPY3D box(std::size_t width, std::size_t height, std::size_t depth = 1) {
    CUDA_MEMCPY3D copy{};
    copy.WidthInBytes = width * 4;
    copy.Height = height;
    copy.Depth = depth;
    return copy;
  }
  static void from_host(CUDA_MEMCPY3D& copy, const int* host, std::size_t width, std::size_t height) {
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = host;
    copy.srcPitch = width * 4;
    copy.srcHeight = height;
  }
  static void to_host(CUDA_MEMCPY3D& copy, int* host, std::size_t width, std::size_t height) {
    copy.dstMemoryType = CU_MEMORYTYPE_HOST;
    copy.dstHost = host;
    copy.dstPitch = width * 4;
    copy.dstHeight = height;
  }
  static void from_array(CUDA_MEMCPY3D& copy, CUarray array) {
    copy.srcMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.srcArray = array;
  }
  static void to_array(CUDA_MEMCPY3D& copy, CUarray array) {
    copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.dstArray = array;
  }
};

TEST_F(Arrays, take_lines) {
  CUarray one = array(64, 0);
  CUarray other = array(64, 0);
  const auto values = numbers(64, 100);
  std::vector<int> back(32);
  ASSERT_EQ(cuMemcpyHtoA(one, 0, values.data(), 64 * 4), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyAtoA(other, 8, one, 16, 40 * 4), CUDA_SUCCESS);  // other[2..41] = one[4..43]
  ASSERT_EQ(cuMemcpyAtoH(back.data(), other, 12, 32 * 4), CUDA_SUCCESS);
  EXPECT_EQ(back, numbers(32, 105));
  const CUdeviceptr on_device = memory(32 * 4);
  ASSERT_EQ(cuMemcpyAtoD(on_device, one, 32 * 4, 32 * 4), CUDA_SUCCESS);
  EXPECT_EQ(read<int>(on_device, 32), numbers(32, 132));
  ASSERT_EQ(cuMemcpyDtoA(other, 0, on_device, 32 * 4), CUDA_SUCCESS);
  CUstream in = stream();
  int* const host = pinned<int>(64);
  ASSERT_EQ(cuMemcpyAtoHAsync(host, other, 0, 32 * 4, in), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyHtoAAsync(one, 32 * 4, host, 32 * 4, in), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(in), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyAtoH(back.data(), one, 32 * 4, 32 * 4), CUDA_SUCCESS);
  EXPECT_EQ(back, numbers(32, 132));
  EXPECT_EQ(cuMemcpyAtoH(back.data(), one, 33 * 4, 32 * 4), CUDA_ERROR_INVALID_VALUE);  // behind its end
}

TEST_F(Arrays, give_back_what_was_copied_into_them) {
  // Small, and larger than what is staged at a time.
  for (const auto& [width, height, depth] : {std::array<std::size_t, 3>{7, 5, 3}, {4096, 1500, 1}, {33, 1, 1}}) {
    CUarray there = array(width, height == 1 ? 0 : height, depth == 1 ? 0 : depth);
    const auto values = numbers(width * height * depth, 5);
    CUDA_MEMCPY3D in = box(width, height, depth);
    from_host(in, values.data(), width, height);
    to_array(in, there);
    ASSERT_EQ(cuMemcpy3D(&in), CUDA_SUCCESS);
    std::vector<int> back(values.size());
    CUDA_MEMCPY3D out = box(width, height, depth);
    from_array(out, there);
    to_host(out, back.data(), width, height);
    ASSERT_EQ(cuMemcpy3D(&out), CUDA_SUCCESS);
    EXPECT_EQ(back, values) << width;
    CUDA_ARRAY3D_DESCRIPTOR about{};
    EXPECT_EQ(cuArray3DGetDescriptor(&about, there), CUDA_SUCCESS);
    EXPECT_EQ(about.Width, width);
    EXPECT_EQ(cuArrayDestroy(there), CUDA_SUCCESS);
    EXPECT_EQ(cuArrayDestroy(there), CUDA_ERROR_INVALID_HANDLE);
    EXPECT_EQ(cuMemcpy3D(&out), CUDA_ERROR_INVALID_HANDLE);
  }
}

TEST_F(Arrays, take_parts_from_the_device_from_pinned_memory_and_from_each_other) {
  constexpr std::size_t width = 16;
  constexpr std::size_t height = 8;
  CUarray first = array(width, height);
  CUarray second = array(width, height);
  const CUdeviceptr there = memory(width * height * 4);
  write(there, numbers(width * height));
  CUDA_MEMCPY2D whole{};
  whole.srcMemoryType = CU_MEMORYTYPE_DEVICE;
  whole.srcDevice = there;
  whole.srcPitch = width * 4;
  whole.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  whole.dstArray = first;
  whole.WidthInBytes = width * 4;
  whole.Height = height;
  ASSERT_EQ(cuMemcpy2D(&whole), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);  // the stream below does not wait for the legacy one

  int* const here = pinned<int>(width * height);
  std::fill_n(here, width * height, -1);
  CUDA_MEMCPY3D part = box(3, 2);
  from_host(part, here, width, height);
  to_array(part, first);
  part.dstXInBytes = 8;
  part.dstY = 4;
  CUstream in = stream();
  ASSERT_EQ(cuMemcpy3DAsync(&part, in), CUDA_SUCCESS);
  CUDA_MEMCPY3D across = box(width, height);
  from_array(across, first);
  to_array(across, second);
  ASSERT_EQ(cuMemcpy3DAsync(&across, in), CUDA_SUCCESS);
  CUDA_MEMCPY3D out = box(width, height);
  from_array(out, second);
  to_host(out, here, width, height);
  ASSERT_EQ(cuMemcpy3DAsync(&out, in), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(in), CUDA_SUCCESS);

  auto wanted = numbers(width * height);
  for (const std::size_t row : {4UL, 5UL}) {
    std::fill_n(wanted.begin() + static_cast<std::ptrdiff_t>(row * width + 2), 3, -1);
  }
  EXPECT_EQ(std::vector<int>(here, here + width * height), wanted);
}

TEST_F(Arrays, refuse_what_does_not_lie_in_them) {
  CUarray there = array(8, 4);
  std::vector<int> values(64);
  CUDA_MEMCPY3D copy = box(8, 4);
  from_host(copy, values.data(), 8, 4);
  to_array(copy, there);
  copy.dstXInBytes = 4;
  EXPECT_EQ(cuMemcpy3D(&copy), CUDA_ERROR_INVALID_VALUE);
  copy.dstXInBytes = 0;
  copy.dstY = UINT64_MAX;
  EXPECT_EQ(cuMemcpy3D(&copy), CUDA_ERROR_INVALID_VALUE);
  copy.dstY = 0;
  copy.srcPitch = 16;
  EXPECT_EQ(cuMemcpy3D(&copy), CUDA_ERROR_INVALID_VALUE);
  copy.srcPitch = 32;
  copy.dstArray = reinterpret_cast<CUarray>(context);
  EXPECT_EQ(cuMemcpy3D(&copy), CUDA_ERROR_INVALID_HANDLE);
  CUDA_ARRAY3D_DESCRIPTOR bad{};
  bad.Width = 4;
  bad.Height = 4;
  bad.Format = CU_AD_FORMAT_FLOAT;
  bad.NumChannels = 3;
  CUarray none = nullptr;
  EXPECT_EQ(cuArray3DCreate(&none, &bad), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuArray3DCreate(&none, nullptr), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(Arrays, have_levels_that_keep_their_handles) {
  const CUDA_ARRAY3D_DESCRIPTOR about{.Width = 16,
                                      .Height = 8,
                                      .Depth = 0,
                                      .Format = CU_AD_FORMAT_FLOAT,
                                      .NumChannels = 4,
                                      .Flags = CUDA_ARRAY3D_SURFACE_LDST};
  CUmipmappedArray whole = nullptr;
  ASSERT_EQ(cuMipmappedArrayCreate(&whole, &about, 3), CUDA_SUCCESS);
  CUarray level = nullptr;
  CUarray again = nullptr;
  CUDA_ARRAY3D_DESCRIPTOR part{};
  ASSERT_EQ(cuMipmappedArrayGetLevel(&level, whole, 2), CUDA_SUCCESS);
  ASSERT_EQ(cuMipmappedArrayGetLevel(&again, whole, 2), CUDA_SUCCESS);
  EXPECT_EQ(level, again);
  EXPECT_EQ(cuArray3DGetDescriptor(&part, level), CUDA_SUCCESS);
  EXPECT_EQ(part.Width, 4U);
  EXPECT_EQ(part.Height, 2U);
  EXPECT_EQ(cuMipmappedArrayGetLevel(&again, whole, 3), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuArrayDestroy(level), CUDA_ERROR_INVALID_HANDLE);
  CUDA_RESOURCE_DESC resource{};
  resource.resType = CU_RESOURCE_TYPE_ARRAY;
  resource.res.array.hArray = level;
  CUsurfObject surface = 0;
  EXPECT_EQ(cuSurfObjectCreate(&surface, &resource), CUDA_SUCCESS);
  EXPECT_NE(surface, 0U);
  EXPECT_EQ(cuSurfObjectDestroy(surface), CUDA_SUCCESS);
  EXPECT_EQ(cuSurfObjectDestroy(surface), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMipmappedArrayDestroy(whole), CUDA_SUCCESS);
  EXPECT_EQ(cuArray3DGetDescriptor(&part, level), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(Arrays, and_memory_become_textures) {
  CUarray there = array(8, 4);
  CUDA_RESOURCE_DESC resource{};
  resource.resType = CU_RESOURCE_TYPE_ARRAY;
  resource.res.array.hArray = there;
  CUDA_TEXTURE_DESC texture{};
  texture.addressMode[1] = CU_TR_ADDRESS_MODE_BORDER;
  texture.borderColor[2] = 0.25F;
  CUtexObject object = 0;
  ASSERT_EQ(cuTexObjectCreate(&object, &resource, &texture, nullptr), CUDA_SUCCESS);
  EXPECT_NE(object, 0U);
  CUDA_RESOURCE_DESC resource_back{};
  CUDA_TEXTURE_DESC texture_back{};
  EXPECT_EQ(cuTexObjectGetResourceDesc(&resource_back, object), CUDA_SUCCESS);
  EXPECT_EQ(resource_back.res.array.hArray, there);
  EXPECT_EQ(cuTexObjectGetTextureDesc(&texture_back, object), CUDA_SUCCESS);
  EXPECT_EQ(texture_back.borderColor[2], 0.25F);
  EXPECT_EQ(cuTexObjectDestroy(object), CUDA_SUCCESS);
  EXPECT_EQ(cuTexObjectDestroy(object), CUDA_ERROR_INVALID_VALUE);

  resource.resType = CU_RESOURCE_TYPE_PITCH2D;
  resource.res.pitch2D = {.devPtr = memory(4096),
                          .format = CU_AD_FORMAT_FLOAT,
                          .numChannels = 1,
                          .width = 16,
                          .height = 8,
                          .pitchInBytes = 512};
  EXPECT_EQ(cuTexObjectCreate(&object, &resource, &texture, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuTexObjectDestroy(object), CUDA_SUCCESS);
  resource.res.pitch2D.height = 9;
  EXPECT_EQ(cuTexObjectCreate(&object, &resource, &texture, nullptr), CUDA_ERROR_INVALID_VALUE);
  resource.res.pitch2D.devPtr = 0x1234;
  resource.res.pitch2D.height = 1;
  EXPECT_EQ(cuTexObjectCreate(&object, &resource, &texture, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuTexObjectCreate(&object, nullptr, &texture, nullptr), CUDA_ERROR_INVALID_VALUE);
}

}  // namespace
}  // namespace isthmus::test
