/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ISTHMUS_ISTHMUS_H
#define ISTHMUS_ISTHMUS_H

/**
 * \file
 * The stable binary interface of Isthmus, for C and whatever can call C: the client's side of a lane, and services that
 * answer requests. The C++ headers beside this one promise nothing between versions; this one does (docs/c-api.md says
 * what, and how it may grow).
 *
 *     isthmus_lane* lane = NULL;
 *     isthmus_channel* channel = NULL;
 *     if (isthmus_lane_attach("ivshmem:auto", NULL, &lane) != ISTHMUS_OK ||
 *         isthmus_lane_channel(lane, &channel) != ISTHMUS_OK) {
 *       fprintf(stderr, "%s\n", isthmus_last_error());
 *     }
 *
 * ## What holds for all functions
 *
 * - They return ISTHMUS_OK or what went wrong, and then isthmus_last_error() says it in words. On failure nothing is
 *   written through the caller's pointers. No function aborts the process, throws, installs signal handlers or prints.
 * - Handles are numbers in disguise, which are looked up and never followed: NULL, one that was given back, or one of
 *   another kind is ISTHMUS_INVALID_ARGUMENT, also when its memory has long been used for something else. They may be
 *   copied. In a child after fork lanes and channels answer ISTHMUS_WRONG_THREAD, detaching and freeing do nothing, and
 *   frames stay readable; the parent goes on.
 * - A required pointer that is NULL is ISTHMUS_INVALID_ARGUMENT. Pointers that are not NULL have to be good.
 * - A pointer with a size of 0 may be NULL.
 * - Times are in nanoseconds, from the call on: ISTHMUS_FOREVER (or any negative number) waits as long as the peer
 *   lives, 0 does not wait. Every wait ends when the peer is gone.
 *
 * ## Structs
 *
 * A struct starts with `struct_size`, to be set to sizeof the struct as the program was compiled. Structs only grow, at
 * their end, and zero always means what it meant before the field was there. The library
 * - takes the fields of an input that are missing as zero, and accepts those that it does not know while they are zero:
 *   else ISTHMUS_UNSUPPORTED;
 * - writes the fields of an output that fit, sets those that it does not know to zero, and leaves struct_size as it is.
 * A struct_size below that of version 0 or above 4096 is ISTHMUS_INVALID_ARGUMENT.
 */

/* NOLINTBEGIN(modernize-*, readability-identifier-naming): this is C, whose names have prefixes for a namespace */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define ISTHMUS_API __attribute__((visibility("default")))
#define ISTHMUS_MUST_CHECK __attribute__((warn_unused_result))
#else
#define ISTHMUS_API
#define ISTHMUS_MUST_CHECK
#endif

/** Version of this header: 16 bits for what breaks programs (the library's soname), 16 bits that count additions. */
#define ISTHMUS_ABI_MAJOR 0
#define ISTHMUS_ABI_MINOR 2
#define ISTHMUS_ABI_VERSION (ISTHMUS_ABI_MAJOR * 65536U + ISTHMUS_ABI_MINOR)

/** The version of the library that is loaded, made up as ISTHMUS_ABI_VERSION. Any thread. */
ISTHMUS_API uint32_t isthmus_abi_version(void);

/* ---- errors ----------------------------------------------------------------------------------------------------- */

/**
 * What a function returns. Later versions may return values that this header does not name: take them as failures.
 */
typedef int32_t isthmus_result;
enum {
  ISTHMUS_OK = 0,
  ISTHMUS_INVALID_ARGUMENT = 1,    /**< the caller passed something that can never work */
  ISTHMUS_NOT_FOUND = 2,           /**< no such region, device, endpoint or service */
  ISTHMUS_PERMISSION_DENIED = 3,   /**< the operating system refused access */
  ISTHMUS_VERSION_MISMATCH = 4,    /**< the peer speaks another ABI version, or is not Isthmus at all */
  ISTHMUS_BUSY = 5,                /**< somebody else owns it now */
  ISTHMUS_EXHAUSTED = 6,           /**< no lane, channel, slab memory, handle or other resource is left */
  ISTHMUS_TIMED_OUT = 7,           /**< the bound of the wait has passed; the peer may still be alive */
  ISTHMUS_PEER_DIED = 8,           /**< the process on the other side is gone */
  ISTHMUS_CLOSED = 9,              /**< the lane or channel was closed in an orderly way, by either side */
  ISTHMUS_PROTOCOL_VIOLATION = 10, /**< the peer broke the shared-memory protocol; the lane is over */
  ISTHMUS_UNSUPPORTED = 11,        /**< this version, build, kernel or machine cannot do it */
  ISTHMUS_WRONG_THREAD = 12,       /**< used by a thread, or in a process, that does not own it */
  ISTHMUS_SYSTEM = 13              /**< any other failure of the operating system */
};

