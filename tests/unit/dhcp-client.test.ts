/** The DHCP client against scripted servers, in virtual time: every state, what is lost, refused, late and malformed. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seededRandom } from "../../stack/device/random.ts";
import { DhcpClient, type DhcpLease, type DhcpOptions } from "../../stack/ip/dhcp/dhcp-client.ts";
import { classlessRoutes, leaseOf } from "../../stack/ip/dhcp/dhcp-lease.ts";
import { nameList } from "../../stack/ip/dhcp/dns-names.ts";
import { ANY4, IpAddress } from "../../stack/wire/address.ts";
import { pseudo4 } from "../../stack/wire/checksum.ts";
import * as dhcp from "../../stack/wire/dhcp.ts";
import * as ipv4 from "../../stack/wire/ipv4.ts";
import { BROADCAST_MAC, MacAddress } from "../../stack/wire/mac.ts";
import { PROTOCOL } from "../../stack/wire/protocol.ts";
import * as udp from "../../stack/wire/udp.ts";
import { VirtualLink, type SentFrame } from "../support/virtual-link.ts";

const { MESSAGE, OPTION } = dhcp;
const ip = (text: string): IpAddress => IpAddress.parse(text);
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const seconds = (value: number): Uint8Array => {
  const data = new Uint8Array(4);
  new DataView(data.buffer).setUint32(0, value);
  return data;
};
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

const SERVER = ip("10.0.0.1");
const OTHER_SERVER = ip("10.0.0.3");
const ADDRESS = ip("10.0.0.100");
const LEASE_S = 3_600;
const MESSAGE_NAMES = Object.fromEntries(Object.entries(MESSAGE).map(([name, value]) => [value, name]));

/** What a reply says; what is left out is what a good server says. */
interface Said {
  readonly server?: IpAddress | undefined;
  readonly address?: IpAddress;
  readonly leaseSeconds?: number;
  readonly options?: readonly (readonly [number, Uint8Array])[];
  readonly without?: readonly number[];
  readonly xid?: number;
  readonly chaddr?: MacAddress;
  readonly op?: number;
}

const setUp = (options: DhcpOptions = {}, link = new VirtualLink()) => {
  const said: string[] = [];
  const start = link.now;
  const state = { conflict: false as boolean | "wait", canUnicast: true, onLost: (): void => {} };
  const unicasts: { payload: Uint8Array; server: IpAddress }[] = [];
  const leases: DhcpLease[] = [];
  const checks: ((conflict: boolean) => void)[] = [];
  const client = new DhcpClient(
    link.environment,
    {
      outlet: link.outlet,
      check: (address, done) => {
        said.push(`check ${address}`);
        if (state.conflict === "wait") checks.push(done);
        else done(state.conflict);
      },
      unicast: (payload, server) => {
        if (state.canUnicast) unicasts.push({ payload, server });
        return state.canUnicast;
      },
      configured: (lease, previous) => {
        leases.push(lease);
        const until = lease.expiresAtMs === Infinity ? "ever" : `${(lease.expiresAtMs - start) / 1_000}s`;
        said.push(
          `${previous === undefined ? "got" : "kept"} ${lease.address}/${lease.prefixLength} until ${until}`,
        );
      },
      lost: (lease, reason) => {
        said.push(`lost ${lease.address} ${reason}`);
        state.onLost();
      },
    },
    { startDelayMs: 0, ...options },
  );
  const asked: dhcp.DhcpRecord[] = [];

  const readBroadcast = ({ view, length, destination, atMs }: SentFrame): string => {
    expect(destination).toEqual(BROADCAST_MAC);
    expect(ipv4.check(view, 0, length)).toBe(0);
    const header = ipv4.parse(view, 0, length)!;
    expect(header.destination.toString()).toBe("255.255.255.255");
    const at = ipv4.headerBytes(view, 0);
    expect(udp.check(view, at, length - at)).toBe(0);
    expect(udp.verify(view, at, pseudo4(view, 0, PROTOCOL.UDP, length - at), length - at)).toBe(
      udp.VERIFIED.whole,
    );
    const datagram = udp.parse(view, at, length - at)!;
    expect(datagram).toMatchObject({ sourcePort: 68, destinationPort: 67 });
    return `${readPayload(datagram.payload, atMs)}${header.source.unspecified ? "" : ` from ${header.source}`}`;
  };
  const readPayload = (payload: Uint8Array, atMs: number): string => {
    expect(payload.length).toBeGreaterThanOrEqual(300);
    const message = dhcp.parse(new DataView(payload.buffer), 0, payload.length)!;
    asked.push(message);
    expect(message).toMatchObject({ op: 1, chaddr: link.mac, giaddr: ANY4, yiaddr: ANY4 });
    const address = (code: number): string => {
      const data = message.options.get(code);
      return data === undefined ? "" : IpAddress.fromBytes(data).toString();
    };
    const parts = [
      `${(atMs - start) / 1_000}`,
      MESSAGE_NAMES[dhcp.messageType(message)],
      message.ciaddr.unspecified ? "" : `has ${message.ciaddr}`,
      message.options.has(OPTION.REQUESTED_ADDRESS) ? `wants ${address(OPTION.REQUESTED_ADDRESS)}` : "",
      message.options.has(OPTION.SERVER) ? `of ${address(OPTION.SERVER)}` : "",
    ];
    return parts.filter((part) => part !== "").join(" ");
  };
  /** What was sent since the last call: broadcasts, then unicasts. */
  const sent = (): string[] => [
    ...link.take().map(readBroadcast),
    ...unicasts.splice(0).map(({ payload, server }) => `${readPayload(payload, link.now)} to ${server}`),
  ];
  /** Answers the last message. */
  const reply = (type: number, fields: Said = {}): void => {
    const question = asked.at(-1)!;
    const server = "server" in fields ? fields.server : SERVER;
    const all = new Map<number, Uint8Array>([[OPTION.MESSAGE_TYPE, bytes(type)]]);
    if (server !== undefined) all.set(OPTION.SERVER, server.toBytes());
    if (type !== MESSAGE.NAK) {
      all.set(OPTION.LEASE_SECONDS, seconds(fields.leaseSeconds ?? LEASE_S));
      all.set(OPTION.SUBNET_MASK, bytes(255, 255, 255, 0));
      all.set(OPTION.ROUTERS, bytes(10, 0, 0, 1));
    }
    for (const [code, data] of fields.options ?? []) all.set(code, data);
    for (const code of fields.without ?? []) all.delete(code);
    const message: dhcp.DhcpRecord = {
      op: fields.op ?? 2,
      xid: fields.xid ?? question.xid,
      secs: 0,
      flags: question.flags,
      ciaddr: ANY4,
      yiaddr: type === MESSAGE.NAK ? ANY4 : (fields.address ?? ADDRESS),
      siaddr: ANY4,
      giaddr: ANY4,
      chaddr: fields.chaddr ?? link.mac,
      options: all,
    };
    const view = new DataView(new ArrayBuffer(2048));
    const at = 100;
    client.receive(view, at, dhcp.emit(message, view, at, 1400));
  };
  const take = (): string[] => said.splice(0);
  /** All the way to BOUND. */
  const bind = (fields: Said = {}): void => {
    client.start();
    link.advance(0);
    sent();
    reply(MESSAGE.OFFER, fields);
    sent();
    reply(MESSAGE.ACK, fields);
    expect(client.state).toBe("bound");
    sent();
    take();
  };
  return { link, client, state, sent, reply, take, bind, leases, checks, asked };
};

