/* SPDX-License-Identifier: Apache-2.0 */

/* c_api_probe CASE ENDPOINT: one test of the C interface, against a real worker or (no endpoint) one of its own. Exit
 * status 0 when all was right. */

/* NOLINTBEGIN(clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling): wants Annex K, which glibc lacks
 */
/* NOLINTBEGIN(readability-identifier-naming): C */

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checks.h"
#include "isthmus/isthmus.h"

/* The probe API, which every worker serves (isthmus/api/probe.hpp). */
enum { probe_api = 1, op_echo = 1, op_hash_chunk = 3, op_hash_finish = 4, op_unknown = 99 };
struct hash_chunk {
  isthmus_reference data;
  isthmus_reference echo;
};
struct hash_finished {
  uint8_t digest[32];
  uint64_t bytes;
};

int version_in_cpp(void);

static const char* endpoint;
static isthmus_lane* lane;
static isthmus_channel* channel;

static void attach(void) {
  OK(isthmus_lane_attach(endpoint, NULL, &lane));
  OK(isthmus_lane_channel(lane, &channel));
}

static isthmus_message echo_of(const void* bytes, size_t size) {
  const isthmus_message message = {
      .struct_size = sizeof message, .api = probe_api, .opcode = op_echo, .trailing = bytes, .trailing_size = size};
  return message;
}
static isthmus_message hash_of(const struct hash_chunk* chunk) {
  const isthmus_message message = {.struct_size = sizeof message,
                                   .api = probe_api,
                                   .opcode = op_hash_chunk,
                                   .fixed = chunk,
                                   .fixed_size = sizeof *chunk};
  return message;
}
static const isthmus_message finish = {
    .struct_size = sizeof(isthmus_message), .api = probe_api, .opcode = op_hash_finish};

static uint64_t in_use(void) {
  isthmus_slab_counts counts = {.struct_size = sizeof counts};
  OK(isthmus_lane_slab_counts(lane, &counts));
  return counts.bytes_in_use;
}
static isthmus_channel_counts counts_now(void) {
  isthmus_channel_counts counts = {.struct_size = sizeof counts};
  OK(isthmus_channel_get_counts(channel, &counts));
  return counts;
}

static char state_of(int pid) {
  char path[64];
  char state = '?';
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE* const stat = fopen(path, "re");
  CHECK(stat != NULL && fscanf(stat, "%*d (%*[^)]) %c", &state) == 1);
  fclose(stat);
  return state;
}

/* Stops the workers, or has them go on. */
static void let_workers(int number) {
  const char* const workers = getenv("ISTHMUS_TEST_WORKERS");
  CHECK(workers != NULL); /* to be run by test_c_api.py */
  FILE* const children = fopen(workers, "re");
  CHECK(children != NULL);
  for (int pid = 0; fscanf(children, "%d", &pid) == 1;) {
    CHECK(kill(pid, number) == 0);
    while (number == SIGSTOP && state_of(pid) != 'T') {
    }
  }
  fclose(children);
}

/* ---- what works ---- */

static void calls(void) {
  CHECK(isthmus_abi_version() == ISTHMUS_ABI_VERSION && version_in_cpp());
  CHECK(strcmp(isthmus_last_error(), "") == 0);
  CHECK(strcmp(isthmus_result_name(ISTHMUS_TIMED_OUT), "timed_out") == 0);
  CHECK(strcmp(isthmus_result_name(ISTHMUS_SYSTEM), "system") == 0);
  CHECK(strcmp(isthmus_result_name(1000), "unknown") == 0 && strcmp(isthmus_result_name(-1), "unknown") == 0);
  const isthmus_attach_options options = {.struct_size = sizeof options, .timeout_ms = 60000};
  OK(isthmus_lane_attach(endpoint, &options, &lane));
  OK(isthmus_lane_check(lane));
  OK(isthmus_lane_channel(lane, &channel));
  isthmus_channel* again = NULL;
  OK(isthmus_lane_channel(lane, &again));
  CHECK(again == channel);

  char buffer[16] = "";
  isthmus_reply reply = {.struct_size = sizeof reply};
  const isthmus_message message = echo_of("hello", 5);
  OK(isthmus_channel_call(channel, &message, buffer, sizeof buffer, ISTHMUS_FOREVER, &reply));
  CHECK(reply.status == 0 && reply.size == 5 && reply.fixed_size == 0 && memcmp(buffer, "hello", 5) == 0);
  isthmus_message unknown = message;
  unknown.opcode = op_unknown;
  OK(isthmus_channel_call(channel, &unknown, NULL, 0, INT64_MAX, &reply));
  CHECK(reply.status == INT32_MIN);
  CHECK(counts_now().calls == 2);
  OK(isthmus_lane_detach(lane));
}

