// SPDX-License-Identifier: Apache-2.0

// NOLINTBEGIN(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression): the API takes
// addresses and sizes of its handles, which are pointers.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "test/opencl/device.hpp"

namespace isthmus::test {
namespace {

using Triple = std::array<std::size_t, 3>;

constexpr cl_image_format bytes4{.image_channel_order = CL_RGBA, .image_channel_data_type = CL_UNSIGNED_INT8};
constexpr cl_image_format ints4{.image_channel_order = CL_RGBA, .image_channel_data_type = CL_SIGNED_INT32};

class Images : public OpenCl {
 public:
  void TearDown() override {
    for (cl_mem image : images_) {
      EXPECT_EQ(clReleaseMemObject(image), CL_SUCCESS);
    }
    OpenCl::TearDown();
  }

  cl_mem image(cl_mem_object_type kind, const Triple& pixels, const cl_image_format& format = bytes4,
               cl_mem_flags flags = CL_MEM_READ_WRITE, void* host = nullptr, std::size_t row_pitch = 0) {
    cl_image_desc description{};
    description.image_type = kind;
    description.image_width = pixels[0];
    description.image_height = pixels[1];
    description.image_depth = kind == CL_MEM_OBJECT_IMAGE3D ? pixels[2] : 0;
    description.image_array_size = kind == CL_MEM_OBJECT_IMAGE1D_ARRAY ? pixels[1] : pixels[2];
    description.image_row_pitch = row_pitch;
    cl_int code = CL_SUCCESS;
    cl_mem made = clCreateImage(context, flags, &format, &description, host, &code);
    EXPECT_EQ(code, CL_SUCCESS);
    images_.push_back(made);
    return made;
  }

  template <class T>
  T info(cl_mem of, cl_image_info parameter) {
    T value{};
    EXPECT_EQ(clGetImageInfo(of, parameter, sizeof value, &value, nullptr), CL_SUCCESS);
    return value;
  }
  cl_int transfer(bool writes, cl_mem with, const Triple& origin, const Triple& region, void* host,
                  std::size_t row_pitch = 0, std::size_t slice_pitch = 0) {
    return writes ? clEnqueueWriteImage(queue, with, CL_TRUE, origin.data(), region.data(), row_pitch, slice_pitch,
                                        host, 0, nullptr, nullptr)
                  : clEnqueueReadImage(queue, with, CL_TRUE, origin.data(), region.data(), row_pitch, slice_pitch, host,
                                       0, nullptr, nullptr);
  }

