/**
 * A station that serves a segment: leases IPv4 addresses by DHCP (RFC 2131) and advertises an IPv6 network (RFC 4861).
 *
 * It is made of frames alone, so that what configures the hosts of a test is not the code that is configured. Leases are
 * fixed, one for each Ethernet address. It speaks for the segment's router, if there is one, and answers nobody else.
 */
import type { Device } from "../../stack/device/device.ts";
import type { Frame } from "../../stack/device/frame.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import type { Loop } from "../../stack/loop/loop.ts";
import type { Subscription } from "../../stack/loop/subscription.ts";
import type { Timer } from "../../stack/loop/timers.ts";
import { ALL_NODES6, ANY4, BROADCAST4, IpAddress } from "../../stack/wire/address.ts";
import { pseudoOf } from "../../stack/wire/checksum.ts";
import * as dhcp from "../../stack/wire/dhcp.ts";
import * as ethernet from "../../stack/wire/ethernet.ts";
import { TYPE } from "../../stack/wire/icmpv6.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import * as ipv6 from "../../stack/wire/ipv6.ts";
import { BROADCAST_MAC, interfaceIdentifier, MacAddress, multicastMac } from "../../stack/wire/mac.ts";
import * as ndp from "../../stack/wire/ndp.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import * as udp from "../../stack/wire/udp.ts";

export interface LeaseOptions {
  readonly server: IpAddress;
  /** The leases, by Ethernet address in words. */
  readonly leases: ReadonlyMap<string, IpAddress>;
  readonly leaseSeconds: number;
  /** The IPv6 network, 64 bits of it. */
  readonly prefix: IpAddress;
  readonly mtu: number;
  /** The router of the segment, whom it speaks for. */
  readonly router: { readonly mac: MacAddress; readonly address4: IpAddress } | undefined;
}

/** How often the network is advertised unasked. */
const ADVERTISE_MS = 60_000;
const TTL = 64;
const MASK_BITS = 24;
const PREFIX_BITS = 64;
const VALID_SECONDS = 7200;
const PREFERRED_SECONDS = 3600;
const ROUTER_SECONDS = 1800;
const LINK_LOCAL = 0xfe80_0000 | 0;

export class LeaseStation {
  acknowledged = 0;
  advertised = 0;
  readonly #transmitter: Transmitter;
  readonly #options: LeaseOptions;
  readonly #mac: MacAddress;
  readonly #timer: Timer;
  readonly #subscription: Subscription;

  constructor(loop: Loop, device: Device, options: LeaseOptions) {
    this.#options = options;
    this.#mac = MacAddress.fromBytes(device.mac);
    this.#transmitter = new Transmitter(device.queues[0]!);
    this.#subscription = loop.receive(device, (frame) => this.#receive(frame));
    this.#timer = loop.every(ADVERTISE_MS, () => this.#advertise());
    this.#advertise();
  }

  close(): void {
    this.#timer.cancel();
    this.#subscription.close();
  }