static void frames(void) {
  attach();
  const uint64_t at_first = in_use();
  isthmus_frame* frame = NULL;
  OK(isthmus_frame_allocate(lane, 100000, &frame));
  CHECK(isthmus_frame_size(frame) == 100000 && in_use() == at_first + 100000);
  memset(isthmus_frame_data(frame), 7, 100000);
  struct hash_chunk chunk = {{0, 0}, {0, 0}};
  OK(isthmus_frame_reference(frame, 0, 100000, &chunk.data));
  isthmus_message message = hash_of(&chunk);
  isthmus_reply reply = {.struct_size = sizeof reply};
  OK(isthmus_channel_call(channel, &message, NULL, 0, ISTHMUS_FOREVER, &reply));
  CHECK(reply.status == 0);

  /* A post takes its frame along, and it is free again once the host has executed it. */
  OK(isthmus_channel_post(channel, &message, &frame, 1, ISTHMUS_FOREVER));
  CHECK(isthmus_frame_data(frame) == NULL && isthmus_frame_size(frame) == 0);
  struct hash_finished finished;
  OK(isthmus_channel_call(channel, &finish, &finished, sizeof finished, ISTHMUS_FOREVER, &reply));
  CHECK(reply.status == 0 && reply.size == sizeof finished && finished.bytes == 200000);
  const isthmus_message note = echo_of(NULL, 0);
  CHECK(counts_now().posts == 1);
  while (in_use() != at_first) { /* how far the host is shows with the next posts */
    OK(isthmus_channel_post(channel, &note, NULL, 0, ISTHMUS_FOREVER));
  }

  OK(isthmus_channel_hold(channel));
  for (int i = 0; i < 3; ++i) {
    OK(isthmus_channel_post(channel, &note, NULL, 0, ISTHMUS_FOREVER));
  }
  OK(isthmus_channel_flush(channel));
  OK(isthmus_channel_flush(channel)); /* harmless where nothing is held */

  OK(isthmus_frame_allocate(lane, 1, &frame));
  OK(isthmus_lane_detach(lane));
  *(char*)isthmus_frame_data(frame) = 1; /* frames outlive the handle of their lane */
  OK(isthmus_frame_free(frame));
}

