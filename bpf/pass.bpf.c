// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Gives every frame to the kernel: what a frame is run through to be injected into an interface's receive path. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
