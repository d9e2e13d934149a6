// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Gives every frame to the kernel: what a frame is run through to be injected into an interface's receive path.
 *
 * In generic mode that path leads through the steering program again, which would claim the frame again. There both share
 * one map of counters, and the mark in it lets this one frame through. A native program sits in front of the path.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "counters.h"

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct counters *counters = bpf_map_lookup_elem(&counts, &zero);
	if (counters)
		counters->handing_on = 1;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
