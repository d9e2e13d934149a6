/* SPDX-License-Identifier: MIT */
/*
 * Sends prebuilt frames as fast as the kernel takes them, from the AF_XDP socket of queue 0.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include "peer.h"

/* Bursts between two looks at the clock. */
#define BURSTS_PER_LOOK 64
/* A patient sender looks at the clock so often. */
#define POLL_MS 100

/* Packets that are free, each by the address of its first chunk; its further chunks follow in the umem. */
struct pool {
	uint64_t *address;
	uint32_t count;
	uint32_t parts; /* chunks of a packet */
	uint64_t stride;
};

static void make_packets(struct pool *pool, struct area *area, const struct options *options)
{
	uint32_t packets;

	pool->parts = (options->packet + options->chunk - 1) / options->chunk;
	pool->stride = (uint64_t)pool->parts * options->chunk;
	packets = options->chunks / pool->parts;
	pool->address = calloc(packets, sizeof(*pool->address));
	if (!pool->address)
		fail(0, "allocate the pool");
	for (; pool->count < packets; pool->count++) {
		pool->address[pool->count] = pool->count * pool->stride;
		write_frame(area->bytes + pool->address[pool->count], options->packet);
		if (options->to)
			write_address(area->bytes + pool->address[pool->count], options->to);
	}
}

/* The kernel completes all chunks of a packet at once, so the first one stands for all. */
static void collect(struct port *port, struct pool *pool)
{
	uint32_t at, got = xsk_ring_cons__peek(&port->completion, port->completion.size, &at);

	for (uint32_t i = 0; i < got; i++) {
		uint64_t address = *xsk_ring_cons__comp_addr(&port->completion, at + i);

		if (pool->parts == 1 || address % pool->stride == 0)
			pool->address[pool->count++] = address;
	}
	if (got)
		xsk_ring_cons__release(&port->completion, got);
}

/* Queues up to a burst of packets; where one has several chunks, the last is shorter. */
static uint32_t send_burst(struct port *port, struct pool *pool, const struct options *options)
{
	uint32_t packets = options->burst < pool->count ? options->burst : pool->count;
	uint32_t last = options->packet - (pool->parts - 1) * options->chunk;
	uint32_t at;

	if (packets == 0 || xsk_ring_prod__reserve(&port->tx, packets * pool->parts, &at) == 0)
		return 0;
	for (uint32_t i = 0; i < packets; i++) {
		uint64_t address = pool->address[--pool->count];

		for (uint32_t part = 1; part <= pool->parts; part++) {
			struct xdp_desc *desc = xsk_ring_prod__tx_desc(&port->tx, at++);

			desc->addr = address;
			desc->len = part < pool->parts ? options->chunk : last;
			desc->options = part < pool->parts ? XDP_PKT_CONTD : 0;
			address += options->chunk;
		}
	}
	xsk_ring_prod__submit(&port->tx, packets * pool->parts);
	return packets;
}

/* Sleeps until the kernel has taken half of the ring: a sender that only offers a load leaves its core to others. */
static void wait_for_room(const struct port *port)
{
	struct pollfd waiting = {.fd = port->fd, .events = POLLOUT};

	poll(&waiting, 1, POLL_MS);
}

int main(int argc, char **argv)
{
	struct options options = read_options(argc, argv, 1);
	struct window window = {0};
	struct area area;
	struct port port;
	struct pool pool = {0};
	uint64_t sent = 0;

	open_first(&area, &port, options.ifname[0], &options);
	make_packets(&pool, &area, &options);
	ready();
	for (uint32_t i = 0; i % BURSTS_PER_LOOK || window_step(&window, &options, sent); i++) {
		uint32_t queued = send_burst(&port, &pool, &options);

		sent += queued;
		if (queued == 0 && options.patient)
			wait_for_room(&port);
		else if (xsk_ring_prod__needs_wakeup(&port.tx))
			wake_tx(&port);
		collect(&port, &pool);
	}
	printf("{\"program\":\"xsk_tx\",\"packets\":%llu,\"pps\":%.0f}\n",
	       (unsigned long long)(sent - window.frames_at_begin),
	       (double)(sent - window.frames_at_begin) * 1e9 / (double)(window.end - window.began));
	return 0;
}
