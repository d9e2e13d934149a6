/** What holds whatever happens to two paths, in whichever order: nothing goes over a dead one, and one that lives is used. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Interface } from "../../stack/ip/interface.ts";
import { LINK_EVERY_MS } from "../../stack/loop/loop.ts";
import { HostLab } from "../support/host-lab.ts";
import { introduce, Oracle, SERVICES, twoLinks } from "../support/two-links.ts";

const step = fc.record({
  link: fc.constantFrom(0, 1),
  what: fc.constantFrom("carrier off", "carrier on", "dead", "alive", "unknown", "taken", "given", "route"),
  afterMs: fc.constantFrom(0, 1, 10, 300, 1000, 20_000),
});

const world = (lab: HostLab, multipath: "handover" | "spread") => {
  const { near, far } = twoLinks(lab, { equal: multipath === "spread" });
  introduce(lab, near);
  const came: string[] = [];
  far.host.udp(7, (datagram) => {
    came.push(datagram.interface.name);
    datagram.reply();
  });
  const sockets = Array.from({ length: multipath === "spread" ? 6 : 1 }, () =>
    near.host.udp({ multipath, address: SERVICES.near }, () => {}),
  );
  const oracles = [new Oracle("bfd", "up"), new Oracle("bfd", "up")] as const;
  const routes = near.paths.map(({ gateway }) =>
    near.host.routes.all().find((route) => route.gateway?.equals(gateway!))!,
  );
  const hop = (link: number) => ({ interface: `eth${link}`, gateway: routes[link]!.gateway! });
  oracles.forEach((oracle, link) => near.host.paths.watch(hop(link), oracle));
  const path = (link: number) => near.host.paths.find(hop(link));
  return { near, came, sockets, oracles, routes, path };
};

/** What an interface sent but for ARP: a question is answered where it came in, whatever is known of the path. */
const packetsOf = (on: Interface): number => {
  const { ip, protocols } = on.statistics();
  const { requestsSent, repliesSent, probesSent, announcementsSent, told } = protocols!.arp;
  return ip.sent - requestsSent - repliesSent - probesSent - announcementsSent - told;
};

for (const multipath of ["handover", "spread"] as const) {
  test(`no packet goes over a dead path, and one that lives is used (${multipath})`, () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        using lab = new HostLab();
        const { near, came, sockets, oracles, routes, path } = world(lab, multipath);
        let sent = 0;
        for (const { link, what, afterMs } of steps) {
          const there = path(link);
          if (what === "carrier off" || what === "carrier on")
            near.devices[link]!.setUp(what === "carrier on");
          else if (what === "dead") oracles[link]!.say("down", 30);
          else if (what === "alive") oracles[link]!.say("up");
          else if (what === "unknown") oracles[link]!.say("unknown");
          else if (what === "taken" && there !== undefined) near.host.paths.set(there, "down");
          else if (what === "given" && there !== undefined) near.host.paths.set(there, "up");
          else if (what === "route" && !near.host.routes.remove(routes[link]!))
            near.host.addRoute(routes[link]!);
          lab.run(LINK_EVERY_MS);
          lab.run(afterMs);
          came.length = 0;
          const before = near.interfaces.map((on) => packetsOf(on));
          const lives = [0, 1].filter((one) => (path(one)?.state ?? "down") !== "down");
          const best = lives.filter((one) => path(one)!.state === "up");
          let accepted = 0;
          for (const socket of sockets)
            if (socket.send({ address: SERVICES.far, port: 7 }, Uint8Array.of(1))) accepted += 1;
          sent += accepted;
          lab.run(0);
          const used = [0, 1].filter((one) => packetsOf(near.interfaces[one]!) > before[one]!);
          for (const one of used) expect(best.length > 0 ? best : lives).toContain(one);
          expect(accepted).toBe(lives.length > 0 ? sockets.length : 0);
          // Everything that was sent came, and nothing twice.
          expect(came).toHaveLength(accepted);
        }
        const statistics = sockets.map((socket) => socket.statistics());
        expect(statistics.reduce((sum, one) => sum + one.sent, 0)).toBe(sent);
        expect(statistics.reduce((sum, one) => sum + one.expired, 0)).toBe(0);
      }),
      { numRuns: 150 },
    );
  }, 60_000);
}
