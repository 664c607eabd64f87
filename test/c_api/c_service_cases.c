/* SPDX-License-Identifier: Apache-2.0 */

/* Cases of c_api_probe: services in C, served by a thread or by a child process. */

/* NOLINTBEGIN(clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling): wants Annex K, which glibc lacks
 */
/* NOLINTBEGIN(readability-identifier-naming): C */

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checks.h"
#include "isthmus/isthmus.h"

enum { own_api = 0x4353 };
enum {
  op_reverse = 1,
  op_sum,
  op_keep,
  op_answer_kept,
  op_hold,
  op_release,
  op_misuse,
  op_stale,
  op_fork,
  op_pid,
  op_ask
};
enum { status_bad = 3, most_kept = 8 };

/* What the service has. Only one channel of each client below asks for what changes it. */
struct device {
  isthmus_pending_call* kept[most_kept];
  uint32_t kept_count;
  isthmus_frame_hold* hold;
  isthmus_request* stale;
};

static isthmus_answer answer_of(int32_t status, const void* fixed, size_t fixed_size) {
  const isthmus_answer answer = {
      .struct_size = sizeof answer, .status = status, .fixed = fixed, .fixed_size = fixed_size};
  return answer;
}

static void reverse(isthmus_request* request, const isthmus_message* asked) {
  char reversed[64];
  const size_t size = asked->trailing_size;
  for (size_t i = 0; i < size; ++i) {
    reversed[i] = ((const char*)asked->trailing)[size - 1 - i];
  }
  isthmus_answer answer = answer_of(0, &size, sizeof size);
  answer.trailing = reversed;
  answer.trailing_size = size;
  OK(isthmus_request_reply(request, &answer));
}

static void sum(isthmus_request* request, const isthmus_message* asked) {
  isthmus_reference reference;
  void* data = NULL;
  uint64_t total = 0;
  memcpy(&reference, asked->fixed, sizeof reference);
  const isthmus_result found = isthmus_request_resolve(request, &reference, &data);
  for (uint64_t i = 0; found == ISTHMUS_OK && i < reference.length; ++i) {
    total += ((const unsigned char*)data)[i];
  }
  CHECK(found == ISTHMUS_OK || (found == ISTHMUS_INVALID_ARGUMENT && strstr(isthmus_last_error(), "not within")));
  const isthmus_answer answer = answer_of(found == ISTHMUS_OK ? 0 : status_bad, &total, sizeof total);
  OK(isthmus_request_reply(request, &answer));
}

/* Not the handler's thread, and in the opposite order. */
static void* answer_kept(void* context) {
  struct device* const device = context;
  while (device->kept_count > 0) {
    isthmus_pending_call* const call = device->kept[--device->kept_count];
    isthmus_answer answer = answer_of(0, &device->kept_count, sizeof device->kept_count);
    answer.fixed_size = 70000;
    FAILS(isthmus_pending_call_reply(call, &answer), ISTHMUS_INVALID_ARGUMENT, "70000");
    answer.fixed_size = sizeof device->kept_count;
    OK(isthmus_pending_call_reply(call, &answer));
    FAILS(isthmus_pending_call_reply(call, &answer), ISTHMUS_INVALID_ARGUMENT, "answered before");
  }
  return NULL;
}