static void in_flight(void) {
  attach();
  int fd = -1;
  OK(isthmus_channel_completion_fd(channel, &fd));
  enum { many = 100 };
  isthmus_call_id ids[many];
  uint32_t answers[many];
  int done[many] = {0};
  isthmus_reply reply = {.struct_size = sizeof reply};
  for (uint32_t i = 0; i < many; ++i) {
    const isthmus_message message = echo_of(&i, sizeof i);
    answers[i] = ~0U;
    OK(isthmus_channel_submit(channel, &message, &answers[i], sizeof answers[i], ISTHMUS_FOREVER, &ids[i]));
  }
  for (uint32_t i = many - 1; i >= many / 2; --i) {
    OK(isthmus_channel_wait(channel, ids[i], ISTHMUS_FOREVER, &reply));
    CHECK(reply.size == sizeof i && answers[i] == i);
  }
  uint32_t left = many / 2;
  while (left > 0) {
    struct pollfd ready = {.fd = fd, .events = POLLIN, .revents = 0};
    uint64_t count = 0;
    for (uint32_t i = 0; i < many / 2; ++i) {
      int answered = 0;
      if (!done[i]) {
        OK(isthmus_channel_poll(channel, ids[i], &reply, &answered));
      }
      if (answered) {
        CHECK(answers[i] == i);
        done[i] = 1;
        --left;
      }
    }
    if (left > 0) {
      CHECK(poll(&ready, 1, 60000) == 1);
      CHECK(read(fd, &count, sizeof count) == sizeof count);
    }
  }
  int answered = 0;
  FAILS(isthmus_channel_poll(channel, ids[many - 1], &reply, &answered), ISTHMUS_INVALID_ARGUMENT, "not open");

  /* A worker that stands still answers nothing. */
  let_workers(SIGSTOP);
  isthmus_frame* frame = NULL;
  OK(isthmus_frame_allocate(lane, 8 << 20, &frame));
  struct hash_chunk chunk = {{0, 0}, {0, 0}};
  OK(isthmus_frame_reference(frame, 0, 8 << 20, &chunk.data));
  const isthmus_message slow = hash_of(&chunk);
  isthmus_call_id backlog[8];
  for (int i = 0; i < 8; ++i) {
    OK(isthmus_channel_submit(channel, &slow, NULL, 0, ISTHMUS_FOREVER, &backlog[i]));
  }
  FAILS(isthmus_channel_wait(channel, backlog[7], 0, &reply), ISTHMUS_TIMED_OUT, "");
  int may_still_run = 0;
  OK(isthmus_channel_cancel(channel, backlog[7], &may_still_run));
  CHECK(may_still_run == 1);
  FAILS(isthmus_channel_cancel(channel, backlog[7], NULL), ISTHMUS_INVALID_ARGUMENT, "not open");
  const uint64_t before = in_use();
  OK(isthmus_channel_keep(channel, frame));
  CHECK(in_use() == before); /* still: the host may be writing there */
  let_workers(SIGCONT);
  for (int i = 0; i < 7; ++i) {
    OK(isthmus_channel_wait(channel, backlog[i], ISTHMUS_FOREVER, &reply));
  }
  const isthmus_message nothing = echo_of(NULL, 0);
  OK(isthmus_channel_call(channel, &nothing, NULL, 0, ISTHMUS_FOREVER, &reply));
  CHECK(counts_now().dropped_replies == 1);
  CHECK(in_use() == before - (8 << 20));
  OK(isthmus_lane_detach(lane));
}

/* ---- what cannot work ---- */

static void bad_messages(void) {
  attach();
  static char large[65536];
  isthmus_reply reply = {.struct_size = sizeof reply, .size = 77};
  isthmus_call_id id = 0;
  /* A body that no descriptor holds, by either of its parts, together, and by sizes whose sum wraps around. */
  const size_t sizes[][2] = {{0, 40000}, {40000, 0}, {20000, 20000}, {65536, 0}, {2, SIZE_MAX}, {SIZE_MAX, 2}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
    isthmus_message message = echo_of(large, sizes[i][1]);
    message.fixed = large;
    message.fixed_size = sizes[i][0];
    FAILS(isthmus_channel_call(channel, &message, large, sizeof large, ISTHMUS_FOREVER, &reply),
          ISTHMUS_INVALID_ARGUMENT, "possible");
    FAILS(isthmus_channel_post(channel, &message, NULL, 0, ISTHMUS_FOREVER), ISTHMUS_INVALID_ARGUMENT, "possible");
    FAILS(isthmus_channel_submit(channel, &message, NULL, 0, ISTHMUS_FOREVER, &id), ISTHMUS_INVALID_ARGUMENT,
          "possible");
  }
  /* The longest that is promised fits, and a reply that is longer than its buffer is refused whole. */
  const isthmus_message longest = echo_of(large, 32764);
  OK(isthmus_channel_call(channel, &longest, large, sizeof large, ISTHMUS_FOREVER, &reply));
  CHECK(reply.size == 32764);
  CHECK(isthmus_channel_call(channel, &longest, large, 100, ISTHMUS_FOREVER, &reply) == ISTHMUS_INVALID_ARGUMENT);
  /* References that the host has to refuse: outside the region, in no window, wrapped around. */
  const isthmus_reference outside[] = {
      {UINT64_C(1) << 40, 16}, {UINT64_C(9) << 56, 16}, {4 << 20, UINT64_MAX}, {0, 64}};
  for (size_t i = 0; i < sizeof outside / sizeof *outside; ++i) {
    const struct hash_chunk chunk = {outside[i], {0, 0}};
    const isthmus_message message = hash_of(&chunk);
    OK(isthmus_channel_call(channel, &message, NULL, 0, ISTHMUS_FOREVER, &reply));
    CHECK(reply.status == 1);
  }
  OK(isthmus_lane_check(lane));
  OK(isthmus_lane_detach(lane));
}

