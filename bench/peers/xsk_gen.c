/* SPDX-License-Identifier: MIT */
/*
 * The load generator: frames made by BPF_PROG_TEST_RUN in live mode, which the program redirects into the device. They
 * take no socket buffer on the way, so that one core offers more of them than an AF_XDP socket in copy mode does.
 */
#include <stdio.h>
#include "peer.h"

/* Frames of one system call: long enough that setting up its page pool does not show, short enough to stop in time. */
#define FRAMES_PER_CALL 65536
/* Frames that go through the program in one go; a veth queue holds 256 and is emptied after each. */
#define FRAMES_PER_BATCH 64
/* The largest frame that live mode takes is a page without headroom and skb_shared_info. */
#define LIVE_MAX_BYTES 3000

int main(int argc, char **argv)
{
	struct options options = read_options(argc, argv, 1);
	uint32_t ifindex = ifindex_of(options.ifname[0]);
	int fd = program_fd(load_programs(ifindex), "send_on");
	static uint8_t frame[LIVE_MAX_BYTES];
	struct xdp_md context = {.data_end = options.packet};
	struct window window = {0};
	uint64_t sent = 0;

	if (options.packet > sizeof(frame))
		fail(0, "generate frames of %u bytes: live mode ends at %u", options.packet, LIVE_MAX_BYTES);
	if (options.target) {
		struct place from = place_of(options.ifname[0]);

		write_datagram(frame, 0, &from, &options);
	} else {
		write_frame(frame, options.packet);
	}
	ready();
	while (window_step(&window, &options, sent)) {
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = options.packet,
			    .ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = FRAMES_PER_CALL,
			    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = FRAMES_PER_BATCH);
		int error = bpf_prog_test_run_opts(fd, &run);

		if (error && !stopped)
			fail(error, "run the generator's program in live mode");
		sent += FRAMES_PER_CALL;
	}
	printf("{\"program\":\"xsk_gen\",\"packets\":%llu,\"pps\":%.0f}\n",
	       (unsigned long long)(sent - window.frames_at_begin),
	       (double)(sent - window.frames_at_begin) * 1e9 / (double)(window.end - window.began));
	return 0;
}
