/* SPDX-License-Identifier: MIT */
/*
 * What the C programs of the bench share, but for the frames, which are in frame.c; peer.h says what each function is for.
 */
#include "peer.h"

#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* How long EBUSY from bind() is not final, and how often to try. */
#define BIND_RETRY_NS NS_PER_S
#define BIND_RETRY_US 5000

/* Seldom enough to cost nothing. */
#define REPORT_NS (NS_PER_S / 4)

volatile sig_atomic_t stopped;

void fail(int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("cannot ", stderr);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	if (error)
		fprintf(stderr, ": %s", strerror(error < 0 ? -error : error));
	fputc('\n', stderr);
	exit(1);
}

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t to_ns(double seconds)
{
	return (uint64_t)(seconds * (double)NS_PER_S);
}

void ready(void)
{
	puts("{\"ready\":true}");
	fflush(stdout);
}

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static int print_only_warnings(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, arguments) : 0;
}

static double number(const char *name, const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (*text == 0 || *end != 0 || value < 0)
		fail(0, "read --%s \"%s\": not a number of 0 or more", name, text);
	return value;
}

struct options read_options(int argc, char **argv, int names)
{
	static const struct option known[] = {
		{"seconds", required_argument, 0, 's'}, {"warmup", required_argument, 0, 'w'},
		{"packet", required_argument, 0, 'p'},	{"burst", required_argument, 0, 'b'},
		{"ring", required_argument, 0, 'r'},	{"fill", required_argument, 0, 'f'},
		{"chunks", required_argument, 0, 'c'},	{"chunk", required_argument, 0, 'k'},
		{"budget", required_argument, 0, 'g'},	{"interval", required_argument, 0, 'i'},
		{"mode", required_argument, 0, 'm'},	{"sg", no_argument, 0, 'S'},
		{"checked", no_argument, 0, 'C'},	{"zero-copy", no_argument, 0, 'Z'},
		{"patient", no_argument, 0, 'P'},	{"promiscuous", no_argument, 0, 'M'},
		{"report", no_argument, 0, 'R'},
		{"to", required_argument, 0, 't'},	{"target", required_argument, 0, 'T'},
		{"source", required_argument, 0, 'u'},
		{"port", required_argument, 0, 'o'},	{"flows", required_argument, 0, 'F'},
		{0, 0, 0, 0},
	};
	struct options o = {
		.seconds = 2, .warmup = 1, .packet = 60, .burst = 64, .ring = 2048, .fill = 2048,
		.chunks = 4096, .chunk = 2048, .interval = 1000, .mode = "", .port = 9000, .flows = 1,
	};
	struct sigaction action = {.sa_handler = stop};
	int c, index;

	while ((c = getopt_long(argc, argv, "", known, &index)) != -1) {
		switch (c) {
		case 's': o.seconds = number("seconds", optarg); break;
		case 'w': o.warmup = number("warmup", optarg); break;
		case 'p': o.packet = (uint32_t)number("packet", optarg); break;
		case 'b': o.burst = (uint32_t)number("burst", optarg); break;
		case 'r': o.ring = (uint32_t)number("ring", optarg); break;
		case 'f': o.fill = (uint32_t)number("fill", optarg); break;
		case 'c': o.chunks = (uint32_t)number("chunks", optarg); break;
		case 'k': o.chunk = (uint32_t)number("chunk", optarg); break;
		case 'g': o.budget = (uint32_t)number("budget", optarg); break;
		case 'i': o.interval = (uint32_t)number("interval", optarg); break;
		case 'm': o.mode = optarg; break;
		case 'S': o.sg = true; break;
		case 'C': o.checked = true; break;
		case 'Z': o.zero_copy = true; break;
		case 'P': o.patient = true; break;
		case 'R': o.report = true; break;
		case 'M': o.promiscuous = true; break;
		case 't': o.to = optarg; break;
		case 'T': o.target = optarg; break;
		case 'u': o.source = optarg; break;
		case 'o': o.port = (uint32_t)number("port", optarg); break;
		case 'F': o.flows = (uint32_t)number("flows", optarg); break;
		default: exit(1);
		}
	}
	while (optind < argc && o.ifnames < 2)
		o.ifname[o.ifnames++] = argv[optind++];
	if (o.ifnames != names || optind < argc)
		fail(0, "run %s with these arguments: it takes %d interface name(s)", argv[0], names);
	if (o.packet < HEADERS_BYTES)
		fail(0, "send frames of %u bytes: the headers alone are %u", o.packet, HEADERS_BYTES);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	libbpf_set_print(print_only_warnings);
	return o;
}