/**
 * What went wrong in this thread last: one line that names the thing, the value, the limit and the way out; "" before
 * the first failure. Success does not change it. Valid until the thread's next failure, or its end. Never NULL.
 */
ISTHMUS_API const char* isthmus_last_error(void);

/** A short name for a result, for instance "timed_out"; "unknown" for one that the library does not know. Any thread.
 */
ISTHMUS_API const char* isthmus_result_name(isthmus_result result);

/* ---- types ------------------------------------------------------------------------------------------------------ */

typedef struct isthmus_lane isthmus_lane;       /**< this process's connection to its worker; any thread */
typedef struct isthmus_channel isthmus_channel; /**< one thread's connection to its own worker thread */
typedef struct isthmus_frame isthmus_frame;     /**< memory that both sides see; one thread at a time */

typedef struct isthmus_request isthmus_request; /**< what a service is asked; its handler's thread, while that runs */
typedef struct isthmus_pending_call isthmus_pending_call; /**< a call to be answered later; any thread */
typedef struct isthmus_frame_hold isthmus_frame_hold;     /**< keeps a post's frames from its client; any thread */
typedef struct isthmus_upcalls isthmus_upcalls;           /**< a service's way back to its client; any thread */

/** Names a call that was submitted; void once its reply was taken, or it was cancelled. */
typedef uint32_t isthmus_call_id;

#define ISTHMUS_FOREVER (-INT64_C(1))

/** Names bytes that stay where they are, and travels in their place. A wire format, which never changes. */
typedef struct isthmus_reference {
  uint64_t window_and_offset; /**< window in the top 8 bits, bytes from its start in the low 56 */
  uint64_t length;            /**< bytes */
} isthmus_reference;

typedef struct isthmus_attach_options {
  uint32_t struct_size;
  uint32_t timeout_ms; /**< how long daemon and worker may each take to answer; 0: 2000; a day at most counts */
} isthmus_attach_options;

/** A request: its body is `fixed` and `trailing` joined. 32,764 bytes together always fit; more travels by reference.
 */
typedef struct isthmus_message {
  uint32_t struct_size;
  uint16_t api;    /**< which API the opcode belongs to */
  uint16_t opcode; /**< which of its messages this is */
  const void* fixed;
  size_t fixed_size;
  const void* trailing;
  size_t trailing_size;
} isthmus_message;

/** What a call brought back. */
typedef struct isthmus_reply {
  uint32_t struct_size;
  int32_t status;      /**< 0, or the service's own error code */
  uint32_t size;       /**< bytes of the reply's body, written to the caller's buffer */
  uint32_t fixed_size; /**< of these, bytes of the fixed part, which stand first */
} isthmus_reply;

/** How much a channel did since it was opened. */
typedef struct isthmus_channel_counts {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t calls;
  uint64_t posts;
  uint64_t doorbells;       /**< how often the worker's thread had to be woken */
  uint64_t dropped_replies; /**< late replies to calls that were given up */
} isthmus_channel_counts;

/** What a lane's payload memory is used for, in bytes; taken at one moment. */
typedef struct isthmus_slab_counts {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t bytes_in_use;      /**< in frames, as asked for by isthmus_frame_allocate() */
  uint64_t bytes_held;        /**< in frames that were given back, but that the host may still use */
  uint64_t bytes_cached;      /**< free, kept by threads for their next frames */
  uint64_t bytes_in_channels; /**< rings and reserves */
  uint64_t bytes_high_water;  /**< most that frames and caches ever took at a time */
  uint64_t bytes_claimed;     /**< in extents that this lane holds */
  uint64_t bytes_claimable;   /**< in extents of the region that nobody holds */
} isthmus_slab_counts;

/* ---- lanes ------------------------------------------------------------------------------------------------------ */

