// SPDX-License-Identifier: Apache-2.0
// Streams and events, threads, callbacks, and order across them.
#include <atomic>
#include <thread>

#include "programs.hpp"

extern "C" __global__ void scale_and_add(int* values, int factor, int term, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) {
    values[i] = static_cast<int>(static_cast<unsigned>(values[i]) * static_cast<unsigned>(factor) +
                                 static_cast<unsigned>(term));
  }
}

namespace {

constexpr int cells = 256;

void step(int* values, int factor, int term, cudaStream_t stream) {
  scale_and_add<<<1, cells, 0, stream>>>(values, factor, term, cells);
}

cudaStream_t new_stream() {
  cudaStream_t made = nullptr;
  CHECK(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking));
  return made;
}

cudaEvent_t new_event() {
  cudaEvent_t made = nullptr;
  CHECK(cudaEventCreate(&made));
  return made;
}

}  // namespace

// Copies and kernels of several streams overlap; events order what has to be in order, and tell the time.
int run_streams() {
  constexpr int streams = 4;
  constexpr int rounds = 20;
  int* pinned = nullptr;
  CHECK(cudaMallocHost(&pinned, streams * cells * sizeof(int)));
  for (int i = 0; i < streams * cells; ++i) {
    pinned[i] = i;
  }
  int* device = device_memory<int>(streams * cells);
  cudaStream_t stream[streams];
  cudaEvent_t start = new_event();
  cudaEvent_t end[streams];
  CHECK(cudaEventRecord(start));
  for (int s = 0; s < streams; ++s) {
    stream[s] = new_stream();
    end[s] = new_event();
    CHECK(cudaStreamWaitEvent(stream[s], start));
    int* mine = device + s * cells;
    CHECK(cudaMemcpyAsync(mine, pinned + s * cells, cells * sizeof(int), cudaMemcpyHostToDevice, stream[s]));
    for (int round = 0; round < rounds; ++round) {
      step(mine, 3, round + s, stream[s]);
    }
    CHECK(cudaMemcpyAsync(pinned + s * cells, mine, cells * sizeof(int), cudaMemcpyDeviceToHost, stream[s]));
    CHECK(cudaEventRecord(end[s], stream[s]));
  }
  for (int s = 0; s < streams; ++s) {
    CHECK(cudaEventSynchronize(end[s]));
    CHECK(cudaEventQuery(end[s]));
    float milliseconds = -1;
    CHECK(cudaEventElapsedTime(&milliseconds, start, end[s]));
    EXPECT(milliseconds >= 0);
    CHECK(cudaStreamQuery(stream[s]));
  }
  for (int i = 0; i < streams * cells; ++i) {
    unsigned expected = static_cast<unsigned>(i);
    for (int round = 0; round < rounds; ++round) {
      expected = expected * 3 + static_cast<unsigned>(round + i / cells);
    }
    EXPECT(pinned[i] == static_cast<int>(expected));
  }
  std::printf("streams: %d streams right, %llx\n", streams,
              checksum(std::vector<int>(pinned, pinned + streams * cells)));
  for (int s = 0; s < streams; ++s) {
    CHECK(cudaEventDestroy(end[s]));
    CHECK(cudaStreamDestroy(stream[s]));
  }
  CHECK(cudaFreeHost(pinned));
  return 0;
}

// Threads that each do their own work, in the default stream and in one of their own.
int run_threads() {
  constexpr int threads = 6;
  std::atomic<int> right{0};
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t) {
    all.emplace_back([t, &right] {
      cudaStream_t stream = t % 2 == 0 ? new_stream() : cudaStreamPerThread;
      int* mine = device_memory<int>(cells);
      CHECK(cudaMemsetAsync(mine, 0, cells * sizeof(int), stream));
      for (int round = 1; round <= 50; ++round) {
        step(mine, 1, round * t, stream);
      }
      CHECK(cudaStreamSynchronize(stream));
      const auto got = fetch(mine, cells);
      for (int value : got) {
        EXPECT(value == t * 50 * 51 / 2);
      }
      CHECK(cudaFree(mine));
      ++right;
    });
  }
  for (auto& thread : all) {
    thread.join();
  }
  std::printf("threads: %d of %d right\n", right.load(), threads);
  return right == threads ? 0 : 1;
}

