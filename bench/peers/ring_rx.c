/* SPDX-License-Identifier: MIT */
/*
 * The receive loop over rings in plain memory, without a kernel: this program produces a batch of rx descriptors from
 * the fill ring (not timed), then times the consumer: three header fields of every packet and the chunk recycled.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include "peer.h"

struct ring_memory {
	uint32_t producer __attribute__((aligned(64)));
	uint32_t consumer __attribute__((aligned(64)));
	uint32_t flags __attribute__((aligned(64)));
	uint8_t *descriptors;
};

struct rings {
	struct ring_memory rx_memory, fill_memory;
	struct xsk_ring_cons rx;
	struct xsk_ring_prod fill;
};

static uint8_t *memory(size_t length)
{
	uint8_t *bytes = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (bytes == MAP_FAILED)
		fail(errno, "map %zu bytes", length);
	return bytes;
}

static void make_rings(struct rings *rings, const struct options *options)
{
	rings->rx_memory.descriptors = memory(options->ring * sizeof(struct xdp_desc));
	rings->fill_memory.descriptors = memory(options->fill * sizeof(uint64_t));
	rings->rx = (struct xsk_ring_cons){
		.mask = options->ring - 1, .size = options->ring, .producer = &rings->rx_memory.producer,
		.consumer = &rings->rx_memory.consumer, .ring = rings->rx_memory.descriptors,
		.flags = &rings->rx_memory.flags,
	};
	rings->fill = (struct xsk_ring_prod){
		.mask = options->fill - 1, .size = options->fill, .cached_cons = options->fill,
		.producer = &rings->fill_memory.producer, .consumer = &rings->fill_memory.consumer,
		.ring = rings->fill_memory.descriptors, .flags = &rings->fill_memory.flags,
	};
}

/* The kernel's part: takes `count` chunks from the fill ring and hands them over as packets. */
static void produce(struct rings *rings, uint32_t count, uint32_t length)
{
	struct xdp_desc *descs = (struct xdp_desc *)rings->rx_memory.descriptors;
	uint64_t *addrs = (uint64_t *)rings->fill_memory.descriptors;
	uint32_t taken = rings->fill_memory.consumer;
	uint32_t made = rings->rx_memory.producer;

	for (uint32_t i = 0; i < count; i++) {
		struct xdp_desc *desc = &descs[(made + i) & rings->rx.mask];

		desc->addr = addrs[(taken + i) & rings->fill.mask] + KERNEL_HEADROOM_BYTES;
		desc->len = length;
		desc->options = 0;
	}
	__atomic_store_n(&rings->fill_memory.consumer, taken + count, __ATOMIC_RELEASE);
	__atomic_store_n(&rings->rx_memory.producer, made + count, __ATOMIC_RELEASE);
}

/* Owners of chunks, as millrace keeps them: one byte each, looked at whenever a chunk changes hands. */
enum owner { WITH_KERNEL, WITH_HANDLER };

static uint8_t *owners;

/* What millrace asks of a descriptor: our chunk, bytes that lie in it, nothing else said. */
static inline bool plausible(const struct xdp_desc *desc, const struct options *options)
{
	uint64_t chunk = desc->addr / options->chunk;

	return chunk < options->chunks && owners[chunk] == WITH_KERNEL && desc->len > 0 &&
	       desc->addr % options->chunk + desc->len <= options->chunk && desc->options == 0;
}

static inline uint32_t receive(struct rings *rings, const uint8_t *bytes, const struct options *options,
			       uint32_t *fields, bool checked)
{
	uint64_t mask = ~(uint64_t)(options->chunk - 1);
	uint32_t rx_at, fill_at;
	uint32_t got = xsk_ring_cons__peek(&rings->rx, options->burst, &rx_at);

	if (got == 0)
		return 0;
	if (xsk_ring_prod__reserve(&rings->fill, got, &fill_at) != got)
		fail(0, "recycle %u chunks: the fill ring is full", got);
	for (uint32_t i = 0; i < got; i++) {
		const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&rings->rx, rx_at + i);

		if (checked && !plausible(desc, options))
			fail(0, "use descriptor %u: it is forged", i);
		if (checked)
			owners[desc->addr / options->chunk] = WITH_HANDLER;
		*fields += read_fields(bytes + desc->addr);
		if (checked && owners[desc->addr / options->chunk] == WITH_HANDLER)
			owners[desc->addr / options->chunk] = WITH_KERNEL;
		*xsk_ring_prod__fill_addr(&rings->fill, fill_at + i) = desc->addr & mask;
	}
	xsk_ring_cons__release(&rings->rx, got);
	xsk_ring_prod__submit(&rings->fill, got);
	return got;
}

int main(int argc, char **argv)
{
	struct options options = read_options(argc, argv, 0);
	static struct rings rings;
	uint8_t *bytes = memory((size_t)options.chunks * options.chunk);
	uint64_t begin, now, spent = 0, packets = 0;
	uint32_t fields = 0;
	uint32_t batch = options.ring / 2, at = 0;

	make_rings(&rings, &options);
	owners = calloc(options.chunks, 1);
	if (!owners)
		fail(0, "allocate %u owners", options.chunks);
	for (uint32_t chunk = 0; chunk < options.chunks; chunk++)
		write_frame(bytes + (size_t)chunk * options.chunk + KERNEL_HEADROOM_BYTES, options.packet);
	xsk_ring_prod__reserve(&rings.fill, options.fill, &at);
	for (uint32_t chunk = 0; chunk < options.fill; chunk++)
		*xsk_ring_prod__fill_addr(&rings.fill, at++) = (uint64_t)chunk * options.chunk;
	xsk_ring_prod__submit(&rings.fill, options.fill);
	ready();
	begin = now_ns() + to_ns(options.warmup);
	do {
		uint64_t started;

		produce(&rings, batch, options.packet);
		started = now_ns();
		/* A constant argument, so that each of the two loops is compiled without the other's branches. */
		if (options.checked)
			while (receive(&rings, bytes, &options, &fields, true))
				;
		else
			while (receive(&rings, bytes, &options, &fields, false))
				;
		now = now_ns();
		if (started < begin)
			continue;
		spent += now - started;
		packets += batch;
	} while (now < begin + to_ns(options.seconds) && !stopped);
	printf("{\"program\":\"ring_rx\",\"packets\":%llu,\"nsPerPacket\":%.3f,\"fields\":%u}\n",
	       (unsigned long long)packets, (double)spent / (double)packets, fields);
	return 0;
}