static void bad_handles(void) {
  attach();
  isthmus_frame* frame = NULL;
  isthmus_frame* other = NULL;
  isthmus_reference reference;
  OK(isthmus_frame_allocate(lane, 64, &frame));
  OK(isthmus_frame_allocate(lane, 64, &other));
  FAILS(isthmus_frame_reference(frame, 60, 5, &reference), ISTHMUS_INVALID_ARGUMENT, "not within");
  FAILS(isthmus_frame_reference(frame, SIZE_MAX, 2, &reference), ISTHMUS_INVALID_ARGUMENT, "not within");
  OK(isthmus_frame_reference(frame, 64, 0, &reference));
  FAILS(isthmus_frame_allocate(lane, 0, &frame), ISTHMUS_INVALID_ARGUMENT, "");
  FAILS(isthmus_frame_allocate(lane, SIZE_MAX, &frame), ISTHMUS_EXHAUSTED, "");

  const isthmus_message note = echo_of(NULL, 0);
  isthmus_frame* twice[] = {frame, other, frame};
  FAILS(isthmus_channel_post(channel, &note, twice, 3, ISTHMUS_FOREVER), ISTHMUS_INVALID_ARGUMENT, "twice");
  CHECK(isthmus_frame_size(frame) == 64 && isthmus_frame_size(other) == 64);

  /* Freed twice; also when the slot has a new owner by then. */
  OK(isthmus_frame_free(frame));
  FAILS(isthmus_frame_free(frame), ISTHMUS_INVALID_ARGUMENT, "freed");
  isthmus_frame* newer = NULL;
  OK(isthmus_frame_allocate(lane, 128, &newer));
  FAILS(isthmus_frame_free(frame), ISTHMUS_INVALID_ARGUMENT, "freed");
  FAILS(isthmus_channel_keep(channel, frame), ISTHMUS_INVALID_ARGUMENT, "freed");
  isthmus_frame* one_bad[] = {other, frame};
  FAILS(isthmus_channel_post(channel, &note, one_bad, 2, ISTHMUS_FOREVER), ISTHMUS_INVALID_ARGUMENT, "freed");
  CHECK(isthmus_frame_size(newer) == 128 && isthmus_frame_size(other) == 64);
  CHECK(isthmus_frame_data(frame) == NULL && isthmus_frame_size(frame) == 0);
  OK(isthmus_frame_free(newer));
  OK(isthmus_frame_free(other));
  OK(isthmus_frame_free(NULL));

  /* Handles of another kind, wild ones, and those of a lane that was detached. */
  isthmus_reply reply = {.struct_size = sizeof reply};
  CHECK(isthmus_frame_free((isthmus_frame*)channel) == ISTHMUS_INVALID_ARGUMENT);
  CHECK(isthmus_lane_check((isthmus_lane*)channel) == ISTHMUS_INVALID_ARGUMENT);
  CHECK(isthmus_lane_check((isthmus_lane*)&reply) == ISTHMUS_INVALID_ARGUMENT);
  CHECK(isthmus_channel_call((isthmus_channel*)lane, &note, NULL, 0, 0, &reply) == ISTHMUS_INVALID_ARGUMENT);
  OK(isthmus_lane_detach(NULL));
  OK(isthmus_lane_detach(lane));
  FAILS(isthmus_lane_detach(lane), ISTHMUS_INVALID_ARGUMENT, "detached");
  FAILS(isthmus_lane_check(lane), ISTHMUS_INVALID_ARGUMENT, "detached");
  FAILS(isthmus_frame_allocate(lane, 1, &frame), ISTHMUS_INVALID_ARGUMENT, "detached");
  FAILS(isthmus_channel_call(channel, &note, NULL, 0, 0, &reply), ISTHMUS_INVALID_ARGUMENT, "detached");
}

