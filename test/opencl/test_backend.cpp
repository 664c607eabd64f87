// SPDX-License-Identifier: Apache-2.0

// The backend against a client that follows no rules. It is in a process of its own, as in a worker: a crash ends the
// lane, and the test.

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "isthmus/local_lane.hpp"
#include "isthmus/marshal/client.hpp"
#include "isthmus/marshal/dispatcher.hpp"
#include "src/gpu/opencl/bounds.hpp"
#include "src/gpu/opencl/driver.hpp"
#include "src/gpu/opencl/messages.hpp"
#include "src/gpu/opencl/opencl_service.hpp"

namespace isthmus::opencl {
namespace {

TEST(OpenClBackend, knows_its_own_frontend) {
  EXPECT_TRUE(is_own_frontend("cl_khr_icd cl_isthmus_frontend"));
  EXPECT_TRUE(is_own_frontend("cl_isthmus_frontend cl_khr_icd"));
  EXPECT_TRUE(is_own_frontend(std::string_view("cl_isthmus_frontend\0", 20)));
  EXPECT_FALSE(is_own_frontend("cl_khr_icd cl_isthmus_frontend2"));
  EXPECT_FALSE(is_own_frontend("no_cl_isthmus_frontend"));
  EXPECT_FALSE(is_own_frontend(""));
}

TEST(OpenClBackend, finds_where_boxes_lie_and_refuses_those_that_overflow) {
  constexpr std::uint64_t huge = UINT64_MAX;
  const auto box = extent_of({.origin = {4, 2, 1}, .row_pitch = 16, .slice_pitch = 64}, {8, 3, 2});
  ASSERT_TRUE(box.has_value());
  EXPECT_EQ(box->begin, 4U + 2 * 16 + 64);
  EXPECT_EQ(box->size, 8U + 2 * 16 + 64);
  EXPECT_FALSE(extent_of({.origin = {0, 0, 0}, .row_pitch = 4, .slice_pitch = 64}, {8, 1, 1}));
  EXPECT_FALSE(extent_of({.origin = {0, 0, 0}, .row_pitch = 16, .slice_pitch = 16}, {8, 3, 2}));
  EXPECT_FALSE(extent_of({.origin = {0, huge, 0}, .row_pitch = 16, .slice_pitch = 64}, {8, 1, 1}));
  EXPECT_FALSE(extent_of({.origin = {0, 0, huge}, .row_pitch = 16, .slice_pitch = 64}, {8, 1, 1}));
  EXPECT_FALSE(extent_of({.origin = {0, 0, 0}, .row_pitch = huge, .slice_pitch = huge}, {8, huge, huge}));
  EXPECT_FALSE(extent_of({.origin = {0, 0, 0}, .row_pitch = 16, .slice_pitch = 64}, {0, 1, 1}));
  EXPECT_TRUE(lies_within(4, 4, 8));
  EXPECT_FALSE(lies_within(4, 5, 8));
  EXPECT_FALSE(lies_within(huge, 2, 8));
  EXPECT_FALSE(lies_within(2, huge, 8));
}

// What the backend takes for the region: whether an address lies in it is all that is asked.
constexpr std::array<std::byte, 4096> pretended_window{};

class HostileClient : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists("/etc/OpenCL/vendors/pocl.icd")) {
      GTEST_SKIP() << "/etc/OpenCL/vendors/pocl.icd: not there; install pocl-opencl-icd";
    }
    auto made = LocalLane::in_child([] {
      auto dispatcher = std::make_unique<marshal::Dispatcher>();
      add_opencl_service(*dispatcher, pretended_window);
      return dispatcher;
    });
    ASSERT_TRUE(made) << made.error().message;
    lane_ = std::make_unique<LocalLane>(std::move(*made));
    auto channel = lane_->lane().channel();
    ASSERT_TRUE(channel);
    channel_ = *channel;
    std::array<DeviceRow, 16> rows;
    const auto found = client().call<Discover>({}, {}, std::as_writable_bytes(std::span(rows)));
    ASSERT_TRUE(found) << found.error().message;
    ASSERT_GT(found->reply.devices, 0U);
    const std::uint32_t device = 0;
    ASSERT_EQ(status<CreateContext>({.id = 1, .devices = 1}, std::as_bytes(std::span(&device, 1))), CL_SUCCESS);
    ASSERT_EQ(status<CreateQueue>({.id = 1, .context = 1}), CL_SUCCESS);
    auto frame = lane_->lane().allocate(4096);
    ASSERT_TRUE(frame);
    buffer_ = std::move(*frame);
    ASSERT_EQ(status<CreateBuffer>({.id = 1, .context = 1, .flags = CL_MEM_READ_WRITE, .memory = buffer_.reference()}),
              CL_SUCCESS);
    make_kernel();
  }
  void TearDown() override {
    if (lane_ != nullptr) {
      EXPECT_TRUE(lane_->lane().check()) << "the worker did not survive";
    }
  }

  void make_kernel() {
    const std::string_view source = "__kernel void k(__global int* v, int x, __local int* t, float4 f) { *v = x; }";
    auto text = lane_->lane().allocate(source.size());
    ASSERT_TRUE(text);
    std::ranges::copy(std::as_bytes(std::span(source)), text->bytes().begin());
    ASSERT_EQ(status<CreateProgram>({.id = 1, .context = 1, .source = text->reference()}), CL_SUCCESS);
    ASSERT_EQ(status<BuildProgram>({.id = 1}), CL_SUCCESS);
    std::array<ArgumentKind, 8> kinds{};
    const auto made = client().call<CreateKernel>({.id = 1, .program = 1}, std::as_bytes(std::span("k", 1)),
                                                  std::as_writable_bytes(std::span(kinds)));
    ASSERT_TRUE(made);
    ASSERT_EQ(made->status, CL_SUCCESS);
    ASSERT_EQ(made->reply.arguments, 4U);
    EXPECT_EQ(kinds[0], ArgumentKind::memory);
    EXPECT_EQ(kinds[1], ArgumentKind::value);
    EXPECT_EQ(kinds[2], ArgumentKind::local);
  }

  marshal::Client client() { return marshal::Client(*channel_); }
  template <marshal::MessageKind M>
  std::int32_t status(const typename M::Request& request, std::span<const std::byte> trailing = {}) {
    std::array<std::byte, 32 * 1024> rest;
    const auto outcome = client().call<M>(request, trailing, rest);
    EXPECT_TRUE(outcome) << outcome.error().message;
    return outcome ? outcome->status : INT32_MIN;
  }
  [[nodiscard]] LocalLane& lane() { return *lane_; }
  [[nodiscard]] Channel& channel() { return *channel_; }
  [[nodiscard]] const Frame& frame() const { return buffer_; }

 private:
  std::unique_ptr<LocalLane> lane_;
  Channel* channel_ = nullptr;
  Frame buffer_;
};