describe("from INIT to BOUND", () => {
  test("discover, offer, request, acknowledgement, check", () => {
    const { link, client, sent, reply, take, leases, asked } = setUp({ hostName: "mill" });
    client.start();
    client.start();
    expect(client.state).toBe("init");
    link.advance(0);
    expect(sent()).toEqual(["0 DISCOVER"]);
    const discover = asked[0]!;
    expect(discover.flags).toBe(dhcp.BROADCAST);
    expect(discover.options.get(OPTION.CLIENT)).toEqual(bytes(1, 2, 0, 0, 0, 0, 1));
    expect(discover.options.get(OPTION.HOST_NAME)).toEqual(text("mill"));
    expect(discover.options.get(OPTION.MAX_MESSAGE_BYTES)).toEqual(bytes(5, 220));
    const parameters = [...discover.options.get(OPTION.PARAMETERS)!];
    // RFC 3442: classless routes are asked for before routers.
    expect(parameters.indexOf(OPTION.CLASSLESS_ROUTES)).toBeLessThan(parameters.indexOf(OPTION.ROUTERS));
    link.advance(1_000);
    reply(MESSAGE.OFFER);
    expect(client.state).toBe("requesting");
    expect(sent()).toEqual(["1 REQUEST wants 10.0.0.100 of 10.0.0.1"]);
    expect(asked[1]!.xid).toBe(discover.xid);
    expect(asked[1]!.secs).toBe(1);
    link.advance(500);
    reply(MESSAGE.ACK);
    expect(take()).toEqual(["check 10.0.0.100", "got 10.0.0.100/24 until 3601s"]);
    expect(client.state).toBe("bound");
    expect(client.lease).toBe(leases[0]!);
    expect(leases[0]).toMatchObject({ server: SERVER, mtu: undefined, hostName: undefined });
    expect(leases[0]!.routes.map((r) => `${r.prefix} ${r.gateway}`)).toEqual(["0.0.0.0/0 10.0.0.1"]);
    expect(client.statistics()).toMatchObject({ sent: 2, received: 2, acknowledged: 1, unexpected: 0 });
  });

  test("the first message waits for a random time", () => {
    const { link, client, sent } = setUp({ startDelayMs: 10_000 });
    client.start();
    link.advance(4_999);
    expect(sent()).toEqual([]);
    link.advance(1);
    expect(sent()).toEqual(["5 DISCOVER"]);
  });

  test("unanswered discovers double their pause up to 64 s, with jitter, without end", () => {
    const { link, client, sent } = setUp();
    client.start();
    link.advance(400_000);
    expect(sent().map((each) => Number(each.split(" ")[0]))).toEqual([
      0, 4, 12, 28, 60, 124, 188, 252, 316, 380,
    ]);
    const early = setUp();
    early.link.fraction = 0;
    early.client.start();
    early.link.advance(20_000);
    expect(early.sent().map((each) => Number(each.split(" ")[0]))).toEqual([0, 3, 10]);
  });

  test("an unanswered request is repeated four times within a minute, then all begins anew", () => {
    const { link, client, sent, reply } = setUp();
    client.start();
    link.advance(0);
    sent();
    reply(MESSAGE.OFFER);
    link.advance(59_999);
    expect(sent()).toEqual([0, 4, 12, 28].map((at) => `${at} REQUEST wants 10.0.0.100 of 10.0.0.1`));
    link.advance(1);
    expect(client.statistics().unanswered).toBe(1);
    expect(sent()).toEqual(["60 DISCOVER"]);
    // A late answer to the request belongs to no exchange any more.
    reply(MESSAGE.ACK);
    expect(client.state).toBe("selecting");
    expect(client.statistics().unexpected).toBe(1);
  });

  test("of several offers the first counts; with a wish the one that meets it, for a while", () => {
    const plain = setUp();
    plain.client.start();
    plain.link.advance(0);
    plain.sent();
    plain.reply(MESSAGE.OFFER, { server: OTHER_SERVER, address: ip("10.0.0.7") });
    plain.reply(MESSAGE.OFFER);
    expect(plain.sent()).toEqual(["0 REQUEST wants 10.0.0.7 of 10.0.0.3"]);
    expect(plain.client.statistics().unexpected).toBe(1);

    for (const met of [true, false]) {
      const { link, client, sent, reply, bind, asked } = setUp();
      bind({ leaseSeconds: 100 });
      link.advance(99_999);
      sent();
      link.advance(1);
      expect(sent()).toEqual(["100 DISCOVER wants 10.0.0.100"]);
      expect(client.state).toBe("selecting");
      expect(asked.at(-1)!.options.get(OPTION.REQUESTED_ADDRESS)).toEqual(ADDRESS.toBytes());
      reply(MESSAGE.OFFER, { server: OTHER_SERVER, address: ip("10.0.0.7") });
      reply(MESSAGE.OFFER, { server: OTHER_SERVER, address: ip("10.0.0.8") });
      link.advance(199);
      expect(sent()).toEqual([]);
      if (met) reply(MESSAGE.OFFER);
      else link.advance(1);
      expect(sent()[0]).toEndWith(met ? "wants 10.0.0.100 of 10.0.0.1" : "wants 10.0.0.7 of 10.0.0.3");
    }
  });

  test("a refusal begins anew after a while, which doubles", () => {
    const { link, client, sent, reply } = setUp();
    client.start();
    link.advance(0);
    const pauses: number[] = [];
    for (let i = 0; i < 9; i++) {
      sent();
      reply(MESSAGE.OFFER);
      sent();
      reply(MESSAGE.NAK);
      expect(client.state).toBe("init");
      const before = link.now;
      while (client.state === "init") link.advance(250);
      pauses.push((link.now - before) / 1_000);
    }
    expect(pauses).toEqual([0.75, 1.5, 3, 6, 12, 24, 48, 48, 48]);
    expect(client.statistics().refused).toBe(9);
  });

  test("in REQUESTING only the chosen server counts", () => {
    const { link, client, sent, reply, take } = setUp();
    client.start();
    link.advance(0);
    sent();
    reply(MESSAGE.OFFER);
    sent();
    reply(MESSAGE.ACK, { server: OTHER_SERVER });
    reply(MESSAGE.NAK, { server: OTHER_SERVER });
    reply(MESSAGE.NAK, { server: undefined });
    reply(MESSAGE.ACK, { address: ip("10.0.0.7") });
    reply(MESSAGE.OFFER);
    expect(client.state).toBe("requesting");
    expect(client.statistics().unexpected).toBe(5);
    reply(MESSAGE.ACK, { server: undefined });
    expect(client.statistics().malformed).toBe(1);
    reply(MESSAGE.ACK);
    expect(take()).toHaveLength(2);
  });

  test("a conflict is declined, and asked anew after ten seconds", () => {
    const { link, client, state, sent, reply, take, asked } = setUp();
    state.conflict = true;
    client.start();
    link.advance(0);
    sent();
    reply(MESSAGE.OFFER);
    sent();
    reply(MESSAGE.ACK);
    expect(sent()).toEqual(["0 DECLINE wants 10.0.0.100 of 10.0.0.1"]);
    expect(asked.at(-1)!.options.has(OPTION.PARAMETERS)).toBe(false);
    expect(take()).toEqual(["check 10.0.0.100"]);
    expect(client.statistics().declined).toBe(1);
    link.advance(9_999);
    expect(sent()).toEqual([]);
    link.advance(1);
    expect(sent()).toEqual(["10 DISCOVER"]);
  });

  test("an answer of the check that comes too late says nothing", () => {
    const { link, client, state, sent, reply, take, checks } = setUp();
    state.conflict = "wait";
    client.start();
    link.advance(0);
    sent();
    reply(MESSAGE.OFFER);
    sent();
    reply(MESSAGE.ACK);
    expect(client.state).toBe("checking");
    reply(MESSAGE.ACK);
    expect(client.statistics().unexpected).toBe(1);
    client.stop();
    checks[0]!(true);
    checks[0]!(false);
    expect(client.state).toBe("stopped");
    client.start();
    link.advance(0);
    sent();
    reply(MESSAGE.OFFER);
    sent();
    reply(MESSAGE.ACK);
    checks[0]!(true);
    expect(client.state).toBe("checking");
    checks[1]!(false);
    checks[1]!(true);
    expect(client.state).toBe("bound");
    expect(take().at(-1)).toStartWith("got");
    expect(sent()).toEqual([]);
  });
});