static void nulls(void) {
  attach();
  isthmus_lane* no_lane = NULL;
  isthmus_channel* no_channel = NULL;
  isthmus_reply reply = {.struct_size = sizeof reply};
  isthmus_channel_counts counts = {.struct_size = sizeof counts};
  isthmus_slab_counts slab = {.struct_size = sizeof slab};
  isthmus_frame* frame = NULL;
  isthmus_call_id id = 0;
  int number = 0;
  const isthmus_message note = echo_of(NULL, 0);
  isthmus_message without_bytes = echo_of(NULL, 1);
  OK(isthmus_frame_allocate(lane, 1, &frame));
  REFUSED(isthmus_lane_attach(NULL, NULL, &no_lane));
  REFUSED(isthmus_lane_attach(endpoint, NULL, NULL));
  REFUSED(isthmus_lane_attach("nonsense", NULL, &no_lane));
  CHECK(no_lane == NULL);
  REFUSED(isthmus_lane_check(NULL));
  REFUSED(isthmus_lane_channel(NULL, &no_channel));
  REFUSED(isthmus_lane_channel(lane, NULL));
  REFUSED(isthmus_lane_slab_counts(NULL, &slab));
  REFUSED(isthmus_lane_slab_counts(lane, NULL));
  REFUSED(isthmus_channel_call(NULL, &note, NULL, 0, 0, &reply));
  REFUSED(isthmus_channel_call(channel, NULL, NULL, 0, 0, &reply));
  REFUSED(isthmus_channel_call(channel, &note, NULL, 1, 0, &reply));
  REFUSED(isthmus_channel_call(channel, &note, NULL, 0, 0, NULL));
  REFUSED(isthmus_channel_call(channel, &without_bytes, NULL, 0, 0, &reply));
  REFUSED(isthmus_channel_post(NULL, &note, NULL, 0, 0));
  REFUSED(isthmus_channel_hold(NULL));
  REFUSED(isthmus_channel_flush(NULL));
  REFUSED(isthmus_channel_post(channel, NULL, NULL, 0, 0));
  REFUSED(isthmus_channel_post(channel, &note, NULL, 1, 0));
  REFUSED(isthmus_channel_submit(NULL, &note, NULL, 0, 0, &id));
  REFUSED(isthmus_channel_submit(channel, NULL, NULL, 0, 0, &id));
  REFUSED(isthmus_channel_submit(channel, &note, NULL, 1, 0, &id));
  REFUSED(isthmus_channel_submit(channel, &note, NULL, 0, 0, NULL));
  REFUSED(isthmus_channel_poll(NULL, 1, &reply, &number));
  REFUSED(isthmus_channel_poll(channel, 1, NULL, &number));
  REFUSED(isthmus_channel_poll(channel, 1, &reply, NULL));
  REFUSED(isthmus_channel_wait(NULL, 1, 0, &reply));
  REFUSED(isthmus_channel_wait(channel, 1, 0, NULL));
  REFUSED(isthmus_channel_wait(channel, 1, 0, &reply));
  REFUSED(isthmus_channel_cancel(NULL, 1, &number));
  REFUSED(isthmus_channel_cancel(channel, 1, &number));
  REFUSED(isthmus_channel_keep(NULL, frame));
  REFUSED(isthmus_channel_keep(channel, NULL));
  REFUSED(isthmus_channel_completion_fd(NULL, &number));
  REFUSED(isthmus_channel_completion_fd(channel, NULL));
  REFUSED(isthmus_channel_get_counts(NULL, &counts));
  REFUSED(isthmus_channel_get_counts(channel, NULL));
  REFUSED(isthmus_frame_allocate(NULL, 1, &frame));
  REFUSED(isthmus_frame_allocate(lane, 1, NULL));
  REFUSED(isthmus_frame_reference(NULL, 0, 0, &(isthmus_reference){0, 0}));
  REFUSED(isthmus_frame_reference(frame, 0, 0, NULL));
  CHECK(isthmus_frame_data(NULL) == NULL && isthmus_frame_size(NULL) == 0);
  OK(isthmus_frame_free(frame));
  OK(isthmus_lane_detach(lane));
}

