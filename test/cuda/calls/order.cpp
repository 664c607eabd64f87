// SPDX-License-Identifier: Apache-2.0

// Threads pass a baton, and who has it posts the next step of a chain. The chain moves between streams, and with it go
// events, streams and memory that one thread makes, another uses, and a third gives up: if a twin ran anything before
// what returned earlier in another thread, a step would be lost, come twice, or at the wrong time, and the sum be
// wrong.

#include <cstdint>
#include <cstdlib>
#include <deque>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "test/cuda/calls/device.hpp"
#include "test/support/baton.hpp"

namespace isthmus::test {
namespace {

// Turns for each number of threads. A million in total: ISTHMUS_TEST_ROUNDS=250000.
unsigned rounds_asked_for() {
  const char* const text = std::getenv("ISTHMUS_TEST_ROUNDS");
  return text == nullptr ? 300 : static_cast<unsigned>(std::stoul(text));
}

class Order : public Cuda, public testing::WithParamInterface<unsigned> {
 public:
  struct Piece {
    CUdeviceptr memory;
    std::size_t slot;  // of the log
    bool in_order;     // cuMemAllocAsync
    bool is_copied;
  };

  void SetUp() override {
    Cuda::SetUp();
    rounds = rounds_asked_for();
    cell = memory(4);
    log = memory(std::size_t{rounds} * 4);
    ASSERT_EQ(cuMemsetD32(cell, 0, 1), CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD32(log, 0, rounds), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);  // other streams do not wait for this one
    step = kernel("scale_and_add");
    others = {nullptr, CU_STREAM_LEGACY, stream(CU_STREAM_DEFAULT), stream(CU_STREAM_NON_BLOCKING)};
    chain = others.back();
    for (CUevent& event : events) {
      ASSERT_EQ(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
    }
  }

  // One turn; the baton is the thread's.
  void act(unsigned round, unsigned what) {
    switch (what % 16) {
      case 0:
      case 1:
      case 2:
        move_to(others.at(what / 16 % others.size()), events.at(what / 64 % events.size()));
        break;
      case 3:
        move_to_new_stream(what / 16 % 2 == 0 ? CU_STREAM_DEFAULT : CU_STREAM_NON_BLOCKING);
        break;
      case 4:
      case 5:
        allocate(round, what / 16);
        break;
      case 6:
      case 7:
        use_or_free();
        break;
      default:
        break;
    }
    ASSERT_EQ(launch(step, chain, cell, 3, static_cast<int>(round), 1), CUDA_SUCCESS);
    expected = expected * 3 + round;
  }

  void move_to(CUstream next, CUevent event) {
    ASSERT_EQ(cuEventRecord(event, chain), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamWaitEvent(next, event, 0), CUDA_SUCCESS);
    if (is_made) {
      ASSERT_EQ(cuStreamDestroy(chain), CUDA_SUCCESS);  // its work is done all the same
    }
    chain = next;
    is_made = false;
  }
  void move_to_new_stream(unsigned flags) {
    CUstream made = nullptr;
    CUevent event = nullptr;
    ASSERT_EQ(cuStreamCreate(&made, flags), CUDA_SUCCESS);
    ASSERT_EQ(cuEventCreate(&event, 0), CUDA_SUCCESS);
    move_to(made, event);
    is_made = true;
    ASSERT_EQ(cuEventDestroy(event), CUDA_SUCCESS);
  }
  void allocate(unsigned round, unsigned how) {
    Piece piece{.memory = 0, .slot = values.size(), .in_order = how % 2 == 0, .is_copied = false};
    const std::size_t bytes = 4 + how % 4 * 100'000;
    ASSERT_EQ(piece.in_order ? cuMemAllocAsync(&piece.memory, bytes, chain) : cuMemAlloc(&piece.memory, bytes),
              CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD32Async(piece.memory, round + 1, 1, chain), CUDA_SUCCESS);
    values.push_back(round + 1);
    pieces.push_back(piece);
  }
  void use_or_free() {
    if (pieces.empty()) {
      return;
    }
    Piece& piece = pieces.front();
    if (!piece.is_copied) {
      ASSERT_EQ(cuMemcpyDtoDAsync(log + piece.slot * 4, piece.memory, 4, chain), CUDA_SUCCESS);
      piece.is_copied = true;
      return;
    }
    ASSERT_EQ(piece.in_order ? cuMemFreeAsync(piece.memory, chain) : cuMemFree(piece.memory), CUDA_SUCCESS);
    pieces.pop_front();
  }

  unsigned rounds = 0;
  CUdeviceptr cell = 0;
  CUdeviceptr log = 0;
  CUfunction step = nullptr;
  std::array<CUstream, 4> others{};
  std::array<CUevent, 4> events{};
  // Who has the baton has these.
  CUstream chain = nullptr;
  bool is_made = false;  // `chain` is none of `others`
  std::deque<Piece> pieces;
  std::vector<unsigned> values;  // that the log must have in the end
  unsigned expected = 0;
};

TEST_P(Order, is_that_of_the_baton) {
  const unsigned threads = GetParam();
  Baton baton(threads, rounds);
  std::vector<std::thread> team;
  for (unsigned me = 0; me < threads; ++me) {
    team.emplace_back([&, me] {
      EXPECT_EQ(cuCtxSetCurrent(context), CUDA_SUCCESS);
      std::minstd_rand random(me + 1);
      while (const auto round = baton.take(me)) {
        act(static_cast<unsigned>(*round), static_cast<unsigned>(random() / 7));
        // Now and then to oneself: the own channel keeps that order.
        const auto next = static_cast<unsigned>(random() / 7);
        baton.pass(next % 4 == 0 ? me : next / 4);
      }
    });
  }
  for (std::thread& thread : team) {
    thread.join();
  }
  while (!pieces.empty()) {
    use_or_free();
    ASSERT_FALSE(HasFatalFailure());
  }
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(read<unsigned>(cell, 1)[0], expected);
  EXPECT_EQ(read<unsigned>(log, values.size()), values);
}

INSTANTIATE_TEST_SUITE_P(Threads, Order, testing::Values(2U, 3U, 4U, 8U), testing::PrintToStringParamName());

}  // namespace
}  // namespace isthmus::test