describe("a lease's life", () => {
  test("RENEWING by unicast at half of it, and again; the acknowledgement makes it new", () => {
    const { link, client, sent, reply, take, bind, asked } = setUp();
    bind();
    link.advance(1_799_999);
    expect(sent()).toEqual([]);
    link.advance(1);
    expect(client.state).toBe("renewing");
    expect(sent()).toEqual(["1800 REQUEST has 10.0.0.100 to 10.0.0.1"]);
    expect(asked.at(-1)!.flags).toBe(0);
    const { xid } = asked.at(-1)!;
    // Half of what is left until T2, at 3150 s.
    link.advance(675_000);
    expect(sent()).toEqual(["2475 REQUEST has 10.0.0.100 to 10.0.0.1"]);
    expect(asked.at(-1)).toMatchObject({ xid, secs: 675 });
    link.advance(5_000);
    reply(MESSAGE.ACK);
    expect(take()).toEqual(["kept 10.0.0.100/24 until 6075s"]);
    expect(client.state).toBe("bound");
    link.advance(1_790_000);
    expect(sent()).toEqual([]);
  });

  test("REBINDING by broadcast at 7/8 of it, then it expires", () => {
    const { link, client, sent, take, bind, state } = setUp();
    bind();
    state.canUnicast = false;
    link.advance(3_149_999);
    expect(client.state).toBe("renewing");
    const unsent = client.statistics().unsent;
    expect(unsent).toBeGreaterThan(3);
    link.advance(1);
    expect(client.state).toBe("rebinding");
    expect(sent()).toEqual(["3150 REQUEST has 10.0.0.100 from 10.0.0.100"]);
    link.advance(449_999);
    // 225, 112.5 and 60 s later, and 60 s once more.
    expect(sent().map((each) => Number(each.split(" ")[0]))).toEqual([3375, 3487.5, 3547.5]);
    expect(take()).toEqual([]);
    link.advance(1);
    expect(take()).toEqual(["lost 10.0.0.100 expired"]);
    expect(client.lease).toBeUndefined();
    expect(client.statistics().expired).toBe(1);
    expect(sent()).toEqual(["3600 DISCOVER wants 10.0.0.100"]);
  });

  test("the server's own T1 and T2 count where they make sense, and the times run from the request", () => {
    const { link, client, sent, bind, take, reply } = setUp();
    const times = (t1: number, t2: number) => [
      [OPTION.RENEW_SECONDS, seconds(t1)] as const,
      [OPTION.REBIND_SECONDS, seconds(t2)] as const,
    ];
    bind({ options: times(100, 200) });
    link.advance(100_000);
    expect(client.state).toBe("renewing");
    link.advance(100_000);
    expect(client.state).toBe("rebinding");
    sent();
    // Any server may extend it now.
    reply(MESSAGE.ACK, { server: OTHER_SERVER, options: times(5_000, 4_000) });
    expect(take()).toEqual(["kept 10.0.0.100/24 until 3800s"]);
    expect(client.lease).toMatchObject({ server: OTHER_SERVER });
    const { renewAtMs, rebindAtMs, obtainedAtMs } = client.lease!;
    expect([renewAtMs - obtainedAtMs, rebindAtMs - obtainedAtMs]).toEqual([1_800_000, 3_150_000]);
  });

  test("an infinite lease is never renewed", () => {
    const { link, client, sent, bind } = setUp();
    bind({ leaseSeconds: 0xffffffff });
    expect(link.timers).toBe(0);
    link.advance(1e9);
    expect(sent()).toEqual([]);
    expect(client.state).toBe("bound");
  });

  test("refused while RENEWING by its server, and while REBINDING by any: the address is lost at once", () => {
    for (const rebinding of [false, true]) {
      const { link, client, sent, reply, take, bind } = setUp();
      bind();
      link.advance(rebinding ? 3_150_000 : 1_800_000);
      sent();
      reply(MESSAGE.NAK, { server: OTHER_SERVER });
      if (!rebinding) {
        expect(take()).toEqual([]);
        expect(client.state).toBe("renewing");
        reply(MESSAGE.NAK);
      }
      expect(take()).toEqual(["lost 10.0.0.100 refused"]);
      link.advance(1_000);
      // The refused address is not asked for again.
      expect(sent().at(-1)).toEndWith("DISCOVER");
    }
  });

  test("an acknowledgement of another address is none, one without a server is by the known one", () => {
    const { link, client, sent, reply, bind } = setUp();
    bind();
    link.advance(1_800_000);
    sent();
    reply(MESSAGE.ACK, { address: ip("10.0.0.7") });
    expect(client.state).toBe("renewing");
    reply(MESSAGE.ACK, { server: undefined });
    expect(client.lease!.server.toString()).toBe("10.0.0.1");
    expect(client.state).toBe("bound");
  });

  test("very short leases renew without a storm", () => {
    const { link, client, sent, reply, bind, take } = setUp();
    bind({ leaseSeconds: 1 });
    for (let i = 0; i < 10; i++) {
      link.advance(500);
      const renewals = sent();
      expect(renewals).toHaveLength(1);
      reply(MESSAGE.ACK, { leaseSeconds: 1 });
    }
    expect(take()).toHaveLength(10);
    link.advance(1_000);
    expect(sent().length).toBeLessThan(5);
    expect(take()).toEqual(["lost 10.0.0.100 expired"]);
    expect(client.state).toBe("selecting");
  });
});

