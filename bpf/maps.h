/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the steering program and TypeScript share: the counters, the plan of lookups, and the table of claims.
 *
 * ffi/xdp/layout.ts holds the same layouts and compares them with this object's BTF before anything is loaded.
 *
 * There are two generations of everything that claims are made of. User space fills the one that is not in use and then
 * stores `active`, so every frame is judged by the whole old list or by the whole new one, never by a mixture.
 */
#ifndef MILLRACE_MAPS_H
#define MILLRACE_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "counters.h"

#define GENERATIONS 2

/* One tree of prefix lengths for each kind of key that a prefix can be part of. */
enum tree_kind {
	TREE_IPV4_ANY,       /* destinations of claims on every IPv4 datagram */
	TREE_IPV4_PROTOCOL,  /* ... of claims on one protocol */
	TREE_IPV4_PORT,      /* ... of claims on one destination port */
	TREE_IPV6_ANY,
	TREE_IPV6_PROTOCOL,
	TREE_IPV6_PORT,
	TREE_ARP,            /* target addresses of ARP claims */
	TREE_IPV4_SOURCE,    /* members of source sets */
	TREE_IPV6_SOURCE,
	TREE_COUNT,
	KIND_ETHERTYPE = TREE_COUNT, /* exact keys: no tree */
	KIND_PARENT,
};

/* Nodes that a byte can number: more than the 129 lengths of an IPv6 prefix, and no index can leave the array. */
#define TREE_NODES 256
/* A balanced tree of 129 lengths is 8 deep. */
#define TREE_DEPTH 8
/* Source sets inside one another that a frame is looked up in; user space refuses lists that need more. */
#define SET_DEPTH 8

/* A prefix length to try: `longer` follows a hit, `shorter` a miss; 0 ends the walk. */
struct node {
	__u8 length;
	__u8 longer;
	__u8 shorter;
	__u8 unused;
};

/* A binary search over the prefix lengths in use. Node 0 is no node: its `longer` numbers the root, 0 where none is. */
struct tree {
	struct node nodes[TREE_NODES];
};

/* Everything that decides which lookups a frame needs. */
struct plan {
	__u32 everything; /* 1: every frame is claimed */
	__u32 ethertypes; /* 1: there are claims on an ethertype alone */
	__u32 ipv4;       /* 1: there are claims on IPv4 addresses, protocols or ports */
	__u32 ipv6;
	struct tree trees[TREE_COUNT];
};

/* In network byte order; IPv4 uses the first word. */
struct address {
	__u32 words[4];
};

/*
 * A key of the table: `kind_length` is a tree's number << 8 | prefix length in bits.
 * `selector` is 0, a protocol << 16, or a protocol << 16 | port; a set's number for sources; an ethertype.
 * All but the address is in the host's byte order.
 */
struct key {
	__u32 kind_length;
	__u32 selector;
	struct address address;
};

/*
 * A value of the table: claimed whatever the source, or the number of the set that the source must be in, or, for an
 * entry that only leads the search to longer prefixes, not claimed.
 */
#define VALUE_ANY 0u
#define VALUE_NONE 0xffffffffu
/* The set lies in another one: an enclosing destination takes further sources. */
#define VALUE_HAS_PARENT 0x80000000u

/* The table of one generation. User space makes each table to measure; this is only the shape of them all. */
struct claim_table {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(key_size, sizeof(struct key));
	__uint(value_size, sizeof(__u32));
	__uint(max_entries, 1);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__type(key, __u32);
	__uint(max_entries, GENERATIONS);
	__array(values, struct claim_table);
} tables SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1); /* as many as the interface has queues, set at load */
} xsks SEC(".maps");

/*
 * What the fragments of one datagram have in common: RFC 791 section 3.2 (addresses, identification, protocol) and, without
 * the protocol, RFC 8200 section 4.5.
 */
struct fragment_key {
	struct address source;
	struct address destination;
	__u32 identification;  /* as in the packet */
	__u32 family_protocol; /* TREE_IPV4_ANY or TREE_IPV6_ANY << 16 | protocol of IPv4 */
};

/* Datagrams that are on their way in fragments at one time; the one heard of longest ago makes room. */
#define FRAGMENTED_DATAGRAMS 4096
/* The last bit of a value: the datagram is claimed. The others are the time, in nanoseconds, of its first fragment. */
#define FRAGMENT_CLAIMED 1ull
/*
 * How long a first fragment speaks for later ones: as long as Linux keeps what it has of an IPv4 datagram
 * (net.ipv4.ipfrag_time). Identifications come again, in IPv4 after 65536 datagrams (RFC 4963).
 */
#define FRAGMENT_LIFETIME_NS 30000000000ull

/* Of whom the fragments without a port are: as judged by the one that had it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct fragment_key);
	__type(value, __u64);
	__uint(max_entries, FRAGMENTED_DATAGRAMS);
} fragments SEC(".maps");

/* Mapped into user space. */
struct state {
	__u32 active; /* the generation in use */
	__u32 unused;
	struct plan plans[GENERATIONS];
};

struct state state;

#endif