static void misuse(struct device* device, isthmus_request* request) {
  isthmus_pending_call* call = NULL;
  isthmus_message message = {.struct_size = sizeof message};
  isthmus_answer answer = answer_of(0, NULL, 0);
  void* data = NULL;
  isthmus_reference reference = {0, 1};
  isthmus_upcalls* none = NULL;
  REFUSED(isthmus_request_message(request, NULL));
  REFUSED(isthmus_request_message(NULL, &message));
  REFUSED(isthmus_request_resolve(request, NULL, &data));
  REFUSED(isthmus_request_resolve(request, &reference, NULL));
  REFUSED(isthmus_request_resolve(request, &reference, &data));
  REFUSED(isthmus_request_defer(request, NULL));
  REFUSED(isthmus_request_hold_frames(request, NULL));
  REFUSED(isthmus_request_upcalls(request, NULL));
  FAILS(isthmus_request_upcalls(request, &none), ISTHMUS_NOT_FOUND, "upcalls");
  REFUSED(isthmus_request_reply(request, NULL));
  REFUSED(isthmus_request_reply((isthmus_request*)device, &answer));
  REFUSED(isthmus_pending_call_reply(NULL, &answer));
  REFUSED(isthmus_pending_call_reply((isthmus_pending_call*)request, &answer));
  OK(isthmus_frame_hold_release(NULL));
  OK(isthmus_upcalls_release(NULL));
  REFUSED(isthmus_upcalls_release((isthmus_upcalls*)request));
  message.struct_size = 39;
  FAILS(isthmus_request_message(request, &message), ISTHMUS_INVALID_ARGUMENT, "struct_size");
  answer.struct_size = 0;
  FAILS(isthmus_request_reply(request, &answer), ISTHMUS_INVALID_ARGUMENT, "struct_size");
  answer = answer_of(0, NULL, 1);
  FAILS(isthmus_request_reply(request, &answer), ISTHMUS_INVALID_ARGUMENT, "NULL");
  answer = answer_of(0, &answer, 2);
  answer.trailing = &answer;
  answer.trailing_size = SIZE_MAX;
  FAILS(isthmus_request_reply(request, &answer), ISTHMUS_INVALID_ARGUMENT, "possible");
  CHECK(isthmus_request_wants_reply(request) == 1 && isthmus_request_wants_reply(NULL) == 0);
  isthmus_frame_hold* hold = (isthmus_frame_hold*)device;
  OK(isthmus_request_hold_frames(request, &hold)); /* a call's frames are its client's anyway */
  CHECK(hold == NULL);
  answer = answer_of(0, NULL, 0);
  OK(isthmus_request_reply(request, &answer));
  FAILS(isthmus_request_reply(request, &answer), ISTHMUS_INVALID_ARGUMENT, "twice");
  FAILS(isthmus_request_defer(request, &call), ISTHMUS_INVALID_ARGUMENT, "answered or deferred");
  device->stale = request;
}

static void* use_a_foreign_request(void* request) {
  FAILS(isthmus_request_reply(request, &(isthmus_answer){.struct_size = sizeof(isthmus_answer)}),
        ISTHMUS_INVALID_ARGUMENT, "another thread");
  return NULL;
}

/* In a child after fork nothing is answered: not what is asked now, nor what was kept. */
static void answer_in_a_child(struct device* device, isthmus_request* request) {
  const isthmus_answer answer = answer_of(0, NULL, 0);
  const pid_t child = fork();
  if (child == 0) {
    isthmus_message asked = {.struct_size = sizeof asked};
    FAILS(isthmus_request_message(request, &asked), ISTHMUS_WRONG_THREAD, "fork");
    FAILS(isthmus_request_reply(request, &answer), ISTHMUS_WRONG_THREAD, "fork");
    FAILS(isthmus_pending_call_reply(device->kept[0], &answer), ISTHMUS_WRONG_THREAD, "fork");
    OK(isthmus_frame_hold_release(device->hold));
    _exit(0);
  }
  int status = 1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  OK(isthmus_request_reply(request, &answer));
}

static void ask_back(isthmus_request* request) {
  isthmus_upcalls* back = NULL;
  char heard[64];
  isthmus_reply reply = {.struct_size = sizeof reply};
  isthmus_message question = {
      .struct_size = sizeof question, .api = own_api, .opcode = op_reverse, .trailing = "abc", .trailing_size = 3};
  OK(isthmus_request_upcalls(request, &back));
  OK(isthmus_upcalls_call(back, &question, heard, sizeof heard, INT64_C(30000000000), &reply));
  CHECK(reply.status == 0 && reply.fixed_size == sizeof(size_t) && reply.size == sizeof(size_t) + 3);
  question.opcode = op_sum + 100;
  OK(isthmus_upcalls_call(back, &question, heard, sizeof heard, INT64_C(30000000000), &reply));
  CHECK(reply.status == ISTHMUS_UNHANDLED);
  OK(isthmus_upcalls_post(back, &question, ISTHMUS_FOREVER));
  question.trailing = NULL;
  REFUSED(isthmus_upcalls_post(back, &question, ISTHMUS_FOREVER));
  REFUSED(isthmus_upcalls_call(back, &question, heard, sizeof heard, 0, NULL));
  OK(isthmus_upcalls_release(back));
  FAILS(isthmus_upcalls_release(back), ISTHMUS_INVALID_ARGUMENT, "released");
  REFUSED(isthmus_upcalls_post(back, &question, ISTHMUS_FOREVER));
  const isthmus_answer answer = answer_of(0, heard + sizeof(size_t), 3);
  OK(isthmus_request_reply(request, &answer));
}

