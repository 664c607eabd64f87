// SPDX-License-Identifier: Apache-2.0

// The backend against a client that follows no rules, over the stand-in. It is in a process of its own, as in a worker:
// a crash ends the lane, and the test.

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "isthmus/local_lane.hpp"
#include "isthmus/marshal/open.hpp"
#include "src/gpu/cuda/cuda_service.hpp"
#include "src/gpu/cuda/device_account.hpp"
#include "src/gpu/cuda/driver.hpp"
#include "src/gpu/cuda/host_functions.hpp"
#include "src/gpu/cuda/image.hpp"
#include "src/gpu/cuda/messages.hpp"
#include "src/gpu/cuda/output.hpp"
#include "src/gpu/cuda/ranges.hpp"
#include "src/gpu/cuda/slab_registration.hpp"
#include "src/gpu/cuda/warmth.hpp"
#include "test/cuda/calls/device.hpp"

namespace isthmus::cuda {
namespace {

TEST(CudaImage, has_the_size_that_its_outer_header_says) {
  const auto size = [](const auto& bytes) {
    const auto whole = std::as_bytes(std::span(bytes));
    return image_size(whole.data(), whole.size());
  };
  std::array<char, 64> fatbin{};
  constexpr std::array<std::uint32_t, 4> header{0xba55'ed50, 0x0010'0001, 40, 0};
  std::memcpy(fatbin.data(), header.data(), sizeof header);
  EXPECT_EQ(size(fatbin), 56U);
  fatbin[8] = 49;  // one byte more than is there
  EXPECT_FALSE(size(fatbin));
  fatbin[15] = static_cast<char>(0xff);
  EXPECT_FALSE(size(fatbin));
  EXPECT_EQ(size(std::string_view(".version 8.0\0garbage", 20)), 13U);
  EXPECT_FALSE(size(std::string_view("no end")));
  EXPECT_FALSE(size(std::string_view("\0", 1)));
  EXPECT_FALSE(size(std::string_view("\177ELF\2\1\1")));
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::uint8_t> bytes(random() % 300);
    for (auto& byte : bytes) {
      byte = static_cast<std::uint8_t>(random());
    }
    if (bytes.size() > 4 && round % 2 == 0) {
      std::memcpy(bytes.data(), "\177ELF\2", 5);
    }
    if (const auto found = size(bytes)) {
      EXPECT_LE(*found, bytes.size());
    }
  }
}

std::atomic<bool> stream_goes_on{false};

// A client that answers upcalls when the test wants it to.
class SlowClient final : public Upcalls {
 public:
  explicit SlowClient(bool lane_is_over) : lane_is_over_(lane_is_over) {}
  Result<Reply> call(const Message& message, std::span<std::byte> /*reply*/,
                     Channel::Clock::time_point deadline) override {
    EXPECT_EQ(deadline, Channel::no_deadline) << "a function may take as long as it wants";
    RunHost::Request run{};
    std::memcpy(&run, message.fixed.data(), sizeof run);
    EXPECT_EQ(run.token, 7U);
    if (refusals > 0) {
      --refusals;
      EXPECT_FALSE(stream_goes_on) << "the function has not run";
      return fail(Errc::exhausted, "too many upcalls are open");
    }
    called = true;
    called.notify_all();
    if (lane_is_over_) {
      return fail(Errc::closed, "the lane is over");
    }
    answered.wait(false);
    return Reply{};
  }
  Result<void> post(const Message& /*message*/, Channel::Clock::time_point /*deadline*/) override {
    return fail(Errc::invalid_argument, "what nobody answers may stand behind what waits for it");
  }
  std::atomic<int> refusals{0};  // so many calls find no room
  std::atomic<bool> called{false};
  std::atomic<bool> answered{false};

 private:
  bool lane_is_over_;
};

// The driver's thread that runs host functions.
std::thread the_drivers_thread;

void launch_for(const std::shared_ptr<SlowClient>& client) {
  Driver driver;
  stream_goes_on = false;
  driver.cuLaunchHostFunc = [](CUstream, CUhostFn function, void* data) {
    the_drivers_thread = std::thread([function, data] {
      function(data);
      stream_goes_on = true;
    });
    return CUDA_SUCCESS;
  };
  EXPECT_EQ(launch_host_function(driver, nullptr, 7, false, client), CUDA_SUCCESS);
}

TEST(CudaHostFunctions, hold_their_stream_until_the_client_has_answered) {
  const auto client = std::make_shared<SlowClient>(false);
  launch_for(client);
  client->called.wait(false);
  EXPECT_FALSE(stream_goes_on);
  client->answered = true;
  client->answered.notify_all();
  the_drivers_thread.join();
  EXPECT_TRUE(stream_goes_on);
}

TEST(CudaHostFunctions, that_find_no_room_are_tried_again) {
  const auto client = std::make_shared<SlowClient>(false);
  client->refusals = 5;
  client->answered = true;
  launch_for(client);
  the_drivers_thread.join();
  EXPECT_TRUE(client->called);
  EXPECT_EQ(client->refusals, 0);
}

TEST(CudaHostFunctions, wait_for_nobody_once_the_lane_is_over) {
  launch_for(std::make_shared<SlowClient>(true));
  the_drivers_thread.join();
  EXPECT_TRUE(stream_goes_on);
}

TEST(CudaRanges, are_found_by_any_address_in_them_and_replaced_by_those_that_overlap) {
  Ranges<int> ranges;
  ranges.add(100, 50, 1);
  ranges.add(200, 50, 2);
  EXPECT_FALSE(ranges.find(99));
  EXPECT_EQ(ranges.find(149)->value, 1);
  EXPECT_FALSE(ranges.find(150));
  EXPECT_TRUE(ranges.find(100)->holds(120, 30));
  EXPECT_FALSE(ranges.find(100)->holds(120, 31));
  EXPECT_FALSE(ranges.find(100)->holds(120, UINT64_MAX));
  ranges.add(140, 70, 3);
  EXPECT_FALSE(ranges.find(100));
  EXPECT_EQ(ranges.find(209)->value, 3);
  EXPECT_FALSE(ranges.find(249));
  EXPECT_FALSE(ranges.remove(141));
  EXPECT_TRUE(ranges.remove(140));
  ranges.add(UINT64_MAX - 1, 5, 4);
  EXPECT_FALSE(ranges.find(UINT64_MAX));
}

// As much device memory as the test says.
class FakeMemory final : public plugin::DeviceMemory {
 public:
  explicit FakeMemory(std::uint64_t total, std::uint64_t per_context = 0) : total_(total), per_context_(per_context) {}
  bool take(std::uint64_t size) override {
    if (size > total_ - used) {
      return false;
    }
    used += size;
    return true;
  }
  void give(std::uint64_t size) override {
    ASSERT_LE(size, used) << "more than there was";
    used -= size;
  }
  State state() override { return {.total = total_, .used = used, .per_context = per_context_}; }
  std::uint64_t used = 0;