describe("INIT-REBOOT", () => {
  test("an earlier address is asked for, without a server, checked and bound", () => {
    const { link, client, sent, reply, take } = setUp();
    client.start(ADDRESS);
    link.advance(0);
    expect(client.state).toBe("rebooting");
    expect(sent()).toEqual(["0 REQUEST wants 10.0.0.100"]);
    reply(MESSAGE.ACK, { address: ip("10.0.0.7") });
    expect(client.state).toBe("rebooting");
    reply(MESSAGE.ACK);
    expect(take()).toEqual(["check 10.0.0.100", "got 10.0.0.100/24 until 3600s"]);
  });

  test("refused: any address; unanswered: discovers, still wishing for it", () => {
    const refused = setUp();
    refused.client.start(ADDRESS);
    refused.link.advance(0);
    refused.sent();
    refused.reply(MESSAGE.NAK);
    refused.link.advance(1_000);
    expect(refused.sent()).toEqual(["0.75 DISCOVER"]);
    const silent = setUp();
    silent.client.start(ADDRESS);
    silent.link.advance(12_000);
    expect(silent.sent()).toEqual([
      "0 REQUEST wants 10.0.0.100",
      "4 REQUEST wants 10.0.0.100",
      "12 DISCOVER wants 10.0.0.100",
    ]);
  });

  test("after the link was away the lease is confirmed, and used meanwhile", () => {
    const { link, client, sent, reply, take, bind } = setUp();
    bind();
    link.advance(60_000);
    client.confirm();
    link.advance(0);
    expect(client.state).toBe("rebooting");
    expect(client.lease!.address).toEqual(ADDRESS);
    expect(sent()).toEqual(["60 REQUEST wants 10.0.0.100"]);
    reply(MESSAGE.ACK);
    expect(take()).toEqual(["kept 10.0.0.100/24 until 3660s"]);
    // Without an answer it is used on, and renewed at its time.
    client.confirm();
    link.advance(12_000);
    expect(client.state).toBe("bound");
    sent();
    link.advance(1_788_000);
    expect(sent()).toEqual(["1860 REQUEST has 10.0.0.100 to 10.0.0.1"]);
    // On another network it is refused.
    client.confirm();
    link.advance(0);
    sent();
    reply(MESSAGE.NAK, { server: OTHER_SERVER });
    expect(take()).toEqual(["lost 10.0.0.100 refused"]);
  });

  test("a lease that ends while it is confirmed is lost; without a lease confirm begins anew", () => {
    const { link, client, sent, take, bind } = setUp();
    bind({ leaseSeconds: 10 });
    link.advance(4_000);
    link.up = false;
    client.confirm();
    link.advance(6_000);
    expect(take()).toEqual(["lost 10.0.0.100 expired"]);
    expect(client.statistics().unsent).toBeGreaterThan(1);
    link.up = true;
    client.confirm();
    link.advance(0);
    expect(sent()).toEqual(["10 DISCOVER wants 10.0.0.100"]);
    client.stop();
    client.confirm();
    expect(client.state).toBe("stopped");
  });
});

