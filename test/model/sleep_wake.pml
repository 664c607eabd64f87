// SPDX-License-Identifier: Apache-2.0

/* The sleep/wake protocol of src/transport/sleeper.hpp and doorbell.hpp, for Spin; docs/memory-model.md says what is
 * checked, and run_model runs it. One client, one twin, and where they take part the lane's thread and another client
 * thread. Labels (W1, S2, ...) are the code's.
 *
 * Memory is x86-TSO: each side has a FIFO store buffer that drains at any time; its loads see its own buffered stores
 * first; a fence, a locked read-modify-write or futex_wait() goes on only when the buffer is empty.
 *
 * Without options, the client posts into one ring and both sides sleep on futexes.
 *   CALLS   every request is answered over a second ring: one `sleeping` word serves messages and credit
 *   RELAY   ivshmem-plain: pending bits and the lane's thread wake the twin; the client looks by itself, at intervals
 *   DRAIN   the client closes the channel after its last post; the twin ends once it has drained the ring
 *
 * Mutants: NO_W2=1, NO_S2=1 (the fence is missing in the client), =2 (in the twin), =3 (in both); WAKER_CLEARS_WORD;
 * LATE_TICKET (taken after S3); LATE_COUNT (the count goes up after the wake), NO_COUNT; CREDIT_NOT_RUNG (for what
 * poll() publishes by itself). With RELAY: BITS_CLEARED_BY_STORE, BITS_CLEARED_AFTER_WAKE. With DRAIN: LATE_STOP_LOOK
 * (after the ring was found empty). CLEARED_BEFORE_RING is no mutant but a variant that holds.
 */

#ifndef MESSAGES
#define MESSAGES 3
#endif
#ifndef CAPACITY
#define CAPACITY 3 /* slots in a ring */
#endif
#ifndef PUBLISH_AT
#define PUBLISH_AT 2 /* slots after which a consumer publishes credit by itself */
#endif
#ifndef SPURIOUS
#define SPURIOUS 1 /* blocks that end for no reason: a time limit, a signal */
#endif
#ifdef CALLS
#define REPLIES 1
#else
#define REPLIES 0
#endif
#ifdef DRAIN
#define CLOSES 1
#else
#define CLOSES 0
#endif
#ifndef NO_W2
#define NO_W2 0
#endif
#ifndef NO_S2
#define NO_S2 0
#endif

#define CLIENT 0
#define TWIN 1
#define PEER(side) (1 - (side))

/* Message number i of either ring; a side's outgoing ring has its own number. Every second request has two slots. */
#define SLOTS_OF(ring, i) ((ring) == CLIENT -> 1 + (i) % 2 : 1)

/* Shared words. A slot holds the position that was last written there, plus one: its lap, and what tells messages
 * apart. */
#define SLOT(ring, position) ((ring) * CAPACITY + (position) % CAPACITY)
#define CONSUMED(ring) (2 * CAPACITY + (ring))
#define SLEEPING(side) (2 * CAPACITY + 2 + (side))
#define DOORBELL(side) (2 * CAPACITY + 4 + (side))
#define CLOSED (2 * CAPACITY + 6)
#define STOP (2 * CAPACITY + 7)
#define WORDS (2 * CAPACITY + 8)
byte memory[WORDS];
byte pending; /* bits: this channel, another channel */

bool blocked[2]; /* in futex_wait */
byte spurious = SPURIOUS;

/* ---- x86-TSO ---------------------------------------------------------------------------------------------------- */

/* No side has more stores in flight between two fences: asserted, so that the bound hides nothing. */
#define DEPTH 5
typedef StoreBuffer {
  byte count;
  byte where[DEPTH];
  byte what[DEPTH]
}
StoreBuffer buffer[2];

inline store(me, word, number) {
  d_step {
    assert(buffer[me].count < DEPTH);
    buffer[me].where[buffer[me].count] = word;
    buffer[me].what[buffer[me].count] = number;
    buffer[me].count++
  }
}

inline load(me, word, into) {
  d_step {
    into = memory[word];
    i = 0;
    do
    :: i < buffer[me].count ->
       if
       :: buffer[me].where[i] == (word) -> into = buffer[me].what[i] /* the newest one wins */
       :: else
       fi;
       i++
    :: else -> break
    od;
    i = 0
  }
}

inline fence(me, missing) { buffer[me].count == 0 || ((missing) >> (me)) & 1 }

/* Any instant may be the one at which the oldest store becomes visible to all. */
active [2] proctype drain() {
  byte i;
end:
  do
  :: d_step {
       buffer[_pid].count > 0 ->
       memory[buffer[_pid].where[0]] = buffer[_pid].what[0];
       buffer[_pid].count--;
       i = 0;
       do
       :: i < buffer[_pid].count ->
          buffer[_pid].where[i] = buffer[_pid].where[i + 1];
          buffer[_pid].what[i] = buffer[_pid].what[i + 1];
          i++
       :: else -> break
       od;
       buffer[_pid].where[i] = 0;
       buffer[_pid].what[i] = 0;
       i = 0
     }
  od
}