 private:
  std::uint64_t total_;
  std::uint64_t per_context_;
};

TEST(CudaDeviceAccount, counts_what_the_driver_has_given_and_nothing_else) {
  const auto memory = std::make_shared<FakeMemory>(10'240);
  std::uint64_t reserved = 0;
  DeviceAccount account(memory, [&](CUmemoryPool) { return reserved; });
  const auto first = reinterpret_cast<CUcontext>(memory.get());
  const auto allocate = [] { return CUDA_SUCCESS; };
  const auto spend = [&](std::uint64_t size, CUcontext context, std::uint64_t key, auto how) {
    return account.spend(size, context, how, [key] { return key; });
  };
  EXPECT_EQ(spend(1, first, 1, allocate), CUDA_SUCCESS);
  EXPECT_EQ(memory->used, 512U);
  EXPECT_EQ(spend(9216, nullptr, 2, allocate), CUDA_SUCCESS);
  EXPECT_EQ(spend(1024, first, 3, [] { return CUDA_ERROR_NOT_PERMITTED; }), CUDA_ERROR_OUT_OF_MEMORY)
      << "the driver is not even asked";
  EXPECT_EQ(spend(512, first, 3, [] { return CUDA_ERROR_NOT_PERMITTED; }), CUDA_ERROR_NOT_PERMITTED);
  EXPECT_EQ(spend(UINT64_MAX, first, 3, allocate), CUDA_ERROR_OUT_OF_MEMORY);
  std::uint64_t free = 9999;
  std::uint64_t total = 99'999;
  account.limit(free, total);
  EXPECT_EQ(free, 512U);
  EXPECT_EQ(total, 10'240U);
  EXPECT_EQ(account.settle(2, [] { return CUDA_ERROR_INVALID_VALUE; }), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(memory->used, 9728U) << "it is still there";
  EXPECT_EQ(account.settle(2, allocate), CUDA_SUCCESS);
  EXPECT_EQ(account.settle(2, allocate), CUDA_SUCCESS) << "what was never counted";
  EXPECT_EQ(memory->used, 512U);
  EXPECT_EQ(account.forget(first,
                           [&] {
                             EXPECT_EQ(memory->used, 512U) << "the driver has it still";
                             return CUDA_ERROR_ASSERT;
                           }),
            CUDA_ERROR_ASSERT);
  EXPECT_EQ(memory->used, 0U) << "it is gone, whatever failed in it before";
  const auto pool = reinterpret_cast<CUmemoryPool>(memory.get());
  // Of a pool: freed memory counts as long as the pool has it, and the address may be another's before that.
  const auto spend_in_pool = [&](std::uint64_t size, std::uint64_t key) {
    const CUresult code = account.spend_in_pool(size, pool, allocate, [key] { return key; });
    reserved += code == CUDA_SUCCESS ? size : 0;
    return code;
  };
  EXPECT_EQ(spend_in_pool(5120, 4), CUDA_SUCCESS);
  EXPECT_EQ(account.settle(4, [] { return CUDA_ERROR_INVALID_VALUE; }), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(account.settle(4, allocate), CUDA_SUCCESS);
  account.reclaim();
  EXPECT_EQ(memory->used, 5120U) << "the pool has it still";
  EXPECT_EQ(spend_in_pool(5120, 5), CUDA_SUCCESS);
  EXPECT_EQ(spend_in_pool(512, 6), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(account.forget(nullptr, allocate), CUDA_SUCCESS);
  account.reclaim();
  EXPECT_EQ(memory->used, 10'240U) << "a pool goes with no context";
  reserved = 5120;
  EXPECT_EQ(spend_in_pool(512, 6), CUDA_SUCCESS) << "looked at once more";
  EXPECT_EQ(memory->used, 5632U);
  EXPECT_EQ(account.settle(5, allocate), CUDA_SUCCESS);
  // One that is destroyed counts as long as it holds something, and can be asked until then.
  bool destroyed = false;
  account.retire(pool, [&] { destroyed = true; });
  reserved = 512;
  account.reclaim();
  EXPECT_EQ(memory->used, 512U);
  EXPECT_EQ(account.settle(6, allocate), CUDA_SUCCESS);
  account.reclaim();
  EXPECT_FALSE(destroyed) << "its stream has not come so far";
  reserved = 0;
  account.reclaim();
  EXPECT_EQ(memory->used, 0U);
  EXPECT_TRUE(destroyed);
}

TEST(CudaDeviceAccount, counts_a_context_from_its_making_to_its_end) {
  const auto memory = std::make_shared<FakeMemory>(1000, 300);
  DeviceAccount account(memory, [](CUmemoryPool) { return 0; });
  const auto first = reinterpret_cast<CUcontext>(memory.get());
  const auto second = reinterpret_cast<CUcontext>(&account);
  const auto make = [] { return CUDA_SUCCESS; };
  const auto spend = [&](CUcontext context, auto how) {
    return account.spend_for_context(how, [context] { return context; });
  };
  EXPECT_EQ(spend(first, [] { return CUDA_ERROR_DEVICE_UNAVAILABLE; }), CUDA_ERROR_DEVICE_UNAVAILABLE);
  EXPECT_EQ(memory->used, 0U) << "none was made";
  EXPECT_EQ(spend(first, make), CUDA_SUCCESS);
  EXPECT_EQ(spend(second, make), CUDA_SUCCESS);
  EXPECT_EQ(memory->used, 600U);
  EXPECT_EQ(account.spend(200, second, make, [] { return 1; }), CUDA_ERROR_OUT_OF_MEMORY) << "it counts as 512 bytes";
  EXPECT_TRUE(memory->take(200));
  EXPECT_EQ(spend(first, [] { return CUDA_ERROR_NOT_PERMITTED; }), CUDA_ERROR_OUT_OF_MEMORY)
      << "the driver is not even asked";
  EXPECT_EQ(account.forget(second, make), CUDA_SUCCESS);
  EXPECT_EQ(memory->used, 500U);
  EXPECT_TRUE(memory->take(300));  // by a worker before its lane
  account.adopt_context(second, 300);
  EXPECT_EQ(memory->used, 800U);
  EXPECT_EQ(account.forget(second, make), CUDA_SUCCESS);
  EXPECT_EQ(account.forget(second, make), CUDA_SUCCESS);
  EXPECT_EQ(memory->used, 500U);
}

TEST(CudaDeviceAccount, counts_arrays_with_their_levels) {
  const auto bytes = [](CUDA_ARRAY3D_DESCRIPTOR about, std::uint64_t levels) { return bytes_of_array(about, levels); };
  EXPECT_EQ(
      bytes({.Width = 16, .Height = 0, .Depth = 0, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 4, .Flags = 0}, 0),
      256U);
  EXPECT_EQ(bytes({.Width = 4, .Height = 4, .Depth = 2, .Format = CU_AD_FORMAT_HALF, .NumChannels = 1, .Flags = 0}, 9),
            64U + 8 + 2);
  EXPECT_EQ(
      bytes({.Width = SIZE_MAX, .Height = 2, .Depth = 2, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 4, .Flags = 0},
            1),
      UINT64_MAX);
}

// Notes whose names are numbers, and one at 0xff that another worker has left, who keeps to no rules.
class FakeNotes final : public plugin::Notes {
 public:
  std::optional<Name> pin(std::span<const std::byte> bytes, int /*descriptor*/) override {
    Name name{};
    name.front() = static_cast<std::byte>(notes_.size() + 1);
    notes_[name] = std::vector<std::byte>(bytes.begin(), bytes.end());
    return name;
  }
  std::optional<Note> read(const Name& name) override {
    if (name.front() == std::byte{0xff}) {
      // So long as the second byte says, of the kind that the third one says, wild else.
      std::vector<std::byte> wild(static_cast<std::size_t>(name[1]), std::byte{0xff});
      if (wild.size() > 4 && name[2] != std::byte{0}) {
        std::fill_n(wild.begin(), 4, std::byte{0});
        wild.front() = name[2];
      }
      return Note{.bytes = std::move(wild)};
    }
    const auto found = notes_.find(name);
    return found == notes_.end() ? std::nullopt : std::optional(Note{.bytes = found->second});
  }
  void take_down(const Name& name) override { notes_.erase(name); }

 private:
  std::map<Name, std::vector<std::byte>> notes_;
};

std::shared_ptr<plugin::Notes> notes() { return std::make_shared<FakeNotes>(); }

class HostileCudaClient : public testing::Test {
 protected:
  static constexpr Id context = 10;
  static constexpr std::uint64_t bytes = 4096;

  void SetUp() override {
    ASSERT_EQ(setenv("ISTHMUS_CUDA_DRIVER", ISTHMUS_TEST_STANDIN, 1), 0);
    auto made = LocalLane::in_child([before_the_lane = before_the_lane_, limit = limit_]() -> std::unique_ptr<Service> {
      struct Lane final : Service {
        Lane(std::span<std::byte> window, std::shared_ptr<plugin::DeviceMemory> memory)
            : backend(make_cuda_backend(window, std::move(memory), notes())) {
          backend->add_to(dispatcher);
        }
        void handle(Request& request) override { dispatcher.handle(request); }
        std::unique_ptr<plugin::Backend> backend;
        marshal::Dispatcher dispatcher;
      };
      std::shared_ptr<plugin::DeviceMemory> memory = limit();
      const auto window = before_the_lane(memory);
      return std::make_unique<Lane>(window, std::move(memory));
    });
    ASSERT_TRUE(made) << made.error().message;
    lane_ = std::make_unique<LocalLane>(std::move(*made));
    auto channel = lane_->lane().channel();
    ASSERT_TRUE(channel);
    channel_ = *channel;
    const auto opened = marshal::open<CudaApi>(*channel_);
    ASSERT_TRUE(opened) << opened.error().message;
    const auto hello = client().call<Hello>({});
    ASSERT_TRUE(hello);
    ASSERT_EQ(hello->status, CUDA_SUCCESS);
    ASSERT_GE(hello->reply.devices, 1U);
    first_number_ = number_of_primary();
    ASSERT_NE(first_number_, 0U);
    const auto memory = client().call<Allocate>({.context = context, .size = bytes});
    ASSERT_TRUE(memory);
    address_ = memory->reply.address;
    auto frame = lane_->lane().allocate(bytes);
    ASSERT_TRUE(frame);
    frame_ = std::move(*frame);
    auto image = lane_->lane().allocate(std::strlen(test::kernels) + 1);
    ASSERT_TRUE(image);
    image_ = std::move(*image);
    std::memcpy(image_.data(), test::kernels, image_.size());
    const auto loaded = client().call<LoadModule>({.id = 20, .context = context, .image = image_.reference()});
    ASSERT_TRUE(loaded);
    ASSERT_EQ(loaded->reply.status, CUDA_SUCCESS);
    constexpr std::string_view name = "write_to";
    ASSERT_EQ(status<FindFunction>({.owner = 20, .id = 30, .context = context}, std::as_bytes(std::span(name))),
              CUDA_SUCCESS);
  }
  void TearDown() override {
    if (lane_ != nullptr) {
      EXPECT_TRUE(lane_->lane().check()) << "the worker did not survive";
      const std::int32_t left = status<SyncContext>({.context = context});
      EXPECT_TRUE(left == CUDA_SUCCESS || leaves_something_) << left;
    }
  }

  marshal::Client client() { return marshal::Client(*channel_); }
  template <marshal::MessageKind M>
  std::int32_t status(const typename M::Request& request, std::span<const std::byte> trailing = {}) {
    std::vector<std::byte> rest(abi::max_body);
    const auto outcome = client().call<M>(request, trailing, rest);
    EXPECT_TRUE(outcome) << outcome.error().message;
    return outcome ? outcome->status : INT32_MIN;
  }
  [[nodiscard]] Lane& lane() { return lane_->lane(); }
  [[nodiscard]] Channel& channel() { return *channel_; }
  [[nodiscard]] std::uint64_t address() const { return address_; }
  [[nodiscard]] const Frame& frame() const { return frame_; }
  [[nodiscard]] const Frame& image() const { return image_; }
  [[nodiscard]] Place place() const { return {.context = context, .stream = legacy_stream}; }
  /// Retains the primary context; the number that the driver gives each context that it makes, one after the other.
  std::uint64_t number_of_primary() {
    const auto outcome = client().call<RetainPrimary>({.id = context});
    EXPECT_TRUE(outcome) << outcome.error().message;
    return outcome && outcome->status == CUDA_SUCCESS ? outcome->reply.number : 0;
  }

  /// Of the context that the client had first.
  [[nodiscard]] std::uint64_t first_number() const { return first_number_; }

  /// What the limit leaves, as the client sees it.
  std::uint64_t free_memory() {
    const auto outcome = client().call<Query>({.question = {.subject = Subject::memory_info, .context = context}});
    EXPECT_TRUE(outcome && outcome->status == CUDA_SUCCESS);
    return outcome ? outcome->reply.values[0] : 0;
  }

  /// Runs in the worker: makes its limit of device memory.
  std::shared_ptr<plugin::DeviceMemory> (*limit_)() = [] { return std::shared_ptr<plugin::DeviceMemory>(); };
  /// Whether the context may be in any state afterwards.
  bool leaves_something_ = false;
  /// Runs in the worker before its lane's backend is made, and returns the backend's window.
  using Limit = std::shared_ptr<plugin::DeviceMemory>;
  std::span<std::byte> (*before_the_lane_)(const Limit&) = [](const Limit&) { return std::span<std::byte>(); };

 private:
  std::unique_ptr<LocalLane> lane_;
  Channel* channel_ = nullptr;
  std::uint64_t address_ = 0;
  std::uint64_t first_number_ = 0;
  Frame frame_;
  Frame image_;
};

class WarmCudaBackend : public HostileCudaClient {
 protected:
  WarmCudaBackend() {
    before_the_lane_ = [](const Limit& limit) {
      constexpr std::size_t size = 2 * SlabRegistration::arena_size + 4096;
      void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      const std::span window(static_cast<std::byte*>(memory), size);
      const auto line = Warmth::of_process().make({.window = window, .device_memory = limit, .stop = {}});
      if (!line || line->find("a context on device 0, 128 MiB of the region registered") != 0) {
        std::abort();
      }
      return window;
    };
  }
};

TEST_F(WarmCudaBackend, hands_its_context_to_the_client_who_alone_holds_it_from_then_on) {
  EXPECT_EQ(first_number(), 1U) << "two contexts were made";
  EXPECT_EQ(status<ReleasePrimary>({.id = context}), CUDA_SUCCESS);
  EXPECT_EQ(number_of_primary(), 2U) << "somebody else still held the first one";
}

// With a limit: 100 MiB, and 30 for each context.
template <class Base>
class Limited : public Base {
 protected:
  static constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;
  static constexpr std::uint64_t left_at_first = 70 * mebibyte - Base::bytes;
  Limited() {
    this->limit_ = []() -> Base::Limit { return std::make_shared<FakeMemory>(100 * mebibyte, 30 * mebibyte); };
  }
};
class LimitedCudaBackend : public Limited<HostileCudaClient> {};
class LimitedWarmCudaBackend : public Limited<WarmCudaBackend> {};

TEST_F(LimitedCudaBackend, counts_contexts_that_a_client_makes_until_it_destroys_them) {
  EXPECT_EQ(free_memory(), left_at_first);
  EXPECT_EQ(status<CreateContext>({.id = 50}), CUDA_SUCCESS);
  EXPECT_EQ(status<CreateContext>({.id = 51}), CUDA_SUCCESS);
  EXPECT_EQ(free_memory(), left_at_first - 60 * mebibyte);
  EXPECT_EQ(status<CreateContext>({.id = 52}), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(status<DestroyContext>({.id = 50}), CUDA_SUCCESS);
  EXPECT_EQ(status<CreateContext>({.id = 51}), CUDA_ERROR_INVALID_CONTEXT) << "a name twice";
  EXPECT_EQ(free_memory(), left_at_first - 30 * mebibyte);
  EXPECT_EQ(status<CreateContext>({.id = 52}), CUDA_SUCCESS);
  EXPECT_EQ(status<DestroyContext>({.id = 51}), CUDA_SUCCESS);
  EXPECT_EQ(status<DestroyContext>({.id = 52}), CUDA_SUCCESS);
  EXPECT_EQ(free_memory(), left_at_first);
}

TEST_F(LimitedCudaBackend, counts_a_primary_context_once_also_after_a_reset) {
  EXPECT_EQ(status<Allocate>({.context = context, .size = 60 * mebibyte}), CUDA_SUCCESS);
  EXPECT_EQ(status<RetainPrimary>({.id = 11}), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(free_memory(), left_at_first - 60 * mebibyte) << "a second name, and nothing counts";
  for (const std::uint32_t reset : {1U, 0U, 1U}) {
    EXPECT_EQ(status<ReleasePrimary>({.id = context, .reset = reset}), CUDA_SUCCESS);
    EXPECT_EQ(status<RetainPrimary>({.id = 0}), CUDA_ERROR_INVALID_CONTEXT);
    EXPECT_NE(number_of_primary(), 0U);
    EXPECT_EQ(free_memory(), 70 * mebibyte);
  }
  EXPECT_EQ(status<CreateContext>({.id = 50}), CUDA_SUCCESS);
  EXPECT_EQ(status<CreateContext>({.id = 51}), CUDA_SUCCESS);
  EXPECT_EQ(status<ReleasePrimary>({.id = context}), CUDA_SUCCESS);
  EXPECT_EQ(status<CreateContext>({.id = 52}), CUDA_SUCCESS);
  EXPECT_EQ(status<RetainPrimary>({.id = context}), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(status<DestroyContext>({.id = 52}), CUDA_SUCCESS);
  EXPECT_NE(number_of_primary(), 0U) << "refused once, it is to be had later";
}

TEST_F(LimitedWarmCudaBackend, counts_the_context_that_it_hands_over_once) {
  EXPECT_EQ(first_number(), 1U) << "two contexts were made";
  EXPECT_EQ(free_memory(), left_at_first);
  EXPECT_EQ(status<CreateContext>({.id = 50}), CUDA_SUCCESS);
  EXPECT_EQ(status<ReleasePrimary>({.id = context}), CUDA_SUCCESS);
  EXPECT_EQ(status<CreateContext>({.id = 51}), CUDA_SUCCESS);
  EXPECT_EQ(status<CreateContext>({.id = 52}), CUDA_SUCCESS);
  EXPECT_EQ(status<DestroyContext>({.id = 52}), CUDA_SUCCESS);
  EXPECT_EQ(number_of_primary(), 5U);
  EXPECT_EQ(free_memory(), 10 * mebibyte);
}

TEST_F(HostileCudaClient, finds_a_cold_worker_with_one_context_of_its_own) { EXPECT_EQ(first_number(), 1U); }

TEST_F(HostileCudaClient, has_its_primary_context_again_after_a_name_that_none_can_have) {
  EXPECT_EQ(status<ReleasePrimary>({.id = context}), CUDA_SUCCESS);
  EXPECT_EQ(status<RetainPrimary>({.id = 0}), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(number_of_primary(), 3U) << "nobody holds the one without a name";
}

TEST_F(HostileCudaClient, names_objects_that_do_not_exist) {
  constexpr Id none = 77;
  EXPECT_EQ(status<DescribeDevice>({.device = UINT32_MAX}), CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(status<RetainPrimary>({.id = 11, .device = 99}), CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(status<RetainPrimary>({.id = context}), CUDA_ERROR_INVALID_CONTEXT) << "a name twice";
  EXPECT_EQ(status<RetainPrimary>({.id = 11}), CUDA_ERROR_INVALID_CONTEXT) << "a context with two names";
  EXPECT_EQ(status<ReleasePrimary>({.id = 11, .reset = 1}), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(status<SyncContext>({.context = context}), CUDA_SUCCESS) << "the one that is there was reset";
  EXPECT_EQ(status<RetainPrimary>({.id = 0}), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(status<ReleasePrimary>({.id = none}), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(status<DestroyContext>({.id = context}), CUDA_ERROR_INVALID_CONTEXT) << "a primary one";
  EXPECT_EQ(status<DestroyContext>({.id = none}), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(status<SyncContext>({.context = none}), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(status<Allocate>({.context = none, .size = 64}), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(status<SyncStream>({.place = {.context = context, .stream = none}}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<RecordEvent>({.place = place(), .event = none}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<WaitEvent>({.place = place(), .event = none}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<QueryEvent>({.event = none}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<ElapsedTime>({.start = none, .end = none}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<FindFunction>({.owner = none, .id = 1, .context = context}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<FindGlobal>({.owner = none, .context = context}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<KernelFunction>({.kernel = 30, .id = 1, .context = context}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<LibraryModule>({.library = 20, .id = 1, .context = context}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<Launch>({.place = place(), .function = none}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<LaunchHost>({.place = place(), .token = 1}), CUDA_ERROR_INVALID_VALUE) << "it serves no upcalls";
  for (std::uint32_t kind = 0; kind < 12; ++kind) {
    EXPECT_NE(status<Release>({.kind = static_cast<ObjectKind>(kind), .id = none}), CUDA_SUCCESS);
  }
  EXPECT_EQ(status<CreateStream>({.id = 40, .context = context}), CUDA_SUCCESS);
  EXPECT_EQ(status<CreateStream>({.id = 40, .context = context}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<CreateStream>({.id = legacy_stream, .context = context}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<CreateEvent>({.id = 0, .context = context}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<CreatePool>({.id = 41, .device = 99}), CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(status<CreatePool>({.id = 41}), CUDA_SUCCESS);
  EXPECT_EQ(status<CreatePool>({.id = 41}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<AllocateInOrder>({.place = place(), .size = 64, .pool = none}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<Query>({.question = {.subject = Subject::pool_attribute, .object = none}}),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<Release>({.kind = ObjectKind::pool, .id = 41}), CUDA_SUCCESS);
  EXPECT_EQ(status<AllocateInOrder>({.place = place(), .size = 64, .pool = 41}), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(HostileCudaClient, points_outside_of_the_region_and_of_device_memory) {
  const Reference wild = Reference::make(0, std::uint64_t{1} << 40, 4096);
  const Reference other_window = Reference::make(3, 0, 64);
  for (const Reference& reference : {wild, other_window}) {
    EXPECT_EQ(status<CopySlab>({.place = place(), .device = address(), .slab = reference}), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(status<UseSlab>({.context = context, .memory = reference}), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(status<LoadModule>({.id = 21, .context = context, .image = reference}), CUDA_ERROR_INVALID_VALUE);
  }
  const std::array<std::byte, 64> some{};
  for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{4096}, address() + bytes - 8, UINT64_MAX - 3,
                                 reinterpret_cast<std::uint64_t>(&some)}) {
    EXPECT_EQ(status<CopyIn>({.place = place(), .to = at}, some), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(status<CopyOut>({.place = place(), .from = at, .size = 64}), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(status<CopyDevice>({.place = place(), .to = at, .from = address(), .size = 64}),
              CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(status<CopySlab>({.place = place(), .device = at, .slab = frame().reference()}),
              CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(status<Fill>({.place = place(), .address = at, .width = 64, .height = 1}), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(status<Free>({.context = context, .address = at}), CUDA_ERROR_INVALID_VALUE);
  }
  EXPECT_EQ(status<CopyOut>({.place = place(), .from = address(), .size = UINT64_MAX}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<Fill>({.place = place(), .address = address(), .width = 1, .height = 1, .element = 3}),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<Fill>({.place = place(), .address = address(), .pitch = UINT64_MAX, .width = 1, .height = 9}),
            CUDA_ERROR_INVALID_VALUE);
}

TEST_F(HostileCudaClient, sends_boxes_that_overflow) {
  const BoxSide device{.address = address(), .pitch = 64, .height = 8};
  const BoxSide slab{.slab = frame().reference(), .pitch = 64, .height = 8};
  const auto box = [&](BoxSide from, BoxSide to, std::uint64_t width, std::uint64_t height, std::uint64_t depth) {
    return status<CopyBox>(
        {.place = place(), .from = from, .to = to, .width = width, .height = height, .depth = depth});
  };
  EXPECT_EQ(box(slab, device, 64, 8, 8), CUDA_SUCCESS);
  EXPECT_EQ(box(device, slab, 64, 8, 8), CUDA_SUCCESS);
  EXPECT_EQ(box(slab, device, 64, 8, 9), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(box(slab, device, 65, 8, 8), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(box(slab, device, UINT64_MAX, 1, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(box(slab, device, 1, UINT64_MAX, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(box(slab, device, 1, 1, UINT64_MAX), CUDA_ERROR_INVALID_VALUE);
  // Last slices and rows whose sums wrap to the first ones.
  BoxSide later_slab = slab;
  BoxSide later_device = device;
  later_slab.z = later_device.z = later_slab.y = later_device.y = 2;
  EXPECT_EQ(box(later_slab, later_device, 8, 1, UINT64_MAX), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(box(later_slab, later_device, 8, UINT64_MAX, 1), CUDA_ERROR_INVALID_VALUE);
  for (auto field : {&BoxSide::x, &BoxSide::y, &BoxSide::z, &BoxSide::pitch, &BoxSide::height}) {
    BoxSide bad = slab;
    bad.*field = UINT64_MAX;
    EXPECT_EQ(box(bad, device, 2, 2, 2), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(box(device, bad, 2, 2, 2), CUDA_ERROR_INVALID_VALUE);
  }
}

TEST_F(HostileCudaClient, launches_with_parameters_and_attributes_that_do_not_fit) {
  Launch::Request launch{.place = place(), .function = 30, .grid = {1, 1, 1}, .block = {1, 1, 1}};
  struct {
    std::uint64_t where;
    std::uint32_t value;
  } parameters{address(), 5};
  const auto packed = std::as_bytes(std::span(&parameters, 1)).first(12);
  EXPECT_EQ(status<Launch>(launch, packed), CUDA_SUCCESS);
  EXPECT_EQ(status<Launch>(launch, packed.first(11)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<Launch>(launch), CUDA_ERROR_INVALID_VALUE);
  launch.attributes = 1;
  EXPECT_EQ(status<Launch>(launch, packed), CUDA_ERROR_INVALID_VALUE);
  launch.attributes = UINT32_MAX;
  EXPECT_EQ(status<Launch>(launch, packed), CUDA_ERROR_INVALID_VALUE);
  launch.attributes = 1;
  std::vector<std::byte> body(sizeof(LaunchAttributeRow) + packed.size());
  const LaunchAttributeRow row{.attribute = CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT};
  std::memcpy(body.data(), &row, sizeof row);
  EXPECT_EQ(status<Launch>(launch, body), CUDA_ERROR_NOT_SUPPORTED) << "it would name an object of the driver's";
  launch.attributes = 0;
  launch.grid = {0, 1, 1};
  EXPECT_NE(status<Launch>(launch, packed), CUDA_SUCCESS);
}

TEST_F(HostileCudaClient, uses_what_was_in_a_context_that_is_gone) {
  ASSERT_EQ(status<CreateContext>({.id = 11}), CUDA_SUCCESS);
  ASSERT_EQ(status<CreateStream>({.id = 41, .context = 11}), CUDA_SUCCESS);
  ASSERT_EQ(status<CreateEvent>({.id = 42, .context = 11}), CUDA_SUCCESS);
  std::memcpy(frame().data(), test::kernels, std::strlen(test::kernels) + 1);
  const auto loaded = client().call<LoadModule>(
      {.id = 43, .context = 11, .image = frame().reference(0, std::strlen(test::kernels) + 1)});
  ASSERT_TRUE(loaded);
  ASSERT_EQ(loaded->reply.status, CUDA_SUCCESS);
  const auto name = std::as_bytes(std::span("nothing", 7));
  ASSERT_EQ(status<FindFunction>({.owner = 43, .id = 44, .context = 11}, name), CUDA_SUCCESS);
  ASSERT_EQ(status<CreateGraph>({.id = 45}), CUDA_SUCCESS);
  ASSERT_EQ(status<Instantiate>({.graph = 45, .id = 46, .context = 11}), CUDA_SUCCESS);
  ASSERT_EQ(status<DestroyContext>({.id = 11}), CUDA_SUCCESS);
  EXPECT_EQ(status<SyncStream>({.place = {.context = context, .stream = 41}}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<QueryEvent>({.event = 42}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<FindFunction>({.owner = 43, .id = 47, .context = context}, name), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<FindGlobal>({.owner = 43, .context = context}, name), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<Launch>({.place = place(), .function = 44, .grid = {1, 1, 1}, .block = {1, 1, 1}}),
            CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<LaunchGraph>({.place = place(), .executable = 46}), CUDA_ERROR_INVALID_HANDLE);
  for (const auto& [kind, id] : {std::pair{ObjectKind::stream, 41},
                                 {ObjectKind::event, 42},
                                 {ObjectKind::module, 43},
                                 {ObjectKind::function, 44},
                                 {ObjectKind::executable, 46}}) {
    EXPECT_EQ(status<Release>({.kind = kind, .id = static_cast<Id>(id)}), CUDA_ERROR_INVALID_HANDLE);
  }
}

TEST_F(HostileCudaClient, is_told_of_a_failure_whose_thread_has_ended) {
  std::thread([this] {
    auto channel = lane().channel();
    ASSERT_TRUE(channel);
    ASSERT_TRUE(marshal::Client(**channel).post<Release>({.kind = ObjectKind::event, .id = 4711}));
    ASSERT_TRUE(marshal::Client(**channel).post<Release>({.kind = ObjectKind::stream, .id = 0}));
  }).join();
  // Its twin ends when it sees that the thread has; until then the failure waits for that thread.
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  std::int32_t told = CUDA_SUCCESS;
  while (told == CUDA_SUCCESS && std::chrono::steady_clock::now() < patience) {
    told = status<SyncContext>({.context = context});
  }
  EXPECT_EQ(told, CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<SyncContext>({.context = context}), CUDA_SUCCESS) << "once";
}

TEST_F(HostileCudaClient, has_modules_loaded_that_are_none) {
  const auto load = [&](LoadModule::Request request, std::span<const std::byte> options = {}) {
    request.id = 25;
    request.context = context;
    request.image = frame().reference();
    const auto loaded = client().call<LoadModule>(request, options);
    EXPECT_TRUE(loaded);
    return loaded->status != 0 ? loaded->status : loaded->reply.status;
  };
  std::memset(frame().data(), 'x', frame().size());
  EXPECT_EQ(load({}), CUDA_ERROR_INVALID_IMAGE) << "a text without an end";
  frame().data()[100] = std::byte{0};
  EXPECT_NE(load({}), CUDA_SUCCESS);
  EXPECT_EQ(load({.options = 1}), CUDA_ERROR_INVALID_VALUE);
  const JitOption address_option{.option = CU_JIT_GLOBAL_SYMBOL_ADDRESSES, .value = 1};
  EXPECT_EQ(load({.options = 1}, std::as_bytes(std::span(&address_option, 1))), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(HostileCudaClient, links_what_cannot_be_linked) {
  const JitOption address_option{.option = CU_JIT_ERROR_LOG_BUFFER, .value = 1};
  const auto options = std::as_bytes(std::span(&address_option, 1));
  EXPECT_EQ(status<CreateLink>({.id = 60, .context = 99}), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(status<CreateLink>({.id = 60, .context = context, .options = 1}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<CreateLink>({.id = 60, .context = context, .options = 1}, options), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<CreateLink>({.id = 60, .context = context, .options = UINT32_MAX}), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(status<CreateLink>({.id = 60, .context = context, .info_log = UINT32_MAX, .error_log = UINT32_MAX}),
            CUDA_SUCCESS);
  EXPECT_EQ(status<CreateLink>({.id = 60, .context = context}), CUDA_ERROR_INVALID_HANDLE);
  const Reference data = frame().reference();
  EXPECT_EQ(status<AddToLink>({.id = 61, .data = data, .type = CU_JIT_INPUT_PTX}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<AddToLink>({.id = 60, .data = data, .type = UINT32_MAX}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<AddToLink>({.id = 60, .data = data, .type = CU_JIT_INPUT_PTX, .options = 1}),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<AddToLink>({.id = 60, .data = {}, .type = CU_JIT_INPUT_PTX}), CUDA_ERROR_INVALID_VALUE);
  const auto add = [&] {
    std::vector<std::byte> logs(abi::max_body);
    const auto added = client().call<AddToLink>({.id = 60, .data = data, .type = CU_JIT_INPUT_PTX}, {}, logs);
    return added && added->status == CUDA_SUCCESS ? added->reply.status : INT32_MIN;
  };
  std::memset(frame().data(), 'x', frame().size());  // a text without an end
  EXPECT_EQ(add(), CUDA_ERROR_INVALID_PTX);
  EXPECT_EQ(status<ReadLink>({.id = 60, .into = data}), CUDA_ERROR_INVALID_VALUE) << "it is not complete";
  std::memcpy(frame().data(), test::kernels, std::strlen(test::kernels) + 1);
  EXPECT_EQ(add(), CUDA_SUCCESS);
  std::vector<std::byte> logs(abi::max_body);
  const auto done = client().call<CompleteLink>({.id = 60}, {}, logs);
  ASSERT_TRUE(done && done->status == CUDA_SUCCESS);
  EXPECT_EQ(done->reply.jit.status, CUDA_SUCCESS);
  EXPECT_GT(done->reply.bytes, 8U);
  EXPECT_EQ(status<ReadLink>({.id = 60, .into = frame().reference(0, 8)}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<ReadLink>({.id = 60, .into = frame().reference(0, done->reply.bytes)}), CUDA_SUCCESS);
  EXPECT_EQ(status<Release>({.kind = ObjectKind::link, .id = 60}), CUDA_SUCCESS);
  EXPECT_EQ(status<CompleteLink>({.id = 60}), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(HostileCudaClient, reads_and_writes_beyond_managed_variables) {
  constexpr std::string_view text =
      ".version 8.0\n.target sm_90\n.address_size 64\n.global .attribute(.managed) .align 4 .b8 both[16];\n"
      ".global .align 4 .b8 room[16];\n";
  std::memset(frame().data(), 0, frame().size());
  std::memcpy(frame().data(), text.data(), text.size());
  const auto loaded =
      client().call<LoadModule>({.id = 62, .image = frame().reference(0, text.size() + 1), .library = 1});
  ASSERT_TRUE(loaded && loaded->status == CUDA_SUCCESS && loaded->reply.status == CUDA_SUCCESS);
  const auto name = [](std::string_view of) { return std::as_bytes(std::span(of)); };
  EXPECT_EQ(status<FindGlobal>({.owner = 20, .context = context, .managed = 1}, name("room")),
            CUDA_ERROR_INVALID_HANDLE)
      << "it is no library";
  EXPECT_EQ(status<FindGlobal>({.owner = 62, .context = context, .managed = 1}, name("room")), CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(status<FindGlobal>({.owner = 62, .context = 99, .managed = 1}, name("both")), CUDA_ERROR_INVALID_CONTEXT);
  const auto found = client().call<FindGlobal>({.owner = 62, .context = context, .managed = 1}, name("both"));
  ASSERT_TRUE(found && found->status == CUDA_SUCCESS);
  ASSERT_EQ(found->reply.size, 16U);
  const std::uint64_t at = found->reply.address;
  const std::array<std::byte, 17> some{};
  EXPECT_EQ(status<ReadManaged>({.owner = 62, .address = at, .size = 16}), CUDA_SUCCESS);
  EXPECT_EQ(status<WriteManaged>({.owner = 62, .address = at + 8}, std::span(some).first(8)), CUDA_SUCCESS);
  for (const auto& [address, size] : {std::pair<std::uint64_t, std::uint64_t>{at, 17},
                                      {at - 1, 1},
                                      {at + 17, 1},
                                      {at + 16, 1},
                                      {0, 8},
                                      {UINT64_MAX, 8},
                                      {at, UINT64_MAX},
                                      {at + 1, UINT64_MAX}}) {
    EXPECT_EQ(status<ReadManaged>({.owner = 62, .address = address, .size = size}), CUDA_ERROR_INVALID_VALUE);
    const auto written = std::span(some).first(std::min<std::uint64_t>(size, some.size()));
    EXPECT_EQ(status<WriteManaged>({.owner = 62, .address = address}, written), CUDA_ERROR_INVALID_VALUE);
  }
  EXPECT_EQ(status<WriteManaged>({.owner = 62, .address = at}), CUDA_ERROR_INVALID_VALUE) << "nothing";
  EXPECT_EQ(status<ReadManaged>({.owner = 20, .address = at, .size = 1}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<ReadManaged>({.owner = 63, .address = at, .size = 1}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<Release>({.kind = ObjectKind::module, .id = 62}), CUDA_SUCCESS);
  EXPECT_EQ(status<ReadManaged>({.owner = 62, .address = at, .size = 1}), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(HostileCudaClient, asks_and_sets_what_is_not_there) {
  for (std::uint32_t subject = 0; subject < 32; ++subject) {
    for (const std::uint64_t value : {std::uint64_t{0}, UINT64_MAX}) {
      const Question question{.subject = static_cast<Subject>(subject),
                              .parameter = UINT32_MAX,
                              .context = context,
                              .object = value,
                              .detail = {value, value, value}};
      status<Query>({.question = question});
      if (question.subject != Subject::limit && question.subject != Subject::primary_flags) {
        status<Configure>({.question = question, .value = value});
      }
    }
  }
}

TEST_F(HostileCudaClient, builds_graphs_that_cannot_be) {
  constexpr Id none = 77;
  EXPECT_EQ(status<CreateGraph>({.id = 0}), CUDA_ERROR_INVALID_HANDLE);
  ASSERT_EQ(status<CreateGraph>({.id = 50}), CUDA_SUCCESS);
  EXPECT_EQ(status<CreateGraph>({.id = 50}), CUDA_ERROR_INVALID_HANDLE);
  AddNode::Request node{.graph = 50, .id = 60, .context = context};
  EXPECT_EQ(status<AddNode>(node), CUDA_SUCCESS);
  node.graph = none;
  EXPECT_EQ(status<AddNode>(node), CUDA_ERROR_INVALID_HANDLE);
  node = {.graph = 50, .id = 61, .context = none};
  EXPECT_EQ(status<AddNode>(node), CUDA_ERROR_INVALID_CONTEXT);
  node = {.graph = 50, .id = 61, .context = context, .dependencies = 1};
  EXPECT_EQ(status<AddNode>(node), CUDA_ERROR_INVALID_VALUE) << "no name of it";
  EXPECT_EQ(status<AddNode>(node, std::as_bytes(std::span(&none, 1))), CUDA_ERROR_INVALID_VALUE);
  node.dependencies = UINT32_MAX;
  EXPECT_EQ(status<AddNode>(node), CUDA_ERROR_INVALID_VALUE);
  node.dependencies = 0;
  const std::vector<std::byte> ones(512, std::byte{0xff});
  for (std::uint32_t kind = 1; kind < 6; ++kind) {
    node.kind = static_cast<NodeKind>(kind);
    EXPECT_NE(status<AddNode>(node), CUDA_SUCCESS) << "without what it is to do";
    EXPECT_NE(status<AddNode>(node, ones), CUDA_SUCCESS);
  }
  EXPECT_EQ(status<Instantiate>({.graph = none, .id = 70, .context = context}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<LaunchGraph>({.place = place(), .executable = none}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_NE(status<EndCapture>({.place = place(), .graph = 51}), CUDA_SUCCESS);
  EXPECT_NE(status<BeginCapture>({.place = place(), .mode = UINT32_MAX}), CUDA_SUCCESS);
  EXPECT_EQ(status<Release>({.kind = ObjectKind::graph, .id = 50}), CUDA_SUCCESS);
  EXPECT_EQ(status<Release>({.kind = ObjectKind::graph, .id = 50}), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(HostileCudaClient, uses_arrays_that_are_none_and_beyond_their_bounds) {
  constexpr Id array = 50;
  constexpr Id mipmapped = 51;
  constexpr Id none = 77;
  const ArrayShape shape{.width = 8, .height = 8, .format = CU_AD_FORMAT_FLOAT, .channels = 1};
  ASSERT_EQ(status<CreateArray>({.id = array, .context = context, .shape = shape}), CUDA_SUCCESS);
  ASSERT_EQ(status<CreateArray>({.id = mipmapped, .context = context, .shape = shape, .levels = 2}), CUDA_SUCCESS);
  EXPECT_EQ(status<CreateArray>({.id = array, .context = context, .shape = shape}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<CreateArray>({.id = 0, .context = context, .shape = shape}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<CreateArray>({.id = 52, .context = none, .shape = shape}), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(status<CreateArray>({.id = 52, .context = context, .shape = shape, .levels = UINT64_MAX}),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<CreateArray>({.id = 52, .context = context}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<ArrayLevel>({.id = 53, .mipmapped = array, .context = context}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(status<ArrayLevel>({.id = 53, .mipmapped = mipmapped, .context = context, .level = UINT64_MAX}),
            CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(status<ArrayLevel>({.id = 53, .mipmapped = mipmapped, .context = context, .level = 1}), CUDA_SUCCESS);
  EXPECT_EQ(status<DestroyArray>({.id = 53, .context = context}), CUDA_ERROR_INVALID_HANDLE) << "a level";

  const RowMemory slab{.slab = frame().reference(), .pitch = 32, .height = 8};
  const RowMemory device{.address = address(), .pitch = 32, .height = 8};
  const auto copy = [&](Id id, const RowMemory& memory, std::uint64_t width, std::uint64_t height,
                        std::uint64_t depth) {
    return status<CopyArray>(
        {.place = place(), .array = {.array = id}, .memory = memory, .width = width, .height = height, .depth = depth});
  };
  EXPECT_EQ(copy(array, slab, 32, 8, 1), CUDA_SUCCESS);
  EXPECT_EQ(copy(array, device, 32, 8, 1), CUDA_SUCCESS);
  EXPECT_EQ(copy(none, slab, 32, 8, 1), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(copy(mipmapped, slab, 32, 8, 1), CUDA_ERROR_INVALID_HANDLE);
  for (const auto& [width, height, depth] :
       {std::array<std::uint64_t, 3>{33, 8, 1}, {UINT64_MAX, 1, 1}, {1, UINT64_MAX, 1}, {1, 1, UINT64_MAX}}) {
    EXPECT_EQ(copy(array, slab, width, height, depth), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(copy(array, device, width, height, depth), CUDA_ERROR_INVALID_VALUE);
  }
  for (auto field : {&RowMemory::pitch, &RowMemory::height}) {
    RowMemory bad = slab;
    bad.*field = UINT64_MAX;
    EXPECT_EQ(copy(array, bad, 4, 2, 2), CUDA_ERROR_INVALID_VALUE);
  }
  EXPECT_EQ(copy(array, {.address = 4096, .pitch = 32, .height = 8}, 32, 8, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<CopyArray>({.place = place(),
                               .array = {.array = array},
                               .source = {.array = none},
                               .width = 4,
                               .height = 1,
                               .depth = 1,
                               .direction = ArrayCopy::from_array}),
            CUDA_ERROR_INVALID_HANDLE);

  const auto texture = [&](const Resource& resource) {
    return status<CreateTexture>({.context = context, .resource = resource});
  };
  EXPECT_EQ(texture({.type = 99}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(texture({.type = CU_RESOURCE_TYPE_ARRAY, .array = mipmapped}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(texture({.type = CU_RESOURCE_TYPE_MIPMAPPED_ARRAY, .array = array}), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(texture({.type = CU_RESOURCE_TYPE_LINEAR, .address = address(), .width = bytes + 1}),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(texture({.type = CU_RESOURCE_TYPE_PITCH2D, .address = address(), .height = UINT64_MAX, .pitch = 512}),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<DestroyTexture>({.context = context, .object = 1}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<DestroyArray>({.id = mipmapped, .context = context}), CUDA_SUCCESS);
  EXPECT_EQ(copy(53, slab, 4, 1, 1), CUDA_ERROR_INVALID_HANDLE) << "it went with the whole";
}

TEST_F(HostileCudaClient, maps_what_it_does_not_have) {
  constexpr std::uint64_t unit = std::uint64_t{2} << 20;
  const auto reserved = client().call<ReserveAddresses>({.size = 4 * unit});
  ASSERT_TRUE(reserved);
  ASSERT_EQ(reserved->status, CUDA_SUCCESS);
  const std::uint64_t at = reserved->reply.address;
  EXPECT_NE(status<ReserveAddresses>({.size = UINT64_MAX}), CUDA_SUCCESS);
  EXPECT_NE(status<ReserveAddresses>({.size = unit + 1}), CUDA_SUCCESS);
  EXPECT_EQ(status<CreateMemory>({.id = 80, .size = 2 * unit, .device = 99}), CUDA_ERROR_INVALID_DEVICE);
  EXPECT_NE(status<CreateMemory>({.id = 80, .size = UINT64_MAX}), CUDA_SUCCESS);
  EXPECT_EQ(status<CreateMemory>({.id = 0, .size = unit}), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(status<CreateMemory>({.id = 80, .size = 2 * unit}), CUDA_SUCCESS);
  EXPECT_EQ(status<CreateMemory>({.id = 80, .size = unit}), CUDA_ERROR_INVALID_VALUE);
  const auto map = [&](std::uint64_t address, std::uint64_t size, std::uint64_t offset = 0, Id id = 80) {
    return status<MapMemory>({.address = address, .size = size, .offset = offset, .memory = id});
  };
  EXPECT_EQ(map(at, unit, 0, 81), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(map(at, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(map(at, 4 * unit), CUDA_ERROR_NOT_SUPPORTED) << "more than there is";
  EXPECT_EQ(map(at, UINT64_MAX), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(map(at, unit, UINT64_MAX), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(map(at, 2 * unit, unit), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(map(at + 3 * unit, 2 * unit), CUDA_ERROR_INVALID_VALUE) << "beyond what is reserved";
  for (const std::uint64_t other : {std::uint64_t{0}, address(), at - unit, UINT64_MAX - unit + 1}) {
    EXPECT_EQ(map(other, unit), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(status<UnmapMemory>({.address = other, .size = unit}), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(status<FreeAddresses>({.address = other, .size = unit}), CUDA_ERROR_INVALID_VALUE);
  }
  ASSERT_EQ(map(at + unit, 2 * unit), CUDA_SUCCESS);
  EXPECT_EQ(map(at + 2 * unit, unit), CUDA_ERROR_INVALID_VALUE) << "mapped already";
  EXPECT_EQ(map(at, 2 * unit), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<FreeAddresses>({.address = at, .size = 4 * unit}), CUDA_ERROR_INVALID_VALUE) << "still mapped";

  const std::array<std::byte, 64> some{};
  const auto write = [&](std::uint64_t to) { return status<CopyIn>({.place = place(), .to = to}, some); };
  EXPECT_EQ(write(at + unit), CUDA_ERROR_INVALID_VALUE) << "nobody has access";
  const AccessRow row{.device = 0, .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  const auto rows = std::as_bytes(std::span(&row, 1));
  const SetMemoryAccess::Request right{.address = at + unit, .size = 2 * unit, .rows = 1};
  EXPECT_EQ(status<SetMemoryAccess>(right), CUDA_ERROR_INVALID_VALUE) << "no row";
  EXPECT_EQ(status<SetMemoryAccess>({.address = at + unit, .size = 2 * unit, .rows = UINT64_MAX / 4}, rows),
            CUDA_ERROR_INVALID_VALUE);
  for (const AccessRow bad : {AccessRow{.device = 99, .flags = row.flags}, AccessRow{.device = 0, .flags = 2}}) {
    EXPECT_NE(status<SetMemoryAccess>(right, std::as_bytes(std::span(&bad, 1))), CUDA_SUCCESS);
  }
  EXPECT_EQ(status<SetMemoryAccess>({.address = at, .size = 2 * unit, .rows = 1}, rows), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<SetMemoryAccess>({.address = address(), .size = 4096, .rows = 1}, rows), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(status<SetMemoryAccess>(right, rows), CUDA_SUCCESS);
  EXPECT_EQ(write(at + unit), CUDA_SUCCESS);
  EXPECT_EQ(write(at + unit - 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(write(at + 3 * unit - 63), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<Free>({.context = context, .address = at + unit}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<FreeInOrder>({.place = place(), .address = at + unit}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<Release>({.kind = ObjectKind::memory, .id = 80}), CUDA_SUCCESS);
  EXPECT_EQ(status<Release>({.kind = ObjectKind::memory, .id = 80}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(write(at + unit), CUDA_SUCCESS) << "mapped memory stays";
  EXPECT_EQ(map(at, unit), CUDA_ERROR_INVALID_VALUE) << "its name is gone";
  EXPECT_EQ(status<SyncContext>({.context = context}), CUDA_SUCCESS);
  EXPECT_EQ(status<UnmapMemory>({.address = at + unit, .size = unit}), CUDA_ERROR_INVALID_VALUE) << "half of it";
  EXPECT_EQ(status<UnmapMemory>({.address = at + unit, .size = 2 * unit}), CUDA_SUCCESS);
  EXPECT_EQ(status<UnmapMemory>({.address = at + 3 * unit, .size = 2 * unit}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<UnmapMemory>({.address = at, .size = UINT64_MAX}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<UnmapMemory>({.address = at, .size = 0}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(write(at + unit), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<FreeAddresses>({.address = at, .size = unit}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<FreeAddresses>({.address = at, .size = 4 * unit}), CUDA_SUCCESS);
}

TEST_F(HostileCudaClient, opens_and_shares_what_is_not_its_to_share) {
  EXPECT_EQ(status<ShareMemory>({.context = 77, .address = address(), .size = 64}), CUDA_ERROR_INVALID_CONTEXT);
  for (const auto& [at, size] : {std::pair{address(), bytes + 1},
                                 {address() + 8, bytes},
                                 {address(), UINT64_MAX},
                                 {address(), std::uint64_t{0}},
                                 {std::uint64_t{4096}, std::uint64_t{64}}}) {
    EXPECT_EQ(status<ShareMemory>({.context = context, .address = at, .size = size}), CUDA_ERROR_INVALID_VALUE);
  }
  const auto shared = client().call<ShareMemory>({.context = context, .address = address() + 512, .size = 1024});
  ASSERT_TRUE(shared);
  ASSERT_EQ(shared->status, CUDA_SUCCESS);
  const auto open = [&](const NoteName& name, std::uint32_t flags = 1) {
    return status<OpenMemory>({.context = context, .name = name, .flags = flags});
  };
  EXPECT_EQ(open(shared->reply.name), CUDA_ERROR_INVALID_CONTEXT) << "its own";
  EXPECT_EQ(open(shared->reply.name, UINT32_MAX), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<OpenEvent>({.id = 90, .context = context, .name = shared->reply.name}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(open({}), CUDA_ERROR_INVALID_VALUE);
  for (const int size : {0, 64, 87, 88, 89, 192}) {
    for (const int kind : {0, 1, 2}) {
      NoteName wild{};
      wild[0] = std::byte{0xff};
      wild[1] = static_cast<std::byte>(size);
      wild[2] = static_cast<std::byte>(kind);
      EXPECT_EQ(open(wild), CUDA_ERROR_INVALID_VALUE);
      EXPECT_EQ(status<OpenEvent>({.id = 90, .context = context, .name = wild}), CUDA_ERROR_INVALID_VALUE);
    }
  }
  for (const std::uint64_t at : {std::uint64_t{0}, address(), UINT64_MAX}) {
    EXPECT_EQ(status<CloseMemory>({.address = at}), CUDA_ERROR_INVALID_VALUE);
  }
  for (const int kind : {3, 4, 5}) {
    NoteName without_descriptor{};
    without_descriptor[0] = std::byte{0xff};
    without_descriptor[1] = std::byte{88};
    without_descriptor[2] = static_cast<std::byte>(kind);
    EXPECT_EQ(status<OpenPhysical>({.id = 92, .name = without_descriptor}), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(status<OpenPool>({.id = 92, .name = without_descriptor}), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(status<OpenPoolMemory>({.context = context, .pool = 77, .name = without_descriptor}),
              CUDA_ERROR_INVALID_VALUE);
  }
  EXPECT_EQ(status<SharePhysical>({.memory = 77}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<SharePool>({.pool = 0}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<SharePoolMemory>({.address = address() + 8}), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<CreateMemory>({.id = 92, .size = std::uint64_t{2} << 20, .handles = UINT16_MAX}),
            CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(status<CreatePool>({.id = 92, .handles = UINT16_MAX}), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(status<ShareEvent>({.event = 77}), CUDA_ERROR_INVALID_HANDLE);
  ASSERT_EQ(status<CreateEvent>({.id = 91, .context = context}), CUDA_SUCCESS);
  EXPECT_EQ(status<ShareEvent>({.event = 91}), CUDA_ERROR_INVALID_HANDLE) << "not for other processes";
  EXPECT_EQ(status<Unshare>({.name = shared->reply.name}), CUDA_SUCCESS);
  EXPECT_EQ(open(shared->reply.name), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(status<Free>({.context = context, .address = address()}), CUDA_SUCCESS);  // and the stand-in's file
}

// Fixed parts of messages, field by field, with values that may lead somewhere.
class Babble {
 public:
  Babble(std::uint64_t seed, std::uint64_t address, Reference frame, Reference image)
      : random_(seed), address_(address), frame_(frame), image_(image) {}

  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  std::uint64_t word() {
    constexpr std::array<std::uint64_t, 12> names_and_sizes{0, 0, 0, 1, 1, 2, 10, 10, 10, 20, 30, 4096};
    switch (below(12)) {
      case 0:
        return random_();
      case 1:
        return below(5000);
      case 2:
      case 3:
        return address_ + below(2) * below(4096);
      case 4:
        return UINT64_MAX - below(3);
      case 5:
        return below(8);
      default:
        return names_and_sizes.at(below(names_and_sizes.size()));
    }
  }
  template <class T>
  void say(std::vector<std::byte>& to) {
    if constexpr (std::is_same_v<T, Reference>) {
      // The image is whole or not there: the stand-in ends where a kernel's body is not what its image says.
      const std::uint64_t offset = below(4) == 0 ? below(frame_.length) : 0;
      const std::uint64_t length = frame_.length - offset;
      put(to, below(8) == 0 ? Reference{word(), word()}
              : below(2) == 0
                  ? image_
                  : Reference{frame_.window_and_offset + offset, below(4) == 0 ? below(length + 1) : length});
    } else if constexpr (std::is_same_v<T, Place>) {
      put(to,
          below(8) == 0 ? Place{.context = word(), .stream = word()} : Place{.context = 10, .stream = 1 + below(2)});
    } else if constexpr (marshal::detail::IsArray<T>::value) {
      for (std::size_t i = 0; i < T().size(); ++i) {
        say<typename marshal::detail::IsArray<T>::Element>(to);
      }
    } else if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
      const std::uint64_t value = word();
      T narrow{};
      std::memcpy(&narrow, &value, sizeof narrow);
      put(to, narrow);
    } else if constexpr (!std::is_empty_v<T>) {
      say_each(to, marshal::detail::fields_of<marshal::detail::known_fields<T>()>(T{}));
    }
  }

 private:
  template <class... T>
  void say_each(std::vector<std::byte>& to, marshal::detail::Fields<T...> /*types*/) {
    (say<std::remove_cv_t<T>>(to), ...);
  }
  template <class T>
  static void put(std::vector<std::byte>& to, const T& value) {
    const auto bytes = std::as_bytes(std::span(&value, 1));
    to.insert(to.end(), bytes.begin(), bytes.end());
  }
  std::mt19937_64 random_;
  std::uint64_t address_;
  Reference frame_;
  Reference image_;
};

struct Form {
  std::uint16_t opcode = 0;
  void (*say)(Babble&, std::vector<std::byte>&) = nullptr;
};
std::vector<Form> forms_of_all_messages() {
  std::vector<Form> forms;
  CudaApi::Messages::each([&]<class M>() {
    if (M::opcode != ReleasePrimary::opcode && M::opcode != DestroyContext::opcode) {  // nothing would get through then
      forms.push_back({.opcode = M::opcode,
                       .say = [](Babble& babble, std::vector<std::byte>& to) { babble.say<typename M::Request>(to); }});
    }
  });
  return forms;
}

// Answers whatever the host asks: nothing waits for the client.
class Agreeable final : public Service {
 public:
  void handle(Request& request) override { std::ignore = request.reply(0, {}, {}); }
};

// Many more by hand: ISTHMUS_TEST_ROUNDS, and others by ISTHMUS_TEST_SEED.
TEST_F(HostileCudaClient, says_random_things_for_a_while) {
  const std::vector<Form> forms = forms_of_all_messages();
  const char* const longer = std::getenv("ISTHMUS_TEST_ROUNDS");
  const char* const seed = std::getenv("ISTHMUS_TEST_SEED");
  const int rounds = longer != nullptr ? std::atoi(longer) : 5'000;
  Babble babble(seed != nullptr ? std::strtoull(seed, nullptr, 10) : 11, address(), frame().reference(),
                image().reference());
  leaves_something_ = true;
  ASSERT_TRUE(lane().serve_upcalls(std::make_unique<Agreeable>()));
  int succeeded = 0;
  for (int i = 0; i < rounds; ++i) {
    const Form& form = forms[babble.below(forms.size())];
    std::vector<std::byte> all;
    form.say(babble, all);
    const std::size_t fixed = all.size();
    for (std::uint64_t words = babble.below(3) * babble.below(12); words > 0; --words) {
      babble.say<std::uint64_t>(all);
    }
    const Message message{.api = CudaApi::id,
                          .opcode = form.opcode,
                          .fixed = std::span(all).first(fixed),
                          .trailing = std::span(all).subspan(fixed)};
    if (babble.below(8) == 0) {
      ASSERT_TRUE(channel().post(message)) << "round " << i << ", opcode " << form.opcode;
      continue;
    }
    std::vector<std::byte> reply(abi::max_body);
    const auto answered = channel().call(message, reply, Channel::Clock::now() + std::chrono::seconds(60));
    ASSERT_TRUE(answered) << "round " << i << ", opcode " << form.opcode << ": " << answered.error().message;
    succeeded += answered->status == 0 ? 1 : 0;
  }
  EXPECT_GT(succeeded, rounds / 25) << "hardly anything got through the first checks";
}

TEST(CudaOutput, waits_in_its_order_and_is_bounded) {
  std::vector<std::byte> piece(100);
  const auto take = [&] {
    const Output::Taken taken = Output::take(piece);
    return std::string(taken.is_error ? "!" : "") +
           std::string(reinterpret_cast<const char*>(piece.data()), taken.bytes) + (taken.more ? "+" : "");
  };
  const auto add = [](std::string_view text, bool is_error) { Output::add(std::as_bytes(std::span(text)), is_error); };
  EXPECT_FALSE(Output::waits());
  EXPECT_EQ(take(), "");
  add("one ", false);
  add("two", false);
  add("wrong", true);
  add("three", false);
  EXPECT_TRUE(Output::waits());
  EXPECT_EQ(take(), "one two+");
  EXPECT_EQ(take(), "!wrong+");
  EXPECT_EQ(take(), "three");
  EXPECT_EQ(take(), "");
  EXPECT_FALSE(Output::waits());
  const std::string large(Output::most - 1, 'x');
  add(large, false);
  add("1234", false);
  add("more", true);
  piece.resize(Output::most);
  const Output::Taken all = Output::take(piece);
  EXPECT_EQ(all.bytes, Output::most);
  EXPECT_EQ(static_cast<char>(piece.back()), '1');
  EXPECT_TRUE(all.more);
  EXPECT_NE(take().find("!isthmus-cuda: 7 bytes of kernels' output were dropped"), std::string::npos);
  EXPECT_EQ(take(), "");
}

}  // namespace
}  // namespace isthmus::cuda
