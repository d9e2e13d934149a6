/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * The programs that the C side of the bench attaches: everything to the AF_XDP socket of its queue, count and drop, or
 * send on through another device.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
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

/* What came back to the sender of datagrams: `answers` of [0], and those that are not fit to be one of [1]. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} answers SEC(".maps");

/* UDP port that answers come from. */
#define ANSWERING_PORT 9000
#define IPV4_WITHOUT_OPTIONS 0x45
#define HEADER_WORDS (sizeof(struct iphdr) / sizeof(__u16))

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

/*
 * Counts and drops datagrams from the answering port; the rest (ARP and the like) is the kernel's. An answer is fit when its
 * header checksum is right and its lengths fit the frame. Its UDP checksum is not looked at: that of a local kernel's socket is
 * not yet computed when the frame crosses a veth.
 */
SEC("xdp")
int count_answers(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct udphdr *udp = (void *)(ip + 1);
	const __u16 *words = (void *)ip;
	__u32 sum = 0, unfit;
	__u64 *count;

	if ((void *)(udp + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_UDP ||
	    udp->source != bpf_htons(ANSWERING_PORT))
		return XDP_PASS;
#pragma unroll
	for (__u32 i = 0; i < HEADER_WORDS; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	unfit = *(__u8 *)ip != IPV4_WITHOUT_OPTIONS || ((sum & 0xffff) + (sum >> 16)) != 0xffff ||
		(void *)ip + bpf_ntohs(ip->tot_len) > end ||
		bpf_ntohs(udp->len) != bpf_ntohs(ip->tot_len) - sizeof(*ip);
	count = bpf_map_lookup_elem(&answers, &unfit);
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
