/* SPDX-License-Identifier: MIT */
/*
 * The frames that the C programs of the bench send, and the addresses in them; peer.h says what each function is for.
 */
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Where addresses and checksums are in the IPv4 header, and the checksum in that of UDP. */
#define IPV4_CHECKSUM_AT 10
#define IPV4_ADDRESSES_AT 12
#define UDP_CHECKSUM_AT 6

/* Where a frame says whom it is from and for. */
#define SOURCE_MAC_AT ADDRESS_BYTES
#define SOURCE_IPV4_AT (ETHERNET_HEADER_BYTES + IPV4_ADDRESSES_AT)
#define TARGET_IPV4_AT (SOURCE_IPV4_AT + 4)
#define SOURCE_PORT_AT (ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES)
#define TARGET_PORT_AT (SOURCE_PORT_AT + 2)
/* Flows are so many source ports from here on. */
#define FIRST_PORT 20000

static uint32_t sum16(const uint8_t *at, uint32_t length)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i + 1 < length; i += 2)
		sum += read_be16(at + i);
	return length & 1 ? sum + ((uint32_t)at[length - 1] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

void write_frame(uint8_t *frame, uint32_t length)
{
	static const uint8_t start[] = {
		0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00,			/* Ethernet */
		0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,	/* IPv4, do not fragment */
		0, 9, 0x23, 0x28, 0, 0, 0, 0,						/* UDP 9 -> 9000 */
	};
	uint8_t *ip = frame + ETHERNET_HEADER_BYTES;
	uint8_t *udp = ip + IPV4_HEADER_BYTES;
	uint16_t ip_length = htons((uint16_t)(length - ETHERNET_HEADER_BYTES));
	uint32_t udp_bytes = length - ETHERNET_HEADER_BYTES - IPV4_HEADER_BYTES;
	uint16_t udp_length = htons((uint16_t)udp_bytes);

	memset(frame, 0, length);
	memcpy(frame, start, sizeof(start));
	memcpy(ip + 2, &ip_length, 2);
	memcpy(udp + 4, &udp_length, 2);
	write_checksums(frame, length);
}

void write_checksums(uint8_t *frame, uint32_t length)
{
	uint8_t *ip = frame + ETHERNET_HEADER_BYTES;
	uint8_t *udp = ip + IPV4_HEADER_BYTES;
	uint32_t udp_bytes = length - ETHERNET_HEADER_BYTES - IPV4_HEADER_BYTES;
	uint16_t sum;

	memset(ip + IPV4_CHECKSUM_AT, 0, sizeof(sum));
	memset(udp + UDP_CHECKSUM_AT, 0, sizeof(sum));
	sum = fold(sum16(ip, IPV4_HEADER_BYTES));
	memcpy(ip + IPV4_CHECKSUM_AT, &sum, sizeof(sum));
	sum = fold(sum16(ip + IPV4_ADDRESSES_AT, 2 * sizeof(uint32_t)) + IPPROTO_UDP + udp_bytes +
		   sum16(udp, udp_bytes));
	memcpy(udp + UDP_CHECKSUM_AT, &sum, sizeof(sum));
}

/* Asks the kernel one thing about an interface. */
static struct ifreq ask(const char *ifname, unsigned long request, const char *what)
{
	struct ifreq answer = {.ifr_addr.sa_family = AF_INET};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(answer.ifr_name, sizeof(answer.ifr_name), "%s", ifname);
	if (fd < 0 || ioctl(fd, request, &answer))
		fail(errno, "read the %s address of \"%s\"", what, ifname);
	close(fd);
	return answer;
}

struct place place_of(const char *ifname)
{
	struct ifreq mac = ask(ifname, SIOCGIFHWADDR, "Ethernet");
	struct ifreq ipv4 = ask(ifname, SIOCGIFADDR, "IPv4");
	struct sockaddr_in address;
	struct place place;

	memcpy(&address, &ipv4.ifr_addr, sizeof(address));
	memcpy(place.mac, mac.ifr_hwaddr.sa_data, sizeof(place.mac));
	memcpy(place.ipv4, &address.sin_addr, sizeof(place.ipv4));
	return place;
}

void write_address(uint8_t *at, const char *text)
{
	unsigned int byte[ADDRESS_BYTES];
	char rest;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4], &byte[5],
		   &rest) != ADDRESS_BYTES)
		fail(0, "read --to \"%s\": not an Ethernet address", text);
	for (uint32_t i = 0; i < ADDRESS_BYTES; i++)
		at[i] = (uint8_t)byte[i];
}

void write_datagram(uint8_t *frame, uint32_t flow, const struct place *from, const struct options *options)
{
	uint16_t source = htons((uint16_t)(FIRST_PORT + flow)), target = htons((uint16_t)options->port);

	if (!options->to || !options->target)
		fail(0, "send datagrams: --to (Ethernet address) and --target (IPv4 address) say where");
	write_frame(frame, options->packet);
	write_address(frame, options->to);
	memcpy(frame + SOURCE_MAC_AT, from->mac, sizeof(from->mac));
	memcpy(frame + SOURCE_IPV4_AT, from->ipv4, sizeof(from->ipv4));
	if (inet_pton(AF_INET, options->target, frame + TARGET_IPV4_AT) != 1)
		fail(0, "read --target \"%s\": not an IPv4 address", options->target);
	memcpy(frame + SOURCE_PORT_AT, &source, sizeof(source));
	memcpy(frame + TARGET_PORT_AT, &target, sizeof(target));
	write_checksums(frame, options->packet);
}