/**
 * Finds the region that the endpoint names, claims a lane and waits for its worker. Endpoints: "shm:NAME" (the daemon
 * on this machine), "ivshmem:auto", "ivshmem:auto?region=NAME", "ivshmem:0000:00:04.0".
 *
 * `options` may be NULL. On success `*lane` is to be given back by isthmus_lane_detach(). Any thread.
 * Errors: INVALID_ARGUMENT (bad endpoint), NOT_FOUND (no daemon, no device, or several and no name), PERMISSION_DENIED,
 * VERSION_MISMATCH, EXHAUSTED (all lanes taken), TIMED_OUT (no daemon answered, or no worker came), CLOSED and
 * PEER_DIED (the host gave the lane up), PROTOCOL_VIOLATION (the region contradicts itself), UNSUPPORTED, SYSTEM.
 */
ISTHMUS_API isthmus_result isthmus_lane_attach(const char* endpoint, const isthmus_attach_options* options,
                                               isthmus_lane** lane) ISTHMUS_MUST_CHECK;

/**
 * Gives a lane back; one of isthmus_lane_start_local() ends with its worker. Its handle and those of its channels are
 * void at once; frames stay readable until they are freed, and the lane ends with the last of them. No other thread may
 * be inside a call of this lane. NULL is not an error. Errors: INVALID_ARGUMENT (given back before).
 */
ISTHMUS_API isthmus_result isthmus_lane_detach(isthmus_lane* lane);

/**
 * Whether the worker still serves the lane. Slow: not meant for every call. Any thread.
 * Errors: INVALID_ARGUMENT, WRONG_THREAD (after fork), PEER_DIED, CLOSED, PROTOCOL_VIOLATION: why it does not.
 */
ISTHMUS_API isthmus_result isthmus_lane_check(isthmus_lane* lane) ISTHMUS_MUST_CHECK;

/**
 * The calling thread's channel: opened by the thread's first call of this, the same one later, and given back when the
 * thread ends or the lane is detached. Errors: INVALID_ARGUMENT, EXHAUSTED (256 channels are open, or no slab memory or
 * worker thread for one more), TIMED_OUT, WRONG_THREAD (after fork), CLOSED, PEER_DIED.
 */
ISTHMUS_API isthmus_result isthmus_lane_channel(isthmus_lane* lane, isthmus_channel** channel) ISTHMUS_MUST_CHECK;

/** What the lane holds of its slab. Any thread. Errors: INVALID_ARGUMENT, WRONG_THREAD (after fork). */
ISTHMUS_API isthmus_result isthmus_lane_slab_counts(isthmus_lane* lane, isthmus_slab_counts* counts);

/* ---- channels --------------------------------------------------------------------------------------------------- */
/*
 * All of these are for the channel's own thread; any other gets WRONG_THREAD. A request is executed after every call
 * and post of the lane that had returned before it was made, on whatever thread.
 *
 * Errors of all of these: INVALID_ARGUMENT (a handle or struct; the message's body is too long), WRONG_THREAD, CLOSED,
 * PEER_DIED, PROTOCOL_VIOLATION; of those that send: EXHAUSTED (1023 calls are in flight), TIMED_OUT (no room in the
 * ring).
 */

/**
 * Sends a request and waits for its reply, whose body is written to the `buffer_size` bytes at `buffer`. Errors
 * besides: INVALID_ARGUMENT (the reply is longer than the buffer: nothing of it is written), TIMED_OUT (the call is
 * given up, but the host may still execute it: hand frames that it names to isthmus_channel_keep()).
 */
ISTHMUS_API isthmus_result isthmus_channel_call(isthmus_channel* channel, const isthmus_message* request, void* buffer,
                                                size_t buffer_size, int64_t timeout_ns,
                                                isthmus_reply* reply) ISTHMUS_MUST_CHECK;

/**
 * Sends a request that nobody waits for; `timeout_ns` is for room in the ring. The `frame_count` frames at `frames`,
 * which the request names, are handed over: their memory is used again once the host has executed it, and their handles
 * are void, also when the post fails (then the memory is free). Only when a frame's handle is bad, or occurs twice, all
 * of them stay the caller's: INVALID_ARGUMENT.
 */
ISTHMUS_API isthmus_result isthmus_channel_post(isthmus_channel* channel, const isthmus_message* request,
                                                isthmus_frame* const* frames, size_t frame_count,
                                                int64_t timeout_ns) ISTHMUS_MUST_CHECK;

