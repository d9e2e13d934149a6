/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * From a frame to the facts that claims ask for: ethertype, addresses, protocol, destination port.
 *
 * Every read is checked against the end of the frame's first buffer; a frame that ends too early keeps the facts that
 * were whole and is marked as broken.
 */
#ifndef MILLRACE_PARSE_H
#define MILLRACE_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"

/* Tags that are seen through: a service tag and a customer tag (IEEE 802.1ad). */
#define MAX_VLAN_TAGS 2
/* Longest chain of IPv6 extension headers that is followed; RFC 8504 section 5.3 lets a node set such a limit. */
#define MAX_EXTENSION_HEADERS 8

/*
 * Above the end of an Ethernet header with its tags, and of the longest chain of extension headers (8 of 2048 bytes
 * behind 40): the masks change no offset, they tell the verifier that offsets are small.
 */
#define MAX_ETHERNET_MASK 0x3f
#define MAX_OFFSET_MASK 0x7fff

#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV4_FRAGMENT_OFFSET 0x1fff
#define IPV4_MIN_WORDS 5
#define IPV6_MORE_FRAGMENTS 0x0001
#define IPV6_FRAGMENT_OFFSET 0xfff8

/* linux/ipv6.h names some of these only for the kernel: RFC 8200, 4302, 9260. */
#define NEXT_HOP_BY_HOP 0
#define NEXT_ROUTING 43
#define NEXT_FRAGMENT 44
#define NEXT_AUTHENTICATION 51
#define NEXT_DESTINATION 60
#define PROTOCOL_SCTP 132

/* RFC 826, in the only form that IPv4 over Ethernet has. */
#define ARP_HARDWARE_ETHERNET 1

/* Makes the compiler treat a value as unknown, so that it neither moves, repeats nor drops what is done with it. */
#define FORGET(value) asm volatile("" : "+r"(value))

struct vlan_tag {
	__be16 control;
	__be16 ethertype;
};

struct arp_ipv4 {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__u8 sender[4];
	__u8 target_mac[ETH_ALEN];
	__u8 target[4];
} __attribute__((packed));

struct extension {
	__u8 next;
	__u8 length;
	__be16 fragment_offset; /* of a fragment header */
	__be32 fragment_id;
};

/* Destination port of TCP, UDP and SCTP alike. */
struct ports {
	__be16 source;
	__be16 destination;
};

enum depth {
	KNOWS_NOTHING,
	KNOWS_ADDRESSES,
	KNOWS_PROTOCOL,
	KNOWS_PORT,
};

/* What is set of these in `facts.fragment`; a datagram that is whole has neither. */
#define FRAGMENT_FIRST 1
#define FRAGMENT_LATER 2

struct facts {
	struct address source;
	struct address destination;
	__u32 protocol;
	__u32 port;
	__u32 depth;  /* enum depth: how far the headers were whole */
	__u32 broken; /* 1: a header is cut off, or contradicts itself */
	__u32 fragment;
	__u32 identification; /* of a fragment, as in the packet */
};

/* Host order ethertype behind at most two tags, or -1 where a header is cut off; `*at` is where its payload starts. */
static __always_inline int parse_ethernet(void *data, void *end, __u32 *at)
{
	struct ethhdr *ethernet = data;
	if ((void *)(ethernet + 1) > end)
		return -1;
	__u32 offset = sizeof(*ethernet);
	__be16 ethertype = ethernet->h_proto;
#pragma unroll
	for (int i = 0; i < MAX_VLAN_TAGS; i++) {
		if (ethertype != bpf_htons(ETH_P_8021Q) && ethertype != bpf_htons(ETH_P_8021AD))
			break;
		struct vlan_tag *tag = data + offset;
		if ((void *)(tag + 1) > end)
			return -1;
		ethertype = tag->ethertype;
		offset += sizeof(*tag);
	}
	*at = offset;
	return bpf_ntohs(ethertype);
}

/*
 * The port, where the protocol has one. `left` is what the IP header says is left of the datagram at `at`; a port that
 * is read from the padding behind a datagram would be no port. A datagram of unstated length (jumbo) is taken whole.
 */
static __always_inline void parse_ports(void *data, void *end, __u32 at, int left, struct facts *facts)
{
	if (facts->protocol != IPPROTO_TCP && facts->protocol != IPPROTO_UDP && facts->protocol != PROTOCOL_SCTP)
		return;
	struct ports *ports = data + at;
	/* Or the compiler adds again behind the check, and Linux 6.1 does not see that it is the sum that was checked. */
	FORGET(ports);
	if ((void *)(ports + 1) > end || left < (int)sizeof(*ports)) {
		facts->broken = 1;
		return;
	}
	facts->port = bpf_ntohs(ports->destination);
	facts->depth = KNOWS_PORT;
}