uint32_t ifindex_of(const char *ifname)
{
	uint32_t ifindex = if_nametoindex(ifname);

	if (ifindex == 0)
		fail(errno, "find interface \"%s\" in this network namespace", ifname);
	return ifindex;
}

struct bpf_object *load_programs(uint32_t out_ifindex)
{
	char executable[PATH_MAX], path[PATH_MAX + 32];
	ssize_t length = readlink("/proc/self/exe", executable, sizeof(executable) - 1);
	struct bpf_object *object;
	struct bpf_map *constants;
	int error;

	if (length < 0)
		fail(errno, "read /proc/self/exe");
	executable[length] = 0;
	snprintf(path, sizeof(path), "%s/redirect.bpf.o", dirname(executable));
	object = bpf_object__open_file(path, NULL);
	if (!object)
		fail(errno, "open %s", path);
	constants = bpf_object__find_map_by_name(object, ".rodata");
	if (!constants)
		fail(0, "find .rodata in %s", path);
	error = bpf_map__set_initial_value(constants, &out_ifindex, sizeof(out_ifindex));
	if (error)
		fail(error, "set out_ifindex in %s", path);
	error = bpf_object__load(object);
	if (error)
		fail(error, "load %s", path);
	return object;
}

int program_fd(struct bpf_object *object, const char *name)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, name);

	if (!program)
		fail(ENOENT, "find program %s", name);
	return bpf_program__fd(program);
}

void attach_program(struct bpf_object *object, const char *name, const char *ifname)
{
	LIBBPF_OPTS(bpf_link_create_opts, how, .flags = XDP_FLAGS_DRV_MODE);
	int link = bpf_link_create(program_fd(object, name), (int)ifindex_of(ifname), BPF_XDP, &how);

	if (link < 0)
		fail(link, "attach %s to \"%s\" in native mode", name, ifname);
}

void serve_socket(struct bpf_object *object, struct port *port)
{
	int error = xsk_socket__update_xskmap(port->socket, bpf_object__find_map_fd_by_name(object, "sockets"));

	if (error)
		fail(error, "enter the socket into the XSKMAP");
}

static struct xsk_socket_config socket_config(const struct options *options)
{
	return (struct xsk_socket_config){
		.rx_size = options->ring,
		.tx_size = options->ring,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = (uint16_t)((options->zero_copy ? XDP_ZEROCOPY : XDP_COPY) | XDP_USE_NEED_WAKEUP |
					 (options->sg ? XDP_USE_SG : 0)),
	};
}

/* The mode that the kernel says the socket is in must be the one that was asked for. */
static void check_mode(const struct port *port, const char *ifname, const struct options *options)
{
	struct xdp_options negotiated = {0};
	socklen_t length = sizeof(negotiated);

	if (getsockopt(port->fd, SOL_XDP, XDP_OPTIONS, &negotiated, &length))
		fail(errno, "read XDP_OPTIONS on \"%s\"", ifname);
	if (!!(negotiated.flags & XDP_OPTIONS_ZEROCOPY) != options->zero_copy)
		fail(0, "measure \"%s\" in %s mode: XDP_OPTIONS says that it is in the other", ifname,
		     options->zero_copy ? "zero-copy" : "copy");
}

