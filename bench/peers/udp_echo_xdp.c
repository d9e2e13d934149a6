/* SPDX-License-Identifier: MIT */
/*
 * Answers every datagram for its port with its own payload, in the chunk that it came in: an AF_XDP socket that takes all.
 *
 * It checks what a host has to check: destination addresses, header length and checksum, fragments, lengths, port, UDP checksum.
 * Swapping addresses and ports changes no sum, so that the checksums that were found right are right in the answer.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "peer.h"

/* Polls of the rings between two looks at the clock. */
#define POLLS_PER_LOOK 256
#define IPV4_WITHOUT_OPTIONS 0x45
/* A fragment has "more fragments" or an offset. */
#define FRAGMENT_MASK 0x3fff

/* All 16-bit words, in whatever byte order the machine has: RFC 1071 section 2 (B) says that the fold is the same. */
static uint64_t sum_words(const uint8_t *at, uint32_t length)
{
	uint64_t sum = 0;
	uint32_t word;

	for (; length >= sizeof(word); length -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		sum += word;
	}
	if (length) {
		word = 0;
		memcpy(&word, at, length);
		sum += word;
	}
	return sum;
}

/* 0xffff where the checksum in what was summed is right. */
static uint32_t fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint32_t)((sum & 0xffff) + (sum >> 16));
}

/* The ports in the UDP header if the frame is a datagram for us in every respect, else NULL. */
static struct udphdr *datagram(uint8_t *frame, uint32_t length, const struct place *us, uint16_t port)
{
	const struct ethhdr *ethernet = (const void *)frame;
	const struct iphdr *ip = (const void *)(frame + ETHERNET_HEADER_BYTES);
	struct udphdr *udp = (void *)(frame + ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES);
	uint32_t bytes, udp_bytes;

	if (length < HEADERS_BYTES || ethernet->h_proto != htons(ETH_P_IP) ||
	    memcmp(ethernet->h_dest, us->mac, sizeof(us->mac)))
		return NULL;
	bytes = ntohs(ip->tot_len);
	if (*(const uint8_t *)ip != IPV4_WITHOUT_OPTIONS || bytes > length - ETHERNET_HEADER_BYTES ||
	    bytes < IPV4_HEADER_BYTES + UDP_HEADER_BYTES || ip->frag_off & htons(FRAGMENT_MASK) ||
	    ip->protocol != IPPROTO_UDP || memcmp(&ip->daddr, us->ipv4, sizeof(us->ipv4)) ||
	    fold(sum_words((const void *)ip, IPV4_HEADER_BYTES)) != 0xffff)
		return NULL;
	udp_bytes = ntohs(udp->len);
	if (udp->dest != port || udp_bytes < UDP_HEADER_BYTES || udp_bytes > bytes - IPV4_HEADER_BYTES)
		return NULL;
	if (udp->check != 0 && fold(sum_words((const void *)udp, udp_bytes) +
				    sum_words((const void *)&ip->saddr, 2 * sizeof(ip->saddr)) +
				    htons(IPPROTO_UDP) + udp->len) != 0xffff)
		return NULL;
	return udp;
}

static void turn_around(uint8_t *frame, struct udphdr *udp)
{
	struct ethhdr *ethernet = (void *)frame;
	struct iphdr *ip = (void *)(frame + ETHERNET_HEADER_BYTES);
	uint8_t mac[ETH_ALEN];
	uint32_t address = ip->saddr;
	uint16_t port = udp->source;

	memcpy(mac, ethernet->h_source, sizeof(mac));
	memcpy(ethernet->h_source, ethernet->h_dest, sizeof(mac));
	memcpy(ethernet->h_dest, mac, sizeof(mac));
	ip->saddr = ip->daddr;
	ip->daddr = address;
	udp->source = udp->dest;
	udp->dest = port;
}

/* Chunks of answers that are out go back to the fill ring. */
static void collect(struct port *port, uint64_t mask)
{
	uint32_t at, fill_at, got = xsk_ring_cons__peek(&port->completion, port->completion.size, &at);

	if (got == 0)
		return;
	fill_at = reserve_fill(port, got);
	for (uint32_t i = 0; i < got; i++)
		*xsk_ring_prod__fill_addr(&port->fill, fill_at + i) =
			*xsk_ring_cons__comp_addr(&port->completion, at + i) & mask;
	xsk_ring_prod__submit(&port->fill, got);
	xsk_ring_cons__release(&port->completion, got);
}

/* One burst: rx ring -> checks, swap -> tx ring, or back to the fill ring. A full tx ring leaves packets in the rx ring. */
static uint32_t answer(struct port *port, const struct area *area, const struct place *us, const struct options *options)
{
	uint64_t mask = ~(uint64_t)(options->chunk - 1);
	uint32_t room = xsk_prod_nb_free(&port->tx, options->burst);
	uint32_t rx_at, tx_at, fill_at, answered = 0;
	uint32_t got = xsk_ring_cons__peek(&port->rx, room < options->burst ? room : options->burst, &rx_at);
	uint16_t own_port = htons((uint16_t)options->port);

	if (got == 0) {
		if (xsk_ring_prod__needs_wakeup(&port->fill))
			recvfrom(port->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
		return 0;
	}
	for (uint32_t i = 0; i < got; i++) {
		const struct xdp_desc *in = xsk_ring_cons__rx_desc(&port->rx, rx_at + i);
		struct udphdr *udp = datagram(area->bytes + in->addr, in->len, us, own_port);

		if (udp) {
			turn_around(area->bytes + in->addr, udp);
			xsk_ring_prod__reserve(&port->tx, 1, &tx_at);
			*xsk_ring_prod__tx_desc(&port->tx, tx_at) = (struct xdp_desc){.addr = in->addr, .len = in->len};
			answered += 1;
		} else {
			fill_at = reserve_fill(port, 1);
			*xsk_ring_prod__fill_addr(&port->fill, fill_at) = in->addr & mask;
			xsk_ring_prod__submit(&port->fill, 1);
		}
	}
	xsk_ring_cons__release(&port->rx, got);
	xsk_ring_prod__submit(&port->tx, answered);
	return answered;
}

int main(int argc, char **argv)
{
	struct options options = read_options(argc, argv, 1);
	struct bpf_object *object = load_programs(0);
	struct place us = place_of(options.ifname[0]);
	struct area area;
	struct port port;
	uint64_t answered = 0;

	open_first(&area, &port, options.ifname[0], &options);
	fill_chunks(&port, &options, 0, options.fill);
	serve_socket(object, &port);
	attach_program(object, "redirect_all", options.ifname[0]);
	ready();
	while (!stopped) {
		for (uint32_t i = 0; i < POLLS_PER_LOOK; i++) {
			answered += answer(&port, &area, &us, &options);
			/* Also when nothing came: what copy mode left in the ring goes out now. */
			if (port.tx.cached_prod != *port.tx.consumer && xsk_ring_prod__needs_wakeup(&port.tx))
				wake_tx(&port);
			collect(&port, ~(uint64_t)(options.chunk - 1));
		}
	}
	printf("{\"program\":\"udp_echo_xdp\",\"packets\":%llu}\n", (unsigned long long)answered);
	return 0;
}
