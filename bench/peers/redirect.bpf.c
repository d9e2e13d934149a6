/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * The programs that the C side of the bench attaches: everything to the AF_XDP socket of its queue, count and drop, or
 * send on through another device.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MAX_QUEUES 64

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, MAX_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

/* Where the load generator sends its frames; set before the program is loaded. */
const volatile __u32 out_ifindex = 0;

SEC("xdp.frags")
int redirect_all(struct xdp_md *ctx)
{
	return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
}

SEC("xdp.frags")
int count_and_drop(struct xdp_md *ctx)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&seen, &zero);

	if (count)
		*count += 1;
	return XDP_DROP;
}

SEC("xdp")
int send_on(struct xdp_md *ctx)
{
	return bpf_redirect(out_ifindex, 0);
}

char _license[] SEC("license") = "Dual MIT/GPL";
