// SPDX-License-Identifier: Apache-2.0
// What the driver is told about arrays, textures, and nodes in their general form: the stand-in has none of them, and a
// recorder answers in its place (recorder.hpp).
#include <array>
#include <cstring>

#include "test/cudart/recorder.hpp"
#include "test/cudart/registered.hpp"

namespace isthmus::test {
namespace {

struct CudartArray : Cudart {
  void SetUp() override {
    Cudart::SetUp();
    ASSERT_EQ(cudaFree(nullptr), cudaSuccess);
    recorder = {};
  }

  /// An array of `width` by `height` float2.
  static cudaArray_t pairs(std::size_t width, std::size_t height) {
    const cudaChannelFormatDesc channels = cudaCreateChannelDesc(32, 32, 0, 0, cudaChannelFormatKindFloat);
    cudaArray_t array = nullptr;
    EXPECT_EQ(cudaMallocArray(&array, &channels, width, height, cudaArraySurfaceLoadStore), cudaSuccess);
    return array;
  }
};

TEST_F(CudartArray, says_the_format_and_the_size_of_an_array) {
  cudaArray_t array = pairs(16, 4);
  EXPECT_EQ(recorder.array.Format, CU_AD_FORMAT_FLOAT);
  EXPECT_EQ(recorder.array.NumChannels, 2U);
  EXPECT_EQ(recorder.array.Width, 16U);
  EXPECT_EQ(recorder.array.Height, 4U);
  EXPECT_EQ(recorder.array.Depth, 0U);
  EXPECT_EQ(recorder.array.Flags, unsigned{CUDA_ARRAY3D_SURFACE_LDST});
  cudaChannelFormatDesc channels{};
  cudaExtent extent{};
  unsigned flags = 0;
  EXPECT_EQ(cudaArrayGetInfo(&channels, &extent, &flags, array), cudaSuccess);
  EXPECT_EQ(channels.x, 32);
  EXPECT_EQ(channels.y, 32);
  EXPECT_EQ(channels.z, 0);
  EXPECT_EQ(channels.f, cudaChannelFormatKindFloat);
  EXPECT_EQ(extent.width, 16U);
  EXPECT_EQ(flags, unsigned{cudaArraySurfaceLoadStore});
  EXPECT_EQ(cudaFreeArray(array), cudaSuccess);
}

TEST_F(CudartArray, takes_every_format_there_and_back_and_refuses_others) {
  struct Row {
    cudaChannelFormatDesc channels;
    CUarray_format format;
    unsigned count;
  };
  const std::array rows{
      Row{{8, 0, 0, 0, cudaChannelFormatKindUnsigned}, CU_AD_FORMAT_UNSIGNED_INT8, 1},
      Row{{8, 8, 8, 8, cudaChannelFormatKindUnsigned}, CU_AD_FORMAT_UNSIGNED_INT8, 4},
      Row{{16, 16, 0, 0, cudaChannelFormatKindSigned}, CU_AD_FORMAT_SIGNED_INT16, 2},
      Row{{16, 0, 0, 0, cudaChannelFormatKindFloat}, CU_AD_FORMAT_HALF, 1},
      Row{{32, 32, 32, 32, cudaChannelFormatKindFloat}, CU_AD_FORMAT_FLOAT, 4},
      Row{{8, 8, 8, 8, cudaChannelFormatKindUnsignedNormalized8X4}, CU_AD_FORMAT_UNORM_INT8X4, 4},
      Row{{16, 16, 16, 0, cudaChannelFormatKindSignedBlockCompressed6H}, CU_AD_FORMAT_BC6H_SF16, 3},
      Row{{10, 10, 10, 2, cudaChannelFormatKindUnsignedNormalized1010102}, CU_AD_FORMAT_UNORM_INT_101010_2, 4},
  };
  cudaArray_t array = nullptr;
  for (const Row& row : rows) {
    ASSERT_EQ(cudaMallocArray(&array, &row.channels, 4, 4, 0), cudaSuccess);
    EXPECT_EQ(recorder.array.Format, row.format);
    EXPECT_EQ(recorder.array.NumChannels, row.count);
    cudaChannelFormatDesc back{};
    EXPECT_EQ(cudaGetChannelDesc(&back, array), cudaSuccess);
    EXPECT_EQ(std::memcmp(&back, &row.channels, sizeof(back)), 0) << row.format;
  }
  for (const cudaChannelFormatDesc& bad : {cudaChannelFormatDesc{8, 16, 0, 0, cudaChannelFormatKindUnsigned},
                                           cudaChannelFormatDesc{8, 8, 8, 0, cudaChannelFormatKindUnsigned},
                                           cudaChannelFormatDesc{8, 0, 8, 0, cudaChannelFormatKindUnsigned},
                                           cudaChannelFormatDesc{8, 0, 0, 0, cudaChannelFormatKindFloat},
                                           cudaChannelFormatDesc{0, 0, 0, 0, cudaChannelFormatKindNone}}) {
    expect_error(cudaMallocArray(&array, &bad, 4, 4, 0), cudaErrorInvalidChannelDescriptor);
  }
  expect_error(cudaMallocArray(&array, nullptr, 4, 4, 0), cudaErrorInvalidValue);
}

TEST_F(CudartArray, copies_rectangles_into_arrays_in_bytes) {
  cudaArray_t array = pairs(16, 4);
  std::array<float, 8> here{};
  EXPECT_EQ(cudaMemcpy2DToArray(array, 24, 1, here.data(), 16, 16, 2, cudaMemcpyHostToDevice), cudaSuccess);
  ASSERT_EQ(recorder.copies_2d.size(), 1U);
  const CUDA_MEMCPY2D& copy = recorder.copies_2d.front();
  EXPECT_EQ(copy.srcMemoryType, CU_MEMORYTYPE_HOST);
  EXPECT_EQ(copy.srcHost, here.data());
  EXPECT_EQ(copy.srcPitch, 16U);
  EXPECT_EQ(copy.dstMemoryType, CU_MEMORYTYPE_ARRAY);
  EXPECT_EQ(copy.dstXInBytes, 24U);
  EXPECT_EQ(copy.dstY, 1U);
  EXPECT_EQ(copy.WidthInBytes, 16U);
  EXPECT_EQ(copy.Height, 2U);
  expect_error(cudaMemcpy2DToArray(array, 0, 0, here.data(), 16, 16, 2, cudaMemcpyDeviceToHost),
               cudaErrorInvalidMemcpyDirection);
  expect_error(cudaMemcpy2DToArray(array, 0, 0, here.data(), 8, 16, 2, cudaMemcpyHostToDevice),
               cudaErrorInvalidPitchValue);
}

TEST_F(CudartArray, breaks_a_run_of_bytes_into_the_lines_of_an_array) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  cudaArray_t array = pairs(4, 5);  // lines of 32 bytes
  std::array<std::byte, 128> here{};
  EXPECT_EQ(cudaMemcpyToArray(array, 8, 0, here.data(), 24 + 64 + 8, cudaMemcpyHostToDevice), cudaSuccess);
  struct Piece {
    std::size_t x, y, width, height, from;
  };
  const std::array pieces{Piece{8, 0, 24, 1, 0}, Piece{0, 1, 32, 2, 24}, Piece{0, 3, 8, 1, 88}};
  ASSERT_EQ(recorder.copies_2d.size(), pieces.size());
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const CUDA_MEMCPY2D& copy = recorder.copies_2d[i];
    EXPECT_EQ(copy.dstXInBytes, pieces[i].x);
    EXPECT_EQ(copy.dstY, pieces[i].y);
    EXPECT_EQ(copy.WidthInBytes, pieces[i].width);
    EXPECT_EQ(copy.Height, pieces[i].height);
    EXPECT_EQ(copy.srcHost, &here[pieces[i].from]);
  }
  expect_error(cudaMemcpyToArray(array, 32, 0, here.data(), 8, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
#pragma GCC diagnostic pop
}

TEST_F(CudartArray, counts_a_box_in_elements_where_an_array_takes_part) {
  cudaArray_t array = pairs(16, 4);
  cudaMemcpy3DParms parameters{};
  std::array<float, 64> here{};
  parameters.srcPtr = {.ptr = here.data(), .pitch = 32, .xsize = 4, .ysize = 2};
  parameters.srcPos = {.x = 8, .y = 1, .z = 0};
  parameters.dstArray = array;
  parameters.dstPos = {.x = 2, .y = 1, .z = 3};
  parameters.extent = {.width = 3, .height = 2, .depth = 2};
  parameters.kind = cudaMemcpyHostToDevice;
  EXPECT_EQ(cudaMemcpy3D(&parameters), cudaSuccess);
  ASSERT_EQ(recorder.copies_3d.size(), 1U);
  const CUDA_MEMCPY3D& copy = recorder.copies_3d.front();
  EXPECT_EQ(copy.WidthInBytes, 24U);
  EXPECT_EQ(copy.Height, 2U);
  EXPECT_EQ(copy.Depth, 2U);
  EXPECT_EQ(copy.srcXInBytes, 8U) << "bytes on the side of memory";
  EXPECT_EQ(copy.srcHeight, 2U);
  EXPECT_EQ(copy.dstXInBytes, 16U) << "elements of 8 bytes on the side of the array";
  EXPECT_EQ(copy.dstZ, 3U);
  parameters.srcArray = array;
  expect_error(cudaMemcpy3D(&parameters), cudaErrorInvalidMemcpyDirection);
  parameters.kind = cudaMemcpyDeviceToDevice;
  expect_error(cudaMemcpy3D(&parameters), cudaErrorInvalidValue);
}

TEST_F(CudartArray, describes_textures_there_and_back) {
  cudaResourceDesc resource{};
  resource.resType = cudaResourceTypePitch2D;
  resource.res.pitch2D = {.devPtr = device_memory<char>(4096),
                          .desc = cudaCreateChannelDesc(8, 8, 8, 8, cudaChannelFormatKindUnsigned),
                          .width = 10,
                          .height = 7,
                          .pitchInBytes = 512};
  cudaTextureDesc texture{};
  texture.addressMode[0] = cudaAddressModeClamp;
  texture.addressMode[1] = cudaAddressModeMirror;
  texture.filterMode = cudaFilterModeLinear;
  texture.readMode = cudaReadModeNormalizedFloat;
  texture.normalizedCoords = 1;
  texture.sRGB = 1;
  texture.borderColor[3] = 0.5F;
  texture.maxAnisotropy = 3;
  texture.maxMipmapLevelClamp = 2;
  cudaTextureObject_t object = 0;
  ASSERT_EQ(cudaCreateTextureObject(&object, &resource, &texture, nullptr), cudaSuccess);
  EXPECT_EQ(recorder.resource.resType, CU_RESOURCE_TYPE_PITCH2D);
  EXPECT_EQ(recorder.resource.res.pitch2D.format, CU_AD_FORMAT_UNSIGNED_INT8);
  EXPECT_EQ(recorder.resource.res.pitch2D.numChannels, 4U);
  EXPECT_EQ(recorder.resource.res.pitch2D.pitchInBytes, 512U);
  EXPECT_EQ(recorder.texture.flags, unsigned{CU_TRSF_NORMALIZED_COORDINATES | CU_TRSF_SRGB});
  EXPECT_EQ(recorder.texture.addressMode[1], CU_TR_ADDRESS_MODE_MIRROR);
  EXPECT_EQ(recorder.texture.borderColor[3], 0.5F);
  EXPECT_FALSE(recorder.has_view);
  cudaResourceDesc resource_back{};
  cudaTextureDesc texture_back{};
  EXPECT_EQ(cudaGetTextureObjectResourceDesc(&resource_back, object), cudaSuccess);
  EXPECT_EQ(resource_back.res.pitch2D.devPtr, resource.res.pitch2D.devPtr);
  EXPECT_EQ(resource_back.res.pitch2D.desc.w, 8);
  EXPECT_EQ(cudaGetTextureObjectTextureDesc(&texture_back, object), cudaSuccess);
  EXPECT_EQ(texture_back.addressMode[1], cudaAddressModeMirror);
  EXPECT_EQ(texture_back.filterMode, cudaFilterModeLinear);
  EXPECT_EQ(texture_back.readMode, cudaReadModeNormalizedFloat);
  EXPECT_EQ(texture_back.normalizedCoords, 1);
  EXPECT_EQ(texture_back.sRGB, 1);
  EXPECT_EQ(texture_back.seamlessCubemap, 0);
  EXPECT_EQ(texture_back.borderColor[3], 0.5F);
  EXPECT_EQ(texture_back.maxAnisotropy, 3U);
  EXPECT_EQ(texture_back.maxMipmapLevelClamp, 2.0F);
  texture.readMode = cudaReadModeElementType;
  ASSERT_EQ(cudaCreateTextureObject(&object, &resource, &texture, nullptr), cudaSuccess);
  EXPECT_NE(recorder.texture.flags & CU_TRSF_READ_AS_INTEGER, 0U);
  resource.res.pitch2D.desc.y = 3;
  expect_error(cudaCreateTextureObject(&object, &resource, &texture, nullptr), cudaErrorInvalidChannelDescriptor);
  expect_error(cudaCreateTextureObject(&object, &resource, nullptr, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(resource_back.res.pitch2D.devPtr), cudaSuccess);
}

TEST_F(CudartArray, describes_nodes_in_their_general_form) {
  cudaGraphNode_t node = nullptr;
  cudaGraphNodeParams parameters{};
  const auto add = [&] { return cudaGraphAddNode(&node, nullptr, nullptr, nullptr, 0, &parameters); };
  int value = 0;
  int target = 0;
  parameters.type = cudaGraphNodeTypeMemcpy;
  parameters.memcpy.copyParams.srcPtr = {.ptr = &value, .pitch = 4, .xsize = 4, .ysize = 1};
  parameters.memcpy.copyParams.dstPtr = {.ptr = &target, .pitch = 4, .xsize = 4, .ysize = 1};
  parameters.memcpy.copyParams.extent = {.width = 4, .height = 1, .depth = 1};
  parameters.memcpy.copyParams.kind = cudaMemcpyHostToDevice;
  EXPECT_EQ(add(), cudaSuccess);
  EXPECT_EQ(recorder.node.memcpy.copyParams.srcHost, &value);
  EXPECT_NE(recorder.node.memcpy.copyCtx, nullptr);

  parameters = {};
  parameters.type = cudaGraphNodeTypeMemset;
  parameters.memset = {.dst = &value, .pitch = 0, .value = 3, .elementSize = 2, .width = 9, .height = 1};
  EXPECT_EQ(add(), cudaSuccess);
  EXPECT_EQ(recorder.node.memset.width, 9U);
  EXPECT_EQ(recorder.node.memset.elementSize, 2U);
  EXPECT_NE(recorder.node.memset.ctx, nullptr);

  parameters = {};
  parameters.type = cudaGraphNodeTypeConditional;
  parameters.conditional.handle = 77;
  parameters.conditional.type = cudaGraphCondTypeWhile;
  parameters.conditional.size = 1;
  EXPECT_EQ(add(), cudaSuccess);
  EXPECT_EQ(recorder.node.conditional.handle, 77U);
  EXPECT_EQ(recorder.node.conditional.type, CU_GRAPH_COND_TYPE_WHILE);
  EXPECT_NE(parameters.conditional.phGraph_out, nullptr) << "the driver's answer";

  parameters = {};
  parameters.type = cudaGraphNodeTypeMemAlloc;
  parameters.alloc.bytesize = 100;
  parameters.alloc.poolProps.location.id = 3;
  EXPECT_EQ(add(), cudaSuccess);
  EXPECT_EQ(recorder.node.alloc.bytesize, 100U);
  EXPECT_EQ(recorder.node.alloc.poolProps.location.id, 3);
  EXPECT_NE(parameters.alloc.dptr, nullptr) << "the driver's answer";

  parameters = {};
  parameters.type = cudaGraphNodeTypeKernel;
  parameters.kernel.func = &program().write_to;
  parameters.kernel.gridDim = dim3(5, 6, 7);
  parameters.kernel.blockDim = dim3(8);
  EXPECT_EQ(add(), cudaSuccess);
  EXPECT_NE(recorder.node.kernel.kern, nullptr);
  EXPECT_EQ(recorder.node.kernel.gridDimZ, 7U);
  parameters.kernel.func = &program().not_registered;
  expect_error(add(), cudaErrorInvalidDeviceFunction);
  expect_error(cudaGraphAddNode(&node, nullptr, nullptr, nullptr, 0, nullptr), cudaErrorInvalidValue);

  recorder.kernel.kern = recorder.node.kernel.kern;
  recorder.kernel.gridDimX = 4;
  cudaKernelNodeParams now{};
  EXPECT_EQ(cudaGraphKernelNodeGetParams(node, &now), cudaSuccess);
  EXPECT_EQ(now.func, &program().write_to) << "the host function again, not the driver's handle";
  EXPECT_EQ(now.gridDim.x, 4U);
  recorder.kernel.kern = nullptr;
  EXPECT_EQ(cudaGetFuncBySymbol(&recorder.kernel.func, &program().write_to), cudaSuccess);
  EXPECT_EQ(cudaGraphKernelNodeGetParams(node, &now), cudaSuccess);
  EXPECT_EQ(now.func, &program().write_to) << "also from the function in this context";
}

}  // namespace
}  // namespace isthmus::test