static void struct_sizes(void) {
  attach();
  isthmus_reply reply = {.struct_size = sizeof reply};
  const uint32_t impossible[] = {0, 4, 39, 4097, UINT32_MAX};
  for (size_t i = 0; i < sizeof impossible / sizeof *impossible; ++i) {
    isthmus_message message = echo_of("x", 1);
    message.struct_size = impossible[i];
    FAILS(isthmus_channel_call(channel, &message, NULL, 0, 0, &reply), ISTHMUS_INVALID_ARGUMENT, "struct_size");
    const isthmus_attach_options options = {.struct_size = impossible[i] == 39 ? 7 : impossible[i]};
    isthmus_lane* none = NULL;
    FAILS(isthmus_lane_attach(endpoint, &options, &none), ISTHMUS_INVALID_ARGUMENT, "struct_size");
  }
  const isthmus_message note = echo_of(NULL, 0);
  isthmus_reply short_reply = {.struct_size = 15};
  FAILS(isthmus_channel_call(channel, &note, NULL, 0, 0, &short_reply), ISTHMUS_INVALID_ARGUMENT, "struct_size");
  isthmus_slab_counts slab = {.struct_size = 8};
  FAILS(isthmus_lane_slab_counts(lane, &slab), ISTHMUS_INVALID_ARGUMENT, "struct_size");
  isthmus_channel_counts counts = {.struct_size = 5000};
  FAILS(isthmus_channel_get_counts(channel, &counts), ISTHMUS_INVALID_ARGUMENT, "struct_size");

  /* A program of tomorrow: its structs are longer. What this library does not know has to be zero, and is set to it. */
  struct {
    isthmus_message known;
    uint64_t later[4];
  } longer = {.known = echo_of("abc", 3), .later = {0, 0, 0, 0}};
  longer.known.struct_size = sizeof longer;
  struct {
    isthmus_reply known;
    uint64_t later[2];
  } answer = {.known = {.struct_size = sizeof answer}, .later = {1, 2}};
  char buffer[3];
  OK(isthmus_channel_call(channel, &longer.known, buffer, sizeof buffer, ISTHMUS_FOREVER, &answer.known));
  CHECK(answer.known.size == 3 && answer.known.struct_size == sizeof answer);
  CHECK(answer.later[0] == 0 && answer.later[1] == 0);
  longer.later[3] = 1;
  FAILS(isthmus_channel_call(channel, &longer.known, buffer, sizeof buffer, ISTHMUS_FOREVER, &answer.known),
        ISTHMUS_UNSUPPORTED, "not zero");
  OK(isthmus_lane_detach(lane));
}

