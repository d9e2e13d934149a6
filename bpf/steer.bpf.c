// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Steers claimed frames to the AF_XDP socket of the queue they arrived on; every other frame is the kernel's.
 *
 * A claim names exact fields (ethertype, protocol, port) and at most two prefixes. A destination is found by a binary
 * search over the prefix lengths in use, one hash lookup a step: at most 6 for IPv4 and 8 for IPv6, and a single one
 * where all claims have the same length, however many claims there are. The value found says whether any source will do
 * or which set the source must be in; sets are searched in the same way.
 *
 * The three levels of exactness (any protocol, one protocol, one port) are looked up one after the other: any hit
 * suffices. Within a level the longest destination wins, so user space makes its set lie inside those of the shorter
 * ones that contain it.
 *
 * Only the first fragment of a datagram has a port: where ports are claimed, its owner is remembered for the others.
 */
#include "maps.h"
#include "parse.h"

/* Whose a frame is. An early fragment is the kernel's too, and counted. */
enum owner {
	KERNELS,
	OURS,
	EARLY,
};

#define KIND_SHIFT 8
#define PROTOCOL_SHIFT 16

/*
 * Masks[n] has the first n bits of an address set, in network byte order. A table, because 128-bit shifts are branches,
 * and branches in a loop are what the verifier pays for. Rows beyond 128 exist so that any byte is a valid index.
 */
#define MASK_ROWS 256
#define WORD(n, w) ((n) <= 32 * (w) ? 0u : (n) >= 32 * (w) + 32 ? ~0u : bpf_htonl(~0u << ((32 * (w) + 32 - (n)) & 31)))
#define ROW(n) { WORD(n, 0), WORD(n, 1), WORD(n, 2), WORD(n, 3) }
#define ROWS_4(n) ROW(n), ROW((n) + 1), ROW((n) + 2), ROW((n) + 3)
#define ROWS_16(n) ROWS_4(n), ROWS_4((n) + 4), ROWS_4((n) + 8), ROWS_4((n) + 12)
#define ROWS_64(n) ROWS_16(n), ROWS_16((n) + 16), ROWS_16((n) + 32), ROWS_16((n) + 48)
static const __u32 masks[MASK_ROWS][4] = { ROWS_64(0), ROWS_64(64), ROW(128) };

/*
 * The value of the longest prefix in `kind` that covers the address wanted, or VALUE_NONE. Ends early at VALUE_ANY.
 * The key of a lookup lies on this function's own stack: Linux 6.1 takes no memory of the caller's for one.
 *
 * Not static, and so is `source_in`: the verifier then judges them once and not for every path that calls them.
 */
__noinline __u32 find(__u32 generation, __u32 kind, const struct key *wanted)
{
	__u32 best = VALUE_NONE;
	if (!wanted)
		return best;
	void *table = bpf_map_lookup_elem(&tables, &generation);
	if (!table)
		return best;
	/*
	 * Copies, checked where they are used and used nowhere else: the verifier forgets the bounds of what the compiler keeps
	 * on the stack over a call, and Linux 6.1 also those of what it put there before the check.
	 */
	__u32 plan = generation, which = kind;
	FORGET(plan);
	FORGET(which);
	if (plan >= GENERATIONS || which >= TREE_COUNT)
		return best;
	const struct tree *tree = &state.plans[plan].trees[which];
	struct key key = { .selector = wanted->selector };
	__u8 at = tree->nodes[0].longer;
	for (int i = 0; i < TREE_DEPTH && at != 0; i++) {
		const struct node *node = &tree->nodes[at];
		__u8 length = node->length;
		key.kind_length = kind << KIND_SHIFT | length;
#pragma unroll
		for (int w = 0; w < 4; w++)
			key.address.words[w] = wanted->address.words[w] & masks[length][w];
		__u32 *value = bpf_map_lookup_elem(table, &key);
		if (value) {
			if (*value == VALUE_ANY)
				return VALUE_ANY;
			if (*value != VALUE_NONE)
				best = *value;
			at = node->longer;
		} else {
			at = node->shorter;
		}
	}
	return best;
}

/* Whether `source` is in the set, or in one of those that the set lies in. */
__noinline int source_in(__u32 generation, __u32 kind, __u32 set, const struct address *source)
{
	if (!source)
		return 0;
	for (int i = 0; i < SET_DEPTH; i++) {
		struct key wanted = { .selector = set & ~VALUE_HAS_PARENT, .address = *source };
		if (find(generation, kind, &wanted) == VALUE_ANY)
			return 1;
		if (!(set & VALUE_HAS_PARENT))
			return 0;
		void *table = bpf_map_lookup_elem(&tables, &generation);
		if (!table)
			return 0;
		struct key up = { .kind_length = KIND_PARENT << KIND_SHIFT, .selector = set & ~VALUE_HAS_PARENT };
		__u32 *parent = bpf_map_lookup_elem(table, &up);
		if (!parent)
			return 0;
		set = *parent;
	}
	return 0;
}

static __always_inline int claimed_at(__u32 generation, __u32 kind, __u32 source_kind, __u32 selector,
				      const struct facts *facts)
{
	struct key wanted = { .selector = selector, .address = facts->destination };
	__u32 value = find(generation, kind, &wanted);
	if (value == VALUE_ANY)
		return 1;
	if (value == VALUE_NONE)
		return 0;
	return source_in(generation, source_kind, value, &facts->source);
}