static void handle(void* context, isthmus_request* request) {
  struct device* const device = context;
  isthmus_message asked = {.struct_size = sizeof asked};
  isthmus_answer answer = answer_of(0, NULL, 0);
  pthread_t thread;
  OK(isthmus_request_message(request, &asked));
  CHECK(asked.api == own_api && asked.struct_size == sizeof asked);
  switch (asked.opcode) {
    case op_reverse:
      reverse(request, &asked);
      break;
    case op_sum:
      sum(request, &asked);
      break;
    case op_keep:
      CHECK(device->kept_count < most_kept);
      OK(isthmus_request_defer(request, &device->kept[device->kept_count++]));
      FAILS(isthmus_request_reply(request, &answer), ISTHMUS_INVALID_ARGUMENT, "twice");
      break;
    case op_answer_kept:
      CHECK(pthread_create(&thread, NULL, answer_kept, device) == 0 && pthread_join(thread, NULL) == 0);
      OK(isthmus_request_reply(request, &answer));
      break;
    case op_hold: {
      isthmus_pending_call* none = NULL;
      CHECK(isthmus_request_wants_reply(request) == 0);
      OK(isthmus_request_hold_frames(request, &device->hold));
      OK(isthmus_request_reply(request, &answer)); /* nobody waits */
      FAILS(isthmus_request_defer(request, &none), ISTHMUS_INVALID_ARGUMENT, "a post");
      break;
    }
    case op_release:
      OK(isthmus_frame_hold_release(device->hold));
      FAILS(isthmus_frame_hold_release(device->hold), ISTHMUS_INVALID_ARGUMENT, "released");
      OK(isthmus_request_reply(request, &answer));
      break;
    case op_misuse:
      misuse(device, request);
      break;
    case op_stale:
      FAILS(isthmus_request_reply(device->stale, &answer), ISTHMUS_INVALID_ARGUMENT, "returned");
      CHECK(pthread_create(&thread, NULL, use_a_foreign_request, request) == 0 && pthread_join(thread, NULL) == 0);
      OK(isthmus_request_reply(request, &answer));
      break;
    case op_fork:
      answer_in_a_child(device, request);
      break;
    case op_pid: {
      const pid_t pid = getpid();
      answer = answer_of(0, &pid, sizeof pid);
      OK(isthmus_request_reply(request, &answer));
      break;
    }
    case op_ask:
      ask_back(request);
      break;
    default: /* left unanswered */
      break;
  }
}

static isthmus_lane* lane;
static isthmus_channel* channel;

static void start(struct device* device, uint32_t in_child) {
  const isthmus_service functions = {.struct_size = sizeof functions, .handle = handle, .context = device};
  const isthmus_local_options options = {
      .struct_size = sizeof options, .timeout_ms = 30000, .region_size = 16 << 20, .in_child = in_child};
  OK(isthmus_lane_start_local(&functions, &options, &lane));
  OK(isthmus_lane_channel(lane, &channel));
}

static isthmus_message ask_of(uint16_t opcode, const void* fixed, size_t fixed_size) {
  const isthmus_message message = {
      .struct_size = sizeof message, .api = own_api, .opcode = opcode, .fixed = fixed, .fixed_size = fixed_size};
  return message;
}
static isthmus_reply ask(uint16_t opcode, const void* fixed, size_t fixed_size, void* buffer, size_t buffer_size) {
  const isthmus_message message = ask_of(opcode, fixed, fixed_size);
  isthmus_reply reply = {.struct_size = sizeof reply};
  OK(isthmus_channel_call(channel, &message, buffer, buffer_size, ISTHMUS_FOREVER, &reply));
  return reply;
}

/* Channels of their own, whose requests the service handles at the same time. */
static void* reverse_often(void* unused) {
  isthmus_channel* mine = NULL;
  (void)unused;
  OK(isthmus_lane_channel(lane, &mine));
  for (uint32_t i = 0; i < 200; ++i) {
    isthmus_message message = ask_of(op_reverse, NULL, 0);
    isthmus_reply reply = {.struct_size = sizeof reply};
    char buffer[sizeof(size_t) + sizeof i];
    message.trailing = &i;
    message.trailing_size = sizeof i;
    OK(isthmus_channel_call(mine, &message, buffer, sizeof buffer, ISTHMUS_FOREVER, &reply));
    CHECK(reply.size == sizeof buffer && buffer[sizeof buffer - 1] == *(const char*)&i);
  }
  return NULL;
}

