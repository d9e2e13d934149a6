/* SPDX-License-Identifier: MIT */
/*
 * Sleeps in poll() until a frame comes and notes how long it took from the sender's time stamp to here.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "peer.h"

/* A second's worth of frames at the fastest pace that makes sense here, times the longest run. */
#define MAX_SAMPLES 1000000
#define POLL_MS 100

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double percentile_us(const uint64_t *sorted, uint32_t count, uint32_t percent)
{
	return count ? (double)sorted[(uint64_t)(count - 1) * percent / 100] / 1e3 : 0;
}

/* Takes every frame that is there; `samples` is NULL while warming up. */
static uint32_t receive(struct port *port, const struct area *area, const struct options *options, uint64_t *samples)
{
	uint64_t mask = ~(uint64_t)(options->chunk - 1);
	uint32_t rx_at, fill_at;
	uint32_t got = xsk_ring_cons__peek(&port->rx, options->burst, &rx_at);

	if (got == 0)
		return 0;
	fill_at = reserve_fill(port, got);
	for (uint32_t i = 0; i < got; i++) {
		const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&port->rx, rx_at + i);
		uint64_t stamp;

		memcpy(&stamp, area->bytes + desc->addr + HEADERS_BYTES, sizeof(stamp));
		if (samples)
			samples[i] = now_ns() - stamp;
		*xsk_ring_prod__fill_addr(&port->fill, fill_at + i) = desc->addr & mask;
	}
	xsk_ring_cons__release(&port->rx, got);
	xsk_ring_prod__submit(&port->fill, got);
	return got;
}

int main(int argc, char **argv)
{
	struct options options = read_options(argc, argv, 1);
	struct bpf_object *object = load_programs(0);
	uint64_t *samples = calloc(MAX_SAMPLES + options.burst, sizeof(*samples));
	struct window window = {0};
	struct area area;
	struct port port;
	struct pollfd waiting;
	uint64_t frames = 0;
	uint32_t count = 0;

	if (!samples)
		fail(0, "allocate %d samples", MAX_SAMPLES);
	open_first(&area, &port, options.ifname[0], &options);
	fill_chunks(&port, &options, 0, options.fill);
	serve_socket(object, &port);
	attach_program(object, "redirect_all", options.ifname[0]);
	waiting = (struct pollfd){.fd = port.fd, .events = POLLIN};
	ready();
	while (window_step(&window, &options, frames) && count < MAX_SAMPLES) {
		uint32_t got;

		if (poll(&waiting, 1, POLL_MS) < 0 && errno != EINTR)
			fail(errno, "poll the AF_XDP socket");
		got = receive(&port, &area, &options, window.open ? samples + count : NULL);
		frames += got;
		if (window.open)
			count += got;
	}
	qsort(samples, count, sizeof(*samples), by_size);
	printf("{\"program\":\"poll_wake\",\"packets\":%u,\"medianUs\":%.3f,\"p99Us\":%.3f}\n", count,
	       percentile_us(samples, count, 50), percentile_us(samples, count, 99));
	return 0;
}