static __always_inline int claimed(__u32 generation, const struct plan *plan, __u32 any, __u32 source_kind,
				   const struct facts *facts)
{
	const struct tree *trees = &plan->trees[any];
	__u32 protocol = facts->protocol << PROTOCOL_SHIFT;
	if (facts->depth >= KNOWS_PORT && trees[2].nodes[0].longer &&
	    claimed_at(generation, any + 2, source_kind, protocol | facts->port, facts))
		return 1;
	if (facts->depth >= KNOWS_PROTOCOL && trees[1].nodes[0].longer &&
	    claimed_at(generation, any + 1, source_kind, protocol, facts))
		return 1;
	return facts->depth >= KNOWS_ADDRESSES && trees[0].nodes[0].longer &&
	       claimed_at(generation, any, source_kind, 0, facts);
}

/*
 * Whose a fragment is that the claims by themselves would give to whom `hit` says. A first one is remembered, whoever has it,
 * and a later one, which has no port, goes the same way. One that overtakes its first is EARLY, and the kernel's.
 */
__noinline int together(const struct facts *facts, __u32 any, int hit)
{
	if (!facts)
		return KERNELS;
	struct fragment_key key = {
		.source = facts->source,
		.destination = facts->destination,
		.identification = facts->identification,
		/* What an IPv6 fragment header names need not be what the headers behind the first one lead to. */
		.family_protocol = any << PROTOCOL_SHIFT | (any == TREE_IPV4_ANY ? facts->protocol : 0),
	};
	__u64 now = bpf_ktime_get_ns() & ~FRAGMENT_CLAIMED;
	if (facts->fragment == FRAGMENT_FIRST) {
		__u64 value = hit ? now | FRAGMENT_CLAIMED : now;
		bpf_map_update_elem(&fragments, &key, &value, BPF_ANY);
		return hit ? OURS : KERNELS;
	}
	if (hit)
		return OURS;
	__u64 *first = bpf_map_lookup_elem(&fragments, &key);
	if (!first || now - (*first & ~FRAGMENT_CLAIMED) > FRAGMENT_LIFETIME_NS)
		return EARLY;
	return *first & FRAGMENT_CLAIMED ? OURS : KERNELS;
}

/* The claims' answer, and where ports are claimed, for fragments, that of the datagram's first one. */
static __always_inline int judged(__u32 generation, const struct plan *plan, __u32 any, __u32 source_kind,
				  const struct facts *facts)
{
	int hit = claimed(generation, plan, any, source_kind, facts);
	if (facts->fragment && facts->depth >= KNOWS_PROTOCOL && plan->trees[any + 2].nodes[0].longer)
		return together(facts, any, hit);
	return hit ? OURS : KERNELS;
}

static __always_inline int pass(struct counters *counters, int broken)
{
	if (broken)
		counters->malformed++;
	else
		counters->passed++;
	return XDP_PASS;
}

static __always_inline int redirect(struct xdp_md *ctx, struct counters *counters)
{
	/* The last argument is what comes back where the slot is empty, so a dead program's frames reach the kernel. */
	int verdict = bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_PASS);
	if (verdict == XDP_REDIRECT)
		counters->redirected++;
	else
		counters->no_socket++;
	return verdict;
}

SEC("xdp.frags")
int steer(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u32 zero = 0;
	struct counters *counters = bpf_map_lookup_elem(&counts, &zero);
	if (!counters)
		return XDP_PASS;
	if (counters->handing_on) {
		counters->handing_on = 0;
		return XDP_PASS;
	}

	__u32 generation = *(volatile __u32 *)&state.active % GENERATIONS;
	const struct plan *plan = &state.plans[generation];
	/* Or the compiler makes the pointer again from a number whose bounds Linux 6.1 has forgotten by then. */
	FORGET(plan);
	if (plan->everything)
		return redirect(ctx, counters);

	__u32 at = 0;
	int ethertype = parse_ethernet(data, end, &at);
	if (ethertype < 0)
		return pass(counters, 1);
	if (plan->ethertypes) {
		void *table = bpf_map_lookup_elem(&tables, &generation);
		struct key key = { .kind_length = KIND_ETHERTYPE << KIND_SHIFT, .selector = ethertype };
		if (table && bpf_map_lookup_elem(table, &key))
			return redirect(ctx, counters);
	}

	struct facts facts = {};
	int owner = KERNELS;
	if (ethertype == ETH_P_IP && plan->ipv4) {
		parse_ipv4(data, end, at, &facts);
		owner = judged(generation, plan, TREE_IPV4_ANY, TREE_IPV4_SOURCE, &facts);
	} else if (ethertype == ETH_P_IPV6 && plan->ipv6) {
		parse_ipv6(ctx, at, &facts);
		owner = judged(generation, plan, TREE_IPV6_ANY, TREE_IPV6_SOURCE, &facts);
	} else if (ethertype == ETH_P_ARP && plan->trees[TREE_ARP].nodes[0].longer) {
		parse_arp(data, end, at, &facts);
		if (facts.depth >= KNOWS_ADDRESSES && claimed_at(generation, TREE_ARP, TREE_IPV4_SOURCE, 0, &facts))
			owner = OURS;
	}
	if (owner == OURS)
		return redirect(ctx, counters);
	if (owner == EARLY)
		counters->early_fragments++;
	return pass(counters, facts.broken);
}

char _license[] SEC("license") = "Dual MIT/GPL";
