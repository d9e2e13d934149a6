/**
 * Our memberships against the kernel's: a bridge that snoops and asks, senders and listeners, and smcroute between two
 * networks.
 */
import { describe, expect, test } from "bun:test";
import { IpAddress, type UdpSocket } from "../../index.ts";
import { Lab, until } from "../support/lab.ts";
import { listen, memberships, sendTo, smcroute, snoopingBridge } from "../support/multicast-peers.ts";
import * as tools from "../support/peer-tools.ts";
import { PATIENCE_MS, ServedBed, type ServedBedOptions } from "../support/served-bed.ts";
import { skipWithoutLab } from "../support/skip.ts";

const LIMIT_MS = 120_000;
/** Nobody in tshark knows it. */
const PORT = 50_123;
const GROUPS = ["239.1.2.3", "ff15::1:2:3"] as const;
/** Of the same networks, which nobody of ours is in. */
const OTHERS = ["239.1.2.4", "ff15::1:2:4"] as const;
/** The kernel's addresses to send from, two of each family. */
const FROM = { "239.1.2.3": ["10.77.0.1", "10.77.0.11"], "ff15::1:2:3": ["fd77::1", "fd77::11"] } as const;
const OUR_ADDRESSES = { addresses: ["10.77.0.2/24", "fd77::2/64"], dad: false } as const;

const noLab = skipWithoutLab(Lab.unavailable());
const without = (...names: string[]): boolean => noLab || tools.need("tcpdump", "tshark", ...names);

const bridged = (version: 2 | 3): ServedBedOptions => ({
  lab: { middle: true },
  prepare: {
    m: snoopingBridge({ version }),
    a: ["ip addr add 10.77.0.11/24 dev va", "ip addr add fd77::11/64 dev va nodad"],
  },
});

/** A socket of ours that writes down what it hears. */
const member = (bed: ServedBed, heard: string[], port = PORT): UdpSocket =>
  bed.host.udp({ port, reuse: true }, (datagram) => {
    heard.push(`${datagram.remoteAddress} ${datagram.text()} ${datagram.ttl}`);
  });

const settle = (bed: ServedBed, wanted: readonly string[]): Promise<true> =>
  until(
    `the bridge to have us in ${wanted.join(", ") || "no group"}`,
    () => {
      const now = memberships(bed).filter((line) => GROUPS.some((group) => line.startsWith(group)));
      // The older protocols have no filters to show.
      const shown = now.map((line) => (wanted.includes(line.split(" ")[0]!) ? line.split(" ")[0]! : line));
      return shown.join() === wanted.join() || undefined;
    },
    PATIENCE_MS,
  );

/** Frames on the wire to us that a display filter takes. */
const count = async (file: string, filter: string): Promise<number> =>
  (await Bun.$`tshark -n -r ${file} -Y ${filter}`.quiet().text()).split("\n").filter(Boolean).length;