static uint64_t taken(void) {
  isthmus_slab_counts counts = {.struct_size = sizeof counts};
  OK(isthmus_lane_slab_counts(lane, &counts));
  return counts.bytes_in_use + counts.bytes_held;
}

void service(void) {
  struct device device = {.kept_count = 0};
  start(&device, 0);
  isthmus_message message = ask_of(op_reverse, NULL, 0);
  message.trailing = "hello";
  message.trailing_size = 5;
  isthmus_reply reply = {.struct_size = sizeof reply};
  char buffer[32];
  size_t said = 0;
  OK(isthmus_channel_call(channel, &message, buffer, sizeof buffer, ISTHMUS_FOREVER, &reply));
  CHECK(reply.status == 0 && reply.fixed_size == sizeof said && reply.size == sizeof said + 5);
  memcpy(&said, buffer, sizeof said);
  CHECK(said == 5 && memcmp(buffer + sizeof said, "olleh", 5) == 0);
  CHECK(ask(op_ask + 1, NULL, 0, NULL, 0).status == ISTHMUS_UNHANDLED);
  pthread_t clients[4];
  for (int i = 0; i < 4; ++i) {
    CHECK(pthread_create(&clients[i], NULL, reverse_often, NULL) == 0);
  }
  for (int i = 0; i < 4; ++i) {
    CHECK(pthread_join(clients[i], NULL) == 0);
  }

  /* Payload by reference; one that lies elsewhere is the service's to refuse. */
  isthmus_frame* frame = NULL;
  isthmus_reference reference;
  uint64_t total = 0;
  OK(isthmus_frame_allocate(lane, 1000, &frame));
  memset(isthmus_frame_data(frame), 3, 1000);
  OK(isthmus_frame_reference(frame, 0, 1000, &reference));
  CHECK(ask(op_sum, &reference, sizeof reference, &total, sizeof total).status == 0 && total == 3000);
  reference.length = UINT64_MAX;
  CHECK(ask(op_sum, &reference, sizeof reference, &total, sizeof total).status == status_bad);

  /* Answers that come late, from another thread, and in another order. */
  isthmus_call_id kept[3];
  uint32_t numbers[3];
  message = ask_of(op_keep, NULL, 0);
  for (int i = 0; i < 3; ++i) {
    OK(isthmus_channel_submit(channel, &message, &numbers[i], sizeof numbers[i], ISTHMUS_FOREVER, &kept[i]));
  }
  CHECK(ask(op_answer_kept, NULL, 0, NULL, 0).status == 0);
  for (uint32_t i = 0; i < 3; ++i) {
    OK(isthmus_channel_wait(channel, kept[i], ISTHMUS_FOREVER, &reply));
    CHECK(reply.status == 0 && reply.size == sizeof numbers[i] && numbers[i] == i);
  }

  /* A post's frame that the service holds is the client's again once it is released. */
  const uint64_t before = taken();
  message = ask_of(op_hold, NULL, 0);
  OK(isthmus_channel_post(channel, &message, &frame, 1, ISTHMUS_FOREVER));
  ask(op_ask + 1, NULL, 0, NULL, 0);
  CHECK(taken() == before);
  isthmus_call_id open = 0;
  message = ask_of(op_keep, NULL, 0);
  OK(isthmus_channel_submit(channel, &message, NULL, 0, ISTHMUS_FOREVER, &open));
  CHECK(ask(op_fork, NULL, 0, NULL, 0).status == 0);
  CHECK(taken() == before);
  CHECK(ask(op_release, NULL, 0, NULL, 0).status == 0);
  message = ask_of(op_ask + 1, NULL, 0);
  while (taken() != before - 1000) { /* how far the host is shows with the next posts */
    OK(isthmus_channel_post(channel, &message, NULL, 0, ISTHMUS_FOREVER));
  }

  /* The call that is still kept when the lane is over. */
  OK(isthmus_lane_detach(lane));
  const isthmus_answer late = answer_of(0, NULL, 0);
  CHECK(device.kept_count == 1);
  FAILS(isthmus_pending_call_reply(device.kept[0], &late), ISTHMUS_CLOSED, "");
  FAILS(isthmus_pending_call_reply(device.kept[0], &late), ISTHMUS_INVALID_ARGUMENT, "answered before");
}