describe("the end", () => {
  test("release gives it back", () => {
    const { link, client, sent, take, bind, asked } = setUp();
    bind();
    client.release();
    expect(sent()).toEqual(["0 RELEASE has 10.0.0.100 of 10.0.0.1 to 10.0.0.1"]);
    expect(asked.at(-1)!.options.get(OPTION.CLIENT)).toEqual(bytes(1, 2, 0, 0, 0, 0, 1));
    expect(take()).toEqual(["lost 10.0.0.100 released"]);
    expect([client.state, link.timers]).toEqual(["stopped", 0]);
    client.release();
    expect(sent()).toEqual([]);
  });

  test("stop keeps quiet towards the server, close towards everyone", () => {
    const stopped = setUp();
    stopped.bind();
    stopped.client.stop();
    expect(stopped.take()).toEqual(["lost 10.0.0.100 stopped"]);
    expect(stopped.sent()).toEqual([]);
    expect(stopped.link.timers).toBe(0);
    const closed = setUp();
    closed.bind();
    closed.client.close();
    closed.client.close();
    closed.client.start();
    closed.link.advance(1e8);
    expect([closed.take(), closed.sent(), closed.link.timers]).toEqual([[], [], 0]);
    expect(closed.client.lease).toBeUndefined();
  });

  test("stopped or closed from within the news that the lease is lost, it stays so", () => {
    for (const how of ["stop", "close"] as const) {
      for (const why of ["expired", "refused", "conflict"]) {
        const { link, client, state, sent, reply, take, bind } = setUp();
        bind();
        state.onLost = () => client[how]();
        if (why === "expired") link.advance(3_600_000);
        else if (why === "conflict") client.conflict();
        else {
          link.advance(1_800_000);
          sent();
          reply(MESSAGE.NAK);
        }
        expect(take()).toEqual([`lost 10.0.0.100 ${why}`]);
        sent();
        expect([client.state, link.timers]).toEqual(["stopped", 0]);
        link.advance(1e7);
        expect(sent()).toEqual([]);
      }
    }
  });

  test("a conflict found later is declined too", () => {
    const { link, client, sent, take, bind } = setUp();
    client.conflict();
    expect(client.statistics().declined).toBe(0);
    bind();
    client.conflict();
    expect(take()).toEqual(["lost 10.0.0.100 conflict"]);
    expect(sent()).toEqual(["0 DECLINE wants 10.0.0.100 of 10.0.0.1"]);
    link.advance(10_000);
    expect(sent()).toEqual(["10 DISCOVER"]);
  });
});

