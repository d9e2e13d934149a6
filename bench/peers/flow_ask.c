/* SPDX-License-Identifier: MIT */
/*
 * Asks the same service a thousand times a second through a kernel socket, over two interfaces, and tells the longest time
 * without an answer.
 *
 *   flow_ask IFACE IFACE --target ADDRESS --source ADDRESS --mode rebind|routed
 *
 * "rebind" binds its socket to the first interface, listens to rtnetlink, and binds it to the other one as soon as it hears
 * that the carrier is gone, and back when it returns: what a program can do itself. "routed" leaves the choice to the kernel's routes. Every answer
 * counts once. A line "begin" on stdin starts a window, "end" prints what was seen in it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "peer.h"

#define NS_PER_US 1000
#define NS_PER_MS 1000000.0
#define PAYLOAD_BYTES 64
#define PATHS 2
/* Questions that are remembered: over four minutes of them, a power of two. */
#define QUESTIONS (1u << 18)

struct flow {
	int udp, netlink, timer;
	uint32_t ifindex[PATHS];
	bool carrier[PATHS];
	int path;
	bool rebinds;
	uint8_t answers[QUESTIONS];
};

/* What happened since "begin". */
struct seen {
	uint32_t first;
	uint64_t answered, duplicated, reordered, rebound, last_ns, gap_ns;
	uint32_t newest;
};

static struct flow flow;
static struct seen seen;
static uint32_t next_question = 1;

static struct sockaddr_in endpoint(const char *text, uint32_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	if (!text || inet_pton(AF_INET, text, &at.sin_addr) != 1)
		fail(0, "use \"%s\" as an IPv4 address", text ? text : "");
	return at;
}

static void bind_to(const char *ifname)
{
	if (setsockopt(flow.udp, SOL_SOCKET, SO_BINDTODEVICE, ifname, (socklen_t)strlen(ifname)))
		fail(errno, "bind the socket to \"%s\"", ifname);
}

static void open_udp(const struct options *options)
{
	struct sockaddr_in here = endpoint(options->source, 0), there = endpoint(options->target, options->port);

	flow.udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (flow.udp < 0 || bind(flow.udp, (struct sockaddr *)&here, sizeof(here)))
		fail(errno, "bind a UDP socket to %s", options->source);
	if (flow.rebinds)
		bind_to(options->ifname[0]);
	if (connect(flow.udp, (struct sockaddr *)&there, sizeof(there)))
		fail(errno, "connect to %s", options->target);
}

static void open_netlink(void)
{
	struct sockaddr_nl groups = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};

	flow.netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (flow.netlink < 0 || bind(flow.netlink, (struct sockaddr *)&groups, sizeof(groups)))
		fail(errno, "listen to rtnetlink");
}

static void open_timer(uint32_t interval_us)
{
	struct timespec interval = {.tv_nsec = (long)interval_us * NS_PER_US};
	struct itimerspec when = {.it_interval = interval, .it_value = interval};

	flow.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	if (flow.timer < 0 || timerfd_settime(flow.timer, 0, &when, NULL))
		fail(errno, "set a timer of %u us", interval_us);
}

static void ask(void)
{
	uint8_t payload[PAYLOAD_BYTES] = {0};
	uint32_t question = htonl(next_question++);

	memcpy(payload, &question, sizeof(question));
	/* A question that finds no way out is lost, as one that gets lost on its way. */
	(void)!send(flow.udp, payload, sizeof(payload), 0);
}

static void hear_answers(void)
{
	uint8_t payload[PAYLOAD_BYTES];

	while (recv(flow.udp, payload, sizeof(payload), 0) == PAYLOAD_BYTES) {
		uint64_t now = now_ns();
		uint32_t question;

		memcpy(&question, payload, sizeof(question));
		question = ntohl(question);
		if (flow.answers[question % QUESTIONS]++) {
			seen.duplicated++;
			continue;
		}
		if (now - seen.last_ns > seen.gap_ns)
			seen.gap_ns = now - seen.last_ns;
		seen.last_ns = now;
		seen.reordered += question < seen.newest;
		if (question > seen.newest)
			seen.newest = question;
		seen.answered += question >= seen.first;
	}
}