describe.skipIf(without("bridge", "socat"))("a member of groups", () => {
  test.concurrent(
    "is seen by a bridge to come, to stay as long as it is asked, and to go",
    async () => {
      await using bed = await ServedBed.start(bridged(3));
      const eth = bed.join(OUR_ADDRESSES);
      const heard: string[] = [];
      const socket = member(bed, heard);
      for (const group of GROUPS) socket.join(group);
      await settle(
        bed,
        GROUPS.map((group) => `${group} exclude`),
      );
      // A query a second, and three seconds are as long as the bridge believes what was said once.
      const { igmp, mld } = eth.groups.statistics();
      await until(
        "five more queries",
        () => {
          const now = eth.groups.statistics();
          return now.igmp.queries >= igmp.queries + 5 && now.mld.queries >= mld.queries + 5;
        },
        PATIENCE_MS,
      );
      expect(memberships(bed)).toEqual(expect.arrayContaining(GROUPS.map((group) => `${group} exclude`)));
      for (const [i, group] of GROUPS.entries()) {
        await sendTo(bed, OTHERS[i]!, PORT, "other", { from: FROM[group][0] });
        await sendTo(bed, group, PORT, "ours", { from: FROM[group][0] });
      }
      await until("both datagrams", () => heard.length >= 2);
      expect(heard).toEqual(["10.77.0.1 ours 1", "fd77::1 ours 1"]);
      socket.leave(GROUPS[0]);
      await settle(bed, [`${GROUPS[1]} exclude`]);
      socket.close();
      await settle(bed, []);
      const file = await bed.finish();
      // The bridge sends what nobody asked for nowhere, once it knows who is where.
      for (const group of OTHERS) {
        const field = group.includes(":") ? "ipv6" : "ip";
        expect(await count(file, `${field}.dst == ${group}`)).toBe(0);
      }
      expect(await count(file, `igmp.type == 0x22 && eth.src == ${bed.lab.b.mac}`)).toBeGreaterThan(3);
      expect(await count(file, `icmpv6.type == 143 && eth.src == ${bed.lab.b.mac}`)).toBeGreaterThan(3);
    },
    LIMIT_MS,
  );

  test.concurrent(
    "hears from the sources that it wants, and the bridge knows them",
    async () => {
      await using bed = await ServedBed.start(bridged(3));
      bed.join(OUR_ADDRESSES);
      const heard: string[] = [];
      const socket = member(bed, heard);
      for (const mode of ["include", "exclude"] as const) {
        for (const group of GROUPS) {
          const source = FROM[group][1];
          socket.join(group, { sources: { mode, sources: [IpAddress.parse(source)] } });
        }
        await settle(
          bed,
          GROUPS.map((group) => `${group} ${mode} ${FROM[group][1]}`),
        );
        for (const group of GROUPS) {
          for (const from of FROM[group]) await sendTo(bed, group, PORT, mode, { from });
        }
        const wanted = GROUPS.map((group) => `${FROM[group][mode === "include" ? 1 : 0]} ${mode} 1`);
        await until("what is wanted", () => heard.length >= wanted.length);
        expect(heard.splice(0)).toEqual(wanted);
      }
      // Two members with different wishes: the bridge hears of both together, each gets its own.
      const other: string[] = [];
      const second = member(bed, other);
      for (const group of GROUPS) {
        const [first, rest] = FROM[group];
        socket.join(group, { sources: { mode: "include", sources: [IpAddress.parse(first)] } });
        second.join(group, { sources: { mode: "include", sources: [IpAddress.parse(rest)] } });
      }
      await settle(
        bed,
        GROUPS.map((group) => `${group} include ${FROM[group].join(" ")}`),
      );
      for (const group of GROUPS)
        for (const from of FROM[group]) await sendTo(bed, group, PORT, "each", { from });
      await until("each its own", () => heard.length >= 2 && other.length >= 2);
      expect(heard).toEqual(GROUPS.map((group) => `${FROM[group][0]} each 1`));
      expect(other).toEqual(GROUPS.map((group) => `${FROM[group][1]} each 1`));
      await bed.finish();
    },
    LIMIT_MS,
  );

  test.concurrent(
    "speaks the older protocols to a querier that does",
    async () => {
      await using bed = await ServedBed.start(bridged(2));
      // The kernel beside us is held to the older ones too.
      bed.sh("a", [
        "echo 2 > /proc/sys/net/ipv4/conf/va/force_igmp_version",
        "echo 1 > /proc/sys/net/ipv6/conf/va/force_mld_version",
      ]);
      const eth = bed.join(OUR_ADDRESSES);
      const heard: string[] = [];
      const socket = member(bed, heard);
      await until(
        "queries of both families",
        () => {
          const { igmp, mld } = eth.groups.statistics();
          return igmp.dialect === 2 && mld.dialect === 2;
        },
        PATIENCE_MS,
      );
      for (const group of GROUPS) socket.join(group);
      await settle(bed, GROUPS);
      const listeners = await Promise.all(GROUPS.map((group) => listen(bed, "a", "va", group, PORT)));
      for (const group of GROUPS) {
        await sendTo(bed, group, PORT, "old", { from: FROM[group][0] });
        socket.send({ address: group, port: PORT }, new TextEncoder().encode("ours"));
      }
      await until(
        "what was sent",
        () => heard.length >= 4 && listeners.every((each) => each.printed().includes("ours")),
      );
      for (const group of GROUPS) socket.leave(group);
      await settle(bed, []);
      const file = await bed.finish();
      const ours = `eth.src == ${bed.lab.b.mac}`;
      // IGMPv2 report and leave, MLDv1 report and done.
      for (const filter of [
        "igmp.type == 0x16",
        "igmp.type == 0x17",
        "icmpv6.type == 131",
        "icmpv6.type == 132",
      ])
        expect(await count(file, `${filter} && ${ours}`)).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );

  test.concurrent(
    "sends to members near by, and to others of the same host",
    async () => {
      await using bed = await ServedBed.start();
      bed.join(OUR_ADDRESSES);
      const listeners = await Promise.all(GROUPS.map((group) => listen(bed, "a", "va", group, PORT)));
      const [first, second, third]: [string[], string[], string[]] = [[], [], []];
      const [one, two] = [member(bed, first), member(bed, second)];
      member(bed, third, PORT + 1);
      for (const group of GROUPS) for (const socket of [one, two]) socket.join(group);
      const far = bed.host.udp({ multicastTtl: 9 }, () => {});
      for (const group of GROUPS) {
        expect(one.send({ address: group, port: PORT }, new TextEncoder().encode("near"))).toBeTruthy();
        far.send({ address: group, port: PORT }, new TextEncoder().encode("far."));
      }
      const wanted = ["10.77.0.2 near 1", "10.77.0.2 far. 9", "fd77::2 near 1", "fd77::2 far. 9"];
      await until(
        "all members",
        () =>
          first.length >= 4 && second.length >= 4 && listeners.every((each) => each.printed().length >= 8),
      );
      expect([first, second, third]).toEqual([wanted, wanted, []]);
      expect(listeners.map((each) => each.printed())).toEqual(["nearfar.", "nearfar."]);
      const file = await bed.finish();
      expect(await count(file, `ip.dst == ${GROUPS[0]} && ip.ttl == 1`)).toBe(1);
      expect(await count(file, `ip.dst == ${GROUPS[0]} && ip.ttl == 9`)).toBe(1);
      expect(await count(file, `ipv6.dst == ${GROUPS[1]} && ipv6.hlim == 1`)).toBe(1);
      expect(await count(file, `ipv6.dst == ${GROUPS[1]} && ipv6.hlim == 9`)).toBe(1);
    },
    LIMIT_MS,
  );

  test.skipIf(without("smcrouted", "smcroutectl")).concurrent(
    "hears and is heard through smcroute, as far as the TTL goes",
    async () => {
      await using bed = await ServedBed.start({
        lab: { middle: true },
        prepare: {
          m: [
            "echo 1 > /proc/sys/net/ipv4/conf/all/forwarding",
            "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
            "ip addr add 10.77.0.3/24 dev mb",
            "ip addr add fd77::3/64 dev mb nodad",
            "ip addr add 10.78.0.3/24 dev ma",
            "ip addr add fd78::3/64 dev ma nodad",
          ],
          a: [
            "ip addr flush dev va scope global",
            "ip addr add 10.78.0.1/24 dev va",
            "ip addr add fd78::1/64 dev va nodad",
          ],
        },
      });
      bed.join(OUR_ADDRESSES);
      const phys = ["phyint ma enable", "phyint mb enable"];
      const inwards = GROUPS.map((group) => `mroute from ma group ${group} to mb`);
      const outwards = [
        `mroute from mb source 10.77.0.2 group ${OTHERS[0]} to ma`,
        `mroute from mb source fd77::2 group ${OTHERS[1]} to ma`,
      ];
      await smcroute(bed, [...phys, ...inwards, ...outwards], 2);
      const heard: string[] = [];
      const socket = member(bed, heard);
      for (const group of GROUPS) socket.join(group);
      const from = ["10.78.0.1", "fd78::1"] as const;
      for (const [i, group] of GROUPS.entries()) {
        for (const ttl of [1, 5]) await sendTo(bed, group, PORT, `ttl${ttl}`, { from: from[i]!, ttl });
      }
      await until("both families", () => heard.length >= 2, PATIENCE_MS);
      expect(heard).toEqual(["10.78.0.1 ttl5 4", "fd78::1 ttl5 4"]);
      const listeners = await Promise.all(OTHERS.map((group) => listen(bed, "a", "va", group, PORT)));
      const far = bed.host.udp({ multicastTtl: 4 }, () => {});
      for (const [i, group] of OTHERS.entries()) {
        socket.send({ address: group, port: PORT }, new TextEncoder().encode("near"));
        far.send({ address: group, port: PORT }, new TextEncoder().encode("far."));
        await until("the listener", () => listeners[i]!.printed() === "far.", PATIENCE_MS);
      }
      await bed.finish();
    },
    LIMIT_MS,
  );
});