describe("replies that don't count", () => {
  test("of others, of before, of nobody", () => {
    const { link, client, sent, reply, asked } = setUp();
    client.start();
    link.advance(0);
    sent();
    reply(MESSAGE.OFFER, { xid: (asked[0]!.xid + 1) >>> 0 });
    reply(MESSAGE.OFFER, { chaddr: MacAddress.parse("02:00:00:00:00:02") });
    reply(MESSAGE.OFFER, { op: 1 });
    // RFC 6842: a server that returns the client identifier returns ours.
    reply(MESSAGE.OFFER, { options: [[OPTION.CLIENT, bytes(1, 2, 0, 0, 0, 0, 2)]] });
    expect(client.statistics()).toMatchObject({ foreign: 4, malformed: 0, unexpected: 0 });
    for (const address of ["0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1", "240.0.0.1"]) {
      reply(MESSAGE.OFFER, { address: ip(address) });
      reply(MESSAGE.OFFER, { server: ip(address) });
    }
    reply(MESSAGE.OFFER, { without: [OPTION.LEASE_SECONDS] });
    reply(MESSAGE.OFFER, { leaseSeconds: 0 });
    reply(MESSAGE.OFFER, { options: [[OPTION.LEASE_SECONDS, bytes(1, 2, 3)]] });
    expect(client.statistics()).toMatchObject({ foreign: 4, malformed: 13, unexpected: 0 });
    reply(MESSAGE.OFFER, { without: [OPTION.MESSAGE_TYPE] });
    reply(MESSAGE.ACK);
    reply(MESSAGE.NAK);
    expect(client.statistics()).toMatchObject({ malformed: 13, unexpected: 3 });
    expect(client.state).toBe("selecting");
    reply(MESSAGE.OFFER, { options: [[OPTION.CLIENT, bytes(1, 2, 0, 0, 0, 0, 1)]] });
    expect(client.state).toBe("requesting");
  });

  test("nothing is taken while stopped", () => {
    const { client } = setUp();
    client.receive(new DataView(new ArrayBuffer(10)), 0, 10);
    expect(client.statistics().received).toBe(0);
  });
});