static __always_inline void parse_ipv4(void *data, void *end, __u32 at, struct facts *facts)
{
	struct iphdr *ip = data + at;
	if ((void *)(ip + 1) > end) {
		facts->broken = 1;
		return;
	}
	__u32 header = ip->ihl * 4;
	__u32 total = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || ip->ihl < IPV4_MIN_WORDS || (void *)ip + header > end || (total != 0 && total < header)) {
		facts->broken = 1;
		return;
	}
	facts->source.words[0] = ip->saddr;
	facts->destination.words[0] = ip->daddr;
	facts->protocol = ip->protocol;
	facts->depth = KNOWS_PROTOCOL;
	if (ip->frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET | IPV4_MORE_FRAGMENTS)) {
		facts->identification = ip->id;
		facts->fragment = ip->frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET) ? FRAGMENT_LATER : FRAGMENT_FIRST;
		if (facts->fragment == FRAGMENT_LATER)
			return;
	}
	parse_ports(data, end, at + header, total == 0 ? (int)sizeof(struct ports) : (int)(total - header), facts);
}

/*
 * How to step over an extension header, by its protocol number: its length is `unit` times the number in its second byte
 * plus 8, for an options or routing header (RFC 8200), an authentication header (RFC 4302 section 2.2: words, less two)
 * and a fragment header (of fixed length) alike. A table instead of branches keeps the verifier's work, and so the time
 * that a load takes, small.
 */
struct extension_rule {
	__be16 later; /* bits that are set in a fragment that is not the first */
	__be16 more;  /* ... and in one that is not the last */
	__be32 id;    /* bits of the identification */
	__u8 unit;
	__u8 follows; /* 1: this is a header to step over */
};

static const struct extension_rule extension_rules[256] = {
	[NEXT_HOP_BY_HOP] = { .unit = 8, .follows = 1 },
	[NEXT_ROUTING] = { .unit = 8, .follows = 1 },
	[NEXT_FRAGMENT] = { .unit = 0,
			    .follows = 1,
			    .later = bpf_htons(IPV6_FRAGMENT_OFFSET),
			    .more = bpf_htons(IPV6_MORE_FRAGMENTS),
			    .id = ~0u },
	[NEXT_AUTHENTICATION] = { .unit = 4, .follows = 1 },
	[NEXT_DESTINATION] = { .unit = 8, .follows = 1 },
};

/* Not static: its loop is then verified once, not for each path that leads here. Its result only pleases the verifier. */
__noinline int parse_ipv6(struct xdp_md *ctx, __u32 at, struct facts *facts)
{
	if (!facts)
		return 0;
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	at &= MAX_ETHERNET_MASK;
	struct ipv6hdr *ip = data + at;
	if ((void *)(ip + 1) > end || ip->version != 6) {
		facts->broken = 1;
		return 0;
	}
	__builtin_memcpy(&facts->source, &ip->saddr, sizeof(facts->source));
	__builtin_memcpy(&facts->destination, &ip->daddr, sizeof(facts->destination));
	facts->depth = KNOWS_ADDRESSES;
	__u8 next = ip->nexthdr;
	__u32 payload = bpf_ntohs(ip->payload_len);
	__u32 later = 0, more = 0;
	__u32 offset = sizeof(*ip);
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_EXTENSION_HEADERS; i++) {
		const struct extension_rule *rule = &extension_rules[next];
		if (!rule->follows)
			break;
		offset &= MAX_OFFSET_MASK;
		struct extension *header = data + at + offset;
		if ((void *)(header + 1) > end) {
			facts->broken = 1;
			return 0;
		}
		offset += header->length * rule->unit + sizeof(*header);
		later = header->fragment_offset & rule->later;
		more |= header->fragment_offset & rule->more;
		facts->identification |= header->fragment_id & rule->id;
		next = header->next;
		/* What follows in a later fragment is payload, whatever it looks like. */
		if (later)
			break;
	}
	facts->fragment = later ? FRAGMENT_LATER : more ? FRAGMENT_FIRST : 0;
	offset &= MAX_OFFSET_MASK;
	/* A chain longer than the limit, or one whose last header runs past the end of the datagram or of the frame. */
	if ((!later && extension_rules[next].follows) || (payload != 0 && offset - sizeof(*ip) > payload) ||
	    data + at + offset > end) {
		facts->broken = 1;
		return 0;
	}
	facts->protocol = next;
	facts->depth = KNOWS_PROTOCOL;
	if (!later)
		parse_ports(data, end, at + offset,
			    payload == 0 ? (int)sizeof(struct ports) : (int)(payload - (offset - sizeof(*ip))), facts);
	return 0;
}

/* ARP for IPv4 over Ethernet gives addresses; other forms of ARP have none and are not broken. */
static __always_inline void parse_arp(void *data, void *end, __u32 at, struct facts *facts)
{
	struct arp_ipv4 *arp = data + at;
	if ((void *)(arp + 1) > end) {
		facts->broken = 1;
		return;
	}
	if (arp->hardware != bpf_htons(ARP_HARDWARE_ETHERNET) || arp->protocol != bpf_htons(ETH_P_IP) ||
	    arp->hardware_length != ETH_ALEN || arp->protocol_length != sizeof(arp->sender))
		return;
	__builtin_memcpy(&facts->source, arp->sender, sizeof(arp->sender));
	__builtin_memcpy(&facts->destination, arp->target, sizeof(arp->target));
	facts->depth = KNOWS_ADDRESSES;
}

#endif
