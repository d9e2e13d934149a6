/* SPDX-License-Identifier: MIT */
/*
 * Answers every datagram for its port with its own payload through a kernel socket: up to 64 in a call, received and sent.
 */
#define _GNU_SOURCE /* recvmmsg, sendmmsg */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "peer.h"

#define BATCH 64
#define MAX_DATAGRAM_BYTES 2048
/* Room for as many small datagrams as an AF_XDP ring has: the kernel accounts 768 bytes for each. */
#define BUFFER_BYTES (4 << 20)

static uint8_t payloads[BATCH][MAX_DATAGRAM_BYTES];
static struct sockaddr_in senders[BATCH];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];

static int open_socket(const struct options *options)
{
	struct place us = place_of(options->ifname[0]);
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options->port)};
	int bytes = BUFFER_BYTES;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	memcpy(&here.sin_addr, us.ipv4, sizeof(us.ipv4));
	/* An address that belongs to no interface, for a service that is reached over several. */
	if (options->source && inet_pton(AF_INET, options->source, &here.sin_addr) != 1)
		fail(0, "use \"%s\" as an IPv4 address", options->source);
	if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof(here)))
		fail(errno, "bind a UDP socket to port %u of \"%s\"", options->port, options->ifname[0]);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
		fail(errno, "give the UDP socket buffers of %d bytes", bytes);
	return fd;
}

/* sendmmsg() stops at the first datagram that fails; that one is lost, and the others go on. */
static void send_all(int fd, int count)
{
	for (int sent = 0; sent < count && !stopped;) {
		int done = sendmmsg(fd, messages + sent, (unsigned int)(count - sent), 0);

		sent += done > 0 ? done : 1;
	}
}

int main(int argc, char **argv)
{
	struct options options = read_options(argc, argv, 1);
	int fd = open_socket(&options);
	uint64_t answered = 0;

	ready();
	while (!stopped) {
		int got;

		for (int i = 0; i < BATCH; i++) {
			parts[i] = (struct iovec){.iov_base = payloads[i], .iov_len = MAX_DATAGRAM_BYTES};
			messages[i].msg_hdr = (struct msghdr){
				.msg_name = &senders[i], .msg_namelen = sizeof(senders[i]), .msg_iov = &parts[i], .msg_iovlen = 1,
			};
		}
		got = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
		if (got < 0) {
			if (errno == EINTR)
				continue;
			fail(errno, "receive datagrams");
		}
		for (int i = 0; i < got; i++)
			parts[i].iov_len = messages[i].msg_len;
		send_all(fd, got);
		answered += (uint64_t)got;
	}
	printf("{\"program\":\"udp_echo_socket\",\"packets\":%llu}\n", (unsigned long long)answered);
	return 0;
}