static void* use_a_foreign_channel(void* unused) {
  (void)unused;
  const isthmus_message note = echo_of(NULL, 0);
  isthmus_reply reply = {.struct_size = sizeof reply};
  isthmus_channel_counts counts = {.struct_size = sizeof counts};
  isthmus_call_id id = 0;
  int number = 0;
  isthmus_frame* frame = NULL;
  CHECK(strcmp(isthmus_last_error(), "") == 0); /* each thread has its own */
  OK(isthmus_frame_allocate(lane, 64, &frame)); /* a lane is anybody's */
  FAILS(isthmus_channel_call(channel, &note, NULL, 0, 0, &reply), ISTHMUS_WRONG_THREAD, "another thread");
  FAILS(isthmus_channel_post(channel, &note, &frame, 1, 0), ISTHMUS_WRONG_THREAD, "another thread");
  FAILS(isthmus_channel_hold(channel), ISTHMUS_WRONG_THREAD, "another thread");
  FAILS(isthmus_channel_flush(channel), ISTHMUS_WRONG_THREAD, "another thread");
  CHECK(isthmus_frame_size(frame) == 64);
  FAILS(isthmus_channel_submit(channel, &note, NULL, 0, 0, &id), ISTHMUS_WRONG_THREAD, "another thread");
  FAILS(isthmus_channel_poll(channel, 1, &reply, &number), ISTHMUS_WRONG_THREAD, "another thread");
  FAILS(isthmus_channel_wait(channel, 1, 0, &reply), ISTHMUS_WRONG_THREAD, "another thread");
  FAILS(isthmus_channel_cancel(channel, 1, NULL), ISTHMUS_WRONG_THREAD, "another thread");
  FAILS(isthmus_channel_keep(channel, frame), ISTHMUS_WRONG_THREAD, "another thread");
  FAILS(isthmus_channel_completion_fd(channel, &number), ISTHMUS_WRONG_THREAD, "another thread");
  FAILS(isthmus_channel_get_counts(channel, &counts), ISTHMUS_WRONG_THREAD, "another thread");
  OK(isthmus_frame_free(frame));
  isthmus_channel* mine = NULL;
  OK(isthmus_lane_channel(lane, &mine));
  CHECK(mine != channel);
  OK(isthmus_channel_call(mine, &note, NULL, 0, ISTHMUS_FOREVER, &reply));
  return mine;
}

static void threads(void) {
  attach();
  FAILS(isthmus_lane_check(NULL), ISTHMUS_INVALID_ARGUMENT, "lane");
  pthread_t thread;
  void* theirs = NULL;
  CHECK(pthread_create(&thread, NULL, use_a_foreign_channel, NULL) == 0);
  CHECK(pthread_join(thread, &theirs) == 0);
  const isthmus_message note = echo_of(NULL, 0);
  isthmus_reply reply = {.struct_size = sizeof reply};
  FAILS(isthmus_channel_call(theirs, &note, NULL, 0, 0, &reply), ISTHMUS_INVALID_ARGUMENT, "ended");
  OK(isthmus_channel_call(channel, &note, NULL, 0, ISTHMUS_FOREVER, &reply));
  OK(isthmus_lane_detach(lane));
}

static void fork_child(void) {
  attach();
  isthmus_frame* frame = NULL;
  OK(isthmus_frame_allocate(lane, 64, &frame));
  memset(isthmus_frame_data(frame), 5, 64);
  const isthmus_message note = echo_of(NULL, 0);
  isthmus_reply reply = {.struct_size = sizeof reply};
  const pid_t child = fork();
  if (child == 0) {
    isthmus_channel* none = NULL;
    isthmus_slab_counts slab = {.struct_size = sizeof slab};
    FAILS(isthmus_channel_call(channel, &note, NULL, 0, 0, &reply), ISTHMUS_WRONG_THREAD, "fork");
    FAILS(isthmus_channel_keep(channel, frame), ISTHMUS_WRONG_THREAD, "fork");
    FAILS(isthmus_lane_channel(lane, &none), ISTHMUS_WRONG_THREAD, "fork");
    FAILS(isthmus_lane_slab_counts(lane, &slab), ISTHMUS_WRONG_THREAD, "fork");
    CHECK(*(char*)isthmus_frame_data(frame) == 5);
    OK(isthmus_frame_free(frame));
    OK(isthmus_lane_detach(lane));
    exit(0);
  }
  int status = 1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  OK(isthmus_channel_call(channel, &note, NULL, 0, ISTHMUS_FOREVER, &reply));
  OK(isthmus_frame_free(frame));
  OK(isthmus_lane_detach(lane));
}

/* The test kills the worker after the line on standard output. */
static void dead_peer(void) {
  attach();
  const isthmus_message note = echo_of(NULL, 0);
  isthmus_reply reply = {.struct_size = sizeof reply};
  puts("attached");
  fflush(stdout);
  isthmus_result result = ISTHMUS_OK;
  while (result == ISTHMUS_OK) {
    result = isthmus_channel_call(channel, &note, NULL, 0, ISTHMUS_FOREVER, &reply);
  }
  CHECK(result == ISTHMUS_PEER_DIED || result == ISTHMUS_CLOSED);
  CHECK(isthmus_lane_check(lane) == result);
  OK(isthmus_lane_detach(lane));
}