  #receive(frame: Frame): void {
    const { view, at, length } = frame;
    const ipAt = at + ethernet.HEADER_BYTES;
    const left = length - ethernet.HEADER_BYTES;
    if (frame.chunks !== 1 || left <= 0) return;
    const type = ethernet.type(view, at);
    if (type === ethernet.ETHERTYPE.IPV4 && ipv4.check(view, ipAt, left) === 0) this.#heard4(view, ipAt);
    else if (type === ethernet.ETHERTYPE.IPV6 && ipv6.check(view, ipAt, left) === 0) {
      const isSolicitation =
        ipv6.nextHeader(view, ipAt) === PROTOCOL.ICMPV6 &&
        ipv6.payloadLength(view, ipAt) > 0 &&
        view.getUint8(ipAt + ipv6.HEADER_BYTES) === TYPE.ROUTER_SOLICITATION;
      if (isSolicitation) this.#advertise();
    }
  }

  #heard4(view: DataView, ipAt: number): void {
    if (ipv4.protocol(view, ipAt) !== PROTOCOL.UDP || ipv4.isFragment(view, ipAt)) return;
    const at = ipAt + ipv4.headerBytes(view, ipAt);
    const length = ipv4.totalLength(view, ipAt) - (at - ipAt);
    if (udp.check(view, at, length) !== 0 || udp.destinationPort(view, at) !== dhcp.SERVER_PORT) return;
    const pseudo = pseudoOf(
      ipv4.source(view, ipAt),
      ipv4.destination(view, ipAt),
      PROTOCOL.UDP,
      udp.length(view, at),
    );
    if (udp.verify(view, at, pseudo, udp.length(view, at)) !== udp.VERIFIED.whole) return;
    const message = dhcp.parse(view, at + udp.HEADER_BYTES, udp.length(view, at) - udp.HEADER_BYTES);
    if (message !== undefined && message.op === dhcp.OPERATION.REQUEST) this.#answer(message);
  }

  #answer(message: dhcp.DhcpRecord): void {
    const asked = dhcp.messageType(message);
    const lease = this.#options.leases.get(message.chaddr.toString());
    if (lease === undefined || (asked !== dhcp.MESSAGE.DISCOVER && asked !== dhcp.MESSAGE.REQUEST)) return;
    const wanted = message.options.get(dhcp.OPTION.REQUESTED_ADDRESS);
    const wrong = wanted !== undefined && !IpAddress.fromBytes(wanted).equals(lease);
    const { DISCOVER, OFFER, ACK, NAK } = dhcp.MESSAGE;
    const type = asked === DISCOVER ? OFFER : wrong ? NAK : ACK;
    if (type === ACK) this.acknowledged += 1;
    this.#send4({
      op: dhcp.OPERATION.REPLY,
      xid: message.xid,
      secs: 0,
      flags: message.flags,
      ciaddr: ANY4,
      yiaddr: type === NAK ? ANY4 : lease,
      siaddr: ANY4,
      giaddr: ANY4,
      chaddr: message.chaddr,
      options: this.#leaseOptions(type),
    });
  }

  #leaseOptions(type: number): Map<number, Uint8Array> {
    const { server, leaseSeconds, router } = this.#options;
    const { OPTION, MESSAGE } = dhcp;
    const options = new Map([
      [OPTION.MESSAGE_TYPE as number, Uint8Array.of(type)],
      [OPTION.SERVER as number, server.toBytes()],
    ]);
    if (type === MESSAGE.NAK) return options;
    options.set(OPTION.SUBNET_MASK, IpAddress.v4(-1 << (32 - MASK_BITS)).toBytes());
    options.set(OPTION.LEASE_SECONDS, IpAddress.v4(leaseSeconds).toBytes());
    if (router !== undefined) options.set(OPTION.ROUTERS, router.address4.toBytes());
    return options;
  }

  #send4(message: dhcp.DhcpRecord): void {
    const payload = new Uint8Array(dhcp.lengthOf(message));
    dhcp.emit(message, new DataView(payload.buffer), 0);
    const datagram = { sourcePort: dhcp.SERVER_PORT, destinationPort: dhcp.CLIENT_PORT, payload };
    const length = udp.lengthOf(datagram);
    const total = ipv4.HEADER_BYTES + length;
    const { server } = this.#options;
    this.#send(BROADCAST_MAC, ethernet.ETHERTYPE.IPV4, total, (view, at) => {
      ipv4.writeHeader(view, at, 0, total, 0, 0, TTL, PROTOCOL.UDP, server.w3, BROADCAST4.w3);
      const pseudo = pseudoOf(server, BROADCAST4, PROTOCOL.UDP, length);
      udp.emit(datagram, view, at + ipv4.HEADER_BYTES, pseudo);
    });
  }

  #advertise(): void {
    this.advertised += 1;
    const { prefix, router, mtu } = this.#options;
    const mac = router?.mac ?? this.#mac;
    const [w2, w3] = interfaceIdentifier(mac);
    const source = IpAddress.words(LINK_LOCAL, 0, w2, w3);
    const record: ndp.RouterAdvertisement = {
      kind: "router-advertisement",
      hopLimit: TTL,
      managed: false,
      otherConfiguration: false,
      preference: "medium",
      lifetimeSeconds: router === undefined ? 0 : ROUTER_SECONDS,
      reachableMs: 0,
      retransMs: 0,
      options: [
        { kind: "source-link-layer", mac },
        { kind: "mtu", mtu },
        {
          kind: "prefix-information",
          prefix,
          prefixLength: PREFIX_BITS,
          onLink: true,
          autonomous: true,
          validSeconds: VALID_SECONDS,
          preferredSeconds: PREFERRED_SECONDS,
        },
      ],
    };
    const length = ndp.lengthOf(record);
    this.#send(multicastMac(ALL_NODES6), ethernet.ETHERTYPE.IPV6, ipv6.HEADER_BYTES + length, (view, at) => {
      ipv6.writeHeader(view, at, 0, 0, length, PROTOCOL.ICMPV6, ndp.HOP_LIMIT);
      ipv6.setSource(view, at, source);
      ipv6.setDestination(view, at, ALL_NODES6);
      ndp.emit(record, view, at + ipv6.HEADER_BYTES, source, ALL_NODES6);
    });
  }

  #send(
    to: MacAddress,
    type: number,
    lengthBytes: number,
    write: (view: DataView, at: number) => void,
  ): void {
    this.#transmitter.send(ethernet.HEADER_BYTES + lengthBytes, ({ view, at }) => {
      ethernet.writeHeader(view, at, to, this.#mac, type);
      write(view, at + ethernet.HEADER_BYTES);
    });
  }
}