static void finish_port(struct port *port, const char *ifname, const struct options *options)
{
	uint32_t budget = options->budget;

	port->fd = xsk_socket__fd(port->socket);
	port->ifindex = ifindex_of(ifname);
	check_mode(port, ifname, options);
	if (budget && setsockopt(port->fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget)))
		fail(errno, "set XDP_MAX_TX_SKB_BUDGET to %u on \"%s\"", budget, ifname);
}

void open_first(struct area *area, struct port *port, const char *ifname, const struct options *options)
{
	struct xsk_umem_config umem_config = {
		.fill_size = options->fill,
		.comp_size = options->ring,
		.frame_size = options->chunk,
	};
	struct xsk_socket_config config = socket_config(options);
	uint64_t give_up = now_ns() + BIND_RETRY_NS;
	int error;

	/* libxdp sets all of a completion ring but the indices that it caches. */
	*port = (struct port){0};
	area->length = (uint64_t)options->chunks * options->chunk;
	area->bytes = mmap(NULL, area->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (area->bytes == MAP_FAILED)
		fail(errno, "map %llu bytes", (unsigned long long)area->length);
	do {
		error = xsk_umem__create(&area->umem, area->bytes, area->length, &port->fill, &port->completion,
					 &umem_config);
		if (error)
			fail(error, "register a umem of %u chunks of %u bytes", options->chunks, options->chunk);
		error = xsk_socket__create(&port->socket, ifname, 0, area->umem, &port->rx, &port->tx, &config);
		if (error != -EBUSY)
			break;
		/* A socket that was closed a moment ago holds its queue for a grace period of the kernel. */
		xsk_umem__delete(area->umem);
		usleep(BIND_RETRY_US);
	} while (now_ns() < give_up && !stopped);
	if (error)
		fail(error, "bind AF_XDP socket to \"%s\" queue 0", ifname);
	finish_port(port, ifname, options);
}

void open_second(struct area *area, struct port *port, const char *ifname, const struct options *options)
{
	struct xsk_socket_config config = socket_config(options);
	int error;

	*port = (struct port){0};
	error = xsk_socket__create_shared(&port->socket, ifname, 0, area->umem, &port->rx, &port->tx, &port->fill,
					  &port->completion, &config);
	if (error)
		fail(error, "bind AF_XDP socket to \"%s\" queue 0 over a shared umem", ifname);
	finish_port(port, ifname, options);
}

void fill_chunks(struct port *port, const struct options *options, uint32_t from, uint32_t to)
{
	uint32_t at;

	if (xsk_ring_prod__reserve(&port->fill, to - from, &at) != to - from)
		fail(ENOSPC, "put %u chunks into the fill ring", to - from);
	for (uint32_t chunk = from; chunk < to; chunk++)
		*xsk_ring_prod__fill_addr(&port->fill, at++) = (uint64_t)chunk * options->chunk;
	xsk_ring_prod__submit(&port->fill, to - from);
}

void wake_tx(struct port *port)
{
	if (sendto(port->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0)
		return;
	/* Later (budget or completion ring), or consumed but dropped on the way: the loop comes back anyway. */
	if (errno == EAGAIN || errno == EBUSY || errno == ENOBUFS || errno == EINTR)
		return;
	fail(errno, "wake the AF_XDP socket for transmission");
}

bool window_step(struct window *window, const struct options *options, uint64_t frames)
{
	uint64_t now;

	if (stopped)
		return false;
	if (frames == 0)
		return true;
	now = now_ns();
	if (options->report && now >= window->next_report) {
		window->next_report = now + REPORT_NS;
		printf("{\"frames\":%llu,\"ms\":%.3f}\n", (unsigned long long)frames, (double)now / 1e6);
		fflush(stdout);
	}
	if (window->begin == 0) {
		window->begin = now + to_ns(options->warmup);
		window->end = window->begin + to_ns(options->seconds);
	}
	if (!window->open && now >= window->begin) {
		window->open = true;
		window->began = now;
		window->frames_at_begin = frames;
	}
	if (now < window->end)
		return true;
	window->end = now;
	return false;
}
