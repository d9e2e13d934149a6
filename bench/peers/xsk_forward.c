/* SPDX-License-Identifier: MIT */
/*
 * Forwards between two devices over one umem: the chunk that one received is the chunk that the other sends.
 */
#include <stdio.h>
#include <sys/socket.h>
#include "peer.h"

/* Rounds over both ports between two looks at the clock. */
#define ROUNDS_PER_LOOK 128

/* Sent chunks go back to the fill ring of the port that they came in on; the umem is cut in two halves for that. */
static void collect(struct port *ports, uint32_t from, uint64_t half)
{
	struct port *port = &ports[from];
	uint32_t at, fill_at[2] = {0, 0}, owed[2] = {0, 0};
	uint32_t got = xsk_ring_cons__peek(&port->completion, port->completion.size, &at);

	if (got == 0)
		return;
	for (uint32_t i = 0; i < got; i++)
		owed[*xsk_ring_cons__comp_addr(&port->completion, at + i) >= half] += 1;
	for (uint32_t i = 0; i < 2; i++)
		if (owed[i])
			fill_at[i] = reserve_fill(&ports[i], owed[i]);
	for (uint32_t i = 0; i < got; i++) {
		uint64_t address = *xsk_ring_cons__comp_addr(&port->completion, at + i);
		uint32_t to = address >= half;

		*xsk_ring_prod__fill_addr(&ports[to].fill, fill_at[to]++) = address;
	}
	for (uint32_t i = 0; i < 2; i++)
		if (owed[i])
			xsk_ring_prod__submit(&ports[i].fill, owed[i]);
	xsk_ring_cons__release(&port->completion, got);
}

/* A full tx ring leaves packets in the rx ring: the kernel counts what then does not fit there. */
static uint32_t forward(struct port *from, struct port *to, const struct options *options)
{
	uint32_t rx_at, tx_at = 0;
	uint32_t room = xsk_prod_nb_free(&to->tx, options->burst);
	uint32_t got = xsk_ring_cons__peek(&from->rx, room < options->burst ? room : options->burst, &rx_at);

	if (got == 0) {
		if (xsk_ring_prod__needs_wakeup(&from->fill))
			recvfrom(from->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
		return 0;
	}
	xsk_ring_prod__reserve(&to->tx, got, &tx_at);
	for (uint32_t i = 0; i < got; i++) {
		const struct xdp_desc *in = xsk_ring_cons__rx_desc(&from->rx, rx_at + i);
		struct xdp_desc *out = xsk_ring_prod__tx_desc(&to->tx, tx_at + i);

		out->addr = in->addr;
		out->len = in->len;
		out->options = in->options & XDP_PKT_CONTD;
	}
	xsk_ring_cons__release(&from->rx, got);
	xsk_ring_prod__submit(&to->tx, got);
	return got;
}

int main(int argc, char **argv)
{
	struct options options = read_options(argc, argv, 2);
	struct bpf_object *objects[2] = {load_programs(0), load_programs(0)};
	uint64_t half = (uint64_t)options.chunks / 2 * options.chunk;
	struct window window = {0};
	struct area area;
	struct port ports[2];
	uint64_t forwarded = 0;

	open_first(&area, &ports[0], options.ifname[0], &options);
	open_second(&area, &ports[1], options.ifname[1], &options);
	fill_chunks(&ports[0], &options, 0, options.chunks / 2);
	fill_chunks(&ports[1], &options, options.chunks / 2, options.chunks);
	for (uint32_t i = 0; i < 2; i++) {
		serve_socket(objects[i], &ports[i]);
		attach_program(objects[i], "redirect_all", options.ifname[i]);
	}
	ready();
	for (uint32_t i = 0; i % ROUNDS_PER_LOOK || window_step(&window, &options, forwarded); i++) {
		for (uint32_t from = 0; from < 2; from++) {
			struct port *to = &ports[1 - from];

			forwarded += forward(&ports[from], to, &options);
			/* Also when nothing came: what copy mode left in the ring goes out now. */
			if (to->tx.cached_prod != *to->tx.consumer && xsk_ring_prod__needs_wakeup(&to->tx))
				wake_tx(to);
			collect(ports, 1 - from, half);
		}
	}
	printf("{\"program\":\"xsk_forward\",\"packets\":%llu,\"pps\":%.0f}\n",
	       (unsigned long long)(forwarded - window.frames_at_begin),
	       (double)(forwarded - window.frames_at_begin) * 1e9 / (double)(window.end - window.began));
	return 0;
}