/* ---- the futex and the doorbell --------------------------------------------------------------------------------- */

/* The kernel compares under the lock that futex_wake() takes, too. */
inline futex_wait(side) {
  atomic { buffer[side].count == 0 -> blocked[side] = (memory[DOORBELL(side)] == ticket) };
  if
  :: !blocked[side]
  :: d_step { blocked[side] && spurious > 0 -> blocked[side] = false; spurious-- }
  fi
}

inline count_up(side) {
#ifndef NO_COUNT
  memory[DOORBELL(side)]++
#else
  skip
#endif
}

/* Counts up and wakes, as ring() does with the peer's futex, and Twin::wake() in another thread. A locked
 * read-modify-write: `drained` says that the caller's store buffer is. */
inline wake(side, drained) {
#ifndef LATE_COUNT
  d_step { (drained) -> count_up(side) };
#endif
  blocked[side] = false; /* futex_wake() */
#ifdef LATE_COUNT
  d_step { (drained) -> count_up(side) };
#endif
}

/* Doorbell::ring() */
inline ring(me) {
#ifdef RELAY
  if
  :: d_step { me == CLIENT && buffer[me].count == 0 -> pending = pending | 1 }
  :: me == TWIN /* nobody can wake the client */
  fi;
#else
  wake(PEER(me), buffer[me].count == 0);
#endif
#ifdef WAKER_CLEARS_WORD
  store(me, SLEEPING(PEER(me)), 0)
#else
  skip
#endif
}

/* Doorbell::flush(); W1 is the store that came before. */
inline flush(me) {
  fence(me, NO_W2); /* W2 */
  atomic {
    load(me, SLEEPING(PEER(me)), value); /* W3 */
    asleep = (value == 1);
    value = 0
  };
  if
  :: asleep ->
#ifdef CLEARED_BEFORE_RING
     store(me, SLEEPING(PEER(me)), 0);
#endif
     asleep = false;
     ring(me)
  :: else
  fi
}

/* ---- the ends of the rings -------------------------------------------------------------------------------------- */

/* Sets `found`: room for `slots` (if not 0) in the outgoing ring, or a message (if asked) in the incoming one, or the
 * word that ends a twin. */
inline look(me, slots, message) {
  found = false;
  if
  :: atomic {
       (slots) > 0 ->
       load(me, CONSUMED(me), value); /* P2 */
       assert(written - value <= CAPACITY);
       room = CAPACITY - (written - value);
       found = (room >= (slots));
       value = 0
     }
  :: (slots) == 0
  fi;
  if
  :: atomic {
       (message) && !found ->
       load(me, SLOT(PEER(me), taken), value); /* C1 */
       found = (value == taken + 1);
       value = 0
     }
  :: !(message) || found
  fi;
#ifdef DRAIN
  if
  :: atomic {
       me == TWIN && !found ->
       load(me, STOP, value);
       found = (value == 1);
       value = 0
     }
  :: me == CLIENT || found
  fi
#endif
}

inline write(me, slots) {
  if
  :: (slots) == 2 -> store(me, SLOT(me, written + 1), written + 2)
  :: else
  fi;
  store(me, SLOT(me, written), written + 1); /* P1, W1 */
  atomic {
    written = written + (slots);
    room = room - (slots)
  }
}

/* RingConsumer::publish() */
inline publish(me) {
  store(me, CONSUMED(PEER(me)), taken); /* C2, W1 */
  atomic {
    told = taken;
    news = true
  }
}

/* RingConsumer::poll() and the flush that take_news() asks for. Sets `found`. */
inline poll(me) {
  atomic {
    load(me, SLOT(PEER(me), taken), value); /* C1 */
    assert(value <= taken + 1); /* not overwritten before it was read */
    found = (value == taken + 1);
    value = 0
  };
  if
  :: found && SLOTS_OF(PEER(me), messages) == 2 ->
     atomic {
       load(me, SLOT(PEER(me), taken + 1), value);
       assert(value == taken + 2); /* the head was published last */
       value = 0
     }
  :: else
  fi;
  if
  :: found ->
     atomic {
       taken = taken + SLOTS_OF(PEER(me), messages);
       messages++
     };
     if
     :: taken - told >= PUBLISH_AT -> publish(me)
     :: else
     fi
  :: else
  fi
}

inline take_news(me) {
  if
  :: news ->
     news = false;
     flush(me)
  :: else
  fi
}

/* What both sides pass to Sleeper::wait() as `before_sleep`. No ring for what is published here: less than PUBLISH_AT
   slots are untold, so that any message fits into what the producer knows to be free. */