void service_misused(void) {
  struct device device = {.kept_count = 0};
  isthmus_service functions = {.struct_size = sizeof functions, .handle = handle, .context = &device};
  isthmus_local_options options = {.struct_size = sizeof options};
  isthmus_service without = functions;
  without.handle = NULL;
  REFUSED(isthmus_lane_start_local(NULL, NULL, &lane));
  REFUSED(isthmus_lane_start_local(&functions, NULL, NULL));
  FAILS(isthmus_lane_start_local(&without, NULL, &lane), ISTHMUS_INVALID_ARGUMENT, "handle");
  options.region_size = 12345;
  FAILS(isthmus_lane_start_local(&functions, &options, &lane), ISTHMUS_INVALID_ARGUMENT, "size");
  options.region_size = 0;
  options.in_child = 2;
  FAILS(isthmus_lane_start_local(&functions, &options, &lane), ISTHMUS_UNSUPPORTED, "in_child");
  functions.reserved = 1;
  FAILS(isthmus_lane_start_local(&functions, NULL, &lane), ISTHMUS_UNSUPPORTED, "reserved");
  CHECK(lane == NULL);

  start(&device, 0);
  CHECK(ask(op_misuse, NULL, 0, NULL, 0).status == 0);
  CHECK(ask(op_stale, NULL, 0, NULL, 0).status == 0);
  OK(isthmus_lane_detach(lane));
  FAILS(isthmus_lane_serve_upcalls(lane, &functions), ISTHMUS_INVALID_ARGUMENT, "detached");
}

void service_in_child(void) {
  struct device device = {.kept_count = 0};
  start(&device, 1);
  pid_t worker = 0;
  CHECK(ask(op_pid, NULL, 0, &worker, sizeof worker).status == 0 && worker != getpid());
  OK(isthmus_lane_detach(lane)); /* waits for the child */
  CHECK(waitpid(worker, NULL, 0) == -1);

  start(&device, 1);
  ask(op_pid, NULL, 0, &worker, sizeof worker);
  CHECK(kill(worker, SIGKILL) == 0);
  const isthmus_message message = ask_of(op_pid, NULL, 0);
  isthmus_reply reply = {.struct_size = sizeof reply};
  isthmus_result result = ISTHMUS_OK;
  while (result == ISTHMUS_OK) {
    result = isthmus_channel_call(channel, &message, &worker, sizeof worker, ISTHMUS_FOREVER, &reply);
  }
  CHECK(result == ISTHMUS_PEER_DIED || result == ISTHMUS_CLOSED);
  OK(isthmus_lane_detach(lane));
}

void upcalls(void) {
  struct device device = {.kept_count = 0};
  struct device of_client = {.kept_count = 0};
  const isthmus_service answers = {.struct_size = sizeof answers, .handle = handle, .context = &of_client};
  start(&device, 0);
  OK(isthmus_lane_serve_upcalls(lane, &answers));
  FAILS(isthmus_lane_serve_upcalls(lane, &answers), ISTHMUS_INVALID_ARGUMENT, "already");
  REFUSED(isthmus_lane_serve_upcalls(lane, NULL));
  char heard[3];
  const isthmus_reply reply = ask(op_ask, NULL, 0, heard, sizeof heard);
  CHECK(reply.status == 0 && memcmp(heard, "cba", 3) == 0);
  isthmus_frame* frame = NULL;
  OK(isthmus_frame_allocate(lane, 1, &frame)); /* keeps the lane, and the service of its upcalls */
  OK(isthmus_lane_detach(lane));
  OK(isthmus_frame_free(frame));
}

/* After the end of the main thread's own objects, channels of it among them. */
static void use_a_lane(void) {
  const uint64_t before = taken();
  OK(isthmus_lane_channel(lane, &channel));
  CHECK(ask(op_ask + 1, NULL, 0, NULL, 0).status == ISTHMUS_UNHANDLED && taken() == before);
  OK(isthmus_lane_detach(lane));
  puts("an exit handler used it");
  fflush(stdout);
}
void at_exit(void) {
  static struct device device; /* the worker's thread still uses it */
  CHECK(atexit(use_a_lane) == 0);
  start(&device, 0);
}

/* NOLINTEND(readability-identifier-naming) */
/* NOLINTEND(clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling) */