/**
 * Starts a batch of posts and submitted calls, which the host sees all at once, at isthmus_channel_flush(): cheaper
 * than one by one. Other threads' requests may wait for it, so flush soon. Whatever waits on this channel flushes
 * first.
 */
ISTHMUS_API isthmus_result isthmus_channel_hold(isthmus_channel* channel) ISTHMUS_MUST_CHECK;

/** Ends the batch. Harmless where there is none. */
ISTHMUS_API isthmus_result isthmus_channel_flush(isthmus_channel* channel) ISTHMUS_MUST_CHECK;

/**
 * Sends a request whose reply is fetched later by isthmus_channel_poll() or _wait(), in any order. `buffer` has to stay
 * valid until then, or until the call is cancelled. `timeout_ns` is for room in the ring.
 */
ISTHMUS_API isthmus_result isthmus_channel_submit(isthmus_channel* channel, const isthmus_message* request,
                                                  void* buffer, size_t buffer_size, int64_t timeout_ns,
                                                  isthmus_call_id* call) ISTHMUS_MUST_CHECK;

/**
 * Fetches the reply of a submitted call if it is there: `*answered` is 1, and the call is void; else `*answered` is 0
 * and
 * `*reply` untouched. Never blocks. Errors besides: INVALID_ARGUMENT (no such call; the reply was longer than its
 * buffer, and the call is void).
 */
ISTHMUS_API isthmus_result isthmus_channel_poll(isthmus_channel* channel, isthmus_call_id call, isthmus_reply* reply,
                                                int* answered) ISTHMUS_MUST_CHECK;

/** Waits for the reply of a submitted call. Errors besides: as poll; TIMED_OUT (the call stays open: wait or cancel).
 */
ISTHMUS_API isthmus_result isthmus_channel_wait(isthmus_channel* channel, isthmus_call_id call, int64_t timeout_ns,
                                                isthmus_reply* reply) ISTHMUS_MUST_CHECK;

/**
 * Gives a submitted call up: its reply will be dropped, its buffer is free at once. `may_still_run` (may be NULL)
 * becomes 1 if the host may still execute it: hand frames that it names to isthmus_channel_keep(); else 0.
 */
ISTHMUS_API isthmus_result isthmus_channel_cancel(isthmus_channel* channel, isthmus_call_id call, int* may_still_run);

/**
 * Keeps a frame until every call that this channel gave up so far was answered; only then its memory is used again. The
 * frame's handle is void afterwards.
 */
ISTHMUS_API isthmus_result isthmus_channel_keep(isthmus_channel* channel, isthmus_frame* frame);

/**
 * A descriptor for a poll or epoll loop, which belongs to the channel: readable once a reply has come since poll() last
 * found none. Read its 8 bytes, then poll all open calls. Errors besides: EXHAUSTED (descriptors, threads).
 */
ISTHMUS_API isthmus_result isthmus_channel_completion_fd(isthmus_channel* channel, int* fd) ISTHMUS_MUST_CHECK;

/** How much the channel did. */
ISTHMUS_API isthmus_result isthmus_channel_get_counts(isthmus_channel* channel, isthmus_channel_counts* counts);

/* ---- frames ----------------------------------------------------------------------------------------------------- */

/**
 * Payload memory of `size` bytes, at least 1, in the lane's region; its content is unspecified. Any thread. Errors:
 * INVALID_ARGUMENT, EXHAUSTED (the slab is full, or 16 million frames), WRONG_THREAD (after fork).
 */
ISTHMUS_API isthmus_result isthmus_frame_allocate(isthmus_lane* lane, size_t size,
                                                  isthmus_frame** frame) ISTHMUS_MUST_CHECK;

/**
 * Gives a frame's memory back. Not before the host is done with it: a call that named it has returned. NULL is not an
 * error. Errors: INVALID_ARGUMENT (given back or handed over before).
 */
ISTHMUS_API isthmus_result isthmus_frame_free(isthmus_frame* frame);

/** The frame's first byte, or NULL for a bad handle. The other side may read and write there at any time. */
ISTHMUS_API void* isthmus_frame_data(isthmus_frame* frame);
/** The frame's size in bytes, or 0 for a bad handle. */
ISTHMUS_API size_t isthmus_frame_size(isthmus_frame* frame);