TEST_F(HostileClient, names_objects_that_do_not_exist) {
  constexpr Id none = 77;
  EXPECT_EQ(status<CreateQueue>({.id = 9, .context = none}), CL_INVALID_CONTEXT);
  EXPECT_EQ(status<CreateQueue>({.id = 9, .context = 1, .device = 99}), CL_INVALID_DEVICE);
  EXPECT_EQ(status<CreateSubBuffer>({.id = 9, .parent = none, .size = 8}), CL_INVALID_MEM_OBJECT);
  EXPECT_EQ(status<BuildProgram>({.id = none}), CL_INVALID_PROGRAM);
  EXPECT_EQ(status<SetSpecializationConstant>({.program = none}), CL_INVALID_PROGRAM);
  EXPECT_EQ(status<Release>({.kind = ObjectKind::event, .id = none}), CL_INVALID_EVENT);
  EXPECT_EQ(status<Release>({.kind = static_cast<ObjectKind>(99), .id = 1}), CL_INVALID_VALUE);
  EXPECT_EQ(status<Finish>({.queue = none}), CL_INVALID_COMMAND_QUEUE);
  EXPECT_EQ(status<HostDone>({.turn = none}), CL_INVALID_EVENT);
  EXPECT_EQ(status<EnqueueMarker>({.command = {.queue = none}}), CL_INVALID_COMMAND_QUEUE);
  EXPECT_EQ(status<EnqueueMarker>({.command = {.queue = 1, .waits = 4}}), CL_INVALID_EVENT_WAIT_LIST);
  EXPECT_EQ(status<EnqueueMarker>({.command = {.queue = 1, .waits = UINT32_MAX}}), CL_INVALID_EVENT_WAIT_LIST);
  EXPECT_EQ(status<EnqueueKernel>({.command = {.queue = 1}, .kernel = none}), CL_INVALID_KERNEL);
  const Id wild = none;
  EXPECT_EQ(status<WaitForEvents>({}, std::as_bytes(std::span(&wild, 1))), CL_INVALID_EVENT);
}