/*
 * The first interface while it has a carrier, else the second: a socket that is bound hears on its interface alone, and the
 * other end goes back to the first path as soon as it can.
 */
static void move(const struct options *options)
{
	int path = flow.carrier[0] || !flow.carrier[1] ? 0 : 1;

	if (path == flow.path)
		return;
	flow.path = path;
	bind_to(options->ifname[path]);
	seen.rebound++;
}

static void hear_links(const struct options *options)
{
	char bytes[1 << 14] __attribute__((aligned(NLMSG_ALIGNTO)));
	ssize_t length;

	while ((length = recv(flow.netlink, bytes, sizeof(bytes), 0)) > 0) {
		uint32_t left = (uint32_t)length;

		for (struct nlmsghdr *at = (struct nlmsghdr *)bytes; NLMSG_OK(at, left); at = NLMSG_NEXT(at, left)) {
			const struct ifinfomsg *link = NLMSG_DATA(at);

			if (at->nlmsg_type != RTM_NEWLINK)
				continue;
			for (int path = 0; path < PATHS; path++) {
				if ((uint32_t)link->ifi_index == flow.ifindex[path])
					flow.carrier[path] = link->ifi_flags & IFF_LOWER_UP;
			}
		}
	}
	if (flow.rebinds)
		move(options);
}

static void begin(void)
{
	seen = (struct seen){.first = next_question, .newest = next_question - 1, .last_ns = now_ns()};
}

static void end(void)
{
	uint64_t sent = next_question - seen.first, silent = now_ns() - seen.last_ns;

	/* A silence that has not ended counts as well. */
	printf("{\"sent\":%lu,\"answered\":%lu,\"lost\":%lu,\"duplicated\":%lu,\"reordered\":%lu,\"moves\":%lu,\"gapMs\":%.3f}\n",
	       sent, seen.answered, sent - seen.answered, seen.duplicated, seen.reordered, seen.rebound,
	       (double)(silent > seen.gap_ns ? silent : seen.gap_ns) / NS_PER_MS);
	fflush(stdout);
}

static void obey(void)
{
	char text[256];
	ssize_t length = read(STDIN_FILENO, text, sizeof(text) - 1);

	if (length <= 0) {
		stopped = 1;
		return;
	}
	text[length] = 0;
	for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
		if (strcmp(line, "begin") == 0)
			begin();
		else if (strcmp(line, "end") == 0)
			end();
	}
}

int main(int argc, char **argv)
{
	struct options options = read_options(argc, argv, PATHS);

	flow.rebinds = strcmp(options.mode, "rebind") == 0;
	if (!flow.rebinds && strcmp(options.mode, "routed") != 0)
		fail(0, "do \"%s\": --mode is rebind or routed", options.mode);
	for (int path = 0; path < PATHS; path++) {
		flow.ifindex[path] = ifindex_of(options.ifname[path]);
		flow.carrier[path] = true;
	}
	open_udp(&options);
	open_netlink();
	open_timer(options.interval);
	begin();
	ready();
	while (!stopped) {
		struct pollfd wait[] = {
			{.fd = flow.netlink, .events = POLLIN},
			{.fd = flow.udp, .events = POLLIN},
			{.fd = flow.timer, .events = POLLIN},
			{.fd = STDIN_FILENO, .events = POLLIN},
		};
		uint64_t due = 0;

		if (poll(wait, sizeof(wait) / sizeof(wait[0]), -1) < 0)
			continue;
		if (wait[0].revents)
			hear_links(&options);
		if (wait[1].revents)
			hear_answers();
		if (wait[2].revents && read(flow.timer, &due, sizeof(due)) == sizeof(due)) {
			while (due--)
				ask();
		}
		if (wait[3].revents)
			obey();
	}
	return 0;
}
