/* SPDX-License-Identifier: MIT */
/*
 * What the C programs of the bench share: arguments, time, a umem with its AF_XDP sockets, the XDP programs, and the
 * frames they send.
 *
 * Every program prints {"ready":true} when it is set up and one JSON line with its result at the end, both on stdout.
 * A failure is a text with errno on stderr and exit status 1.
 */
#ifndef MILLRACE_BENCH_PEER_H
#define MILLRACE_BENCH_PEER_H

#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <xdp/xsk.h>

/* Newer than the headers of some distributions; values from include/uapi/linux/if_xdp.h. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

#define NS_PER_S 1000000000ull
#define ETHERNET_HEADER_BYTES 14
#define IPV4_HEADER_BYTES 20
#define UDP_HEADER_BYTES 8
#define HEADERS_BYTES (ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES + UDP_HEADER_BYTES)
/* Of an Ethernet address. */
#define ADDRESS_BYTES 6

/* Where the three fields are that every receiver reads. */
#define ETHERTYPE_AT 12
#define IPV4_PROTOCOL_AT (ETHERNET_HEADER_BYTES + 9)
#define UDP_DESTINATION_AT (ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES + 2)

/* Bytes that the kernel keeps in front of a received packet (XDP_PACKET_HEADROOM). */
#define KERNEL_HEADROOM_BYTES 256

struct options {
	const char *ifname[2];
	int ifnames;
	double seconds;		/* measured */
	double warmup;		/* running, not measured, from the first frame on */
	uint32_t packet;	/* bytes of a frame, without FCS */
	uint32_t burst;
	uint32_t ring;		/* descriptors of the rx, tx and completion rings */
	uint32_t fill;		/* descriptors of the fill ring */
	uint32_t chunks;
	uint32_t chunk;		/* bytes of a chunk */
	uint32_t budget;	/* XDP_MAX_TX_SKB_BUDGET; 0 leaves it alone */
	uint32_t interval;	/* microseconds from one frame to the next, where frames are paced */
	const char *mode;
	bool sg;		/* several chunks to a packet */
	bool checked;		/* every descriptor held against its chunk's owner */
	bool zero_copy;		/* XDP_ZEROCOPY forced, instead of XDP_COPY */
	bool patient;		/* a sender sleeps while its tx ring is full, instead of asking again */
	bool report;		/* the running total on stdout, a few times a second */
	bool promiscuous;	/* a sink takes frames for any address */
	const char *to;		/* destination address of the frames, instead of the usual one; NULL for that */
	const char *target;	/* IPv4 address that datagrams go to */
	const char *source;	/* IPv4 address that they come from, where it is none of an interface's */
	uint32_t port;		/* UDP port that they go to, or come in on */
	uint32_t flows;		/* source ports that they come from */
};

struct port {
	struct xsk_socket *socket;
	struct xsk_ring_cons rx, completion;
	struct xsk_ring_prod tx, fill;
	int fd;
	uint32_t ifindex;
};

struct area {
	struct xsk_umem *umem;
	uint8_t *bytes;
	uint64_t length;
};

extern volatile sig_atomic_t stopped;

__attribute__((noreturn, format(printf, 2, 3))) void fail(int error, const char *format, ...);
uint64_t now_ns(void);
uint64_t to_ns(double seconds);
void ready(void);

/* Reads the arguments, catches SIGINT and SIGTERM, and quiets libbpf. `names` interfaces must be named. */
struct options read_options(int argc, char **argv, int names);

uint32_t ifindex_of(const char *ifname);

/* Opens redirect.bpf.o beside the executable; `out_ifindex` is where send_on sends. */
struct bpf_object *load_programs(uint32_t out_ifindex);
int program_fd(struct bpf_object *object, const char *name);
/* Attaches natively by a link that goes with the process. */
void attach_program(struct bpf_object *object, const char *name, const char *ifname);
/* Lets redirect_all find the socket of queue 0. */
void serve_socket(struct bpf_object *object, struct port *port);

/* One umem, its first socket on queue 0 of `ifname`, in the mode that was asked for: what XDP_OPTIONS says is checked. */
void open_first(struct area *area, struct port *port, const char *ifname, const struct options *options);
/* One more socket, on queue 0 of another device, over the same umem. */
void open_second(struct area *area, struct port *port, const char *ifname, const struct options *options);

/* Puts chunks `from` to `to - 1` into the fill ring. */
void fill_chunks(struct port *port, const struct options *options, uint32_t from, uint32_t to);
/*
 * Room for `count` chunks in the fill ring. The kernel publishes a packet a moment before it publishes that it took the
 * chunk from the fill ring, so a ring that looks full has room at once: every chunk came out of it.
 */
static inline uint32_t reserve_fill(struct port *port, uint32_t count)
{
	uint32_t at = 0;

	while (xsk_ring_prod__reserve(&port->fill, count, &at) == 0 && !stopped)
		;
	return at;
}

/* sendto() until the kernel has taken what it takes now; errors that are not "later" end the program. */
void wake_tx(struct port *port);

/* What an interface is called on the wire: its Ethernet address and its first IPv4 address, as they stand in headers. */
struct place {
	uint8_t mac[ADDRESS_BYTES];
	uint8_t ipv4[4];
};
struct place place_of(const char *ifname);

/* A UDP frame of `length` bytes from 10.0.0.1:9 to 10.0.0.2:9000, checksums complete. */
void write_frame(uint8_t *frame, uint32_t length);
/* Makes the IPv4 and UDP checksums of such a frame good after a change. */
void write_checksums(uint8_t *frame, uint32_t length);
/* Puts the six bytes of a text like 02:00:00:00:00:01 to `at`. */
void write_address(uint8_t *at, const char *text);

/* A UDP frame of one of the flows, from a place to where --to, --target and --port say. */
void write_datagram(uint8_t *frame, uint32_t flow, const struct place *from, const struct options *options);

static inline uint32_t read_be16(const uint8_t *at)
{
	uint16_t value;

	__builtin_memcpy(&value, at, sizeof(value));
	return __builtin_bswap16(value);
}

/* The work of every receiver: three header fields, summed. */
static inline uint32_t read_fields(const uint8_t *packet)
{
	return read_be16(packet + ETHERTYPE_AT) + packet[IPV4_PROTOCOL_AT] + read_be16(packet + UDP_DESTINATION_AT);
}

/* From the first frame: `warmup` seconds, then `seconds` that count. */
struct window {
	uint64_t begin, end;	/* 0 until the first frame */
	uint64_t frames_at_begin;
	uint64_t began;
	bool open;
	uint64_t next_report;
};

/* Notes the time, and reports where that was asked for; true while the program shall go on. `frames` is the running total. */
bool window_step(struct window *window, const struct options *options, uint64_t frames);

#endif