TEST_F(HostileClient, uses_a_name_twice) {
  EXPECT_EQ(status<CreateQueue>({.id = 1, .context = 1}), CL_INVALID_COMMAND_QUEUE);
  EXPECT_EQ(status<CreateQueue>({.id = 0, .context = 1}), CL_INVALID_COMMAND_QUEUE);
  EXPECT_EQ(status<CreateBuffer>({.id = 1, .context = 1, .memory = frame().reference()}), CL_INVALID_MEM_OBJECT);
  EXPECT_EQ(status<Release>({.kind = ObjectKind::memory, .id = 1}), CL_SUCCESS);
  EXPECT_EQ(status<Release>({.kind = ObjectKind::memory, .id = 1}), CL_INVALID_MEM_OBJECT);
}

TEST_F(HostileClient, points_outside_of_the_region_and_of_buffers) {
  const Reference wild = Reference::make(0, std::uint64_t{1} << 40, 4096);
  EXPECT_EQ(status<CreateBuffer>({.id = 9, .context = 1, .memory = wild}), CL_INVALID_BUFFER_SIZE);
  EXPECT_EQ(status<CreateBuffer>({.id = 9, .context = 1, .memory = Reference::make(3, 0, 64)}), CL_INVALID_BUFFER_SIZE);
  EXPECT_EQ(status<CreateProgram>({.id = 9, .context = 1, .source = wild}), CL_INVALID_VALUE);
  EXPECT_EQ(status<CreateBuffer>({.id = 9, .context = 1, .flags = CL_MEM_USE_HOST_PTR, .memory = frame().reference()}),
            CL_INVALID_VALUE);
  const Command command{.queue = 1};
  EXPECT_EQ(status<EnqueueMap>({.command = command, .memory = 1, .flags = CL_MAP_READ, .offset = 4000, .size = 97}),
            CL_INVALID_VALUE);
  EXPECT_EQ(status<EnqueueCopy>({.command = command, .from = 1, .to = 1, .to_offset = UINT64_MAX, .size = 8}),
            CL_INVALID_VALUE);
  EXPECT_EQ(status<EnqueueUnmap>({.command = command, .memory = 1, .offset = UINT64_MAX}), CL_INVALID_VALUE);
  EXPECT_EQ(status<HostAccess>({.command = command, .memory = 1, .offset = 1, .size = 4096, .turn = 5}),
            CL_INVALID_VALUE);
  EnqueueFill::Request fill{.command = command, .memory = 1, .size = 4096, .pattern_size = 4096};
  EXPECT_EQ(status<EnqueueFill>(fill), CL_INVALID_VALUE);
  const std::array<std::byte, 64> bytes{};
  EXPECT_EQ(status<EnqueueWrite>({.command = command, .memory = 1, .offset = 4090}, bytes), CL_INVALID_VALUE);
}