describe("options of a lease", () => {
  const lease = (...options: (readonly [number, Uint8Array])[]): DhcpLease => {
    const all = new Map<number, Uint8Array>([
      [OPTION.SERVER, SERVER.toBytes()],
      [OPTION.LEASE_SECONDS, seconds(60)],
    ]);
    for (const [code, data] of options) all.set(code, data);
    return leaseOf(ADDRESS, all, 0)!;
  };

  test("all that are asked for", () => {
    const search = bytes(
      3,
      101,
      110,
      103,
      5,
      97,
      112,
      112,
      108,
      101,
      3,
      99,
      111,
      109,
      0,
      9,
      109,
      97,
      114,
      107,
      101,
      116,
      105,
      110,
      103,
      0xc0,
      4,
    );
    const all = lease(
      [OPTION.SUBNET_MASK, bytes(255, 255, 254, 0)],
      [OPTION.ROUTERS, bytes(10, 0, 0, 1, 0, 0, 0, 0, 10, 0, 0, 2)],
      [OPTION.NAME_SERVERS, bytes(10, 0, 0, 53, 10, 0, 1, 53)],
      [OPTION.HOST_NAME, text("mill\0")],
      [OPTION.DOMAIN_NAME, text("race.example")],
      [OPTION.MTU, bytes(5, 0)],
      [OPTION.BROADCAST, bytes(10, 0, 1, 255)],
      [OPTION.TIME_SERVERS, bytes(10, 0, 0, 123)],
      [OPTION.VENDOR, bytes(1, 2, 3)],
      [OPTION.SEARCH_DOMAINS, search],
    );
    expect(all).toMatchObject({ prefixLength: 23, hostName: "mill", domainName: "race.example", mtu: 1280 });
    expect(all.vendor).toEqual(bytes(1, 2, 3));
    expect(String(all.nameServers)).toBe("10.0.0.53,10.0.1.53");
    expect(String(all.timeServers)).toBe("10.0.0.123");
    expect(String(all.broadcast)).toBe("10.0.1.255");
    expect(all.routes.map((r) => `${r.prefix} ${r.gateway}`)).toEqual([
      "0.0.0.0/0 10.0.0.1",
      "0.0.0.0/0 10.0.0.2",
    ]);
    // The example of RFC 3397 section 2.
    expect(all.searchDomains).toEqual(["eng.apple.com", "marketing.apple.com"]);
  });

  test("what is wrong in itself is as if it were not there", () => {
    const bad = lease(
      [OPTION.SUBNET_MASK, bytes(255, 255, 0, 255)],
      [OPTION.ROUTERS, bytes(10, 0, 0)],
      [OPTION.HOST_NAME, text("a;reboot")],
      [OPTION.DOMAIN_NAME, text("$(x).example")],
      [OPTION.MTU, bytes(0, 67)],
      [OPTION.BROADCAST, bytes(1)],
    );
    expect(bad).toMatchObject({
      prefixLength: 8,
      routes: [],
      hostName: undefined,
      domainName: undefined,
      mtu: undefined,
    });
    expect(bad.broadcast).toBeUndefined();
  });

  test("masks: any length, and the class where there is none", () => {
    for (let length = 1; length <= 32; length++) {
      expect(lease([OPTION.SUBNET_MASK, seconds((-1 << (32 - length)) >>> 0)]).prefixLength).toBe(length);
    }
    const without = (address: string): number =>
      leaseOf(
        ip(address),
        new Map([
          [OPTION.SERVER, SERVER.toBytes()],
          [OPTION.LEASE_SECONDS, seconds(60)],
        ]),
        0,
      )!.prefixLength;
    expect(["10.0.0.1", "172.16.0.1", "192.168.0.1"].map(without)).toEqual([8, 16, 24]);
    expect(lease([OPTION.SUBNET_MASK, seconds(0)]).prefixLength).toBe(8);
  });

  test("classless routes take the place of routers", () => {
    // The examples of RFC 3442: descriptors of 10.0.0.0/8, 10.17.0.0/16, 10.27.129.0/24, 10.229.0.128/25, a host, all.
    const descriptors = bytes(
      0,
      10,
      0,
      0,
      1,
      8,
      10,
      10,
      0,
      0,
      2,
      16,
      10,
      17,
      10,
      0,
      0,
      3,
      24,
      10,
      27,
      129,
      0,
      0,
      0,
      0,
      25,
      10,
      229,
      0,
      128,
      10,
      0,
      0,
      5,
      32,
      10,
      198,
      122,
      47,
      10,
      0,
      0,
      6,
    );
    const { routes } = lease([OPTION.CLASSLESS_ROUTES, descriptors], [OPTION.ROUTERS, bytes(10, 0, 0, 99)]);
    expect(routes.map((r) => `${r.prefix} ${r.gateway}`)).toEqual([
      "0.0.0.0/0 10.0.0.1",
      "10.0.0.0/8 10.0.0.2",
      "10.17.0.0/16 10.0.0.3",
      "10.27.129.0/24 undefined",
      "10.229.0.128/25 10.0.0.5",
      "10.198.122.47/32 10.0.0.6",
    ]);
    for (const broken of [
      bytes(33, 1, 2, 3, 4, 5, 10, 0, 0, 1),
      bytes(24, 10),
      bytes(8, 10, 10, 0, 0),
      bytes(0),
    ]) {
      expect(classlessRoutes(broken)).toBeUndefined();
      expect(
        lease([OPTION.CLASSLESS_ROUTES, broken], [OPTION.ROUTERS, bytes(10, 0, 0, 99)]).routes,
      ).toHaveLength(1);
    }
  });

  test("names: pointers lead back only", () => {
    expect(nameList(bytes(1, 97, 0, 0xc0, 0))).toEqual(["a", "a"]);
    expect(nameList(bytes(0xc0, 0))).toEqual([]);
    expect(nameList(bytes(1, 97, 0xc0, 0))).toEqual([]);
    expect(nameList(bytes(1, 97, 0, 0xc0))).toEqual(["a"]);
    expect(nameList(bytes(1, 97, 0, 0x80, 1))).toEqual(["a"]);
    expect(nameList(bytes(1, 97, 0, 5, 97))).toEqual(["a"]);
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (data) => nameList(data).length <= data.length));
  });
});

