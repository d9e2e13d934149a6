/* SPDX-License-Identifier: MIT */
/*
 * Offers datagrams from many flows at a given rate and counts the answers.
 *
 * Reads "RATE SECONDS" lines from stdin, offers that many a second for so long, and prints a JSON line with what it sent and
 * what came back. It sends through an AF_XDP socket; answers are counted by an XDP program, which costs the core that
 * they come in on (the answering program's, over veth) the least.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "peer.h"

/* Datagrams that are sent together at low and middle rates: at 500 000 a second a burst every 32 us. */
#define PACED_BURST 16
/* A sender that was held up for longer than this goes on at its rate: it does not send at once what it missed. */
#define MAX_DEBT_NS (NS_PER_S / 500)
/* Answers that are on their way when the last datagram is out have come long before. */
#define DRAIN_US 30000

struct count {
	uint64_t answers, unfit;
};

struct pool {
	uint64_t *address;
	uint32_t count;
};

/* Every chunk holds the datagram of one flow for good, so that sending writes nothing. */
static struct pool make_datagrams(struct area *area, const struct options *options)
{
	struct place from = place_of(options->ifname[0]);
	struct pool pool = {.address = calloc(options->chunks, sizeof(*pool.address))};

	if (!pool.address)
		fail(0, "allocate the pool");
	for (; pool.count < options->chunks; pool.count++) {
		pool.address[pool.count] = (uint64_t)pool.count * options->chunk;
		write_datagram(area->bytes + pool.address[pool.count], pool.count % options->flows, &from, options);
	}
	return pool;
}

static void collect(struct port *port, struct pool *pool)
{
	uint32_t at, got = xsk_ring_cons__peek(&port->completion, port->completion.size, &at);

	for (uint32_t i = 0; i < got; i++)
		pool->address[pool->count++] = *xsk_ring_cons__comp_addr(&port->completion, at + i);
	if (got)
		xsk_ring_cons__release(&port->completion, got);
}

static uint32_t send_some(struct port *port, struct pool *pool, uint32_t wanted, const struct options *options)
{
	uint32_t most = wanted < options->burst ? wanted : options->burst;
	uint32_t count = most < pool->count ? most : pool->count;
	uint32_t at;

	if (count == 0 || xsk_ring_prod__reserve(&port->tx, count, &at) == 0)
		return 0;
	for (uint32_t i = 0; i < count; i++)
		*xsk_ring_prod__tx_desc(&port->tx, at++) =
			(struct xdp_desc){.addr = pool->address[--pool->count], .len = options->packet};
	xsk_ring_prod__submit(&port->tx, count);
	return count;
}

/* Offers `rate` datagrams a second for `seconds`; returns how many went out. */
static uint64_t offer(struct port *port, struct pool *pool, double rate, double seconds, const struct options *options)
{
	uint64_t base = now_ns(), end = base + to_ns(seconds);
	uint64_t sent = 0, sent_at_base = 0;
	double per_ns = rate / (double)NS_PER_S;

	for (uint64_t now = base; now < end && !stopped; now = now_ns()) {
		uint64_t due = sent_at_base + (uint64_t)((double)(now - base) * per_ns);

		if (due > sent + PACED_BURST + (uint64_t)((double)MAX_DEBT_NS * per_ns)) {
			base = now;
			sent_at_base = sent;
			continue;
		}
		if (due >= sent + PACED_BURST)
			sent += send_some(port, pool, (uint32_t)(due - sent), options);
		if (port->tx.cached_prod != *port->tx.consumer && xsk_ring_prod__needs_wakeup(&port->tx))
			wake_tx(port);
		collect(port, pool);
	}
	return sent;
}

static struct count read_count(int map, int cpus, uint64_t *per_cpu)
{
	uint64_t sums[2] = {0};

	for (uint32_t key = 0; key < 2; key++) {
		if (bpf_map_lookup_elem(map, &key, per_cpu))
			fail(errno, "read the count of answers");
		for (int i = 0; i < cpus; i++)
			sums[key] += per_cpu[i];
	}
	return (struct count){.answers = sums[0], .unfit = sums[1]};
}

int main(int argc, char **argv)
{
	struct options options = read_options(argc, argv, 1);
	struct bpf_object *object = load_programs(0);
	int map = bpf_object__find_map_fd_by_name(object, "answers");
	int cpus = libbpf_num_possible_cpus();
	uint64_t *per_cpu = cpus > 0 ? calloc((size_t)cpus, sizeof(*per_cpu)) : NULL;
	struct area area;
	struct port port;
	struct pool pool;
	double rate, seconds;

	if (!per_cpu)
		fail(0, "allocate a counter for each processor");
	if (options.flows == 0 || options.flows > options.chunks)
		fail(0, "send %u flows: there are %u chunks for them", options.flows, options.chunks);
	open_first(&area, &port, options.ifname[0], &options);
	pool = make_datagrams(&area, &options);
	attach_program(object, "count_answers", options.ifname[0]);
	ready();
	while (!stopped && scanf("%lf %lf", &rate, &seconds) == 2) {
		struct count before = read_count(map, cpus, per_cpu), after;
		uint64_t sent = offer(&port, &pool, rate, seconds, &options);

		usleep(DRAIN_US);
		after = read_count(map, cpus, per_cpu);
		printf("{\"program\":\"udp_load\",\"sentPps\":%.0f,\"answeredPps\":%.0f,\"unfit\":%llu}\n",
		       (double)sent / seconds, (double)(after.answers - before.answers) / seconds,
		       (unsigned long long)(after.unfit - before.unfit));
		fflush(stdout);
	}
	return 0;
}