/** Names `length` bytes of the frame from `offset` on. Errors: INVALID_ARGUMENT (not within the frame). */
ISTHMUS_API isthmus_result isthmus_frame_reference(isthmus_frame* frame, size_t offset, size_t length,
                                                   isthmus_reference* reference) ISTHMUS_MUST_CHECK;

/* ---- services --------------------------------------------------------------------------------------------------- */
/*
 * What follows came with version 0.2.
 *
 * A service answers requests: those of a client in its worker, and in the client what the worker asks back (upcalls).
 *
 * Its function is called by many threads at the same time, one for each channel, in the channel's order; a request
 * starts only when every call and post of the lane that had returned before it was made has been handled. It has to
 * return, and must not throw, nor detach the lane, nor wait for what a thread of the client has yet to do: what waits,
 * or takes long, is deferred. A call that it neither answers nor defers is answered with ISTHMUS_UNHANDLED.
 *
 * Errors of all of the functions for requests: INVALID_ARGUMENT (a struct; a request that is NULL, that another thread
 * handles, or whose handler has returned), WRONG_THREAD (after fork).
 */

/** Status of a reply to a call that no service handled. */
#define ISTHMUS_UNHANDLED INT32_MIN

typedef struct isthmus_service {
  uint32_t struct_size;
  uint32_t reserved; /**< 0 */
  void (*handle)(void* context, isthmus_request* request);
  void* context; /**< handed to `handle`; may be NULL */
} isthmus_service;

/** What a call is answered: the reply's body is `fixed` and `trailing` joined, together as long as a request's. */
typedef struct isthmus_answer {
  uint32_t struct_size;
  int32_t status; /**< 0, or the service's own error code */
  const void* fixed;
  size_t fixed_size;
  const void* trailing;
  size_t trailing_size;
} isthmus_answer;

typedef struct isthmus_local_options {
  uint32_t struct_size;
  uint32_t timeout_ms;  /**< how long the worker may take to serve; 0: 2000 */
  uint64_t region_size; /**< bytes, a power of two, at least 8 MiB; 0: 32 MiB */
  uint32_t in_child;    /**< 1: the worker is a child process, forked by the call; 0: a thread of this process */
  uint32_t reserved;    /**< 0 */
} isthmus_local_options;

/**
 * Attaches to a worker of one's own, without a daemon: for tests, and for programs that fork their own worker. Rings,
 * slab and every check are those of a lane that isthmusd serves; nobody else can attach to it. Of `service` a copy is
 * kept; its context has to outlive the lane. `options` may be NULL. isthmus_lane_detach() ends the worker and waits for
 * it; frames that are still there are void for it from then on.
 *
 * A child process is a boundary of trust and of crashes, a thread is none. Ask for a child while the program has one
 * thread; it has a copy of the context, and ends with the lane, also when this process is killed. Any thread. Errors:
 * INVALID_ARGUMENT (region_size), EXHAUSTED (memory, descriptors, threads), TIMED_OUT, CLOSED and PEER_DIED
 * (the worker ended at once), UNSUPPORTED, SYSTEM.
 */
ISTHMUS_API isthmus_result isthmus_lane_start_local(const isthmus_service* service,
                                                    const isthmus_local_options* options,
                                                    isthmus_lane** lane) ISTHMUS_MUST_CHECK;

/**
 * Answers the upcalls of the lane's worker from now on, in a thread of the library's. Of `service` a copy is kept; its
 * context has to outlive the lane and every frame of it. Any thread. Errors: INVALID_ARGUMENT (a second time),
 * EXHAUSTED (thread, slab memory), and those of isthmus_lane_channel().
 */
ISTHMUS_API isthmus_result isthmus_lane_serve_upcalls(isthmus_lane* lane,
                                                      const isthmus_service* service) ISTHMUS_MUST_CHECK;

/**
 * What is asked. The body is a private copy, which the client cannot change any more and which is gone when the handler
 * returns. What references name is shared memory, which the client can change at any time: parse nothing there.
 */
ISTHMUS_API isthmus_result isthmus_request_message(isthmus_request* request,
                                                   isthmus_message* message) ISTHMUS_MUST_CHECK;

