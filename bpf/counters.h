/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Per-CPU counters of the steering program, and the word by which pass.bpf.c tells it of a frame that is not to be claimed again. */
#ifndef MILLRACE_COUNTERS_H
#define MILLRACE_COUNTERS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* What became of the frames that a CPU has seen. */
struct counters {
	__u64 redirected;
	__u64 passed;
	__u64 malformed;
	__u64 no_socket;
	__u64 early_fragments; /* of those passed: later fragments whose first one was not seen before them */
	/*
	 * 1 while a frame that we hand on is on its way, on this CPU, from pass.bpf.c to the generic hook of its interface.
	 * The kernel runs both in one system call with bottom halves off, so no other frame of this CPU comes in between.
	 */
	__u64 handing_on;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct counters);
	__uint(max_entries, 1);
} counts SEC(".maps");

#endif
