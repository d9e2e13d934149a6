/* SPDX-License-Identifier: MIT */
/*
 * Sends single frames at a slow pace, each stamped with CLOCK_MONOTONIC in nanoseconds right behind its UDP header.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "peer.h"

#define MAX_BYTES 1514

int main(int argc, char **argv)
{
	struct options options = read_options(argc, argv, 1);
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET, .sll_ifindex = (int)ifindex_of(options.ifname[0]), .sll_halen = ETH_ALEN,
	};
	static uint8_t frame[MAX_BYTES];
	struct window window = {0};
	uint64_t sent = 0;
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	if (fd < 0)
		fail(errno, "open a packet socket");
	if (options.packet > sizeof(frame) || options.packet < HEADERS_BYTES + sizeof(uint64_t))
		fail(0, "stamp frames of %u bytes", options.packet);
	write_frame(frame, options.packet);
	ready();
	while (window_step(&window, &options, sent)) {
		uint64_t stamp;

		/* Half to one and a half intervals, so that no timer of the receiver falls into step. */
		usleep(options.interval / 2 + (uint32_t)rand() % (options.interval + 1));
		stamp = now_ns();
		memcpy(frame + HEADERS_BYTES, &stamp, sizeof(stamp));
		if (sendto(fd, frame, options.packet, 0, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != ENOBUFS)
			fail(errno, "send on \"%s\"", options.ifname[0]);
		sent += 1;
	}
	printf("{\"program\":\"stamp_send\",\"packets\":%llu}\n", (unsigned long long)sent);
	return 0;
}