/** 1 for a call, whose client waits; 0 for a post, which takes no reply, and for a bad handle. */
ISTHMUS_API int isthmus_request_wants_reply(isthmus_request* request);

/**
 * Where the bytes lie that a reference names, all `reference->length` of them. A call's stay the client's, and may be
 * touched until it is answered; a post's until the handler returns, unless they are held. Errors besides:
 * INVALID_ARGUMENT (not within the lane's windows: the client is not to be trusted).
 */
ISTHMUS_API isthmus_result isthmus_request_resolve(isthmus_request* request, const isthmus_reference* reference,
                                                   void** data) ISTHMUS_MUST_CHECK;

/**
 * Answers a call, once; the bytes are copied. Does nothing for a post. Errors besides: INVALID_ARGUMENT (too long;
 * answered or deferred before).
 */
ISTHMUS_API isthmus_result isthmus_request_reply(isthmus_request* request, const isthmus_answer* answer);

/**
 * Keeps a call, to be answered later by isthmus_pending_call_reply(), from any thread and in any order; the channel
 * goes on with its next request when the handler has returned. Errors besides: INVALID_ARGUMENT (a post; answered or
 * deferred before), EXHAUSTED (16 million are kept: it is answered with ISTHMUS_UNHANDLED).
 */
ISTHMUS_API isthmus_result isthmus_request_defer(isthmus_request* request,
                                                 isthmus_pending_call** call) ISTHMUS_MUST_CHECK;

/**
 * Answers a call that was kept; the bytes are copied. The handle is void afterwards, except when the answer itself is
 * bad: INVALID_ARGUMENT. ISTHMUS_UNHANDLED is the status for one that will have no answer. Any thread, also when the
 * lane is over. Errors besides: WRONG_THREAD (after fork), CLOSED (the channel or its lane is over).
 */
ISTHMUS_API isthmus_result isthmus_pending_call_reply(isthmus_pending_call* call, const isthmus_answer* answer);

/**
 * Keeps the frames that this post names from its client, for a device that works on them after the handler has
 * returned. Frames of later posts of the same channel wait behind it: release soon. For a call nothing is held, and
 * `*hold` is NULL: its frames stay the client's until it is answered. Errors besides: EXHAUSTED.
 */
ISTHMUS_API isthmus_result isthmus_request_hold_frames(isthmus_request* request,
                                                       isthmus_frame_hold** hold) ISTHMUS_MUST_CHECK;

/** Ends a hold. NULL is not an error. Any thread, also when the lane is over. Errors: INVALID_ARGUMENT (released). */
ISTHMUS_API isthmus_result isthmus_frame_hold_release(isthmus_frame_hold* hold);

/**
 * The way back to the client, to be given back by isthmus_upcalls_release(); it may be kept beyond the request, and
 * answers CLOSED once the lane is over. Errors besides: NOT_FOUND (the client serves no upcalls), EXHAUSTED.
 */
ISTHMUS_API isthmus_result isthmus_request_upcalls(isthmus_request* request,
                                                   isthmus_upcalls** upcalls) ISTHMUS_MUST_CHECK;

/**
 * Calls the client and waits for its answer, whose body is written to `buffer`. The client is not to be trusted: it may
 * answer anything, or never, so give a time. Any thread; one upcall at a time is under way, the others wait for it.
 * Errors: those of isthmus_channel_call(), except that no thread is the wrong one but in a child after fork.
 */
ISTHMUS_API isthmus_result isthmus_upcalls_call(isthmus_upcalls* upcalls, const isthmus_message* message, void* buffer,
                                                size_t buffer_size, int64_t timeout_ns,
                                                isthmus_reply* reply) ISTHMUS_MUST_CHECK;

/** Tells the client something; `timeout_ns` is for room in the ring. Errors: as isthmus_upcalls_call(). */
ISTHMUS_API isthmus_result isthmus_upcalls_post(isthmus_upcalls* upcalls, const isthmus_message* message,
                                                int64_t timeout_ns) ISTHMUS_MUST_CHECK;

/** No other thread may be inside a call of it. NULL is not an error. Errors: INVALID_ARGUMENT (released before). */
ISTHMUS_API isthmus_result isthmus_upcalls_release(isthmus_upcalls* upcalls);

#ifdef __cplusplus
}
#endif

/* NOLINTEND(modernize-*, readability-identifier-naming) */

#endif
