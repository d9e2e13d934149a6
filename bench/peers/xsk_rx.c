/* SPDX-License-Identifier: MIT */
/*
 * Receives: reads three header fields of every packet, counts it, and gives its chunks back.
 */
#include <stdio.h>
#include <sys/socket.h>
#include "peer.h"

/* Polls of an empty ring between two looks at the clock. */
#define POLLS_PER_LOOK 256

struct tally {
	uint64_t packets, fields;
};

/* One burst: rx ring -> fields -> fill ring. */
static uint32_t receive(struct port *port, const struct area *area, const struct options *options, struct tally *tally)
{
	static bool inside; /* the last descriptor said that its packet goes on */
	uint64_t mask = ~(uint64_t)(options->chunk - 1);
	uint32_t rx_at, fill_at;
	uint32_t got = xsk_ring_cons__peek(&port->rx, options->burst, &rx_at);

	if (got == 0) {
		if (xsk_ring_prod__needs_wakeup(&port->fill))
			recvfrom(port->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
		return 0;
	}
	fill_at = reserve_fill(port, got);
	for (uint32_t i = 0; i < got; i++) {
		const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&port->rx, rx_at + i);

		if (!inside) {
			tally->fields += read_fields(area->bytes + desc->addr);
			tally->packets += 1;
		}
		inside = desc->options & XDP_PKT_CONTD;
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
	struct window window = {0};
	struct tally tally = {0};
	struct area area;
	struct port port;
	uint32_t until_look = 1;

	open_first(&area, &port, options.ifname[0], &options);
	fill_chunks(&port, &options, 0, options.fill);
	serve_socket(object, &port);
	attach_program(object, "redirect_all", options.ifname[0]);
	ready();
	for (;;) {
		receive(&port, &area, &options, &tally);
		if (--until_look == 0) {
			until_look = POLLS_PER_LOOK;
			if (!window_step(&window, &options, tally.packets))
				break;
		}
	}
	printf("{\"program\":\"xsk_rx\",\"packets\":%llu,\"pps\":%.0f,\"fields\":%llu}\n",
	       (unsigned long long)(tally.packets - window.frames_at_begin),
	       (double)(tally.packets - window.frames_at_begin) * 1e9 / (double)(window.end - window.began),
	       (unsigned long long)tally.fields);
	return 0;
}