TEST_F(HostileClient, makes_images_larger_than_their_memory_and_copies_beyond_them) {
  const ImageShape shape{.kind = CL_MEM_OBJECT_IMAGE2D,
                         .channel_order = CL_RGBA,
                         .channel_type = CL_UNSIGNED_INT8,
                         .width = 32,
                         .height = 32};
  CreateImage::Request request{.id = 9, .context = 1, .memory = frame().reference(), .shape = shape};
  for (const auto& change : std::vector<void (*)(ImageShape&)>{
           [](ImageShape& s) { s.height = 33; }, [](ImageShape& s) { s.row_pitch = 132; },
           [](ImageShape& s) { s.height = UINT64_MAX / 64; }, [](ImageShape& s) { s.width = UINT64_MAX / 2; },
           [](ImageShape& s) { s.row_pitch = 127; }, [](ImageShape& s) { s.height = 0; },
           [](ImageShape& s) { s.kind = CL_MEM_OBJECT_BUFFER; }, [](ImageShape& s) { s.channel_order = 0; },
           [](ImageShape& s) { s.kind = CL_MEM_OBJECT_IMAGE1D_BUFFER; },
           [](ImageShape& s) {
             s.kind = CL_MEM_OBJECT_IMAGE2D_ARRAY;
             s.layers = UINT64_MAX / 4096 + 2;
           }}) {
    request.shape = shape;
    change(request.shape);
    EXPECT_NE(status<CreateImage>(request), CL_SUCCESS) << &change;
  }
  request.shape = shape;
  ASSERT_EQ(status<CreateImage>(request), CL_SUCCESS);
  const Command command{.queue = 1};
  EXPECT_EQ(
      status<EnqueueCopyImage>({.command = command, .from = 9, .to = 1, .to_origin = {4, 0, 0}, .region = {32, 32, 1}}),
      CL_INVALID_VALUE);
  EXPECT_EQ(status<EnqueueCopyImage>(
                {.command = command, .from = 9, .to = 1, .region = {UINT64_MAX / 4, UINT64_MAX / 4, UINT64_MAX / 4}}),
            CL_INVALID_VALUE);
  EXPECT_EQ(status<EnqueueCopyImage>({.command = command, .from = 1, .to = 1, .region = {1, 1, 1}}),
            CL_INVALID_MEM_OBJECT);
  EXPECT_EQ(status<EnqueueFillImage>({.command = command, .image = 9, .origin = {32, 0, 0}, .region = {1, 1, 1}}),
            CL_INVALID_VALUE);
  EXPECT_EQ(status<EnqueueFillImage>({.command = command, .image = 1, .region = {1, 1, 1}}), CL_INVALID_MEM_OBJECT);
  EXPECT_EQ(status<EnqueueFill>({.command = command, .memory = 9, .size = 4, .pattern_size = 4}),
            CL_INVALID_MEM_OBJECT);
  EXPECT_EQ(status<CreateSubBuffer>({.id = 10, .parent = 9, .size = 8}), CL_INVALID_MEM_OBJECT);
  // An image where the kernel wants a buffer.
  struct Wrong {
    ArgumentRow row{.index = 0, .kind = ArgumentKind::memory, .size = 8};
    Id name = 9;
  } const wrong;
  EnqueueKernel::Request launch{.command = command, .kernel = 1, .dimensions = 1, .arguments = 1};
  launch.global = {1, 1, 1};
  EXPECT_EQ(status<EnqueueKernel>(launch, std::as_bytes(std::span(&wrong, 1))), CL_INVALID_KERNEL_ARGS);
  EXPECT_EQ(status<CreateSampler>({.id = 1, .context = 77}), CL_INVALID_CONTEXT);
  EXPECT_EQ(status<LinkProgram>({.id = 9, .context = 1, .programs = UINT32_MAX}), CL_INVALID_VALUE);
  EXPECT_EQ(status<CompileProgram>({.id = 1, .headers = UINT32_MAX}), CL_INVALID_PROGRAM);
}

TEST_F(HostileClient, asks_for_what_lies_in_the_host) {
  EXPECT_EQ(status<Query>({.subject = Subject::device, .parameter = CL_DEVICE_PLATFORM}), CL_INVALID_VALUE);
  EXPECT_EQ(status<Query>({.subject = Subject::device, .parameter = CL_DEVICE_PARENT_DEVICE}), CL_INVALID_VALUE);
  EXPECT_EQ(status<Query>({.subject = Subject::program, .parameter = CL_PROGRAM_BINARIES, .object = 1}),
            CL_INVALID_VALUE);
  EXPECT_EQ(status<Query>({.subject = Subject::program, .parameter = CL_PROGRAM_CONTEXT, .object = 1}),
            CL_INVALID_VALUE);
  EXPECT_EQ(status<Query>({.subject = Subject::kernel, .parameter = CL_KERNEL_PROGRAM, .object = 1}), CL_INVALID_VALUE);
  EXPECT_EQ(status<Query>({.subject = static_cast<Subject>(1234), .parameter = 1}), CL_INVALID_VALUE);
  EXPECT_EQ(status<Query>({.subject = Subject::device, .parameter = CL_DEVICE_NAME, .offset = UINT64_MAX}), CL_SUCCESS);
}