 private:
  std::vector<cl_mem> images_;
};

std::vector<std::uint8_t> counted_bytes(std::size_t count) {
  std::vector<std::uint8_t> bytes(count);
  for (std::size_t i = 0; i < count; ++i) {
    bytes[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
  }
  return bytes;
}

TEST_F(Images, what_is_written_is_read_in_every_kind_of_image) {
  struct Kind {
    cl_mem_object_type kind;
    Triple pixels;
  };
  for (const auto& [kind, pixels] :
       {Kind{CL_MEM_OBJECT_IMAGE1D, {19, 1, 1}}, Kind{CL_MEM_OBJECT_IMAGE2D, {19, 5, 1}},
        Kind{CL_MEM_OBJECT_IMAGE3D, {19, 5, 3}}, Kind{CL_MEM_OBJECT_IMAGE1D_ARRAY, {19, 5, 1}},
        Kind{CL_MEM_OBJECT_IMAGE2D_ARRAY, {19, 5, 3}}}) {
    SCOPED_TRACE(kind);
    cl_mem made = image(kind, pixels);
    auto bytes = counted_bytes(pixels[0] * pixels[1] * pixels[2] * 4);
    ASSERT_EQ(transfer(true, made, {}, pixels, bytes.data()), CL_SUCCESS);
    std::vector<std::uint8_t> back(bytes.size());
    ASSERT_EQ(transfer(false, made, {}, pixels, back.data()), CL_SUCCESS);
    EXPECT_EQ(back, bytes);
    // The last pixel alone.
    std::array<std::uint8_t, 4> pixel{1, 2, 3, 4};
    const Triple last{pixels[0] - 1, pixels[1] - 1, pixels[2] - 1};
    ASSERT_EQ(transfer(true, made, last, {1, 1, 1}, pixel.data()), CL_SUCCESS);
    std::ranges::copy(pixel, bytes.end() - 4);
    ASSERT_EQ(transfer(false, made, {}, pixels, back.data()), CL_SUCCESS);
    EXPECT_EQ(back, bytes);
    EXPECT_EQ(info<std::size_t>(made, CL_IMAGE_ELEMENT_SIZE), 4U);
    EXPECT_EQ(info<std::size_t>(made, CL_IMAGE_WIDTH), pixels[0]);
    EXPECT_EQ(info<std::size_t>(made, CL_IMAGE_ROW_PITCH), pixels[0] * 4);
  }
}

TEST_F(Images, pitches_of_the_program_leave_gaps_alone) {
  cl_mem made = image(CL_MEM_OBJECT_IMAGE2D, {4, 3, 1});
  auto bytes = counted_bytes(3 * 24);
  ASSERT_EQ(transfer(true, made, {}, {4, 3, 1}, bytes.data(), 24), CL_SUCCESS);
  std::vector<std::uint8_t> back(3 * 20, 0xee);
  ASSERT_EQ(transfer(false, made, {}, {4, 3, 1}, back.data(), 20), CL_SUCCESS);
  for (std::size_t row = 0; row < 3; ++row) {
    for (std::size_t at = 0; at < 20; ++at) {
      EXPECT_EQ(back[row * 20 + at], at < 16 ? bytes[row * 24 + at] : 0xee) << row << ", " << at;
    }
  }
}

TEST_F(Images, a_map_shows_the_image_and_takes_what_is_written) {
  std::vector<std::uint8_t> host = counted_bytes(6 * 32);
  for (const cl_mem_flags flags : {cl_mem_flags{CL_MEM_COPY_HOST_PTR}, cl_mem_flags{CL_MEM_USE_HOST_PTR}}) {
    SCOPED_TRACE(flags);
    const std::vector<std::uint8_t> before = host;
    cl_mem made = image(CL_MEM_OBJECT_IMAGE2D, {7, 6, 1}, bytes4, flags | CL_MEM_READ_WRITE, host.data(), 32);
    const Triple origin{2, 1, 0};
    const Triple region{3, 4, 1};
    std::size_t row_pitch = 0;
    std::size_t slice_pitch = 1;
    cl_int code = CL_SUCCESS;
    auto* at = static_cast<std::uint8_t*>(clEnqueueMapImage(queue, made, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE,
                                                            origin.data(), region.data(), &row_pitch, &slice_pitch, 0,
                                                            nullptr, nullptr, &code));
    ASSERT_EQ(code, CL_SUCCESS);
    EXPECT_EQ(row_pitch, 32U);
    EXPECT_EQ(slice_pitch, 0U);
    if (flags == CL_MEM_USE_HOST_PTR) {
      EXPECT_EQ(at, host.data() + 32 + 8);
    }
    EXPECT_TRUE(std::equal(at, at + 12, before.begin() + 32 + 8));
    at[row_pitch] = 200;  // pixel (2, 2)
    ASSERT_EQ(clEnqueueUnmapMemObject(queue, made, at, 0, nullptr, nullptr), CL_SUCCESS);
    std::vector<std::uint8_t> back(std::size_t{7} * 6 * 4);
    ASSERT_EQ(transfer(false, made, {}, {7, 6, 1}, back.data()), CL_SUCCESS);
    for (std::size_t row = 0; row < 6; ++row) {
      for (std::size_t x = 0; x < 28; ++x) {
        EXPECT_EQ(back[row * 28 + x], row == 2 && x == 8 ? 200 : before[row * 32 + x]) << row << ", " << x;
      }
    }
  }
}

TEST_F(Images, copies_between_images_and_buffers) {
  auto bytes = counted_bytes(std::size_t{8} * 8 * 4);
  cl_mem first = image(CL_MEM_OBJECT_IMAGE2D, {8, 8, 1});
  cl_mem second = image(CL_MEM_OBJECT_IMAGE2D, {8, 8, 1});
  cl_mem in_between = buffer(bytes.size() + 16);
  ASSERT_EQ(transfer(true, first, {}, {8, 8, 1}, bytes.data()), CL_SUCCESS);
  const Triple zero{};
  const Triple whole{8, 8, 1};
  const std::array<cl_int, 4> color{9, 9, 9, 9};
  ASSERT_EQ(clEnqueueFillImage(queue, second, color.data(), zero.data(), whole.data(), 0, nullptr, nullptr),
            CL_SUCCESS);
  const Triple from{1, 2, 0};
  const Triple to{4, 0, 0};
  const Triple part{3, 5, 1};
  ASSERT_EQ(clEnqueueCopyImage(queue, first, second, from.data(), to.data(), part.data(), 0, nullptr, nullptr),
            CL_SUCCESS);
  ASSERT_EQ(clEnqueueCopyImageToBuffer(queue, second, in_between, zero.data(), whole.data(), 16, 0, nullptr, nullptr),
            CL_SUCCESS);
  ASSERT_EQ(clEnqueueCopyBufferToImage(queue, in_between, first, 16, zero.data(), whole.data(), 0, nullptr, nullptr),
            CL_SUCCESS);
  std::vector<std::uint8_t> back(bytes.size());
  ASSERT_EQ(transfer(false, first, {}, whole, back.data()), CL_SUCCESS);
  for (std::size_t y = 0; y < 8; ++y) {
    for (std::size_t x = 0; x < 8; ++x) {
      const bool copied = x >= 4 && x < 7 && y < 5;
      EXPECT_EQ(back[(y * 8 + x) * 4], copied ? bytes[((y + 2) * 8 + x - 3) * 4] : 9) << x << ", " << y;
    }
  }
  EXPECT_EQ(clEnqueueCopyImage(queue, first, first, zero.data(), from.data(), part.data(), 0, nullptr, nullptr),
            CL_MEM_COPY_OVERLAP);
  EXPECT_EQ(clEnqueueCopyImageToBuffer(queue, second, in_between, zero.data(), whole.data(), 17, 0, nullptr, nullptr),
            CL_INVALID_VALUE);
  EXPECT_EQ(clEnqueueCopyImage(queue, first, in_between, zero.data(), from.data(), part.data(), 0, nullptr, nullptr),
            CL_INVALID_MEM_OBJECT);
}

TEST_F(Images, kernels_read_and_write_them_through_samplers) {
  cl_kernel mirror = kernel(
      "__kernel void mirror(__read_only image2d_t from, __write_only image2d_t to, sampler_t how, int width) {\n"
      "  const int2 at = (int2)(get_global_id(0), get_global_id(1));\n"
      "  write_imagei(to, at, read_imagei(from, how, (int2)(width - at.x, at.y)));\n"
      "}\n",
      "mirror");
  std::array<cl_int, std::size_t{4} * 2 * 4> pixels{};
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    pixels.at(i) = static_cast<cl_int>(i);
  }
  cl_mem from = image(CL_MEM_OBJECT_IMAGE2D, {4, 2, 1}, ints4, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, pixels.data());
  cl_mem to = image(CL_MEM_OBJECT_IMAGE2D, {4, 2, 1}, ints4, CL_MEM_WRITE_ONLY);
  cl_int code = CL_SUCCESS;
  cl_sampler clamped = clCreateSampler(context, CL_FALSE, CL_ADDRESS_CLAMP_TO_EDGE, CL_FILTER_NEAREST, &code);
  ASSERT_EQ(code, CL_SUCCESS);
  cl_addressing_mode mode = 0;
  EXPECT_EQ(clGetSamplerInfo(clamped, CL_SAMPLER_ADDRESSING_MODE, sizeof mode, &mode, nullptr), CL_SUCCESS);
  EXPECT_EQ(mode, static_cast<cl_addressing_mode>(CL_ADDRESS_CLAMP_TO_EDGE));
  const cl_int width = 4;  // one beyond the edge for the first pixel, which the sampler holds there
  cl_mem not_an_image = buffer(64);
  EXPECT_EQ(clSetKernelArg(mirror, 0, sizeof not_an_image, &not_an_image), CL_INVALID_MEM_OBJECT);
  EXPECT_EQ(clSetKernelArg(mirror, 2, sizeof from, &from), CL_INVALID_SAMPLER);
  EXPECT_EQ(clSetKernelArg(mirror, 0, sizeof from, &from), CL_SUCCESS);
  EXPECT_EQ(clSetKernelArg(mirror, 1, sizeof to, &to), CL_SUCCESS);
  EXPECT_EQ(clSetKernelArg(mirror, 2, sizeof clamped, &clamped), CL_SUCCESS);
  EXPECT_EQ(clSetKernelArg(mirror, 3, sizeof width, &width), CL_SUCCESS);
  const std::array<std::size_t, 2> global{4, 2};
  ASSERT_EQ(clEnqueueNDRangeKernel(queue, mirror, 2, nullptr, global.data(), nullptr, 0, nullptr, nullptr), CL_SUCCESS);
  EXPECT_EQ(clReleaseSampler(clamped), CL_SUCCESS);
  EXPECT_EQ(clEnqueueNDRangeKernel(queue, mirror, 2, nullptr, global.data(), nullptr, 0, nullptr, nullptr),
            CL_INVALID_KERNEL_ARGS)
      << "a kernel holds no reference to its arguments";
  std::array<cl_int, pixels.size()> back{};
  ASSERT_EQ(transfer(false, to, {}, {4, 2, 1}, back.data()), CL_SUCCESS);
  for (std::size_t y = 0; y < 2; ++y) {
    for (std::size_t x = 0; x < 4; ++x) {
      EXPECT_EQ(back.at((y * 4 + x) * 4), pixels.at((y * 4 + std::min<std::size_t>(4 - x, 3)) * 4)) << x << ", " << y;
    }
  }
}

TEST_F(Images, a_buffers_bytes_are_an_image) {
  std::vector<cl_int> values(std::size_t{16} * 4, 3);
  cl_mem bytes = buffer(values.size() * sizeof(cl_int));
  write(bytes, values);
  cl_image_desc description{};
  description.image_type = CL_MEM_OBJECT_IMAGE1D_BUFFER;
  description.image_width = 16;
  description.buffer = bytes;
  cl_int code = CL_SUCCESS;
  cl_mem made = clCreateImage(context, CL_MEM_READ_WRITE, &ints4, &description, nullptr, &code);
  ASSERT_EQ(code, CL_SUCCESS);
  std::array<cl_int, 4> pixel{7, 7, 7, 7};
  EXPECT_EQ(transfer(true, made, {2, 0, 0}, {1, 1, 1}, pixel.data()), CL_SUCCESS);
  EXPECT_EQ(read<cl_int>(bytes, 12)[8], 7);
  EXPECT_EQ(info<cl_mem>(made, CL_IMAGE_BUFFER), bytes);
  EXPECT_EQ(clReleaseMemObject(made), CL_SUCCESS);
  description.image_width = 17;
  EXPECT_EQ(clCreateImage(context, CL_MEM_READ_WRITE, &ints4, &description, nullptr, &code), nullptr);
  EXPECT_EQ(code, CL_INVALID_IMAGE_SIZE);
}

TEST_F(Images, what_is_wrong_is_refused_by_its_code) {
  const auto refused = [&](const cl_image_format& format, const cl_image_desc& description, cl_mem_flags flags = 0,
                           void* host = nullptr) {
    cl_int code = CL_SUCCESS;
    EXPECT_EQ(clCreateImage(context, flags, &format, &description, host, &code), nullptr);
    return code;
  };
  cl_image_desc description{};
  description.image_type = CL_MEM_OBJECT_IMAGE2D;
  description.image_width = 8;
  description.image_height = 8;
  EXPECT_EQ(refused({.image_channel_order = CL_RGB, .image_channel_data_type = CL_FLOAT}, description),
            CL_INVALID_IMAGE_FORMAT_DESCRIPTOR);
  EXPECT_EQ(refused({.image_channel_order = 1, .image_channel_data_type = 2}, description),
            CL_INVALID_IMAGE_FORMAT_DESCRIPTOR);
  EXPECT_EQ(refused(bytes4, description, CL_MEM_USE_HOST_PTR), CL_INVALID_HOST_PTR);
  EXPECT_EQ(refused(bytes4, description, ~cl_mem_flags{0}), CL_INVALID_VALUE);
  description.image_row_pitch = 32;
  EXPECT_EQ(refused(bytes4, description), CL_INVALID_IMAGE_DESCRIPTOR);
  description.image_row_pitch = 31;
  std::array<std::uint8_t, 256> host{};
  EXPECT_EQ(refused(bytes4, description, CL_MEM_USE_HOST_PTR, host.data()), CL_INVALID_IMAGE_DESCRIPTOR);
  description.image_row_pitch = 0;
  description.image_height = 0;
  EXPECT_EQ(refused(bytes4, description), CL_INVALID_IMAGE_DESCRIPTOR);
  description.image_height = SIZE_MAX / 2;
  EXPECT_NE(refused(bytes4, description), CL_SUCCESS);
  description.image_height = std::size_t{1} << 20;
  EXPECT_EQ(refused(bytes4, description), CL_INVALID_IMAGE_SIZE);

  cl_mem made = image(CL_MEM_OBJECT_IMAGE2D, {8, 8, 1}, bytes4, CL_MEM_HOST_NO_ACCESS);
  EXPECT_EQ(transfer(true, made, {}, {8, 8, 1}, host.data()), CL_INVALID_OPERATION);
  EXPECT_EQ(transfer(true, made, {1, 0, 0}, {8, 8, 1}, host.data()), CL_INVALID_VALUE);
  EXPECT_EQ(transfer(true, made, {}, {8, 8, 2}, host.data()), CL_INVALID_VALUE);
  EXPECT_EQ(transfer(true, made, {SIZE_MAX, 0, 0}, {2, 1, 1}, host.data()), CL_INVALID_VALUE);
  EXPECT_EQ(transfer(true, made, {}, {8, 8, 1}, host.data(), 31), CL_INVALID_VALUE);
  EXPECT_EQ(transfer(true, made, {}, {8, 8, 1}, host.data(), 32, 256), CL_INVALID_VALUE);
  EXPECT_EQ(transfer(true, buffer(64), {}, {8, 8, 1}, host.data()), CL_INVALID_MEM_OBJECT);
  EXPECT_EQ(clEnqueueReadBuffer(queue, made, CL_TRUE, 0, 4, host.data(), 0, nullptr, nullptr), CL_INVALID_MEM_OBJECT);
  cl_int code = CL_SUCCESS;
  EXPECT_EQ(clCreateSampler(context, CL_FALSE, 77, CL_FILTER_NEAREST, &code), nullptr);
  EXPECT_EQ(code, CL_INVALID_VALUE);
}

}  // namespace
}  // namespace isthmus::test

// NOLINTEND(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression)