// Host functions and callbacks come in their turn, between the copies around them.
int run_callbacks() {
  struct Seen {
    int* from;
    std::vector<int> values;
    std::atomic<int> callbacks{0};
  } seen;
  CHECK(cudaMallocHost(&seen.from, sizeof(int)));
  int* device = device_memory<int>(cells);
  cudaStream_t stream = new_stream();
  CHECK(cudaMemsetAsync(device, 0, cells * sizeof(int), stream));
  for (int round = 0; round < 10; ++round) {
    step(device, 2, 1, stream);
    CHECK(cudaMemcpyAsync(seen.from, device, sizeof(int), cudaMemcpyDeviceToHost, stream));
    CHECK(cudaLaunchHostFunc(
        stream,
        [](void* data) {
          auto& to = *static_cast<Seen*>(data);
          to.values.push_back(*to.from);
        },
        &seen));
  }
  CHECK(cudaStreamAddCallback(
      stream,
      [](cudaStream_t, cudaError_t status, void* data) {
        static_cast<Seen*>(data)->callbacks += status == cudaSuccess ? 1 : 1000;
      },
      &seen, 0));
  CHECK(cudaStreamSynchronize(stream));
  EXPECT(seen.callbacks == 1);
  EXPECT(seen.values.size() == 10);
  for (int round = 0; round < 10; ++round) {
    EXPECT(seen.values[round] == (2 << round) - 1);
  }
  std::printf("callbacks: 11 calls, last value %d\n", seen.values.back());
  return 0;
}

namespace {

int from_environment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::atoi(text) : otherwise;
}

// What the threads of `order` share. Whoever has the turn uses all of it.
struct Baton {
  int* device = nullptr;
  cudaStream_t same = nullptr;            // blocking
  std::vector<cudaStream_t> blocking;     // one for each thread
  std::vector<cudaStream_t> independent;  // likewise
  cudaStream_t handed_on = nullptr;       // made by one thread, used and destroyed by the next
  cudaEvent_t passed = nullptr;
};

void in_one_stream(Baton& baton, int round, int) { step(baton.device, 3, round, baton.same); }

// In turn, so that nothing but the legacy stream's own rule keeps the order.
void in_the_legacy_stream(Baton& baton, int round, int thread) {
  step(baton.device, 3, round, round % 2 == 0 ? cudaStreamLegacy : baton.blocking[thread]);
}

void by_events(Baton& baton, int round, int thread) {
  CHECK(cudaStreamWaitEvent(baton.independent[thread], baton.passed));
  step(baton.device, 3, round, baton.independent[thread]);
  CHECK(cudaEventRecord(baton.passed, baton.independent[thread]));
}

void in_streams_handed_on(Baton& baton, int round, int) {
  CHECK(cudaStreamWaitEvent(baton.handed_on, baton.passed));
  step(baton.device, 3, round, baton.handed_on);
  CHECK(cudaEventRecord(baton.passed, baton.handed_on));
  CHECK(cudaStreamDestroy(baton.handed_on));
  baton.handed_on = new_stream();
}

void in_memory_of_its_own(Baton& baton, int round, int) {
  constexpr std::size_t bytes = cells * sizeof(int);
  int* mine = device_memory<int>(cells);
  CHECK(cudaMemcpyAsync(mine, baton.device, bytes, cudaMemcpyDeviceToDevice, baton.same));
  step(mine, 3, round, baton.same);
  CHECK(cudaMemcpyAsync(baton.device, mine, bytes, cudaMemcpyDeviceToDevice, baton.same));
  CHECK(cudaFree(mine));
}

}  // namespace

// What one thread has begun, before another begins something, is before it: a baton goes round, and whoever holds it
// does one step, each kind of step for a part of the rounds.
int run_order() {
  const int threads = from_environment("CUDA_PROGRAMS_THREADS", 4);
  const int rounds = from_environment("CUDA_PROGRAMS_ROUNDS", 400);
  void (*const kinds[])(Baton&, int, int) = {in_one_stream, in_the_legacy_stream, by_events, in_streams_handed_on,
                                             in_memory_of_its_own};
  const int rounds_of_a_kind = (rounds + 4) / 5;
  Baton baton;
  baton.device = device_memory<int>(cells);
  CHECK(cudaMemset(baton.device, 0, cells * sizeof(int)));
  CHECK(cudaStreamCreate(&baton.same));
  for (int t = 0; t < threads; ++t) {
    baton.blocking.push_back(nullptr);
    CHECK(cudaStreamCreate(&baton.blocking.back()));
    baton.independent.push_back(new_stream());
  }
  baton.handed_on = new_stream();
  baton.passed = new_event();
  std::atomic<int> turn{0};
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t) {
    all.emplace_back([&, t] {
      for (int round = t; round < rounds; round += threads) {
        while (turn.load() != round) {
          std::this_thread::yield();
        }
        if (round % rounds_of_a_kind == 0) {
          CHECK(cudaDeviceSynchronize());  // kinds do not keep order with each other
        }
        kinds[round / rounds_of_a_kind](baton, round, t);
        turn.store(round + 1);
      }
    });
  }
  for (auto& thread : all) {
    thread.join();
  }
  CHECK(cudaDeviceSynchronize());
  unsigned expected = 0;
  for (int round = 0; round < rounds; ++round) {
    expected = expected * 3 + static_cast<unsigned>(round);
  }
  EXPECT(fetch(baton.device, cells)[cells - 1] == static_cast<int>(expected));
  std::printf("order: %d launches of %d threads in order\n", rounds, threads);
  return 0;
}