TEST_F(HostileClient, passes_an_address_where_a_buffer_is_wanted) {
  const Command command{.queue = 1};
  struct Wild {
    ArgumentRow row{.index = 0, .kind = ArgumentKind::value, .size = 8};
    std::uint64_t address = 0x4141'4141'4141;
  } const wild;
  EnqueueKernel::Request launch{.command = command, .kernel = 1, .dimensions = 1, .arguments = 1};
  launch.global = {1, 1, 1};
  EXPECT_EQ(status<EnqueueKernel>(launch, std::as_bytes(std::span(&wild, 1))), CL_INVALID_KERNEL_ARGS);
  const std::uint64_t address = wild.address;
  EXPECT_EQ(status<CheckArgument>({.kernel = 1, .index = 0}, std::as_bytes(std::span(&address, 1))),
            CL_INVALID_ARG_VALUE);
  EXPECT_EQ(status<CheckArgument>({.kernel = 1, .index = 3}, std::as_bytes(std::span(&address, 1))),
            CL_INVALID_ARG_SIZE);
  const ArgumentRow too_long{.index = 1, .kind = ArgumentKind::value, .size = UINT64_MAX - 3};
  EXPECT_EQ(status<EnqueueKernel>(launch, std::as_bytes(std::span(&too_long, 1))), CL_INVALID_KERNEL_ARGS);
  const ArgumentRow all_local{.index = 2, .kind = ArgumentKind::local, .size = std::uint64_t{1} << 50};
  EXPECT_EQ(status<EnqueueKernel>(launch, std::as_bytes(std::span(&all_local, 1))), CL_OUT_OF_RESOURCES);
}

TEST_F(HostileClient, points_kernels_to_where_the_region_is_not) {
  const auto found = client().call<FindWindow>({});
  ASSERT_TRUE(found);
  ASSERT_EQ(found->status, CL_SUCCESS);
  const std::uint64_t window = found->reply.address;
  EXPECT_EQ(window, reinterpret_cast<std::uintptr_t>(pretended_window.data()));
  EnqueueKernel::Request launch{.command = {.queue = 1}, .kernel = 1, .dimensions = 1, .arguments = 1};
  launch.global = {1, 1, 1};
  struct Shared {
    ArgumentRow row{.index = 0, .kind = ArgumentKind::shared, .size = 8};
    std::uint64_t address = 0;
  } argument;
  const auto tried = [&] { return status<EnqueueKernel>(launch, std::as_bytes(std::span(&argument, 1))); };
  for (const std::uint64_t wild : {window - 1, window + pretended_window.size(), std::uint64_t{1}, UINT64_MAX}) {
    argument.address = wild;
    EXPECT_EQ(tried(), CL_INVALID_KERNEL_ARGS) << wild;
  }
  argument.address = window;
  argument.row.index = 1;  // a value, not a pointer
  EXPECT_EQ(tried(), CL_INVALID_KERNEL_ARGS);
}

TEST_F(HostileClient, makes_programs_in_forms_that_the_device_does_not_take) {
  const CreateProgram::Request il{
      .id = 9, .context = 1, .source = frame().reference(), .form = ProgramForm::intermediate};
  EXPECT_EQ(status<CreateProgram>(il), CL_INVALID_OPERATION) << "has PoCL learnt SPIR-V? then ask for something else";
  auto unknown = il;
  unknown.form = static_cast<ProgramForm>(99);
  EXPECT_EQ(status<CreateProgram>(unknown), CL_INVALID_VALUE);
  EXPECT_EQ(status<SetSpecializationConstant>({.program = 1}), CL_INVALID_OPERATION) << "it was made from source";
}