inline publish_credit(me) {
  if
  :: told != taken ->
     store(me, CONSUMED(me), taken);
     told = taken
  :: else
  fi;
  take_news(me)
}

/* ---- Sleeper::wait() -------------------------------------------------------------------------------------------- */

inline take_ticket(me) {
#ifdef RELAY
  if
  :: me == TWIN -> load(me, DOORBELL(me), ticket)
  :: me == CLIENT
  fi
#else
  load(me, DOORBELL(me), ticket)
#endif
}

/* A nap ends by itself, again and again: as good as when there is something to see, or earlier. */
inline nap(me, slots, message) {
  if
  :: (slots) > 0 && CAPACITY - (written - memory[CONSUMED(me)]) >= (slots)
  :: (message) && memory[SLOT(PEER(me), taken)] == taken + 1
  :: d_step { spurious > 0 -> spurious-- }
  fi
}

inline block(me, slots, message) {
#ifdef RELAY
  if
  :: me == TWIN -> futex_wait(me)
  :: me == CLIENT -> nap(me, slots, message)
  fi
#else
  futex_wait(me)
#endif
}

inline wait(me, slots, message) {
  look(me, slots, message); /* the last look of the spin phase */
  do
  :: found -> break
  :: else ->
     publish_credit(me);
#ifndef LATE_TICKET
     take_ticket(me);
#endif
     store(me, SLEEPING(me), 1); /* S1 */
     fence(me, NO_S2); /* S2 */
     look(me, slots, message); /* S3 */
#ifdef LATE_TICKET
     take_ticket(me);
#endif
     if
     :: found
     :: else -> block(me, slots, message)
     fi;
     ticket = 0;
     store(me, SLEEPING(me), 0);
     if
     :: found
     :: else -> look(me, slots, message)
     fi
  od
}

/* ---- the two sides ---------------------------------------------------------------------------------------------- */

active proctype client() {
  byte i, value, ticket, written, taken, told, messages, sent;
  byte room = CAPACITY;
  bool found, asleep, news;

  do
  :: sent < MESSAGES ->
     do
     :: room >= SLOTS_OF(CLIENT, sent) -> break
     :: else ->
        wait(CLIENT, SLOTS_OF(CLIENT, sent), REPLIES);
        /* Late replies are dropped while there is no room. */
        do
        :: REPLIES ->
           poll(CLIENT);
           take_news(CLIENT);
           if
           :: found
           :: else -> break
           fi
        :: !REPLIES -> break
        od
     od;
     write(CLIENT, SLOTS_OF(CLIENT, sent));
     sent++;
     flush(CLIENT)
  :: else -> break
  od;

  do
  :: REPLIES && messages < MESSAGES ->
     poll(CLIENT);
     take_news(CLIENT);
     if
     :: found
     :: else -> wait(CLIENT, 0, true)
     fi
  :: else -> break
  od;
  store(CLIENT, CLOSED, 1) /* D1 */
}

active proctype twin() {
  byte i, value, ticket, written, taken, told, messages;
  byte room = CAPACITY;
  bool found, asleep, news, stop;

  do
  :: !CLOSES && messages == MESSAGES -> break
  :: else ->
#if defined(DRAIN) && !defined(LATE_STOP_LOOK)
     load(TWIN, STOP, stop);
#endif
     poll(TWIN);
#if defined(DRAIN) && defined(LATE_STOP_LOOK)
     load(TWIN, STOP, stop);
#endif
     if
     :: found ->
#ifdef CREDIT_NOT_RUNG
        news = false;
#else
        take_news(TWIN);
#endif
#ifdef CALLS
        if
        :: room == 0 -> wait(TWIN, 1, false)
        :: else
        fi;
        write(TWIN, 1);
        flush(TWIN)
#endif
     :: !found && stop -> break
     :: else -> wait(TWIN, 0, true)
     fi
  od;
  assert(messages == MESSAGES)
}

#ifdef RELAY
/* Another channel of the lane, which rings, too. */
active proctype other_client() { pending = pending | 2 }

/* LaneServer::Impl::relay_pending(), again and again. */
active proctype lane_thread() {
  byte bits;
end:
  do
  :: pending != 0 ->
#if defined(BITS_CLEARED_BY_STORE)
     bits = pending;
     pending = 0;
#elif defined(BITS_CLEARED_AFTER_WAKE)
     bits = pending;
#else
     d_step {
       bits = pending;
       pending = 0
     };
#endif
     if
     :: bits & 1 -> wake(TWIN, true)
     :: else
     fi;
#ifdef BITS_CLEARED_AFTER_WAKE
     pending = pending & ~bits;
#endif
     bits = 0
  od
}
#endif

#ifdef DRAIN
/* LaneServer::Impl::follow_directory() and Twin::stop_when_drained() */
active proctype lane_directory() {
  memory[CLOSED] == 1; /* D1 */
  memory[STOP] = 1;
  wake(TWIN, true)
}
#endif