describe("what is asked", () => {
  test("identifiers, and options of the caller", () => {
    const duid = setUp({ identifier: "duid", parameters: [1, 3], broadcast: false });
    duid.client.start();
    duid.link.advance(0);
    duid.sent();
    const [message] = duid.asked;
    expect(message!.options.get(OPTION.CLIENT)).toEqual(bytes(255, 0, 0, 0, 1, 0, 3, 0, 1, 2, 0, 0, 0, 0, 1));
    expect(message!.options.get(OPTION.PARAMETERS)).toEqual(bytes(1, 3));
    expect(message!.flags).toBe(0);
    const own = setUp({ identifier: bytes(0, 1, 2) });
    own.client.start();
    own.link.advance(0);
    own.sent();
    expect(own.asked[0]!.options.get(OPTION.CLIENT)).toEqual(bytes(0, 1, 2));
    expect(() => setUp({ identifier: bytes(1) })).toThrow(TypeError);
    expect(() => setUp({ hostName: "a b" })).toThrow(TypeError);
    expect(() => setUp({ hostName: "" })).toThrow(TypeError);
  });
});

describe("properties", () => {
  test("any bytes are taken without a throw, also right behind a good header", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 400 }),
        fc.integer({ min: 0, max: 3 }),
        fc.constantFrom(MESSAGE.OFFER, MESSAGE.ACK, MESSAGE.NAK),
        (tail, where, type) => {
          const { link, client, sent, reply, bind, asked } = setUp();
          if (where > 0) bind();
          else client.start();
          link.advance([0, 0, 1_800_000, 3_150_000][where]!);
          sent();
          client.receive(new DataView(tail.slice().buffer), 0, tail.length);
          const message = new DataView(new ArrayBuffer(240 + 3 + tail.length));
          message.setUint8(0, 2);
          message.setUint8(1, 1);
          message.setUint8(2, 6);
          message.setUint32(4, asked.at(-1)!.xid);
          ADDRESS.write(message, 16);
          link.mac.write(message, 28);
          message.setUint32(236, dhcp.MAGIC_COOKIE);
          [53, 1, type, ...tail].forEach((byte, i) => message.setUint8(240 + i, byte));
          client.receive(message, 0, message.byteLength);
          link.advance(100_000);
          reply(type);
          client.close();
          expect(link.timers).toBe(0);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("a server that answers some of the time: an address is held only between got and lost, never past its end", () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 0, max: 100 }), (seed, percent) => {
        const random = seededRandom(seed);
        const link = new VirtualLink(random);
        link.fraction = undefined;
        const { client, sent, reply, take, asked } = setUp({}, link);
        client.start();
        let held = false;
        for (let step = 0; step < 60; step++) {
          link.advance((random.next() % 400) * 1_000);
          const heard = sent().length > 0 && random.next() % 100 < percent;
          const type = heard ? dhcp.messageType(asked.at(-1)!) : 0;
          const refuses = random.next() % 10 === 0;
          if (type === MESSAGE.DISCOVER) reply(MESSAGE.OFFER);
          else if (type === MESSAGE.REQUEST)
            reply(refuses ? MESSAGE.NAK : MESSAGE.ACK, { leaseSeconds: 600 });
          if (random.next() % 16 === 0) client.confirm();
          for (const each of take()) {
            if (each.startsWith("got")) expect(held).toBe(false);
            if (each.startsWith("kept") || each.startsWith("lost")) expect(held).toBe(true);
            if (!each.startsWith("check")) held = !each.startsWith("lost");
          }
          expect(client.lease !== undefined).toBe(held);
          if (client.lease !== undefined) expect(client.lease.expiresAtMs).toBeGreaterThan(link.now);
          expect(link.timers).toBeLessThanOrEqual(2);
        }
        client.stop();
        expect(link.timers).toBe(0);
      }),
      { numRuns: 100 },
    );
  });
});
