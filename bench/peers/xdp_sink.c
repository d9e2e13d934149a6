/* SPDX-License-Identifier: MIT */
/*
 * The referee of tx and forward: counts the frames that arrive at the far end in its XDP program and drops them there. With
 * `--mode answers` it counts answers to datagrams only, and leaves the rest to the kernel.
 * It sleeps between two looks, so that it takes nothing from the core that is measured.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "peer.h"

#define LOOK_EVERY_US 2000

static uint64_t arrived(int map, int cpus, uint64_t *per_cpu)
{
	uint32_t zero = 0;
	uint64_t sum = 0;

	if (bpf_map_lookup_elem(map, &zero, per_cpu))
		fail(errno, "read the counter of the sink");
	for (int i = 0; i < cpus; i++)
		sum += per_cpu[i];
	return sum;
}

/* A card passes on what is for its own address; a membership of a socket that receives nothing ends with the process. */
static void take_every_address(const char *ifname)
{
	struct packet_mreq all = {.mr_ifindex = (int)ifindex_of(ifname), .mr_type = PACKET_MR_PROMISC};
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)))
		fail(errno, "make \"%s\" promiscuous", ifname);
}

int main(int argc, char **argv)
{
	struct options options = read_options(argc, argv, 1);
	struct bpf_object *object = load_programs(0);
	bool answers = strcmp(options.mode, "answers") == 0;
	int map = bpf_object__find_map_fd_by_name(object, answers ? "answers" : "seen");
	int cpus = libbpf_num_possible_cpus();
	uint64_t *per_cpu = cpus > 0 ? calloc((size_t)cpus, sizeof(*per_cpu)) : NULL;
	struct window window = {0};
	uint64_t frames = 0;

	if (!per_cpu)
		fail(0, "allocate a counter for each processor");
	if (options.promiscuous)
		take_every_address(options.ifname[0]);
	attach_program(object, answers ? "count_answers" : "count_and_drop", options.ifname[0]);
	ready();
	while (window_step(&window, &options, frames)) {
		usleep(LOOK_EVERY_US);
		frames = arrived(map, cpus, per_cpu);
	}
	printf("{\"program\":\"xdp_sink\",\"packets\":%llu,\"pps\":%.0f}\n",
	       (unsigned long long)(frames - window.frames_at_begin),
	       (double)(frames - window.frames_at_begin) * 1e9 / (double)(window.end - window.began));
	return 0;
}