TEST_F(HostileClient, divides_devices_without_sense) {
  const auto divide = [this](CreateSubDevices::Request request, const std::vector<std::int64_t>& properties) {
    return status<CreateSubDevices>(request, std::as_bytes(std::span(properties)));
  };
  EXPECT_EQ(divide({.device = 99}, {CL_DEVICE_PARTITION_EQUALLY, 1}), CL_INVALID_DEVICE);
  EXPECT_EQ(divide({.device = 0, .room = 4}, {}), CL_INVALID_VALUE);
  EXPECT_EQ(divide({.device = 0, .room = 4}, std::vector<std::int64_t>(2000, 1)), CL_INVALID_VALUE);
  EXPECT_NE(divide({.device = 0, .room = 4}, {CL_DEVICE_PARTITION_BY_COUNTS, -5, INT64_MAX}), CL_SUCCESS);
  int made = 0;
  for (; made < 5000 && divide({.device = 0, .room = 1}, {CL_DEVICE_PARTITION_BY_COUNTS, 1, 0}) == CL_SUCCESS; ++made) {
  }
  EXPECT_LE(made, 4096) << "each takes memory until the lane's end";
}

struct Form {
  std::uint16_t opcode = 0;
  std::size_t fixed = 0;  // bytes
  bool may_wait = false;  // its answer may have to wait for something that never comes
};

template <class... Kinds>
std::vector<Form> forms_of() {
  return {Form{.opcode = Kinds::opcode,
               .fixed = marshal::fixed_size<typename Kinds::Request>,
               .may_wait = Kinds::opcode == Finish::opcode || Kinds::opcode == WaitForEvents::opcode ||
                           Kinds::opcode == HostAccess::opcode}...};
}

TEST_F(HostileClient, says_random_things_for_a_while) {
  const auto forms = forms_of<Discover, Query, CreateContext, CreateQueue, CreateBuffer, CreateSubBuffer, CreateProgram,
                              CreateProgramFromBinaries, GetBinary, CreateKernel, CheckArgument, CreateUserEvent,
                              SetUserEvent, Release, Flush, Finish, WaitForEvents, WatchEvent, HostAccess, HostDone,
                              EnqueueKernel, EnqueueWrite, EnqueueCopy, EnqueueCopyBox, EnqueueFill, EnqueueMarker,
                              EnqueueMap, EnqueueUnmap, CreateImage, CreateSampler, EnqueueCopyImage, EnqueueFillImage,
                              CompileProgram, LinkProgram, FindWindow, CreateSubDevices, SetSpecializationConstant>();
  std::mt19937_64 random(7);  // NOLINT(bugprone-random-generator-seed): the same each time
  constexpr int rounds = 20000;
  int succeeded = 0;
  for (int i = 0; i < rounds; ++i) {
    const Form& form = forms[random() % forms.size()];
    std::vector<std::uint64_t> words(form.fixed / 8 + random() % 12);
    for (std::uint64_t& word : words) {
      const std::uint64_t choice = random() % 8;
      word = choice == 0 ? random() : choice == 1 ? random() % 5000 : choice == 2 ? random() % 3 : choice == 3 ? 0 : 1;
    }
    const auto bytes = std::as_bytes(std::span(words));
    const Message message{
        .api = api_id, .opcode = form.opcode, .fixed = bytes.first(form.fixed), .trailing = bytes.subspan(form.fixed)};
    std::array<std::byte, 32 * 1024> reply;
    if (form.may_wait || random() % 8 == 0) {
      ASSERT_TRUE(channel().post(message)) << "round " << i << ", opcode " << form.opcode;
    } else {
      const auto answered = channel().call(message, reply);
      ASSERT_TRUE(answered) << "round " << i << ", opcode " << form.opcode << ": " << answered.error().message;
      succeeded += answered->status == 0 ? 1 : 0;
    }
  }
  EXPECT_GT(succeeded, rounds / 25) << "hardly anything got through the first checks";
}

}  // namespace
}  // namespace isthmus::opencl