static void exhausted(void) {
  attach();
  isthmus_frame* all[4096];
  size_t count = 0;
  isthmus_result result = ISTHMUS_OK;
  while (count < 4096 && (result = isthmus_frame_allocate(lane, 1 << 16, &all[count])) == ISTHMUS_OK) {
    ++count;
  }
  CHECK(result == ISTHMUS_EXHAUSTED && count > 16 && strlen(isthmus_last_error()) > 0);
  while (count > 0) {
    OK(isthmus_frame_free(all[--count]));
  }
  OK(isthmus_frame_allocate(lane, 1 << 16, &all[0]));
  OK(isthmus_frame_free(all[0]));
  OK(isthmus_lane_detach(lane));
  isthmus_lane* none = NULL;
  FAILS(isthmus_lane_attach("shm:nobody-has-that-name", NULL, &none), ISTHMUS_NOT_FOUND, "nobody-has-that-name");
}

/* The library runs out of memory inside C++, and that ends there. */
static void exceptions(void) {
  attach();
  isthmus_frame* frame = NULL;
  OK(isthmus_frame_allocate(lane, 64, &frame));
  const isthmus_message note = echo_of(NULL, 0);
  FAILS(isthmus_channel_post(channel, &note, &frame, (size_t)1 << 48, 0), ISTHMUS_EXHAUSTED, "no memory");
  CHECK(isthmus_frame_size(frame) == 64);
  OK(isthmus_channel_post(channel, &note, &frame, 1, ISTHMUS_FOREVER));
  OK(isthmus_lane_detach(lane));
}

static void hear_a_signal(int signal) { (void)signal; }

/* A program whose timer interrupts every system call that waits. */
static void signals(void) {
  const struct itimerval often = {{0, 1000}, {0, 1000}};
  const struct itimerval never = {{0, 0}, {0, 0}};
  const struct sigaction action = {.sa_handler = hear_a_signal}; /* no SA_RESTART */
  const isthmus_attach_options options = {.struct_size = sizeof options, .timeout_ms = UINT32_MAX};
  CHECK(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
  OK(isthmus_lane_attach(endpoint, &options, &lane));
  OK(isthmus_lane_channel(lane, &channel));
  OK(isthmus_lane_detach(lane));
  CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
}

/* The test listens, and takes no connection any more. */
static void no_connection(void) {
  const isthmus_attach_options options = {.struct_size = sizeof options, .timeout_ms = 20};
  FAILS(isthmus_lane_attach(endpoint, &options, &lane), ISTHMUS_TIMED_OUT, "took no connection");
}

int main(int argc, char** argv) {
  static const struct {
    const char* name;
    void (*run)(void);
  } cases[] = {{"calls", calls},
               {"frames", frames},
               {"in_flight", in_flight},
               {"bad_messages", bad_messages},
               {"bad_handles", bad_handles},
               {"nulls", nulls},
               {"struct_sizes", struct_sizes},
               {"threads", threads},
               {"fork", fork_child},
               {"dead_peer", dead_peer},
               {"exhausted", exhausted},
               {"exceptions", exceptions},
               {"service", service},
               {"service_misused", service_misused},
               {"service_in_child", service_in_child},
               {"upcalls", upcalls},
               {"at_exit", at_exit},
               {"signals", signals},
               {"no_connection", no_connection}};
  alarm(240);
  for (size_t i = 0; (argc == 2 || argc == 3) && i < sizeof cases / sizeof *cases; ++i) {
    if (strcmp(argv[1], cases[i].name) == 0) {
      endpoint = argc == 3 ? argv[2] : NULL;
      cases[i].run();
      return 0;
    }
  }
  fprintf(stderr, "c_api_probe: CASE [ENDPOINT]\n");
  return 2;
}

/* NOLINTEND(readability-identifier-naming) */
/* NOLINTEND(clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling) */
